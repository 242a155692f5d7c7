/* The tables, and the rules that they enforce by themselves. Versions only ever get added at the end. */
#include "src/ca/sqlite/sqlite.h"

#include <assert.h>
#include <stdio.h>

#include "src/base/error.h"

#define APPLICATION_ID                                                                                       \
    0x70634c31 /* "pcL1", so that file(1) and we can tell a ledger from any other database */

static const char tables_issuer[] =
    "CREATE TABLE ledger ("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  chain TEXT NOT NULL CHECK (length(chain) = 32)"
    ") STRICT;"
    "CREATE TABLE issuer ("
    "  id INTEGER PRIMARY KEY,"
    "  state TEXT NOT NULL CHECK (state IN ('planned', 'active')),"
    "  subject TEXT NOT NULL CHECK (subject <> ''),"
    "  key_type TEXT NOT NULL,"
    "  key_label TEXT NOT NULL,"
    "  key_id BLOB NOT NULL UNIQUE CHECK (length(key_id) BETWEEN 1 AND 64),"
    "  token_serial TEXT NOT NULL,"
    "  days INTEGER NOT NULL CHECK (days > 0),"
    "  planned_at INTEGER NOT NULL,"
    "  certificate INTEGER REFERENCES certificate (id),"
    "  CHECK ((state = 'active') = (certificate IS NOT NULL))"
    ") STRICT;"
    "CREATE UNIQUE INDEX issuer_one ON issuer (state);"
    /* A key belongs to the first subject that it was certified for, for ever. */
    "CREATE TABLE key ("
    "  sha256 BLOB PRIMARY KEY CHECK (length(sha256) = 32),"
    "  subject TEXT NOT NULL CHECK (subject <> '')"
    ") STRICT, WITHOUT ROWID;";

static const char tables_certificate[] =
    "CREATE TABLE certificate ("
    "  id INTEGER PRIMARY KEY,"
    "  issuer INTEGER NOT NULL REFERENCES issuer (id),"
    "  serial BLOB NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),"
    "  profile TEXT NOT NULL CHECK (length(profile) BETWEEN 1 AND 15),"
    "  subject TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),"
    "  key BLOB NOT NULL REFERENCES key (sha256),"
    "  state TEXT NOT NULL"
    "    CHECK (state IN ('reserved', 'signing', 'current', 'superseded', 'held', 'revoked', 'void')),"
    "  owner INTEGER CHECK (owner IS NULL OR state IN ('reserved', 'signing')),"
    "  predecessor INTEGER REFERENCES certificate (id) CHECK (predecessor <> id),"
    "  not_before INTEGER NOT NULL,"
    "  not_after INTEGER NOT NULL CHECK (not_after >= not_before),"
    "  reserved_at INTEGER NOT NULL,"
    "  issued_at INTEGER,"
    "  sha256 BLOB CHECK (length(sha256) = 32),"
    "  revoke_after INTEGER,"
    "  revoked_at INTEGER,"
    "  reason INTEGER CHECK (reason BETWEEN 0 AND 10 AND reason NOT IN (7, 8)),"
    "  listed_from INTEGER CHECK (listed_from > 0),"
    "  condemned INTEGER NOT NULL DEFAULT 0 CHECK (condemned IN (0, 1)),"
    "  UNIQUE (issuer, serial),"
    "  CHECK ((issued_at IS NULL) = (state IN ('reserved', 'signing', 'void'))),"
    "  CHECK ((issued_at IS NULL) = (sha256 IS NULL)),"
    "  CHECK (state <> 'superseded' OR revoke_after IS NOT NULL),"
    "  CHECK (condemned = 0 OR state IN ('reserved', 'signing', 'void')),"
    "  CHECK ((listed_from IS NULL) = (revoked_at IS NULL)),"
    "  CHECK ((listed_from IS NULL) = (reason IS NULL)),"
    "  CHECK (listed_from IS NULL OR state IN ('held', 'revoked', 'void')),"
    "  CHECK (listed_from IS NOT NULL OR state NOT IN ('held', 'revoked'))"
    ") STRICT;"
    "CREATE UNIQUE INDEX certificate_current ON certificate (subject, profile) WHERE state = 'current';"
    "CREATE UNIQUE INDEX certificate_unfinished ON certificate (subject, profile)"
    "  WHERE state IN ('reserved', 'signing');"
    "CREATE INDEX certificate_subject ON certificate (subject);"
    "CREATE INDEX certificate_key ON certificate (key);"
    "CREATE INDEX certificate_overlap ON certificate (revoke_after) WHERE state = 'superseded';"
    "CREATE INDEX certificate_listed ON certificate (issuer, not_after) WHERE listed_from IS NOT NULL;"
    /* Apart from the row, so that lists do not read them. */
    "CREATE TABLE body ("
    "  certificate INTEGER PRIMARY KEY REFERENCES certificate (id),"
    "  tbs BLOB,"
    "  der BLOB,"
    "  CHECK ((tbs IS NULL) <> (der IS NULL))"
    ") STRICT;";

