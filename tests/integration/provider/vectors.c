/* Signatures made in the TPM and judged in software, and the reverse: every digest and scheme, what is at the
 * edges, certificates. Run by signing.sh; what the TPM is asked is in $COMMANDS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "src/base/memory.h"
#include "tests/integration/provider/keys.h"
#include "tests/unit/tpm/material.h"

static const char *const digests[] = {"SHA256", "SHA384", "SHA512"};
#define DIGESTS (sizeof(digests) / sizeof(digests[0]))

/* --- made in the TPM, judged in software --- */

/* Both verifiers, the default provider's key and the TPM's own EVP_PKEY, say the same; and the TPM is not
 * asked. */
static int judge(EVP_PKEY *own, EVP_PKEY *public, const char *md, bool pss, const unsigned char *signature,
                 size_t len)
{
    size_t before = tpm_commands();
    int verdict = verify(public, md, pss, signature, len);

    assert_int_equal(verify(own, md, pss, signature, len), verdict);
    assert_int_equal(tpm_commands(), before);
    return verdict;
}

static void judge_bent(EVP_PKEY *own, EVP_PKEY *public, const char *md, bool pss,
                       const unsigned char *signature, size_t len)
{
    unsigned char bent[600];

    for (size_t i = 0; i < len; i++) {
        memcpy(bent, signature, len);
        bent[i] ^= (unsigned char)(1u << i % 8);
        assert_int_equal(judge(own, public, md, pss, bent, len), 0);
    }
    memcpy(bent, signature, len);
    bent[len] = 0;
    assert_int_equal(judge(own, public, md, pss, bent, len + 1), 0);
    assert_int_equal(judge(own, public, md, pss, bent, len - 1), 0);
    assert_int_equal(judge(own, public, md, pss, bent, 0), 0);
    memset(bent, 0, len);
    assert_int_equal(judge(own, public, md, pss, bent, len), 0);
}

static void judge_one(EVP_PKEY *own, EVP_PKEY *public, const char *md, bool pss)
{
    unsigned char signature[512];
    size_t len = sizeof(signature);

    assert_int_equal(sign(own, md, pss, signature, &len), 1);
    assert_int_equal(judge(own, public, md, pss, signature, len), 1);
    for (size_t other = 0; other < DIGESTS; other++)
        assert_int_equal(judge(own, public, digests[other], pss, signature, len),
                         strcmp(digests[other], md) == 0);
    if (strcmp(md, "SHA256") == 0)
        judge_bent(own, public, md, pss, signature, len);
    ERR_clear_error();
}

static void verifies_what_it_signs(void **state)
{
    (void)state;
    for (size_t k = 0; k < KEYS; k++) {
        EVP_PKEY *own = load(keys[k].file), *public = public_half(own);

        for (size_t d = 0; d < DIGESTS; d++)
            for (int pss = 0; pss <= keys[k].rsa; pss++)
                judge_one(own, public, digests[d], pss);
        EVP_PKEY_free(public);
        EVP_PKEY_free(own);
    }
}

static void takes_messages_of_any_length(void **state)
{
    static const size_t lengths[] = {0, 1, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 1 << 20};
    static unsigned char message[1 << 20];
    EVP_PKEY *own = load("ec-handle.tpm");

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        EVP_MD_CTX *signer = EVP_MD_CTX_new(), *verifier = EVP_MD_CTX_new();
        unsigned char signature[512];
        size_t len = sizeof(signature), half = lengths[i] / 2;

        memset(message, (int)i, lengths[i]);
        assert_int_equal(EVP_DigestSignInit(signer, NULL, EVP_sha384(), NULL, own), 1);
        assert_int_equal(EVP_DigestSignUpdate(signer, message, half), 1);
        assert_int_equal(EVP_DigestSignUpdate(signer, message + half, lengths[i] - half), 1);
        assert_int_equal(EVP_DigestSignFinal(signer, signature, &len), 1);
        assert_int_equal(EVP_DigestVerifyInit(verifier, NULL, EVP_sha384(), NULL, own), 1);
        assert_int_equal(EVP_DigestVerify(verifier, signature, len, message, lengths[i]), 1);
        EVP_MD_CTX_free(signer);
        EVP_MD_CTX_free(verifier);
    }
    EVP_PKEY_free(own);
}

/* --- made in software, judged by the EVP_PKEY of a TPM key that has the same public half --- */

static EVP_PKEY *as_tpm_key(const EVP_PKEY *software)
{
    TPM2B_PUBLIC area;
    struct octets body = {.len = 0}, marshalled = {.len = 0}, name = {.len = 0}, der = {.len = 0};
    pc_autobytes pem = {NULL, 0};
    EVP_PKEY *key;
    BIO *in;

    material_area(software, &area);
    octets_add_hex(&body, "020101"
                          "0205008100ffff");
    material_name(&area, &name);
    octets_add_tlv(&body, 0x04, &name);
    material_marshal(&area, &marshalled);
    octets_add_tlv(&body, 0x04, &marshalled);
    octets_add_tlv(&der, 0x30, &body);
    octets_pem(&der, "PLANTCERT TPM KEY", &pem);
    in = BIO_new_mem_buf(pem.data, (int)pem.len);
    key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    BIO_free(in);
    assert_non_null(key);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)), "plantcert");
    return key;
}

