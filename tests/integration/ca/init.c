/* init and ensure against a real token: what they make, and what they leave alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"
#include "src/pki/openssl.h"
#include "tests/integration/ca/authority.h"

static void makes_all_once(void **state)
{
    struct bench *b = *state;
    struct ca_summary PC_CLEANUP(ca_summary_clear) summary = {0};
    char path[192];
    struct stat status;
    assert_ok(ca_init(&b->settings, &summary));
    assert_true(summary.made);
    assert_string_equal(summary.subject, b->settings.subject);
    assert_int_equal(summary.key, PKI_KEY_EC_P256);
    assert_int_equal(summary.not_after - summary.not_before, 3650 * PC_DAY - 1);
    assert_string_equal(summary.token.serial, b->serial);
    assert_int_equal(stat(b->state, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    in_state(b, "ca.crt", path);
    assert_string_equal(summary.certificate_path, path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
    in_state(b, "ledger.db", path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(crl_number(b), 1);
    assert_int_equal(b->pins, 1);

    int64_t audit = ask(b, "SELECT count(*) FROM audit");
    struct ca_summary again;
    assert_failed(ca_init(&b->settings, &again), PC_EREFUSED, "ca-exists", "there already");
    assert_int_equal(b->pins, 1);
    assert_int_equal(ask(b, "SELECT count(*) FROM audit"), audit);
    assert_int_equal(keys_in_token(b), 1);
}

static void an_unknown_key_in_the_token_is_refused(void **state)
{
    struct bench *b = *state;
    struct ca_summary summary;
    bench_init(b);
    char other[140];
    snprintf(other, sizeof other, "%s-other", b->state);
    b->settings.state = other;
    assert_failed(ca_init(&b->settings, &summary), PC_EREFUSED, "ca-exists", "knows nothing of");
    assert_failed(ca_ensure(&b->settings, &summary), PC_EREFUSED, "ca-exists", "knows nothing of");
    assert_false(pc_file_exists(other));
    assert_int_equal(keys_in_token(b), 1);
}

static void ensure_makes_then_keeps_silent(void **state)
{
    struct bench *b = *state;
    struct ca_summary PC_CLEANUP(ca_summary_clear) first = {0}, second = {0};
    assert_ok(ca_ensure(&b->settings, &first));
    assert_true(first.made);
    int64_t audit = ask(b, "SELECT count(*) FROM audit");
    assert_ok(ca_ensure(&b->settings, &second));
    assert_false(second.made);
    assert_string_equal(first.certificate_sha256, second.certificate_sha256);
    assert_string_equal(second.token.serial, b->serial);
    assert_int_equal(ask(b, "SELECT count(*) FROM audit"), audit);
    assert_int_equal(crl_number(b), 1);
}

static void write_state(struct bench *b, const char *name, const char *text)
{
    char path[192];
    in_state(b, name, path);
    assert_ok(pc_file_write(path, text, strlen(text), NULL));
}

static void remove_state(struct bench *b, const char *name)
{
    char path[192];
    in_state(b, name, path);
    unlink(path);
}

static void remove_ledger(struct bench *b)
{
    remove_state(b, "ledger.db");
    remove_state(b, "ledger.db-wal");
    remove_state(b, "ledger.db-shm");
}

static void no_ledger(struct bench *b)
{
    remove_ledger(b);
}
static void empty_ledger(struct bench *b)
{
    remove_ledger(b);
    write_state(b, "ledger.db", "");
}
static void junk_ledger(struct bench *b)
{
    remove_ledger(b);
    char junk[2049];
    memset(junk, 'j', sizeof junk - 1);
    junk[sizeof junk - 1] = '\0';
    write_state(b, "ledger.db", junk);
}
static void no_certificate(struct bench *b)
{
    remove_state(b, "ca.crt");
}
static void junk_certificate(struct bench *b)
{
    write_state(b, "ca.crt", "junk");
}
static void no_crl(struct bench *b)
{
    remove_state(b, "ca.crl");
}
static void junk_crl(struct bench *b)
{
    write_state(b, "ca.crl", "junk");
}
static void only_the_key(struct bench *b)
{
    remove_ledger(b);
    remove_state(b, "ca.crt");
    remove_state(b, "ca.crl");
}
static void other_token(struct bench *b)
{
    snprintf(b->label, sizeof b->label, "%s-other", b->serial);
    fixture_token(b->label, NULL);
}
static void no_token(struct bench *b)
{
    b->settings.token.label = "nowhere";
}
static void empty_state_no_token(struct bench *b)
{
    only_the_key(b);
    no_token(b);
}

/* Whatever is half there: exit 4 or 5, and never a second CA. */
static void ensure_never_makes_a_second_ca(void **state)
{
    struct bench *b = *state;
    static const struct {
        void (*damage)(struct bench *b);
        int code;
        const char *name;
    } cases[] = {
        {no_ledger, PC_EREFUSED, "ca-half"},
        {empty_ledger, PC_EREFUSED, "ca-half"},
        {junk_ledger, PC_EUNREACH, ""},
        {no_certificate, PC_EREFUSED, "ca-half"},
        {junk_certificate, PC_EREFUSED, "ca-half"},
        {no_crl, PC_EREFUSED, "ca-half"},
        {junk_crl, PC_EREFUSED, "ca-half"},
        {only_the_key, PC_EREFUSED, "ca-exists"},
        {other_token, PC_EREFUSED, "key-missing"},
        {no_token, PC_EUNREACH, ""},
        {empty_state_no_token, PC_EUNREACH, ""},
    };
    bench_teardown((void *[]){b});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *fresh;
        assert_int_equal(bench_setup_init(&fresh), 0);
        b = fresh;
        ca_close(b->ca);
        b->ca = NULL;
        cases[i].damage(b);
        struct ca_summary summary;
        assert_failed(ca_ensure(&b->settings, &summary), cases[i].code, cases[i].name, "");
        assert_int_equal(keys_in_token(b), 1);
        bench_teardown(&fresh);
    }
    assert_int_equal(bench_setup(state), 0);
}

