/* The tables of LEDGER_SCHEMA in PostgreSQL. What they enforce by themselves beyond constraints is in
 * rules.c. In both "@" stands for the schema's name. */
#include "src/ca/postgres/schema.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"

#define ID "  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"

static const char tables_issuer[] =
    "CREATE TABLE @.ledger ("
    "  one bigint PRIMARY KEY CHECK (one = 1),"
    "  version bigint NOT NULL CHECK (version > 0),"
    "  made_at bigint NOT NULL);"
    /* Each station's audit chain. */
    "CREATE TABLE @.chain ("
    "  id text COLLATE \"C\" PRIMARY KEY CHECK (id ~ '^[0-9a-f]{32}$'),"
    "  host text NOT NULL,"
    "  made_at bigint NOT NULL);"
    "CREATE TABLE @.issuer (" ID "  state text NOT NULL CHECK (state IN ('planned', 'active', 'foreign')),"
    "  subject text NOT NULL CHECK (subject <> ''),"
    "  key_type text,"
    "  key_label text,"
    "  key_id bytea UNIQUE CHECK (length(key_id) BETWEEN 1 AND 64),"
    "  token_serial text,"
    "  days bigint CHECK (days > 0),"
    "  planned_at bigint NOT NULL,"
    "  certificate bigint,"
    "  CHECK (state <> 'planned' OR certificate IS NULL),"
    "  CHECK (state <> 'active' OR certificate IS NOT NULL),"
    /* The key of a foreign one is elsewhere. */
    "  CHECK ((state = 'foreign') = (key_type IS NULL)),"
    "  CHECK ((state = 'foreign') = (key_label IS NULL)),"
    "  CHECK ((state = 'foreign') = (key_id IS NULL)),"
    "  CHECK ((state = 'foreign') = (token_serial IS NULL)),"
    "  CHECK ((state = 'foreign') = (days IS NULL)));"
    "CREATE UNIQUE INDEX issuer_one ON @.issuer (state) WHERE state <> 'foreign';"
    /* A key belongs to the first subject that it was certified for, for ever. */
    "CREATE TABLE @.key (" ID "  sha256 bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),"
    "  subject text NOT NULL CHECK (subject <> ''));"
    /* Other keys of ours in the token. */
    "CREATE TABLE @.token_key (" ID "  role text NOT NULL CHECK (role IN ('audit', 'jwt')),"
    "  state text NOT NULL CHECK (state IN ('planned', 'active', 'retired')),"
    "  key_type text NOT NULL,"
    "  label text NOT NULL CHECK (label <> ''),"
    "  key_id bytea NOT NULL UNIQUE CHECK (length(key_id) BETWEEN 1 AND 64),"
    "  sha256 bytea UNIQUE CHECK (length(sha256) = 32),"
    "  certificate bigint,"
    "  planned_at bigint NOT NULL,"
    "  CHECK (state <> 'planned' OR (sha256 IS NULL AND certificate IS NULL)),"
    "  CHECK (state <> 'active' OR sha256 IS NOT NULL));"
    "CREATE UNIQUE INDEX token_key_planned ON @.token_key (role) WHERE state = 'planned';";

