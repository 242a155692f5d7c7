/* Issuing: record first, sign then; who gets what; what a refusal leaves behind; what happens when token or
 * disk fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/internal.h"
#include "src/pki/chain.h"
#include "src/pki/openssl.h"
#include "src/pki/request.h"
#include "tests/integration/ca/authority.h"

static const char rows[] = "SELECT count(*) FROM certificate WHERE profile NOT IN ('root', 'audit')";
static const char audits[] = "SELECT count(*) FROM audit";

static void sign_again_renew_replace(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *first = new_key(), *second = new_key();
    struct ca_issued PC_CLEANUP(ca_issued_clear) one = {0}, again = {0}, renewed = {0}, replaced = {0},
                                                 repeated = {0};
    assert_ok(sign(b, first, UUID_A, NULL, &one));
    assert_false(one.already);
    assert_string_equal(one.record.cn, UUID_A);
    assert_string_equal(one.record.state, "current");
    assert_string_equal(one.superseded, "");
    assert_int_equal(one.record.not_after - one.record.not_before, 730 * PC_DAY - 1);

    bench_reopen(b);
    size_t pins = (size_t)b->pins, loaded = shim_calls("C_Initialize");
    assert_ok(sign(b, first, UUID_A, NULL, &again));
    assert_true(again.already);
    assert_string_equal(again.record.serial, one.record.serial);
    assert_int_equal(again.chain_pem.len, one.chain_pem.len);
    assert_memory_equal(again.chain_pem.data, one.chain_pem.data, one.chain_pem.len);
    assert_int_equal(b->pins, pins);
    assert_int_equal(shim_calls("C_Initialize"), loaded);

    pc_time_fix(one.record.not_after - 30 * PC_DAY);
    assert_failed(sign(b, first, UUID_A, NULL, &renewed), PC_EREFUSED, "identity-window", "--renew");
    assert_ok(sign(b, first, UUID_A, &(struct ca_sign_options){.renew = true, .revoke_old = -1}, &renewed));
    assert_string_not_equal(renewed.record.serial, one.record.serial);
    assert_string_equal(renewed.superseded, one.record.serial);
    assert_int_equal(renewed.superseded_until, pc_now() + 14 * PC_DAY);
    assert_failed(
        sign(b, first, UUID_A, &(struct ca_sign_options){.renew = true, .revoke_old = -1}, &repeated),
        PC_EREFUSED, "identity-window", "outside");

    assert_failed(sign(b, second, UUID_A, NULL, &replaced), PC_EREFUSED, "identity-current",
                  renewed.record.serial);
    const struct ca_sign_options replace = {.replace = renewed.record.serial, .revoke_old = 1};
    assert_ok(sign(b, second, UUID_A, &replace, &replaced));
    assert_string_equal(replaced.superseded, renewed.record.serial);
    assert_int_equal(replaced.superseded_until, 0);
    int reason = 0;
    assert_true(crl_lists(b, renewed.record.serial, &reason));
    assert_int_equal(reason, 1);
    assert_int_equal(crl_number(b), 2);
    assert_ok(sign(b, second, UUID_A, &replace, &repeated));
    assert_true(repeated.already);
    assert_int_equal(crl_number(b), 2);
    assert_failed(sign(b, first, UUID_A, NULL, &again), PC_EREFUSED, "identity-revoked", "never");
    EVP_PKEY_free(first);
    EVP_PKEY_free(second);
}

static void chains_hold(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *key = new_key();
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    pc_autobytes root = {0};
    X509 *anchor = NULL;
    STACK_OF(X509) *chain = NULL, *anchors = sk_X509_new_null();
    assert_ok(sign(b, key, UUID_A, NULL, &issued));
    struct ca_health PC_CLEANUP(ca_health_clear) health = {0};
    assert_ok(ca_status(b->ca, &health));
    assert_ok(ca_certificate_pem(b->ca, health.ca.serial, &root));
    assert_ok(pki_certificate_parse(root.data, root.len, &anchor));
    sk_X509_push(anchors, anchor);
    assert_ok(pki_chain_parse(issued.chain_pem.data, issued.chain_pem.len, &chain));
    assert_int_equal(sk_X509_num(chain), 1);
    const struct pki_chain_rules rules = {
        .anchors = anchors, .at = pc_now(), .purpose = X509_PURPOSE_SSL_CLIENT};
    assert_ok(pki_chain_verify(chain, &rules));
    pki_chain_free(chain);
    sk_X509_pop_free(anchors, X509_free);
    EVP_PKEY_free(key);
}

/* Every refusal: its name, no row, no signature, no PIN, and an audit row. */
static void refusals_sign_nothing(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *a = new_key(), *other = new_key(), *revoked = new_key();
    char serial[PKI_SERIAL_TEXT], gone[PKI_SERIAL_TEXT];
    sign_first(b, revoked, UUID_A, gone);
    struct ca_revoke_report PC_CLEANUP(ca_revoke_report_clear) report = {0};
    assert_ok(ca_revoke(b->ca, &(struct ca_selector){.plant = UUID_A}, 1, &report));
    sign_first(b, a, UUID_A, serial);
    const struct {
        EVP_PKEY *key;
        const char *uuid;
        struct ca_sign_options options;
        const char *name;
    } cases[] = {
        {other, UUID_A, {.revoke_old = -1}, "identity-current"},
        {other, UUID_A, {.renew = true, .revoke_old = -1}, "identity-current"},
        {other, UUID_A, {.replace = gone, .revoke_old = -1}, "identity-replace"},
        {other, UUID_B, {.replace = serial, .revoke_old = -1}, "identity-replace"},
        {a, UUID_B, {.revoke_old = -1}, "identity-key"},
        {a, UUID_A, {.renew = true, .revoke_old = -1}, "identity-window"},
        {a, UUID_A, {.replace = serial, .revoke_old = -1}, "identity-replace"},
        {revoked, UUID_A, {.revoke_old = -1}, "identity-revoked"},
        {revoked, UUID_A, {.replace = serial, .revoke_old = -1}, "identity-revoked"},
        {revoked, UUID_B, {.revoke_old = -1}, "identity-key"},
    };
    bench_reopen(b);
    int pins = b->pins;
    size_t signatures = shim_calls("C_Sign");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t before = ask(b, rows), audited = ask(b, audits);
        struct ca_issued issued;
        assert_failed(sign(b, cases[i].key, cases[i].uuid, &cases[i].options, &issued), PC_EREFUSED,
                      cases[i].name, "");
        assert_int_equal(ask(b, rows), before);
        assert_int_equal(ask(b, audits), audited + 1);
        assert_int_equal(
            ask(b, "SELECT line LIKE '%\"outcome\":\"refused\"%' FROM audit ORDER BY id DESC LIMIT 1"), 1);
    }
    assert_int_equal(b->pins, pins);
    assert_int_equal(shim_calls("C_Sign"), signatures);
    EVP_PKEY_free(a);
    EVP_PKEY_free(other);
    EVP_PKEY_free(revoked);
}

