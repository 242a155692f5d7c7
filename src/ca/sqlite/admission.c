/* Admissions on record, and the keys that wait under them. */
#include "src/ca/sqlite/sqlite.h"

#include <string.h>

#include "src/base/error.h"

static const char *const proofs[] = {[CA_ADMIT_CODE] = "code", [CA_ADMIT_PENDING] = "pending"};

int db_admission_add(struct ledger *ledger, const struct ledger_admission *row, int64_t *ret_id)
{
    struct db *db = (struct db *)ledger;
    const struct ca_admission *a = &row->record;
    int r = db_writing(db);
    /* NULL where nothing is revoked: 0 is a reason, too. */
    if (r == 0)
        r = db_change(db, "admitting",
                      "INSERT INTO admission (plant, proof, state, code, replaces, revoke_old, made_at,"
                      " expires_at, made_by, note)"
                      " VALUES (?, ?, 'open', ?, ?, nullif(?, -1), ?, ?, ?, nullif(?, ''))",
                      "tthhiiitt", a->plant, proofs[a->kind], row->code_sha256, a->replace,
                      (int64_t)a->revoke_old, a->made_at, a->expires_at, a->by, a->note);
    if (r < 0)
        return r;
    *ret_id = sqlite3_last_insert_rowid(db->handle);
    return 0;
}

int db_admission_step(struct ledger *ledger, const struct ca_admission *row, const char *from)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "deciding on an admission",
                         "UPDATE admission SET state = ?1, key = ?2, decided_at = ?3"
                         " WHERE id = ?4 AND state = ?5 AND (key IS NULL OR key = ?2)",
                         "thoit", row->state, row->key_sha256, row->decided_at, row->id, from);
}

#define ADMISSION_COLUMNS                                                                                    \
    "id, proof, state, code, key, replaces, coalesce(revoke_old, -1), made_at, expires_at, decided_at,"      \
    " plant, made_by, note"

static void read_admission(sqlite3_stmt *s, struct ledger_admission *ret)
{
    struct ledger_admission row = {.record = {
                                       .id = sqlite3_column_int64(s, 0),
                                       .revoke_old = sqlite3_column_int(s, 6),
                                       .made_at = sqlite3_column_int64(s, 7),
                                       .expires_at = sqlite3_column_int64(s, 8),
                                       .decided_at = sqlite3_column_int64(s, 9),
                                   }};
    char proof[8];
    db_text(s, 1, proof, sizeof proof);
    row.record.kind = strcmp(proof, proofs[CA_ADMIT_CODE]) == 0 ? CA_ADMIT_CODE : CA_ADMIT_PENDING;
    db_text(s, 2, row.record.state, sizeof row.record.state);
    db_hex(s, 3, row.code_sha256, sizeof row.code_sha256);
    db_hex(s, 4, row.record.key_sha256, sizeof row.record.key_sha256);
    db_hex(s, 5, row.record.replace, sizeof row.record.replace);
    db_text(s, 10, row.record.plant, sizeof row.record.plant);
    db_text(s, 11, row.record.by, sizeof row.record.by);
    db_text(s, 12, row.record.note, sizeof row.record.note);
    *ret = row;
}

int db_admission_get(struct ledger *ledger, const char *plant, int64_t id, struct ledger_admission *ret)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = plant ? db_prepare(db,
                               "SELECT " ADMISSION_COLUMNS
                               " FROM admission WHERE plant = ? ORDER BY id DESC LIMIT 1",
                               &s, "t", plant)
                  : db_prepare(db, "SELECT " ADMISSION_COLUMNS " FROM admission WHERE id = ?", &s, "i", id);
    if (r == 0)
        r = db_step(db, s);
    if (r < 0)
        return r;
    if (r > 0)
        read_admission(s, ret);
    else
        *ret = (struct ledger_admission){0};
    return 0;
}

int db_admission_each(struct ledger *ledger, const char *plant, ledger_admission_row *row, void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = plant ? db_prepare(db, "SELECT " ADMISSION_COLUMNS " FROM admission WHERE plant = ? ORDER BY id",
                               &s, "t", plant)
                  : db_prepare(db, "SELECT " ADMISSION_COLUMNS " FROM admission ORDER BY id", &s, "");
    if (r < 0)
        return r;
    while ((r = db_step(db, s)) > 0) {
        struct ledger_admission found;
        read_admission(s, &found);
        r = row(context, &found);
        if (r != 0)
            return r;
    }
    return r;
}

int db_waiting_add(struct ledger *ledger, const struct ca_waiting *row)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "recording who waits",
                         "INSERT INTO waiting (admission, key, key_type, address, state, first_at, last_at,"
                         " times) VALUES (?1, ?2, ?3, ?4, 'waiting', ?5, ?5, 1)",
                         "ihtti", row->admission, row->key_sha256, row->key_type, row->from, row->first_at);
}

int db_waiting_step(struct ledger *ledger, const struct ca_waiting *row)
{
    struct db *db = (struct db *)ledger;
    int r = db_writing(db);
    return r ? r
             : db_change(db, "deciding on a key that waits",
                         "UPDATE waiting SET state = ?, address = ?, last_at = ?, times = ?, decided_at = ?,"
                         " decided_by = nullif(?, '') WHERE id = ? AND state = 'waiting'",
                         "ttiioti", row->state, row->from, row->last_at, row->times, row->decided_at, row->by,
                         row->id);
}

#define WAITING_COLUMNS                                                                                      \
    "w.id, w.admission, w.first_at, w.last_at, w.times, w.decided_at, a.plant, w.key, w.key_type,"           \
    " w.address, w.state, w.decided_by"

static void read_waiting(sqlite3_stmt *s, struct ca_waiting *ret)
{
    struct ca_waiting row = {
        .id = sqlite3_column_int64(s, 0),
        .admission = sqlite3_column_int64(s, 1),
        .first_at = sqlite3_column_int64(s, 2),
        .last_at = sqlite3_column_int64(s, 3),
        .times = sqlite3_column_int64(s, 4),
        .decided_at = sqlite3_column_int64(s, 5),
    };
    db_text(s, 6, row.plant, sizeof row.plant);
    db_hex(s, 7, row.key_sha256, sizeof row.key_sha256);
    db_text(s, 8, row.key_type, sizeof row.key_type);
    db_text(s, 9, row.from, sizeof row.from);
    db_text(s, 10, row.state, sizeof row.state);
    db_text(s, 11, row.by, sizeof row.by);
    *ret = row;
}

int db_waiting_each(struct ledger *ledger, int64_t admission, int64_t now, ledger_waiting_row *row,
                    void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = admission ? db_prepare(db,
                                   "SELECT " WAITING_COLUMNS " FROM waiting w JOIN admission a"
                                   " ON a.id = w.admission WHERE w.admission = ? ORDER BY w.id",
                                   &s, "i", admission)
                      : db_prepare(db,
                                   "SELECT " WAITING_COLUMNS " FROM admission a JOIN waiting w"
                                   " ON w.admission = a.id WHERE a.state = 'open' AND a.expires_at > ?"
                                   " AND a.key IS NULL AND w.state = 'waiting' ORDER BY w.id",
                                   &s, "i", now);
    if (r < 0)
        return r;
    while ((r = db_step(db, s)) > 0) {
        struct ca_waiting found;
        read_waiting(s, &found);
        r = row(context, &found);
        if (r != 0)
            return r;
    }
    return r;
}
