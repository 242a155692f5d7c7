/* install against a real TPM simulator: what is accepted, and each refusal with the old set untouched. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"
#include "tests/integration/device/test_device.h"

/* A chain for another subject, key, issuer or time than it should be; dates relative to now. */
struct bad_chain {
    const char *refusal;
    const char *plant;
    bool other_issuer, other_key;
    int64_t from, until;
};

static void forge_bad(const struct bad_chain *bad, const struct pc_bytes *csr, struct pc_bytes *ret)
{
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) requested = plc_key_of(csr);
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) foreign = forge_key();
    X509 *root = bad->other_issuer ? plc.other_root : plc.root;
    EVP_PKEY *root_key = bad->other_issuer ? plc.other_key : plc.root_key;
    int64_t now = pc_now() + bad->from;
    X509 *PC_CLEANUP(X509_free_ref) leaf = forge_device(
        bad->plant ? bad->plant : FORGE_PLANT, bad->other_key ? foreign : requested, root, root_key, now);
    pc_bytes_clear(ret);
    forge_pem(leaf, ret);
    forge_pem(root, ret);
}

static void refuse_all(const struct pc_bytes *csr)
{
    static const struct bad_chain bad[] = {
        {.refusal = "install-cn", .plant = FORGE_OTHER},
        {.refusal = "chain-anchor", .other_issuer = true},
        {.refusal = "install-key", .other_key = true},
        {.refusal = "chain-expired", .from = -366 * PC_DAY},
    };
    char before[PKI_FINGERPRINT_TEXT], after[PKI_FINGERPRINT_TEXT];
    pc_autobytes chain = {0};
    plc_snapshot(&plc, before);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        forge_bad(&bad[i], csr, &chain);
        assert_refused(plc_install(&plc, &chain, &plc.ca), bad[i].refusal);
    }
    plc_certify(&plc, csr, &chain);
    assert_refused(plc_install(&plc, &chain, &plc.other_ca), "chain-anchor");
    /* What is no trust anchor: a leaf, and no certificate at all. */
    assert_refused(plc_install(&plc, &chain, &chain), "install-anchor");
    assert_refused(plc_install(&plc, &chain, csr), "install-anchor");
    assert_refused(plc_install(&plc, csr, &plc.ca), "chain-parse");
    chain.len /= 2;
    assert_refused(plc_install(&plc, &chain, &plc.ca), "chain-parse");
    plc_snapshot(&plc, after);
    assert_string_equal(before, after);
}

void test_install(void **state)
{
    (void)state;
    pc_autobytes chain = {0};
    struct dev_install_report report = {0};
    struct dev_status status;
    char before[PKI_FINGERPRINT_TEXT], after[PKI_FINGERPRINT_TEXT];
    plc_prepare(&plc, &chain);
    assert_refused(plc_install(&plc, &chain, NULL), "install-anchor");
    assert_done(plc_install_report(&plc, &chain, &plc.ca, &report));
    assert_false(report.already || report.reload_failed);
    assert_string_equal(report.cn, FORGE_PLANT);
    assert_string_equal(report.generation, "0001");
    dev_install_report_clear(&report);
    assert_done(plc_status(&plc, &status));
    assert_int_equal(status.state, DEV_INSTALLED);
    assert_false(status.pending.present);
    assert_int_equal(status.key_error, 0);
    assert_string_equal(status.cn, FORGE_PLANT);
    assert_string_equal(status.previous, "");
    assert_int_equal(mode_of("ca.crt"), 0644);
    assert_int_equal(mode_of("device.crt"), 0644);
    assert_int_equal(mode_of("device.tpm"), 0600);
    assert_int_equal(
        plc_shell(&plc, "test \"$(grep -c BEGIN \"$DIR/device.crt\")\" = 2 && test ! -e \"$DIR/pending\""),
        0);
    assert_int_equal(plc_handles(), handles_for(1));
    assert_true(plc_no_clear_key(&plc));
    plc_snapshot(&plc, before);
    assert_done(plc_install_report(&plc, &chain, NULL, &report));
    assert_true(report.already);
    assert_string_equal(report.generation, "0001");
    dev_install_report_clear(&report);
    plc_snapshot(&plc, after);
    assert_string_equal(before, after);
}

