/* What the ledger in PostgreSQL does beyond the one in SQLite: sessions side by side, claims, a session that
 * is lost, and what the database itself refuses to anybody. PC_POSTGRES names a database. */
#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "tests/unit/ca/fixture.h"

static const char *const attacks[] = {
    "UPDATE certificate SET serial = '\\x05' WHERE id = 1",
    "UPDATE certificate SET subject = 'other' WHERE id = 1",
    "UPDATE certificate SET key = (SELECT key FROM certificate WHERE id = 2) WHERE id = 1",
    "UPDATE certificate SET not_after = 20000000000 WHERE id = 1",
    "UPDATE certificate SET predecessor = 2 WHERE id = 1",
    "UPDATE certificate SET state = 'reserved' WHERE id = 1",
    "UPDATE certificate SET state = 'signing' WHERE id = 2",
    "UPDATE certificate SET state = 'current', owner = NULL WHERE id = 2",
    "UPDATE certificate SET state = 'nonsense' WHERE id = 1",
    "UPDATE certificate SET condemned = true WHERE id = 1",
    "UPDATE certificate SET state = 'revoked' WHERE id = 1",
    "UPDATE certificate SET state = 'superseded' WHERE id = 1",
    "UPDATE certificate SET state = 'held' WHERE id = 1",
    "UPDATE certificate SET state = 'void', owner = NULL WHERE id = 4",
    "UPDATE certificate SET state = 'current', revoked_at = NULL, reason = NULL, listed_from = NULL"
    " WHERE id = 3",
    "UPDATE certificate SET reason = 0 WHERE id = 3",
    "UPDATE certificate SET listed_from = NULL, revoked_at = NULL, reason = NULL WHERE id = 3",
    "UPDATE certificate SET sha256 = decode(repeat('00', 32), 'hex') WHERE id = 1",
    "INSERT INTO certificate (issuer, serial, profile, subject, key, state, not_before, not_after,"
    " reserved_at) SELECT issuer, '\\x77', profile, 'other', key, 'reserved', 1, 2, 1 FROM certificate"
    " WHERE id = 1",
    "INSERT INTO certificate (issuer, serial, profile, subject, key, state, not_before, not_after,"
    " reserved_at) SELECT issuer, serial, 'p', subject, key, 'reserved', 1, 2, 1 FROM certificate"
    " WHERE id = 1",
    "INSERT INTO certificate (issuer, serial, profile, subject, key, state, not_before, not_after,"
    " reserved_at) SELECT issuer, '\\x78', profile, subject, key, 'reserved', 1, 2, 1 FROM certificate"
    " WHERE id = 2",
    "INSERT INTO certificate (issuer, serial, profile, subject, key, state, not_before, not_after,"
    " reserved_at, issued_at, sha256) SELECT issuer, '\\x79', 'p', subject, key, 'current', 1, 2, 1, 1,"
    " sha256 FROM certificate WHERE id = 1",
    "DELETE FROM certificate",
    "TRUNCATE certificate CASCADE",
    "DELETE FROM body",
    "UPDATE body SET der = '\\x00' WHERE certificate = 1",
    "UPDATE body SET der = NULL, tbs = '\\x00' WHERE certificate = 1",
    "INSERT INTO body (certificate, der) VALUES (2, '\\x00')",
    "INSERT INTO body (certificate, tbs) VALUES (1, '\\x00')",
    "UPDATE key SET subject = 'other'",
    "DELETE FROM key",
    "INSERT INTO key (sha256, subject) SELECT sha256, 'other' FROM key LIMIT 1",
    "UPDATE issuer SET key_id = '\\x01'",
    "UPDATE issuer SET state = 'foreign'",
    "DELETE FROM issuer",
    "INSERT INTO issuer (state, subject, key_type, key_label, key_id, token_serial, days, planned_at)"
    " VALUES ('planned', 'x', 'x', 'x', '\\x02', 'x', 1, 1)",
    "DELETE FROM crl",
    "UPDATE crl SET der = '\\x00' WHERE number = 1",
    "UPDATE crl SET number = 9 WHERE number = 1",
    "INSERT INTO crl (issuer, number, this_update, next_update, entries, tbs) VALUES (1, 1, 9000, 9001, 0,"
    " '\\x00')",
    "INSERT INTO crl (issuer, number, this_update, next_update, entries, tbs) VALUES (1, 2, 10, 9001, 0,"
    " '\\x00')",
    "DELETE FROM audit",
    "TRUNCATE audit CASCADE",
    "UPDATE audit SET line = '{}'",
    "INSERT INTO audit (chain, seq, line, sha256) SELECT chain, seq + 2, '{}', sha256 FROM audit",
    "INSERT INTO audit (chain, seq, line, sha256) SELECT repeat('0', 32), 1, '{}', sha256 FROM audit",
    "UPDATE chain SET host = 'other'",
    "DELETE FROM chain",
    "UPDATE ledger SET version = version - 1",
    "DELETE FROM ledger",
};

