/* The audit chain: what a line says, and that every edit is found. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/audit/audit.h"
#include "src/ca/audit/line.h"
#include "tests/unit/ca/fixture.h"

/* In the place of libc's: whom a directory service says we are. */
static const char *user;

int getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size, struct passwd **ret)
{
    *entry = (struct passwd){.pw_uid = uid, .pw_name = buffer};
    *ret = snprintf(buffer, size, "%s", user ? user : "root") < (int)size ? entry : NULL;
    return 0;
}

static const struct audit_actor actor = {.program = "plantca 1", .module = "/m.so", .token_serial = "abc"};

static void append(struct fixture *f, const char *act, const char *subject)
{
    struct audit_act a = {.act = act, .outcome = "done", .subject = subject, .serial = "01", .reason = 1};
    struct audit_writer *writer = NULL;
    assert_int_equal(audit_writer_new(&actor, &writer), 0);
    assert_int_equal(IN_TRANSACTION(f, audit_append(f->ledger, writer, &a)), 0);
    audit_writer_free(writer);
}

static int three_rows(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    append(*state, "issue", UUID_A);
    append(*state, "revoke", UUID_A);
    append(*state, "crl", NULL);
    return 0;
}

static void verdict_of(struct fixture *f, struct audit_verdict *ret)
{
    assert_int_equal(audit_verify(f->ledger, ret), 0);
}

static int check_line(void *context, const struct ledger_audit *row)
{
    json_t *line = json_loads(row->line, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(line);
    assert_int_equal(json_integer_value(json_object_get(line, "seq")), row->seq);
    assert_int_equal(json_integer_value(json_object_get(line, "uid")), getuid());
    assert_string_equal(json_string_value(json_object_get(line, "program")), "plantca 1");
    assert_string_equal(json_string_value(json_object_get(line, "token_serial")), "abc");
    assert_string_equal(json_string_value(json_object_get(line, "time")), "2050-01-01T00:00:00Z");
    if (row->seq == 2)
        assert_string_equal(json_string_value(json_object_get(line, "reason")), "keyCompromise");
    char *canonical = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
    assert_string_equal(canonical, row->line);
    free(canonical);
    json_decref(line);
    (*(int *)context)++;
    return 0;
}

static void lines_are_canonical(void **state)
{
    struct fixture *f = *state;
    int rows = 0;
    assert_int_equal(f->ledger->ops->audit_each(f->ledger, NULL, 1, check_line, &rows), 0);
    assert_int_equal(rows, 3);
    struct audit_verdict v;
    verdict_of(f, &v);
    assert_true(v.sound);
    assert_int_equal(v.rows, 3);
    assert_int_equal(strlen(v.head), 64);
}

static void an_empty_chain_is_sound(void **state)
{
    struct audit_verdict v;
    verdict_of(*state, &v);
    assert_true(v.sound);
    assert_int_equal(v.rows, 0);
}

static void texts_of_any_encoding_are_recorded(void **state)
{
    struct fixture *f = *state;
    append(f, "issue", "\xff\xfe \"quoted\" \n");
    struct audit_verdict v;
    verdict_of(f, &v);
    assert_true(v.sound);
}

static int last_user(void *context, const struct ledger_audit *row)
{
    struct audit_line line;
    assert_int_equal(audit_line_read(row->line, &line), 0);
    snprintf(context, sizeof line.user, "%s", line.user);
    return 0;
}

/* Whatever the name, the line is one that is read again. */
static void users_of_any_length_are_recorded(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *unit; /* repeated */
        size_t times, kept;
        const char *begin; /* of what is read */
    } users[] = {
        {"u", 32, 32, "uuu"},
        {"u", AUDIT_USER_MAX, AUDIT_USER_MAX, "uuu"},
        {"u", 3000, AUDIT_USER_MAX, "uuu"},
        {"\xe2\x82\xacxxxx", 100, AUDIT_USER_MAX - 1, "\xe2\x82\xacxxxx"},
        {"xxxxx\xf0\x9f\x94\x91\xc3\xa4", 100, AUDIT_USER_MAX - 1, "xxxxx\xf0\x9f\x94\x91\xc3\xa4"},
        {"\xf0\x9f\x94\x91xx", 100, AUDIT_USER_MAX, "\xf0\x9f\x94\x91xx"},
        {"x\xf0\x9f\x94\x91\xf0\x9f\x94\x91\xf0\x9f\x94\x91", 100, AUDIT_USER_MAX - 2, "x\xf0\x9f\x94\x91"},
        {"\xff", 200, 4 + 2 * AUDIT_USER_MAX, "hex:ff"},
        {"\x80", 200, 4 + 2 * (AUDIT_USER_MAX - 3), "hex:80"},
    };
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        char name[4000] = "", read[sizeof((struct audit_line *)NULL)->user];
        for (size_t k = 0; k < users[i].times; k++)
            strcat(name, users[i].unit);
        user = name;
        append(f, "issue", UUID_A);
        user = NULL;
        assert_int_equal(f->ledger->ops->audit_each(f->ledger, NULL, 1, last_user, read), 0);
        assert_int_equal(strlen(read), users[i].kept);
        assert_int_equal(strncmp(read, users[i].begin, strlen(users[i].begin)), 0);
    }
    struct audit_verdict v;
    verdict_of(f, &v);
    assert_true(v.sound);
}