static void bad_requests_and_options(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *key = new_key();
    struct ca_issued issued;
    pc_autobytes csr = request_of(key, UUID_B), junk = {0};
    bench_reopen(b);
    int pins = b->pins;
    int64_t audited = ask(b, audits);
    assert_failed(ca_sign(b->ca, &csr, &(struct ca_sign_options){.plant = UUID_A, .revoke_old = -1}, &issued),
                  PC_EREFUSED, "request-plant", "");
    assert_ok(pc_bytes_copy("junk", 4, &junk));
    assert_failed(
        ca_sign(b->ca, &junk, &(struct ca_sign_options){.plant = UUID_A, .revoke_old = -1}, &issued),
        PC_EREFUSED, "", "");
    assert_int_equal(ask(b, audits), audited + 2);
    assert_failed(ca_sign(b->ca, &csr, &(struct ca_sign_options){.plant = "X", .revoke_old = -1}, &issued),
                  PC_EUSAGE, "", "");
    assert_failed(ca_sign(b->ca, &csr,
                          &(struct ca_sign_options){.plant = UUID_B, .replace = "zz", .revoke_old = -1},
                          &issued),
                  PC_EUSAGE, "", "");
    assert_failed(ca_sign(b->ca, &csr, &(struct ca_sign_options){.plant = UUID_B, .revoke_old = 6}, &issued),
                  PC_EUSAGE, "", "");
    assert_int_equal(ask(b, audits), audited + 2);
    assert_int_equal(ask(b, rows), 0);
    assert_int_equal(b->pins, pins);
    EVP_PKEY_free(key);
}

