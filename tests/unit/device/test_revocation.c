/* A certificate against CRLs, right and wrong in every way; and a successor against its predecessor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "provision/device/check.h"
#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/bundle.h"
#include "src/pki/crl.h"
#include "tests/unit/device/forge.h"

#define NOW INT64_C(1795000000)
#define SERIAL 4711

static struct {
    EVP_PKEY *root_key, *other_key, *key;
    X509 *root, *twin, *other_root; /* twin: another key under the root's name */
    STACK_OF(X509) * chain, *anchors;
} fixture;

static int set_up(void **state)
{
    (void)state;
    fixture.root_key = forge_key();
    fixture.other_key = forge_key();
    fixture.key = forge_key();
    fixture.root = forge_root("/O=Test/CN=Root", fixture.root_key, NOW);
    fixture.twin = forge_root("/O=Test/CN=Root", fixture.other_key, NOW);
    fixture.other_root = forge_root("/O=Test/CN=Other", fixture.other_key, NOW);
    const struct forge_plan plan = {
        .subject = "/CN=" FORGE_PLANT,
        .extensions = forge_device_extensions,
        .issuer = fixture.root,
        .issuer_key = fixture.root_key,
        .key = fixture.key,
        .from = NOW - 300,
        .until = NOW + 365 * PC_DAY,
        .serial = SERIAL,
    };
    fixture.chain = sk_X509_new_null();
    fixture.anchors = sk_X509_new_null();
    sk_X509_push(fixture.chain, forge_certificate(&plan));
    sk_X509_push(fixture.anchors, fixture.root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sk_X509_pop_free(fixture.chain, X509_free);
    sk_X509_free(fixture.anchors);
    X509_free(fixture.root);
    X509_free(fixture.twin);
    X509_free(fixture.other_root);
    EVP_PKEY_free(fixture.root_key);
    EVP_PKEY_free(fixture.other_key);
    EVP_PKEY_free(fixture.key);
    return 0;
}

struct crl_plan {
    const char *refusal; /* NULL: must pass */
    const char *extension, *entry_extension;
    X509 **issuer; /* NULL: the root */
    EVP_PKEY **key;
    bool revoked;
    int64_t from, until; /* relative to NOW; both 0: as they should be */
};

static void set_time(ASN1_TIME *time, int64_t seconds)
{
    char text[PC_TIME_TEXT], packed[16];
    pc_time_format(seconds, text);
    snprintf(packed, sizeof packed, "%.4s%.2s%.2s%.2s%.2s%.2sZ", text, text + 5, text + 8, text + 11,
             text + 14, text + 17);
    assert_int_equal(ASN1_TIME_set_string_X509(time, packed), 1);
}

static void revoke(X509_CRL *crl, const char *extension)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_INTEGER *PC_CLEANUP(ASN1_INTEGER_free_ref) serial = ASN1_INTEGER_new();
    ASN1_TIME *PC_CLEANUP(ASN1_TIME_free_ref) date = ASN1_TIME_new();
    assert_int_equal(ASN1_INTEGER_set_int64(serial, SERIAL), 1);
    set_time(date, NOW - 100);
    assert_int_equal(X509_REVOKED_set_serialNumber(entry, serial), 1);
    assert_int_equal(X509_REVOKED_set_revocationDate(entry, date), 1);
    if (extension) {
        X509_EXTENSION *PC_CLEANUP(X509_EXTENSION_free_ref) made =
            X509V3_EXT_nconf(NULL, NULL, "1.2.3.4.5", extension);
        assert_true(made && X509_REVOKED_add_ext(entry, made, -1) == 1);
    }
    assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
}

static void add_extension(X509_CRL *crl, X509 *issuer, const char *line)
{
    char name[64];
    X509V3_CTX context;
    const char *equals = strchr(line, '=');
    snprintf(name, sizeof name, "%.*s", (int)(equals - line), line);
    X509V3_set_ctx(&context, issuer, NULL, NULL, crl, 0);
    X509_EXTENSION *PC_CLEANUP(X509_EXTENSION_free_ref) extension =
        X509V3_EXT_nconf(NULL, &context, name, equals + 1);
    assert_true(extension && X509_CRL_add_ext(crl, extension, -1) == 1);
}

