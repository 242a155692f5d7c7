/* What a chain must be before it is installed: each rule with a certificate that breaks this one alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "provision/device/check.h"
#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/chain.h"
#include "tests/unit/device/forge.h"

#define NOW INT64_C(1795000000) /* 2026-11-18 */
#define YEAR (365 * PC_DAY)

struct fixture {
    EVP_PKEY *root_key, *key;
    X509 *root, *other_root;
    STACK_OF(X509) * anchors;
};
static struct fixture fixture;

static int set_up(void **state)
{
    (void)state;
    fixture.root_key = forge_key();
    fixture.key = forge_key();
    fixture.root = forge_root("/O=Test/CN=Root", fixture.root_key, NOW);
    fixture.other_root = forge_root("/O=Test/CN=Other Root", fixture.key, NOW);
    fixture.anchors = sk_X509_new_null();
    return sk_X509_push(fixture.anchors, fixture.root) > 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sk_X509_free(fixture.anchors);
    X509_free(fixture.root);
    X509_free(fixture.other_root);
    EVP_PKEY_free(fixture.key);
    EVP_PKEY_free(fixture.root_key);
    return 0;
}

/* Checks one leaf under the fixture's root, for FORGE_PLANT. Takes the leaf over. */
static int check_at(X509 *leaf, int64_t now)
{
    const struct dev_expected expected[] = {
        {.plant = NULL, .source = "nothing"},
        {.plant = FORGE_PLANT, .source = "the configured plant"},
    };
    STACK_OF(X509) *chain = sk_X509_new_null();
    assert_true(sk_X509_push(chain, leaf) > 0);
    int r = dev_check_chain(chain, fixture.anchors, expected, 2, now);
    sk_X509_pop_free(chain, X509_free);
    return r;
}

static void assert_refused(int r, const char *name)
{
    assert_int_equal(r, PC_EREFUSED);
    assert_string_equal(pc_error_name(), name);
}

static void test_good(void **state)
{
    (void)state;
    assert_int_equal(
        check_at(forge_device(FORGE_PLANT, fixture.key, fixture.root, fixture.root_key, NOW), NOW), 0);
}

/* A PLC that boots in 1970, or in 2038 on a bad battery: the first is no reason, the second is. */
static void test_clock(void **state)
{
    (void)state;
    assert_int_equal(check_at(forge_device(FORGE_PLANT, fixture.key, fixture.root, fixture.root_key, NOW), 0),
                     0);
    assert_refused(check_at(forge_device(FORGE_PLANT, fixture.key, fixture.root, fixture.root_key, NOW),
                            INT64_C(0x80000000)),
                   "chain-expired");
}

struct variant {
    const char *refusal; /* NULL: must pass */
    const char *subject; /* NULL: CN = FORGE_PLANT */
    const char *changed; /* instead of the extension of that name; NULL: all as they should be */
    const char *added;   /* one more */
    bool dropped;        /* `changed` only names what is left out */
    int64_t from, until; /* relative to NOW; both 0: as they should be */
};

static X509 *forge_variant(const struct variant *variant, X509 *issuer, EVP_PKEY *issuer_key)
{
    const char *extensions[16];
    size_t count = 0;
    for (size_t i = 0; forge_device_extensions[i]; i++) {
        const char *line = forge_device_extensions[i];
        size_t len = strcspn(line, "=") + 1;
        if (variant->changed && strncmp(variant->changed, line, len) == 0) {
            if (variant->dropped)
                continue;
            line = variant->changed;
        }
        extensions[count++] = line;
    }
    if (variant->added)
        extensions[count++] = variant->added;
    extensions[count] = NULL;
    bool dated = variant->from || variant->until;
    const struct forge_plan plan = {
        .subject = variant->subject ? variant->subject : "/CN=" FORGE_PLANT,
        .extensions = extensions,
        .issuer = issuer,
        .issuer_key = issuer_key,
        .key = fixture.key,
        .from = NOW + (dated ? variant->from : -300),
        .until = NOW + (dated ? variant->until : YEAR),
    };
    return forge_certificate(&plan);
}

