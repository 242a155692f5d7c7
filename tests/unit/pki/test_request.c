/* src/pki/request: every case of tests/data must get its own refusal, or be accepted; and what the judge
 * hands out is what was asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/pki/request.h"
#include "tests/data/csr_cases.h"
#include "tests/data/der.h"
#include "tests/data/keys.h"
#include "tests/unit/pki/fixture.h"

static struct pki_request_rules device_rules(void)
{
    return (struct pki_request_rules){
        .profile = &pki_profile_device, .plant = PLANT, .issuer_key = data_key(DATA_EC_P384)};
}

static struct pc_bytes make(const char *name)
{
    struct csr_context context = {.plant = PLANT, .issuer_key = data_key(DATA_RSA_3072)};

    return csr_case_make(csr_case_find(name), &context);
}

/* One case, named by the test's state. */
static void judged(void **state)
{
    const struct csr_case *one = *state;
    const char *refusal = csr_case_refusal(one);
    struct csr_context context = {.plant = PLANT, .issuer_key = data_key(DATA_RSA_3072)};
    struct pki_request_rules rules = device_rules();
    struct pki_request *request = NULL;
    struct pc_bytes bytes = csr_case_make(one, &context);
    char key_sha256[PKI_FINGERPRINT_TEXT], request_sha256[PKI_FINGERPRINT_TEXT];
    int rc;

    if (csr_case_needs_issuer(one))
        rules.issuer_key = context.issuer_key;
    /* The good P-384 request is made with the key that stands for the CA's elsewhere. */
    if (!refusal)
        rules.issuer_key = NULL;
    pc_error_clear();
    rc = pki_request_parse(bytes.data, bytes.len, &rules, &request);
    assert_int_equal(ERR_peek_error(), 0);
    if (refusal) {
        assert_int_equal(rc, PC_EREFUSED);
        assert_null(request);
        if (strcmp(pc_error_name(), refusal) != 0)
            print_message("# %s\n", pc_error_text());
        assert_string_equal(pc_error_name(), refusal);
        assert_true(strlen(pc_error_text()) > 10);
    } else {
        if (rc)
            print_message("# %s: %s\n", pc_error_name(), pc_error_text());
        assert_int_equal(rc, 0);
        assert_string_equal(request->cn, PLANT);
        assert_int_equal(pki_key_fingerprint(request->key, key_sha256), 0);
        assert_string_equal(request->key_sha256, key_sha256);
        assert_int_equal(pki_digest_hex(request->der.data, request->der.len, request_sha256), 0);
        assert_string_equal(request->request_sha256, request_sha256);
        assert_int_equal(request->der.data[0], 0x30);
        pki_request_free(request);
    }
    pc_bytes_clear(&bytes);
}

/* A good request, cut off at every length, is never accepted. */
static void cut_anywhere(void **state)
{
    struct pki_request_rules rules = device_rules();
    struct pc_bytes der = make("good-der");

    (void)state;
    for (size_t len = 0; len < der.len; len++) {
        struct pki_request *request = NULL;
        unsigned char *copy = malloc(len + 1); /* its own block, so that a read past its end is seen */

        memcpy(copy, der.data, len);
        copy = realloc(copy, len ? len : 1);
        assert_int_equal(pki_request_parse(copy, len, &rules, &request), PC_EREFUSED);
        assert_null(request);
        free(copy);
    }
    pc_bytes_clear(&der);
}

/* With any one bit flipped, neither: everything is either under the signature or in it. */
static void flipped_anywhere(void **state)
{
    struct pki_request_rules rules = device_rules();
    struct pc_bytes der = make("good-der");

    (void)state;
    for (size_t i = 0; i < der.len * 8; i += 3) {
        struct pki_request *request = NULL;

        der.data[i / 8] ^= (unsigned char)(1 << (i % 8));
        assert_int_equal(pki_request_parse(der.data, der.len, &rules, &request), PC_EREFUSED);
        assert_null(request);
        der.data[i / 8] ^= (unsigned char)(1 << (i % 8));
    }
    pc_bytes_clear(&der);
}

static void any_plant_without_a_rule(void **state)
{
    struct pki_request_rules rules = {.profile = &pki_profile_device};
    struct pki_request *request = NULL;
    struct pc_bytes bytes = make("good-ec-p256");

    (void)state;
    assert_int_equal(pki_request_parse(bytes.data, bytes.len, &rules, &request), 0);
    assert_string_equal(request->cn, PLANT);
    pki_request_free(request);
    pc_bytes_clear(&bytes);
}

