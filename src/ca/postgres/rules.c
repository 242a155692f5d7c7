/* What the tables enforce by triggers, whoever writes: the state machine, what never changes, what is only
 * added. Each function names every table by its schema, so that nobody's search_path leads it elsewhere. */
#include "src/ca/postgres/schema.h"

#include <stdio.h>

/* A trigger function of that name, and its trigger on the table of that name; `body` is PL/pgSQL. */
#define RULE(table, when, body)                                                                              \
    "CREATE FUNCTION @." table "_" when "() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$"     \
    " BEGIN " body " RETURN NEW; END $$;"                                                                    \
    "CREATE TRIGGER " table "_" when " BEFORE " when " ON @." table                                          \
    "  FOR EACH ROW EXECUTE FUNCTION @." table "_" when "();"
#define REFUSE(condition, text)                                                                              \
    " IF (" condition ") THEN RAISE EXCEPTION '" text "' USING ERRCODE = 'integrity_constraint_violation';"  \
    " END IF;"

/* Of every table. */
static const char rules_all[] =
    "CREATE FUNCTION @.kept() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$ BEGIN"
    " RAISE EXCEPTION 'rows are never deleted' USING ERRCODE = 'integrity_constraint_violation';"
    " END $$;"
    "CREATE FUNCTION @.fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$ BEGIN"
    " RAISE EXCEPTION 'rows never change' USING ERRCODE = 'integrity_constraint_violation';"
    " END $$;";

static const char *const kept[] = {"ledger",      "chain", "issuer",     "key",       "token_key",
                                   "certificate", "body",  "crl",        "pardon",    "orphan",
                                   "publication", "audit", "checkpoint", "admission", "waiting"};
static const char *const fixed[] = {"chain", "key", "pardon", "orphan", "publication", "audit"};

static const char rules_certificate[] = RULE(
    "certificate", "insert",
    REFUSE("NEW.origin = 'issued' AND NEW.state <> 'reserved'", "a row of ours starts as reserved") REFUSE(
        "NEW.origin = 'issued' AND (SELECT state FROM @.issuer WHERE id = NEW.issuer) = 'foreign'",
        "the issuer is foreign")
        REFUSE("NEW.origin = 'issued' AND (SELECT subject FROM @.key WHERE id = NEW.key) <> NEW.subject",
               "the key belongs to another subject")
            REFUSE("NEW.origin <> 'issued' AND (NEW.origin = 'imported')"
                   " <> ((SELECT state FROM @.issuer WHERE id = NEW.issuer) = 'foreign')",
                   "imported is what a foreign issuer made, and nothing else")
                REFUSE(
                    "NEW.state <> 'revoked'"
                    " AND EXISTS (SELECT 1 FROM @.orphan WHERE issuer = NEW.issuer AND serial = NEW.serial)",
                    "the serial is revoked"));