void test_install_refusals(void **state)
{
    (void)state;
    pc_autobytes csr = {0}, chain = {0};
    assert_done(plc_request(&plc, NULL, &csr, NULL));
    refuse_all(&csr);
    plc_certify(&plc, &csr, &chain);
    plc.settings.plant = FORGE_OTHER;
    assert_refused(plc_install(&plc, &chain, &plc.ca), "install-cn");
    plc.settings.plant = FORGE_PLANT;
    assert_done(plc_install(&plc, &chain, &plc.ca));
    /* And the same with a set that stands. */
    refuse_all(&csr);
    assert_int_equal(state_now(), DEV_INSTALLED);
}

/* A private key among the certificates that the user gives: whatever is made of it, none of our files holds
 * it. */
void test_smuggled_key(void **state)
{
    (void)state;
    static const char block[] =
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
    pc_autobytes good = {0}, chain = {0}, ca = {0};
    char *text;
    plc_prepare(&plc, &good);
    assert_true(asprintf(&text, "%s%s", good.data, block) > 0);
    assert_done(pc_bytes_copy(text, strlen(text), &chain));
    free(text);
    assert_true(asprintf(&text, "%s%s", block, plc.ca.data) > 0);
    assert_done(pc_bytes_copy(text, strlen(text), &ca));
    free(text);
    bool accepted = plc_install(&plc, &chain, &ca) == 0;
    assert_true(plc_no_clear_key(&plc));
    assert_done(plc_install(&plc, &good, accepted ? NULL : &plc.ca));
    assert_true(plc_no_clear_key(&plc));
}

/* Nothing says which plant this is: neither a request nor the configuration. */
void test_install_plant_unknown(void **state)
{
    (void)state;
    pc_autobytes csr = {0}, chain = {0};
    assert_done(plc_request(&plc, NULL, &csr, NULL));
    plc_certify(&plc, &csr, &chain);
    assert_int_equal(
        plc_shell(&plc, "sed -i 's/^plant = .*/plant =/; s/requested/ready/' \"$DIR/pending/state\""), 0);
    plc.settings.plant = NULL;
    assert_refused(plc_install(&plc, &chain, &plc.ca), "plant-missing");
}