static X509_CRL *forge_crl(const struct crl_plan *plan)
{
    X509_CRL *crl = X509_CRL_new();
    X509 *issuer = plan->issuer ? *plan->issuer : fixture.root;
    ASN1_TIME *PC_CLEANUP(ASN1_TIME_free_ref) from = ASN1_TIME_new();
    ASN1_TIME *PC_CLEANUP(ASN1_TIME_free_ref) until = ASN1_TIME_new();
    bool dated = plan->from || plan->until;
    assert_int_equal(X509_CRL_set_version(crl, X509_CRL_VERSION_2), 1);
    assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)), 1);
    set_time(from, NOW + (dated ? plan->from : -60));
    set_time(until, NOW + (dated ? plan->until : 30 * PC_DAY));
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, from), 1);
    assert_int_equal(X509_CRL_set1_nextUpdate(crl, until), 1);
    add_extension(crl, issuer, "authorityKeyIdentifier=keyid:always");
    if (plan->extension)
        add_extension(crl, issuer, plan->extension);
    if (plan->revoked)
        revoke(crl, plan->entry_extension);
    assert_true(X509_CRL_sign(crl, plan->key ? *plan->key : fixture.root_key, EVP_sha256()) > 0);
    return crl;
}

/* Through PEM, as it comes. */
static int judge(const struct pc_bytes *pem, int64_t now, int64_t *ret_this_update)
{
    STACK_OF(X509_CRL) *crls = NULL;
    int r = dev_check_crls_parse(pem, &crls);
    if (r == 0)
        r = dev_check_crls(fixture.chain, fixture.anchors, crls, now, ret_this_update);
    pki_crls_free(crls);
    return r;
}

static void append(const struct crl_plan *plan, struct pc_bytes *pem)
{
    X509_CRL *PC_CLEANUP(X509_CRL_free_ref) crl = forge_crl(plan);
    assert_int_equal(pki_crl_append_pem(crl, pem), 0);
}

static void expect(int r, const char *refusal, size_t i)
{
    if (r != (refusal ? PC_EREFUSED : 0))
        fail_msg("case %zu: %d (%s)", i, r, pc_error_text());
    if (refusal && strcmp(pc_error_name(), refusal) != 0)
        fail_msg("case %zu: '%s' (%s), not '%s'", i, pc_error_name(), pc_error_text(), refusal);
}

static const struct crl_plan plans[] = {
    {.refusal = NULL},
    {.refusal = "install-revoked", .revoked = true},
    {.refusal = "install-crl", .issuer = &fixture.other_root, .key = &fixture.other_key},
    {.refusal = "install-crl", .issuer = &fixture.other_root, .key = &fixture.other_key, .revoked = true},
    {.refusal = "install-crl", .issuer = &fixture.twin, .key = &fixture.other_key},
    {.refusal = "install-crl", .issuer = &fixture.twin, .key = &fixture.other_key, .revoked = true},
    {.refusal = "install-crl", .key = &fixture.other_key},
    {.refusal = "install-crl", .from = -40 * PC_DAY, .until = -1},
    /* What was revoked stays so when the CRL has had its day. */
    {.refusal = "install-revoked", .from = -40 * PC_DAY, .until = -1, .revoked = true},
    {.refusal = NULL, .from = 5 * PC_DAY, .until = 35 * PC_DAY},
    {.refusal = "install-crl", .extension = "1.2.3.4.5=critical,ASN1:NULL"},
    {.refusal = NULL, .extension = "1.2.3.4.5=ASN1:NULL"},
    {.refusal = "install-crl", .revoked = true, .entry_extension = "critical,ASN1:NULL"},
    {.refusal = "install-crl", .extension = "issuingDistributionPoint=critical,onlyuser:TRUE"},
    {.refusal = "install-crl", .extension = "issuingDistributionPoint=critical,onlyCA:TRUE"},
    {.refusal = "install-crl", .extension = "issuingDistributionPoint=critical,indirectCRL:TRUE"},
    {.refusal = "install-crl", .extension = "2.5.29.27=critical,ASN1:INTEGER:1"},
};

static void test_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        pc_autobytes pem = {0};
        int64_t this_update = -1;
        append(&plans[i], &pem);
        expect(judge(&pem, NOW, &this_update), plans[i].refusal, i);
        assert_int_equal(this_update, plans[i].refusal ? -1 : NOW + (plans[i].from ? plans[i].from : -60));
    }
}

/* A published file holds one of each CA: the good one counts beside any other, and so does a revocation. */
static void test_many(void **state)
{
    (void)state;
    const struct crl_plan good = {.refusal = NULL}, revoked = {.revoked = true};
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        int64_t this_update;
        pc_autobytes first = {0}, last = {0}, bad = {0};
        const char *wanted =
            plans[i].refusal && strcmp(plans[i].refusal, "install-revoked") == 0 ? plans[i].refusal : NULL;
        append(&good, &first);
        append(&plans[i], &first);
        expect(judge(&first, NOW, &this_update), wanted, i);
        append(&plans[i], &last);
        append(&good, &last);
        expect(judge(&last, NOW, &this_update), wanted, i);
        append(&plans[i], &bad);
        append(&revoked, &bad);
        expect(judge(&bad, NOW, &this_update), "install-revoked", i);
    }
}

