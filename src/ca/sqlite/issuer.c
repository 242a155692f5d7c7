/* Issuers on record, and our other keys in the token: each is written down before it is made. */
#include "src/ca/sqlite/sqlite.h"

#include <string.h>

#include "src/base/error.h"

static int read_key_id(struct db *db, sqlite3_stmt *s, int column, struct hsm_id *ret)
{
    const void *key_id = sqlite3_column_blob(s, column);
    size_t len = (size_t)sqlite3_column_bytes(s, column);
    if (!key_id || len > sizeof ret->octets)
        return pc_fail(PC_EFAIL, "ledger %s: damaged key id", db->path);
    memcpy(ret->octets, key_id, len);
    ret->len = len;
    return 0;
}

int db_issuer_plan(struct ledger *ledger, const struct ledger_issuer *plan, int64_t *ret_id)
{
    struct db *db = (struct db *)ledger;
    pc_autobytes key_id = {0};
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

int db_issuer_import(struct ledger *ledger, const struct ledger_issuer *issuer, int64_t *ret_id)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    if (r == 0)
        r = db_change(db, "importing",
                      "INSERT INTO issuer (state, subject, planned_at) VALUES ('foreign', ?, ?)", "ti",
                      issuer->subject, issuer->planned_at);
    if (r < 0)
        return r;
    *ret_id = sqlite3_last_insert_rowid(db->handle);
    return 0;
}

int db_issuer_certificate(struct ledger *ledger, int64_t id, int64_t certificate)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "importing",
                         "UPDATE issuer SET certificate = ? WHERE id = ? AND state = 'foreign'", "ii",
                         certificate, id);
}

#define ISSUER_COLUMNS                                                                                       \
    "id, state, subject, key_type, key_label, token_serial, key_id, days, planned_at, certificate"

static int read_issuer(struct db *db, sqlite3_stmt *s, struct ledger_issuer *ret)
{
    struct ledger_issuer issuer = {
        .id = sqlite3_column_int64(s, 0),
        .days = sqlite3_column_int64(s, 7),
        .planned_at = sqlite3_column_int64(s, 8),
        .certificate = sqlite3_column_int64(s, 9),
    };
    char state[16];
    db_text(s, 1, state, sizeof state);
    issuer.active = strcmp(state, "active") == 0;
    issuer.foreign = strcmp(state, "foreign") == 0;
    db_text(s, 2, issuer.subject, sizeof issuer.subject);
    db_text(s, 3, issuer.key_type, sizeof issuer.key_type);
    db_text(s, 4, issuer.key_label, sizeof issuer.key_label);
    db_text(s, 5, issuer.token_serial, sizeof issuer.token_serial);
    int r = issuer.foreign ? 0 : read_key_id(db, s, 6, &issuer.key_id);
    if (r == 0)
        *ret = issuer;
    return r;
}

int db_issuer_get(struct ledger *ledger, struct ledger_issuer *ret)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db,
                       "SELECT " ISSUER_COLUMNS " FROM issuer WHERE state <> 'foreign'"
                       " ORDER BY state LIMIT 1", /* 'active' before 'planned' */
                       &s, "");
    if (r == 0)
        r = db_step(db, s);
    if (r > 0)
        return read_issuer(db, s, ret);
    if (r == 0)
        *ret = (struct ledger_issuer){0};
    return r;
}

int db_issuer_each(struct ledger *ledger, ledger_issuer_row *row, void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db,
                       "SELECT " ISSUER_COLUMNS " FROM issuer WHERE state <> 'planned'"
                       " ORDER BY state = 'foreign', id",
                       &s, "");
    if (r < 0)
        return r;
    while ((r = db_step(db, s)) > 0) {
        struct ledger_issuer issuer;
        r = read_issuer(db, s, &issuer);
        if (r == 0)
            r = row(context, &issuer);
        if (r != 0)
            return r;
    }
    return r;
}

int db_key_plan(struct ledger *ledger, const struct ledger_key *plan, int64_t *ret_id)
{
    struct db *db = (struct db *)ledger;
    pc_autobytes key_id = {0};
    int r = db_writing(db);
    if (r == 0)
        r = pc_bytes_copy(plan->key_id.octets, plan->key_id.len, &key_id);
    if (r == 0)
        r = db_change(db, "planning a key",
                      "INSERT INTO token_key (role, state, key_type, label, key_id, planned_at)"
                      " VALUES (?, 'planned', ?, ?, ?, ?)",
                      "tttbi", plan->role, plan->key_type, plan->label, &key_id, plan->planned_at);
    if (r < 0)
        return r;
    *ret_id = sqlite3_last_insert_rowid(db->handle);
    return 0;
}

int db_key_activate(struct ledger *ledger, int64_t id, const char *sha256, int64_t certificate)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "activating a key",
                         "UPDATE token_key SET state = 'active', sha256 = ?, certificate = ?"
                         " WHERE id = ? AND state = 'planned'",
                         "hoi", sha256, certificate, id);
}

int db_key_retire(struct ledger *ledger, int64_t id)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "retiring a key",
                         "UPDATE token_key SET state = 'retired' WHERE id = ? AND state <> 'retired'", "i",
                         id);
}

int db_key_each(struct ledger *ledger, const char *role, ledger_key_row *row, void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db,
                       "SELECT id, role, state, key_type, label, sha256, key_id, certificate, planned_at"
                       " FROM token_key WHERE role = ?1 OR ?1 IS NULL ORDER BY id",
                       &s, "t", role);
    if (r < 0)
        return r;
    while ((r = db_step(db, s)) > 0) {
        struct ledger_key key = {.id = sqlite3_column_int64(s, 0),
                                 .certificate = sqlite3_column_int64(s, 7),
                                 .planned_at = sqlite3_column_int64(s, 8)};
        db_text(s, 1, key.role, sizeof key.role);
        db_text(s, 2, key.state, sizeof key.state);
        db_text(s, 3, key.key_type, sizeof key.key_type);
        db_text(s, 4, key.label, sizeof key.label);
        db_hex(s, 5, key.sha256, sizeof key.sha256);
        r = read_key_id(db, s, 6, &key.key_id);
        if (r == 0)
            r = row(context, &key);
        if (r != 0)
            return r;
    }
    return r;
}
