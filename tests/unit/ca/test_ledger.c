/* The ledger's own rules: what the database refuses, through our code and by SQL from outside. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "tests/unit/ca/fixture.h"

static void states_go_forward(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    int64_t id = reserve(f, UUID_A, "device", '1', "01", 0);
    struct ledger_certificate row;
    assert_int_equal(ledger_row_get(f->ledger, id, &row), 0);
    assert_int_equal(row.state, LEDGER_RESERVED);
    assert_int_equal(row.owner, ops->self(f->ledger));
    assert_int_not_equal(issue_row(f, id), 0);
    assert_int_equal(sign_row(f, id), 0);
    assert_int_not_equal(sign_row(f, id), 0);
    assert_int_equal(issue_row(f, id), 0);
    assert_int_not_equal(issue_row(f, id), 0);
    assert_int_not_equal(IN_TRANSACTION(f, ops->annul(f->ledger, id, 300)), 0);
    assert_int_equal(IN_TRANSACTION(f, ops->supersede(f->ledger, id, 500)), 0);
    assert_int_not_equal(IN_TRANSACTION(f, ops->supersede(f->ledger, id, 600)), 0);
    assert_int_equal(IN_TRANSACTION(f, ops->revoke(f->ledger, id, 400, 4, 0)), 0);
    assert_int_not_equal(IN_TRANSACTION(f, ops->revoke(f->ledger, id, 400, 1, 0)), 0);
    assert_int_equal(ledger_row_get(f->ledger, id, &row), 0);
    assert_int_equal(row.state, LEDGER_REVOKED);
    assert_int_equal(row.record.reason, 4);
    assert_int_equal(row.record.revoked_at, 400);
    assert_int_equal(row.listed_from, 1);
    assert_int_equal(row.owner, 0);
    assert_string_equal(row.record.serial, "01");
    assert_string_equal(row.record.certificate_sha256, key_of('e'));
}

static void writes_need_a_transaction(void **state)
{
    struct fixture *f = *state;
    int64_t id = issued(f, UUID_A, '1', "01");
    assert_int_equal(f->ledger->ops->revoke(f->ledger, id, 1, 1, 0), PC_EFAIL);
    assert_int_equal(f->ledger->ops->begin(f->ledger, true), 0);
    assert_int_equal(f->ledger->ops->begin(f->ledger, true), PC_EFAIL);
    assert_int_equal(f->ledger->ops->revoke(f->ledger, id, 1, 1, 0), 0);
    f->ledger->ops->rollback(f->ledger);
    assert_int_equal(number(f, "SELECT count(*) FROM certificate WHERE state = 'revoked'"), 0);
}

static void uniqueness(void **state)
{
    struct fixture *f = *state;
    int64_t first = issued(f, UUID_A, '1', "0102");
    assert_int_equal(reserve(f, UUID_B, "device", '2', "0102", 0), 0); /* serial */
    assert_int_equal(reserve(f, UUID_B, "device", '1', "0103", 0), 0); /* key of another plant */
    int64_t second = reserve(f, UUID_A, "device", '2', "0104", first);
    assert_true(second > 0);
    assert_int_equal(reserve(f, UUID_A, "device", '3', "0105", first), 0); /* second reservation */
    assert_true(reserve(f, UUID_A, "server", '1', "0106", 0) > 0);         /* other profile */
    assert_int_equal(sign_row(f, second), 0);
    assert_int_equal(reserve(f, UUID_A, "device", '3', "0105", first), 0);
    assert_int_not_equal(issue_row(f, second), 0); /* second current one */
    assert_int_equal(IN_TRANSACTION(f, f->ledger->ops->supersede(f->ledger, first, 500)), 0);
    assert_int_equal(issue_row(f, second), 0);
    char subject[256];
    assert_int_equal(f->ledger->ops->key_subject(f->ledger, key_of('2'), subject), 0);
    assert_string_equal(subject, UUID_A);
    assert_int_equal(f->ledger->ops->key_subject(f->ledger, key_of('9'), subject), 0);
    assert_string_equal(subject, "");
}

