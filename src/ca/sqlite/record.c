/* Issuers, CRLs and audit rows on record. */
#include "src/ca/sqlite/sqlite.h"

#include <string.h>

#include "src/base/error.h"

int db_issuer_plan(struct ledger *ledger, const struct ledger_issuer *plan, int64_t *ret_id)
{
    struct db *db = (struct db *)ledger;
    struct pc_bytes key_id = {0};
    int r = db_writing(db);
    if (r == 0)
        r = pc_bytes_copy(plan->key_id.octets, plan->key_id.len, &key_id);
    if (r == 0)
        r = db_change(
            db, "planning",
            "INSERT INTO issuer (state, subject, key_type, key_label, key_id, token_serial, days, planned_at)"
            " VALUES ('planned', ?, ?, ?, ?, ?, ?, ?)",
            "tttbtii", plan->subject, plan->key_type, plan->key_label, &key_id, plan->token_serial,
            plan->days, plan->planned_at);
    pc_bytes_clear(&key_id);
    if (r < 0)
        return r;
    *ret_id = sqlite3_last_insert_rowid(db->handle);
    return 0;
}

int db_issuer_replan(struct ledger *ledger, const struct ledger_issuer *plan)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(
                   db, "planning",
                   "UPDATE issuer SET subject = ?, key_type = ?, days = ? WHERE id = ? AND state = 'planned'",
                   "ttii", plan->subject, plan->key_type, plan->days, plan->id);
}

int db_issuer_activate(struct ledger *ledger, int64_t id, int64_t certificate)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(
                   db, "activating",
                   "UPDATE issuer SET state = 'active', certificate = ? WHERE id = ? AND state = 'planned'",
                   "ii", certificate, id);
}

int db_issuer_get(struct ledger *ledger, struct ledger_issuer *ret)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(
        db,
        "SELECT id, state = 'active', subject, key_type, key_label, token_serial, key_id, days, planned_at,"
        " certificate FROM issuer ORDER BY state LIMIT 1",
        &s, "");
    if (r == 0)
        r = db_step(db, s);
    if (r < 0)
        return r;
    struct ledger_issuer issuer = {0};
    if (r > 0) {
        issuer.id = sqlite3_column_int64(s, 0);
        issuer.active = sqlite3_column_int(s, 1) != 0;
        db_text(s, 2, issuer.subject, sizeof issuer.subject);
        db_text(s, 3, issuer.key_type, sizeof issuer.key_type);
        db_text(s, 4, issuer.key_label, sizeof issuer.key_label);
        db_text(s, 5, issuer.token_serial, sizeof issuer.token_serial);
        const void *key_id = sqlite3_column_blob(s, 6);
        size_t len = (size_t)sqlite3_column_bytes(s, 6);
        if (!key_id || len > sizeof issuer.key_id.octets)
            return pc_fail(PC_EFAIL, "ledger %s: damaged key id", db->path);
        memcpy(issuer.key_id.octets, key_id, len);
        issuer.key_id.len = len;
        issuer.days = sqlite3_column_int64(s, 7);
        issuer.planned_at = sqlite3_column_int64(s, 8);
        issuer.certificate = sqlite3_column_int64(s, 9);
    }
    *ret = issuer;
    return 0;
}

int db_crl_last(struct ledger *ledger, int64_t issuer, bool issued_only, struct ledger_crl *ret)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db,
                       "SELECT number, der IS NOT NULL, this_update, next_update, entries FROM crl"
                       " WHERE issuer = ?1 AND (der IS NOT NULL OR NOT ?2) ORDER BY number DESC LIMIT 1",
                       &s, "ii", issuer, (int64_t)issued_only);
    if (r == 0)
        r = db_step(db, s);
    if (r < 0)
        return r;
    *ret = (struct ledger_crl){0};
    if (r > 0)
        *ret = (struct ledger_crl){
            .number = (uint64_t)sqlite3_column_int64(s, 0),
            .issued = sqlite3_column_int(s, 1) != 0,
            .this_update = sqlite3_column_int64(s, 2),
            .next_update = sqlite3_column_int64(s, 3),
            .entries = (size_t)sqlite3_column_int64(s, 4),
        };
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
    int r = db_writing(db);
    return r ? r
             : db_change(db, "recording a CRL",
                         "UPDATE crl SET tbs = NULL, der = ? WHERE issuer = ? AND number = ? AND der IS NULL",
                         "bii", der, issuer, (int64_t)number);
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

int db_crl_entries(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last,
                   ledger_entry_row *entry, void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(
        db,
        "SELECT serial, revoked_at, reason FROM certificate WHERE issuer = ?1 AND listed_from IS NOT NULL"
        " AND (not_after >= ?2 OR listed_from > ?3)",
        &s, "iii", issuer, last->number ? last->this_update : INT64_MIN, (int64_t)last->number);
    if (r < 0)
        return r;
    while ((r = db_step(db, s)) > 0) {
        struct ledger_entry found = {.revoked_at = sqlite3_column_int64(s, 1),
                                     .reason = sqlite3_column_int(s, 2)};
        db_hex(s, 0, found.serial, sizeof found.serial);
        r = entry(context, &found);
        if (r != 0)
            return r;
    }
    return r;
}

int db_audit_head(struct ledger *ledger, struct ledger_audit *ret)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db, "SELECT seq, sha256 FROM audit WHERE chain = ? ORDER BY seq DESC LIMIT 1", &s, "t",
                       db->chain);
    if (r == 0)
        r = db_step(db, s);
    if (r < 0)
        return r;
    *ret = (struct ledger_audit){0};
    memcpy(ret->chain, db->chain, sizeof ret->chain);
    memset(ret->sha256, '0', sizeof ret->sha256 - 1);
    if (r > 0) {
        ret->seq = sqlite3_column_int64(s, 0);
        db_hex(s, 1, ret->sha256, sizeof ret->sha256);
    }
    return 0;
}

int db_audit_append(struct ledger *ledger, const struct ledger_audit *row)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "auditing", "INSERT INTO audit (chain, seq, line, sha256) VALUES (?, ?, ?, ?)",
                         "tith", row->chain, row->seq, row->line, row->sha256);
}

int db_audit_each(struct ledger *ledger, int64_t from, ledger_audit_row *row, void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db, "SELECT chain, seq, line, sha256 FROM audit WHERE seq >= ? ORDER BY chain, seq",
                       &s, "i", from);
    if (r < 0)
        return r;
    while ((r = db_step(db, s)) > 0) {
        struct ledger_audit found = {.seq = sqlite3_column_int64(s, 1),
                                     .line = (const char *)sqlite3_column_text(s, 2)};
        db_text(s, 0, found.chain, sizeof found.chain);
        db_hex(s, 3, found.sha256, sizeof found.sha256);
        r = row(context, &found);
        if (r != 0)
            return r;
    }
    return r;
}
