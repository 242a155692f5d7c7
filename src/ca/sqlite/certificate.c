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

int db_reserve(struct ledger *ledger, const struct ledger_certificate *row, int64_t *ret_id)
{
    struct db *db = (struct db *)ledger;
    const struct ca_record *c = &row->record;
    int64_t self = ledger->ops->self(ledger);
    if (self == 0)
        return pc_error_code();
    char owner[256];
    int r = db_writing(db);
    if (r == 0)
        r = db_key_subject(ledger, c->key_sha256, owner);
    if (r == 0 && !*owner)
        r = db_run(db, "INSERT INTO key (sha256, subject) VALUES (?, ?)", "ht", c->key_sha256, c->cn);
    if (r == 0)
        r = db_change(
            db, "reserving",
            "INSERT INTO certificate (issuer, serial, profile, subject, key, state, owner, predecessor,"
            " not_before, not_after, reserved_at) VALUES (?, ?, ?, ?, ?, 'reserved', ?, ?, ?, ?, ?)",
            "ihtthioiii", row->issuer, c->serial, c->profile, c->cn, c->key_sha256, self, row->predecessor,
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
#define NEXT_CRL "(SELECT 1 + coalesce(max(number), 0) FROM crl WHERE crl.issuer = certificate.issuer)"

int db_revoke(struct ledger *ledger, int64_t id, int64_t at, int reason, int64_t invalid_since)
{
    struct db *db = (struct db *)ledger;
    (void)invalid_since;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "revoking",
                         "UPDATE certificate SET state = 'revoked', revoked_at = ?, reason = ?,"
                         " listed_from = coalesce(listed_from, " NEXT_CRL ")"
                         " WHERE id = ? AND state IN ('current', 'superseded', 'held')",
                         "iii", at, (int64_t)reason, id);
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
