/* Certificates and keys on record: the writes, each a step of the state machine. */
#include "src/ca/sqlite/sqlite.h"

#include <string.h>

#include "src/base/error.h"

int db_key_subject(struct ledger *ledger, const char *key_sha256, char ret[256])
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db, "SELECT subject FROM key WHERE sha256 = ?", &s, "h", key_sha256);
    if (r == 0)
        r = db_step(db, s);
    if (r < 0)
        return r;
    if (r == 0)
        ret[0] = '\0';
    else
        db_text(s, 0, ret, 256);
    return 0;
}

/* The row of a key; made for `subject` when it is new. */
static int key_row(struct db *db, const char *key_sha256, const char *subject, int64_t *ret)
{
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db, "SELECT id FROM key WHERE sha256 = ?", &s, "h", key_sha256);
    if (r == 0)
        r = db_step(db, s);
    if (r > 0)
        *ret = sqlite3_column_int64(s, 0);
    if (r != 0)
        return r < 0 ? r : 0;
    r = db_run(db, "INSERT INTO key (sha256, subject) VALUES (?, ?)", "ht", key_sha256, subject);
    if (r == 0)
        *ret = sqlite3_last_insert_rowid(db->handle);
    return r;
}

int db_reserve(struct ledger *ledger, const struct ledger_certificate *row, int64_t *ret_id)
{
    struct db *db = (struct db *)ledger;
    const struct ca_record *c = &row->record;
    int64_t key = 0, self = ledger->ops->self(ledger);
    if (self == 0)
        return pc_error_code();
    int r = db_writing(db);
    if (r == 0)
        r = key_row(db, c->key_sha256, c->cn, &key);
    if (r == 0)
        r = db_change(
            db, "reserving",
            "INSERT INTO certificate (issuer, serial, profile, subject, key, state, owner, predecessor,"
            " not_before, not_after, reserved_at) VALUES (?, ?, ?, ?, ?, 'reserved', ?, ?, ?, ?, ?)",
            "ihttiioiii", row->issuer, c->serial, c->profile, c->cn, key, self, row->predecessor,
            c->not_before, c->not_after, c->issued_at);
    if (r < 0)
        return r;
    *ret_id = sqlite3_last_insert_rowid(db->handle);
    return 0;
}

int db_signing(struct ledger *ledger, int64_t id, const struct pc_bytes *tbs)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    if (r == 0)
        r = db_run(db, "INSERT INTO body (certificate, tbs) VALUES (?, ?)", "ib", id, tbs);
    if (r == 0)
        r = db_change(db, "signing",
                      "UPDATE certificate SET state = 'signing' WHERE id = ? AND state = 'reserved'", "i",
                      id);
    return r;
}

int db_issue(struct ledger *ledger, int64_t id, const struct pc_bytes *der, const char *sha256, int64_t at)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    if (r == 0)
        r = db_change(db, "issuing",
                      "UPDATE body SET tbs = NULL, der = ? WHERE certificate = ? AND der IS NULL", "bi", der,
                      id);
    if (r == 0)
        r = db_change(db, "issuing",
                      "UPDATE certificate SET state = 'current', owner = NULL, sha256 = ?, issued_at = ?"
                      " WHERE id = ? AND state = 'signing'",
                      "hii", sha256, at, id);
    return r;
}

int db_supersede(struct ledger *ledger, int64_t id, int64_t revoke_after)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "superseding",
                         "UPDATE certificate SET state = 'superseded', revoke_after = ?"
                         " WHERE id = ? AND state = 'current'",
                         "ii", revoke_after, id);
}

/* What is recorded now cannot stand in a CRL whose number is taken already. */
#define NEXT_CRL_OF(issuer) "(SELECT 1 + coalesce(max(number), 0) FROM crl WHERE crl.issuer = " issuer ")"
#define NEXT_CRL NEXT_CRL_OF("certificate.issuer")