/* Each statement is tried as an outsider with a plain SQLite would; none may change a thing. */
#define ROW                                                                                                  \
    "certificate (id, issuer, serial, profile, subject, key, state, owner, not_before, not_after, "          \
    "reserved_at)"
static const char *const attacks[] = {
    "INSERT INTO " ROW " SELECT 99, issuer, serial, profile, 'other', key, 'reserved', 1, 1, 2, 1"
    " FROM certificate WHERE id = 1",
    "INSERT OR REPLACE INTO " ROW " SELECT 99, issuer, serial, profile, subject, key, 'reserved', 1, 1, 2, 1"
    " FROM certificate WHERE id = 1",
    "INSERT OR REPLACE INTO " ROW " SELECT 1, issuer, x'77', profile, subject, key, 'reserved', 1, 1, 2, 1"
    " FROM certificate WHERE id = 1",
    "INSERT OR REPLACE INTO " ROW " SELECT 99, issuer, x'78', profile, subject, key, 'reserved', 1, 1, 2, 1"
    " FROM certificate WHERE id = 2",
    "INSERT INTO " ROW " SELECT 99, issuer, x'79', profile, 'other', key, 'reserved', 1, 1, 2, 1"
    " FROM certificate WHERE id = 1",
    "INSERT INTO certificate (id, issuer, serial, profile, subject, key, state, not_before, not_after, "
    "reserved_at, issued_at, sha256) SELECT 99, issuer, x'7a', 'p', subject, key, 'current', 1, 2, 1, 1, "
    "sha256 "
    "FROM certificate WHERE id = 1",
    "UPDATE certificate SET serial = x'05' WHERE id = 1",
    "UPDATE certificate SET subject = 'other' WHERE id = 1",
    "UPDATE certificate SET key = (SELECT key FROM certificate WHERE id = 2) WHERE id = 1",
    "UPDATE certificate SET not_after = 20000000000 WHERE id = 1",
    "UPDATE certificate SET state = 'reserved' WHERE id = 1",
    "UPDATE certificate SET state = 'signing' WHERE id = 2",
    "UPDATE certificate SET state = 'current', issued_at = 1, sha256 = zeroblob(32), owner = NULL WHERE id = "
    "2",
    "UPDATE certificate SET state = 'nonsense' WHERE id = 1",
    "UPDATE certificate SET condemned = 1 WHERE id = 1",
    "UPDATE certificate SET state = 'revoked' WHERE id = 1",
    "UPDATE certificate SET state = 'superseded' WHERE id = 1",
    "UPDATE certificate SET state = 'void', owner = NULL WHERE id = 4",
    "UPDATE certificate SET state = 'current', revoked_at = NULL, reason = NULL, listed_from = NULL WHERE id "
    "= 3",
    "UPDATE certificate SET reason = 0 WHERE id = 3",
    "UPDATE certificate SET listed_from = NULL, revoked_at = NULL, reason = NULL WHERE id = 3",
    "UPDATE certificate SET sha256 = zeroblob(32) WHERE id = 1",
    "UPDATE OR REPLACE certificate SET id = 1 WHERE id = 2",
    "DELETE FROM certificate",
    "DELETE FROM body",
    "UPDATE body SET der = x'00' WHERE certificate = 1",
    "UPDATE body SET der = NULL, tbs = x'00' WHERE certificate = 1",
    "INSERT INTO body (certificate, der) VALUES (2, x'00')",
    "INSERT OR REPLACE INTO body (certificate, tbs) VALUES (1, x'00')",
    "UPDATE key SET subject = 'other'",
    "DELETE FROM key",
    "INSERT OR REPLACE INTO key SELECT id, sha256, 'other' FROM key LIMIT 1",
    "INSERT OR REPLACE INTO key (sha256, subject) SELECT sha256, 'other' FROM key LIMIT 1",
    "UPDATE issuer SET key_id = x'01'",
    "DELETE FROM issuer",
    "INSERT INTO issuer (state, subject, key_type, key_label, key_id, token_serial, days, planned_at) VALUES "
    "('planned', 'x', 'x', 'x', x'02', 'x', 1, 1)",
    "DELETE FROM crl",
    "UPDATE crl SET der = x'00' WHERE number = 1",
    "UPDATE crl SET number = 9 WHERE number = 1",
    "INSERT INTO crl (issuer, number, this_update, next_update, entries, tbs) VALUES (1, 1, 9000, 9001, 0, "
    "x'00')",
    "INSERT INTO crl (issuer, number, this_update, next_update, entries, tbs) VALUES (1, 2, 10, 9001, 0, "
    "x'00')",
    "INSERT OR REPLACE INTO crl (id, issuer, number, this_update, next_update, entries, tbs) VALUES (1, 1, "
    "2, 9000, 9001, 0, "
    "x'00')",
    "DELETE FROM audit",
    "UPDATE audit SET line = '{}'",
    "INSERT OR REPLACE INTO audit (id, chain, seq, line, sha256) SELECT id, chain, seq, '{}', sha256 FROM "
    "audit",
    "INSERT INTO audit (chain, seq, line, sha256) SELECT chain, seq + 2, '{}', sha256 FROM audit",
};

