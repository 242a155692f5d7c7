/* From an older ledger to LEDGER_SCHEMA, in one transaction. Of the first version the old tables are set
 * aside under another name, the tables of today are made as for a new ledger, the rows are carried over,
 * judged, and only then get their rules; the second lacks tables, and is given them. An interrupted migration
 * leaves the old ledger as it was. */
#include "src/ca/sqlite/schema.h"

#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/pki/key.h"

#define APPLICATION_ID                                                                                       \
    0x70634c31 /* "pcL1", so that file(1) and we can tell a ledger from any other database */

/* What a query gives, as statements, run in its order. */
static int run_each(struct db *db, const char *query)
{
    sqlite3_str *script = sqlite3_str_new(db->handle);
    sqlite3_stmt *s = NULL;
    int r = sqlite3_prepare_v2(db->handle, query, -1, &s, NULL) == SQLITE_OK ? 0 : db_fail(db, "migrating");
    while (r == 0 && (r = db_step(db, s)) > 0) {
        sqlite3_str_appendf(script, "%s;", sqlite3_column_text(s, 0));
        r = 0;
    }
    sqlite3_finalize(s);
    char *text = sqlite3_str_finish(script);
    if (r == 0 && text && sqlite3_exec(db->handle, text, NULL, NULL, NULL) != SQLITE_OK)
        r = db_fail(db, "migrating");
    sqlite3_free(text);
    return r;
}

/* sha256(blob), and octets(hex), for the queries below. */
static void sql_sha256(sqlite3_context *context, int count, sqlite3_value **values)
{
    char hex[PKI_FINGERPRINT_TEXT];
    unsigned char octets[32];
    size_t len = 0;
    const void *data = sqlite3_value_blob(values[0]);
    (void)count;
    if (!data)
        sqlite3_result_null(context);
    else if (pki_digest_hex(data, (size_t)sqlite3_value_bytes(values[0]), hex) < 0 ||
             pc_unhex(hex, octets, sizeof octets, &len) < 0)
        sqlite3_result_error(context, "no digest", -1);
    else
        sqlite3_result_blob(context, octets, (int)len, SQLITE_TRANSIENT);
}

static void sql_octets(sqlite3_context *context, int count, sqlite3_value **values)
{
    unsigned char octets[64];
    size_t len = 0;
    const char *hex = (const char *)sqlite3_value_text(values[0]);
    (void)count;
    if (!hex || strlen(hex) > 2 * sizeof octets || pc_unhex(hex, octets, sizeof octets, &len) < 0)
        sqlite3_result_null(context);
    else
        sqlite3_result_blob(context, octets, (int)len, SQLITE_TRANSIENT);
}

/* Version 1 knew a key by its hash alone, CRLs without theirs, and audit rows without what they were about,
 * but for the serial number in the line. It had one issuer. */
static const char from_first[] =
    "INSERT INTO ledger SELECT one, chain FROM old_ledger;"
    "INSERT INTO issuer (id, state, subject, key_type, key_label, key_id, token_serial, days, planned_at,"
    "    certificate)"
    "  SELECT id, state, subject, key_type, key_label, key_id, token_serial, days, planned_at, certificate"
    "  FROM old_issuer;"
    "INSERT INTO key (sha256, subject) SELECT sha256, subject FROM old_key;"
    "INSERT INTO certificate (id, issuer, serial, profile, subject, key, state, owner, predecessor,"
    "    not_before, not_after, reserved_at, issued_at, sha256, revoke_after, revoked_at, reason,"
    "    listed_from, condemned)"
    "  SELECT id, issuer, serial, profile, subject, (SELECT id FROM key WHERE sha256 = c.key), state, owner,"
    "    predecessor, not_before, not_after, reserved_at, issued_at, sha256, revoke_after, revoked_at,"
    "    reason, listed_from, condemned"
    "  FROM old_certificate c ORDER BY id;"
    "INSERT INTO body SELECT certificate, tbs, der FROM old_body ORDER BY certificate;"
    "INSERT INTO crl (id, issuer, number, this_update, next_update, entries, tbs, der, sha256)"
    "  SELECT id, issuer, number, this_update, next_update, entries, tbs, der, sha256(der)"
    "  FROM old_crl ORDER BY id;"
    "INSERT INTO audit (id, chain, seq, line, sha256, certificate)"
    "  SELECT id, chain, seq, line, sha256, (SELECT c.id FROM issuer i JOIN certificate c ON c.issuer = i.id"
    "    WHERE c.serial = CASE WHEN json_valid(line) THEN octets(json_extract(line, '$.serial')) END)"
    "  FROM old_audit ORDER BY id;";