/* The token fails between record and signature: the row waits, and the same request finishes it with the same
 * serial. */
static void a_failed_signature_is_finished(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *key = new_key(), *other = new_key();
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0}, replaced = {0};
    ca_close(b->ca);
    b->ca = NULL;
    shim_tell("SHIM_FAIL", "C_Sign:1:0x30");
    bench_reopen(b);
    assert_true(sign(b, key, UUID_A, NULL, &issued) < 0);
    assert_int_equal(ask(b, "SELECT count(*) FROM certificate WHERE state = 'signing' AND owner IS NULL"), 1);
    int64_t low = ask(b, "SELECT substr(hex(serial), 34) + 0 FROM certificate WHERE state = 'signing'");
    shim_reset();
    bench_reopen(b);
    assert_ok(sign(b, key, UUID_A, NULL, &issued));
    assert_int_equal(ask(b, "SELECT substr(hex(serial), 34) + 0 FROM certificate WHERE state = 'current' AND "
                            "profile = 'device'"),
                     low);
    assert_int_equal(ask(b, rows), 1);

    /* With another key what was begun is void, and on the next CRL. */
    ca_close(b->ca);
    b->ca = NULL;
    shim_tell("SHIM_FAIL", "C_Sign:1:0x30");
    bench_reopen(b);
    EVP_PKEY *third = new_key();
    const struct ca_sign_options replace = {.replace = issued.record.serial, .revoke_old = -1};
    assert_true(sign(b, other, UUID_A, &replace, &replaced) < 0);
    shim_reset();
    bench_reopen(b);
    assert_ok(sign(b, third, UUID_A, &replace, &replaced));
    assert_int_equal(ask(b, "SELECT count(*) FROM certificate WHERE state = 'void' AND listed_from = 2"), 1);
    struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) report = {0};
    assert_ok(ca_crl(b->ca, &report, NULL));
    assert_int_equal(report.entries, 1);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    EVP_PKEY_free(third);
}

/* A token that signs with another key, or whose key is no longer strict. */
static void the_token_is_checked_before_each_run(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *key = new_key();
    struct ca_issued issued;
    ca_close(b->ca);
    b->ca = NULL;
    shim_tell("SHIM_ATTRIBUTES", "0x162=1"); /* CKA_EXTRACTABLE */
    bench_reopen(b);
    assert_failed(sign(b, key, UUID_A, NULL, &issued), PC_EREFUSED, "key-attributes", "CKA_EXTRACTABLE");
    assert_int_equal(ask(b, rows), 0);
    shim_reset();
    EVP_PKEY_free(key);
}

