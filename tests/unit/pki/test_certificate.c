/* src/pki/certificate and sign: what is built passes the lint, what differs in anything does not; serials,
 * dates, recorded bytes. */
#include "tests/unit/pki/fixture.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/name.h"
#include "src/pki/sign.h"
#include "tests/data/keys.h"

static void serials(void **state)
{
    static const char *const bad[] = {"",
                                      "0",
                                      "00",
                                      "xyz",
                                      "8000000000000000000000000000000000000000",
                                      "010000000000000000000000000000000000000000",
                                      "1 2",
                                      "-1"};
    struct pki_serial serial, again;
    char text[PKI_SERIAL_TEXT];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(pki_serial_random(&serial), 0);
        assert_int_equal(serial.len, 20);
        assert_in_range(serial.octets[0], 0x01, 0x7f);
        pki_serial_format(&serial, text);
        assert_int_equal(pki_serial_parse(text, &again), 0);
        assert_memory_equal(&serial, &again, sizeof serial);
    }
    assert_int_equal(pki_serial_parse("0:0F:a", &serial), 0);
    pki_serial_format(&serial, text);
    assert_string_equal(text, "fa");
    assert_int_equal(pki_serial_parse("7fffffffffffffffffffffffffffffffffffffff", &serial), 0);
    assert_int_equal(serial.len, 20);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(pki_serial_parse(bad[i], &serial), PC_EUSAGE);
}

static void validity(void **state)
{
    X509 *root = root_of("Root", data_key(DATA_EC_P256));
    int64_t from, until, root_from, root_until;

    (void)state;
    assert_int_equal(pki_certificate_dates(root, &root_from, &root_until), 0);
    assert_int_equal(pki_validity(NOON_2026, 300, 730, root, &from, &until), 0);
    assert_true(from == NOON_2026 - 300);
    assert_true(until - from + 1 == 730 * PC_DAY); /* both seconds count */
    assert_int_equal(pki_validity(NOON_2026, 300, 36500, root, &from, &until), 0);
    assert_true(until == root_until);
    assert_int_equal(pki_validity(root_until, 300, 1, root, &from, &until), 0);
    assert_int_equal(pki_validity(root_until + 1, 300, 1, root, &from, &until), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "issuer-expired");
    assert_int_equal(pki_validity(root_from, 300, 1, root, &from, &until), 0);
    assert_int_equal(pki_validity(root_from - 1, 300, 1, root, &from, &until), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "issuer-early");
    assert_int_equal(pki_validity(NOON_2026, 300, 2920000, NULL, &from, &until), 0);
    assert_true(until == PC_TIME_MAX);
    assert_int_equal(pki_validity(NOON_2026, 300, 0, NULL, &from, &until), PC_EUSAGE);
    assert_int_equal(pki_validity(NOON_2026, 300, INT64_MAX, NULL, &from, &until), PC_EUSAGE);
    X509_free(root);
}

/* Every kind of issuer, and the recorded bytes are the same each time and stand in the result. */
static void issued_by_every_kind(void **state)
{
    static const enum data_key issuers[] = {DATA_RSA_2048, DATA_RSA_3072, DATA_EC_P256, DATA_EC_P384};

    (void)state;
    for (size_t i = 0; i < sizeof issuers / sizeof issuers[0]; i++) {
        EVP_PKEY *key = data_key(issuers[i]);
        X509 *root = root_of("Root", key);
        struct pki_certificate_plan plan = plan_device(data_key(DATA_EC_P256), root, key);
        struct pc_bytes tbs = {0}, again = {0}, der = {0};
        X509 *leaf = NULL;

        assert_int_equal(pki_certificate_tbs(&plan, &tbs), 0);
        assert_int_equal(pki_certificate_tbs(&plan, &again), 0);
        assert_int_equal(tbs.len, again.len);
        assert_memory_equal(tbs.data, again.data, tbs.len);
        assert_int_equal(pki_tbs_sign(SIGNER(key), key, &tbs, &der), 0);
        assert_non_null(memmem(der.data, 4 + tbs.len, tbs.data, tbs.len));
        assert_int_equal(pki_certificate_parse(der.data, der.len, &leaf), 0);
        assert_int_equal(pki_certificate_lint(leaf, &plan), 0);
        assert_int_equal(X509_check_purpose(leaf, X509_PURPOSE_SSL_CLIENT, 0), 1);
        assert_int_equal(X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0), 0);
        assert_int_equal(X509_check_purpose(leaf, X509_PURPOSE_ANY, 1), 1);
        pc_bytes_clear(&tbs);
        pc_bytes_clear(&again);
        pc_bytes_clear(&der);
        X509_free(leaf);
        X509_free(root);
    }
}

