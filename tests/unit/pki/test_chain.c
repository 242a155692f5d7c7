/* src/pki/chain: what leads to a pinned anchor, and everything that does not. */
#include "tests/unit/pki/fixture.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/chain.h"
#include "src/pki/crl.h"
#include "src/pki/name.h"
#include "src/pki/sign.h"
#include "tests/data/keys.h"

/* A root, an issuing CA below it, and a device below either. */
static struct {
    X509 *root, *issuing, *leaf, *deep_leaf, *other_root;
    STACK_OF(X509) * anchors;
} all;

static X509 *issuing_below(X509 *root)
{
    X509_NAME *name = NULL;
    struct pki_certificate_plan plan = {.profile = &pki_profile_issuing,
                                        .subject_key = data_key(DATA_RSA_3072),
                                        .issuer = root,
                                        .issuer_key = data_key(DATA_EC_P256),
                                        .serial = {{0x55}, 1},
                                        .not_before = NOON_2026,
                                        .not_after = NOON_2026 + 1000 * PC_DAY};
    X509 *issuing;

    assert_int_equal(pki_name_parse("/O=CPI/CN=Issuing", &name), 0);
    plan.subject = name;
    issuing = signed_certificate(&plan, data_key(DATA_EC_P256));
    assert_int_equal(pki_certificate_lint(issuing, &plan), 0);
    X509_NAME_free(name);
    return issuing;
}

static int setup(void **state)
{
    struct pki_certificate_plan plan;

    (void)state;
    all.root = root_of("Root", data_key(DATA_EC_P256));
    all.other_root = root_of("Root", data_key(DATA_EC_P384)); /* the same name, another key */
    all.issuing = issuing_below(all.root);
    plan = plan_device(data_key(DATA_RSA_2048), all.root, data_key(DATA_EC_P256));
    all.leaf = signed_certificate(&plan, data_key(DATA_EC_P256));
    plan = plan_device(data_key(DATA_RSA_2048), all.issuing, data_key(DATA_RSA_3072));
    all.deep_leaf = signed_certificate(&plan, data_key(DATA_RSA_3072));
    all.anchors = sk_X509_new_null();
    sk_X509_push(all.anchors, all.root);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    X509_free(all.root);
    X509_free(all.other_root);
    X509_free(all.issuing);
    X509_free(all.leaf);
    X509_free(all.deep_leaf);
    sk_X509_free(all.anchors);
    data_keys_free();
    return 0;
}

static struct pki_chain_rules rules_at(int64_t at)
{
    return (struct pki_chain_rules){.anchors = all.anchors, .at = at, .purpose = X509_PURPOSE_SSL_CLIENT};
}

/* Verifies leaf and, when given, what stands behind it. */
static int verify(X509 *leaf, X509 *behind, const struct pki_chain_rules *rules)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    int rc;

    sk_X509_push(chain, leaf);
    if (behind)
        sk_X509_push(chain, behind);
    pc_error_clear();
    rc = pki_chain_verify(chain, rules);
    sk_X509_free(chain);
    return rc;
}

static void refused_as(const char *name, int rc)
{
    assert_int_equal(rc, PC_EREFUSED);
    assert_string_equal(pc_error_name(), name);
}

static void good(void **state)
{
    struct pki_chain_rules rules = rules_at(NOON_2026 + PC_DAY);

    (void)state;
    assert_int_equal(verify(all.leaf, NULL, &rules), 0);
    assert_int_equal(verify(all.leaf, all.root, &rules), 0);
    assert_int_equal(verify(all.deep_leaf, all.issuing, &rules), 0);
    rules.purpose = 0;
    assert_int_equal(verify(all.leaf, NULL, &rules), 0);
}

static void foreign(void **state)
{
    struct pki_chain_rules rules = rules_at(NOON_2026 + PC_DAY);
    STACK_OF(X509) *anchors = sk_X509_new_null();

    (void)state;
    refused_as("chain-anchor", verify(all.deep_leaf, NULL, &rules)); /* the issuing CA is missing */
    rules.anchors = anchors;
    refused_as("chain-anchor", verify(all.leaf, NULL, &rules)); /* no anchor at all */
    refused_as("chain-anchor",
               verify(all.leaf, all.root, &rules)); /* the root came along: not trusted for that */
    sk_X509_push(anchors, all.other_root);
    refused_as("chain-anchor", verify(all.leaf, NULL, &rules));
    refused_as("chain-anchor", verify(all.leaf, all.root, &rules));
    /* an issuing CA is no anchor: no partial chains */
    (void)sk_X509_pop(anchors);
    sk_X509_push(anchors, all.issuing);
    refused_as("chain-anchor", verify(all.deep_leaf, NULL, &rules));
    sk_X509_free(anchors);
}

