/* Finding certificates on record, and counting them. Reads only. */
#include "src/ca/sqlite/sqlite.h"

#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"

#define COLUMNS                                                                                              \
    "id, issuer, predecessor, owner, listed_from, state, serial, profile, subject, key, sha256, "            \
    "not_before, "                                                                                           \
    "not_after, coalesce(issued_at, reserved_at), revoked_at, revoke_after, reason, condemned"

static int read_row(sqlite3_stmt *s, int64_t now, struct ledger_certificate *ret)
{
    struct ledger_certificate row = {
        .id = sqlite3_column_int64(s, 0),
        .issuer = sqlite3_column_int64(s, 1),
        .predecessor = sqlite3_column_int64(s, 2),
        .owner = sqlite3_column_int64(s, 3),
        .listed_from = sqlite3_column_int64(s, 4),
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
    c->expired = c->not_after < now;
    *ret = row;
    return 0;
}

/* One condition of a query: its SQL, and the value bound to it. */
struct condition {
    bool given;
    const char *sql;
    char kind;
    const void *value;
};
enum { CONDITIONS = 8 };

static void conditions_of(const struct ledger_query *q, struct condition ret[CONDITIONS])
{
    const struct condition all[CONDITIONS] = {
        {q->id != 0, "id = ?", 'i', &q->id},
        {q->issuer != 0, "issuer = ?", 'i', &q->issuer},
        {q->subject != NULL, "subject = ?", 't', q->subject},
        {q->profile != NULL, "profile = ?", 't', q->profile},
        {q->key_sha256 != NULL, "key = ?", 'h', q->key_sha256},
        {q->ends_after != 0, "not_after >= ?", 'i', &q->ends_after},
        {q->ends_before != 0, "not_after < ?", 'i', &q->ends_before},
        {q->overlap_over != 0, "state = 'superseded' AND revoke_after <= ?", 'i', &q->overlap_over},
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
        if (conditions[i].given)
            fprintf(out, " AND %s", conditions[i].sql);
    /* The serial is searched through its own index, which starts with the issuer: a serial alone asks every
     * issuer. */
    if (q->serial)
        fputs(" AND issuer IN (SELECT id FROM issuer) AND serial = ?", out);
    if (q->states)
        append_states(out, q->states);
    fputs(q->newest_first ? " ORDER BY id DESC" : " ORDER BY id", out);
    if (fclose(out) != 0) {
        free(text);
        return pc_fail(PC_EFAIL, "out of memory");
    }
    *ret = text;
    return 0;
}

static void finalize(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}

int db_find(struct ledger *ledger, const struct ledger_query *query, ledger_row *row, void *context)
{
    struct db *db = (struct db *)ledger;
    struct condition conditions[CONDITIONS];
    conditions_of(query, conditions);
    pc_autofree char *text = NULL;
    int r = query_text(query, conditions, &text);
    if (r < 0)
        return r;
    sqlite3_stmt *s PC_CLEANUP(finalize) = NULL;
    if (sqlite3_prepare_v2(db->handle, text, -1, &s, NULL) != SQLITE_OK)
        return db_fail(db, "searching");
    int column = 1;
    for (size_t i = 0; r == 0 && i < CONDITIONS; i++)
        if (conditions[i].given)
            r = db_bind(db, s, column++, conditions[i].kind, conditions[i].value);
    if (r == 0 && query->serial)
        r = db_bind(db, s, column, 'h', query->serial);
    if (r < 0)
        return r;
    int64_t now = pc_now();
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

int db_count(struct ledger *ledger, int64_t now, int64_t renew_window, struct ledger_counts *ret)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r =
        db_prepare(db,
                   "SELECT count(*) FILTER (WHERE state = 'current'),"
                   " count(*) FILTER (WHERE state IN ('current', 'superseded') AND not_after >= ?1),"
                   " count(*) FILTER (WHERE state = 'current' AND not_after BETWEEN ?1 AND ?2),"
                   " count(*) FILTER (WHERE state = 'superseded'), count(*) FILTER (WHERE state = 'held'),"
                   " count(*) FILTER (WHERE state = 'revoked'),"
                   " count(*) FILTER (WHERE state IN ('reserved', 'signing')),"
                   " (SELECT count(*) FROM audit)"
                   " FROM certificate WHERE profile <> 'root'",
                   &s, "ii", now, now + renew_window);
    if (r == 0)
        r = db_step(db, s);
    if (r <= 0)
        return r < 0 ? r : pc_fail(PC_EFAIL, "ledger %s: nothing to count", db->path);
    size_t *const fields[] = {&ret->current, &ret->valid,   &ret->expiring,   &ret->superseded,
                              &ret->held,    &ret->revoked, &ret->unfinished, &ret->audit};
    for (int i = 0; i < (int)(sizeof fields / sizeof *fields); i++)
        *fields[i] = (size_t)sqlite3_column_int64(s, i);
    return 0;
}