static void outsiders_are_refused(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    assert_int_equal(issued(f, UUID_A, '1', "01"), 1);
    assert_int_equal(reserve(f, UUID_B, "device", '2', "02", 0), 2);
    int64_t revoked = issued(f, "c", '3', "03");
    assert_int_equal(IN_TRANSACTION(f, ops->revoke(f->ledger, revoked, 5, 1, 0)), 0);
    int64_t signing = reserve(f, "d", "device", '4', "04", 0);
    assert_int_equal(sign_row(f, signing), 0);
    struct pc_bytes bytes = {(unsigned char[]){'x'}, 1};
    struct ledger_crl crl = {.number = 1, .this_update = 10, .next_update = 20};
    assert_int_equal(IN_TRANSACTION(f, ops->crl_reserve(f->ledger, f->issuer, &crl, &bytes)), 0);
    assert_int_equal(IN_TRANSACTION(f, ops->crl_issue(f->ledger, f->issuer, 1, &bytes)), 0);
    struct ledger_audit audit;
    assert_int_equal(ops->audit_head(f->ledger, &audit), 0);
    audit.seq++;
    audit.line = "{\"a\":1}";
    assert_int_equal(IN_TRANSACTION(f, ops->audit_append(f->ledger, &audit)), 0);
    assert_int_equal(direct(f, "PRAGMA foreign_keys = ON"), 0);
    static const char sum[] =
        "SELECT (SELECT count(*) FROM certificate) * 1000 + (SELECT count(*) FROM audit) * 100 +"
        " (SELECT count(*) FROM crl) * 10 + (SELECT count(*) FROM key)";
    int64_t before = number(f, sum);
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        int rc = direct(f, attacks[i]);
        if (rc != SQLITE_CONSTRAINT)
            print_message("# %d: %s\n", rc, attacks[i]);
        assert_int_equal(rc, SQLITE_CONSTRAINT);
    }
    assert_int_equal(number(f, sum), before);
}

static void void_rows_that_may_be_signed_are_listed(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    struct ledger_certificate row;
    int64_t never = reserve(f, UUID_A, "device", '1', "01", 0);
    assert_int_equal(IN_TRANSACTION(f, ops->annul(f->ledger, never, 7)), 0);
    assert_int_equal(ledger_row_get(f->ledger, never, &row), 0);
    assert_int_equal(row.state, LEDGER_VOID);
    assert_int_equal(row.listed_from, 0);
    int64_t maybe = reserve(f, UUID_A, "device", '1', "02", 0);
    assert_int_equal(sign_row(f, maybe), 0);
    assert_int_equal(IN_TRANSACTION(f, ops->annul(f->ledger, maybe, 7)), 0);
    assert_int_equal(ledger_row_get(f->ledger, maybe, &row), 0);
    assert_int_equal(row.state, LEDGER_VOID);
    assert_int_equal(row.listed_from, 1);
    assert_int_not_equal(sign_row(f, never), 0);
    assert_int_not_equal(issue_row(f, maybe), 0);
}