#define UUID_URI "URI:urn:uuid:"

static void test_variants(void **state)
{
    (void)state;
    static const struct variant variants[] = {
        {.refusal = NULL},
        {.refusal = NULL, .from = -YEAR, .until = 0},
        {.refusal = NULL, .from = 10 * PC_DAY, .until = 20 * PC_DAY},
        {.refusal = "chain-expired", .from = -YEAR, .until = -1},
        {.refusal = "install-dates", .from = 20 * PC_DAY, .until = 10 * PC_DAY},
        /* Begins when its issuer has ended. */
        {.refusal = "chain-expired", .from = 3 * YEAR, .until = 4 * YEAR},
        {.refusal = "install-cn",
         .subject = "/CN=" FORGE_OTHER,
         .changed = "subjectAltName=" UUID_URI FORGE_OTHER},
        {.refusal = "install-cn", .subject = "/O=Test/CN=" FORGE_PLANT},
        {.refusal = "install-cn", .subject = "/CN=plc-17"},
        {.refusal = "install-cn", .subject = "/CN=A1B2C3D4-0000-0000-0000-000000000001"},
        {.refusal = "name-cn", .subject = "/CN=" FORGE_PLANT "/CN=" FORGE_OTHER},
        {.refusal = "name-cn", .subject = "/O=Test"},
        {.refusal = "install-profile", .changed = "keyUsage=critical,digitalSignature,keyEncipherment"},
        {.refusal = "install-profile", .changed = "keyUsage=", .dropped = true},
        {.refusal = "install-profile", .changed = "extendedKeyUsage=clientAuth,serverAuth"},
        {.refusal = "install-profile", .changed = "extendedKeyUsage=", .dropped = true},
        {.refusal = "install-profile", .changed = "subjectAltName=", .dropped = true},
        {.refusal = "install-profile", .changed = "subjectAltName=" UUID_URI FORGE_OTHER},
        {.refusal = "install-profile", .changed = "subjectAltName=" UUID_URI FORGE_PLANT ",DNS:localhost"},
        {.refusal = "install-profile",
         .changed = "subjectAltName=URI:urn:uuid:a1b2c3d4-0000-0000-0000-00000000000"},
        {.refusal = "install-profile", .changed = "subjectAltName=DNS:" FORGE_PLANT},
        {.refusal = "install-profile", .changed = "basicConstraints=", .dropped = true},
        {.refusal = "chain-", .changed = "extendedKeyUsage=serverAuth"},
        {.refusal = "", .changed = "basicConstraints=critical,CA:TRUE"},
        {.refusal = "", .changed = "keyUsage=critical,digitalSignature,keyCertSign"},
        {.refusal = "", .added = "1.2.3.4.5=critical,ASN1:NULL"},
        {.refusal = "", .added = "subjectAltName=" UUID_URI FORGE_PLANT},
    };
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        const char *refusal = variants[i].refusal;
        int r = check_at(forge_variant(&variants[i], fixture.root, fixture.root_key), NOW);
        if (r != (refusal ? PC_EREFUSED : 0))
            fail_msg("variant %zu: %d (%s)", i, r, pc_error_text());
        /* "" and "chain-" leave open which rule is met first. */
        if (refusal && strncmp(pc_error_name(), refusal, strlen(refusal)) != 0)
            fail_msg("variant %zu: '%s' (%s), not '%s'", i, pc_error_name(), pc_error_text(), refusal);
    }
}

static void test_foreign_issuer(void **state)
{
    (void)state;
    static const struct variant plain = {.refusal = NULL};
    /* Another CA; and one that only calls itself like ours. */
    assert_refused(check_at(forge_variant(&plain, fixture.other_root, fixture.key), NOW), "chain-anchor");
    X509 *PC_CLEANUP(X509_free_ref) impostor = forge_root("/O=Test/CN=Root", fixture.key, NOW);
    int r = check_at(forge_variant(&plain, impostor, fixture.key), NOW);
    assert_int_equal(r, PC_EREFUSED);
    /* Our own issuer's name and key identifier over a signature by another key. */
    r = check_at(forge_variant(&plain, fixture.root, fixture.key), NOW);
    assert_int_equal(r, PC_EREFUSED);
}