/* What a row is about; then its state; then what goes with the state. */
static const char rules_state[] = RULE(
    "certificate", "update",
    REFUSE("(OLD.id, OLD.issuer, OLD.serial, OLD.profile, OLD.subject, OLD.key, OLD.origin, OLD.not_before,"
           " OLD.not_after, OLD.reserved_at) IS DISTINCT FROM (NEW.id, NEW.issuer, NEW.serial, NEW.profile,"
           " NEW.subject, NEW.key, NEW.origin, NEW.not_before, NEW.not_after, NEW.reserved_at)"
           " OR OLD.predecessor IS DISTINCT FROM NEW.predecessor",
           "what a row is about never changes") REFUSE("OLD.state IN ('revoked', 'void')",
                                                       "a revoked or void row never changes")
        REFUSE("OLD.issued_at IS NOT NULL AND (OLD.issued_at IS DISTINCT FROM NEW.issued_at"
               " OR OLD.sha256 IS DISTINCT FROM NEW.sha256)",
               "an issued certificate never changes")
            REFUSE("NEW.listed_from < OLD.listed_from OR NEW.unlisted_from < OLD.unlisted_from"
                   " OR (NEW.listed_from IS NULL AND OLD.listed_from IS NOT NULL AND NEW.unlisted_from "
                   "IS NULL)"
                   " OR (NEW.unlisted_from IS NULL AND OLD.unlisted_from IS NOT NULL)",
                   "CRL numbers never go back") " IF NEW.state = OLD.state THEN RETURN NEW; END "
                                                "IF;" REFUSE("NOT CASE OLD.state"
                                                             " WHEN 'reserved' THEN NEW.state IN "
                                                             "('signing', 'void')"
                                                             " WHEN 'signing' THEN NEW.state IN "
                                                             "('current', 'void')"
                                                             " WHEN 'current' THEN NEW.state IN "
                                                             "('superseded', 'held', 'revoked')"
                                                             " WHEN 'superseded' THEN NEW.state IN "
                                                             "('held', 'revoked')"
                                                             " WHEN 'held' THEN NEW.state NOT IN "
                                                             "('reserved', 'signing', 'void')"
                                                             " WHEN 'foreign' THEN NEW.state IN ('held', "
                                                             "'revoked')"
                                                             " ELSE false END",
                                                             "state transition not allowed")
                                                    REFUSE("NEW.state = 'signing'"
                                                           " AND NOT EXISTS (SELECT 1 FROM @.body WHERE "
                                                           "certificate = NEW.id AND tbs IS NOT NULL)",
                                                           "no to-be-signed bytes on record")
                                                        REFUSE("NEW.state = 'current'"
                                                               " AND NOT EXISTS (SELECT 1 FROM @.body WHERE "
                                                               "certificate = NEW.id AND der IS NOT NULL)",
                                                               "no certificate on record")
                                                            REFUSE("NEW.state = 'void' AND "
                                                                   "NEW.listed_from IS NULL"
                                                                   " AND EXISTS (SELECT 1 FROM @.body "
                                                                   "WHERE certificate = NEW.id)",
                                                                   "a void row that may have been signed "
                                                                   "must be listed")
                                                                REFUSE("OLD.state = 'held' AND NEW.state <> "
                                                                       "'revoked' AND (NEW.unlisted_from IS "
                                                                       "NULL"
                                                                       " OR NEW.unlisted_from < "
                                                                       "OLD.listed_from OR NEW.state <> CASE"
                                                                       " WHEN OLD.origin = 'imported' THEN "
                                                                       "'foreign'"
                                                                       " WHEN OLD.revoke_after IS NOT NULL "
                                                                       "THEN 'superseded' ELSE 'current' "
                                                                       "END)",
                                                                       "a release returns to where the row "
                                                                       "was, and says from which CRL on"));

static const char rules_body[] =
    RULE("body", "insert",
         REFUSE("EXISTS (SELECT 1 FROM @.certificate WHERE id = NEW.certificate"
                " AND CASE origin WHEN 'issued' THEN NEW.tbs IS NULL OR state <> 'reserved'"
                " ELSE NEW.der IS NULL END)",
                "what is to be signed belongs to a reservation, what was made elsewhere to none"))
        RULE("body", "update",
             REFUSE("OLD.der IS NOT NULL OR NEW.der IS NULL OR NEW.certificate <> OLD.certificate"
                    " OR (SELECT state FROM @.certificate WHERE id = NEW.certificate) <> 'signing'",
                    "recorded bytes never change"));

