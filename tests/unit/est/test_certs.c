/* src/est/certs: bags of certificates that OpenSSL reads as well; everything else that a SignedData can be is
 * refused. */
#include "tests/unit/pki/fixture.h"

#include <string.h>

#include <openssl/pkcs7.h>

#include "src/base/error.h"
#include "src/est/body.h"
#include "src/pki/bundle.h"
#include "src/pki/openssl.h"
#include "tests/data/der.h"
#include "tests/data/keys.h"

#define SIGNED_DATA "06092a864886f70d010702"
#define DATA "300b06092a864886f70d010701"

static struct pc_bytes leaf, root;

static int set_up(void **state)
{
    EVP_PKEY *key = data_key(DATA_EC_P384);
    PC_CLEANUP(X509_free_ref) X509 *issuer = root_of("Root", key);
    struct pki_certificate_plan plan = plan_device(data_key(DATA_EC_P256), issuer, key);
    PC_CLEANUP(X509_free_ref) X509 *device = signed_certificate(&plan, key);

    (void)state;
    assert_int_equal(pki_certificate_der(device, &leaf), 0);
    assert_int_equal(pki_certificate_der(issuer, &root), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pc_bytes_clear(&leaf);
    pc_bytes_clear(&root);
    data_keys_free();
    return 0;
}

static void built_and_read(void **state)
{
    const struct pc_bytes order[] = {leaf, root, leaf};

    (void)state;
    for (size_t count = 1; count <= 3; count++) {
        STACK_OF(X509) *certificates = NULL;
        pc_autobytes der = {0};

        assert_int_equal(est_certs_build(order, count, &der), 0);
        assert_int_equal(est_certs_read(&der, count, &certificates), 0);
        assert_int_equal(sk_X509_num(certificates), count);
        for (size_t i = 0; i < count; i++) {
            pc_autobytes one = {0};

            assert_int_equal(pki_certificate_der(sk_X509_value(certificates, (int)i), &one), 0);
            assert_int_equal(one.len, order[i].len);
            assert_memory_equal(one.data, order[i].data, one.len);
        }
        pki_certificates_free(certificates);
    }
}

/* What we put together from bytes is what OpenSSL writes. */
static void as_openssl_writes(void **state)
{
    const unsigned char *at;
    pki_autoder *again = NULL;
    pc_autobytes der = {0};
    PKCS7 *message;
    int len;

    (void)state;
    assert_int_equal(est_certs_build((struct pc_bytes[]){leaf, root}, 2, &der), 0);
    at = der.data;
    message = d2i_PKCS7(NULL, &at, (long)der.len);
    assert_non_null(message);
    assert_ptr_equal(at, der.data + der.len);
    len = i2d_PKCS7(message, &again);
    assert_int_equal(len, der.len);
    assert_memory_equal(again, der.data, der.len);
    PKCS7_free(message);
}

static void build_refuses(void **state)
{
    struct pc_bytes der = {0}, empty = {0}, huge = {leaf.data, EST_BODY_MAX};

    (void)state;
    assert_int_equal(est_certs_build(&leaf, 0, &der), PC_EFAIL);
    assert_int_equal(est_certs_build(&empty, 1, &der), PC_EFAIL);
    assert_int_equal(est_certs_build((struct pc_bytes[]){leaf, huge}, 2, &der), PC_EFAIL);
    assert_null(der.data);
}

static void too_many(void **state)
{
    STACK_OF(X509) *certificates = NULL;
    pc_autobytes der = {0};

    (void)state;
    assert_int_equal(est_certs_build((struct pc_bytes[]){leaf, root}, 2, &der), 0);
    assert_int_equal(est_certs_read(&der, 1, &certificates), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "est-certs");
    assert_int_equal(est_certs_read(&der, 0, &certificates), PC_EREFUSED);
    assert_null(certificates);
}

/* SignedData of parts in hex; a bag "C" holds the leaf. */
struct parts {
    const char *what, *type, *front, *content, *bag, *behind;
};

static const struct parts hostile[] = {
    {"no certificate at all", SIGNED_DATA, "020101 3100", DATA, "", "3100"},
    {"an empty bag", SIGNED_DATA, "020101 3100", DATA, "a000", "3100"},
    {"content", SIGNED_DATA, "020101 3100", "300f06092a864886f70d010701a0020400", "C", "3100"},
    {"content with text", SIGNED_DATA, "020101 3100", "301406092a864886f70d010701a007040568656c6c6f", "C",
     "3100"},
    {"content of another type", SIGNED_DATA, "020101 3100", "300b06092a864886f70d010706", "C", "3100"},
    {"content of an unknown type", SIGNED_DATA, "020101 3100", "300706052b06010101", "C", "3100"},
    {"no content info", SIGNED_DATA, "020101 3100", "", "C", "3100"},
    {"no signer infos", SIGNED_DATA, "020101 3100", DATA, "C", ""},
    {"a signer that is none", SIGNED_DATA, "020101 3100", DATA, "C", "31023000"},
    {"a CRL that is none", SIGNED_DATA, "020101 3100", DATA, "C", "a1023000 3100"},
    {"more behind the signers", SIGNED_DATA, "020101 3100", DATA, "C", "3100 0500"},
    {"no version", SIGNED_DATA, "3100", DATA, "C", "3100"},
    {"no digests", SIGNED_DATA, "020101", DATA, "C", "3100"},
    {"enveloped data", "06092a864886f70d010703", "020101 3100", DATA, "C", "3100"},
    {"plain data", "06092a864886f70d010701", "020101 3100", DATA, "C", "3100"},
    {"an unknown type", "06052b06010101", "020101 3100", DATA, "C", "3100"},
    {"no type", "", "020101 3100", DATA, "C", "3100"},
    {"an attribute certificate in the bag", SIGNED_DATA, "020101 3100", DATA, "a004a2023000", "3100"},
    {"something in the bag", SIGNED_DATA, "020101 3100", DATA, "a0023000", "3100"},
    {"a text in the bag", SIGNED_DATA, "020101 3100", DATA, "a0030c0161", "3100"},
};

static struct pc_bytes message_of(const struct parts *parts)
{
    pc_autobytes type = der_hex(parts->type), front = der_hex(parts->front),
                 content = der_hex(parts->content), behind = der_hex(parts->behind), bag = {0}, wrapped = {0};

    if (strcmp(parts->bag, "C") == 0)
        bag = der_wrap(0xa0, der_copy(leaf.data, leaf.len));
    else
        bag = der_hex(parts->bag);
    wrapped = der_wrap(0xa0, der_wrap(0x30, der_join(&front, &content, &bag, &behind, NULL)));
    return der_wrap(0x30, der_join(&type, &wrapped, NULL));
}

static void expect_refused(const struct pc_bytes *der, const char *what)
{
    STACK_OF(X509) *certificates = NULL;

    if (est_certs_read(der, 16, &certificates) != PC_EREFUSED)
        fail_msg("not refused: %s", what);
    assert_string_equal(pc_error_name(), "est-certs");
    assert_null(certificates);
}

static void refused(void **state)
{
    static const struct parts sound = {"", SIGNED_DATA, "020101 3100", DATA, "C", "3100"};
    STACK_OF(X509) *certificates = NULL;
    pc_autobytes good = message_of(&sound), ours = {0};

    (void)state;
    /* The parts that are spoilt one by one are sound by themselves. */
    assert_int_equal(est_certs_build(&leaf, 1, &ours), 0);
    assert_int_equal(good.len, ours.len);
    assert_memory_equal(good.data, ours.data, good.len);
    assert_int_equal(est_certs_read(&good, 1, &certificates), 0);
    pki_certificates_free(certificates);
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        pc_autobytes der = message_of(&hostile[i]);

        expect_refused(&der, hostile[i].what);
    }
}