static int count_entry(void *context, const struct ledger_entry *entry)
{
    assert_string_equal(entry->serial, "01");
    assert_int_equal(entry->revoked_at, 5);
    assert_int_equal(entry->reason, 1);
    (*(size_t *)context)++;
    return 0;
}

/* RFC 5280 §3.3: an entry leaves only after a CRL made past its expiry has listed it. */
static void entries_stay_until_listed_past_expiry(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    struct pc_bytes bytes = {(unsigned char[]){'x'}, 1};
    static const int64_t this_updates[] = {9999999999, 10000000001, 10000000002, 10000000003};
    static const size_t wanted[] = {1, 1, 0, 0}; /* the row ends at 10000000000 */
    int64_t id = issued(f, UUID_A, '1', "01");
    assert_int_equal(IN_TRANSACTION(f, ops->revoke(f->ledger, id, 5, 1, 0)), 0);
    struct ledger_crl last;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        size_t entries = 0;
        assert_int_equal(ops->crl_last(f->ledger, f->issuer, true, &last), 0);
        assert_int_equal(ops->crl_entries(f->ledger, f->issuer, &last, count_entry, &entries), 0);
        assert_int_equal(entries, wanted[i]);
        struct ledger_crl crl = {.number = i + 1, .this_update = this_updates[i], .next_update = 20000000000};
        assert_int_equal(IN_TRANSACTION(f, ops->crl_reserve(f->ledger, f->issuer, &crl, &bytes)), 0);
        assert_int_equal(IN_TRANSACTION(f, ops->crl_issue(f->ledger, f->issuer, i + 1, &bytes)), 0);
    }
}

/* Revoked after its end and after the last CRL: listed once all the same, also when a CRL number was lost in
 * between. */
static void late_revocations_are_listed_once(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    struct pc_bytes bytes = {(unsigned char[]){'x'}, 1};
    int64_t id = issued(f, UUID_A, '1', "01");
    struct ledger_crl crl = {.number = 1, .this_update = 10000000005, .next_update = 20000000000}, last;
    assert_int_equal(IN_TRANSACTION(f, ops->crl_reserve(f->ledger, f->issuer, &crl, &bytes)), 0);
    assert_int_equal(IN_TRANSACTION(f, ops->crl_issue(f->ledger, f->issuer, 1, &bytes)), 0);
    assert_int_equal(IN_TRANSACTION(f, ops->revoke(f->ledger, id, 5, 1, 0)), 0);
    crl = (struct ledger_crl){.number = 2, .this_update = 10000000006, .next_update = 20000000000};
    assert_int_equal(IN_TRANSACTION(f, ops->crl_reserve(f->ledger, f->issuer, &crl, &bytes)), 0);
    size_t entries = 0;
    assert_int_equal(ops->crl_last(f->ledger, f->issuer, true, &last), 0);
    assert_int_equal(last.number, 1);
    assert_int_equal(ops->crl_entries(f->ledger, f->issuer, &last, count_entry, &entries), 0);
    assert_int_equal(entries, 1);
    assert_int_equal(IN_TRANSACTION(f, ops->crl_issue(f->ledger, f->issuer, 2, &bytes)), 0);
    assert_int_equal(ops->crl_last(f->ledger, f->issuer, true, &last), 0);
    assert_int_equal(ops->crl_entries(f->ledger, f->issuer, &last, count_entry, &entries), 0);
    assert_int_equal(entries, 1);
}