static const char rules_issuer[] = RULE(
    "ledger", "update",
    REFUSE("NEW.one <> OLD.one OR NEW.version <= OLD.version OR NEW.made_at <> OLD.made_at",
           "a ledger only becomes a newer one"))
    RULE("issuer", "insert",
         REFUSE("NEW.state = 'active' OR NEW.certificate IS NOT NULL"
                " OR EXISTS (SELECT 1 FROM @.token_key WHERE key_id = NEW.key_id)",
                "an issuer starts as the only planned one, or as a foreign one"))
        RULE(
            "issuer", "update",
            REFUSE("OLD.certificate IS NOT NULL OR NEW.id <> OLD.id OR NEW.key_id IS DISTINCT FROM OLD.key_id"
                   " OR NEW.token_serial IS DISTINCT FROM OLD.token_serial"
                   " OR NEW.key_label IS DISTINCT FROM OLD.key_label OR NEW.planned_at <> OLD.planned_at"
                   " OR (OLD.state = 'foreign' AND (NEW.state <> 'foreign' OR NEW.subject <> OLD.subject))"
                   " OR (NEW.state = 'foreign' AND OLD.state <> 'foreign')",
                   "an issuer never changes"))
            RULE("token_key", "insert",
                 REFUSE("NEW.state <> 'planned' OR EXISTS (SELECT 1 FROM @.issuer WHERE key_id = NEW.key_id)",
                        "a key starts as the only planned one of its role"))
                RULE("token_key", "update",
                     REFUSE("NEW.id <> OLD.id OR NEW.role <> OLD.role OR NEW.key_type <> OLD.key_type"
                            " OR NEW.label <> OLD.label OR NEW.key_id <> OLD.key_id OR NEW.planned_at <> "
                            "OLD.planned_at"
                            " OR OLD.state || '>' || NEW.state NOT IN ('planned>active', 'planned>retired', "
                            "'active>retired')"
                            " OR (OLD.state = 'active' AND (NEW.sha256 IS DISTINCT FROM OLD.sha256"
                            " OR NEW.certificate IS DISTINCT FROM OLD.certificate))",
                            "what a key is never changes"));

static const char rules_crl[] = RULE(
    "crl", "insert",
    REFUSE("(NEW.der IS NOT NULL) <> NEW.adopted", "a CRL of ours starts with its to-be-signed bytes")
        REFUSE("NEW.number <= (SELECT max(number) FROM @.crl WHERE issuer = NEW.issuer)"
               " OR NEW.this_update <= (SELECT this_update FROM @.crl WHERE issuer = NEW.issuer AND number >"
               " (SELECT coalesce(max(number), 0) FROM @.pardon WHERE issuer = NEW.issuer)"
               " ORDER BY number DESC LIMIT 1)",
               "CRL number and thisUpdate never go back"))
    RULE("crl", "update",
         REFUSE("OLD.der IS NOT NULL OR NEW.der IS NULL OR NEW.id <> OLD.id OR NEW.issuer <> OLD.issuer"
                " OR NEW.number <> OLD.number OR NEW.this_update <> OLD.this_update"
                " OR NEW.next_update <> OLD.next_update OR NEW.entries <> OLD.entries"
                " OR NEW.adopted <> OLD.adopted",
                "a CRL never changes"))
        RULE("pardon", "insert",
             REFUSE("NEW.number <= (SELECT max(number) FROM @.pardon WHERE issuer = NEW.issuer)"
                    " OR NEW.number > coalesce((SELECT max(number) FROM @.crl WHERE issuer = NEW.issuer), 0)",
                    "a pardon is for a CRL on record, and given once"))
            RULE("orphan", "insert",
                 REFUSE(
                     "EXISTS (SELECT 1 FROM @.certificate WHERE issuer = NEW.issuer AND serial = NEW.serial)",
                     "the serial is on record"));

static const char rules_audit[] =
    RULE("audit", "insert",
         REFUSE("NEW.seq <> 1 + (SELECT coalesce(max(seq), 0) FROM @.audit WHERE chain = NEW.chain)",
                "audit rows are only appended"))
        RULE("checkpoint", "insert",
             REFUSE("NEW.shipped_at IS NOT NULL OR NOT EXISTS (SELECT 1 FROM @.audit WHERE chain = NEW.chain"
                    " AND seq = NEW.seq AND sha256 = NEW.sha256)",
                    "a checkpoint is of an audit row on record"))
            RULE("checkpoint", "update",
                 REFUSE("OLD.shipped_at IS NOT NULL OR NEW.id <> OLD.id OR NEW.chain <> OLD.chain OR NEW.seq "
                        "<> OLD.seq"
                        " OR NEW.sha256 <> OLD.sha256 OR NEW.at <> OLD.at OR NEW.statement <> OLD.statement"
                        " OR NEW.cms <> OLD.cms",
                        "a checkpoint is shipped once, and never changes"));