/* BEFORE INSERT and BEFORE UPDATE also stop OR REPLACE, which deletes rows without asking delete triggers. */
static const char rules_certificate[] =
    "CREATE TRIGGER certificate_new BEFORE INSERT ON certificate BEGIN"
    "  SELECT RAISE(ABORT, 'a row starts as reserved') WHERE NEW.state <> 'reserved';"
    "  SELECT RAISE(ABORT, 'rows are never replaced')"
    "    WHERE EXISTS (SELECT 1 FROM certificate WHERE id = NEW.id);"
    "  SELECT RAISE(ABORT, 'UNIQUE: issuer and serial')"
    "    WHERE EXISTS (SELECT 1 FROM certificate WHERE issuer = NEW.issuer AND serial = NEW.serial);"
    "  SELECT RAISE(ABORT, 'UNIQUE: one reservation a subject and profile')"
    "    WHERE EXISTS (SELECT 1 FROM certificate WHERE subject = NEW.subject AND profile = NEW.profile"
    "      AND state IN ('reserved', 'signing'));"
    "  SELECT RAISE(ABORT, 'the key belongs to another subject')"
    "    WHERE (SELECT subject FROM key WHERE sha256 = NEW.key) <> NEW.subject;"
    "END;"
    "CREATE TRIGGER certificate_fixed"
    "  BEFORE UPDATE OF id, issuer, serial, profile, subject, key, predecessor, not_before, not_after, "
    "reserved_at"
    "  ON certificate BEGIN SELECT RAISE(ABORT, 'what a row is about never changes'); END;"
    "CREATE TRIGGER certificate_state BEFORE UPDATE OF state ON certificate BEGIN"
    "  SELECT RAISE(ABORT, 'state transition not allowed') WHERE OLD.state || '>' || NEW.state NOT IN ("
    "    'reserved>signing', 'reserved>void', 'signing>current', 'signing>void', 'current>superseded',"
    "    'current>held', 'current>revoked', 'superseded>held', 'superseded>revoked', 'held>current',"
    "    'held>superseded', 'held>revoked');"
    "  SELECT RAISE(ABORT, 'no to-be-signed bytes on record') WHERE NEW.state = 'signing'"
    "    AND NOT EXISTS (SELECT 1 FROM body WHERE certificate = NEW.id AND tbs IS NOT NULL);"
    "  SELECT RAISE(ABORT, 'no certificate on record') WHERE NEW.state = 'current'"
    "    AND NOT EXISTS (SELECT 1 FROM body WHERE certificate = NEW.id AND der IS NOT NULL);"
    "  SELECT RAISE(ABORT, 'UNIQUE: one current certificate a subject and profile') WHERE NEW.state = "
    "'current'"
    "    AND EXISTS (SELECT 1 FROM certificate WHERE subject = NEW.subject AND profile = NEW.profile"
    "      AND state = 'current');"
    "  SELECT RAISE(ABORT, 'a void row that may have been signed must be listed') WHERE NEW.state = 'void'"
    "    AND NEW.listed_from IS NULL AND EXISTS (SELECT 1 FROM body WHERE certificate = NEW.id);"
    "END;"
    "CREATE TRIGGER certificate_final BEFORE UPDATE ON certificate WHEN OLD.state IN ('revoked', 'void')"
    "  BEGIN SELECT RAISE(ABORT, 'a revoked or void row never changes'); END;"
    "CREATE TRIGGER certificate_issued BEFORE UPDATE OF issued_at, sha256 ON certificate"
    "  WHEN OLD.issued_at IS NOT NULL BEGIN SELECT RAISE(ABORT, 'an issued certificate never changes'); END;"
    "CREATE TRIGGER certificate_kept BEFORE DELETE ON certificate"
    "  BEGIN SELECT RAISE(ABORT, 'rows are never deleted'); END;"
    "CREATE TRIGGER body_new BEFORE INSERT ON body BEGIN"
    "  SELECT RAISE(ABORT, 'bytes are recorded once, on a reservation') WHERE NEW.tbs IS NULL"
    "    OR EXISTS (SELECT 1 FROM body WHERE certificate = NEW.certificate)"
    "    OR (SELECT state FROM certificate WHERE id = NEW.certificate) <> 'reserved';"
    "END;"
    "CREATE TRIGGER body_signed BEFORE UPDATE ON body WHEN OLD.der IS NOT NULL OR NEW.der IS NULL"
    "  OR NEW.certificate <> OLD.certificate"
    "  OR (SELECT state FROM certificate WHERE id = NEW.certificate) <> 'signing'"
    "  BEGIN SELECT RAISE(ABORT, 'recorded bytes never change'); END;"
    "CREATE TRIGGER body_kept BEFORE DELETE ON body BEGIN SELECT RAISE(ABORT, 'rows are never deleted'); END;"
    "CREATE TRIGGER key_new BEFORE INSERT ON key"
    "  WHEN EXISTS (SELECT 1 FROM key WHERE sha256 = NEW.sha256)"
    "  BEGIN SELECT RAISE(ABORT, 'UNIQUE: the key is known'); END;"
    "CREATE TRIGGER key_fixed BEFORE UPDATE ON key"
    "  BEGIN SELECT RAISE(ABORT, 'a key belongs to its first subject'); END;"
    "CREATE TRIGGER key_kept BEFORE DELETE ON key BEGIN SELECT RAISE(ABORT, 'rows are never deleted'); END;";