/* A name that is no plant's: what a broker would take for a plant must come by way of its request. */
static void named_by_a_text(void **state)
{
    static const struct pki_profile *const profiles[] = {&pki_profile_audit, &pki_profile_probe};
    EVP_PKEY *key = data_key(DATA_EC_P256);
    X509 *root = root_of("Root", key);
    struct pki_certificate_plan plan = plan_device(data_key(DATA_EC_P384), root, key);

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pc_bytes tbs = {0};
        char *cn = NULL;
        X509 *leaf;

        plan.profile = profiles[i];
        plan.cn = PLANT;
        assert_int_equal(pki_certificate_tbs(&plan, &tbs), PC_EFAIL);
        plan.cn = NULL;
        assert_int_equal(pki_certificate_tbs(&plan, &tbs), PC_EFAIL);
        plan.cn = "";
        assert_int_equal(pki_certificate_tbs(&plan, &tbs), PC_EUSAGE);
        assert_null(tbs.data);
        plan.cn = "plantca-audit";
        leaf = signed_certificate(&plan, key);
        assert_int_equal(pki_certificate_lint(leaf, &plan), 0);
        assert_int_equal(pki_name_cn(X509_get_subject_name(leaf), &cn), 0);
        assert_string_equal(cn, "plantca-audit");
        assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(leaf)), 1);
        assert_int_equal(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
        assert_int_equal(X509_get_extended_key_usage(leaf), i == 0 ? UINT32_MAX : XKU_SSL_CLIENT);
        assert_int_equal(X509_get_ext_by_NID(leaf, NID_subject_alt_name, -1), -1);
        plan.cn = "plantca-other";
        assert_int_equal(pki_certificate_lint(leaf, &plan), PC_EFAIL);
        plan.profile = profiles[1 - i];
        plan.cn = "plantca-audit";
        assert_int_equal(pki_certificate_lint(leaf, &plan), PC_EFAIL);
        free(cn);
        X509_free(leaf);
    }
    X509_free(root);
}

static void signing_refused(void **state)
{
    EVP_PKEY *key = data_key(DATA_EC_P256);
    X509 *root = root_of("Root", key);
    struct pki_certificate_plan plan = plan_device(key, root, key);
    struct pc_bytes tbs = {0}, der = {0}, other = {(unsigned char[]){0x30, 0x03, 0x02, 0x01, 0x00}, 5};

    (void)state;
    assert_int_equal(pki_certificate_tbs(&plan, &tbs), 0);
    /* a key that is not the one expected: the signature is not given out */
    assert_int_equal(pki_tbs_sign(SIGNER(data_key(DATA_EC_P384)), key, &tbs, &der), PC_EFAIL);
    assert_int_equal(pki_tbs_sign(SIGNER(data_key(DATA_EC_COMPRESSED)), key, &tbs, &der), PC_EFAIL);
    /* bytes meant for another kind of key */
    assert_int_equal(pki_tbs_sign(SIGNER(data_key(DATA_RSA_2048)), data_key(DATA_RSA_2048), &tbs, &der),
                     PC_EFAIL);
    /* bytes that are nothing of the sort */
    assert_int_equal(pki_tbs_sign(SIGNER(key), key, &other, &der), PC_EFAIL);
    tbs.len--;
    assert_int_equal(pki_tbs_sign(SIGNER(key), key, &tbs, &der), PC_EFAIL);
    assert_null(der.data);
    pc_bytes_clear(&tbs);
    /* a plan whose key is not the issuer's */
    plan.issuer_key = data_key(DATA_EC_P384);
    assert_int_equal(pki_certificate_tbs(&plan, &tbs), PC_EFAIL);
    plan.issuer_key = key;
    plan.cn = "not a UUID";
    assert_int_equal(pki_certificate_tbs(&plan, &tbs), PC_EFAIL);
    plan.cn = PLANT;
    plan.serial.octets[0] = 0x80;
    assert_int_equal(pki_certificate_tbs(&plan, &tbs), PC_EFAIL);
    assert_null(tbs.data);
    X509_free(root);
}

