/* Statements: prepared once, bound by a format, their results read column by column, and PostgreSQL's errors
 * translated. No SQL of our own here. */
#include "src/ca/postgres/postgres.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"

/* Types by their number, which is the same in every server (pg_type.dat). */
enum { TYPE_BYTEA = 17, TYPE_BIGINT = 20, TYPE_TEXT = 25 };

/* SQLSTATE, or the first characters of it (PostgreSQL, Appendix A). The first that fits counts. */
static const struct {
    const char *state;
    int code;
    const char *name;
} failures[] = {
    {"40001", PC_EUNREACH, "ledger-conflict"}, /* serialization_failure */
    {"40P01", PC_EUNREACH, "ledger-conflict"}, /* deadlock_detected */
    {"55P03", PC_EUNREACH, "ledger-busy"},     /* lock_not_available */
    {"57014", PC_EUNREACH, "ledger-busy"},     /* query_canceled: statement_timeout */
    {"25006", PC_EUNREACH, "ledger-readonly"}, /* read_only_sql_transaction */
    {"53200", PC_EUNREACH, "ledger-conflict"}, /* out_of_memory: no more locks, until others end theirs */
    {"53100", PC_EFAIL, "ledger-full"},        /* disk_full */
    {"08", PC_EUNREACH, "ledger-lost"},        /* connection exceptions */
    {"57P", PC_EUNREACH, "ledger-lost"},       /* the server shuts down, or starts up */
    {"25P03", PC_EUNREACH, "ledger-lost"},     /* idle_in_transaction_session_timeout */
    {"53", PC_EUNREACH, "ledger-busy"},        /* insufficient resources */
    {"23", PC_EFAIL, "ledger-rule"},           /* constraints, and rules of ours */
    {"58", PC_EFAIL, "ledger-io"},             /* system errors */
    {"XX", PC_EUNREACH, "ledger-damaged"},     /* internal errors, corrupted data */
};

/* The server's first line, without its severity. */
static const char *text_of(const struct pg *pg, const PGresult *result, char *buffer, size_t size)
{
    const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (!text)
        text = PQerrorMessage(pg->connection);
    snprintf(buffer, size, "%s", text ? text : "");
    buffer[strcspn(buffer, "\n")] = '\0';
    return buffer;
}

/* The role of daily work needs this, and no more. */
static int refuse_role(const struct pg *pg, const char *what, const char *text)
{
    const char *role = PQuser(pg->connection);
    if (strcmp(what, PG_MAKING) == 0)
        return pc_fail_named(PC_EUSAGE, "ledger-denied",
                             "ledger %s: %s: %s; the database's owner makes it (plantca init), or who has: "
                             "GRANT CREATE ON DATABASE \"%s\" TO \"%s\"",
                             pg->name, what, text, PQdb(pg->connection), role);
    return pc_fail_named(PC_EUSAGE, "ledger-denied",
                         "ledger %s: %s: %s; what the role needs, from who made the ledger: GRANT USAGE ON "
                         "SCHEMA " PG_SCHEMA " TO \"%s\"; GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN "
                         "SCHEMA " PG_SCHEMA " TO \"%s\"",
                         pg->name, what, text, role, role);
}

int pg_fail(const struct pg *pg, const char *what, const PGresult *result)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    char text[512];
    text_of(pg, result, text, sizeof text);
    if (PQstatus(pg->connection) == CONNECTION_BAD)
        return pc_fail_named(PC_EUNREACH, "ledger-lost", "ledger %s: %s: the connection was lost: %s",
                             pg->name, what, text);
    if (state && strcmp(state, "42501") == 0)
        return refuse_role(pg, what, text);
    for (size_t i = 0; state && i < sizeof failures / sizeof *failures; i++)
        if (strncmp(state, failures[i].state, strlen(failures[i].state)) == 0)
            return pc_fail_named(failures[i].code, failures[i].name, "ledger %s: %s: %s", pg->name, what,
                                 text);
    return pc_fail(PC_EFAIL, "ledger %s: %s: %s", pg->name, what, text);
}

/* One parameter in the server's binary form. */
struct parameter {
    Oid type;
    const char *value;
    int length;
    union {
        int64_t number;
        unsigned char octets[64];
    } room;
};

static int bind_hex(const char *hex, struct parameter *p)
{
    size_t len = 0;
    if (!hex || !*hex)
        return 0;
    if (strlen(hex) > 2 * sizeof p->room.octets ||
        pc_unhex(hex, p->room.octets, sizeof p->room.octets, &len) < 0)
        return pc_fail(PC_EFAIL, "ledger: '%.80s' is no row of octets", hex);
    p->value = (const char *)p->room.octets;
    p->length = (int)len;
    return 0;
}

