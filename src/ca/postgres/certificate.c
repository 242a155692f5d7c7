/* Certificates and keys on record: the writes, each a step of the state machine. */
#include "src/ca/postgres/postgres.h"

#include <string.h>

#include "src/base/error.h"

int pg_key_subject(struct ledger *ledger, const char *key_sha256, char ret[256])
{
    struct pg *pg = (struct pg *)ledger;
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    if (*pg->key && strcmp(pg->key, key_sha256) == 0) {
        memcpy(ret, pg->key_subject, sizeof pg->key_subject);
        return 0;
    }
    int r = pg_query(pg, "looking for a key", &found, PG_KEY_SUBJECT, "h", key_sha256);
    if (r < 0)
        return r;
    ret[0] = '\0';
    if (PQntuples(found) > 0)
        pg_text(found, 0, 0, ret, 256);
    return 0;
}

/* The row of a key; made for `subject` when it is new. */
#define KEY_ROW                                                                                              \
    "WITH made AS (INSERT INTO key (sha256, subject) VALUES ($5, $4) ON CONFLICT (sha256) DO NOTHING"        \
    " RETURNING id), known AS (SELECT id FROM made UNION ALL SELECT id FROM key WHERE sha256 = $5 LIMIT 1) "

int pg_reserve(struct ledger *ledger, const struct ledger_certificate *row, int64_t *ret_id)
{
    const struct ca_record *c = &row->record;
    int64_t self = pg_self(ledger);
    if (self == 0)
        return pc_error_code();
    ((struct pg *)ledger)->key[0] = '\0'; /* it becomes the subject's */
    return pg_insert(
        (struct pg *)ledger, "reserving", ret_id,
        KEY_ROW "INSERT INTO certificate (issuer, serial, profile, subject, key, state, owner, predecessor,"
                " not_before, not_after, reserved_at)"
                " SELECT $1, $2, $3, $4, id, 'reserved', $6, $7, $8, $9, $10 FROM known RETURNING id",
        "ihtthioiii", row->issuer, c->serial, c->profile, c->cn, c->key_sha256, self, row->predecessor,
        c->not_before, c->not_after, c->issued_at);
}

int pg_signing(struct ledger *ledger, int64_t id, const struct pc_bytes *tbs)
{
    struct pg *pg = (struct pg *)ledger;
    int r = pg_later(pg, "signing", "INSERT INTO body (certificate, tbs) VALUES ($1, $2)", "ib", id, tbs);
    if (r == 0)
        r = pg_later(pg, "signing",
                     "UPDATE certificate SET state = 'signing' WHERE id = $1 AND state = 'reserved'", "i",
                     id);
    return r;
}

/* Ours still: whoever took the row over, after our session was lost, may have signed it, too. */
int pg_issue(struct ledger *ledger, int64_t id, const struct pc_bytes *der, const char *sha256, int64_t at)
{
    struct pg *pg = (struct pg *)ledger;
    int r =
        pg_later(pg, "issuing", "UPDATE body SET tbs = NULL, der = $1 WHERE certificate = $2 AND der IS NULL",
                 "bi", der, id);
    if (r == 0)
        r = pg_later(pg, "issuing",
                     "UPDATE certificate SET state = 'current', owner = NULL, sha256 = $1, issued_at = $2"
                     " WHERE id = $3 AND state = 'signing' AND owner = $4",
                     "hiii", sha256, at, id, pg->self);
    return r;
}

int pg_supersede(struct ledger *ledger, int64_t id, int64_t revoke_after)
{
    return pg_later((struct pg *)ledger, "superseding",
                    "UPDATE certificate SET state = 'superseded', revoke_after = $1"
                    " WHERE id = $2 AND state = 'current'",
                    "ii", revoke_after, id);
}

/* What is recorded now cannot stand in a CRL whose number is taken already. */
#define NEXT_CRL_OF(issuer) "(SELECT 1 + coalesce(max(number), 0) FROM crl WHERE crl.issuer = " issuer ")"
#define NEXT_CRL NEXT_CRL_OF("certificate.issuer")

int pg_revoke(struct ledger *ledger, int64_t id, int64_t at, int reason, int64_t invalid_since)
{
    return pg_change((struct pg *)ledger, "revoking",
                     "UPDATE certificate SET state = 'revoked', revoked_at = $1, reason = $2,"
                     " invalid_since = $3, listed_from = " NEXT_CRL
                     " WHERE id = $4 AND state IN ('current', 'superseded', 'held', 'foreign')",
                     "iioi", at, (int64_t)reason, invalid_since, id);
}