/* A root that came with the leaf is not trusted for that. */
static void test_smuggled_root(void **state)
{
    (void)state;
    const struct dev_expected expected = {.plant = FORGE_PLANT, .source = "the configured plant"};
    static const struct variant plain = {.refusal = NULL};
    STACK_OF(X509) *chain = sk_X509_new_null();
    assert_true(sk_X509_push(chain, forge_variant(&plain, fixture.other_root, fixture.key)) > 0);
    assert_true(X509_up_ref(fixture.other_root) == 1 && sk_X509_push(chain, fixture.other_root) > 0);
    assert_refused(dev_check_chain(chain, fixture.anchors, &expected, 1, NOW), "chain-anchor");
    sk_X509_pop_free(chain, X509_free);
}

/* The root's name and key identifier, another's key: it did not issue what it seems to have issued. */
static X509 *forge_impostor(EVP_PKEY *key)
{
    static const char *const extensions[] = {"basicConstraints=critical,CA:TRUE",
                                             "keyUsage=critical,keyCertSign,cRLSign", NULL};
    const struct forge_plan plan = {
        .subject = "/O=Test/CN=Root",
        .extensions = extensions,
        .issuer_key = key,
        .key = key,
        .from = NOW - YEAR,
        .until = NOW + YEAR,
    };
    return forge_certificate(&plan);
}

/* Only the leaf's own line goes out in handshakes. */
static void test_order(void **state)
{
    (void)state;
    const struct dev_expected expected = {.plant = FORGE_PLANT, .source = "the configured plant"};
    X509 *leaf = forge_device(FORGE_PLANT, fixture.key, fixture.root, fixture.root_key, NOW);
    X509 *twin = forge_device(FORGE_PLANT, fixture.key, fixture.root, fixture.root_key, NOW);
    X509 *impostor = forge_impostor(fixture.key);
    X509 *const lines[][3] = {
        {leaf, fixture.root, NULL},
        {leaf, impostor, NULL},
        {leaf, fixture.root, impostor},
        {leaf, fixture.other_root, NULL},
        {leaf, twin, NULL},
        {leaf, fixture.root, fixture.other_root},
        {leaf, fixture.other_root, fixture.root},
        {leaf, fixture.root, twin},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        STACK_OF(X509) *chain = sk_X509_new_null();
        for (size_t j = 0; j < 3 && lines[i][j]; j++)
            assert_true(sk_X509_push(chain, lines[i][j]) > 0);
        int r = dev_check_chain(chain, fixture.anchors, &expected, 1, NOW);
        if (i == 0)
            assert_int_equal(r, 0);
        else
            assert_refused(r, "install-order");
        sk_X509_free(chain);
    }
    X509_free(leaf);
    X509_free(twin);
    X509_free(impostor);
}

/* The subject with a NUL in it, two of them, or in another alphabet: never the plant that it seems to be. */
static void test_cn_tricks(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int len;
    } names[] = {
        {FORGE_PLANT "\0.example", sizeof FORGE_PLANT + 8},
        {FORGE_PLANT "\0", sizeof FORGE_PLANT},
        {"\0" FORGE_PLANT, sizeof FORGE_PLANT},
        {FORGE_PLANT " ", sizeof FORGE_PLANT},
        {FORGE_PLANT "\n", sizeof FORGE_PLANT},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        X509 *leaf = forge_device(FORGE_PLANT, fixture.key, fixture.root, fixture.root_key, NOW);
        X509_NAME *name = X509_NAME_new();
        assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                                    (const unsigned char *)names[i].text, names[i].len, -1,
                                                    0),
                         1);
        assert_int_equal(X509_set_subject_name(leaf, name), 1);
        X509_NAME_free(name);
        assert_true(X509_sign(leaf, fixture.root_key, EVP_sha256()) > 0);
        int r = check_at(leaf, NOW);
        if (r != PC_EREFUSED ||
            (strcmp(pc_error_name(), "name-cn") != 0 && strcmp(pc_error_name(), "install-cn") != 0))
            fail_msg("name %zu: %d (%s: %s)", i, r, pc_error_name(), pc_error_text());
    }
}