/* The PLC's clock: a CRL is no reason to refuse in 1970, and none to accept in 2106. */
static void test_clock(void **state)
{
    (void)state;
    static const struct {
        int64_t now;
        const char *refusal;
    } times[] = {
        {-1, NULL},
        {0, NULL},
        {NOW + 30 * PC_DAY, NULL},
        {NOW + 30 * PC_DAY + 1, "install-crl"},
        {INT64_C(0x7fffffff) + 1, "install-crl"},
        {INT64_C(0xffffffff), "install-crl"},
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        int64_t this_update;
        pc_autobytes pem = {0};
        append(&plans[0], &pem);
        expect(judge(&pem, times[i].now, &this_update), times[i].refusal, i);
    }
}

static void test_forms(void **state)
{
    (void)state;
    X509_CRL *PC_CLEANUP(X509_CRL_free_ref) crl = forge_crl(&plans[0]);
    int64_t this_update;
    pki_autoder *der = NULL;
    int len = i2d_X509_CRL(crl, &der);
    assert_true(len > 0);
    const struct pc_bytes whole = {.data = der, .len = (size_t)len};
    expect(judge(&whole, NOW, &this_update), NULL, 0);
    for (size_t cut = 0; cut < whole.len; cut++) {
        const struct pc_bytes part = {.data = der, .len = cut};
        expect(judge(&part, NOW, &this_update), "install-crl", cut);
    }
    pc_autobytes pem = {0}, certificate = {0}, garbage = {0};
    append(&plans[0], &pem);
    pem.len /= 2;
    expect(judge(&pem, NOW, &this_update), "install-crl", 1);
    forge_pem(fixture.root, &certificate);
    expect(judge(&certificate, NOW, &this_update), "install-crl", 2);
    assert_int_equal(pc_bytes_copy("rubbish", 7, &garbage), 0);
    expect(judge(&garbage, NOW, &this_update), "install-crl", 3);
    /* Every octet changed: whatever comes of it, it is not a good CRL that lists nothing. */
    for (size_t at = 0; at < whole.len; at++) {
        der[at] ^= 0x41;
        int r = judge(&whole, NOW, &this_update);
        der[at] ^= 0x41;
        assert_int_equal(r, PC_EREFUSED);
    }
}

static X509 *with_san(const char *subject, const char *san)
{
    const char *extensions[] = {san, NULL};
    const struct forge_plan plan = {
        .subject = subject,
        .extensions = extensions + (san == NULL),
        .issuer = fixture.root,
        .issuer_key = fixture.root_key,
        .key = fixture.key,
        .from = NOW,
        .until = NOW + PC_DAY,
    };
    return forge_certificate(&plan);
}

static void test_successor(void **state)
{
    (void)state;
    static const char san[] = "subjectAltName=URI:urn:uuid:" FORGE_PLANT;
    static const struct {
        const char *refusal, *subject, *san;
    } cases[] = {
        {NULL, "/CN=" FORGE_PLANT, san},
        {"install-subject", "/CN=" FORGE_OTHER, san},
        {"install-subject", "/O=Test/CN=" FORGE_PLANT, san},
        {"install-san", "/CN=" FORGE_PLANT, NULL},
        {"install-san", "/CN=" FORGE_PLANT, "subjectAltName=critical,URI:urn:uuid:" FORGE_OTHER},
        {"install-san", "/CN=" FORGE_PLANT, "subjectAltName=URI:urn:uuid:" FORGE_PLANT ",DNS:localhost"},
    };
    X509 *PC_CLEANUP(X509_free_ref) before = with_san("/CN=" FORGE_PLANT, san);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        X509 *PC_CLEANUP(X509_free_ref) leaf = with_san(cases[i].subject, cases[i].san);
        expect(dev_check_successor(leaf, before), cases[i].refusal, i);
        expect(dev_check_successor(before, leaf), cases[i].refusal, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),   cmocka_unit_test(test_many),      cmocka_unit_test(test_clock),
        cmocka_unit_test(test_forms), cmocka_unit_test(test_successor),
    };
    return cmocka_run_group_tests_name("device revocation", tests, set_up, tear_down);
}