/* Two processes, one plant, one key each; and many plants at once. */
static int sign_many(struct bench *b, int which)
{
    struct ca *ca = NULL;
    int outcome = 0;
    if (ca_open(&b->settings, &ca) != 0)
        return 1;
    for (int i = 0; i < 6; i++) {
        struct ca_issued issued = {0};
        struct pc_bytes csr = {0};
        char uuid[64];
        EVP_PKEY *key = EVP_EC_gen("P-256");
        snprintf(uuid, sizeof uuid, "a1b2c3d4-0000-0000-%04d-%012d", i < 3 ? 7 : which, i + 1);
        int r = pki_request_build(key, uuid, &csr) == 0 ? PC_EUNREACH : 1;
        /* SoftHSM 2.6.1 truncates its token's file at each login: another process may find no token for a
         * moment. */
        for (int tries = 0; r == PC_EUNREACH && tries < 50; tries++)
            r = ca_sign(ca, &csr, &(struct ca_sign_options){.plant = uuid, .revoke_old = -1}, &issued);
        bool lost =
            r == PC_EPENDING || (r == PC_EREFUSED && strcmp(pc_error_name(), "identity-current") == 0);
        if (r != 0 && !(i < 3 && lost))
            outcome = 2;
        ca_issued_clear(&issued);
        pc_bytes_clear(&csr);
        EVP_PKEY_free(key);
    }
    ca_close(ca);
    return outcome;
}

static void processes_at_once(void **state)
{
    struct bench *b = *state;
    pid_t children[3];
    ca_close(b->ca);
    b->ca = NULL;
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(sign_many(b, i));
    }
    for (int i = 0; i < 3; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    bench_reopen(b);
    assert_int_equal(ask(b, rows), 3 + 3 * 3);
    assert_int_equal(ask(b, "SELECT count(*) FROM certificate WHERE state <> 'current'"), 0);
    struct ca_health PC_CLEANUP(ca_health_clear) health = {0};
    assert_ok(ca_status(b->ca, &health));
    assert_true(health.audit_sound);
}

/* While another process lives that has reserved, nobody takes its row. */
static void a_live_reservation_is_respected(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *key = new_key();
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    struct ledger *other = NULL;
    struct ledger_certificate row = {
        .issuer = 1, .record = {.not_before = pc_now() - 1, .not_after = pc_now() + 1000 * PC_DAY}};
    int64_t id;
    strcpy(row.record.serial, "0badcafe");
    strcpy(row.record.cn, UUID_A);
    strcpy(row.record.profile, "device");
    assert_ok(pki_key_fingerprint(key, row.record.key_sha256));
    assert_ok(ledger_open("sqlite", b->state, LEDGER_EXISTING, &other));
    assert_ok(other->ops->begin(other, true));
    assert_ok(other->ops->reserve(other, &row, &id));
    assert_ok(other->ops->commit(other));
    assert_failed(sign(b, key, UUID_A, NULL, &issued), PC_EPENDING, "", "another process");
    ledger_close(other);
    assert_ok(sign(b, key, UUID_A, NULL, &issued));
    assert_int_equal(ask(b, "SELECT count(*) FROM certificate WHERE state = 'void' AND listed_from IS NULL"),
                     1);
    EVP_PKEY_free(key);
}

/* A revocation that overtakes a signature wins. */
static void revoked_while_unfinished(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *key = new_key();
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    ca_close(b->ca);
    b->ca = NULL;
    shim_tell("SHIM_FAIL", "C_Sign:1:0x30");
    bench_reopen(b);
    assert_true(sign(b, key, UUID_A, NULL, &issued) < 0);
    shim_reset();
    bench_reopen(b);
    struct ca_revoke_report PC_CLEANUP(ca_revoke_report_clear) report = {0};
    assert_ok(ca_revoke(b->ca, &(struct ca_selector){.plant = UUID_A}, 1, &report));
    assert_int_equal(report.crl.entries, 1);
    assert_int_equal(ask(b, "SELECT count(*) FROM certificate WHERE state = 'void'"), 1);
    EVP_PKEY_free(key);
}

