/* Revocation, CRLs, publication, and what lists and status say of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"
#include "tests/integration/ca/authority.h"

static void revoke_by_plant_serial_certificate(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *keys[4];
    char serials[4][PKI_SERIAL_TEXT];
    for (int i = 0; i < 4; i++)
        keys[i] = new_key();
    sign_first(b, keys[0], UUID_A, serials[0]);
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    assert_ok(sign(b, keys[1], UUID_A, &(struct ca_sign_options){.replace = serials[0], .revoke_old = -1},
                   &issued));
    sign_first(b, keys[2], UUID_B, serials[2]);
    sign_first(b, keys[3], "a1b2c3d4-0000-0000-0000-000000000003", serials[3]);

    /* The superseded one is revoked with its plant. */
    struct ca_revoke_report PC_CLEANUP(ca_revoke_report_clear) plant = {0}, again = {0}, serial = {0},
                                                               certificate = {0};
    assert_ok(ca_revoke(b->ca, &(struct ca_selector){.plant = UUID_A}, CRL_REASON_KEY_COMPROMISE, &plant));
    assert_int_equal(plant.revoked, 2);
    assert_int_equal(plant.crl.number, 2);
    assert_int_equal(plant.crl.entries, 2);
    int reason;
    assert_true(crl_lists(b, serials[0], &reason) && reason == CRL_REASON_KEY_COMPROMISE);
    assert_true(crl_lists(b, issued.record.serial, &reason) && reason == CRL_REASON_KEY_COMPROMISE);
    assert_false(crl_lists(b, serials[2], NULL));

    assert_ok(ca_revoke(b->ca, &(struct ca_selector){.plant = UUID_A}, 0, &again));
    assert_int_equal(again.revoked, 0);
    assert_int_equal(again.already, 2);
    assert_int_equal(again.crl.number, 2);
    assert_int_equal(crl_number(b), 2);

    char upper[PKI_SERIAL_TEXT];
    for (size_t i = 0; i <= strlen(serials[2]); i++)
        upper[i] = (char)(serials[2][i] >= 'a' ? serials[2][i] - 32 : serials[2][i]);
    assert_ok(ca_revoke(b->ca, &(struct ca_selector){.serial = upper}, 0, &serial));
    assert_int_equal(serial.revoked, 1);
    assert_string_equal(serial.records[0].cn, UUID_B);
    assert_true(crl_lists(b, serials[2], &reason) && reason == -1);

    pc_autobytes pem = {0};
    assert_ok(ca_certificate_pem(b->ca, serials[3], &pem));
    assert_ok(ca_revoke(b->ca, &(struct ca_selector){.certificate = &pem}, 5, &certificate));
    assert_int_equal(certificate.crl.entries, 4);
    for (int i = 0; i < 4; i++)
        EVP_PKEY_free(keys[i]);
}

