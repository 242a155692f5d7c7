/* Finding certificates on record, and counting them. Reads only. */
#include "src/ca/sqlite/schema.h"

#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"

#define COLUMNS                                                                                              \
    "id, issuer, predecessor, owner, listed_from, state, serial, profile, subject,"                          \
    " (SELECT key.sha256 FROM key WHERE key.id = certificate.key), sha256, not_before, not_after,"           \
    " coalesce(issued_at, reserved_at), revoked_at, revoke_after, reason, condemned, origin,"                \
    " invalid_since, unlisted_from"

/* A subject's rows, found through the three indexes that share them. */
#define OF_SUBJECT(condition)                                                                                \
    "SELECT id FROM certificate WHERE " condition " AND " DB_CURRENT                                         \
    " UNION ALL SELECT id FROM certificate WHERE " condition " AND " DB_UNFINISHED                           \
    " UNION ALL SELECT id FROM certificate WHERE " condition " AND " DB_PAST

static int read_row(sqlite3_stmt *s, int64_t now, struct ledger_certificate *ret)
{
    struct ledger_certificate row = {
        .id = sqlite3_column_int64(s, 0),
        .issuer = sqlite3_column_int64(s, 1),
        .predecessor = sqlite3_column_int64(s, 2),
        .owner = sqlite3_column_int64(s, 3),
        .listed_from = sqlite3_column_int64(s, 4),
        .unlisted_from = sqlite3_column_int64(s, 20),
        .condemned = sqlite3_column_int(s, 17) != 0,
    };
    struct ca_record *c = &row.record;
    db_text(s, 5, c->state, sizeof c->state);
    int r = ledger_state_parse(c->state, &row.state);
    if (r < 0)
        return r;
    db_hex(s, 6, c->serial, sizeof c->serial);
    db_text(s, 7, c->profile, sizeof c->profile);
    db_text(s, 8, c->cn, sizeof c->cn);
    db_hex(s, 9, c->key_sha256, sizeof c->key_sha256);
    db_hex(s, 10, c->certificate_sha256, sizeof c->certificate_sha256);
    c->not_before = sqlite3_column_int64(s, 11);
    c->not_after = sqlite3_column_int64(s, 12);
    c->issued_at = sqlite3_column_int64(s, 13);
    c->revoked_at = sqlite3_column_int64(s, 14);
    c->revoke_after = sqlite3_column_int64(s, 15);
    c->reason = sqlite3_column_type(s, 16) == SQLITE_NULL ? -1 : sqlite3_column_int(s, 16);
    db_text(s, 18, c->origin, sizeof c->origin);
    c->invalid_since = sqlite3_column_int64(s, 19);
    c->expired = c->not_after < now;
    *ret = row;
    return 0;
}

/* One condition of a query: its SQL, in which ?N is its own parameter, and the value bound to it. */
struct condition {
    bool given;
    const char *sql;
    char kind;
    const void *value;
};
enum { CONDITIONS = 12 };

/* Every page of a list is the same text, so that it is prepared once; a unary plus keeps an index out. */
static void conditions_of(const struct ledger_query *q, struct condition ret[CONDITIONS])
{
    const struct condition all[CONDITIONS] = {
        {q->id != 0, "id = ?1", 'i', &q->id},
        {q->after != 0, q->newest_first ? "id < ?2" : "id > ?2", 'i', &q->after},
        {q->issuer != 0, "+issuer = ?3", 'i', &q->issuer},
        /* The serial's index starts with the issuer: a serial alone asks every issuer. */
        {q->serial != NULL,
         "id IN (SELECT id FROM certificate WHERE issuer IN (SELECT id FROM issuer)"
         " AND serial = ?4)",
         'h', q->serial},
        {q->subject != NULL, "id IN (" OF_SUBJECT("subject = ?5") ")", 't', q->subject},
        {q->profile != NULL, "+profile = ?6", 't', q->profile},
        {q->key_sha256 != NULL,
         "id IN (SELECT id FROM certificate"
         " WHERE key = (SELECT id FROM key WHERE sha256 = ?7))",
         'h', q->key_sha256},
        {q->ends_after != 0, "+not_after >= ?8", 'i', &q->ends_after},
        {q->ends_before != 0, "+not_after < ?9", 'i', &q->ends_before},
        {q->overlap_over != 0,
         "id IN (SELECT id FROM certificate WHERE state = 'superseded'"
         " AND revoke_after <= ?10)",
         'i', &q->overlap_over},
        {q->limit != 0, NULL, 'i', &q->limit},
        {q->profile_not != NULL, "+profile <> ?12", 't', q->profile_not},
    };
    memcpy(ret, all, sizeof all);
}