/* CA certificates in between, given by the chain: only a line that ends at a pinned anchor counts, whoever
 * else signed some of it. */
static void test_between(void **state)
{
    (void)state;
    const struct dev_expected expected = {.plant = FORGE_PLANT, .source = "the configured plant"};
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = forge_key();
    static const char *const no_ca[] = {"basicConstraints=critical,CA:FALSE", "subjectKeyIdentifier=hash",
                                        "authorityKeyIdentifier=keyid:always", NULL};
    const struct {
        const char *const *extensions;
        X509 *issuer;
        EVP_PKEY *issuer_key;
        int64_t until;
        const char *refusal; /* NULL: must pass; "": any */
    } cases[] = {
        {forge_root_extensions, fixture.root, fixture.root_key, YEAR, NULL},
        {forge_root_extensions, fixture.other_root, fixture.key, YEAR, "chain-anchor"}, /* cross-signed */
        {forge_root_extensions, fixture.root, fixture.key, YEAR, "chain-signature"},
        {forge_root_extensions, fixture.root, fixture.root_key, -1, "chain-expired"},
        {no_ca, fixture.root, fixture.root_key, YEAR, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct forge_plan plan = {
            .subject = "/O=Test/CN=Issuing",
            .extensions = cases[i].extensions,
            .issuer = cases[i].issuer,
            .issuer_key = cases[i].issuer_key,
            .key = key,
            .from = NOW - YEAR,
            .until = NOW + cases[i].until,
        };
        X509 *between = forge_certificate(&plan);
        STACK_OF(X509) *chain = sk_X509_new_null();
        assert_true(sk_X509_push(chain, forge_device(FORGE_PLANT, fixture.key, between, key, NOW)) > 0);
        assert_true(sk_X509_push(chain, between) > 0);
        int r = dev_check_chain(chain, fixture.anchors, &expected, 1, NOW);
        if (r != (cases[i].refusal ? PC_EREFUSED : 0) ||
            (r < 0 && strncmp(pc_error_name(), cases[i].refusal, strlen(cases[i].refusal)) != 0))
            fail_msg("case %zu: %d (%s: %s)", i, r, pc_error_name(), pc_error_text());
        sk_X509_pop_free(chain, X509_free);
    }
}

/* Two anchors: either will do, and none that is not among them. */
static void test_two_anchors(void **state)
{
    (void)state;
    const struct dev_expected expected = {.plant = FORGE_PLANT, .source = "the configured plant"};
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) stranger_key = forge_key();
    X509 *PC_CLEANUP(X509_free_ref) stranger = forge_root("/O=Test/CN=Stranger", stranger_key, NOW);
    STACK_OF(X509) *anchors = sk_X509_new_null();
    assert_true(sk_X509_push(anchors, fixture.other_root) > 0 && sk_X509_push(anchors, fixture.root) > 0);
    const struct {
        X509 *root;
        EVP_PKEY *key;
        bool good;
    } issuers[] = {{fixture.root, fixture.root_key, true},
                   {fixture.other_root, fixture.key, true},
                   {stranger, stranger_key, false}};
    for (size_t i = 0; i < sizeof issuers / sizeof issuers[0]; i++) {
        STACK_OF(X509) *chain = sk_X509_new_null();
        assert_true(sk_X509_push(chain, forge_device(FORGE_PLANT, fixture.key, issuers[i].root,
                                                     issuers[i].key, NOW)) > 0);
        int r = dev_check_chain(chain, anchors, &expected, 1, NOW);
        if (issuers[i].good)
            assert_int_equal(r, 0);
        else
            assert_refused(r, "chain-anchor");
        sk_X509_pop_free(chain, X509_free);
    }
    assert_int_equal(dev_check_anchors_end(anchors), NOW + 2 * YEAR);
    assert_int_equal(dev_check_anchors_end(NULL), 0);
    sk_X509_free(anchors);
}

