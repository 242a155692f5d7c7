/* Ledgers that are not as they should be: of an older version, being migrated twice or not to the end,
 * locked, not writable, damaged, on a disk that is full. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "tests/unit/ca/fixture.h"

static int old_setup_of(void **state, const char *name)
{
    char source[4096];
    pc_autobytes sql = {0};
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    strcpy(f->dir, "/tmp/plantcert-ledger.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/ledger.db", f->dir);
    snprintf(source, sizeof source, "%s/tests/data/%s", getenv("PC_SOURCE"), name);
    assert_int_equal(pc_file_read(source, 1 << 20, &sql), 0);
    assert_int_equal(sqlite3_open(f->path, &f->direct), SQLITE_OK);
    assert_int_equal(direct(f, (const char *)sql.data), 0);
    *state = f;
    return 0;
}

/* A ledger of version 1, as plantca 0.1.0 left it: a CA, current, superseded, revoked, void and unfinished
 * certificates, four CRLs, 31 audit rows. */
static int old_setup(void **state)
{
    return old_setup_of(state, "ledger-v1.sql");
}

/* And one of version 2: a held certificate and those of a foreign CA, keys of our own, a publication,
 * four checkpoints, 42 audit rows. */
static int second_setup(void **state)
{
    return old_setup_of(state, "ledger-v2.sql");
}

static int open_old(struct fixture *f)
{
    return ledger_open("sqlite", f->dir, LEDGER_EXISTING, &f->ledger);
}

static int see_row(void *context, const struct ledger_certificate *row)
{
    char *seen = context;
    seen[strlen(seen)] = row->record.state[0];
    assert_int_equal(strlen(row->record.key_sha256), 64);
    assert_string_equal(row->record.origin, "issued");
    return 0;
}

static int see_crl_entry(void *context, const struct ledger_entry *entry)
{
    (void)entry;
    (*(size_t *)context)++;
    return 0;
}

static int count_row(void *context, const struct ledger_audit *row)
{
    (void)row;
    (*(size_t *)context)++;
    return 0;
}

/* Whoever only looks migrates a copy. */
static void looking_at_an_old_ledger_leaves_it_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct ledger_issuer issuer;
    size_t rows = 0;
    pc_autobytes before = {0}, after = {0};
    assert_int_equal(pc_file_read(f->path, 1 << 20, &before), 0);
    assert_int_equal(ledger_open("sqlite", f->dir, LEDGER_READONLY, &f->ledger), 0);
    assert_int_equal(f->ledger->ops->issuer_get(f->ledger, &issuer), 0);
    assert_true(issuer.active);
    assert_int_equal(f->ledger->ops->audit_each(f->ledger, NULL, 1, count_row, &rows), 0);
    assert_int_equal(rows, 31);
    assert_int_equal(f->ledger->ops->begin(f->ledger, true), PC_EUNREACH);
    assert_string_equal(pc_error_name(), "ledger-readonly");
    assert_int_equal(pc_file_read(f->path, 1 << 20, &after), 0);
    assert_int_equal(after.len, before.len);
    assert_memory_equal(after.data, before.data, before.len);
    assert_int_equal(number(f, "PRAGMA user_version"), 1);
}