static void outsiders_are_refused(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    struct pc_bytes bytes = {(unsigned char[]){'x'}, 1};
    struct ledger_crl crl = {.number = 1, .this_update = 10, .next_update = 20};
    struct ledger_audit audit;
    assert_int_equal(issued(f, UUID_A, '1', "01"), 1);
    assert_int_equal(reserve(f, UUID_B, "device", '2', "02", 0), 2);
    int64_t revoked = issued(f, "c", '3', "03");
    assert_int_equal(IN_TRANSACTION(f, ops->revoke(f->ledger, revoked, 5, 1, 0)), 0);
    assert_int_equal(sign_row(f, reserve(f, "d", "device", '4', "04", 0)), 0);
    assert_int_equal(IN_TRANSACTION(f, ops->crl_reserve(f->ledger, f->issuer, &crl, &bytes)), 0);
    assert_int_equal(IN_TRANSACTION(f, ops->crl_issue(f->ledger, f->issuer, 1, &bytes)), 0);
    assert_int_equal(ops->begin(f->ledger, true), 0);
    assert_int_equal(ops->audit_head(f->ledger, &audit), 0);
    audit.seq++;
    audit.line = "{\"a\":1}";
    assert_int_equal(ops->audit_append(f->ledger, &audit), 0);
    assert_int_equal(ops->commit(f->ledger), 0);
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        int rc = direct(f, attacks[i]);
        if (rc != SQLITE_CONSTRAINT)
            print_message("# %d: %s: %s\n", rc, attacks[i], PQerrorMessage(f->outside));
        assert_int_equal(rc, SQLITE_CONSTRAINT);
    }
}

static void changed_rules_are_told(void **state)
{
    static const struct {
        const char *sql, *told;
    } changes[] = {
        {"DROP TRIGGER audit_fixed ON audit", "trigger audit.audit_fixed is missing"},
        {"ALTER TABLE audit DISABLE TRIGGER audit_kept", "trigger audit.audit_kept is not as we make it"},
        {"CREATE OR REPLACE FUNCTION kept() RETURNS trigger LANGUAGE plpgsql SET search_path = ''"
         " AS 'BEGIN RETURN OLD; END'",
         "function kept is not as we make it"},
        {"DROP INDEX certificate_current", "index certificate_current is missing"},
        {"ALTER TABLE certificate ADD COLUMN more text", "column certificate.more is none of ours"},
        {"ALTER TABLE key DROP CONSTRAINT key_sha256_key", "constraint key.key_sha256_key is missing"},
    };
    struct fixture *f = *state;
    char text[256];
    assert_int_equal(f->ledger->ops->schema_fault(f->ledger, text), 0);
    assert_string_equal(text, "");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        assert_int_equal(direct(f, "DROP SCHEMA plantcert CASCADE"), 0);
        struct ledger *fresh = NULL;
        assert_int_equal(ledger_open(f->url, f->dir, LEDGER_CREATE, &fresh), 0);
        assert_int_equal(direct(f, changes[i].sql), 0);
        assert_int_equal(fresh->ops->schema_fault(fresh, text), 0);
        assert_string_equal(text, changes[i].told);
        ledger_close(fresh);
    }
}

static int ignore(void *context, const struct ledger_certificate *row)
{
    (void)row;
    ++*(size_t *)context;
    return 0;
}

static struct ledger *second_of(struct fixture *f)
{
    struct ledger *other = NULL;
    assert_int_equal(ledger_open(f->url, f->dir, LEDGER_EXISTING, &other), 0);
    other->ops->patience(other, 50);
    return other;
}

static int facts(struct ledger *ledger, const char *subject, char key)
{
    size_t rows = 0;
    return ledger->ops->facts(ledger, subject, "device", key_of(key), ignore, &rows);
}