static const struct vector {
    const char *md;
    int padding, salt;
    const char *mgf1;
} rsa_vectors[] = {
    {"SHA256", RSA_PKCS1_PADDING, 0, NULL},
    {"SHA1", RSA_PKCS1_PADDING, 0, NULL},
    {"MD5", RSA_PKCS1_PADDING, 0, NULL},
    {"SHA3-256", RSA_PKCS1_PADDING, 0, NULL},
    {"SHA224", RSA_PKCS1_PSS_PADDING, 28, NULL},
    {"SHA256", RSA_PKCS1_PSS_PADDING, 0, NULL},
    {"SHA256", RSA_PKCS1_PSS_PADDING, 20, "SHA1"},
    {"SHA1", RSA_PKCS1_PSS_PADDING, 20, NULL},
    {"SHA256", RSA_PKCS1_PSS_PADDING, 222, NULL},
    {"SHA512", RSA_PKCS1_PSS_PADDING, 64, NULL},
    {"SHA512", RSA_PKCS1_PSS_PADDING, 190, "SHA256"},
};
static const struct vector ec_vectors[] = {
    {"SHA1", 0, 0, NULL}, {"SHA224", 0, 0, NULL}, {"SHA512", 0, 0, NULL}, {"SHA3-384", 0, 0, NULL}};

static int set_vector(EVP_PKEY_CTX *context, const struct vector *v, int salt)
{
    int ok = EVP_PKEY_CTX_set_signature_md(context, EVP_get_digestbyname(v->md)) == 1;

    if (ok && v->padding)
        ok = EVP_PKEY_CTX_set_rsa_padding(context, v->padding) == 1;
    if (ok && v->padding == RSA_PKCS1_PSS_PADDING)
        ok = EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt) == 1;
    if (ok && v->mgf1 != NULL)
        ok = EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, v->mgf1, NULL) == 1;
    return ok;
}

static int verify_vector(EVP_PKEY *own, const struct vector *v, int salt, const unsigned char *signature,
                         size_t len, const unsigned char *digest, size_t digest_len)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    int ok = EVP_PKEY_verify_init(context) == 1 && set_vector(context, v, salt) &&
             EVP_PKEY_verify(context, signature, len, digest, digest_len) == 1;

    EVP_PKEY_CTX_free(context);
    return ok;
}

static void judge_vector(EVP_PKEY *software, EVP_PKEY *own, const struct vector *v)
{
    const unsigned char digest[EVP_MAX_MD_SIZE + 1] = {0x5a};
    size_t digest_len = (size_t)EVP_MD_get_size(EVP_get_digestbyname(v->md)), len = 512;
    unsigned char signature[512];
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, software, NULL);

    assert_int_equal(EVP_PKEY_sign_init(context), 1);
    assert_int_equal(set_vector(context, v, v->salt), 1);
    assert_int_equal(EVP_PKEY_sign(context, signature, &len, digest, digest_len), 1);
    EVP_PKEY_CTX_free(context);

    assert_int_equal(verify_vector(own, v, v->salt, signature, len, digest, digest_len), 1);
    assert_int_equal(verify_vector(own, v, v->salt, signature, len, digest + 1, digest_len), 0);
    assert_int_equal(verify_vector(own, v, v->salt, signature, len, digest, digest_len - 1), 0);
    if (v->padding == RSA_PKCS1_PSS_PADDING) {
        assert_int_equal(verify_vector(own, v, RSA_PSS_SALTLEN_AUTO, signature, len, digest, digest_len), 1);
        assert_int_equal(verify_vector(own, v, v->salt + 1, signature, len, digest, digest_len), 0);
    }
    ERR_clear_error();
}

static void verifies_what_a_tpm_would_not_sign(void **state)
{
    EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048), *ec = material_key();
    EVP_PKEY *own_rsa = as_tpm_key(rsa), *own_ec = as_tpm_key(ec);
    size_t before = tpm_commands();

    (void)state;
    for (size_t i = 0; i < sizeof(rsa_vectors) / sizeof(rsa_vectors[0]); i++)
        judge_vector(rsa, own_rsa, &rsa_vectors[i]);
    for (size_t i = 0; i < sizeof(ec_vectors) / sizeof(ec_vectors[0]); i++)
        judge_vector(ec, own_ec, &ec_vectors[i]);
    assert_int_equal(tpm_commands(), before);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(own_rsa);
    EVP_PKEY_free(own_ec);
}