/* Exactly 64 KiB is still read; one more is not. */
static void size_limit(void **state)
{
    struct pki_request_rules rules = device_rules();
    struct pki_request *request = NULL;
    struct pc_bytes bytes = make("good-ec-p256");
    char *padded = malloc(PKI_REQUEST_MAX + 1);

    (void)state;
    memset(padded, '\n', PKI_REQUEST_MAX + 1);
    memcpy(padded, bytes.data, bytes.len);
    assert_int_equal(pki_request_parse(padded, PKI_REQUEST_MAX, &rules, &request), 0);
    pki_request_free(request);
    request = NULL;
    assert_int_equal(pki_request_parse(padded, PKI_REQUEST_MAX + 1, &rules, &request), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "request-size");
    assert_null(request);
    free(padded);
    pc_bytes_clear(&bytes);
}

static void built_is_accepted(void **state)
{
    static const enum data_key keys[] = {DATA_RSA_2048, DATA_EC_P256, DATA_RSA_3072};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct pki_request_rules rules = device_rules();
        struct pki_request *request = NULL;
        struct pc_bytes pem = {0};
        char expected[PKI_FINGERPRINT_TEXT];

        assert_int_equal(pki_request_build(data_key(keys[i]), PLANT, &pem), 0);
        assert_int_equal(strlen((char *)pem.data), pem.len);
        assert_int_equal(pki_request_parse(pem.data, pem.len, &rules, &request), 0);
        assert_int_equal(pki_key_fingerprint(data_key(keys[i]), expected), 0);
        assert_string_equal(request->key_sha256, expected);
        pki_request_free(request);
        pc_bytes_clear(&pem);
    }
}

static void build_refuses(void **state)
{
    struct pc_bytes pem = {0};

    (void)state;
    assert_int_equal(pki_request_build(data_key(DATA_EC_P521), PLANT, &pem), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "key-type");
    assert_int_equal(pki_request_build(data_key(DATA_EC_P256), "", &pem), PC_EUSAGE);
    assert_null(pem.data);
}

static void parse_bound(const char *challenge, char ret[PKI_CHALLENGE_TEXT])
{
    struct pki_request_rules rules = device_rules();
    struct pki_request *request = NULL;
    struct pc_bytes pem = {0};

    assert_int_equal(pki_request_build_bound(data_key(DATA_EC_P256), PLANT, challenge, &pem), 0);
    assert_int_equal(pki_request_parse(pem.data, pem.len, &rules, &request), 0);
    memcpy(ret, request->challenge, PKI_CHALLENGE_TEXT);
    pki_request_free(request);
    pc_bytes_clear(&pem);
}

/* challengePassword comes out as it went in; other requests have none. */
static void bound(void **state)
{
    static const char *const values[] = {"x", "AQID/+8=", "a_b*c@d" /* no PrintableString */,
                                         "with blanks in it"};
    char longest[PKI_CHALLENGE_TEXT], found[PKI_CHALLENGE_TEXT];
    struct pki_request_rules rules = device_rules();
    struct pki_request *request = NULL;
    struct pc_bytes pem = {0};

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        parse_bound(values[i], found);
        assert_string_equal(found, values[i]);
    }
    memset(longest, 'A', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    parse_bound(longest, found);
    assert_string_equal(found, longest);
    assert_int_equal(pki_request_build(data_key(DATA_EC_P256), PLANT, &pem), 0);
    assert_int_equal(pki_request_parse(pem.data, pem.len, &rules, &request), 0);
    assert_string_equal(request->challenge, "");
    pki_request_free(request);
    pc_bytes_clear(&pem);
}

/* RFC 2985 §5.4.1: PrintableString where it can be one. */
static void bound_types(void **state)
{
    static const struct {
        const char *value;
        unsigned char type;
    } cases[] = {{"AQID/+8=", V_ASN1_PRINTABLESTRING}, {"a_b", V_ASN1_UTF8STRING}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pc_bytes pem = {0};
        const X509_ATTRIBUTE *attribute;
        BIO *in;
        X509_REQ *request;

        assert_int_equal(pki_request_build_bound(data_key(DATA_EC_P256), PLANT, cases[i].value, &pem), 0);
        in = BIO_new_mem_buf(pem.data, (int)pem.len);
        request = PEM_read_bio_X509_REQ(in, NULL, NULL, NULL);
        assert_non_null(request);
        assert_int_equal(X509_REQ_get_attr_count(request), 1);
        attribute = X509_REQ_get_attr(request, 0);
        assert_int_equal(X509_ATTRIBUTE_count(attribute), 1);
        assert_int_equal(X509_ATTRIBUTE_get0_type(X509_REQ_get_attr(request, 0), 0)->type, cases[i].type);
        X509_REQ_free(request);
        BIO_free(in);
        pc_bytes_clear(&pem);
    }
}