static void ensure_refuses_a_strange_folder(void **state)
{
    struct bench *b = *state;
    struct ca_summary summary;
    assert_ok(pc_dir_make(b->state, 0700));
    write_state(b, "notes.txt", "x");
    assert_failed(ca_ensure(&b->settings, &summary), PC_EREFUSED, "ca-half", "not empty");
    assert_int_equal(keys_in_token(b), 0);
    assert_int_equal(b->pins, 0);
}

static void ensure_writes_an_outdated_crl_file_again(void **state)
{
    struct bench *b = *state;
    char path[192];
    pc_autobytes first = {0};
    bench_init(b);
    in_state(b, "ca.crl", path);
    assert_ok(pc_file_read(path, 1 << 20, &first));
    struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) report = {0};
    assert_ok(ca_crl(b->ca, &report, NULL));
    assert_int_equal(crl_number(b), 2);
    assert_ok(pc_file_write(path, first.data, first.len, NULL));
    ca_close(b->ca);
    b->ca = NULL;
    struct ca_summary PC_CLEANUP(ca_summary_clear) summary = {0};
    assert_ok(ca_ensure(&b->settings, &summary));
    assert_int_equal(crl_number(b), 2);
}

/* Settings are judged before anything is opened or made. */
static void bad_settings(void **state)
{
    struct bench *b = *state;
    struct ca_summary summary;
    static const char *const subjects[] = {"",           "no slash",  "/CN=", "/O=without a name",
                                           "/CN=a/CN=b", "/XX=a/CN=b"};
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        b->settings.subject = subjects[i];
        assert_failed(ca_init(&b->settings, &summary), PC_EUSAGE, "", "");
    }
    b->settings.subject = "/CN=x";
    b->settings.key = PKI_KEY_RSA_2048;
    assert_failed(ca_init(&b->settings, &summary), PC_EUSAGE, "", "too short");
    b->settings.key = PKI_KEY_EC_P256;
    b->settings.ledger_url = "postgresql://user:secret@localhost/x";
    assert_failed(ca_init(&b->settings, &summary), PC_EUSAGE, "", "password");
    assert_int_equal(b->pins, 0);
    assert_int_equal(shim_calls("C_Initialize"), 0);
    assert_false(pc_file_exists(b->state));
}

static void a_wrong_pin_makes_nothing(void **state)
{
    struct bench *b = *state;
    struct ca_summary summary;
    b->pin = "wrong-pin";
    assert_failed(ca_init(&b->settings, &summary), PC_EAUTH, "", "");
    assert_int_equal(b->pins, 1);
    assert_int_equal(shim_calls("C_Login"), 1);
    assert_false(pc_file_exists(b->state));
}

static void opening_where_nothing_is(void **state)
{
    struct bench *b = *state;
    assert_failed(ca_open(&b->settings, &b->ca), PC_EREFUSED, "ca-missing", "plantca init");
    assert_false(pc_file_exists(b->state));
    bench_init(b);
    ca_close(b->ca);
    b->ca = NULL;
    remove_ledger(b);
    assert_failed(ca_open(&b->settings, &b->ca), PC_EUNREACH, "", "ledger");
}

