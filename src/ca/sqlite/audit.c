/* Audit rows and checkpoints on record. */
#include "src/ca/sqlite/schema.h"

#include <string.h>

#include "src/base/error.h"

/* Nobody else writes while our write transaction lasts: its head is read once. */
int db_audit_head(struct ledger *ledger, struct ledger_audit *ret)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    struct ledger_audit head = {.seq = 0};
    if (db->head_known) {
        *ret = db->head;
        return 0;
    }
    int r = db_prepare(db, "SELECT seq, sha256 FROM audit WHERE chain = ? ORDER BY seq DESC LIMIT 1", &s, "t",
                       db->chain);
    if (r == 0)
        r = db_step(db, s);
    if (r < 0)
        return r;
    memcpy(head.chain, db->chain, sizeof head.chain);
    memset(head.sha256, '0', sizeof head.sha256 - 1);
    if (r > 0) {
        head.seq = sqlite3_column_int64(s, 0);
        db_hex(s, 1, head.sha256, sizeof head.sha256);
    }
    db->head = head;
    db->head_known = db->writing;
    *ret = head;
    return 0;
}

int db_audit_append(struct ledger *ledger, const struct ledger_audit *row)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    if (r == 0)
        r = db_change(db, "auditing",
                      "INSERT INTO audit (chain, seq, certificate, line, sha256) VALUES (?, ?, ?, ?, ?)",
                      "tioth", row->chain, row->seq, row->certificate, row->line, row->sha256);
    db->head_known = false;
    if (r == 0 && strcmp(row->chain, db->chain) == 0) {
        db->head = *row;
        db->head.certificate = 0;
        db->head.line = NULL;
        db->head_known = true;
    }
    return r;
}

#define AUDIT_COLUMNS "chain, seq, line, sha256, certificate"

/* What stands behind a NUL would be read by nobody: such a line counts as none. */
static const char *line_of(sqlite3_stmt *s, int column)
{
    const char *line = (const char *)sqlite3_column_text(s, column);
    return line && strlen(line) == (size_t)sqlite3_column_bytes(s, column) ? line : "";
}

static int tell_rows(struct db *db, sqlite3_stmt *s, ledger_audit_row *row, void *context)
{
    int r;
    while ((r = db_step(db, s)) > 0) {
        struct ledger_audit found = {.seq = sqlite3_column_int64(s, 1),
                                     .line = line_of(s, 2),
                                     .certificate = sqlite3_column_int64(s, 4)};
        db_text(s, 0, found.chain, sizeof found.chain);
        db_hex(s, 3, found.sha256, sizeof found.sha256);
        r = row(context, &found);
        if (r != 0)
            return r;
    }
    return r;
}

int db_audit_heads(struct ledger *ledger, ledger_audit_row *row, void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db,
                       DB_CHAINS "SELECT " AUDIT_COLUMNS " FROM chains CROSS JOIN audit ON chain = name"
                                 " AND seq = (SELECT max(seq) FROM audit WHERE chain = name)",
                       &s, "");
    return r < 0 ? r : tell_rows(db, s, row, context);
}

int db_audit_each(struct ledger *ledger, const char *chain, int64_t from, ledger_audit_row *row,
                  void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    /* Chain by chain, each through the index, in its order. */
    int r = db_prepare(db,
                       DB_CHAINS "SELECT " AUDIT_COLUMNS
                                 " FROM chains CROSS JOIN audit ON chain = name AND seq >= ?1"
                                 " WHERE name = ?2 OR ?2 IS NULL",
                       &s, "it", from, chain);
    return r < 0 ? r : tell_rows(db, s, row, context);
}

int db_audit_of(struct ledger *ledger, int64_t certificate, ledger_audit_row *row, void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db, "SELECT " AUDIT_COLUMNS " FROM audit WHERE certificate = ? ORDER BY id", &s, "i",
                       certificate);
    return r < 0 ? r : tell_rows(db, s, row, context);
}

int db_checkpoint_add(struct ledger *ledger, const struct ledger_checkpoint *checkpoint, int64_t *ret_id)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    if (r == 0)
        r = db_change(db, "recording a checkpoint",
                      "INSERT INTO checkpoint (chain, seq, sha256, at, statement, cms)"
                      " VALUES (?, ?, ?, ?, ?, ?)",
                      "tihibb", checkpoint->chain, checkpoint->seq, checkpoint->sha256, checkpoint->at,
                      &checkpoint->statement, &checkpoint->cms);
    if (r < 0)
        return r;
    *ret_id = sqlite3_last_insert_rowid(db->handle);
    return 0;
}

int db_checkpoint_shipped(struct ledger *ledger, int64_t id, int64_t at)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "shipping a checkpoint",
                         "UPDATE checkpoint SET shipped_at = ? WHERE id = ? AND shipped_at IS NULL", "ii", at,
                         id);
}

static int tell_checkpoint(sqlite3_stmt *s, struct ledger_checkpoint *found, ledger_checkpoint_row *row,
                           void *context)
{
    pc_autobytes statement = {0}, cms = {0};
    int r = db_blob(s, 6, &statement);
    if (r == 0)
        r = db_blob(s, 7, &cms);
    found->statement = statement;
    found->cms = cms;
    return r < 0 ? r : row(context, found);
}

int db_checkpoint_each(struct ledger *ledger, bool newest_only, ledger_checkpoint_row *row, void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db,
                       "SELECT id, seq, at, shipped_at, chain, sha256, statement, cms FROM checkpoint"
                       " WHERE NOT ?1 OR id = (SELECT max(id) FROM checkpoint) ORDER BY id",
                       &s, "i", (int64_t)newest_only);
    if (r < 0)
        return r;
    while ((r = db_step(db, s)) > 0) {
        struct ledger_checkpoint found = {
            .id = sqlite3_column_int64(s, 0),
            .seq = sqlite3_column_int64(s, 1),
            .at = sqlite3_column_int64(s, 2),
            .shipped_at = sqlite3_column_int64(s, 3),
        };
        db_text(s, 4, found.chain, sizeof found.chain);
        db_hex(s, 5, found.sha256, sizeof found.sha256);
        r = tell_checkpoint(s, &found, row, context);
        if (r != 0)
            return r;
    }
    return r;
}