static const char rules_issuer[] =
    "CREATE TRIGGER issuer_new BEFORE INSERT ON issuer WHEN NEW.state <> 'planned'"
    "  OR EXISTS (SELECT 1 FROM issuer WHERE id = NEW.id OR state = 'planned' OR key_id = NEW.key_id)"
    "  BEGIN SELECT RAISE(ABORT, 'an issuer starts as the only planned one'); END;"
    "CREATE TRIGGER issuer_fixed BEFORE UPDATE ON issuer WHEN OLD.state = 'active' OR NEW.id <> OLD.id"
    "  OR NEW.key_id <> OLD.key_id OR NEW.token_serial <> OLD.token_serial OR NEW.key_label <> OLD.key_label"
    "  OR (NEW.state = 'active' AND EXISTS (SELECT 1 FROM issuer WHERE state = 'active'))"
    "  BEGIN SELECT RAISE(ABORT, 'an issuer never changes'); END;"
    "CREATE TRIGGER issuer_kept BEFORE DELETE ON issuer BEGIN SELECT RAISE(ABORT, 'rows are never deleted'); "
    "END;";

static const char tables_crl[] =
    "CREATE TABLE crl ("
    "  id INTEGER PRIMARY KEY,"
    "  issuer INTEGER NOT NULL REFERENCES issuer (id),"
    "  number INTEGER NOT NULL CHECK (number > 0),"
    "  this_update INTEGER NOT NULL,"
    "  next_update INTEGER NOT NULL CHECK (next_update > this_update),"
    "  entries INTEGER NOT NULL CHECK (entries >= 0),"
    "  tbs BLOB,"
    "  der BLOB,"
    "  UNIQUE (issuer, number),"
    "  CHECK ((tbs IS NULL) <> (der IS NULL))"
    ") STRICT;"
    "CREATE TRIGGER crl_new BEFORE INSERT ON crl WHEN NEW.der IS NOT NULL"
    "  OR EXISTS (SELECT 1 FROM crl WHERE id = NEW.id OR (issuer = NEW.issuer"
    "    AND (number >= NEW.number OR this_update >= NEW.this_update)))"
    "  BEGIN SELECT RAISE(ABORT, 'CRL number and thisUpdate never go back'); END;"
    "CREATE TRIGGER crl_fixed BEFORE UPDATE ON crl WHEN OLD.der IS NOT NULL OR NEW.der IS NULL"
    "  OR NEW.id <> OLD.id OR NEW.issuer <> OLD.issuer OR NEW.number <> OLD.number"
    "  OR NEW.this_update <> OLD.this_update OR NEW.next_update <> OLD.next_update OR NEW.entries <> "
    "OLD.entries"
    "  BEGIN SELECT RAISE(ABORT, 'a CRL never changes'); END;"
    "CREATE TRIGGER crl_kept BEFORE DELETE ON crl BEGIN SELECT RAISE(ABORT, 'rows are never deleted'); END;";