static const char tables_certificate[] =
    "CREATE TABLE @.certificate (" ID "  issuer bigint NOT NULL REFERENCES @.issuer (id),"
    "  serial bytea NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),"
    "  profile text NOT NULL CHECK (length(profile) BETWEEN 1 AND 15),"
    "  subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),"
    "  key bigint NOT NULL REFERENCES @.key (id),"
    "  state text NOT NULL,"
    "  origin text NOT NULL DEFAULT 'issued' CHECK (origin IN ('issued', 'imported', 'incident')),"
    "  owner bigint,"
    "  predecessor bigint REFERENCES @.certificate (id) CHECK (predecessor <> id),"
    "  not_before bigint NOT NULL,"
    "  not_after bigint NOT NULL CHECK (not_after >= not_before),"
    "  reserved_at bigint NOT NULL,"
    "  issued_at bigint,"
    "  sha256 bytea CHECK (length(sha256) = 32),"
    "  revoke_after bigint,"
    "  revoked_at bigint,"
    "  invalid_since bigint CHECK (invalid_since IS NULL OR revoked_at IS NOT NULL),"
    "  reason bigint CHECK (reason BETWEEN 0 AND 10 AND reason NOT IN (7, 8)),"
    "  listed_from bigint CHECK (listed_from > 0),"
    "  unlisted_from bigint CHECK (unlisted_from > 0),"
    "  condemned boolean NOT NULL DEFAULT false,"
    "  UNIQUE (issuer, serial),"
    "  CHECK ((issued_at IS NULL) = (sha256 IS NULL)),"
    "  CHECK ((listed_from IS NULL) = (revoked_at IS NULL)),"
    "  CHECK ((listed_from IS NULL) = (reason IS NULL)),"
    "  CHECK (CASE state"
    "    WHEN 'reserved' THEN issued_at IS NULL AND listed_from IS NULL AND origin = 'issued'"
    "    WHEN 'signing' THEN issued_at IS NULL AND listed_from IS NULL AND origin = 'issued'"
    "    WHEN 'current' THEN issued_at IS NOT NULL AND listed_from IS NULL AND origin = 'issued'"
    "    WHEN 'superseded' THEN issued_at IS NOT NULL AND listed_from IS NULL AND origin = 'issued'"
    "      AND revoke_after IS NOT NULL"
    "    WHEN 'held' THEN issued_at IS NOT NULL AND reason IS NOT NULL AND reason = 6"
    "      AND origin <> 'incident'"
    "    WHEN 'revoked' THEN issued_at IS NOT NULL AND listed_from IS NOT NULL"
    "    WHEN 'void' THEN issued_at IS NULL AND origin = 'issued'"
    "    WHEN 'foreign' THEN issued_at IS NOT NULL AND listed_from IS NULL AND origin = 'imported'"
    "    ELSE false END),"
    "  CHECK (origin <> 'incident' OR state = 'revoked'),"
    "  CHECK (owner IS NULL OR " PG_UNFINISHED "),"
    "  CHECK (NOT condemned OR state = 'void' OR " PG_UNFINISHED "));"
    /* Three indexes that share the rows among them: together they find a subject, and a row costs one entry.
     */
    "CREATE UNIQUE INDEX certificate_current ON @.certificate (subject, profile) WHERE " PG_CURRENT ";"
    "CREATE UNIQUE INDEX certificate_unfinished ON @.certificate (subject, profile)"
    "  WHERE " PG_UNFINISHED ";"
    "CREATE INDEX certificate_past ON @.certificate (subject, profile) WHERE " PG_PAST ";"
    "CREATE INDEX certificate_key ON @.certificate (key);"
    "CREATE INDEX certificate_ends ON @.certificate (state, not_after) WHERE " PG_FINISHED ";"
    "CREATE INDEX certificate_overlap ON @.certificate (revoke_after) WHERE state = 'superseded';"
    "CREATE INDEX certificate_listed ON @.certificate (issuer, listed_from, not_after)"
    "  WHERE listed_from IS NOT NULL;"
    "CREATE INDEX certificate_unlisted ON @.certificate (issuer, unlisted_from)"
    "  WHERE unlisted_from IS NOT NULL;"
    "ALTER TABLE @.issuer ADD FOREIGN KEY (certificate) REFERENCES @.certificate (id);"
    "ALTER TABLE @.token_key ADD FOREIGN KEY (certificate) REFERENCES @.certificate (id);"
    /* Apart from the row, so that lists do not read them. */
    "CREATE TABLE @.body ("
    "  certificate bigint PRIMARY KEY REFERENCES @.certificate (id),"
    "  tbs bytea,"
    "  der bytea,"
    "  CHECK ((tbs IS NULL) <> (der IS NULL)));";

static const char tables_crl[] =
    "CREATE TABLE @.crl (" ID "  issuer bigint NOT NULL REFERENCES @.issuer (id),"
    "  number bigint NOT NULL CHECK (number > 0),"
    "  this_update bigint NOT NULL,"
    "  next_update bigint NOT NULL CHECK (next_update > this_update),"
    "  entries bigint NOT NULL CHECK (entries >= 0),"
    "  adopted boolean NOT NULL DEFAULT false,"
    "  tbs bytea,"
    "  der bytea,"
    "  sha256 bytea CHECK (length(sha256) = 32),"
    "  UNIQUE (issuer, number),"
    "  CHECK ((tbs IS NULL) <> (der IS NULL)),"
    "  CHECK ((sha256 IS NULL) = (der IS NULL)));"
    /* Someone took it upon them that thisUpdate goes back, behind the CRL of that number. */
    "CREATE TABLE @.pardon (" ID "  issuer bigint NOT NULL REFERENCES @.issuer (id),"
    "  number bigint NOT NULL CHECK (number > 0),"
    "  at bigint NOT NULL,"
    "  UNIQUE (issuer, number));"
    /* Revocations without a certificate on record. */
    "CREATE TABLE @.orphan (" ID "  issuer bigint NOT NULL REFERENCES @.issuer (id),"
    "  serial bytea NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),"
    "  revoked_at bigint NOT NULL,"
    "  invalid_since bigint,"
    "  reason bigint NOT NULL CHECK (reason BETWEEN 0 AND 10 AND reason NOT IN (7, 8)),"
    "  UNIQUE (issuer, serial));"
    "CREATE TABLE @.publication (" ID "  at bigint NOT NULL,"
    "  dir text NOT NULL CHECK (dir <> ''),"
    "  crl_number bigint NOT NULL CHECK (crl_number >= 0),"
    "  crl_sha256 bytea NOT NULL CHECK (length(crl_sha256) = 32),"
    "  ca_sha256 bytea NOT NULL CHECK (length(ca_sha256) = 32));"
    "CREATE INDEX publication_dir ON @.publication (dir);";