/* Side by side, but not for one subject, nor for one key; and nobody beside one who is alone. */
static void stations_work_side_by_side(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    struct ledger *other = second_of(f);
    assert_int_equal(ops->begin_shared(f->ledger), 0);
    assert_int_equal(ops->begin_shared(other), 0);
    assert_int_equal(facts(f->ledger, UUID_A, '1'), 0);
    assert_int_equal(facts(other, UUID_A, '2'), PC_EPENDING);
    assert_string_equal(pc_error_name(), "ledger-claimed");
    assert_int_equal(facts(other, UUID_B, '1'), PC_EPENDING);
    assert_int_equal(facts(other, UUID_B, '2'), 0);
    assert_int_equal(facts(other, UUID_B, '2'), 0);
    ops->rollback(f->ledger);
    assert_int_equal(facts(other, UUID_A, '1'), 0);
    f->ledger->ops->patience(f->ledger, 50);
    assert_int_equal(ops->begin(f->ledger, true), PC_EUNREACH);
    assert_string_equal(pc_error_name(), "ledger-busy");
    assert_int_equal(ops->commit(other), 0);
    assert_int_equal(ops->begin(f->ledger, true), 0);
    assert_int_equal(ops->begin_shared(other), PC_EUNREACH);
    assert_int_equal(ops->begin(other, false), 0);
    ops->rollback(other);
    ops->rollback(f->ledger);
    assert_int_equal(ops->turn(f->ledger, LEDGER_TURN_CRL, true), 0);
    assert_int_equal(ops->turn(other, LEDGER_TURN_AUDIT, true), 0);
    assert_int_equal(ops->turn(f->ledger, LEDGER_TURN_CRL, false), 0);
    assert_int_equal(ops->turn(other, LEDGER_TURN_CRL, true), 0);
    ledger_close(other);
}

/* In a shared transaction a change is not waited for: what was refused is told by the commit, and named when
 * the same is done again. */
static void a_late_refusal_is_a_conflict_then_named(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    unsigned char octets[] = {1};
    const struct pc_bytes tbs = {octets, sizeof octets};
    int64_t id = reserve(f, UUID_A, "device", '1', "01", 0);
    assert_int_equal(ops->begin_shared(f->ledger), 0);
    assert_int_equal(ops->signing(f->ledger, id, &tbs), 0);
    assert_int_equal(ops->signing(f->ledger, id, &tbs), 0);
    assert_true(ledger_conflict(ops->commit(f->ledger)));
    assert_int_equal(ops->begin_shared(f->ledger), 0);
    assert_int_equal(ops->signing(f->ledger, id, &tbs), 0);
    assert_int_equal(ops->signing(f->ledger, id, &tbs), PC_EFAIL);
    assert_string_equal(pc_error_name(), "ledger-rule");
    ops->rollback(f->ledger);
    /* A question that follows tells as well. */
    assert_int_equal(ops->begin_shared(f->ledger), 0);
    assert_int_equal(ops->supersede(f->ledger, id, 9000), 0);
    assert_true(ledger_conflict(facts(f->ledger, UUID_B, '2')));
    ops->rollback(f->ledger);
    assert_int_equal(ops->begin_shared(f->ledger), 0);
    assert_int_equal(ops->signing(f->ledger, id, &tbs), 0);
    assert_int_equal(ops->commit(f->ledger), 0);
    /* What was sent and is rolled back leaves nothing, and is no error. */
    assert_int_equal(ops->begin_shared(f->ledger), 0);
    assert_int_equal(ops->signing(f->ledger, 999, &tbs), 0);
    ops->rollback(f->ledger);
    assert_int_equal(number(f, "SELECT count(*) FROM body"), 1);
}

static int bind_key(struct ledger *ledger, int64_t id, char key)
{
    struct ca_admission row = {.id = id, .state = "open"};
    memcpy(row.key_sha256, key_of(key), sizeof row.key_sha256);
    return ledger->ops->admission_step(ledger, &row, "open");
}