/* Nothing that refers to something may have lost it. */
static int check_references(struct db *db)
{
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db, "PRAGMA foreign_key_check", &s, "");
    if (r == 0)
        r = db_step(db, s);
    if (r > 0)
        r = pc_fail(PC_EFAIL, "ledger %s: a row of table %s refers to one that is not there", db->path,
                    (const char *)sqlite3_column_text(s, 0));
    return r;
}

static int carry_over(struct db *db)
{
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;
    if (sqlite3_create_function(db->handle, "sha256", 1, flags, NULL, sql_sha256, NULL, NULL) != SQLITE_OK ||
        sqlite3_create_function(db->handle, "octets", 1, flags, NULL, sql_octets, NULL, NULL) != SQLITE_OK)
        return db_fail(db, "migrating");
    int r = run_each(db, "SELECT 'DROP ' || type || ' ' || name FROM sqlite_schema"
                         " WHERE type = 'trigger' OR (type = 'index' AND sql IS NOT NULL)");
    if (r == 0)
        r = run_each(db, "SELECT 'ALTER TABLE ' || name || ' RENAME TO old_' || name FROM sqlite_schema"
                         " WHERE type = 'table'");
    if (r == 0)
        r = db_make_tables(db);
    if (r == 0 && sqlite3_exec(db->handle, from_first, NULL, NULL, NULL) != SQLITE_OK)
        r = db_fail(db, "migrating");
    if (r == 0)
        r = run_each(db, "SELECT 'DROP TABLE ' || name FROM sqlite_schema"
                         " WHERE type = 'table' AND name GLOB 'old_*'");
    if (r == 0)
        r = check_references(db);
    return r < 0 ? r : db_make_rules(db);
}

static int make_new(struct db *db, const char *chain)
{
    int r = db_make_tables(db);
    if (r == 0)
        r = db_run(db, "INSERT INTO ledger (one, chain) VALUES (1, ?)", "t", chain);
    return r < 0 ? r : db_make_rules(db);
}

static int bring_up(struct db *db, int64_t from, const char *chain)
{
    char text[96];
    int r = from == 0 ? make_new(db, chain) : from == 1 ? carry_over(db) : db_make_third(db);
    if (r < 0)
        return r;
    snprintf(text, sizeof text, "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
             LEDGER_SCHEMA);
    if (sqlite3_exec(db->handle, text, NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(db, "writing its version");
    return 0;
}

static int pragma_number(struct db *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db, sql, &s, "");
    if (r == 0)
        r = db_step(db, s);
    if (r < 0)
        return r;
    *ret = r ? sqlite3_column_int64(s, 0) : 0;
    return 0;
}

static int bring_up_in_transaction(struct db *db, const char *chain)
{
    int64_t version = 0;
    int r = db->base.ops->begin(&db->base, true);
    if (r < 0)
        return r;
    /* Again, now that nobody else can write: two that start at once find the same old version. */
    r = pragma_number(db, "PRAGMA user_version", &version);
    if (r == 0 && version < LEDGER_SCHEMA)
        r = bring_up(db, version, chain);
    if (r < 0) {
        db->base.ops->rollback(&db->base);
        return r;
    }
    return db->base.ops->commit(&db->base);
}

int db_schema_version(struct db *db, int64_t *ret)
{
    int64_t version = 0, application = 0, objects = 0;
    int r = pragma_number(db, "PRAGMA user_version", &version);
    if (r == 0)
        r = pragma_number(db, "PRAGMA application_id", &application);
    if (r == 0)
        r = pragma_number(db, "SELECT count(*) FROM sqlite_schema", &objects);
    if (r < 0)
        return r;
    if (objects > 0 && application != APPLICATION_ID)
        return pc_refuse("ledger-foreign", "%s: a database, but not a ledger", db->path);
    if (version > LEDGER_SCHEMA || version < 0)
        return pc_refuse("ledger-version", "%s: ledger of version %lld; this program knows up to %d",
                         db->path, (long long)version, LEDGER_SCHEMA);
    *ret = version;
    return 0;
}

int db_schema_ensure(struct db *db, const char *chain)
{
    int64_t version = 0;
    int r = db_schema_version(db, &version);
    if (r < 0 || version == LEDGER_SCHEMA)
        return r;
    if (version == 0 && !chain)
        return pc_refuse("ledger-missing", "%s: empty", db->path);
    /* Tables go and come: what refers to what is checked as a whole, before the commit. */
    if (sqlite3_exec(db->handle, "PRAGMA foreign_keys = OFF", NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(db, "migrating");
    r = bring_up_in_transaction(db, chain);
    if (r == 0 && sqlite3_exec(db->handle, "PRAGMA foreign_keys = ON", NULL, NULL, NULL) != SQLITE_OK)
        r = db_fail(db, "migrating");
    return r;
}
