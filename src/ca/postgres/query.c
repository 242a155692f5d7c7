/* Finding certificates on record, and counting them. Reads only. */
#include "src/ca/postgres/schema.h"

#include <stdio.h>
#include <stdlib.h>
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
    "SELECT id FROM certificate WHERE " condition " AND " PG_CURRENT                                         \
    " UNION ALL SELECT id FROM certificate WHERE " condition " AND " PG_UNFINISHED                           \
    " UNION ALL SELECT id FROM certificate WHERE " condition " AND " PG_PAST

static int read_row(const PGresult *s, int i, int64_t now, struct ledger_certificate *ret)
{
    struct ledger_certificate row = {
        .id = pg_number(s, i, 0),
        .issuer = pg_number(s, i, 1),
        .predecessor = pg_number(s, i, 2),
        .owner = pg_number(s, i, 3),
        .listed_from = pg_number(s, i, 4),
        .unlisted_from = pg_number(s, i, 20),
        .condemned = pg_flag(s, i, 17),
    };
    struct ca_record *c = &row.record;
    pg_text(s, i, 5, c->state, sizeof c->state);
    int r = ledger_state_parse(c->state, &row.state);
    if (r < 0)
        return r;
    pg_hex(s, i, 6, c->serial, sizeof c->serial);
    pg_text(s, i, 7, c->profile, sizeof c->profile);
    pg_text(s, i, 8, c->cn, sizeof c->cn);
    pg_hex(s, i, 9, c->key_sha256, sizeof c->key_sha256);
    pg_hex(s, i, 10, c->certificate_sha256, sizeof c->certificate_sha256);
    c->not_before = pg_number(s, i, 11);
    c->not_after = pg_number(s, i, 12);
    c->issued_at = pg_number(s, i, 13);
    c->revoked_at = pg_number(s, i, 14);
    c->revoke_after = pg_number(s, i, 15);
    c->reason = pg_null(s, i, 16) ? -1 : (int)pg_number(s, i, 16);
    pg_text(s, i, 18, c->origin, sizeof c->origin);
    c->invalid_since = pg_number(s, i, 19);
    c->expired = c->not_after < now;
    *ret = row;
    return 0;
}

static int tell_rows(const PGresult *s, ledger_row *row, void *context, int64_t *ret_last)
{
    int64_t now = pc_now();
    for (int i = 0; i < PQntuples(s); i++) {
        struct ledger_certificate found;
        int r = read_row(s, i, now, &found);
        *ret_last = found.id;
        if (r == 0)
            r = row(context, &found);
        if (r != 0)
            return r;
    }
    return 0;
}

/* One condition of a query: its SQL, in which $N is its own parameter, and the value bound to it. */
struct condition {
    bool given;
    const char *sql;
    char kind;
    const void *value;
};
enum { CONDITIONS = 12 };

/* Every page of a list is the same text, so that it is prepared once. */
static void conditions_of(const struct ledger_query *q, struct condition ret[CONDITIONS])
{
    const struct condition all[CONDITIONS] = {
        {q->id != 0, "id = $1", 'i', &q->id},
        {q->after != 0, q->newest_first ? "id < $2" : "id > $2", 'i', &q->after},
        {q->issuer != 0, "issuer = $3", 'i', &q->issuer},
        /* The serial's index starts with the issuer: a serial alone asks every issuer. */
        {q->serial != NULL,
         "id IN (SELECT c.id FROM issuer i JOIN certificate c ON c.issuer = i.id AND c.serial = $4)", 'h',
         q->serial},
        {q->subject != NULL, "id IN (" OF_SUBJECT("subject = $5") ")", 't', q->subject},
        {q->profile != NULL, "profile = $6", 't', q->profile},
        {q->key_sha256 != NULL, "key = (SELECT id FROM key WHERE sha256 = $7)", 'h', q->key_sha256},
        {q->ends_after != 0, "not_after >= $8", 'i', &q->ends_after},
        {q->ends_before != 0, "not_after < $9", 'i', &q->ends_before},
        {q->overlap_over != 0, "state = 'superseded' AND revoke_after <= $10", 'i', &q->overlap_over},
        {true, NULL, 'i', &q->limit},
        {q->profile_not != NULL, "profile <> $12", 't', q->profile_not},
    };
    memcpy(ret, all, sizeof all);
}

static void append_states(FILE *out, unsigned states)
{
    const char *before = " AND state IN (";
    for (unsigned i = 0; i < LEDGER_STATES; i++)
        if (states & LEDGER_BIT(i)) {
            fprintf(out, "%s'%s'", before, ledger_state_name((enum ledger_state)i));
            before = ", ";
        }
    fputc(')', out);
    /* In the words of an index that knows these rows alone. */
    if ((states & ~LEDGER_UNFINISHED) == 0)
        fputs(" AND " PG_UNFINISHED, out);
    else if ((states & (LEDGER_UNFINISHED | LEDGER_BIT(LEDGER_CURRENT))) == 0)
        fputs(" AND " PG_FINISHED, out);
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
        append_states(out, q->states);
    fputs(q->newest_first ? " ORDER BY id DESC LIMIT $11" : " ORDER BY id LIMIT $11", out);
    if (fclose(out) != 0) {
        free(text);
        return pc_fail(PC_EFAIL, "out of memory");
    }
    *ret = text;
    return 0;
}