static void append_states(FILE *out, unsigned states)
{
    const char *before = "(";
    for (unsigned i = 0; i < LEDGER_STATES; i++)
        if (states & LEDGER_BIT(i)) {
            fprintf(out, "%s'%s'", before, ledger_state_name((enum ledger_state)i));
            before = ", ";
        }
    fputc(')', out);
}

/* Few rows are unfinished or past, and an index finds them; most are current, and are met on the way. */
static void append_state(FILE *out, unsigned states)
{
    bool unfinished = (states & ~LEDGER_UNFINISHED) == 0;
    bool past = (states & (LEDGER_UNFINISHED | LEDGER_BIT(LEDGER_CURRENT))) == 0;
    fputs(unfinished || past ? " AND id IN (SELECT id FROM certificate WHERE state IN " : " AND +state IN ",
          out);
    append_states(out, states);
    if (unfinished)
        fputs(" AND " DB_UNFINISHED ")", out);
    else if (past)
        fputs(" AND " DB_FINISHED ")", out);
}

static int query_text(const struct ledger_query *q, const struct condition *conditions, char **ret)
{
    size_t len = 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return pc_fail(PC_EFAIL, "out of memory");
    fputs("SELECT " COLUMNS " FROM certificate WHERE TRUE", out);
    for (size_t i = 0; i < CONDITIONS; i++)
        if (conditions[i].given && conditions[i].sql)
            fprintf(out, " AND %s", conditions[i].sql);
    if (q->states)
        append_state(out, q->states);
    fputs(q->newest_first ? " ORDER BY id DESC" : " ORDER BY id", out);
    if (q->limit)
        fputs(" LIMIT ?11", out);
    if (fclose(out) != 0) {
        free(text);
        return pc_fail(PC_EFAIL, "out of memory");
    }
    *ret = text;
    return 0;
}

static int tell_rows(struct db *db, sqlite3_stmt *s, ledger_row *row, void *context)
{
    int64_t now = pc_now();
    int r;
    while ((r = db_step(db, s)) > 0) {
        struct ledger_certificate found;
        r = read_row(s, now, &found);
        if (r == 0)
            r = row(context, &found);
        if (r != 0)
            return r;
    }
    return r;
}

int db_find(struct ledger *ledger, const struct ledger_query *query, ledger_row *row, void *context)
{
    struct db *db = (struct db *)ledger;
    struct db_loan PC_CLEANUP(db_return) loan = {0};
    struct condition conditions[CONDITIONS];
    conditions_of(query, conditions);
    pc_autofree char *text = NULL;
    int r = query_text(query, conditions, &text);
    if (r == 0)
        r = db_borrow(db, text, &loan);
    for (int i = 0; r == 0 && i < CONDITIONS; i++)
        if (conditions[i].given)
            r = db_bind(db, loan.statement, i + 1, conditions[i].kind, conditions[i].value);
    return r < 0 ? r : tell_rows(db, loan.statement, row, context);
}

#define FACTS(condition) "SELECT " COLUMNS " FROM certificate WHERE " condition