static void test_expectations(void **state)
{
    (void)state;
    const struct dev_expected disagree[] = {
        {.plant = FORGE_PLANT, .source = "the plant requested"},
        {.plant = FORGE_OTHER, .source = "the configured plant"},
    };
    const struct dev_expected nothing[] = {{.plant = NULL, .source = "a"}, {.plant = "", .source = "b"}};
    STACK_OF(X509) *chain = sk_X509_new_null();
    assert_true(
        sk_X509_push(chain, forge_device(FORGE_PLANT, fixture.key, fixture.root, fixture.root_key, NOW)) > 0);
    assert_refused(dev_check_chain(chain, fixture.anchors, disagree, 2, NOW), "install-cn");
    assert_non_null(strstr(pc_error_text(), "the configured plant is " FORGE_OTHER));
    assert_refused(dev_check_chain(chain, fixture.anchors, nothing, 2, NOW), "plant-missing");
    assert_refused(dev_check_chain(chain, fixture.anchors, NULL, 0, NOW), "plant-missing");
    sk_X509_pop_free(chain, X509_free);
}

static int check_anchor(X509 *anchor)
{
    STACK_OF(X509) *anchors = sk_X509_new_null();
    assert_true(sk_X509_push(anchors, anchor) > 0);
    int r = dev_check_anchors(anchors);
    sk_X509_pop_free(anchors, X509_free);
    return r;
}

static void test_anchors(void **state)
{
    (void)state;
    static const struct variant plain = {.refusal = NULL};
    const struct forge_plan issued = {
        .subject = "/O=Test/CN=Issuing",
        .extensions = forge_root_extensions,
        .issuer = fixture.root,
        .issuer_key = fixture.root_key,
        .key = fixture.key,
        .from = NOW,
        .until = NOW + YEAR,
    };
    const struct forge_plan misnamed = {
        .subject = "/O=Test/CN=Root",
        .extensions = forge_root_extensions,
        .issuer = fixture.root,
        .issuer_key = fixture.root_key,
        .key = fixture.key,
        .from = NOW,
        .until = NOW + YEAR,
    };
    static const char *const nothing[] = {NULL};
    const struct forge_plan bare = {
        .subject = "/O=Test/CN=Bare",
        .extensions = nothing,
        .issuer_key = fixture.key,
        .key = fixture.key,
        .from = NOW,
        .until = NOW + YEAR,
    };
    assert_int_equal(check_anchor(forge_root("/CN=Any", fixture.key, NOW)), 0);
    assert_refused(check_anchor(forge_variant(&plain, fixture.root, fixture.root_key)), "install-anchor");
    assert_refused(check_anchor(forge_certificate(&issued)), "install-anchor");
    assert_refused(check_anchor(forge_certificate(&misnamed)), "install-anchor");
    assert_refused(check_anchor(forge_certificate(&bare)), "install-anchor");
}

static void test_signature(void **state)
{
    (void)state;
    X509 *PC_CLEANUP(X509_free_ref) leaf =
        forge_device(FORGE_PLANT, fixture.key, fixture.root, fixture.root_key, NOW);
    assert_int_equal(dev_check_signature(fixture.key, leaf), 0);
    assert_refused(dev_check_signature(fixture.root_key, leaf), "install-signature");
    /* A key without its private half cannot sign. */
    assert_int_equal(dev_check_signature(X509_get0_pubkey(leaf), leaf), PC_EFAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),          cmocka_unit_test(test_clock),
        cmocka_unit_test(test_variants),      cmocka_unit_test(test_foreign_issuer),
        cmocka_unit_test(test_smuggled_root), cmocka_unit_test(test_expectations),
        cmocka_unit_test(test_order),         cmocka_unit_test(test_cn_tricks),
        cmocka_unit_test(test_between),       cmocka_unit_test(test_two_anchors),
        cmocka_unit_test(test_anchors),       cmocka_unit_test(test_signature),
    };
    return cmocka_run_group_tests_name("device check", tests, set_up, tear_down);
}
