/* CRLs on record, what they must list, and the publications that showed them to brokers. */
#include "src/ca/sqlite/sqlite.h"

#include <string.h>

#include "src/base/error.h"
#include "src/pki/key.h"

int db_crl_last(struct ledger *ledger, int64_t issuer, bool issued_only, struct ledger_crl *ret)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r =
        db_prepare(db,
                   "SELECT number, der IS NOT NULL, this_update, next_update, entries, sha256,"
                   " EXISTS (SELECT 1 FROM pardon WHERE pardon.issuer = ?1 AND pardon.number >= crl.number)"
                   " FROM crl WHERE issuer = ?1 AND (der IS NOT NULL OR NOT ?2) ORDER BY number DESC LIMIT 1",
                   &s, "ii", issuer, (int64_t)issued_only);
    if (r == 0)
        r = db_step(db, s);
    if (r < 0)
        return r;
    *ret = (struct ledger_crl){0};
    if (r > 0) {
        *ret = (struct ledger_crl){
            .number = (uint64_t)sqlite3_column_int64(s, 0),
            .issued = sqlite3_column_int(s, 1) != 0,
            .this_update = sqlite3_column_int64(s, 2),
            .next_update = sqlite3_column_int64(s, 3),
            .entries = (size_t)sqlite3_column_int64(s, 4),
            .pardoned = sqlite3_column_int(s, 6) != 0,
        };
        db_hex(s, 5, ret->sha256, sizeof ret->sha256);
    }
    return 0;
}

int db_crl_reserve(struct ledger *ledger, int64_t issuer, const struct ledger_crl *crl,
                   const struct pc_bytes *tbs)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "recording a CRL",
                         "INSERT INTO crl (issuer, number, this_update, next_update, entries, tbs)"
                         " VALUES (?, ?, ?, ?, ?, ?)",
                         "iiiiib", issuer, (int64_t)crl->number, crl->this_update, crl->next_update,
                         (int64_t)crl->entries, tbs);
}

int db_crl_issue(struct ledger *ledger, int64_t issuer, uint64_t number, const struct pc_bytes *der)
{
    struct db *db = (struct db *)ledger;
    char sha256[PKI_FINGERPRINT_TEXT];
    int r = db_writing(db);
    if (r == 0)
        r = pki_digest_hex(der->data, der->len, sha256);
    return r ? r
             : db_change(db, "recording a CRL",
                         "UPDATE crl SET tbs = NULL, der = ?, sha256 = ?"
                         " WHERE issuer = ? AND number = ? AND der IS NULL",
                         "bhii", der, sha256, issuer, (int64_t)number);
}

int db_crl_adopt(struct ledger *ledger, int64_t issuer, const struct ledger_crl *crl,
                 const struct pc_bytes *der)
{
    struct db *db = (struct db *)ledger;
    char sha256[PKI_FINGERPRINT_TEXT];
    int r = db_writing(db);
    if (r == 0)
        r = pki_digest_hex(der->data, der->len, sha256);
    return r ? r
             : db_change(
                   db, "adopting a CRL",
                   "INSERT INTO crl (issuer, number, this_update, next_update, entries, adopted, der, sha256)"
                   " VALUES (?, ?, ?, ?, ?, 1, ?, ?)",
                   "iiiiibh", issuer, (int64_t)crl->number, crl->this_update, crl->next_update,
                   (int64_t)crl->entries, der, sha256);
}

int db_crl_pardon(struct ledger *ledger, int64_t issuer, uint64_t number, int64_t at)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "pardoning a CRL", "INSERT INTO pardon (issuer, number, at) VALUES (?, ?, ?)",
                         "iii", issuer, (int64_t)number, at);
}

int db_crl_body(struct ledger *ledger, int64_t issuer, uint64_t number, struct pc_bytes *ret_der)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db, "SELECT der FROM crl WHERE issuer = ? AND number = ?", &s, "ii", issuer,
                       (int64_t)number);
    if (r == 0)
        r = db_step(db, s);
    if (r < 0)
        return r;
    if (r == 0 || sqlite3_column_bytes(s, 0) == 0)
        return pc_fail(PC_EFAIL, "ledger %s: CRL %llu is not on record", db->path,
                       (unsigned long long)number);
    return db_blob(s, 0, ret_der);
}

int db_entries_each(struct db *db, sqlite3_stmt *s, ledger_entry_row *entry, void *context)
{
    int r;
    while ((r = db_step(db, s)) > 0) {
        struct ledger_entry found = {.revoked_at = sqlite3_column_int64(s, 1),
                                     .reason = sqlite3_column_int(s, 2),
                                     .invalid_since = sqlite3_column_int64(s, 3)};
        db_hex(s, 0, found.serial, sizeof found.serial);
        r = entry(context, &found);
        if (r != 0)
            return r;
    }
    return r;
}

