/* A ledger that is opened to be read: where it lies, if that leaves nothing behind that its owner could not
 * write to; else as a private copy, which is also where a ledger of an older schema is brought up to today's.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/scratch.h"
#include "src/ca/sqlite/sqlite.h"

#define COPY_TRIES 3

static int open_file(struct db *db, const char *path, int flags, const char *pragmas)
{
    int code = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_FULLMUTEX, NULL);
    return code == SQLITE_OK ? db_configure(db, pragmas) : db_fail(db, "opening");
}

/* SQLite needs its -shm file beside a ledger in WAL mode, and makes it where it is missing. One that is made
 * by an auditor would shut the CA's own user out. */
static int may_open(const struct db *db, bool *ret)
{
    pc_autofree char *shared = NULL;
    if (asprintf(&shared, "%s-shm", db->path) < 0) {
        shared = NULL;
        return pc_fail(PC_EFAIL, "out of memory");
    }
    *ret = access(db->path, W_OK) == 0 || pc_file_exists(shared);
    return 0;
}

static int open_in_place(struct db *db, int64_t *ret_version)
{
    int r = open_file(db, db->path, SQLITE_OPEN_READONLY, "");
    return r < 0 ? r : db_schema_version(db, ret_version);
}

/* Every file that holds rows, as it stands. */
struct state {
    struct stat file, log;
};

static struct stat look(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? status : (struct stat){0};
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Rows are in the file, and in the log (-wal) beside it until they are carried over. */
static int copy_once(const struct db *db, const char *log, struct pc_scratch *scratch, bool *ret_whole)
{
    const struct state before = {look(db->path), look(log)};
    int r = pc_scratch_copy(scratch, db->path, "ledger.db");
    if (r == 0 && before.log.st_size > 0)
        r = pc_scratch_copy(scratch, log, "ledger.db-wal");
    const struct state after = {look(db->path), look(log)};
    *ret_whole = same(&before.file, &after.file) && same(&before.log, &after.log);
    return r;
}

static int copy(const struct db *db, struct pc_scratch **ret)
{
    pc_autofree char *log = NULL;
    if (asprintf(&log, "%s-wal", db->path) < 0) {
        log = NULL;
        return pc_fail(PC_EFAIL, "out of memory");
    }
    for (int i = 0; i < COPY_TRIES; i++) {
        struct pc_scratch *scratch PC_CLEANUP(pc_scratch_free_ref) = NULL;
        bool whole = false;
        int r = pc_scratch_new(&scratch);
        if (r == 0)
            r = copy_once(db, log, scratch, &whole);
        if (r < 0)
            return r;
        if (whole) {
            *ret = pc_steal(scratch);
            return 0;
        }
    }
    return pc_fail_named(PC_EUNREACH, "ledger-busy",
                         "ledger %s: it is being written to, and cannot be copied meanwhile", db->path);
}

/* The copy's files go at once: what is open stays until it is closed, and no kill leaves it behind. */
static int open_copy(struct db *db)
{
    struct pc_scratch *scratch PC_CLEANUP(pc_scratch_free_ref) = NULL;
    pc_autofree char *path = NULL;
    int r = copy(db, &scratch);
    if (r < 0)
        return r;
    path = pc_path_join(pc_scratch_path(scratch), "ledger.db");
    if (!path)
        return pc_fail(PC_EFAIL, "out of memory");
    r = open_file(db, path, SQLITE_OPEN_READWRITE, "PRAGMA locking_mode = EXCLUSIVE;");
    return r < 0 ? r : db_schema_ensure(db, NULL);
}

static bool is_out_of_reach(int r)
{
    return r == PC_EUNREACH &&
           (strcmp(pc_error_name(), "ledger-away") == 0 || strcmp(pc_error_name(), "ledger-readonly") == 0);
}

int db_open_to_read(struct db *db)
{
    int64_t version = 0;
    bool in_place = false;
    if (access(db->path, R_OK) != 0)
        return pc_fail_errno(PC_EUNREACH, "ledger %s", db->path);
    int r = may_open(db, &in_place);
    if (r == 0 && in_place)
        r = open_in_place(db, &version);
    if (r < 0 && !is_out_of_reach(r))
        return r;
    if (r < 0 || version != LEDGER_SCHEMA) {
        db_disconnect(db);
        r = open_copy(db);
    }
    if (r == 0 && sqlite3_exec(db->handle, "PRAGMA query_only = ON", NULL, NULL, NULL) != SQLITE_OK)
        r = db_fail(db, "opening");
    return r;
}