static void broken_signature(void **state)
{
    struct pki_chain_rules rules = rules_at(NOON_2026 + PC_DAY);
    struct pc_bytes der = {0};
    X509 *broken = NULL;

    (void)state;
    assert_int_equal(pki_certificate_der(all.leaf, &der), 0);
    der.data[der.len - 1] ^= 1;
    assert_int_equal(pki_certificate_parse(der.data, der.len, &broken), 0);
    refused_as("chain-signature", verify(broken, NULL, &rules));
    X509_free(broken);
    pc_bytes_clear(&der);
}

static void times(void **state)
{
    struct pki_chain_rules rules = rules_at(0);
    int64_t from, until;

    (void)state;
    assert_int_equal(pki_certificate_dates(all.leaf, &from, &until), 0);
    refused_as("chain-not-yet", verify(all.leaf, NULL, &rules)); /* 1970 */
    rules.ignore_not_yet = true;
    assert_int_equal(verify(all.leaf, NULL, &rules), 0);
    rules.ignore_not_yet = false;
    rules.at = from;
    assert_int_equal(verify(all.leaf, NULL, &rules), 0);
    rules.at = from - 1;
    refused_as("chain-not-yet", verify(all.leaf, NULL, &rules));
    rules.at = until;
    assert_int_equal(verify(all.leaf, NULL, &rules), 0);
    rules.at = until + 1;
    refused_as("chain-expired", verify(all.leaf, NULL, &rules));
    rules.ignore_not_yet = true;
    refused_as("chain-expired", verify(all.leaf, NULL, &rules));
    rules.at = PC_TIME_MAX; /* past what 32 bits hold */
    refused_as("chain-expired", verify(all.leaf, NULL, &rules));
}

/* What a clock behind may excuse is a date, and nothing else. */
static void not_yet_excuses_nothing_else(void **state)
{
    struct pki_chain_rules rules = rules_at(0);
    STACK_OF(X509) *anchors = sk_X509_new_null();

    (void)state;
    rules.ignore_not_yet = true;
    rules.purpose = X509_PURPOSE_SSL_SERVER;
    refused_as("chain-purpose", verify(all.leaf, NULL, &rules));
    rules.purpose = X509_PURPOSE_SSL_CLIENT;
    sk_X509_push(anchors, all.other_root);
    rules.anchors = anchors;
    refused_as("chain-anchor", verify(all.leaf, NULL, &rules));
    sk_X509_free(anchors);
}

/* A certificate that is valid to the end of 9999, at a time past 2038. */
static void far_future(void **state)
{
    EVP_PKEY *key = data_key(DATA_EC_P256);
    X509_NAME *name = NULL;
    struct pki_certificate_plan plan = plan_root("Old", key, &name), leaf_plan;
    X509 *root, *leaf;
    STACK_OF(X509) *anchors = sk_X509_new_null();
    struct pki_chain_rules rules = rules_at(INT64_C(4294967296) + PC_DAY);

    (void)state;
    plan.not_after = PC_TIME_MAX;
    root = signed_certificate(&plan, key);
    leaf_plan = plan_device(key, root, key);
    leaf_plan.not_after = PC_TIME_MAX;
    leaf = signed_certificate(&leaf_plan, key);
    sk_X509_push(anchors, root);
    rules.anchors = anchors;
    assert_int_equal(verify(leaf, NULL, &rules), 0);
    rules.at = PC_TIME_MAX;
    assert_int_equal(verify(leaf, NULL, &rules), 0);
    sk_X509_free(anchors);
    X509_free(leaf);
    X509_free(root);
    X509_NAME_free(name);
}

static X509_CRL *crl_with(X509 *issuer, EVP_PKEY *key, const X509 *revoked)
{
    struct pki_crl_entry entry = {.revoked_at = NOON_2026, .reason = 1};
    struct pki_crl_plan plan = {.issuer = issuer,
                                .issuer_key = key,
                                .number = 1,
                                .this_update = NOON_2026,
                                .next_update = NOON_2026 + 30 * PC_DAY,
                                .entries = &entry,
                                .count = revoked ? 1 : 0};
    struct pc_bytes tbs = {0}, der = {0};
    X509_CRL *crl = NULL;

    if (revoked)
        assert_int_equal(pki_serial_of(revoked, &entry.serial), 0);
    assert_int_equal(pki_crl_tbs(&plan, &tbs), 0);
    assert_int_equal(pki_tbs_sign(SIGNER(key), key, &tbs, &der), 0);
    assert_int_equal(pki_crl_parse(der.data, der.len, &crl), 0);
    pc_bytes_clear(&tbs);
    pc_bytes_clear(&der);
    return crl;
}