int db_revoke(struct ledger *ledger, int64_t id, int64_t at, int reason, int64_t invalid_since)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "revoking",
                         "UPDATE certificate SET state = 'revoked', revoked_at = ?, reason = ?,"
                         " invalid_since = ?, listed_from = " NEXT_CRL
                         " WHERE id = ? AND state IN ('current', 'superseded', 'held', 'foreign')",
                         "iioi", at, (int64_t)reason, invalid_since, id);
}

int db_hold(struct ledger *ledger, int64_t id, int64_t at)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "holding",
                         "UPDATE certificate SET state = 'held', revoked_at = ?, reason = 6,"
                         " listed_from = " NEXT_CRL
                         " WHERE id = ? AND state IN ('current', 'superseded', 'foreign')",
                         "ii", at, id);
}

int db_release(struct ledger *ledger, int64_t id)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "releasing",
                         "UPDATE certificate SET state = CASE WHEN origin = 'imported' THEN 'foreign'"
                         " WHEN revoke_after IS NOT NULL THEN 'superseded' ELSE 'current' END,"
                         " revoked_at = NULL, reason = NULL, invalid_since = NULL, listed_from = NULL,"
                         " unlisted_from = " NEXT_CRL " WHERE id = ? AND state = 'held'",
                         "i", id);
}

int db_record(struct ledger *ledger, const struct ledger_certificate *row, const struct pc_bytes *der,
              int64_t *ret_id)
{
    struct db *db = (struct db *)ledger;
    const struct ca_record *c = &row->record;
    int64_t key = 0, id = 0, reason = c->reason;
    bool revoked = row->state == LEDGER_REVOKED || row->state == LEDGER_HELD;
    int r = db_writing(db);
    if (r == 0)
        r = key_row(db, c->key_sha256, c->cn, &key);
    if (r == 0)
        r = db_change(
            db, "recording",
            "INSERT INTO certificate (issuer, serial, profile, subject, key, state, origin, not_before,"
            " not_after, reserved_at, issued_at, sha256, revoked_at, invalid_since, reason, listed_from)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11, ?12, ?13,"
            " CASE WHEN ?12 THEN ?14 END, CASE WHEN ?12 THEN " NEXT_CRL_OF("?1") " END)",
            "ihttittiiihooi", row->issuer, c->serial, c->profile, c->cn, key, ledger_state_name(row->state),
            c->origin, c->not_before, c->not_after, c->issued_at, c->certificate_sha256,
            revoked ? c->revoked_at : INT64_C(0), c->invalid_since, reason);
    if (r == 0) {
        id = sqlite3_last_insert_rowid(db->handle);
        r = db_run(db, "INSERT INTO body (certificate, der) VALUES (?, ?)", "ib", id, der);
    }
    if (r < 0)
        return r;
    *ret_id = id;
    return 0;
}

int db_condemn(struct ledger *ledger, int64_t id)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(
                   db, "revoking",
                   "UPDATE certificate SET condemned = 1 WHERE id = ? AND state IN ('reserved', 'signing')",
                   "i", id);
}

int db_annul(struct ledger *ledger, int64_t id, int64_t at)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    if (r < 0)
        return r;
    return db_change(
        db, "voiding",
        "UPDATE certificate SET owner = NULL, state = 'void',"
        " revoked_at = CASE state WHEN 'signing' THEN ? END, reason = CASE state WHEN 'signing' THEN 0 END,"
        " listed_from = CASE state WHEN 'signing' THEN " NEXT_CRL " END"
        " WHERE id = ? AND state IN ('reserved', 'signing')",
        "ii", at, id);
}

int db_own(struct ledger *ledger, int64_t id, int64_t owner)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "owning",
                         "UPDATE certificate SET owner = ? WHERE id = ? AND state IN ('reserved', 'signing')",
                         "oi", owner, id);
}

int db_body(struct ledger *ledger, int64_t id, struct pc_bytes *ret_tbs, struct pc_bytes *ret_der)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db, "SELECT tbs, der FROM body WHERE certificate = ?", &s, "i", id);
    if (r == 0)
        r = db_step(db, s);
    if (r < 0)
        return r;
    pc_autobytes tbs = {0}, der = {0};
    if (r > 0)
        r = db_blob(s, 0, &tbs);
    if (r == 0)
        r = db_blob(s, 1, &der);
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