static const char tables_audit[] =
    "CREATE TABLE @.audit (" ID "  chain text COLLATE \"C\" NOT NULL REFERENCES @.chain (id),"
    "  seq bigint NOT NULL CHECK (seq > 0),"
    "  certificate bigint REFERENCES @.certificate (id),"
    "  line text NOT NULL,"
    "  sha256 bytea NOT NULL CHECK (length(sha256) = 32),"
    "  UNIQUE (chain, seq));"
    "CREATE INDEX audit_certificate ON @.audit (certificate) WHERE certificate IS NOT NULL;"
    "CREATE TABLE @.checkpoint (" ID "  chain text COLLATE \"C\" NOT NULL,"
    "  seq bigint NOT NULL,"
    "  sha256 bytea NOT NULL CHECK (length(sha256) = 32),"
    "  at bigint NOT NULL,"
    "  shipped_at bigint,"
    "  statement bytea NOT NULL,"
    "  cms bytea NOT NULL,"
    "  FOREIGN KEY (chain, seq) REFERENCES @.audit (chain, seq));";

static const char tables_admission[] =
    "CREATE TABLE @.admission (" ID "  plant text NOT NULL CHECK (length(plant) = 36),"
    "  proof text NOT NULL CHECK (proof IN ('code', 'pending')),"
    "  state text NOT NULL CHECK (state IN ('open', 'used', 'denied', 'withdrawn')),"
    "  code bytea CHECK (length(code) = 32),"
    "  key bytea CHECK (length(key) = 32),"
    "  replaces bytea CHECK (length(replaces) BETWEEN 1 AND 20),"
    "  revoke_old bigint CHECK (revoke_old BETWEEN 0 AND 10 AND revoke_old NOT IN (7, 8)),"
    "  made_at bigint NOT NULL,"
    "  expires_at bigint NOT NULL CHECK (expires_at > made_at),"
    "  decided_at bigint,"
    "  made_by text NOT NULL CHECK (length(made_by) BETWEEN 1 AND 159),"
    "  note text CHECK (length(note) BETWEEN 1 AND 255),"
    "  CHECK ((proof = 'code') = (code IS NOT NULL)),"
    "  CHECK (revoke_old IS NULL OR replaces IS NOT NULL),"
    "  CHECK ((state = 'open') = (decided_at IS NULL)),"
    "  CHECK (state <> 'used' OR key IS NOT NULL));"
    "CREATE UNIQUE INDEX admission_open ON @.admission (plant) WHERE state = 'open';"
    "CREATE INDEX admission_plant ON @.admission (plant);"
    /* Keys that asked under an admission, each once. */
    "CREATE TABLE @.waiting (" ID "  admission bigint NOT NULL REFERENCES @.admission (id),"
    "  key bytea NOT NULL CHECK (length(key) = 32),"
    "  key_type text NOT NULL CHECK (length(key_type) BETWEEN 1 AND 15),"
    "  address text NOT NULL CHECK (length(address) <= 63),"
    "  state text NOT NULL CHECK (state IN ('waiting', 'approved', 'denied')),"
    "  first_at bigint NOT NULL,"
    "  last_at bigint NOT NULL,"
    "  times bigint NOT NULL CHECK (times > 0),"
    "  decided_at bigint,"
    "  decided_by text CHECK (length(decided_by) BETWEEN 1 AND 159),"
    "  UNIQUE (admission, key),"
    "  CHECK ((state = 'waiting') = (decided_at IS NULL)),"
    "  CHECK ((state = 'waiting') = (decided_by IS NULL)));";

int pg_script_in(struct pg *pg, const char *schema, const char *sql)
{
    size_t marks = 0, len = strlen(schema);
    for (const char *p = sql; *p; p++)
        marks += *p == '@';
    pc_autofree char *text = malloc(strlen(sql) + marks * len + 1);
    if (!text)
        return pc_fail(PC_EFAIL, "out of memory");
    char *to = text;
    for (const char *p = sql; *p; p++)
        if (*p == '@') {
            memcpy(to, schema, len);
            to += len;
        } else {
            *to++ = *p;
        }
    *to = '\0';
    return pg_script(pg, "making its tables", text);
}

int pg_make_tables(struct pg *pg, const char *schema)
{
    static const char *const scripts[] = {tables_issuer, tables_certificate, tables_crl, tables_audit,
                                          tables_admission};
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof scripts / sizeof *scripts; i++)
        r = pg_script_in(pg, schema, scripts[i]);
    return r < 0 ? r : pg_make_rules(pg, schema);
}