static const char rules_admission[] = RULE("admission", "insert",
                                           REFUSE("NEW.state <> 'open' OR NEW.key IS NOT NULL",
                                                  "an admission starts as the only open one of its plant"))
    RULE("admission", "update",
         REFUSE("(NEW.id, NEW.plant, NEW.proof, NEW.made_at, NEW.expires_at, NEW.made_by)"
                " IS DISTINCT FROM (OLD.id, OLD.plant, OLD.proof, OLD.made_at, OLD.expires_at, OLD.made_by)"
                " OR NEW.code IS DISTINCT FROM OLD.code OR NEW.replaces IS DISTINCT FROM OLD.replaces"
                " OR NEW.revoke_old IS DISTINCT FROM OLD.revoke_old OR NEW.note IS DISTINCT FROM OLD.note",
                "what an admission is about never changes")
             REFUSE("OLD.key IS NOT NULL AND NEW.key IS DISTINCT FROM OLD.key",
                    "an admission is bound to its first key")
                 REFUSE("NOT (OLD.state = 'open' OR (OLD.state = 'used' AND NEW.state = 'denied'))",
                        "state transition not allowed"))
        RULE("waiting", "insert",
             REFUSE("NEW.state <> 'waiting' OR NOT EXISTS (SELECT 1 FROM @.admission WHERE id = NEW.admission"
                    " AND proof = 'pending' AND state = 'open' AND key IS NULL)",
                    "a key waits once, under an open admission that is bound to none"))
            RULE("waiting", "update",
                 REFUSE(
                     "OLD.state <> 'waiting' OR NEW.id <> OLD.id OR NEW.admission <> OLD.admission"
                     " OR NEW.key <> OLD.key OR NEW.key_type <> OLD.key_type OR NEW.first_at <> OLD.first_at"
                     " OR NEW.times < OLD.times",
                     "whose key it is, and a decision, never change")
                     REFUSE("NEW.state = 'approved' AND NEW.key IS DISTINCT FROM"
                            " (SELECT key FROM @.admission WHERE id = NEW.admission AND state = 'open')",
                            "approved is the key that its admission is bound to"));

static int make_of_every_table(struct pg *pg, const char *schema)
{
    char script[512];
    int r = pg_script_in(pg, schema, rules_all);
    for (size_t i = 0; r == 0 && i < sizeof kept / sizeof *kept; i++) {
        snprintf(script, sizeof script,
                 "CREATE TRIGGER %s_kept BEFORE DELETE ON @.%s FOR EACH ROW EXECUTE FUNCTION @.kept();"
                 "CREATE TRIGGER %s_whole BEFORE TRUNCATE ON @.%s EXECUTE FUNCTION @.kept()",
                 kept[i], kept[i], kept[i], kept[i]);
        r = pg_script_in(pg, schema, script);
    }
    for (size_t i = 0; r == 0 && i < sizeof fixed / sizeof *fixed; i++) {
        snprintf(script, sizeof script,
                 "CREATE TRIGGER %s_fixed BEFORE UPDATE ON @.%s FOR EACH ROW EXECUTE FUNCTION @.fixed()",
                 fixed[i], fixed[i]);
        r = pg_script_in(pg, schema, script);
    }
    return r;
}

int pg_make_rules(struct pg *pg, const char *schema)
{
    static const char *const rules[] = {rules_certificate, rules_state, rules_body,     rules_issuer,
                                        rules_crl,         rules_audit, rules_admission};
    int r = make_of_every_table(pg, schema);
    for (size_t i = 0; r == 0 && i < sizeof rules / sizeof *rules; i++)
        r = pg_script_in(pg, schema, rules[i]);
    return r;
}