/* UTCTime through 2049, GeneralizedTime from 2050, and the last second of 9999. */
static void dates(void **state)
{
    static const struct {
        const char *until;
        int type;
    } rows[] = {
        {"2046-01-01T00:00:00Z", V_ASN1_UTCTIME},
        {"2049-12-31T23:59:59Z", V_ASN1_UTCTIME},
        {"2050-01-01T00:00:00Z", V_ASN1_GENERALIZEDTIME},
        {"9999-12-31T23:59:59Z", V_ASN1_GENERALIZEDTIME},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        X509_NAME *name = NULL;
        struct pki_certificate_plan plan = plan_root("Long", data_key(DATA_EC_P256), &name);
        int64_t from, until;
        X509 *root;

        assert_int_equal(pc_time_parse(rows[i].until, &plan.not_after), 0);
        root = signed_certificate(&plan, data_key(DATA_EC_P256));
        assert_int_equal(ASN1_STRING_type(X509_get0_notAfter(root)), rows[i].type);
        assert_int_equal(pki_certificate_dates(root, &from, &until), 0);
        assert_true(until == plan.not_after && from == plan.not_before);
        assert_int_equal(pki_certificate_lint(root, &plan), 0);
        X509_free(root);
        X509_NAME_free(name);
    }
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static void drop_extension(X509 *certificate, int nid)
{
    X509_EXTENSION_free(X509_delete_ext(certificate, X509_get_ext_by_NID(certificate, nid, -1)));
}

static void change_version(X509 *c)
{
    X509_set_version(c, X509_VERSION_1);
}
static void change_serial(X509 *c)
{
    ASN1_INTEGER_set(X509_get_serialNumber(c), 7);
}
static void change_subject(X509 *c)
{
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "O", MBSTRING_ASC, (const unsigned char *)"x", -1,
                               -1, 0);
}
static void change_issuer(X509 *c)
{
    X509_NAME_add_entry_by_txt(X509_get_issuer_name(c), "O", MBSTRING_ASC, (const unsigned char *)"x", -1, -1,
                               0);
}
static void change_date(X509 *c)
{
    ASN1_TIME_set_string(X509_getm_notAfter(c), "291122120000Z");
}
static void change_date_form(X509 *c)
{
    const ASN1_TIME *until = X509_get0_notAfter(c);
    ASN1_GENERALIZEDTIME *same = ASN1_TIME_to_generalizedtime(until, NULL);

    X509_set1_notAfter(c, same);
    ASN1_GENERALIZEDTIME_free(same);
}
static void change_key(X509 *c)
{
    X509_set_pubkey(c, data_key(DATA_RSA_2048));
}
static void change_constraints(X509 *c)
{
    drop_extension(c, NID_basic_constraints);
    add_extension(c, NID_basic_constraints, "critical,CA:TRUE");
}
static void change_criticality(X509 *c)
{
    drop_extension(c, NID_key_usage);
    add_extension(c, NID_key_usage, "digitalSignature");
}
static void change_usage(X509 *c)
{
    drop_extension(c, NID_key_usage);
    add_extension(c, NID_key_usage, "critical,digitalSignature,keyEncipherment");
}
static void change_extended_usage(X509 *c)
{
    drop_extension(c, NID_ext_key_usage);
    add_extension(c, NID_ext_key_usage, "clientAuth,serverAuth");
}
static void change_san(X509 *c)
{
    drop_extension(c, NID_subject_alt_name);
    add_extension(c, NID_subject_alt_name, "URI:urn:uuid:f0000000-0000-4000-8000-00000000000f");
}
static void change_san_none(X509 *c)
{
    drop_extension(c, NID_subject_alt_name);
}
static void change_key_id(X509 *c)
{
    drop_extension(c, NID_subject_key_identifier);
    add_extension(c, NID_subject_key_identifier, "00112233445566778899aabbccddeeff00112233");
}
static void change_authority(X509 *c)
{
    drop_extension(c, NID_authority_key_identifier);
}
static void change_more(X509 *c)
{
    add_extension(c, NID_netscape_comment, "hello");
}
static void change_twice(X509 *c)
{
    add_extension(c, NID_ext_key_usage, "clientAuth");
}

/* Each change, signed properly by the right key, is found by the lint. */
static void lint_finds(void **state)
{
    static void (*const changes[])(X509 *) = {
        change_version,   change_serial,   change_subject,        change_issuer,      change_date,
        change_date_form, change_key,      change_constraints,    change_criticality, change_usage,
        change_san,       change_san_none, change_extended_usage, change_key_id,      change_authority,
        change_more,      change_twice,
    };
    EVP_PKEY *key = data_key(DATA_EC_P256);
    X509 *root = root_of("Root", key);
    struct pki_certificate_plan plan = plan_device(key, root, key);
    X509 *leaf = signed_certificate(&plan, key);

    (void)state;
    assert_int_equal(pki_certificate_lint(leaf, &plan), 0);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        X509 *copy = X509_dup(leaf);

        changes[i](copy);
        sign_again(copy, key, EVP_sha256());
        pc_error_clear();
        if (pki_certificate_lint(copy, &plan) != PC_EFAIL)
            fail_msg("change %zu was not found", i);
        assert_non_null(strstr(pc_error_text(), "RFC 5280"));
        X509_free(copy);
    }
    X509_free(leaf);
    X509_free(root);
}