/* The same while the process that signs lives: it finds its row void, and gives nothing out. */
static void revoked_while_being_signed(void **state)
{
    struct bench *b = *state;
    struct ca *other = NULL;
    EVP_PKEY *key = new_key();
    struct issuance PC_CLEANUP(issuance_clear)
        issuance = {.plan = {.profile = &pki_profile_device, .subject_key = key, .cn = UUID_A},
                    .cn = UUID_A,
                    .revoke_old = -1};
    struct ledger *open = NULL;
    struct ca_revoke_report PC_CLEANUP(ca_revoke_report_clear) report = {0};
    assert_ok(ca_signing_key(b->ca));
    assert_ok(issuance_plan(b->ca, &issuance, 730));
    assert_ok(ca_begin(b->ca, &open));
    assert_ok(issuance_record(b->ca, &issuance));
    assert_ok(ca_commit(b->ca, &open));
    assert_ok(ca_open(&b->settings, &other));
    /* One process cannot open the token twice: the revocation is on record, its CRL waits. */
    assert_true(ca_revoke(other, &(struct ca_selector){.plant = UUID_A}, 1, &report) < 0);
    ca_close(other);
    assert_failed(issuance_complete(b->ca, &issuance), PC_EREFUSED, "identity-revoked", "void");
    assert_int_equal(ask(b, "SELECT count(*) FROM certificate WHERE state = 'void' AND listed_from = 2"), 1);
    struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) crl = {0};
    assert_ok(ca_crl(b->ca, &crl, NULL));
    assert_int_equal(crl.entries, 1);
    /* No certificate was released, but the key was revoked: it is never certified. */
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    assert_failed(sign(b, key, UUID_A, &(struct ca_sign_options){.revoke_old = -1}, &issued), PC_EREFUSED,
                  "identity-revoked", "never certified again");
    EVP_PKEY_free(key);
}

/* Files that may not grow any more: as a full disk, a bit at a time. Nothing is released, and the ledger is
 * whole afterwards. */