static void what_cannot_be_revoked(void **state)
{
    struct bench *b = *state;
    struct ca_revoke_report report;
    struct ca_health PC_CLEANUP(ca_health_clear) health = {0};
    pc_autobytes root = {0}, junk = {0};
    EVP_PKEY *key = new_key();
    char serial[PKI_SERIAL_TEXT];
    sign_first(b, key, UUID_A, serial);
    assert_ok(ca_status(b->ca, &health));
    assert_ok(ca_certificate_pem(b->ca, health.ca.serial, &root));
    assert_ok(pc_bytes_copy("junk", 4, &junk));
    int64_t audited = ask(b, "SELECT count(*) FROM audit");
    const struct {
        struct ca_selector selector;
        int reason, code;
        const char *name;
    } cases[] = {
        {{.plant = UUID_B}, 1, PC_EREFUSED, "revoke-unknown"},
        {{.serial = "0123"}, 1, PC_EREFUSED, "revoke-unknown"},
        {{.serial = "not hex"}, 1, PC_EUSAGE, ""},
        {{.plant = "not a plant"}, 1, PC_EUSAGE, ""},
        {{.certificate = &junk}, 1, PC_EREFUSED, "certificate-parse"},
        {{.certificate = &root}, 1, PC_EREFUSED, "revoke-root"},
        {{.serial = health.ca.serial}, 1, PC_EREFUSED, "revoke-root"},
        {{.plant = UUID_A}, CRL_REASON_CERTIFICATE_HOLD, PC_EUSAGE, ""},
        {{.plant = UUID_A, .serial = serial}, 1, PC_EUSAGE, ""},
        {{0}, 1, PC_EUSAGE, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_failed(ca_revoke(b->ca, &cases[i].selector, cases[i].reason, &report), cases[i].code,
                      cases[i].name, "");
    assert_int_equal(ask(b, "SELECT count(*) FROM audit"), audited);
    assert_int_equal(crl_number(b), 1);
    EVP_PKEY_free(key);
}

/* The token is away: the revocation is on record all the same, and the next CRL has it. */
static void a_revocation_is_never_lost(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *key = new_key();
    char serial[PKI_SERIAL_TEXT];
    sign_first(b, key, UUID_A, serial);
    ca_close(b->ca);
    b->ca = NULL;
    shim_tell("SHIM_FAIL", "C_Sign:0:0x30");
    bench_reopen(b);
    struct ca_revoke_report PC_CLEANUP(ca_revoke_report_clear) report = {0};
    assert_true(ca_revoke(b->ca, &(struct ca_selector){.plant = UUID_A}, 1, &report) < 0);
    assert_true(report.recorded);
    assert_int_equal(report.revoked, 1);
    ca_revoke_report_clear(&report);
    assert_int_equal(ask(b, "SELECT count(*) FROM certificate WHERE state = 'revoked'"), 1);
    assert_int_equal(crl_number(b), 1);
    shim_reset();
    bench_reopen(b);
    assert_ok(ca_revoke(b->ca, &(struct ca_selector){.plant = UUID_A}, 1, &report));
    assert_int_equal(report.revoked, 0);
    assert_int_equal(report.already, 1);
    assert_int_equal(report.crl.number, 3); /* 2 was taken by the one that failed */
    assert_true(crl_lists(b, serial, NULL));
    EVP_PKEY_free(key);
}

static void numbers_and_dates_never_go_back(void **state)
{
    struct bench *b = *state;
    int64_t last_update = ask(b, "SELECT max(this_update) FROM crl");
    static const int64_t clocks[] = {0, 0, -250, 5000, 4800};
    int64_t start = pc_now();
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) report = {0};
        pc_autobytes pem = {0};
        pc_time_fix(start + clocks[i]);
        assert_ok(ca_crl(b->ca, &report, &pem));
        assert_int_equal(report.number, i + 2);
        assert_true(report.this_update > last_update);
        int64_t wanted = pc_now() - 300 > last_update + 1 ? pc_now() - 300 : last_update + 1;
        assert_int_equal(report.this_update, wanted);
        assert_true(report.next_update > report.this_update);
        last_update = report.this_update;
        assert_int_equal(crl_number(b), i + 2);
        assert_non_null(strstr((char *)pem.data, "BEGIN X509 CRL"));
    }
}

static void overlaps_end_with_a_crl(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *first = new_key(), *second = new_key();
    char serial[PKI_SERIAL_TEXT];
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    sign_first(b, first, UUID_A, serial);
    int64_t start = pc_now();
    pc_time_fix(start);
    assert_ok(
        sign(b, second, UUID_A, &(struct ca_sign_options){.replace = serial, .revoke_old = -1}, &issued));
    struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) before = {0}, after = {0};
    pc_time_fix(start + 14 * PC_DAY - 1);
    assert_ok(ca_crl(b->ca, &before, NULL));
    assert_int_equal(before.entries, 0);
    pc_time_fix(start + 14 * PC_DAY);
    assert_ok(ca_crl(b->ca, &after, NULL));
    assert_int_equal(after.entries, 1);
    int reason;
    assert_true(crl_lists(b, serial, &reason) && reason == CRL_REASON_SUPERSEDED);
    assert_false(crl_lists(b, issued.record.serial, NULL));
    EVP_PKEY_free(first);
    EVP_PKEY_free(second);
}

static void published(const struct bench *b, const char *name, char ret[256])
{
    snprintf(ret, 256, "%s/%s", b->publish, name);
}

static void assert_published(const struct bench *b, const char *name)
{
    char path[256];
    struct stat status;
    published(b, name, path);
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISREG(status.st_mode));
    assert_int_equal(status.st_mode & 07777, 0644);
}