static void owners_live_as_long_as_their_process(void **state)
{
    struct fixture *f = *state;
    int ready[2], end[2];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    pid_t child = fork();
    if (child == 0) {
        struct ledger *ledger = NULL;
        int64_t self = 0;
        if (ledger_open(f->url, f->dir, LEDGER_EXISTING, &ledger) == 0)
            self = ledger->ops->self(ledger);
        bool told = write(ready[1], &self, sizeof self) == sizeof self;
        char c;
        close(end[1]);
        told = told && read(end[0], &c, 1) == 0;
        ledger_close(ledger);
        _exit(told ? 0 : 1);
    }
    int64_t owner = 0;
    bool lives = false;
    assert_int_equal(read(ready[0], &owner, sizeof owner), sizeof owner);
    assert_true(owner > 0);
    assert_int_equal(f->ledger->ops->owner_lives(f->ledger, owner, &lives), 0);
    assert_true(lives);
    close(end[1]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(f->ledger->ops->owner_lives(f->ledger, owner, &lives), 0);
    assert_false(lives);
    assert_int_equal(f->ledger->ops->owner_lives(f->ledger, f->ledger->ops->self(f->ledger), &lives), 0);
    assert_true(lives);
    assert_int_equal(f->ledger->ops->owner_lives(f->ledger, 0, &lives), 0);
    assert_false(lives);
    close(ready[0]);
    close(ready[1]);
    close(end[0]);
}

static void schema_version(void **state)
{
    struct fixture *f = *state;
    struct ledger *again = NULL;
    assert_int_equal(number(f, "PRAGMA user_version"), LEDGER_SCHEMA);
    assert_int_equal(ledger_open("sqlite", f->dir, LEDGER_CREATE, &again), 0);
    ledger_close(again);
    assert_int_equal(direct(f, "PRAGMA user_version = 1000"), 0);
    assert_int_equal(ledger_open("sqlite", f->dir, LEDGER_EXISTING, &again), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "ledger-version");
    assert_int_equal(direct(f, "PRAGMA application_id = 5"), 0);
    assert_int_equal(ledger_open("sqlite", f->dir, LEDGER_CREATE, &again), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "ledger-foreign");
}

static void files_that_are_no_ledger(void **state)
{
    struct fixture *f = *state;
    struct ledger *other = NULL;
    char url[128], path[128];
    snprintf(path, sizeof path, "%s/other", f->dir);
    snprintf(url, sizeof url, "sqlite:%s", path);
    assert_int_equal(ledger_open(url, f->dir, LEDGER_EXISTING, &other), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "ledger-missing");
    assert_false(pc_file_exists(path));
    assert_int_equal(pc_file_write(path, "", 0, NULL), 0);
    assert_int_equal(ledger_open(url, f->dir, LEDGER_EXISTING, &other), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "ledger-missing");
    char junk[4096];
    memset(junk, 'j', sizeof junk);
    assert_int_equal(pc_file_write(path, junk, sizeof junk, NULL), 0);
    assert_int_equal(ledger_open(url, f->dir, LEDGER_CREATE, &other), PC_EUNREACH);
    unlink(path);
    static const char *const secrets[] = {"postgresql://user:pw@host/db", "postgresql://host/db?password=pw",
                                          "postgresql://user:%70%77@host/db",
                                          "postgresql://host/db?pass%77ord=pw",
                                          "postgresql://host/db?sslmode=require&sslpassword=pw"};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        assert_int_equal(ledger_open(secrets[i], f->dir, LEDGER_CREATE, &other), PC_EUSAGE);
        assert_non_null(strstr(pc_error_text(), "a password in the ledger's address"));
    }
    assert_int_equal(ledger_open("postgresql://host/db?nonsense=1", f->dir, LEDGER_CREATE, &other),
                     PC_EUSAGE);
    assert_int_equal(ledger_open("postgresql://%2Fnowhere/db", f->dir, LEDGER_CREATE, &other), PC_EUNREACH);
    assert_string_equal(pc_error_name(), "ledger-away");
    assert_int_equal(ledger_open("sqlite:relative", f->dir, LEDGER_CREATE, &other), PC_EUSAGE);
    assert_int_equal(ledger_open("mysql", f->dir, LEDGER_CREATE, &other), PC_EUSAGE);
    assert_null(other);
    struct stat status;
    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

/* Durability rests on these; they are settings of the connection or the file, so ask the ledger's own. */
static void durable_settings(void **state)
{
    struct fixture *f = *state;
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_prepare_v2(f->direct, "PRAGMA journal_mode", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(s, 0), "wal");
    sqlite3_finalize(s);
    /* foreign_keys: a row of an issuer that is not there. */
    int64_t issuer = f->issuer;
    f->issuer = 77;
    assert_int_equal(reserve(f, UUID_A, "device", '1', "01", 0), 0);
    f->issuer = issuer;
}

static void hostile_texts_are_bound(void **state)
{
    struct fixture *f = *state;
    static const char name[] = "x'); DROP TABLE audit; --";
    int64_t id = issued(f, name, '1', "01");
    struct ledger_rows rows = {0};
    assert_int_equal(ledger_collect(f->ledger, &(struct ledger_query){.subject = name}, &rows), 0);
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.rows[0].id, id);
    ledger_rows_clear(&rows);
    assert_int_equal(ledger_collect(f->ledger, &(struct ledger_query){.subject = "' OR 1 --"}, &rows), 0);
    assert_int_equal(rows.count, 0);
    assert_int_not_equal(ledger_collect(f->ledger, &(struct ledger_query){.serial = "not hex"}, &rows), 0);
}