void test_anchor(void **state)
{
    (void)state;
    pc_autobytes csr = {0}, chain = {0};
    const struct bad_chain by_other = {.other_issuer = true};
    assert_done(plc_request(&plc, NULL, &csr, NULL));
    plc_certify(&plc, &csr, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    /* The anchor is pinned: another CA's certificate needs its anchor given. */
    forge_bad(&by_other, &csr, &chain);
    assert_refused(plc_install(&plc, &chain, NULL), "chain-anchor");
    assert_done(plc_install(&plc, &chain, &plc.other_ca));
    assert_done(plc_install(&plc, &chain, NULL));
    plc_certify(&plc, &csr, &chain);
    assert_refused(plc_install(&plc, &chain, NULL), "chain-anchor");
}

/* The same key, a new certificate. */
void test_renewal(void **state)
{
    (void)state;
    pc_autobytes csr = {0}, chain = {0};
    struct dev_status status;
    assert_done(plc_request(&plc, NULL, &csr, NULL));
    for (unsigned i = 0; i < 4; i++) {
        plc_certify(&plc, &csr, &chain);
        assert_done(plc_install(&plc, &chain, &plc.ca));
        assert_int_equal(plc_handles(), handles_for(1));
    }
    assert_done(plc_status(&plc, &status));
    assert_string_equal(status.generation, "0004");
    assert_string_equal(status.previous, "0003");
    assert_int_equal(plc_shell(&plc, "test \"$(ls \"$DIR/generations\" | xargs)\" = '0003 0004'"), 0);
    assert_int_equal(status.key_error, 0);
}

/* A new key beside the old one, three times: two handles take turns. */
void test_rekey(void **state)
{
    (void)state;
    pc_autobytes chain = {0};
    struct dev_status before, after;
    plc_prepare(&plc, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    for (unsigned i = 0; i < 3; i++) {
        assert_done(plc_status(&plc, &before));
        plc_prepare(&plc, &chain);
        assert_int_equal(plc_handles(), handles_for(2));
        assert_done(plc_status(&plc, &after));
        assert_int_equal(after.state, DEV_REKEY_PENDING);
        assert_string_equal(after.certificate_sha256, before.certificate_sha256);
        assert_int_equal(after.key_error, 0);
        assert_done(plc_install(&plc, &chain, NULL));
        assert_done(plc_status(&plc, &after));
        assert_int_equal(after.state, DEV_SWITCHED);
        assert_string_not_equal(after.current.fingerprint, before.current.fingerprint);
        assert_string_equal(after.previous, before.generation);
        assert_int_equal(after.key_error, 0);
        assert_int_equal(plc_handles(), handles_for(2));
    }
    /* Another plant is another PLC. */
    pc_autobytes csr = {0};
    assert_refused(plc_request(&plc, FORGE_OTHER, &csr, NULL), "plant-differs");
}

void test_clock(void **state)
{
    (void)state;
    pc_autobytes chain = {0};
    struct dev_status status;
    plc_prepare(&plc, &chain);
    pc_time_fix(0);
    int r = plc_install(&plc, &chain, &plc.ca);
    assert_done(plc_status(&plc, &status));
    pc_time_fix(INT64_MIN);
    assert_int_equal(r, 0);
    assert_int_equal(status.state, DEV_INSTALLED);
    pc_time_fix(status.renew_at);
    assert_int_equal(state_now(), DEV_DUE);
    pc_time_fix(status.not_after);
    assert_int_equal(state_now(), DEV_DUE);
    pc_time_fix(status.not_after + 1);
    assert_int_equal(state_now(), DEV_EXPIRED);
    pc_time_fix(INT64_MIN);
}

void test_group(void **state)
{
    (void)state;
    pc_autobytes chain = {0};
    struct dev_install_report report = {0};
    plc_prepare(&plc, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    assert_int_equal(mode_of("device.tpm"), 0600);
    if (geteuid() != 0)
        return; /* only root gives a file to a group that it is not in */
    /* The same certificate, but somebody else is to read the key file. */
    plc.settings.group = "daemon";
    assert_done(plc_install_report(&plc, &chain, NULL, &report));
    assert_false(report.already);
    dev_install_report_clear(&report);
    assert_int_equal(mode_of("device.tpm"), 0640);
    assert_int_equal(plc_shell(&plc, "test \"$(stat -Lc %G \"$DIR/device.tpm\")\" = daemon"), 0);
}

/* The reload command is owed until it has succeeded once. */
void test_reload(void **state)
{
    (void)state;
    static const char *const failing[] = {"exit 3", "kill -9 $$", "/nonexistent/command"};
    pc_autobytes chain = {0};
    struct dev_install_report report = {0};
    plc_prepare(&plc, &chain);
    for (size_t i = 0; i < sizeof failing / sizeof failing[0]; i++) {
        plc.settings.reload = failing[i];
        assert_done(plc_install_report(&plc, &chain, &plc.ca, &report));
        assert_int_equal(report.already, i > 0);
        assert_true(report.reload_failed);
        dev_install_report_clear(&report);
    }
    plc.settings.reload = "echo run >> \"$DIR/../reloads\"";
    for (unsigned i = 0; i < 2; i++) {
        assert_done(plc_install_report(&plc, &chain, NULL, &report));
        assert_true(report.already);
        assert_false(report.reload_failed);
        dev_install_report_clear(&report);
        assert_int_equal(plc_shell(&plc, "test \"$(wc -l < \"$DIR/../reloads\")\" = 1"), 0);
    }
}
