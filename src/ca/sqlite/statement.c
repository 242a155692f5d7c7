/* Statements: prepared once, bound by a format, stepped, and SQLite's errors translated. No SQL of our own
 * here. */
#include "src/ca/sqlite/sqlite.h"

#include <stdarg.h>
#include <string.h>

#include "src/base/error.h"

/* What operators can do something about has a name of its own. */
static const struct {
    int primary, code;
    const char *name;
} failures[] = {
    {SQLITE_BUSY, PC_EUNREACH, "ledger-busy"},
    {SQLITE_LOCKED, PC_EUNREACH, "ledger-busy"},
    {SQLITE_CANTOPEN, PC_EUNREACH, "ledger-away"},
    {SQLITE_PROTOCOL, PC_EUNREACH, "ledger-away"},
    {SQLITE_NOTADB, PC_EUNREACH, "ledger-damaged"},
    {SQLITE_CORRUPT, PC_EUNREACH, "ledger-damaged"},
    {SQLITE_READONLY, PC_EUNREACH, "ledger-readonly"},
    {SQLITE_FULL, PC_EFAIL, "ledger-full"},
    {SQLITE_IOERR, PC_EFAIL, "ledger-io"},
    {SQLITE_CONSTRAINT, PC_EFAIL, "ledger-rule"},
};

int db_fail(struct db *db, const char *what)
{
    int code = sqlite3_errcode(db->handle) & 0xff;
    const char *text = sqlite3_errmsg(db->handle);
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++)
        if (code == failures[i].primary)
            return pc_fail_named(failures[i].code, failures[i].name, "ledger %s: %s: %s", db->path, what,
                                 text);
    return pc_fail(PC_EFAIL, "ledger %s: %s: %s", db->path, what, text);
}

void db_done(sqlite3_stmt *statement)
{
    if (statement) {
        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement);
    }
}

int db_borrow(struct db *db, const char *sql, struct db_loan *ret)
{
    struct db_search *oldest = &db->searches[0], *slot = NULL;
    for (size_t i = 0; i < DB_SEARCHES && !slot; i++) {
        struct db_search *search = &db->searches[i];
        if (search->statement && !search->lent && strcmp(sqlite3_sql(search->statement), sql) == 0)
            slot = search;
        else if (!search->lent && (oldest->lent || search->used < oldest->used))
            oldest = search;
    }
    if (slot) {
        ret->statement = slot->statement;
    } else {
        if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &ret->statement, NULL) !=
            SQLITE_OK)
            return db_fail(db, "searching");
        if (oldest->lent)
            return 0; /* searches within searches: this one is not kept */
        sqlite3_finalize(oldest->statement);
        slot = oldest;
        slot->statement = ret->statement;
    }
    slot->lent = true;
    slot->used = ++db->searched;
    ret->slot = slot;
    return 0;
}

void db_return(struct db_loan *loan)
{
    if (!loan->slot) {
        sqlite3_finalize(loan->statement);
        return;
    }
    db_done(loan->statement);
    loan->slot->lent = false;
}

/* The kept statement of that text, made at its first use. */
static int statement_of(struct db *db, const char *sql, sqlite3_stmt **ret)
{
    size_t i = 0;
    while (i < DB_STATEMENTS && db->kept[i].sql && db->kept[i].sql != sql)
        i++;
    if (i == DB_STATEMENTS)
        return pc_fail(PC_EFAIL, "ledger: more than %d statements", DB_STATEMENTS);
    if (!db->kept[i].sql) {
        if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &db->kept[i].statement,
                               NULL) != SQLITE_OK)
            return db_fail(db, "preparing");
        db->kept[i].sql = sql;
    }
    *ret = db->kept[i].statement;
    return 0;
}

static int bind_hex(sqlite3_stmt *statement, int column, const char *hex)
{
    unsigned char octets[64];
    size_t len = 0;
    if (!hex || !*hex)
        return sqlite3_bind_null(statement, column);
    if (strlen(hex) > 2 * sizeof octets || pc_unhex(hex, octets, sizeof octets, &len) < 0)
        return SQLITE_MISMATCH;
    return sqlite3_bind_blob(statement, column, octets, (int)len, SQLITE_TRANSIENT);
}