/* Signed, and with CRLs: sound messages, only not of this kind. */
static void signed_and_crls(void **state)
{
    const unsigned char *at = leaf.data;
    PC_CLEANUP(BIO_free_all_ref) BIO *content = BIO_new_mem_buf("hello", -1);
    PC_CLEANUP(X509_free_ref) X509 *signer = d2i_X509(NULL, &at, (long)leaf.len);
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = X509_CRL_new();
    PKCS7 *message = PKCS7_sign(signer, data_key(DATA_EC_P256), NULL, content, PKCS7_DETACHED);
    struct pc_bytes der = {0};
    pc_autobytes bag = {0};
    int len;

    (void)state;
    assert_non_null(message);
    len = i2d_PKCS7(message, &der.data);
    assert_true(len > 0);
    der.len = (size_t)len;
    expect_refused(&der, "signed");
    OPENSSL_free(der.data);
    PKCS7_free(message);

    assert_int_equal(est_certs_build(&leaf, 1, &bag), 0);
    at = bag.data;
    message = d2i_PKCS7(NULL, &at, (long)bag.len);
    assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_issuer_name(signer)), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, X509_get0_notBefore(signer)), 1);
    assert_true(X509_CRL_sign(crl, data_key(DATA_EC_P384), EVP_sha384()) > 0);
    assert_int_equal(PKCS7_add_crl(message, crl), 1);
    der.data = NULL;
    len = i2d_PKCS7(message, &der.data);
    assert_true(len > 0);
    der.len = (size_t)len;
    expect_refused(&der, "with a CRL");
    OPENSSL_free(der.data);
    PKCS7_free(message);
}

static void encodings(void **state)
{
    pc_autobytes der = {0}, more = {0}, cert = {0};
    static const unsigned char zero[] = {0, 0};
    struct pc_bytes tail = {(unsigned char *)(uintptr_t)zero, sizeof zero};

    (void)state;
    assert_int_equal(est_certs_build(&leaf, 1, &der), 0);
    more = der_join(&der, &tail, NULL);
    expect_refused(&more, "trailing octets");
    pc_bytes_clear(&more);
    more = der_indefinite(der_copy(der.data, der.len));
    expect_refused(&more, "indefinite length");
    pc_bytes_clear(&more);
    more = der_long_length(der_copy(der.data, der.len));
    expect_refused(&more, "a length longer than needed");
    for (size_t len = 0; len < der.len; len++) {
        pc_autobytes part = der_copy(der.data, len);

        expect_refused(&part, "cut");
    }
    expect_refused(&leaf, "a bare certificate");
    assert_int_equal(est_body_encode(&der, true, &cert), 0);
    expect_refused(&cert, "base64");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_and_read), cmocka_unit_test(as_openssl_writes),
        cmocka_unit_test(build_refuses),  cmocka_unit_test(too_many),
        cmocka_unit_test(refused),        cmocka_unit_test(signed_and_crls),
        cmocka_unit_test(encodings),
    };

    return cmocka_run_group_tests_name("est certs", tests, set_up, tear_down);
}