static int bind(char kind, const void *value, struct parameter *p)
{
    static const Oid types[128] = {
        ['i'] = TYPE_BIGINT, ['o'] = TYPE_BIGINT, ['t'] = TYPE_TEXT, ['h'] = TYPE_BYTEA, ['b'] = TYPE_BYTEA};
    const struct pc_bytes *bytes = value;
    *p = (struct parameter){.type = types[(unsigned char)kind & 127]};
    switch (kind) {
    case 'i':
    case 'o':
        if (kind == 'o' && *(const int64_t *)value == 0)
            return 0;
        p->room.number = (int64_t)htobe64((uint64_t) * (const int64_t *)value);
        p->value = (const char *)&p->room.number;
        p->length = sizeof p->room.number;
        return 0;
    case 't':
        p->value = value;
        p->length = value ? (int)strlen(value) : 0;
        return 0;
    case 'h':
        return bind_hex(value, p);
    case 'b':
        if (bytes && bytes->len) {
            p->value = (const char *)bytes->data;
            p->length = (int)bytes->len;
        }
        return 0;
    default:
        p->type = TYPE_TEXT; /* not used in the text */
        return 0;
    }
}

void pg_forget(struct pg *pg)
{
    for (size_t i = 0; i < pg->prepared_count; i++)
        free(pg->prepared[i]);
    pg->prepared_count = 0;
}

/* The name of the prepared statement of that text; "" where no more are kept. */
static int name_of(struct pg *pg, const char *sql, const Oid *types, size_t count, char ret[24])
{
    size_t i = 0;
    while (i < pg->prepared_count && strcmp(pg->prepared[i], sql) != 0)
        i++;
    snprintf(ret, 24, "s%zu", i);
    if (i < pg->prepared_count)
        return 0;
    if (i == PG_STATEMENTS) {
        *ret = '\0';
        return 0;
    }
    char *text = strdup(sql);
    if (!text)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = pg_settle(pg);
    PGresult *result PC_CLEANUP(pg_done) =
        r == 0 ? PQprepare(pg->connection, ret, sql, (int)count, types) : NULL;
    if (r < 0) {
        free(text);
        return r;
    }
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        free(text);
        return pg_fail(pg, "preparing", result);
    }
    pg->prepared[pg->prepared_count++] = text;
    return 0;
}

/* Sends it; `ret` NULL is a change of one row that is only looked after later. */
static int send(struct pg *pg, const char *what, PGresult **ret, const char *sql, const char *kinds,
                const void *const *values, size_t count)
{
    struct parameter p[PG_PARAMETERS];
    Oid types[PG_PARAMETERS];
    const char *bound[PG_PARAMETERS];
    int lengths[PG_PARAMETERS], formats[PG_PARAMETERS];
    char name[24];
    if (count > PG_PARAMETERS)
        return pc_fail(PC_EFAIL, "ledger: more than %d parameters", PG_PARAMETERS);
    for (size_t i = 0; i < count; i++) {
        int r = bind(kinds[i], values[i], &p[i]);
        if (r < 0)
            return r;
        types[i] = p[i].type;
        bound[i] = p[i].value;
        lengths[i] = p[i].length;
        formats[i] = 1;
    }
    int r = name_of(pg, sql, types, count, name);
    return r < 0 ? r
                 : pg_enqueue(pg, what, ret,
                              &(struct pg_statement){.sql = sql,
                                                     .name = name,
                                                     .types = types,
                                                     .values = bound,
                                                     .lengths = lengths,
                                                     .formats = formats,
                                                     .count = (int)count});
}

int pg_query_with(struct pg *pg, const char *what, PGresult **ret, const char *sql, const char *kinds,
                  const void *const *values, size_t count)
{
    PGresult *result PC_CLEANUP(pg_done) = NULL;
    int r = send(pg, what, &result, sql, kinds, values, count);
    int settled = pg_settle(pg);
    if (r == 0)
        r = settled;
    if (r == 0)
        *ret = pc_steal(result);
    return r;
}

/* The values of a format, in `ret_values`; numbers are kept in `numbers`. */
static size_t take_values(const char *format, va_list args, int64_t numbers[PG_PARAMETERS],
                          const void *ret_values[PG_PARAMETERS])
{
    size_t count = strlen(format);
    for (size_t i = 0; i < count && i < PG_PARAMETERS; i++) {
        bool number = format[i] == 'i' || format[i] == 'o';
        if (number)
            numbers[i] = va_arg(args, int64_t);
        ret_values[i] = number ? &numbers[i] : va_arg(args, const void *);
    }
    return count;
}