static int read_user(const char *member, struct audit_line *ret)
{
    char line[1200];
    snprintf(line, sizeof line,
             "{\"act\":\"issue\",\"outcome\":\"done\",\"previous\":\"00\",\"schema\":2,"
             "\"time\":\"2050-01-01T00:00:00Z\",\"user\":%s}",
             member);
    return audit_line_read(line, ret);
}

/* As lines have been written without a bound. */
static void a_long_user_on_record_is_read(void **state)
{
    (void)state;
    char name[600];
    struct audit_line l;
    memset(name, 'u', sizeof name);
    name[0] = name[sizeof name - 2] = '"';
    name[sizeof name - 1] = '\0';
    assert_int_equal(read_user(name, &l), 0);
    assert_int_equal(strlen(l.user), sizeof l.user - 1);
    assert_int_equal(read_user("17", &l), PC_EREFUSED);
}

static void no_row_without_its_transaction(void **state)
{
    struct fixture *f = *state;
    struct audit_act a = {.act = "issue", .outcome = "done"};
    struct audit_writer *writer = NULL;
    assert_int_equal(audit_writer_new(&actor, &writer), 0);
    assert_int_equal(audit_append(f->ledger, writer, &a), PC_EFAIL);
    audit_writer_free(writer);
    assert_int_equal(number(f, "SELECT count(*) FROM audit"), 0);
}

/* Whoever can write the file can drop the triggers; the chain then tells. */
static const struct {
    const char *sql, *text;
} edits[] = {
    {"UPDATE audit SET line = replace(line, 'issue', 'amuse') WHERE seq = 1", "hash on record"},
    {"UPDATE audit SET sha256 = zeroblob(32) WHERE seq = 2", "hash on record"},
    {"DELETE FROM audit WHERE seq = 1", "missing"},
    {"DELETE FROM audit WHERE seq = 2", "missing"},
    {"DELETE FROM audit WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3", "elsewhere"},
    {"UPDATE audit SET seq = 9 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3; UPDATE audit SET seq = "
     "3 WHERE seq = 9",
     "elsewhere"},
    {"UPDATE audit SET chain = 'x' WHERE seq = 3", "missing"},
};

static void edits_are_found(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(direct(f, "DROP TRIGGER audit_fixed; DROP TRIGGER audit_kept"), 0);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        struct audit_verdict v;
        assert_int_equal(direct(f, "CREATE TABLE kept AS SELECT * FROM audit"), 0);
        assert_int_equal(direct(f, edits[i].sql), 0);
        verdict_of(f, &v);
        assert_false(v.sound);
        if (!strstr(v.text, edits[i].text))
            print_message("# %s: %s\n", edits[i].sql, v.text);
        assert_non_null(strstr(v.text, edits[i].text));
        assert_int_equal(direct(f, "DELETE FROM audit"), 0);
        assert_int_equal(direct(f, "INSERT INTO audit SELECT * FROM kept ORDER BY id; DROP TABLE kept"), 0);
        verdict_of(f, &v);
        assert_true(v.sound);
    }
}

/* A line whose hash was made to fit: then the next row no longer follows from it. */
static void a_rehashed_line_is_found(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(direct(f, "DROP TRIGGER audit_fixed"), 0);
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_prepare_v2(f->direct,
                                        "SELECT replace(line, 'issue', 'amuse') FROM audit WHERE seq = 1", -1,
                                        &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    char *line = strdup((const char *)sqlite3_column_text(s, 0)), digest[PKI_FINGERPRINT_TEXT];
    sqlite3_finalize(s);
    assert_non_null(line);
    assert_int_equal(pki_digest_hex(line, strlen(line), digest), 0);
    char *sql = sqlite3_mprintf("UPDATE audit SET line = %Q, sha256 = x'%s' WHERE seq = 1", line, digest);
    assert_int_equal(direct(f, sql), 0);
    sqlite3_free(sql);
    free(line);
    struct audit_verdict v;
    verdict_of(f, &v);
    assert_false(v.sound);
    assert_non_null(strstr(v.text, "audit row 2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_are_canonical, three_rows, fixture_teardown),
        cmocka_unit_test_setup_teardown(an_empty_chain_is_sound, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(texts_of_any_encoding_are_recorded, three_rows, fixture_teardown),
        cmocka_unit_test_setup_teardown(users_of_any_length_are_recorded, fixture_setup, fixture_teardown),
        cmocka_unit_test(a_long_user_on_record_is_read),
        cmocka_unit_test_setup_teardown(no_row_without_its_transaction, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(edits_are_found, three_rows, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_rehashed_line_is_found, three_rows, fixture_teardown),
    };
    pc_time_fix(INT64_C(2524608000));
    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