static void bound_refuses(void **state)
{
    char longer[PKI_CHALLENGE_TEXT + 1];
    const char *const values[] = {"", "a\nb", "a\x7f", "\xc3\xa4", "\t", longer};
    struct pc_bytes pem = {0};

    (void)state;
    memset(longer, 'A', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_int_equal(pki_request_build_bound(data_key(DATA_EC_P256), PLANT, values[i], &pem), PC_EUSAGE);
    assert_int_equal(pki_request_build_bound(data_key(DATA_EC_P521), PLANT, "x", &pem), PC_EREFUSED);
    assert_null(pem.data);
}

/* A broker's request: its host as CN, and its SANs in any order, but none else. */
static void broker(void **state)
{
    struct pki_request_rules rules = {.profile = &pki_profile_broker, .host = "mqtt.example"};
    struct pki_request *request = NULL;
    GENERAL_NAMES *hosts = NULL;
    struct pc_bytes pem = {0};

    (void)state;
    assert_int_equal(pki_san_parse("DNS:mqtt.example, IP:127.0.0.1", &hosts), 0);
    rules.hosts = hosts;
    assert_int_equal(pki_request_build(data_key(DATA_EC_P256), "mqtt.example", &pem), 0);
    assert_int_equal(pki_request_parse(pem.data, pem.len, &rules, &request), 0);
    assert_string_equal(request->cn, "mqtt.example");
    pki_request_free(request);
    request = NULL;
    rules.host = "other.example";
    assert_int_equal(pki_request_parse(pem.data, pem.len, &rules, &request), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "request-host");
    assert_null(request);
    rules.profile = &pki_profile_issuing;
    assert_int_equal(pki_request_parse(pem.data, pem.len, &rules, &request), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "request-profile");
    pc_bytes_clear(&pem);
    GENERAL_NAMES_free(hosts);
}

/* A broker's request with `san` (DER of GENERAL_NAMES) or a challengePassword. */
static int judge_broker(const char *san_hex, bool challenge)
{
    GENERAL_NAMES *hosts = NULL;
    struct pki_request *request = NULL;
    struct pki_request_rules rules = {.profile = &pki_profile_broker, .host = "a.example"};
    struct pc_bytes subject = der_wrap(0x30, der_rdn("2.5.4.3", 0x0c, "a.example", 9)), attributes, bytes;
    int rc;

    if (challenge)
        attributes = der_attribute("1.2.840.113549.1.9.7", der_hex("0c0161"));
    else
        attributes = der_attribute("1.2.840.113549.1.9.14",
                                   der_wrap(0x30, der_extension("2.5.29.17", false, der_hex(san_hex))));
    bytes = der_request(der_request_info(0, subject, der_spki(data_key(DATA_EC_P256)), attributes),
                        data_key(DATA_EC_P256), EVP_sha256());
    assert_int_equal(pki_san_parse("DNS:a.example, IP:127.0.0.1", &hosts), 0);
    rules.hosts = hosts;
    rc = pki_request_parse(bytes.data, bytes.len, &rules, &request);
    pki_request_free(request);
    pc_bytes_clear(&bytes);
    GENERAL_NAMES_free(hosts);
    return rc;
}

static void broker_asks(void **state)
{
    (void)state;
    assert_int_equal(judge_broker("3011 8209 612e6578616d706c65 8704 7f000001", false), 0);
    assert_int_equal(judge_broker("3011 8704 7f000001 8209 612e6578616d706c65", false), 0);
    assert_int_equal(judge_broker("300b 8209 612e6578616d706c65", false), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "request-san");
    /* one name twice is not the two */
    assert_int_equal(judge_broker("3016 8209 612e6578616d706c65 8209 612e6578616d706c65", false),
                     PC_EREFUSED);
    assert_string_equal(pc_error_name(), "request-san");
    assert_int_equal(judge_broker("3011 8209 622e6578616d706c65 8704 7f000001", false), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "request-san");
    assert_int_equal(judge_broker("", true), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "request-attribute");
}

/* A request for `profile` that asks for an authorityKeyIdentifier of these octets, judged for `issuer`. */
static int judge_authority(const struct pki_profile *profile, const char *cn, const X509 *issuer,
                           bool critical, struct pc_bytes value)
{
    bool broker = profile == &pki_profile_broker;
    GENERAL_NAMES *hosts = NULL;
    struct pki_request *request = NULL;
    struct pki_request_rules rules = {.profile = profile,
                                      .plant = broker ? NULL : cn,
                                      .host = broker ? cn : NULL,
                                      .issuer_key = data_key(DATA_EC_P384),
                                      .issuer = issuer};
    struct pc_bytes extension = der_extension("2.5.29.35", critical, value);
    struct pc_bytes attributes = der_attribute("1.2.840.113549.1.9.14", der_wrap(0x30, extension));
    struct pc_bytes subject = der_wrap(0x30, der_rdn("2.5.4.3", 0x0c, cn, strlen(cn)));
    struct pc_bytes bytes =
        der_request(der_request_info(0, subject, der_spki(data_key(DATA_EC_P256)), attributes),
                    data_key(DATA_EC_P256), EVP_sha256());
    int rc;

    assert_int_equal(pki_san_parse("DNS:a.example", &hosts), 0);
    rules.hosts = broker ? hosts : NULL;
    pc_error_clear();
    rc = pki_request_parse(bytes.data, bytes.len, &rules, &request);
    if (rc == PC_EREFUSED)
        assert_string_equal(pc_error_name(), "request-extension");
    assert_int_equal(ERR_peek_error(), 0);
    pki_request_free(request);
    pc_bytes_clear(&bytes);
    GENERAL_NAMES_free(hosts);
    return rc;
}

/* What stands in a certificate of `issuer`, and the same from the key's own end to the last octet changed. */
static void authority_of_the_issuer(void **state)
{
    const struct pki_profile *const profiles[] = {&pki_profile_device, &pki_profile_broker};
    X509 *issuer = root_of("issuer", data_key(DATA_EC_P384));
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(issuer);
    char keyid[64] = "80 14", other[64], alone[80];

    (void)state;
    assert_int_equal(ASN1_STRING_length(id), 20);
    for (int i = 0; i < 20; i++)
        snprintf(keyid + 5 + 2 * i, 3, "%02x", ASN1_STRING_get0_data(id)[i]);
    strcpy(other, keyid);
    other[44] = other[44] == '0' ? '1' : '0';
    snprintf(alone, sizeof alone, "3016%s", keyid);
    for (size_t i = 0; i < 2; i++) {
        const struct pki_profile *profile = profiles[i];
        const char *cn = i == 0 ? PLANT : "a.example";
        char more[128];

        assert_int_equal(judge_authority(profile, cn, issuer, false, der_hex(alone)), 0);
        assert_int_equal(judge_authority(profile, cn, issuer, true, der_hex(alone)), PC_EREFUSED);
        assert_int_equal(judge_authority(profile, cn, NULL, false, der_hex(alone)), PC_EREFUSED);
        snprintf(more, sizeof more, "3016%s", other);
        assert_int_equal(judge_authority(profile, cn, issuer, false, der_hex(more)), PC_EREFUSED);
        snprintf(more, sizeof more, "3019%s820101", keyid); /* a serial number, too */
        assert_int_equal(judge_authority(profile, cn, issuer, false, der_hex(more)), PC_EREFUSED);
        snprintf(more, sizeof more, "3016%s00", keyid); /* an octet behind it */
        assert_int_equal(judge_authority(profile, cn, issuer, false, der_hex(more)), PC_EREFUSED);
        assert_int_equal(judge_authority(profile, cn, issuer, false, der_hex("3000")), PC_EREFUSED);
    }
    X509_free(issuer);
}

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(authority_of_the_issuer),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(flipped_anywhere),
        cmocka_unit_test(any_plant_without_a_rule),
        cmocka_unit_test(size_limit),
        cmocka_unit_test(built_is_accepted),
        cmocka_unit_test(build_refuses),
        cmocka_unit_test(bound),
        cmocka_unit_test(bound_types),
        cmocka_unit_test(bound_refuses),
        cmocka_unit_test(broker),
        cmocka_unit_test(broker_asks),
    };
    const size_t other_count = sizeof others / sizeof others[0];
    struct CMUnitTest tests[256];
    size_t count = 0;
    int failed;

    memcpy(tests, others, sizeof others);
    while (csr_case_at(count) && other_count + count < sizeof tests / sizeof tests[0]) {
        const struct csr_case *one = csr_case_at(count);
        struct CMUnitTest test = {csr_case_name(one), judged, NULL, NULL, NULL};

        /* cmocka hands the initial state to the test as it is. */
        memcpy(&test.initial_state, &one, sizeof one);
        tests[other_count + count++] = test;
    }
    if (csr_case_at(count))
        abort(); /* the table above is too short */
    failed = _cmocka_run_group_tests("requests", tests, other_count + count, NULL, NULL);
    data_keys_free();
    return failed;
}