/* A P-256 signature in encodings that Wycheproof knows: only the one DER is good. */
static void judges_encodings_as_the_default_provider(void **state)
{
    static const struct {
        const char *what, *sig;
    } cases[] = {
        {"r and s zero", "3006020100020100"},
        {"r one, s zero", "3006020101020100"},
        {"r negative", "30060201ff020101"},
        {"r the group's order", "3026022100ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
                                "020101"},
        {"r longer than the field", "302702220100000000000000000000000000000000000000000000000000000000000000"
                                    "0000020101"},
        {"no s", "3003020101"},
        {"s empty", "30050201010200"},
        {"not minimal", "300702020001020101"},
        {"indefinite length", "30800201010201010000"},
        {"length of 2^32 - 1", "3084ffffffff020101020101"},
        {"a set", "3106020101020101"},
        {"an octet string", "0406020101020101"},
        {"NULL", "0500"},
        {"nothing", ""},
    };
    EVP_PKEY *own = load("ec-handle.tpm"), *public = public_half(own);

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct octets sig = {.len = 0};

        octets_add_hex(&sig, cases[i].sig);
        if (judge(own, public, "SHA256", false, sig.data, sig.len) != 0)
            fail_msg("%s verifies", cases[i].what);
    }
    ERR_clear_error();
    EVP_PKEY_free(public);
    EVP_PKEY_free(own);
}

static void recovers_what_was_signed(void **state)
{
    EVP_PKEY *own = load("rsa-handle.tpm");
    unsigned char signature[512], out[512];
    size_t len = sizeof(signature), out_len = sizeof(out);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);

    (void)state;
    assert_int_equal(sign(own, "SHA256", false, signature, &len), 1);
    assert_int_equal(EVP_PKEY_verify_recover_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()), 1);
    assert_int_equal(EVP_PKEY_verify_recover(context, out, &out_len, signature, len), 1);
    assert_int_equal(out_len, 32);
    signature[9] ^= 1;
    out_len = sizeof(out);
    assert_int_equal(EVP_PKEY_verify_recover(context, out, &out_len, signature, len) == 1, 0);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(own);
    ERR_clear_error();
}

/* --- X.509 --- */

static void signs_and_verifies_certificates(void **state)
{
    (void)state;
    for (size_t k = 0; k < KEYS; k++) {
        for (int pss = 0; pss <= keys[k].rsa; pss++) {
            EVP_PKEY *own = load(keys[k].file), *other = load(keys[(k + 2) % KEYS].file);
            X509 *x = X509_new();
            EVP_MD_CTX *context = EVP_MD_CTX_new();
            EVP_PKEY_CTX *parameters;

            assert_int_equal(X509_set_version(x, 2), 1);
            assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
            assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
            assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
            assert_int_equal(X509_set_pubkey(x, own), 1);
            assert_int_equal(EVP_DigestSignInit(context, &parameters, EVP_sha256(), NULL, own), 1);
            if (pss)
                assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING), 1);
            assert_true(X509_sign_ctx(x, context) > 0);
            EVP_MD_CTX_free(context);

            ERR_clear_error();
            assert_int_equal(X509_verify(x, own), 1);
            assert_int_equal(X509_check_private_key(x, own), 1);
            assert_int_equal(ERR_peek_error(), 0);
            assert_int_not_equal(X509_verify(x, other), 1);
            assert_int_equal(X509_check_private_key(x, other), 0);
            ERR_clear_error();
            X509_free(x);
            EVP_PKEY_free(own);
            EVP_PKEY_free(other);
        }
    }
}

static void checks_a_key(void **state)
{
    (void)state;
    for (size_t k = 0; k < KEYS; k++) {
        EVP_PKEY *own = load(keys[k].file);
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
        unsigned char text[16] = "telemetry", out[512];
        size_t len = sizeof(out), before = tpm_commands();

        assert_int_equal(EVP_PKEY_check(context), 1);
        assert_int_equal(EVP_PKEY_public_check(context), 1);
        assert_int_equal(EVP_PKEY_pairwise_check(context), 1);
        /* A key that signs: what were encrypted to it nobody could read, and nothing can be agreed on. */
        assert_false(EVP_PKEY_encrypt_init(context) == 1 &&
                     EVP_PKEY_encrypt(context, out, &len, text, sizeof(text)) == 1);
        assert_false(EVP_PKEY_decrypt_init(context) == 1 &&
                     EVP_PKEY_decrypt(context, out, &len, text, sizeof(text)) == 1);
        assert_false(EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, own) == 1 &&
                     EVP_PKEY_derive(context, out, &len) == 1);
        assert_int_equal(tpm_commands(), before);
        EVP_PKEY_CTX_free(context);
        EVP_PKEY_free(own);
        ERR_clear_error();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifies_what_it_signs),
        cmocka_unit_test(takes_messages_of_any_length),
        cmocka_unit_test(verifies_what_a_tpm_would_not_sign),
        cmocka_unit_test(judges_encodings_as_the_default_provider),
        cmocka_unit_test(recovers_what_was_signed),
        cmocka_unit_test(signs_and_verifies_certificates),
        cmocka_unit_test(checks_a_key),
    };

    return cmocka_run_group_tests_name("provider vectors", tests, NULL, NULL);
}