static const char tables_audit[] =
    "CREATE TABLE audit ("
    "  id INTEGER PRIMARY KEY,"
    "  chain TEXT NOT NULL,"
    "  seq INTEGER NOT NULL CHECK (seq > 0),"
    "  line TEXT NOT NULL,"
    "  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),"
    "  UNIQUE (chain, seq)"
    ") STRICT;"
    "CREATE TRIGGER audit_new BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)"
    "  OR NEW.seq <> 1 + (SELECT coalesce(max(seq), 0) FROM audit WHERE chain = NEW.chain)"
    "  BEGIN SELECT RAISE(ABORT, 'audit rows are only appended'); END;"
    "CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit"
    "  BEGIN SELECT RAISE(ABORT, 'audit rows never change'); END;"
    "CREATE TRIGGER audit_kept BEFORE DELETE ON audit"
    "  BEGIN SELECT RAISE(ABORT, 'audit rows are never deleted'); END;";

static const char *const first_version[] = {
    tables_issuer, tables_certificate, rules_certificate, rules_issuer, tables_crl, tables_audit,
};

/* [n] brings a ledger of version n to version n + 1. */
static const struct migration {
    const char *const *sql;
    size_t count;
} migrations[] = {
    [0] = {first_version, sizeof first_version / sizeof *first_version},
};
static_assert(sizeof migrations / sizeof *migrations == LEDGER_SCHEMA, "a migration for each version");

static int pragma_number(struct db *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *s PC_CLEANUP(db_done_ref) = NULL;
    int r = db_prepare(db, sql, &s, "");
    if (r < 0)
        return r;
    r = db_step(db, s);
    if (r < 0)
        return r;
    *ret = r ? sqlite3_column_int64(s, 0) : 0;
    return 0;
}

static int migrate(struct db *db, size_t from, const char *chain)
{
    for (size_t v = from; v < LEDGER_SCHEMA; v++)
        for (size_t i = 0; i < migrations[v].count; i++)
            if (sqlite3_exec(db->handle, migrations[v].sql[i], NULL, NULL, NULL) != SQLITE_OK)
                return db_fail(db, "making its tables");
    if (from == 0) {
        int r = db_run(db, "INSERT INTO ledger (one, chain) VALUES (1, ?)", "t", chain);
        if (r < 0)
            return r;
    }
    char text[96];
    snprintf(text, sizeof text, "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
             LEDGER_SCHEMA);
    if (sqlite3_exec(db->handle, text, NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(db, "writing its version");
    return 0;
}

int db_schema_ensure(struct db *db, const char *chain)
{
    int64_t version = 0, application = 0, objects = 0;
    int r = pragma_number(db, "PRAGMA user_version", &version);
    if (r == 0)
        r = pragma_number(db, "PRAGMA application_id", &application);
    if (r == 0)
        r = pragma_number(db, "SELECT count(*) FROM sqlite_master", &objects);
    if (r < 0)
        return r;
    if (objects > 0 && application != APPLICATION_ID)
        return pc_refuse("ledger-foreign", "%s: a database, but not a ledger", db->path);
    if (version > LEDGER_SCHEMA)
        return pc_refuse("ledger-version", "%s: ledger of version %lld; this program knows up to %d",
                         db->path, (long long)version, LEDGER_SCHEMA);
    if (version == LEDGER_SCHEMA)
        return 0;
    if (version == 0 && !chain)
        return pc_refuse("ledger-missing", "%s: empty", db->path);
    r = db->base.ops->begin(&db->base, true);
    if (r < 0)
        return r;
    /* Again, now that nobody else can write: two that start at once find the same old version. */
    r = pragma_number(db, "PRAGMA user_version", &version);
    if (r == 0 && version < LEDGER_SCHEMA)
        r = migrate(db, (size_t)version, chain);
    if (r < 0) {
        db->base.ops->rollback(&db->base);
        return r;
    }
    return db->base.ops->commit(&db->base);
}