int pg_hold(struct ledger *ledger, int64_t id, int64_t at)
{
    return pg_change((struct pg *)ledger, "holding",
                     "UPDATE certificate SET state = 'held', revoked_at = $1, reason = 6,"
                     " listed_from = " NEXT_CRL
                     " WHERE id = $2 AND state IN ('current', 'superseded', 'foreign')",
                     "ii", at, id);
}

int pg_release(struct ledger *ledger, int64_t id)
{
    return pg_change((struct pg *)ledger, "releasing",
                     "UPDATE certificate SET state = CASE WHEN origin = 'imported' THEN 'foreign'"
                     " WHEN revoke_after IS NOT NULL THEN 'superseded' ELSE 'current' END,"
                     " revoked_at = NULL, reason = NULL, invalid_since = NULL, listed_from = NULL,"
                     " unlisted_from = " NEXT_CRL " WHERE id = $1 AND state = 'held'",
                     "i", id);
}

int pg_record(struct ledger *ledger, const struct ledger_certificate *row, const struct pc_bytes *der,
              int64_t *ret_id)
{
    struct pg *pg = (struct pg *)ledger;
    const struct ca_record *c = &row->record;
    int64_t id = 0, reason = c->reason;
    bool revoked = row->state == LEDGER_REVOKED || row->state == LEDGER_HELD;
    int r = pg_insert(
        pg, "recording", &id,
        KEY_ROW "INSERT INTO certificate (issuer, serial, profile, subject, key, state, origin, not_before,"
                " not_after, reserved_at, issued_at, sha256, revoked_at, invalid_since, reason, listed_from)"
                " SELECT $1, $2, $3, $4, id, $6, $7, $8, $9, $10, $10, $11, $12, $13,"
                " CASE WHEN $12 IS NOT NULL THEN $14 END,"
                " CASE WHEN $12 IS NOT NULL THEN " NEXT_CRL_OF("$1") " END FROM known RETURNING id",
        "ihtthttiiihooi", row->issuer, c->serial, c->profile, c->cn, c->key_sha256,
        ledger_state_name(row->state), c->origin, c->not_before, c->not_after, c->issued_at,
        c->certificate_sha256, revoked ? c->revoked_at : INT64_C(0), c->invalid_since, reason);
    if (r == 0)
        r = pg_change(pg, "recording", "INSERT INTO body (certificate, der) VALUES ($1, $2)", "ib", id, der);
    if (r == 0)
        *ret_id = id;
    return r;
}

int pg_condemn(struct ledger *ledger, int64_t id)
{
    return pg_change(
        (struct pg *)ledger, "revoking",
        "UPDATE certificate SET condemned = true WHERE id = $1 AND state IN ('reserved', 'signing')", "i",
        id);
}

int pg_annul(struct ledger *ledger, int64_t id, int64_t at)
{
    return pg_change(
        (struct pg *)ledger, "voiding",
        "UPDATE certificate SET owner = NULL, state = 'void',"
        " revoked_at = CASE state WHEN 'signing' THEN $1 END, reason = CASE state WHEN 'signing' THEN 0 END,"
        " listed_from = CASE state WHEN 'signing' THEN " NEXT_CRL " END"
        " WHERE id = $2 AND state IN ('reserved', 'signing')",
        "ii", at, id);
}

int pg_own(struct ledger *ledger, int64_t id, int64_t owner)
{
    return pg_change((struct pg *)ledger, "owning",
                     "UPDATE certificate SET owner = $1 WHERE id = $2 AND state IN ('reserved', 'signing')",
                     "oi", owner, id);
}

int pg_body(struct ledger *ledger, int64_t id, struct pc_bytes *ret_tbs, struct pc_bytes *ret_der)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    pc_autobytes tbs = {0}, der = {0};
    int r = pg_query((struct pg *)ledger, "reading a certificate", &found,
                     "SELECT tbs, der FROM body WHERE certificate = $1", "i", id);
    if (r == 0 && PQntuples(found) > 0)
        r = pg_blob(found, 0, 0, &tbs);
    if (r == 0 && PQntuples(found) > 0)
        r = pg_blob(found, 0, 1, &der);
    if (r < 0)
        return r;
    if (ret_tbs) {
        *ret_tbs = tbs;
        tbs = (struct pc_bytes){0};
    }
    if (ret_der) {
        *ret_der = der;
        der = (struct pc_bytes){0};
    }
    return 0;
}