/* The token refuses at one step or another; the next run finishes with the one key. */
static void a_failing_token_is_finished_later(void **state)
{
    struct bench *b = *state;
    static const char *const faults[] = {"C_GenerateKeyPair:1:0x30", "C_SignInit:1:0x30", "C_Sign:1:0x32",
                                         "C_Sign:2:0x30"};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct ca_summary PC_CLEANUP(ca_summary_clear) summary = {0};
        shim_tell("SHIM_FAIL", faults[i]);
        int r = ca_init(&b->settings, &summary);
        assert_true(r == PC_EFAIL || r == PC_EUNREACH);
        assert_failed(ca_open(&b->settings, &b->ca), PC_EREFUSED, "ca-missing", "interrupted");
    }
    shim_reset();
    struct ca_summary PC_CLEANUP(ca_summary_clear) summary = {0};
    assert_ok(ca_ensure(&b->settings, &summary));
    assert_true(summary.made);
    assert_int_equal(keys_in_token(b), 1);
    assert_int_equal(ask(b, "SELECT count(*) FROM certificate WHERE state = 'current'"), 2);
    assert_int_equal(ask(b, "SELECT count(*) FROM certificate"), 2);
    assert_int_equal(ask(b, "SELECT count(*) FROM issuer"), 1);
}

static void an_interrupted_init_and_other_settings(void **state)
{
    struct bench *b = *state;
    const struct ca_settings before = b->settings;
    struct ca_summary PC_CLEANUP(ca_summary_clear) summary = {0};
    shim_tell("SHIM_FAIL", "C_GenerateKeyPair:1:0x30");
    assert_true(ca_init(&b->settings, &summary) < 0);
    b->settings.key = PKI_KEY_EC_P384; /* no key yet: all is still open */
    b->settings.subject = "/CN=Another";
    b->settings.days = 100;
    shim_tell("SHIM_FAIL", "C_Sign:1:0x30");
    assert_true(ca_init(&b->settings, &summary) < 0);
    shim_reset();
    b->settings.key = PKI_KEY_EC_P256;
    assert_failed(ca_init(&b->settings, &summary), PC_EREFUSED, "init-differs", "ec:P-384");
    b->settings = before;
    assert_failed(ca_init(&b->settings, &summary), PC_EREFUSED, "init-differs", "/CN=Another");
    b->settings.key = PKI_KEY_EC_P384;
    b->settings.subject = "/CN=Another";
    b->settings.days = 100;
    assert_ok(ca_init(&b->settings, &summary));
    assert_string_equal(summary.subject, "/CN=Another");
    assert_int_equal(summary.key, PKI_KEY_EC_P384);
    assert_int_equal(ask(b, "SELECT count(*) FROM certificate"), 2);
    assert_int_equal(keys_in_token(b), 1);
}

static void an_interrupted_init_and_another_token(void **state)
{
    struct bench *b = *state;
    struct ca_summary summary;
    shim_tell("SHIM_FAIL", "C_Sign:1:0x30");
    assert_true(ca_init(&b->settings, &summary) < 0);
    shim_reset();
    other_token(b);
    assert_failed(ca_init(&b->settings, &summary), PC_EREFUSED, "init-token", "serial");
}

/* Boot scripts that start together: one makes the CA, all find it. */
static void ensures_at_once(void **state)
{
    struct bench *b = *state;
    pid_t children[3];
    int made = 0;
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct ca_summary summary = {0};
            int r = PC_EUNREACH;
            /* SoftHSM 2.6.1 truncates its token's file at each login: another process may find no token for a
             * moment. */
            for (int tries = 0; r == PC_EUNREACH && tries < 50; tries++)
                r = ca_ensure(&b->settings, &summary);
            bool mine = summary.made;
            ca_summary_clear(&summary);
            if (r < 0)
                fprintf(stderr, "# %s: %s\n", pc_error_name(), pc_error_text());
            _exit(r < 0 ? 9 : mine);
        }
    }
    for (int i = 0; i < 3; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        made += WEXITSTATUS(status);
    }
    assert_int_equal(made, 1);
    assert_int_equal(keys_in_token(b), 1);
    assert_int_equal(ask(b, "SELECT count(*) FROM issuer"), 1);
}

static void an_rsa_authority(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    b->settings.key = PKI_KEY_RSA_3072;
    bench_init(b);
    assert_ok(sign(b, key, UUID_A, NULL, &issued));
    struct ca_revoke_report PC_CLEANUP(ca_revoke_report_clear) report = {0};
    assert_ok(ca_revoke(b->ca, &(struct ca_selector){.plant = UUID_A}, 1, &report));
    assert_true(crl_lists(b, issued.record.serial, NULL));
    EVP_PKEY_free(key);
}