static void publication(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *key = new_key(), *server = new_key();
    char serial[PKI_SERIAL_TEXT], path[256], reload[512];
    struct ca_publish_report report = {0};
    struct ca_issued PC_CLEANUP(ca_issued_clear) broker = {0};
    struct stat folder, again;
    sign_first(b, key, UUID_A, serial);
    assert_ok(ca_broker(b->ca, &(struct ca_broker_options){.key = server}, &broker));
    assert_failed(ca_publish(b->ca, NULL, &report), PC_EUSAGE, "", "[publish] dir");
    b->settings.publish_dir = b->publish;
    snprintf(reload, sizeof reload, "echo reloaded >> '%s/../reloads'", b->publish);
    b->settings.publish_reload = reload;
    bench_reopen(b);
    int pins = b->pins;
    umask(077);
    assert_ok(ca_publish(b->ca, NULL, &report));
    umask(022);
    assert_int_equal(report.written, 4);
    assert_true(report.reloaded);
    assert_int_equal(report.crl_number, 1);
    assert_int_equal(b->pins, pins);
    assert_published(b, "ca/ca.crt");
    assert_published(b, "ca/ca.crl");
    assert_published(b, "devices/" UUID_A "/device.crt");
    assert_published(b, "broker/broker.crt");
    published(b, "ca", path);
    assert_int_equal(stat(path, &folder), 0);
    assert_int_equal(folder.st_mode & 07777, 0755);

    assert_ok(ca_publish(b->ca, NULL, &report));
    assert_int_equal(report.written, 0);
    assert_int_equal(report.unchanged, 4);

    /* Damage is repaired, also of the mode; the folder stays the same one (it may be mounted). */
    published(b, "ca/ca.crl", path);
    assert_int_equal(truncate(path, 10), 0);
    published(b, "ca/ca.crt", path);
    assert_int_equal(chmod(path, 0600), 0);
    struct ca_revoke_report PC_CLEANUP(ca_revoke_report_clear) revoked = {0};
    assert_ok(ca_revoke(b->ca, &(struct ca_selector){.plant = UUID_A}, 1, &revoked));
    assert_ok(ca_publish(b->ca, NULL, &report));
    assert_int_equal(report.written, 2);
    assert_int_equal(report.removed, 1);
    assert_int_equal(report.crl_number, 2);
    assert_published(b, "ca/ca.crt");
    published(b, "devices/" UUID_A "/device.crt", path);
    assert_false(pc_file_exists(path));
    published(b, "ca", path);
    assert_int_equal(stat(path, &again), 0);
    assert_int_equal(again.st_ino, folder.st_ino);

    /* What is not ours is left alone. */
    published(b, "devices/" UUID_A "/device.crt", path);
    assert_ok(pc_file_write(path, "theirs", 6, NULL));
    assert_ok(ca_publish(b->ca, NULL, &report));
    assert_true(pc_file_exists(path));
    EVP_PKEY_free(key);
    EVP_PKEY_free(server);
}

static void publication_that_fails(void **state)
{
    struct bench *b = *state;
    char path[256];
    struct ca_publish_report report = {0};
    b->settings.publish_reload = "exit 3";
    assert_failed(ca_publish(b->ca, &(struct ca_publish_options){.dir = b->publish}, &report), PC_EFAIL, "",
                  "exit 3");
    assert_published(b, "ca/ca.crl");
    b->settings.publish_reload = NULL;
    /* A link or a FIFO in the place of a file: refused, and the CA file after the CRL is not touched. */
    published(b, "ca/ca.crl", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/nowhere", path), 0);
    assert_failed(ca_publish(b->ca, &(struct ca_publish_options){.dir = b->publish}, &report), PC_EREFUSED,
                  "file-kind", "");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0644), 0);
    assert_failed(ca_publish(b->ca, &(struct ca_publish_options){.dir = b->publish}, &report), PC_EREFUSED,
                  "file-kind", "");
    assert_int_equal(unlink(path), 0);
    assert_ok(ca_publish(b->ca, &(struct ca_publish_options){.dir = b->publish}, &report));
    assert_failed(ca_publish(b->ca, &(struct ca_publish_options){.dir = "/proc/nowhere"}, &report), PC_EFAIL,
                  "", "");
}

static void a_stale_crl_is_renewed_by_publication(void **state)
{
    struct bench *b = *state;
    struct ca_publish_report report = {0};
    pc_time_fix(pc_now() + 31 * PC_DAY);
    assert_ok(ca_publish(b->ca, &(struct ca_publish_options){.dir = b->publish}, &report));
    assert_int_equal(report.crl_number, 2);
    assert_false(report.reloaded);
}

static int count_rows(void *context, const struct ca_record *record)
{
    assert_true(strlen(record->serial) >= 2);
    (*(size_t *)context)++;
    return 0;
}