int db_facts(struct ledger *ledger, const char *subject, const char *profile, const char *key_sha256,
             ledger_row *row, void *context)
{
    struct db *db = (struct db *)ledger;
    struct db_loan PC_CLEANUP(db_return) loan = {0};
    /* No table is made for the answer, nor is it sorted: that would cost more than all the rest of a
     * reservation. */
    static const char text[] = FACTS("subject = ?1 AND profile = ?2 AND " DB_CURRENT) " UNION ALL " FACTS(
        "subject = ?1 AND "
        "profile = ?2 "
        "AND " DB_UNFINISHED) " UNION ALL " FACTS("subject = ?1 AND profile = ?2 AND " DB_PAST) " UNION "
                                                                                                "ALL " FACTS(
                                                                                                    "key = "
                                                                                                    "(SELECT "
                                                                                                    "id FROM "
                                                                                                    "key "
                                                                                                    "WHERE "
                                                                                                    "sha256 "
                                                                                                    "= ?3)"
                                                                                                    " AND "
                                                                                                    "NOT "
                                                                                                    "(subject"
                                                                                                    " = ?1 "
                                                                                                    "AND "
                                                                                                    "profile "
                                                                                                    "= ?2)");
    int r = db_borrow(db, text, &loan);
    if (r == 0)
        r = db_bind(db, loan.statement, 1, 't', subject);
    if (r == 0)
        r = db_bind(db, loan.statement, 2, 't', profile);
    if (r == 0)
        r = db_bind(db, loan.statement, 3, 'h', key_sha256);
    return r < 0 ? r : tell_rows(db, loan.statement, row, context);
}

/* What is not of the fleet: CA certificates, and those that we issue to ourselves. Found by their subjects,
 * which no plant can have; the profile has no index. */
#define OF_OURSELVES(condition)                                                                              \
    "SELECT state, not_after FROM certificate WHERE"                                                         \
    " subject IN ('plantca-audit', 'plantca-probe', 'plantca-canary', 'plantca-station')"                    \
    " AND profile IN ('audit', 'probe', 'station')"                                                          \
    " AND " condition
#define OWN                                                                                                  \
    "own AS MATERIALIZED (SELECT c.state, c.not_after FROM issuer JOIN certificate c ON c.id = certificate"  \
    " UNION ALL " OF_OURSELVES(DB_CURRENT) " UNION ALL " OF_OURSELVES(DB_PAST) ") "
/* Certificates in one state, told by an index alone. */
#define COUNT(condition)                                                                                     \
    "(SELECT count(*) FROM certificate WHERE " condition " AND " DB_FINISHED ")"                             \
    " - (SELECT count(*) FROM own WHERE " condition ")"
#define COUNT_VALID(state) COUNT("state = '" state "' AND not_after >= ?1")
#define VALID COUNT_VALID("current") " + " COUNT_VALID("superseded") " + " COUNT_VALID("foreign")
#define EXPIRING COUNT("state = 'current' AND not_after BETWEEN ?1 AND ?2")
#define PAST COUNT("state = 'superseded'") ", " COUNT("state = 'held'") ", " COUNT("state = 'revoked'")
#define UNFINISHED "(SELECT count(*) FROM certificate WHERE " DB_UNFINISHED ")"
#define ADMISSIONS "(SELECT count(*) FROM admission WHERE state = 'open' AND expires_at > ?1)"
#define WAITING                                                                                              \
    "(SELECT count(*) FROM admission a JOIN waiting w ON w.admission = a.id"                                 \
    " WHERE a.state = 'open' AND a.expires_at > ?1 AND a.key IS NULL AND w.state = 'waiting')"
#define AUDIT_ROWS "(SELECT coalesce(sum((SELECT max(seq) FROM audit WHERE chain = name)), 0) FROM chains)"

int db_count(struct ledger *ledger, int64_t now, int64_t renew_window, struct ledger_counts *ret)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    static const char text[] = DB_CHAINS
        ", " OWN
        "SELECT " COUNT("state = 'current'") ", " VALID ", " EXPIRING ", " PAST
                                             ", " COUNT("state = 'foreign'") ", " UNFINISHED ", " AUDIT_ROWS
                                                                             ", " ADMISSIONS ", " WAITING;
    int r = db_prepare(db, text, &s, "ii", now, now + renew_window);
    if (r == 0)
        r = db_step(db, s);
    if (r <= 0)
        return r < 0 ? r : pc_fail(PC_EFAIL, "ledger %s: nothing to count", db->path);
    size_t *const fields[] = {&ret->current, &ret->valid,      &ret->expiring, &ret->superseded,
                              &ret->held,    &ret->revoked,    &ret->foreign,  &ret->unfinished,
                              &ret->audit,   &ret->admissions, &ret->waiting};
    for (int i = 0; i < (int)(sizeof fields / sizeof *fields); i++)
        *fields[i] = (size_t)sqlite3_column_int64(s, i);
    return 0;
}