static void check_contents(struct fixture *f)
{
    const struct ledger_ops *ops = f->ledger->ops;
    struct ledger_issuer issuer;
    struct ledger_crl crl;
    struct ledger_counts counts;
    char states[32] = "";
    size_t entries = 0, rows = 0, of = 0;
    assert_int_equal(ops->issuer_get(f->ledger, &issuer), 0);
    assert_true(issuer.active);
    assert_string_equal(issuer.key_type, "ec:P-256");
    assert_int_equal(ops->find(f->ledger, &(struct ledger_query){0}, see_row, states), 0);
    assert_string_equal(states, "csrccccsv");
    assert_int_equal(ops->crl_last(f->ledger, issuer.id, true, &crl), 0);
    assert_int_equal(crl.number, 4);
    assert_int_equal(strlen(crl.sha256), 64);
    assert_int_equal(ops->crl_entries(f->ledger, issuer.id, &crl, see_crl_entry, &entries), 0);
    assert_int_equal(entries, 2);
    assert_int_equal(ops->audit_each(f->ledger, NULL, 1, count_row, &rows), 0);
    assert_int_equal(rows, 31);
    assert_int_equal(ops->audit_of(f->ledger, 2, count_row, &of), 0);
    assert_int_equal(of, 3); /* reserve, issue, supersede */
    assert_int_equal(ops->count(f->ledger, crl.this_update, 1, &counts), 0);
    assert_int_equal(counts.current, 4);
    assert_int_equal(counts.unfinished, 1);
    assert_int_equal(counts.audit, 31);
    assert_int_equal(number(f, "SELECT count(*) FROM body"), 9);
    assert_int_equal(number(f, "SELECT count(*) FROM key"), 9);
    assert_int_equal(number(f, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_int_equal(number(f, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
    assert_int_equal(number(f, "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'old_*'"), 0);
}

/* Tables, indexes and triggers of a migrated ledger are those of a new one, word by word. */
static void check_rules(struct fixture *f)
{
    struct ledger *fresh = NULL;
    char url[128], attach[160];
    snprintf(url, sizeof url, "sqlite:%s/fresh", f->dir);
    snprintf(attach, sizeof attach, "ATTACH '%s/fresh' AS fresh", f->dir);
    assert_int_equal(ledger_open(url, f->dir, LEDGER_CREATE, &fresh), 0);
    assert_int_equal(direct(f, attach), 0);
    assert_true(number(f, "SELECT count(*) FROM sqlite_schema WHERE sql IS NOT NULL") > 60);
    assert_int_equal(number(f, "SELECT (SELECT count(*) FROM (SELECT type, name, sql FROM main.sqlite_schema"
                               " EXCEPT SELECT type, name, sql FROM fresh.sqlite_schema))"
                               " + (SELECT count(*) FROM (SELECT type, name, sql FROM fresh.sqlite_schema"
                               " EXCEPT SELECT type, name, sql FROM main.sqlite_schema))"),
                     0);
    assert_int_equal(direct(f, "DETACH fresh"), 0);
    ledger_close(fresh);
}

static void migration_keeps_everything(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(open_old(f), 0);
    assert_int_equal(number(f, "PRAGMA user_version"), LEDGER_SCHEMA);
    check_contents(f);
    check_rules(f);
}

#define ROWS_OF_SECOND                                                                                       \
    "SELECT (SELECT count(*) FROM certificate) * 1000000 + (SELECT count(*) FROM audit) * 10000"             \
    " + (SELECT count(*) FROM key) * 100 + (SELECT count(*) FROM crl) * 10"                                  \
    " + (SELECT count(*) FROM publication) + (SELECT count(*) FROM token_key)"

static void the_second_version_is_given_what_it_lacks(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(number(f, "PRAGMA user_version"), 2);
    int64_t before = number(f, ROWS_OF_SECOND);
    assert_true(before > 11420000);
    assert_int_equal(open_old(f), 0);
    assert_int_equal(number(f, "PRAGMA user_version"), LEDGER_SCHEMA);
    assert_int_equal(number(f, ROWS_OF_SECOND), before);
    assert_int_equal(number(f, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    check_rules(f);
    struct ledger_admission row = {.record = {.made_at = 1, .expires_at = 2, .by = "x", .revoke_old = -1}};
    strcpy(row.record.plant, UUID_A);
    strcpy(row.code_sha256, key_of('c'));
    assert_int_equal(IN_TRANSACTION(f, f->ledger->ops->admission_add(f->ledger, &row, &row.record.id)), 0);
    assert_int_equal(direct(f, "DELETE FROM admission"), SQLITE_CONSTRAINT);
}

static void looking_at_the_second_version_leaves_it_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct ledger_admission row;
    assert_int_equal(ledger_open("sqlite", f->dir, LEDGER_READONLY, &f->ledger), 0);
    assert_int_equal(f->ledger->ops->admission_get(f->ledger, UUID_A, 0, &row), 0);
    assert_int_equal(row.record.id, 0);
    assert_int_equal(number(f, "PRAGMA user_version"), 2);
    assert_int_equal(number(f, "SELECT count(*) FROM sqlite_schema WHERE name = 'admission'"), 0);
}

static void migrated_ledgers_go_on(void **state)
{
    struct fixture *f = *state;
    const struct ledger_crl crl = {.number = 5, .this_update = 20000000000, .next_update = 20000000001};
    assert_int_equal(open_old(f), 0);
    f->issuer = 1;
    issued(f, UUID_A, '1', "01");
    struct pc_bytes tbs = {(unsigned char[]){'x'}, 1};
    assert_int_equal(IN_TRANSACTION(f, f->ledger->ops->hold(f->ledger, 4, 9)), 0);
    assert_int_equal(IN_TRANSACTION(f, f->ledger->ops->crl_reserve(f->ledger, 1, &crl, &tbs)), 0);
    assert_int_equal(direct(f, "DELETE FROM certificate"), SQLITE_CONSTRAINT);
    assert_int_equal(direct(f, "UPDATE audit SET line = '{}'"), SQLITE_CONSTRAINT);
}

/* Two programs find the same old ledger: one migrates it, the other waits and finds it done. */
static void two_migrate_at_once(void **state)
{
    struct fixture *f = *state;
    int start[2];
    pid_t children[2];
    assert_int_equal(pipe(start), 0);
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char c;
            close(start[1]);
            struct ledger *ledger = NULL;
            int r = read(start[0], &c, 1) == 0 ? ledger_open("sqlite", f->dir, LEDGER_EXISTING, &ledger) : -1;
            ledger_close(ledger);
            _exit(r == 0 ? 0 : 1);
        }
    }
    close(start[0]);
    close(start[1]);
    for (int i = 0; i < 2; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(open_old(f), 0);
    check_contents(f);
}

static void limit_files(rlim_t octets)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = octets;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Files that cannot grow stand for a disk that is full. */
static void a_migration_cut_short_changes_nothing(void **state)
{
    struct fixture *f = *state;
    static const char all[] = "SELECT count(*) FROM sqlite_schema";
    int64_t before = number(f, all);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(128 << 10);
    int r = open_old(f);
    limit_files(RLIM_INFINITY);
    assert_int_equal(r, PC_EFAIL);
    assert_null(f->ledger);
    assert_int_equal(number(f, "PRAGMA user_version"), 1);
    assert_int_equal(number(f, all), before);
    assert_int_equal(number(f, "SELECT count(*) FROM certificate"), 9);
    assert_int_equal(open_old(f), 0);
    check_contents(f);
}

/* What a migration cannot carry over, it does not touch. */
static void a_damaged_old_ledger_stays_as_it_is(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(direct(f, "DROP TRIGGER body_kept; DROP TRIGGER certificate_kept;"
                               "DELETE FROM certificate WHERE id = 9"),
                     0);
    assert_int_equal(open_old(f), PC_EFAIL);
    assert_non_null(strstr(pc_error_text(), "table body"));
    assert_int_equal(number(f, "PRAGMA user_version"), 1);
    assert_int_equal(number(f, "SELECT count(*) FROM certificate"), 8);
}

static void another_writer_is_waited_for_only_so_long(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    ops->patience(f->ledger, 20);
    assert_int_equal(direct(f, "BEGIN IMMEDIATE"), 0);
    assert_int_equal(ops->begin(f->ledger, true), PC_EUNREACH);
    assert_string_equal(pc_error_name(), "ledger-busy");
    assert_int_equal(ops->begin(f->ledger, false), 0); /* readers need not wait */
    ops->rollback(f->ledger);
    assert_int_equal(direct(f, "ROLLBACK"), 0);
    issued(f, UUID_A, '1', "01");
}

/* In the middle of a transaction: nothing of it stays, nothing after it gets in by itself, and the next one
 * works. */
static void a_full_disk_rolls_back(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    struct ledger_certificate row = {.issuer = f->issuer, .record = {.not_before = 1, .not_after = 2}};
    static unsigned char zeros[4 << 20];
    int64_t id = 0;
    strcpy(row.record.cn, UUID_A);
    strcpy(row.record.profile, "device");
    strcpy(row.record.key_sha256, key_of('1'));
    strcpy(row.record.serial, "01");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(ops->begin(f->ledger, true), 0);
    assert_int_equal(ops->reserve(f->ledger, &row, &id), 0);
    limit_files(1 << 20);
    int r = ops->signing(f->ledger, id, &(struct pc_bytes){zeros, sizeof zeros});
    if (r == 0)
        r = ops->commit(f->ledger);
    limit_files(RLIM_INFINITY);
    assert_int_equal(r, PC_EFAIL);
    ops->rollback(f->ledger);
    assert_int_equal(ops->own(f->ledger, id, 0), PC_EFAIL); /* outside a transaction */
    assert_int_equal(number(f, "SELECT count(*) FROM certificate"), 0);
    assert_int_equal(number(f, "SELECT count(*) FROM key"), 0);
    issued(f, UUID_A, '1', "01");
    assert_int_equal(number(f, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
}

/* As a user who may read the folder and no more. */
static void a_ledger_that_cannot_be_written(void **state)
{
    struct fixture *f = *state;
    ledger_close(f->ledger);
    f->ledger = NULL;
    sqlite3_close(f->direct);
    f->direct = NULL;
    assert_int_equal(chmod(f->path, 0444), 0);
    assert_int_equal(chmod(f->dir, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        struct ledger *ledger = NULL;
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(9);
        int r = ledger_open("sqlite", f->dir, LEDGER_EXISTING, &ledger);
        if (r == 0)
            r = ledger->ops->begin(ledger, true);
        ledger_close(ledger);
        _exit(-r);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), -PC_EUNREACH);
    assert_int_equal(chmod(f->dir, 0700), 0);
    assert_int_equal(chmod(f->path, 0600), 0);
    assert_int_equal(ledger_open("sqlite", f->dir, LEDGER_EXISTING, &f->ledger), 0);
    issued(f, UUID_A, '1', "01");
}

/* A page in the middle is overwritten: an error, and not another answer. */
static void a_damaged_file_is_told(void **state)
{
    struct fixture *f = *state;
    char url[128], path[128], junk[4096];
    struct ledger *damaged = NULL;
    struct ledger_rows rows = {0};
    for (int i = 0; i < 6; i++) {
        const char subject[] = {(char)('a' + i), '\0'}, serial[] = {'0', (char)('1' + i), '\0'};
        issued(f, subject, (char)('1' + i), serial);
    }
    snprintf(path, sizeof path, "%s/fresh", f->dir);
    snprintf(url, sizeof url, "sqlite:%s", path);
    char copy[160];
    snprintf(copy, sizeof copy, "VACUUM INTO '%s'", path);
    assert_int_equal(direct(f, copy), 0);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_stmt *s = NULL;
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'certificate'", -1, &s, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t page = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    memset(junk, 0x55, sizeof junk);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)(page - 1) * 4096, SEEK_SET), 0);
    assert_int_equal(fwrite(junk, sizeof junk, 1, file), 1);
    assert_int_equal(fclose(file), 0);
    int r = ledger_open(url, f->dir, LEDGER_EXISTING, &damaged);
    if (r == 0)
        r = ledger_collect(damaged, &(struct ledger_query){0}, &rows);
    assert_int_equal(r, PC_EUNREACH);
    assert_string_equal(pc_error_name(), "ledger-damaged");
    ledger_close(damaged);
}

static int teardown(void **state)
{
    static const char *const names[] = {"fresh", "fresh-wal", "fresh-shm"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
        unlink(path);
    }
    return fixture_teardown(state);
}

int main(void)
{
#define OLD(test) cmocka_unit_test_setup_teardown(test, old_setup, teardown)
#define SECOND(test) cmocka_unit_test_setup_teardown(test, second_setup, teardown)
#define IN_LEDGER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, teardown)
    const struct CMUnitTest tests[] = {
        OLD(looking_at_an_old_ledger_leaves_it_as_it_is),
        OLD(migration_keeps_everything),
        OLD(migrated_ledgers_go_on),
        OLD(two_migrate_at_once),
        SECOND(the_second_version_is_given_what_it_lacks),
        SECOND(looking_at_the_second_version_leaves_it_as_it_is),
        OLD(a_migration_cut_short_changes_nothing),
        OLD(a_damaged_old_ledger_stays_as_it_is),
        IN_LEDGER(another_writer_is_waited_for_only_so_long),
        IN_LEDGER(a_full_disk_rolls_back),
        IN_LEDGER(a_ledger_that_cannot_be_written),
        IN_LEDGER(a_damaged_file_is_told),
    };
    return cmocka_run_group_tests_name("ledger old and broken", tests, NULL, NULL);
}