static void revocation(void **state)
{
    struct pki_chain_rules rules = rules_at(NOON_2026 + PC_DAY);
    X509_CRL *clean = crl_with(all.root, data_key(DATA_EC_P256), NULL);
    X509_CRL *revoking = crl_with(all.root, data_key(DATA_EC_P256), all.leaf);
    X509_CRL *foreign_crl = crl_with(all.other_root, data_key(DATA_EC_P384), NULL);

    (void)state;
    rules.crl = clean;
    assert_int_equal(verify(all.leaf, NULL, &rules), 0);
    rules.crl = revoking;
    refused_as("chain-revoked", verify(all.leaf, NULL, &rules));
    rules.ignore_not_yet = true;
    rules.at = 0; /* a clock behind does not bring it back */
    refused_as("chain-revoked", verify(all.leaf, NULL, &rules));
    rules.crl = clean;
    assert_int_equal(verify(all.leaf, NULL, &rules), 0);
    rules.ignore_not_yet = false;
    rules.at = NOON_2026 - 100; /* certificates valid, CRL not yet */
    refused_as("chain-crl", verify(all.leaf, NULL, &rules));
    rules.at = NOON_2026 + 31 * PC_DAY;
    refused_as("chain-crl", verify(all.leaf, NULL, &rules));
    rules.at = NOON_2026 + PC_DAY;
    rules.crl = foreign_crl;
    refused_as("chain-crl", verify(all.leaf, NULL, &rules));
    rules.crl = clean; /* of the root, not of the leaf's issuer */
    refused_as("chain-crl", verify(all.deep_leaf, all.issuing, &rules));
    X509_CRL_free(clean);
    X509_CRL_free(revoking);
    X509_CRL_free(foreign_crl);
}

/* A device's certificate cannot stand for a CA. */
static void leaf_as_issuer(void **state)
{
    struct pki_chain_rules rules = rules_at(NOON_2026 + PC_DAY);
    struct pki_certificate_plan plan = plan_device(data_key(DATA_EC_P384), all.leaf, data_key(DATA_RSA_2048));
    X509 *forged = signed_certificate(&plan, data_key(DATA_RSA_2048));

    (void)state;
    refused_as("chain-invalid", verify(forged, all.leaf, &rules));
    X509_free(forged);
}

static void parsing(void **state)
{
    struct pc_bytes pem = {0};
    STACK_OF(X509) *chain = NULL;
    static const char text[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    static const char key[] = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";

    (void)state;
    assert_int_equal(pc_bytes_copy("Certificate:\n  text\n", 20, &pem), 0);
    assert_int_equal(pki_certificate_append_pem(all.deep_leaf, &pem), 0);
    assert_int_equal(pki_certificate_append_pem(all.issuing, &pem), 0);
    assert_int_equal(pki_chain_parse(pem.data, pem.len, &chain), 0);
    assert_int_equal(sk_X509_num(chain), 2);
    assert_int_equal(X509_cmp(sk_X509_value(chain, 0), all.deep_leaf), 0);
    assert_int_equal(X509_cmp(sk_X509_value(chain, 1), all.issuing), 0);
    pki_chain_free(chain);
    chain = NULL;
    refused_as("chain-parse", pki_chain_parse(pem.data, pem.len - 40, &chain));
    for (int i = 0; i < 7; i++)
        assert_int_equal(pki_certificate_append_pem(all.root, &pem), 0);
    refused_as("chain-parse", pki_chain_parse(pem.data, pem.len, &chain)); /* nine of them */
    refused_as("chain-parse", pki_chain_parse("", 0, &chain));
    refused_as("chain-parse", pki_chain_parse("no certificate", 14, &chain));
    refused_as("chain-parse", pki_chain_parse(text, sizeof text - 1, &chain));
    refused_as("chain-parse", pki_chain_parse(key, sizeof key - 1, &chain));
    assert_null(chain);
    pc_bytes_clear(&pem);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(foreign),
        cmocka_unit_test(broken_signature),
        cmocka_unit_test(times),
        cmocka_unit_test(not_yet_excuses_nothing_else),
        cmocka_unit_test(far_future),
        cmocka_unit_test(revocation),
        cmocka_unit_test(leaf_as_issuer),
        cmocka_unit_test(parsing),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