static int query(struct pg *pg, const char *what, PGresult **ret, const char *sql, const char *format,
                 va_list args)
{
    int64_t numbers[PG_PARAMETERS];
    const void *values[PG_PARAMETERS];
    size_t count = take_values(format, args, numbers, values);
    return pg_query_with(pg, what, ret, sql, format, values, count);
}

int pg_ask(struct pg *pg, const char *what, PGresult **ret, const char *sql, const char *format, ...)
{
    int64_t numbers[PG_PARAMETERS];
    const void *values[PG_PARAMETERS];
    va_list args;
    va_start(args, format);
    size_t count = take_values(format, args, numbers, values);
    va_end(args);
    return send(pg, what, ret, sql, format, values, count);
}

int pg_query(struct pg *pg, const char *what, PGresult **ret, const char *sql, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int r = query(pg, what, ret, sql, format, args);
    va_end(args);
    return r;
}

int pg_run(struct pg *pg, const char *what, const char *sql, const char *format, ...)
{
    PGresult *result PC_CLEANUP(pg_done) = NULL;
    va_list args;
    va_start(args, format);
    int r = query(pg, what, &result, sql, format, args);
    va_end(args);
    return r;
}

static int change(struct pg *pg, const char *what, const char *sql, const char *format, va_list args)
{
    PGresult *result PC_CLEANUP(pg_done) = NULL;
    int r = pg_writing(pg);
    if (r == 0)
        r = query(pg, what, &result, sql, format, args);
    if (r < 0)
        return r;
    if (strcmp(PQcmdTuples(result), "1") != 0)
        return pc_fail(PC_EFAIL, "ledger %s: %s: the row is not in the state that this needs", pg->name,
                       what);
    return 0;
}

int pg_change(struct pg *pg, const char *what, const char *sql, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int r = change(pg, what, sql, format, args);
    va_end(args);
    return r;
}

int pg_later(struct pg *pg, const char *what, const char *sql, const char *format, ...)
{
    int64_t numbers[PG_PARAMETERS];
    const void *values[PG_PARAMETERS];
    va_list args;
    int r;
    va_start(args, format);
    if (pg->deferring) {
        size_t count = take_values(format, args, numbers, values);
        r = send(pg, what, NULL, sql, format, values, count);
    } else {
        r = change(pg, what, sql, format, args);
    }
    va_end(args);
    return r;
}

int pg_insert(struct pg *pg, const char *what, int64_t *ret_id, const char *sql, const char *format, ...)
{
    PGresult *result PC_CLEANUP(pg_done) = NULL;
    va_list args;
    int r = pg_writing(pg);
    if (r < 0)
        return r;
    va_start(args, format);
    r = query(pg, what, &result, sql, format, args);
    va_end(args);
    if (r < 0)
        return r;
    if (PQntuples(result) != 1)
        return pc_fail_named(PC_EUNREACH, "ledger-conflict", "ledger %s: %s: another was first", pg->name,
                             what);
    *ret_id = pg_number(result, 0, 0);
    return 0;
}

int pg_script(struct pg *pg, const char *what, const char *sql)
{
    int r = pg_settle(pg);
    if (r < 0)
        return r;
    PGresult *result PC_CLEANUP(pg_done) = PQexec(pg->connection, sql);
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : pg_fail(pg, what, result);
}

bool pg_null(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) != 0;
}

int64_t pg_number(const PGresult *result, int row, int column)
{
    uint64_t number;
    if (PQgetlength(result, row, column) != sizeof number)
        return 0;
    memcpy(&number, PQgetvalue(result, row, column), sizeof number);
    return (int64_t)be64toh(number);
}

bool pg_flag(const PGresult *result, int row, int column)
{
    return PQgetlength(result, row, column) == 1 && *PQgetvalue(result, row, column) != 0;
}

void pg_text(const PGresult *result, int row, int column, char *ret, size_t size)
{
    snprintf(ret, size, "%s", PQgetvalue(result, row, column));
}

void pg_hex(const PGresult *result, int row, int column, char *ret, size_t size)
{
    size_t len = (size_t)PQgetlength(result, row, column);
    ret[0] = '\0';
    if (len && 2 * len < size)
        pc_hex((const unsigned char *)PQgetvalue(result, row, column), len, ret);
}

int pg_blob(const PGresult *result, int row, int column, struct pc_bytes *ret)
{
    size_t len = (size_t)PQgetlength(result, row, column);
    *ret = (struct pc_bytes){0};
    return len ? pc_bytes_copy(PQgetvalue(result, row, column), len, ret) : 0;
}

int pg_writing(const struct pg *pg)
{
    return pg->writing ? 0 : pc_fail(PC_EFAIL, "ledger: written outside a transaction");
}