static int find_page(struct pg *pg, const struct ledger_query *query, PGresult **ret)
{
    struct condition conditions[CONDITIONS];
    const void *values[CONDITIONS];
    char kinds[CONDITIONS];
    pc_autofree char *text = NULL;
    conditions_of(query, conditions);
    int r = query_text(query, conditions, &text);
    for (int i = 0; i < CONDITIONS; i++) {
        values[i] = conditions[i].value;
        kinds[i] = conditions[i].given ? conditions[i].kind : 0;
    }
    return r < 0 ? r : pg_query_with(pg, "searching", ret, text, kinds, values, CONDITIONS);
}

/* Page by page: there may be a million, and `row` may ask in between. */
int pg_find(struct ledger *ledger, const struct ledger_query *query, ledger_row *row, void *context)
{
    struct ledger_query page = *query;
    int64_t left = query->limit > 0 ? query->limit : INT64_MAX;
    int r = 0;
    for (bool more = true; r == 0 && more && left > 0;) {
        PGresult *found PC_CLEANUP(pg_done) = NULL;
        page.limit = left < PG_PAGE ? left : PG_PAGE;
        r = find_page((struct pg *)ledger, &page, &found);
        if (r == 0)
            r = tell_rows(found, row, context, &page.after);
        more = found && PQntuples(found) == page.limit;
        left -= page.limit;
    }
    return r;
}

#define FACTS(condition) "SELECT " COLUMNS " FROM certificate WHERE " condition
#define OF_PLANT "subject = $1 AND profile = $2 AND "

int pg_facts(struct ledger *ledger, const char *subject, const char *profile, const char *key_sha256,
             ledger_row *row, void *context)
{
    static const char text[] =
        FACTS(OF_PLANT PG_CURRENT) " UNION ALL " FACTS(OF_PLANT PG_UNFINISHED) " UNION ALL " FACTS(
            OF_PLANT PG_PAST) " UNION ALL " FACTS("key = (SELECT id FROM key WHERE sha256 = $3)"
                                                  " AND NOT (subject = $1 AND profile = $2)");
    struct pg *pg = (struct pg *)ledger;
    struct pg_claim PC_CLEANUP(pg_claim_done) claim = {.taken = NULL};
    PGresult *found PC_CLEANUP(pg_done) = NULL, *owner PC_CLEANUP(pg_done) = NULL;
    int64_t last;
    int r = pg->shared ? pg_claim_ask(pg, subject, profile, key_sha256, &claim) : 0;
    if (r == 0)
        r = pg_ask(pg, "searching", &found, text, "tth", subject, profile, key_sha256);
    if (r == 0)
        r = pg_ask(pg, "looking for a key", &owner, PG_KEY_SUBJECT, "h", key_sha256);
    int settled = pg_settle(pg);
    if (r == 0)
        r = settled;
    if (r == 0 && pg->shared)
        r = pg_claim_told(&claim);
    if (r < 0)
        return r;
    if (pg->shared) { /* nobody else can give that key away now */
        snprintf(pg->key, sizeof pg->key, "%s", key_sha256);
        snprintf(pg->key_subject, sizeof pg->key_subject, "%s",
                 PQntuples(owner) > 0 ? PQgetvalue(owner, 0, 0) : "");
    }
    return tell_rows(found, row, context, &last);
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
    " UNION ALL " OF_OURSELVES(PG_CURRENT) " UNION ALL " OF_OURSELVES(PG_PAST) ") "
/* Certificates in one state, told by an index alone. */
#define COUNT(condition)                                                                                     \
    "(SELECT count(*) FROM certificate WHERE " condition " AND " PG_FINISHED ")"                             \
    " - (SELECT count(*) FROM own WHERE " condition ")"
#define COUNT_VALID(state) COUNT("state = '" state "' AND not_after >= $1")
#define VALID COUNT_VALID("current") " + " COUNT_VALID("superseded") " + " COUNT_VALID("foreign")
#define EXPIRING COUNT("state = 'current' AND not_after BETWEEN $1 AND $2")
#define PAST COUNT("state = 'superseded'") ", " COUNT("state = 'held'") ", " COUNT("state = 'revoked'")
#define UNFINISHED "(SELECT count(*) FROM certificate WHERE " PG_UNFINISHED ")"
#define ADMISSIONS "(SELECT count(*) FROM admission WHERE state = 'open' AND expires_at > $1)"
#define WAITING                                                                                              \
    "(SELECT count(*) FROM admission a JOIN waiting w ON w.admission = a.id"                                 \
    " WHERE a.state = 'open' AND a.expires_at > $1 AND a.key IS NULL AND w.state = 'waiting')"
#define AUDIT_ROWS                                                                                           \
    "(SELECT coalesce(sum((SELECT max(seq) FROM audit WHERE audit.chain = chain.id)), 0)::bigint FROM "      \
    "chain)"

int pg_count(struct ledger *ledger, int64_t now, int64_t renew_window, struct ledger_counts *ret)
{
    static const char text[] =
        "WITH " OWN
        "SELECT " COUNT("state = 'current'") ", " VALID ", " EXPIRING ", " PAST
                                             ", " COUNT("state = 'foreign'") ", " UNFINISHED ", " AUDIT_ROWS
                                                                             ", " ADMISSIONS ", " WAITING;
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query((struct pg *)ledger, "counting", &found, text, "ii", now, now + renew_window);
    if (r < 0)
        return r;
    size_t *const fields[] = {&ret->current, &ret->valid,      &ret->expiring, &ret->superseded,
                              &ret->held,    &ret->revoked,    &ret->foreign,  &ret->unfinished,
                              &ret->audit,   &ret->admissions, &ret->waiting};
    for (int i = 0; i < (int)(sizeof fields / sizeof *fields); i++)
        *fields[i] = (size_t)pg_number(found, 0, i);
    return 0;
}
