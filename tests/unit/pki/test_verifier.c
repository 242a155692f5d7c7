/* src/pki/verifier and bundle: leaves under a broker's files; files of several blocks. */
#include "tests/unit/pki/fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/bundle.h"
#include "src/pki/crl.h"
#include "src/pki/name.h"
#include "src/pki/openssl.h"
#include "src/pki/verifier.h"
#include "tests/data/keys.h"

#define DAYS(n) ((n)*PC_DAY)

/* An authority with two leaves and a CRL that lists the second. */
struct authority {
    EVP_PKEY *key;
    X509 *root, *good, *revoked;
    X509_CRL *crl;
};
static struct authority ours, other; /* of the same name, with another key */
static struct authority foreign;     /* of another name */

static X509_CRL *crl_of(const struct authority *a, const struct pki_crl_entry *entries, size_t count,
                        int64_t from)
{
    const struct pki_crl_plan plan = {.issuer = a->root,
                                      .issuer_key = a->key,
                                      .number = 1,
                                      .this_update = from,
                                      .next_update = from + DAYS(30),
                                      .entries = entries,
                                      .count = count};
    pc_autobytes tbs = {0}, der = {0};
    X509_CRL *crl = NULL;

    assert_int_equal(pki_crl_tbs(&plan, &tbs), 0);
    assert_int_equal(pki_tbs_sign(SIGNER(a->key), a->key, &tbs, &der), 0);
    assert_int_equal(pki_crl_parse(der.data, der.len, &crl), 0);
    return crl;
}

static void found(struct authority *a, const char *name, EVP_PKEY *key)
{
    struct pki_crl_entry entry = {.revoked_at = NOON_2026, .reason = 1};
    struct pki_certificate_plan plan;

    a->key = key;
    a->root = root_of(name, key);
    plan = plan_device(data_key(DATA_EC_P256), a->root, key);
    a->good = signed_certificate(&plan, key);
    assert_int_equal(pki_serial_random(&plan.serial), 0);
    a->revoked = signed_certificate(&plan, key);
    entry.serial = plan.serial;
    a->crl = crl_of(a, &entry, 1, NOON_2026);
}

static void gone(struct authority *a)
{
    X509_free(a->root);
    X509_free(a->good);
    X509_free(a->revoked);
    X509_CRL_free(a->crl);
}

static int set_up(void **state)
{
    (void)state;
    found(&ours, "Root", data_key(DATA_EC_P384));
    found(&other, "Root", data_key(DATA_RSA_2048));
    found(&foreign, "Old Root", data_key(DATA_RSA_3072));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gone(&ours);
    gone(&other);
    gone(&foreign);
    data_keys_free();
    return 0;
}

/* Of NULL-terminated lists; without CRLs: none is checked. */
static struct pki_verifier *verifier_of(X509 *const anchors[], X509_CRL *const crls[])
{
    STACK_OF(X509) *certificates = sk_X509_new_null();
    STACK_OF(X509_CRL) *lists = crls ? sk_X509_CRL_new_null() : NULL;
    struct pki_verifier *verifier = NULL;

    for (size_t i = 0; anchors[i]; i++)
        sk_X509_push(certificates, anchors[i]);
    for (size_t i = 0; crls && crls[i]; i++)
        sk_X509_CRL_push(lists, crls[i]);
    assert_int_equal(pki_verifier_new(certificates, lists, &verifier), 0);
    sk_X509_free(certificates);
    sk_X509_CRL_free(lists);
    return verifier;
}

/* Where libcrypto counts time in 32 bits (the PLC's side alone runs there), no verdict is given at all. */
static bool no_verdict(int rc)
{
    if (sizeof(long) < sizeof(int64_t))
        assert_int_equal(rc, PC_EFAIL);
    return sizeof(long) < sizeof(int64_t);
}

static void accepted(const struct pki_verifier *verifier, X509 *leaf, int64_t at)
{
    int rc = pki_verifier_judge(verifier, leaf, at);

    if (!no_verdict(rc) && rc)
        fail_msg("%s", pc_error_text());
}

static void refused(const struct pki_verifier *verifier, X509 *leaf, int64_t at, const char *name)
{
    int rc = pki_verifier_judge(verifier, leaf, at);

    if (no_verdict(rc))
        return;
    assert_int_equal(rc, PC_EREFUSED);
    assert_string_equal(pc_error_name(), name);
}

