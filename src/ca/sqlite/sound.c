/* What verification reads beside certificates and CRLs: orphans, publications, and whether the tables and
 * their rules are those that this program makes. */
#include "src/ca/sqlite/schema.h"

#include <stdio.h>
#include <string.h>

#include "src/base/error.h"

int db_orphan_each(struct ledger *ledger, int64_t issuer, ledger_entry_row *row, void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(
        db, "SELECT serial, revoked_at, reason, invalid_since FROM orphan WHERE issuer = ? ORDER BY id", &s,
        "i", issuer);
    return r < 0 ? r : db_entries_each(db, s, row, context);
}

int db_publication_each(struct ledger *ledger, ledger_publication_row *row, void *context)
{
    struct db *db = (struct db *)ledger;
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(
        db, "SELECT id, at, crl_number, dir, crl_sha256, ca_sha256 FROM publication ORDER BY id", &s, "");
    if (r < 0)
        return r;
    while ((r = db_step(db, s)) > 0) {
        struct ledger_publication found = {.id = sqlite3_column_int64(s, 0),
                                           .at = sqlite3_column_int64(s, 1),
                                           .crl_number = (uint64_t)sqlite3_column_int64(s, 2)};
        db_text(s, 3, found.dir, sizeof found.dir);
        db_hex(s, 4, found.crl_sha256, sizeof found.crl_sha256);
        db_hex(s, 5, found.ca_sha256, sizeof found.ca_sha256);
        r = row(context, &found);
        if (r != 0)
            return r;
    }
    return r;
}

#define OBJECTS                                                                                              \
    "SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*'"        \
    " ORDER BY 1"

static void finalize(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}

/* Both lists, in one order, side by side. */
static int compare(struct db *db, struct db *fresh, char ret[256])
{
    sqlite3_stmt *is PC_CLEANUP(db_done_ref) = NULL, *wanted PC_CLEANUP(finalize) = NULL;
    int r = db_prepare(db, OBJECTS, &is, "");
    if (r == 0 && sqlite3_prepare_v2(fresh->handle, OBJECTS, -1, &wanted, NULL) != SQLITE_OK)
        r = db_fail(fresh, "reading its tables");
    for (*ret = '\0'; r >= 0 && !*ret;) {
        int left = db_step(db, is), right = sqlite3_step(wanted) == SQLITE_ROW;
        if (left < 0)
            return left;
        if (!left && !right)
            return 0;
        const char *name = left ? (const char *)sqlite3_column_text(is, 0) : NULL;
        const char *other = right ? (const char *)sqlite3_column_text(wanted, 0) : NULL;
        int order = !name ? 1 : !other ? -1 : strcmp(name, other);
        if (order > 0)
            snprintf(ret, 256, "%s is missing", other);
        else if (order < 0)
            snprintf(ret, 256, "%s is none of ours", name);
        else if (strcmp((const char *)sqlite3_column_text(is, 1),
                        (const char *)sqlite3_column_text(wanted, 1)) != 0)
            snprintf(ret, 256, "%s is not as we make it", name);
    }
    return r < 0 ? r : 0;
}

int db_schema_fault(struct ledger *ledger, char ret[256])
{
    struct db *db = (struct db *)ledger;
    struct db fresh = {.path = db->path};
    int r = sqlite3_open(":memory:", &fresh.handle) == SQLITE_OK ? 0 : db_fail(&fresh, "in memory");
    if (r == 0)
        r = db_make_tables(&fresh);
    if (r == 0)
        r = db_make_rules(&fresh);
    if (r == 0)
        r = compare(db, &fresh, ret);
    sqlite3_close(fresh.handle);
    return r;
}
