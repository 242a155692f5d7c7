/* TLS in one process and one library context, after that context's very first use was a signature by a TPM
 * key: whoever asks for an algorithm by name must get OpenSSL's own all the same. Run by signing.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "src/base/memory.h"
#include "tests/integration/provider/keys.h"

struct party {
    OSSL_LIB_CTX *context;
    EVP_PKEY *key;
    X509 *certificate;
};

/* The configuration once more, in a context that nobody has used yet. */
static void setup_party(struct party *party, const char *name)
{
    pc_autofree char *path = key_path(name);
    FILE *file = fopen(path, "r");

    party->context = OSSL_LIB_CTX_new();
    assert_int_equal(OSSL_LIB_CTX_load_config(party->context, getenv("OPENSSL_CONF")), 1);
    assert_non_null(file);
    party->key = PEM_read_PrivateKey_ex(file, NULL, NULL, NULL, party->context, NULL);
    fclose(file);
    assert_non_null(party->key);
}

static void teardown_party(struct party *party)
{
    X509_free(party->certificate);
    EVP_PKEY_free(party->key);
    OSSL_LIB_CTX_free(party->context);
}

/* X509_sign() knows no context: the signature is looked for in the default one, and then only in ours. */
static X509 *certify(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);

    assert_int_equal(X509_set_version(certificate, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"plc", -1, -1, 0), 1);
    assert_int_equal(X509_set_issuer_name(certificate, name), 1);
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

static void assert_software(OSSL_LIB_CTX *context)
{
    static const char *const signatures[] = {"RSA", "ECDSA"}, *const kinds[] = {"RSA", "EC"};

    for (size_t i = 0; i < 2; i++) {
        EVP_SIGNATURE *signature = EVP_SIGNATURE_fetch(context, signatures[i], NULL);
        EVP_KEYMGMT *kind = EVP_KEYMGMT_fetch(context, kinds[i], NULL);

        assert_string_equal(OSSL_PROVIDER_get0_name(EVP_SIGNATURE_get0_provider(signature)), "default");
        assert_string_equal(OSSL_PROVIDER_get0_name(EVP_KEYMGMT_get0_provider(kind)), "default");
        EVP_SIGNATURE_free(signature);
        EVP_KEYMGMT_free(kind);
    }
}

/* Both ends have the same key and certificate, and know each other by it. */
static SSL *setup_end(const struct party *party, const SSL_METHOD *method, int version)
{
    SSL_CTX *tls = SSL_CTX_new_ex(party->context, NULL, method);
    SSL *end;

    assert_non_null(tls);
    assert_int_equal(SSL_CTX_set_min_proto_version(tls, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(tls, version), 1);
    assert_int_equal(SSL_CTX_use_certificate(tls, party->certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(tls, party->key), 1);
    assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), party->certificate), 1);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    end = SSL_new(tls);
    SSL_CTX_free(tls);
    assert_non_null(end);
    return end;
}

static bool finished(SSL *end)
{
    int result = SSL_do_handshake(end);

    if (result != 1 && SSL_get_error(end, result) != SSL_ERROR_WANT_READ) {
        ERR_print_errors_fp(stderr);
        fail();
    }
    return result == 1;
}

static void shake_hands(const struct party *party, int version)
{
    SSL *client = setup_end(party, TLS_client_method(), version),
        *server = setup_end(party, TLS_server_method(), version);
    BIO *one, *other;

    assert_int_equal(BIO_new_bio_pair(&one, 0, &other, 0), 1);
    SSL_set_bio(client, one, one);
    SSL_set_bio(server, other, other);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    for (bool here = false, there = false; !here || !there;) {
        here = finished(client);
        there = finished(server);
    }
    assert_int_equal(SSL_get_verify_result(client), X509_V_OK);
    assert_int_equal(SSL_get_verify_result(server), X509_V_OK);
    SSL_free(client);
    SSL_free(server);
}

static void signs_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        struct party party = {0};

        setup_party(&party, keys[i].file);
        party.certificate = certify(party.key);
        assert_software(party.context);
        shake_hands(&party, TLS1_2_VERSION);
        shake_hands(&party, TLS1_3_VERSION);
        teardown_party(&party);
    }
}

/* Another provider empties the caches when it comes. */
static void signs_first_after_another_provider(void **state)
{
    struct party party = {0};
    OSSL_PROVIDER *base;

    (void)state;
    setup_party(&party, "ec-handle.tpm");
    assert_software(party.context);
    base = OSSL_PROVIDER_load(party.context, "base");
    assert_non_null(base);
    party.certificate = certify(party.key);
    assert_software(party.context);
    shake_hands(&party, TLS1_2_VERSION);
    OSSL_PROVIDER_unload(base);
    teardown_party(&party);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_first),
        cmocka_unit_test(signs_first_after_another_provider),
    };

    return cmocka_run_group_tests_name("provider tls", tests, NULL, NULL);
}