static void verdicts(void **state)
{
    PC_CLEANUP(pki_verifier_free_ref)
    struct pki_verifier *verifier =
        verifier_of((X509 *[]){foreign.root, ours.root, NULL}, (X509_CRL *[]){foreign.crl, ours.crl, NULL});
    (void)state;
    accepted(verifier, ours.good, NOON_2026);
    accepted(verifier, foreign.good, NOON_2026);
    refused(verifier, ours.revoked, NOON_2026, "chain-revoked");
    refused(verifier, foreign.revoked, NOON_2026, "chain-revoked");
    refused(verifier, other.good, NOON_2026, "chain-anchor"); /* our name, not our key */
    accepted(verifier, ours.good, NOON_2026 + DAYS(30) - 1);
    refused(verifier, ours.good, NOON_2026 + DAYS(30) + 1, "chain-crl"); /* lapsed */
    refused(verifier, ours.good, NOON_2026 - 1, "chain-crl");            /* not yet */
}

/* Each issuer of a leaf needs a CRL of its own, signed with its own key. */
static void crl_missing(void **state)
{
    X509 *anchors[] = {foreign.root, ours.root, NULL};
    PC_CLEANUP(pki_verifier_free_ref)
    struct pki_verifier *without = verifier_of(anchors, (X509_CRL *[]){foreign.crl, NULL});
    PC_CLEANUP(pki_verifier_free_ref)
    struct pki_verifier *forged = verifier_of(anchors, (X509_CRL *[]){foreign.crl, other.crl, NULL});
    PC_CLEANUP(pki_verifier_free_ref) struct pki_verifier *empty = verifier_of(anchors, (X509_CRL *[]){NULL});
    PC_CLEANUP(pki_verifier_free_ref) struct pki_verifier *unchecked = verifier_of(anchors, NULL);
    PC_CLEANUP(pki_verifier_free_ref) struct pki_verifier *nobody = verifier_of((X509 *[]){NULL}, NULL);

    (void)state;
    refused(without, ours.good, NOON_2026, "chain-crl");
    accepted(without, foreign.good, NOON_2026);
    refused(forged, ours.good, NOON_2026, "chain-crl");
    refused(empty, ours.good, NOON_2026, "chain-crl");
    accepted(unchecked, ours.good, NOON_2026);
    accepted(unchecked, ours.revoked, NOON_2026);
    refused(unchecked, ours.good, NOON_2026 + DAYS(731), "chain-expired");
    refused(unchecked, ours.good, NOON_2026 - 301, "chain-not-yet");
    refused(nobody, ours.good, NOON_2026, "chain-anchor");
}

/* A new CRL beside the old one counts; one that has not begun yet does not. */
static void two_crls_of_one(void **state)
{
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *newer = crl_of(&ours, NULL, 0, NOON_2026 + DAYS(1));
    PC_CLEANUP(pki_verifier_free_ref)
    struct pki_verifier *verifier =
        verifier_of((X509 *[]){ours.root, NULL}, (X509_CRL *[]){newer, ours.crl, NULL});

    (void)state;
    refused(verifier, ours.revoked, NOON_2026, "chain-revoked");
    accepted(verifier, ours.revoked, NOON_2026 + DAYS(2));
}

/* mosquitto checks a client's certificate as a client's. */
static void other_purpose(void **state)
{
    struct pki_certificate_plan plan = plan_device(data_key(DATA_EC_P256), ours.root, ours.key);
    PC_CLEANUP(pki_verifier_free_ref)
    struct pki_verifier *verifier = verifier_of((X509 *[]){ours.root, NULL}, (X509_CRL *[]){ours.crl, NULL});
    PC_CLEANUP(GENERAL_NAMES_free_ref) GENERAL_NAMES *hosts = NULL;
    PC_CLEANUP(X509_free_ref) X509 *broker = NULL;
    PC_CLEANUP(X509_free_ref) X509 *probe = NULL;

    (void)state;
    assert_int_equal(pki_san_parse("DNS:a.example", &hosts), 0);
    plan.profile = &pki_profile_broker;
    plan.cn = "a.example";
    plan.hosts = hosts;
    broker = signed_certificate(&plan, ours.key);
    refused(verifier, broker, NOON_2026, "chain-purpose");
    plan.profile = &pki_profile_probe;
    plan.cn = "plantca-probe";
    probe = signed_certificate(&plan, ours.key);
    assert_int_equal(pki_certificate_lint(probe, &plan), 0);
    accepted(verifier, probe, NOON_2026);
}

static void append(struct pc_bytes *text, const char *more)
{
    struct pc_bytes joined = {0};
    pc_autofree char *both = NULL;

    assert_true(asprintf(&both, "%s%s", text->data ? (char *)text->data : "", more) >= 0);
    assert_int_equal(pc_bytes_copy(both, strlen(both), &joined), 0);
    pc_bytes_clear(text);
    *text = joined;
}

