/* Opening and closing the SQLite ledger, its transactions, and which owners of unfinished rows are alive. */
#include "src/ca/sqlite/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/random.h"

#define BUSY_MS 10000 /* how long another writer is waited for */

static struct db *db_of(struct ledger *ledger)
{
    return (struct db *)ledger;
}

void db_disconnect(struct db *db)
{
    for (size_t i = 0; i < DB_STATEMENTS; i++)
        sqlite3_finalize(db->kept[i].statement);
    for (size_t i = 0; i < DB_SEARCHES; i++)
        sqlite3_finalize(db->searches[i].statement);
    memset(db->kept, 0, sizeof db->kept);
    memset(db->searches, 0, sizeof db->searches);
    sqlite3_close(pc_steal(db->handle));
}

static void db_close(struct ledger *ledger)
{
    struct db *db = db_of(ledger);
    db_disconnect(db);
    if (db->owners_fd >= 0)
        close(db->owners_fd);
    free(db->path);
    free(db);
}

static const char *db_path(struct ledger *ledger)
{
    return db_of(ledger)->path;
}

static int db_begin(struct ledger *ledger, bool write)
{
    struct db *db = db_of(ledger);
    if (db->in_transaction)
        return pc_fail(PC_EFAIL, "ledger: a transaction inside another");
    int r = db_run(db, write ? "BEGIN IMMEDIATE" : "BEGIN", "");
    if (r == 0) {
        db->in_transaction = true;
        db->writing = write;
    }
    return r;
}

static int db_begin_shared(struct ledger *ledger)
{
    return db_begin(ledger, true);
}

/* One writer at a time: what it reads stays so. */
static int db_claim(struct ledger *ledger, const char *profile, const char *subject)
{
    (void)ledger;
    (void)profile;
    (void)subject;
    return 0;
}

/* One station: its folder's lock has done it. */
static int db_turn(struct ledger *ledger, enum ledger_turn turn, bool take)
{
    (void)ledger;
    (void)turn;
    (void)take;
    return 0;
}

static void end(struct db *db)
{
    db->in_transaction = db->writing = db->head_known = false;
}

static void db_rollback(struct ledger *ledger)
{
    struct db *db = db_of(ledger);
    /* Some errors (a full disk) have made SQLite roll back by itself. */
    if (!sqlite3_get_autocommit(db->handle))
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    end(db);
}

static int db_commit(struct ledger *ledger)
{
    struct db *db = db_of(ledger);
    int r = db_run(db, "COMMIT", "");
    if (r < 0)
        db_rollback(ledger);
    end(db);
    return r;
}

static void db_patience(struct ledger *ledger, int ms)
{
    sqlite3_busy_timeout(db_of(ledger)->handle, ms);
}

/* A row's owner is a random number, and lives while someone holds the lock on the byte at that offset of a
 * file beside the ledger: such a lock ends with its process, means the same in every PID namespace, and
 * survives nothing. */
static int owners_file(struct db *db)
{
    if (db->owners_fd >= 0)
        return 0;
    pc_autofree char *path = NULL;
    if (asprintf(&path, "%s-owners", db->path) < 0) {
        path = NULL;
        return pc_fail(PC_EFAIL, "out of memory");
    }
    if (!pc_file_exists(path)) {
        int r = pc_file_write(path, "", 0, &(struct pc_file_options){.mode = 0600, .fresh = true});
        if (r < 0 && strcmp(pc_error_name(), "file-exists") != 0)
            return r;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return pc_fail_errno(PC_EUNREACH, "%s", path);
    db->owners_fd = fd;
    return 0;
}

static int take_self(struct db *db)
{
    int r = owners_file(db);
    if (r < 0 || db->self != 0)
        return r;
    uint64_t random = 0;
    r = pc_random(&random, sizeof random);
    if (r < 0)
        return r;
    int64_t self = (int64_t)(random >> 2) | 1;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = self, .l_len = 1};
    if (fcntl(db->owners_fd, F_OFD_SETLK, &lock) != 0)
        return pc_fail_errno(PC_EFAIL, "%s-owners", db->path);
    db->self = self;
    return 0;
}

static int64_t db_self(struct ledger *ledger)
{
    return take_self(db_of(ledger)) == 0 ? db_of(ledger)->self : 0;
}

static int db_owner_lives(struct ledger *ledger, int64_t owner, bool *ret)
{
    struct db *db = db_of(ledger);
    if (owner == 0 || owner == db->self) {
        *ret = owner != 0;
        return 0;
    }
    int r = owners_file(db);
    if (r < 0)
        return r;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = owner, .l_len = 1};
    if (fcntl(db->owners_fd, F_OFD_GETLK, &lock) != 0)
        return pc_fail_errno(PC_EFAIL, "%s-owners", db->path);
    *ret = lock.l_type != F_UNLCK;
    return 0;
}