static int stop_at_once(void *context, const struct ca_record *record)
{
    (void)record;
    (*(size_t *)context)++;
    return 42;
}

static int count_details(void *context, const struct ca_detail *detail)
{
    return count_rows(context, &detail->record);
}

static size_t listed(struct bench *b, enum ca_filter filter, int64_t within)
{
    size_t count = 0;
    assert_ok(
        ca_list(b->ca, &(struct ca_list_options){.filter = filter, .within = within}, count_rows, &count));
    return count;
}

static void lists_and_status(void **state)
{
    struct bench *b = *state;
    EVP_PKEY *keys[3];
    char serials[3][PKI_SERIAL_TEXT];
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    for (int i = 0; i < 3; i++)
        keys[i] = new_key();
    sign_first(b, keys[0], UUID_A, serials[0]);
    assert_ok(sign(b, keys[1], UUID_A, &(struct ca_sign_options){.replace = serials[0], .revoke_old = -1},
                   &issued));
    sign_first(b, keys[2], UUID_B, serials[2]);
    struct ca_revoke_report PC_CLEANUP(ca_revoke_report_clear) report = {0};
    assert_ok(ca_revoke(b->ca, &(struct ca_selector){.plant = UUID_B}, 1, &report));
    assert_int_equal(listed(b, CA_ALL, 0), 5);
    assert_int_equal(listed(b, CA_CURRENT, 0), 3);
    assert_int_equal(listed(b, CA_VALID, 0), 4);
    assert_int_equal(listed(b, CA_REVOKED, 0), 1);
    assert_int_equal(listed(b, CA_EXPIRING, 100 * PC_DAY), 0);
    assert_int_equal(listed(b, CA_EXPIRING, 731 * PC_DAY), 1);
    size_t count = 0;
    assert_int_equal(ca_list(b->ca, &(struct ca_list_options){0}, stop_at_once, &count), 42);
    assert_int_equal(count, 1);
    count = 0;
    assert_ok(ca_show(b->ca, UUID_A, count_details, &count));
    assert_int_equal(count, 2);
    assert_ok(ca_show(b->ca, serials[2], count_details, &count));
    assert_int_equal(count, 3);
    assert_failed(ca_show(b->ca, "0123", count_details, &count), PC_EREFUSED, "record-unknown", "");
    assert_failed(ca_show(b->ca, "' OR 1=1 --", count_details, &count), PC_EREFUSED, "record-unknown", "");

    struct ca_health PC_CLEANUP(ca_health_clear) health = {0};
    bench_reopen(b);
    int pins = b->pins;
    assert_ok(ca_status(b->ca, &health));
    assert_int_equal(health.current, 1); /* not the audit key's */
    assert_int_equal(health.valid, 2);
    assert_int_equal(health.superseded, 1);
    assert_int_equal(health.revoked, 1);
    assert_int_equal(health.crl_number, 2);
    assert_int_equal(health.crl_entries, 1);
    assert_int_equal(health.token_error, 0);
    assert_string_equal(health.ca.token.serial, b->serial);
    assert_true(health.audit_sound);
    assert_int_equal(health.audit_rows, ask(b, "SELECT count(*) FROM audit"));
    assert_int_equal(b->pins, pins);
    ca_health_clear(&health);

    b->settings.token.label = "nowhere";
    bench_reopen(b);
    assert_ok(ca_status(b->ca, &health));
    assert_int_equal(health.token_error, PC_EUNREACH);
    assert_true(strlen(health.token_text) > 0);
    for (int i = 0; i < 3; i++)
        EVP_PKEY_free(keys[i]);
}

int main(int argc, char **argv)
{
#define WITH_CA(test) cmocka_unit_test_setup_teardown(test, bench_setup_init, bench_teardown)
    const struct CMUnitTest tests[] = {
        WITH_CA(revoke_by_plant_serial_certificate),
        WITH_CA(what_cannot_be_revoked),
        WITH_CA(a_revocation_is_never_lost),
        WITH_CA(numbers_and_dates_never_go_back),
        WITH_CA(overlaps_end_with_a_crl),
        WITH_CA(publication),
        WITH_CA(publication_that_fails),
        WITH_CA(a_stale_crl_is_renewed_by_publication),
        WITH_CA(lists_and_status),
    };
    fixture_start(argc > 1 ? argv[1] : NULL);
    int failed = cmocka_run_group_tests_name("ca revoke", tests, NULL, NULL);
    fixture_end();
    return failed;
}