static void bundle_refused(const struct pc_bytes *text, bool certificates)
{
    STACK_OF(X509) *read = NULL;
    STACK_OF(X509_CRL) *lists = NULL;

    assert_int_equal(certificates ? pki_bundle_certificates(text->data, text->len, &read)
                                  : pki_bundle_crls(text->data, text->len, &lists),
                     PC_EREFUSED);
    assert_string_equal(pc_error_name(), "bundle-parse");
    assert_null(read);
    assert_null(lists);
}

static void bundles(void **state)
{
    pc_autobytes text = {0};
    STACK_OF(X509) *certificates = NULL;
    STACK_OF(X509_CRL) *crls = NULL;

    (void)state;
    bundle_refused(&text, true);
    append(&text, "our root\n");
    bundle_refused(&text, true);
    assert_int_equal(pki_certificate_append_pem(ours.root, &text), 0);
    append(&text, "\n# the old one, until 2027\n");
    assert_int_equal(pki_certificate_append_pem(foreign.root, &text), 0);
    bundle_refused(&text, false);
    assert_int_equal(pki_crl_append_pem(ours.crl, &text), 0);
    append(&text, "Issuer: somebody\r\n");
    assert_int_equal(pki_crl_append_pem(foreign.crl, &text), 0);
    append(&text, "the end");
    assert_int_equal(pki_bundle_certificates(text.data, text.len, &certificates), 0);
    assert_int_equal(sk_X509_num(certificates), 2);
    assert_int_equal(X509_cmp(sk_X509_value(certificates, 0), ours.root), 0);
    assert_int_equal(X509_cmp(sk_X509_value(certificates, 1), foreign.root), 0);
    assert_int_equal(pki_bundle_crls(text.data, text.len, &crls), 0);
    assert_int_equal(sk_X509_CRL_num(crls), 2);
    assert_int_equal(X509_CRL_match(sk_X509_CRL_value(crls, 1), foreign.crl), 0);
    pki_certificates_free(certificates);
    pki_crls_free(crls);
}

/* A block that is cut off, or says what it is not, spoils the file: the broker would not take it either. */
static void bundles_refused(void **state)
{
    pc_autobytes text = {0};

    (void)state;
    assert_int_equal(pki_certificate_append_pem(ours.root, &text), 0);
    append(&text, "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n");
    bundle_refused(&text, true);
    pc_bytes_clear(&text);
    assert_int_equal(pki_crl_append_pem(ours.crl, &text), 0);
    assert_int_equal(pki_crl_append_pem(foreign.crl, &text), 0);
    text.len -= 40;
    bundle_refused(&text, false);
    pc_bytes_clear(&text);
    for (int i = 0; i <= PKI_BUNDLE_MAX; i++)
        assert_int_equal(pki_certificate_append_pem(ours.root, &text), 0);
    bundle_refused(&text, true);
}

#define MANY 20000 /* entries */
#define THREADS 4

/* The serial number of entry `i`, in no order. */
static struct pki_serial serial_of(size_t i)
{
    struct pki_serial serial = {.len = 4};
    uint32_t number = (uint32_t)(i * 2654435761U) | 0x40000000;

    for (int k = 0; k < 4; k++)
        serial.octets[k] = (unsigned char)(number >> (24 - 8 * k));
    return serial;
}

static void *look_up(void *crl)
{
    size_t *wrong = calloc(1, sizeof *wrong);

    for (size_t i = 0; i < MANY; i++) {
        struct pki_serial listed = serial_of(i), absent = {{0x7f, 1, 2, 3, (unsigned char)i}, 5};

        *wrong += !pki_crl_lists(crl, &listed);
        *wrong += pki_crl_lists(crl, &absent);
    }
    return wrong;
}

/* Asked by several threads from the first moment on, before the entries are sorted. */
static void serials_in_a_crl(void **state)
{
    struct pki_crl_entry *entries = calloc(MANY, sizeof *entries);
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = NULL;
    pthread_t threads[THREADS];
    size_t count = 0;

    (void)state;
    assert_non_null(entries);
    for (size_t i = 0; i < MANY; i++)
        entries[count++] =
            (struct pki_crl_entry){.serial = serial_of(i), .revoked_at = NOON_2026, .reason = 4};
    crl = crl_of(&ours, entries, count, NOON_2026);
    free(entries);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_up, crl), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong = NULL;

        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_int_equal(*(size_t *)wrong, 0);
        free(wrong);
    }
    assert_false(pki_crl_lists(foreign.crl, &(struct pki_serial){{0x40}, 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),         cmocka_unit_test(crl_missing), cmocka_unit_test(two_crls_of_one),
        cmocka_unit_test(other_purpose),    cmocka_unit_test(bundles),     cmocka_unit_test(bundles_refused),
        cmocka_unit_test(serials_in_a_crl),
    };

    return cmocka_run_group_tests_name("pki verifier", tests, set_up, tear_down);
}