int db_crl_entries(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last,
                   ledger_entry_row *entry, void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    /* An orphan's expiry is not known: it stays. Where its certificate has turned up since, that speaks. */
    int r = db_prepare(
        db,
        "SELECT serial, revoked_at, reason, invalid_since FROM certificate"
        " WHERE issuer = ?1 AND listed_from IS NOT NULL AND (not_after >= ?2 OR listed_from > ?3)"
        " UNION ALL SELECT serial, revoked_at, reason, invalid_since FROM orphan WHERE issuer = ?1"
        " AND NOT EXISTS (SELECT 1 FROM certificate c WHERE c.issuer = ?1 AND c.serial = orphan.serial)",
        &s, "iii", issuer, last->number ? last->this_update : INT64_MIN, (int64_t)last->number);
    return r < 0 ? r : db_entries_each(db, s, entry, context);
}

int db_crl_behind(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last, int64_t now,
                  bool *ret)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r =
        db_prepare(db,
                   "SELECT EXISTS (SELECT 1 FROM certificate WHERE issuer = ?1 AND listed_from > ?2)"
                   " OR EXISTS (SELECT 1 FROM certificate WHERE issuer = ?1 AND unlisted_from > ?2)"
                   " OR EXISTS (SELECT 1 FROM certificate WHERE state = 'superseded' AND revoke_after <= ?3"
                   "   AND issuer = ?1 AND profile NOT IN ('probe', 'station'))",
                   &s, "iii", issuer, (int64_t)last->number, now);
    if (r == 0)
        r = db_step(db, s);
    if (r <= 0)
        return r < 0 ? r : pc_fail(PC_EFAIL, "ledger %s: no answer", db->path);
    *ret = sqlite3_column_int(s, 0) != 0;
    return 0;
}

int db_crl_short(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last, bool *ret)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    /* What `last` listed depends on the one before it; what was revoked since can only add to that. */
    int r = db_prepare(
        db,
        "SELECT ?3 >"
        " (SELECT count(*) FROM certificate WHERE issuer = ?1 AND listed_from IS NOT NULL"
        "   AND (not_after >= past.at OR listed_from > past.number))"
        " + (SELECT count(*) FROM certificate WHERE issuer = ?1 AND unlisted_from > ?2"
        "   AND listed_from IS NULL)"
        " + (SELECT count(*) FROM orphan WHERE issuer = ?1 AND NOT EXISTS"
        "   (SELECT 1 FROM certificate c WHERE c.issuer = ?1 AND c.serial = orphan.serial))"
        " FROM (SELECT coalesce(max(number), 0) AS number, coalesce(max(this_update), ?4) AS at FROM"
        "   (SELECT number, this_update FROM crl WHERE issuer = ?1 AND number < ?2 AND der IS NOT NULL"
        "     ORDER BY number DESC LIMIT 1)) past",
        &s, "iiii", issuer, (int64_t)last->number, (int64_t)last->entries, INT64_MIN);
    if (r == 0)
        r = db_step(db, s);
    if (r <= 0)
        return r < 0 ? r : pc_fail(PC_EFAIL, "ledger %s: no answer", db->path);
    *ret = sqlite3_column_int(s, 0) != 0;
    return 0;
}

int db_orphan_add(struct ledger *ledger, int64_t issuer, const struct ledger_entry *entry)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "recording a revocation",
                         "INSERT INTO orphan (issuer, serial, revoked_at, invalid_since, reason)"
                         " VALUES (?, ?, ?, ?, ?)",
                         "ihioi", issuer, entry->serial, entry->revoked_at, entry->invalid_since,
                         (int64_t)entry->reason);
}

int db_publication_add(struct ledger *ledger, const struct ledger_publication *publication)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "recording a publication",
                         "INSERT INTO publication (at, dir, crl_number, crl_sha256, ca_sha256)"
                         " VALUES (?, ?, ?, ?, ?)",
                         "itihh", publication->at, publication->dir, (int64_t)publication->crl_number,
                         publication->crl_sha256, publication->ca_sha256);
}

int db_publication_last(struct ledger *ledger, const char *dir, struct ledger_publication *ret)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db,
                       "SELECT id, at, crl_number, dir, crl_sha256, ca_sha256 FROM publication"
                       " WHERE dir = ?1 OR ?1 IS NULL ORDER BY id DESC LIMIT 1",
                       &s, "t", dir);
    if (r == 0)
        r = db_step(db, s);
    if (r < 0)
        return r;
    *ret = (struct ledger_publication){0};
    if (r > 0) {
        ret->id = sqlite3_column_int64(s, 0);
        ret->at = sqlite3_column_int64(s, 1);
        ret->crl_number = (uint64_t)sqlite3_column_int64(s, 2);
        db_text(s, 3, ret->dir, sizeof ret->dir);
        db_hex(s, 4, ret->crl_sha256, sizeof ret->crl_sha256);
        db_hex(s, 5, ret->ca_sha256, sizeof ret->ca_sha256);
    }
    return 0;
}