static void a_full_disk_releases_nothing(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *key = new_key();
    pc_autobytes csr = request_of(key, UUID_A);
    char wal[192];
    ca_close(b->ca);
    b->ca = NULL;
    in_state(b, "ledger.db-wal", wal);
    int failures = 0;
    for (rlim_t room = 0; room < 120000; room += 8192) {
        pid_t child = fork();
        if (child == 0) {
            struct ca *ca = NULL;
            struct ca_issued issued = {0};
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){room, room});
            int r = ca_open(&b->settings, &ca);
            if (r == 0)
                r = ca_sign(ca, &csr, &(struct ca_sign_options){.plant = UUID_A, .revoke_old = -1}, &issued);
            ca_close(ca);
            _exit(r == 0 ? 0 : -r);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        int code = WEXITSTATUS(status);
        assert_true(code == 0 || code == 1 || code == 4);
        if (code == 0)
            break;
        failures++;
        assert_int_equal(
            ask(b, "SELECT count(*) FROM certificate WHERE profile = 'device' AND state = 'current'"), 0);
    }
    assert_true(failures > 0);
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    bench_reopen(b);
    assert_ok(sign(b, key, UUID_A, NULL, &issued));
    struct ca_health PC_CLEANUP(ca_health_clear) health = {0};
    assert_ok(ca_status(b->ca, &health));
    assert_true(health.audit_sound);
    assert_int_equal(ask(b, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
    EVP_PKEY_free(key);
}

static void broker(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *key = new_key(), *other = new_key();
    struct ca_issued PC_CLEANUP(ca_issued_clear) one = {0}, again = {0}, names = {0}, rotated = {0},
                                                 csr = {0};
    assert_ok(ca_broker(b->ca, &(struct ca_broker_options){.key = key}, &one));
    assert_string_equal(one.record.cn, "mqtt.voke.lovinka.com");
    assert_string_equal(one.record.profile, "broker");
    assert_ok(ca_broker(b->ca, &(struct ca_broker_options){.key = key}, &again));
    assert_true(again.already);
    assert_ok(ca_broker(b->ca, &(struct ca_broker_options){.key = key, .san = "DNS:other.example"}, &names));
    assert_string_equal(names.superseded, one.record.serial);
    assert_ok(ca_broker(b->ca, &(struct ca_broker_options){.key = other}, &rotated));
    assert_string_equal(rotated.superseded, names.record.serial);
    struct ca_issued refused;
    assert_failed(ca_broker(b->ca, &(struct ca_broker_options){.key = key, .cn = "b.example"}, &refused),
                  PC_EREFUSED, "identity-key", "mqtt.voke.lovinka.com");
    assert_failed(ca_broker(b->ca, &(struct ca_broker_options){.key = key, .cn = "not a name"}, &refused),
                  PC_EUSAGE, "", "");
    assert_failed(ca_broker(b->ca, &(struct ca_broker_options){.key = key, .san = "URI:x"}, &refused),
                  PC_EUSAGE, "", "");
    EVP_PKEY *third = new_key();
    pc_autobytes request = request_of(third, "mqtt.voke.lovinka.com"),
                 wrong = request_of(third, "elsewhere.example");
    assert_failed(ca_broker(b->ca, &(struct ca_broker_options){.csr = &wrong}, &refused), PC_EREFUSED, "",
                  "");
    assert_ok(ca_broker(b->ca, &(struct ca_broker_options){.csr = &request}, &csr));
    assert_string_equal(csr.superseded, rotated.record.serial);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    EVP_PKEY_free(third);
}

/* No leaf outlives the CA, and near its end nothing is issued any more. */
static void dates(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *key = new_key(), *late = new_key();
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    struct ca_health PC_CLEANUP(ca_health_clear) health = {0};
    assert_ok(ca_status(b->ca, &health));
    pc_time_fix(health.issuance_horizon);
    assert_ok(sign(b, key, UUID_A, NULL, &issued));
    assert_int_equal(issued.record.not_after, health.ca.not_after);
    assert_int_equal(issued.record.not_after - issued.record.not_before, 730 * PC_DAY - 1);
    ca_issued_clear(&issued);
    pc_time_fix(health.issuance_horizon + 1000);
    assert_ok(sign(b, late, UUID_B, NULL, &issued));
    assert_int_equal(issued.record.not_after, health.ca.not_after);
    assert_int_equal(issued.record.not_after - issued.record.not_before, 730 * PC_DAY - 1001);
    pc_time_fix(health.ca.not_after + 1);
    EVP_PKEY *dead = new_key();
    struct ca_issued none;
    int64_t before = ask(b, rows);
    assert_failed(sign(b, dead, "a1b2c3d4-0000-0000-0000-000000000003", NULL, &none), PC_EREFUSED,
                  "issuer-expired", "");
    assert_int_equal(ask(b, rows), before);
    EVP_PKEY_free(key);
    EVP_PKEY_free(late);
    EVP_PKEY_free(dead);
}

int main(int argc, char **argv)
{
#define WITH_CA(test) cmocka_unit_test_setup_teardown(test, bench_setup_init, bench_teardown)
    const struct CMUnitTest tests[] = {
        WITH_CA(sign_again_renew_replace),
        WITH_CA(chains_hold),
        WITH_CA(refusals_sign_nothing),
        WITH_CA(bad_requests_and_options),
        WITH_CA(a_failed_signature_is_finished),
        WITH_CA(the_token_is_checked_before_each_run),
        WITH_CA(processes_at_once),
        WITH_CA(a_live_reservation_is_respected),
        WITH_CA(revoked_while_unfinished),
        WITH_CA(revoked_while_being_signed),
        WITH_CA(a_full_disk_releases_nothing),
        WITH_CA(broker),
        WITH_CA(dates),
    };
    fixture_start(argc > 1 ? argv[1] : NULL);
    int failed = cmocka_run_group_tests_name("ca issue", tests, NULL, NULL);
    fixture_end();
    return failed;
}