static void lint_signature(void **state)
{
    EVP_PKEY *key = data_key(DATA_EC_P256);
    X509 *root = root_of("Root", key);
    struct pki_certificate_plan plan = plan_device(key, root, key);
    X509 *leaf = signed_certificate(&plan, key);

    (void)state;
    sign_again(leaf, data_key(DATA_EC_P384), EVP_sha256());
    assert_int_equal(pki_certificate_lint(leaf, &plan), PC_EFAIL);
    sign_again(leaf, key, EVP_sha1());
    assert_int_equal(pki_certificate_lint(leaf, &plan), PC_EFAIL);
    sign_again(leaf, key, EVP_sha256());
    assert_int_equal(pki_certificate_lint(leaf, &plan), 0);
    plan.not_after = plan.not_before + 36500 * PC_DAY;
    X509_free(leaf);
    leaf = signed_certificate(&plan, key);
    assert_int_equal(pki_certificate_lint(leaf, &plan), PC_EFAIL); /* outlives its issuer */
    X509_free(leaf);
    X509_free(root);
}

static void parsing(void **state)
{
    X509 *root = root_of("Root", data_key(DATA_EC_P256)), *again = NULL;
    struct pc_bytes der = {0}, pem = {0};

    (void)state;
    assert_int_equal(pki_certificate_der(root, &der), 0);
    assert_int_equal(pki_certificate_append_pem(root, &pem), 0);
    assert_int_equal(pki_certificate_parse(pem.data, pem.len, &again), 0);
    assert_int_equal(X509_cmp(root, again), 0);
    X509_free(again);
    again = NULL;
    assert_int_equal(pki_certificate_append_pem(root, &pem), 0);
    assert_int_equal(pki_certificate_parse(pem.data, pem.len, &again), PC_EREFUSED); /* two blocks */
    assert_string_equal(pc_error_name(), "certificate-parse");
    assert_int_equal(pki_certificate_parse(der.data, der.len - 1, &again), PC_EREFUSED);
    assert_int_equal(pki_certificate_parse(der.data, der.len + 1, &again),
                     PC_EREFUSED); /* the NUL behind it */
    assert_int_equal(pki_certificate_parse("", 0, &again), PC_EREFUSED);
    assert_int_equal(pki_certificate_parse("hello", 5, &again), PC_EREFUSED);
    assert_null(again);
    pc_bytes_clear(&der);
    pc_bytes_clear(&pem);
    X509_free(root);
}

static void cn_alone(void **state)
{
    X509 *root = root_of("Root", data_key(DATA_EC_P256));
    struct pc_bytes der = {0};
    char *cn = NULL, *whole = NULL;
    size_t subject;

    (void)state;
    assert_int_equal(pki_certificate_der(root, &der), 0);
    assert_int_equal(pki_name_cn(X509_get_subject_name(root), &whole), 0);
    assert_int_equal(pki_certificate_cn(der.data, der.len, &cn), 0);
    assert_string_equal(cn, whole);
    free(cn);
    cn = NULL;
    for (size_t len = 0; len < der.len; len++) { /* elements claim more than there is */
        unsigned char *part = malloc(len + 1);
        assert_non_null(part);
        memcpy(part, der.data, len);
        assert_int_equal(pki_certificate_cn(part, len, &cn), PC_EREFUSED);
        assert_string_equal(pc_error_name(), "certificate-parse");
        free(part);
    }
    /* Each octet before the subject's end, made another: refused, or a text, and nothing is read beyond. */
    subject = der.len / 2;
    for (size_t at = 0; at < subject; at++) {
        der.data[at] ^= 0x80;
        if (pki_certificate_cn(der.data, der.len, &cn) == 0) {
            free(cn);
            cn = NULL;
        }
        der.data[at] ^= 0x80;
    }
    assert_null(cn);
    der.data[0] = 0x80; /* no SEQUENCE */
    assert_int_equal(pki_certificate_cn(der.data, der.len, &cn), PC_EREFUSED);
    assert_int_equal(pki_certificate_cn(der.data, 1 << 20, &cn), PC_EREFUSED);
    assert_null(cn);
    free(whole);
    pc_bytes_clear(&der);
    X509_free(root);
}

static int teardown(void **state)
{
    (void)state;
    data_keys_free();
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(serials),
        cmocka_unit_test(validity),
        cmocka_unit_test(issued_by_every_kind),
        cmocka_unit_test(named_by_a_text),
        cmocka_unit_test(signing_refused),
        cmocka_unit_test(dates),
        cmocka_unit_test(lint_finds),
        cmocka_unit_test(lint_signature),
        cmocka_unit_test(parsing),
        cmocka_unit_test(cn_alone),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