/* Two stations, one code, two keys. */
static void a_code_is_bound_to_one_key(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    struct ledger *other = second_of(f);
    struct ledger_admission row = {.record = {.kind = CA_ADMIT_CODE,
                                              .plant = UUID_A,
                                              .revoke_old = -1,
                                              .made_at = 1,
                                              .expires_at = 9000,
                                              .by = "x"}};
    int64_t id = 0;
    memcpy(row.code_sha256, key_of('c'), sizeof row.code_sha256);
    assert_int_equal(IN_TRANSACTION(f, ops->admission_add(f->ledger, &row, &id)), 0);
    assert_int_equal(ops->begin_shared(f->ledger), 0);
    assert_int_equal(ops->begin_shared(other), 0);
    assert_int_equal(ops->claim(f->ledger, NULL, UUID_A), 0);
    assert_int_equal(ops->claim(other, NULL, UUID_A), PC_EPENDING);
    assert_string_equal(pc_error_name(), "ledger-claimed");
    assert_int_equal(bind_key(f->ledger, id, 'a'), 0);
    assert_int_equal(ops->commit(f->ledger), 0);
    assert_int_equal(ops->claim(other, NULL, UUID_A), 0);
    assert_int_equal(ops->admission_get(other, UUID_A, 0, &row), 0);
    assert_string_equal(row.record.key_sha256, key_of('a'));
    assert_int_equal(bind_key(other, id, 'b'), PC_EFAIL);
    ops->rollback(other);
    assert_int_equal(direct(f, "UPDATE admission SET key = decode(repeat('bb', 32), 'hex')"),
                     SQLITE_CONSTRAINT);
    assert_int_equal(number(f, "SELECT count(*) FROM admission WHERE key = decode(repeat('aa', 32), 'hex')"),
                     1);
    ledger_close(other);
}

/* Who lost the session, and the row to another, records nothing any more. */
static void a_lost_session_is_an_error(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    struct pc_bytes der = {(unsigned char[]){'d'}, 1};
    struct ledger *other = second_of(f);
    bool lives = false;
    int64_t id = reserve(f, UUID_A, "device", '1', "01", 0), owner = ops->self(f->ledger);
    assert_int_equal(sign_row(f, id), 0);
    assert_int_equal(ops->owner_lives(other, owner, &lives), 0);
    assert_true(lives);
    assert_int_equal(ops->begin(other, true), 0);
    assert_int_equal(ops->issue(other, id, &der, key_of('e'), 5), PC_EFAIL); /* not its row */
    ops->rollback(other);
    assert_int_equal(ops->begin(f->ledger, true), 0);
    assert_int_equal(ops->issue(f->ledger, id, &der, key_of('e'), 5), 0);
    assert_int_equal(direct(f, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <>"
                               " pg_backend_pid() AND state = 'idle in transaction'"),
                     0);
    assert_int_equal(ops->commit(f->ledger), PC_EUNREACH);
    assert_string_equal(pc_error_name(), "ledger-lost");
    assert_int_equal(ops->begin(f->ledger, true), PC_EUNREACH);
    assert_string_equal(pc_error_name(), "ledger-lost");
    assert_int_equal(ops->owner_lives(other, owner, &lives), 0);
    assert_false(lives);
    struct ledger_certificate row;
    assert_int_equal(ledger_row_get(other, id, &row), 0);
    assert_int_equal(row.state, LEDGER_SIGNING);
    assert_int_equal(ops->begin(other, true), 0);
    assert_int_equal(ops->own(other, id, ops->self(other)), 0);
    assert_int_equal(ops->issue(other, id, &der, key_of('e'), 5), 0);
    assert_int_equal(ops->commit(other), 0);
    ledger_close(other);
}

static void versions_and_readers(void **state)
{
    struct fixture *f = *state;
    struct ledger *again = NULL;
    assert_int_equal(ledger_open(f->url, f->dir, LEDGER_READONLY, &again), 0);
    assert_int_equal(again->ops->begin(again, true), PC_EUNREACH);
    assert_string_equal(pc_error_name(), "ledger-readonly");
    ledger_close(again);
    assert_int_equal(direct(f, "UPDATE ledger SET version = 1000"), 0);
    assert_int_equal(ledger_open(f->url, f->dir, LEDGER_CREATE, &again), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "ledger-version");
    assert_int_equal(direct(f, "DROP SCHEMA plantcert CASCADE"), 0);
    assert_int_equal(ledger_open(f->url, f->dir, LEDGER_EXISTING, &again), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "ledger-missing");
    assert_int_equal(direct(f, "CREATE SCHEMA plantcert; CREATE TABLE plantcert.other (id bigint)"), 0);
    assert_int_equal(ledger_open(f->url, f->dir, LEDGER_CREATE, &again), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "ledger-foreign");
}

int main(void)
{
#define IN_LEDGER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        IN_LEDGER(outsiders_are_refused),      IN_LEDGER(changed_rules_are_told),
        IN_LEDGER(stations_work_side_by_side), IN_LEDGER(a_lost_session_is_an_error),
        IN_LEDGER(versions_and_readers),       IN_LEDGER(a_late_refusal_is_a_conflict_then_named),
        IN_LEDGER(a_code_is_bound_to_one_key),
    };
    return cmocka_run_group_tests_name("ledger in PostgreSQL alone", tests, NULL, NULL);
}
