/* Issuers on record, and our other keys in the token: each is written down before it is made. */
#include "src/ca/postgres/postgres.h"

#include <string.h>

#include "src/base/error.h"

static int read_key_id(const struct pg *pg, const PGresult *s, int row, int column, struct hsm_id *ret)
{
    size_t len = (size_t)PQgetlength(s, row, column);
    if (len == 0 || len > sizeof ret->octets)
        return pc_fail(PC_EFAIL, "ledger %s: damaged key id", pg->name);
    memcpy(ret->octets, PQgetvalue(s, row, column), len);
    ret->len = len;
    return 0;
}

int pg_issuer_plan(struct ledger *ledger, const struct ledger_issuer *plan, int64_t *ret_id)
{
    pc_autobytes key_id = {0};
    int r = pc_bytes_copy(plan->key_id.octets, plan->key_id.len, &key_id);
    return r < 0 ? r
                 : pg_insert((struct pg *)ledger, "planning", ret_id,
                             "INSERT INTO issuer (state, subject, key_type, key_label, key_id, token_serial,"
                             " days, planned_at) VALUES ('planned', $1, $2, $3, $4, $5, $6, $7) RETURNING id",
                             "tttbtii", plan->subject, plan->key_type, plan->key_label, &key_id,
                             plan->token_serial, plan->days, plan->planned_at);
}

int pg_issuer_replan(struct ledger *ledger, const struct ledger_issuer *plan)
{
    return pg_change((struct pg *)ledger, "planning",
                     "UPDATE issuer SET subject = $1, key_type = $2, days = $3"
                     " WHERE id = $4 AND state = 'planned'",
                     "ttii", plan->subject, plan->key_type, plan->days, plan->id);
}

int pg_issuer_activate(struct ledger *ledger, int64_t id, int64_t certificate)
{
    return pg_change(
        (struct pg *)ledger, "activating",
        "UPDATE issuer SET state = 'active', certificate = $1 WHERE id = $2 AND state = 'planned'", "ii",
        certificate, id);
}

int pg_issuer_import(struct ledger *ledger, const struct ledger_issuer *issuer, int64_t *ret_id)
{
    return pg_insert(
        (struct pg *)ledger, "importing", ret_id,
        "INSERT INTO issuer (state, subject, planned_at) VALUES ('foreign', $1, $2) RETURNING id", "ti",
        issuer->subject, issuer->planned_at);
}

int pg_issuer_certificate(struct ledger *ledger, int64_t id, int64_t certificate)
{
    return pg_change((struct pg *)ledger, "importing",
                     "UPDATE issuer SET certificate = $1 WHERE id = $2 AND state = 'foreign'", "ii",
                     certificate, id);
}

#define ISSUER_COLUMNS                                                                                       \
    "id, state, subject, key_type, key_label, token_serial, key_id, days, planned_at, certificate"

static int read_issuer(const struct pg *pg, const PGresult *s, int row, struct ledger_issuer *ret)
{
    struct ledger_issuer issuer = {
        .id = pg_number(s, row, 0),
        .days = pg_number(s, row, 7),
        .planned_at = pg_number(s, row, 8),
        .certificate = pg_number(s, row, 9),
    };
    char state[16];
    pg_text(s, row, 1, state, sizeof state);
    issuer.active = strcmp(state, "active") == 0;
    issuer.foreign = strcmp(state, "foreign") == 0;
    pg_text(s, row, 2, issuer.subject, sizeof issuer.subject);
    pg_text(s, row, 3, issuer.key_type, sizeof issuer.key_type);
    pg_text(s, row, 4, issuer.key_label, sizeof issuer.key_label);
    pg_text(s, row, 5, issuer.token_serial, sizeof issuer.token_serial);
    int r = issuer.foreign ? 0 : read_key_id(pg, s, row, 6, &issuer.key_id);
    if (r == 0)
        *ret = issuer;
    return r;
}

int pg_issuer_get(struct ledger *ledger, struct ledger_issuer *ret)
{
    struct pg *pg = (struct pg *)ledger;
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query(pg, "looking for the issuer", &found,
                     "SELECT " ISSUER_COLUMNS " FROM issuer WHERE state <> 'foreign'"
                     " ORDER BY state = 'planned' LIMIT 1",
                     "");
    if (r < 0)
        return r;
    if (PQntuples(found) > 0)
        return read_issuer(pg, found, 0, ret);
    *ret = (struct ledger_issuer){0};
    return 0;
}

int pg_issuer_each(struct ledger *ledger, ledger_issuer_row *row, void *context)
{
    struct pg *pg = (struct pg *)ledger;
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query(pg, "reading issuers", &found,
                     "SELECT " ISSUER_COLUMNS " FROM issuer WHERE state <> 'planned'"
                     " ORDER BY state = 'foreign', id",
                     "");
    for (int i = 0; r == 0 && i < PQntuples(found); i++) {
        struct ledger_issuer issuer;
        r = read_issuer(pg, found, i, &issuer);
        if (r == 0)
            r = row(context, &issuer);
    }
    return r;
}

int pg_key_plan(struct ledger *ledger, const struct ledger_key *plan, int64_t *ret_id)
{
    pc_autobytes key_id = {0};
    int r = pc_bytes_copy(plan->key_id.octets, plan->key_id.len, &key_id);
    return r < 0 ? r
                 : pg_insert((struct pg *)ledger, "planning a key", ret_id,
                             "INSERT INTO token_key (role, state, key_type, label, key_id, planned_at)"
                             " VALUES ($1, 'planned', $2, $3, $4, $5) RETURNING id",
                             "tttbi", plan->role, plan->key_type, plan->label, &key_id, plan->planned_at);
}

int pg_key_activate(struct ledger *ledger, int64_t id, const char *sha256, int64_t certificate)
{
    return pg_change((struct pg *)ledger, "activating a key",
                     "UPDATE token_key SET state = 'active', sha256 = $1, certificate = $2"
                     " WHERE id = $3 AND state = 'planned'",
                     "hoi", sha256, certificate, id);
}

int pg_key_retire(struct ledger *ledger, int64_t id)
{
    return pg_change((struct pg *)ledger, "retiring a key",
                     "UPDATE token_key SET state = 'retired' WHERE id = $1 AND state <> 'retired'", "i", id);
}

static int read_key(const struct pg *pg, const PGresult *s, int row, struct ledger_key *ret)
{
    struct ledger_key key = {
        .id = pg_number(s, row, 0), .certificate = pg_number(s, row, 7), .planned_at = pg_number(s, row, 8)};
    pg_text(s, row, 1, key.role, sizeof key.role);
    pg_text(s, row, 2, key.state, sizeof key.state);
    pg_text(s, row, 3, key.key_type, sizeof key.key_type);
    pg_text(s, row, 4, key.label, sizeof key.label);
    pg_hex(s, row, 5, key.sha256, sizeof key.sha256);
    int r = read_key_id(pg, s, row, 6, &key.key_id);
    if (r == 0)
        *ret = key;
    return r;
}

int pg_key_each(struct ledger *ledger, const char *role, ledger_key_row *row, void *context)
{
    struct pg *pg = (struct pg *)ledger;
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query(pg, "reading keys", &found,
                     "SELECT id, role, state, key_type, label, sha256, key_id, certificate, planned_at"
                     " FROM token_key WHERE role = $1 OR $1 IS NULL ORDER BY id",
                     "t", role);
    for (int i = 0; r == 0 && i < PQntuples(found); i++) {
        struct ledger_key key;
        r = read_key(pg, found, i, &key);
        if (r == 0)
            r = row(context, &key);
    }
    return r;
}