static void queries_hold_all_conditions(void **state)
{
    struct fixture *f = *state;
    int64_t a = issued(f, UUID_A, '1', "01"), b = issued(f, UUID_B, '2', "02");
    const struct {
        struct ledger_query query;
        size_t count;
        int64_t first;
    } cases[] = {
        {{0}, 2, a},
        {{.newest_first = true}, 2, b},
        {{.serial = "02"}, 1, b},
        {{.serial = "03"}, 0, 0},
        {{.key_sha256 = key_of('1')}, 1, a},
        {{.subject = UUID_A, .profile = "broker"}, 0, 0},
        {{.subject = UUID_A, .profile = "device", .states = LEDGER_BIT(LEDGER_CURRENT)}, 1, a},
        {{.states = LEDGER_UNFINISHED}, 0, 0},
        {{.ends_after = 10000000001}, 0, 0},
        {{.ends_before = 10000000001, .ends_after = 10000000000}, 2, a},
        {{.overlap_over = 10000000000}, 0, 0},
        {{.id = b, .issuer = f->issuer}, 1, b},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ledger_rows rows = {0};
        assert_int_equal(ledger_collect(f->ledger, &cases[i].query, &rows), 0);
        assert_int_equal(rows.count, cases[i].count);
        if (rows.count)
            assert_int_equal(rows.rows[0].id, cases[i].first);
        ledger_rows_clear(&rows);
    }
}

int main(void)
{
#define IN_LEDGER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest in_both[] = {
        IN_LEDGER(states_go_forward),
        IN_LEDGER(writes_need_a_transaction),
        IN_LEDGER(uniqueness),
        IN_LEDGER(void_rows_that_may_be_signed_are_listed),
        IN_LEDGER(entries_stay_until_listed_past_expiry),
        IN_LEDGER(late_revocations_are_listed_once),
        IN_LEDGER(owners_live_as_long_as_their_process),
        IN_LEDGER(hostile_texts_are_bound),
        IN_LEDGER(queries_hold_all_conditions),
    };
    const struct CMUnitTest tests[] = {
        IN_LEDGER(states_go_forward),
        IN_LEDGER(writes_need_a_transaction),
        IN_LEDGER(uniqueness),
        IN_LEDGER(outsiders_are_refused),
        IN_LEDGER(void_rows_that_may_be_signed_are_listed),
        IN_LEDGER(entries_stay_until_listed_past_expiry),
        IN_LEDGER(late_revocations_are_listed_once),
        IN_LEDGER(owners_live_as_long_as_their_process),
        IN_LEDGER(schema_version),
        IN_LEDGER(files_that_are_no_ledger),
        IN_LEDGER(durable_settings),
        IN_LEDGER(hostile_texts_are_bound),
        IN_LEDGER(queries_hold_all_conditions),
    };
    if (getenv("PC_POSTGRES"))
        return cmocka_run_group_tests_name("ledger in PostgreSQL", in_both, NULL, NULL);
    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