int db_bind(struct db *db, sqlite3_stmt *statement, int column, char kind, const void *value)
{
    int rc = SQLITE_MISUSE;
    const struct pc_bytes *bytes = value;
    switch (kind) {
    case 'i':
        rc = sqlite3_bind_int64(statement, column, *(const int64_t *)value);
        break;
    case 'o':
        rc = *(const int64_t *)value ? sqlite3_bind_int64(statement, column, *(const int64_t *)value)
                                     : sqlite3_bind_null(statement, column);
        break;
    case 't':
        rc = sqlite3_bind_text(statement, column, value, -1, SQLITE_TRANSIENT);
        break;
    case 'h':
        rc = bind_hex(statement, column, value);
        break;
    case 'b':
        rc = bytes && bytes->len
                 ? sqlite3_bind_blob64(statement, column, bytes->data, bytes->len, SQLITE_TRANSIENT)
                 : sqlite3_bind_null(statement, column);
        break;
    default:
        break;
    }
    if (rc != SQLITE_OK)
        return pc_fail(PC_EFAIL, "ledger %s: parameter %d: %s", db->path, column, sqlite3_errstr(rc));
    return 0;
}

static int bind_all(struct db *db, sqlite3_stmt *statement, const char *format, va_list values)
{
    int r = 0;
    for (int i = 0; r == 0 && format[i]; i++) {
        if (format[i] == 'i' || format[i] == 'o') {
            int64_t number = va_arg(values, int64_t);
            r = db_bind(db, statement, i + 1, format[i], &number);
        } else {
            r = db_bind(db, statement, i + 1, format[i], va_arg(values, const void *));
        }
    }
    return r;
}

static int prepare(struct db *db, const char *sql, sqlite3_stmt **ret, const char *format, va_list values)
{
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = statement_of(db, sql, &s);
    if (r < 0)
        return r;
    r = bind_all(db, s, format, values);
    if (r < 0)
        return r;
    *ret = pc_steal(s);
    return 0;
}

int db_prepare(struct db *db, const char *sql, sqlite3_stmt **ret, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int r = prepare(db, sql, ret, format, values);
    va_end(values);
    return r;
}

int db_step(struct db *db, sqlite3_stmt *statement)
{
    switch (sqlite3_step(statement)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        return db_fail(db, "reading or writing");
    }
}

static int run(struct db *db, const char *sql, const char *format, va_list values)
{
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = prepare(db, sql, &s, format, values);
    while (r == 0 && (r = db_step(db, s)) > 0)
        r = 0;
    return r;
}

int db_run(struct db *db, const char *sql, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int r = run(db, sql, format, values);
    va_end(values);
    return r;
}

int db_change(struct db *db, const char *what, const char *sql, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int r = run(db, sql, format, values);
    va_end(values);
    if (r < 0)
        return r;
    if (sqlite3_changes(db->handle) != 1)
        return pc_fail(PC_EFAIL, "ledger %s: %s: the row is not in the state that this needs", db->path,
                       what);
    return 0;
}

void db_text(sqlite3_stmt *statement, int column, char *ret, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    size_t len = text ? strnlen(text, size - 1) : 0;
    if (len)
        memcpy(ret, text, len);
    ret[len] = '\0';
}

void db_hex(sqlite3_stmt *statement, int column, char *ret, size_t size)
{
    const void *data = sqlite3_column_blob(statement, column);
    size_t len = (size_t)sqlite3_column_bytes(statement, column);
    ret[0] = '\0';
    if (data && 2 * len < size)
        pc_hex(data, len, ret);
}

int db_blob(sqlite3_stmt *statement, int column, struct pc_bytes *ret)
{
    const void *data = sqlite3_column_blob(statement, column);
    size_t len = (size_t)sqlite3_column_bytes(statement, column);
    *ret = (struct pc_bytes){0};
    return data && len ? pc_bytes_copy(data, len, ret) : 0;
}

int db_writing(struct db *db)
{
    if (!db->writing)
        return pc_fail(PC_EFAIL, "ledger: written outside a transaction");
    /* SQLite rolls back by itself when a disk is full: what came next would be committed on its own. */
    if (sqlite3_get_autocommit(db->handle))
        return pc_fail(PC_EFAIL, "ledger %s: the transaction was rolled back", db->path);
    return 0;
}