static const struct ledger_ops sqlite_ops = {
    .close = db_close,
    .path = db_path,
    .patience = db_patience,
    .begin = db_begin,
    .begin_shared = db_begin_shared,
    .claim = db_claim,
    .commit = db_commit,
    .rollback = db_rollback,
    .turn = db_turn,
    .issuer_plan = db_issuer_plan,
    .issuer_replan = db_issuer_replan,
    .issuer_activate = db_issuer_activate,
    .issuer_get = db_issuer_get,
    .issuer_each = db_issuer_each,
    .issuer_import = db_issuer_import,
    .issuer_certificate = db_issuer_certificate,
    .reserve = db_reserve,
    .signing = db_signing,
    .issue = db_issue,
    .supersede = db_supersede,
    .revoke = db_revoke,
    .hold = db_hold,
    .release = db_release,
    .record = db_record,
    .condemn = db_condemn,
    .annul = db_annul,
    .self = db_self,
    .owner_lives = db_owner_lives,
    .own = db_own,
    .find = db_find,
    .facts = db_facts,
    .body = db_body,
    .key_subject = db_key_subject,
    .count = db_count,
    .crl_last = db_crl_last,
    .crl_reserve = db_crl_reserve,
    .crl_issue = db_crl_issue,
    .crl_body = db_crl_body,
    .crl_entries = db_crl_entries,
    .crl_behind = db_crl_behind,
    .crl_short = db_crl_short,
    .orphan_each = db_orphan_each,
    .publication_each = db_publication_each,
    .schema_fault = db_schema_fault,
    .crl_adopt = db_crl_adopt,
    .orphan_add = db_orphan_add,
    .crl_pardon = db_crl_pardon,
    .key_plan = db_key_plan,
    .key_activate = db_key_activate,
    .key_retire = db_key_retire,
    .key_each = db_key_each,
    .publication_add = db_publication_add,
    .publication_last = db_publication_last,
    .audit_head = db_audit_head,
    .audit_append = db_audit_append,
    .audit_heads = db_audit_heads,
    .audit_each = db_audit_each,
    .audit_of = db_audit_of,
    .checkpoint_add = db_checkpoint_add,
    .checkpoint_shipped = db_checkpoint_shipped,
    .checkpoint_each = db_checkpoint_each,
    .admission_add = db_admission_add,
    .admission_step = db_admission_step,
    .admission_get = db_admission_get,
    .admission_each = db_admission_each,
    .waiting_add = db_waiting_add,
    .waiting_step = db_waiting_step,
    .waiting_each = db_waiting_each,
};

int db_configure(struct db *db, const char *more)
{
    static const char pragmas[] = "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
                                  "PRAGMA cell_size_check = ON; PRAGMA cache_size = -16384;";
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    sqlite3_extended_result_codes(db->handle, 1);
    if (sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK ||
        sqlite3_exec(db->handle, more, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db->handle, pragmas, NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(db, "opening");
    return 0;
}

static int make_file(const char *path)
{
    /* Made by us, so that it and what SQLite puts beside it are 0600 whatever the umask. */
    int r = pc_file_write(path, "", 0, &(struct pc_file_options){.mode = 0600, .fresh = true});
    return r < 0 && strcmp(pc_error_name(), "file-exists") != 0 ? r : 0;
}

static int read_chain(struct db *db)
{
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db, "SELECT chain FROM ledger", &s, "");
    if (r < 0)
        return r;
    r = db_step(db, s);
    if (r < 0)
        return r;
    if (r == 0)
        return pc_fail(PC_EFAIL, "ledger %s: has no name", db->path);
    db_text(s, 0, db->chain, sizeof db->chain);
    return 0;
}

/* WAL with synchronous=FULL: with NORMAL a power cut may take back commits that were reported. */
static int open_to_write(struct db *db, enum ledger_open how)
{
    unsigned char random[16];
    char chain[2 * sizeof random + 1];
    int r = pc_random(random, sizeof random);
    if (r < 0)
        return r;
    pc_hex(random, sizeof random, chain);
    if (sqlite3_open_v2(db->path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) !=
        SQLITE_OK)
        return db_fail(db, "opening");
    r = db_configure(
        db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8192;");
    return r < 0 ? r : db_schema_ensure(db, how == LEDGER_CREATE ? chain : NULL);
}

int sqlite_ledger_open(const char *path, enum ledger_open how, struct ledger **ret)
{
    if (!pc_file_exists(path)) {
        if (how != LEDGER_CREATE)
            return pc_refuse("ledger-missing", "%s: there is no ledger", path);
        int r = make_file(path);
        if (r < 0)
            return r;
    }
    struct db *db = calloc(1, sizeof *db);
    if (!db)
        return pc_fail(PC_EFAIL, "out of memory");
    db->base.ops = &sqlite_ops;
    db->owners_fd = -1;
    struct ledger *ledger PC_CLEANUP(ledger_close_ref) = &db->base;
    db->path = strdup(path);
    if (!db->path)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = how == LEDGER_READONLY ? db_open_to_read(db) : open_to_write(db, how);
    if (r == 0)
        r = read_chain(db);
    if (r < 0)
        return r;
    *ret = pc_steal(ledger);
    return 0;
}