/* What a token keeps of a pair when it dies between its halves: removed, not left behind. */
static void destroy_private(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session, void *argument)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE wanted = {CKA_CLASS, &class, sizeof class};
    CK_OBJECT_HANDLE handle;
    CK_ULONG count = 0;
    (void)argument;
    assert_int_equal(functions->C_FindObjectsInit(session, &wanted, 1), CKR_OK);
    assert_int_equal(functions->C_FindObjects(session, &handle, 1, &count), CKR_OK);
    assert_int_equal(functions->C_FindObjectsFinal(session), CKR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(functions->C_DestroyObject(session, handle), CKR_OK);
}

static void count_objects(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session, void *argument)
{
    CK_OBJECT_HANDLE handles[16];
    CK_ULONG count = 0;
    assert_int_equal(functions->C_FindObjectsInit(session, NULL, 0), CKR_OK);
    assert_int_equal(functions->C_FindObjects(session, handles, 16, &count), CKR_OK);
    assert_int_equal(functions->C_FindObjectsFinal(session), CKR_OK);
    *(CK_ULONG *)argument = count;
}

static void half_a_pair_is_removed(void **state)
{
    struct bench *b = *state;
    struct ca_summary PC_CLEANUP(ca_summary_clear) summary = {0};
    struct ledger *ledger = NULL;
    struct ledger_issuer plan;
    shim_tell("SHIM_FAIL", "C_GenerateKeyPair:1:0x30");
    assert_true(ca_init(&b->settings, &summary) < 0);
    shim_reset();
    assert_ok(ledger_open("sqlite", b->state, LEDGER_EXISTING, &ledger));
    assert_ok(ledger->ops->issuer_get(ledger, &plan));
    ledger_close(ledger);
    struct hsm_token *token = open_logged_in(b->serial);
    struct hsm_key *key = NULL;
    assert_ok(hsm_key_generate(token, PKI_KEY_EC_P256, "plantca-root", &plan.key_id, &key));
    hsm_key_free(key);
    hsm_token_close(token);
    fixture_raw(b->serial, destroy_private, NULL);
    assert_ok(ca_init(&b->settings, &summary));
    CK_ULONG objects = 0;
    fixture_raw(b->serial, count_objects, &objects);
    assert_int_equal(objects, 4); /* the CA's pair and the audit key's */
}

static void far_dates(void **state)
{
    struct bench *b = *state;
    struct ca_summary PC_CLEANUP(ca_summary_clear) summary = {0};
    pc_time_fix(INT64_C(253370764800)); /* 9999-01-01 */
    assert_ok(ca_init(&b->settings, &summary));
    assert_int_equal(summary.not_after, PC_TIME_MAX);
    bench_reopen(b);
    EVP_PKEY *key = new_key();
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    assert_ok(sign(b, key, UUID_A, NULL, &issued));
    assert_int_equal(issued.record.not_after, PC_TIME_MAX);
    pc_time_fix(PC_TIME_MAX - 10);
    struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) report = {0};
    assert_ok(ca_crl(b->ca, &report, NULL));
    assert_int_equal(report.next_update, PC_TIME_MAX);
    EVP_PKEY_free(key);
}

int main(int argc, char **argv)
{
#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        ON_BENCH(half_a_pair_is_removed),
        ON_BENCH(makes_all_once),
        ON_BENCH(an_unknown_key_in_the_token_is_refused),
        ON_BENCH(ensure_makes_then_keeps_silent),
        ON_BENCH(ensure_never_makes_a_second_ca),
        ON_BENCH(ensure_refuses_a_strange_folder),
        ON_BENCH(ensure_writes_an_outdated_crl_file_again),
        ON_BENCH(bad_settings),
        ON_BENCH(a_wrong_pin_makes_nothing),
        ON_BENCH(opening_where_nothing_is),
        ON_BENCH(a_failing_token_is_finished_later),
        ON_BENCH(an_interrupted_init_and_other_settings),
        ON_BENCH(an_interrupted_init_and_another_token),
        ON_BENCH(ensures_at_once),
        ON_BENCH(an_rsa_authority),
        ON_BENCH(far_dates),
    };
    fixture_start(argc > 1 ? argv[1] : NULL);
    int failed = cmocka_run_group_tests_name("ca init", tests, NULL, NULL);
    fixture_end();
    return failed;
}
