/* The provider under its two interfaces, EVP with a configuration file and prov_open, in one process:
 * copies of contexts, what may leave the provider, what is refused. Run by signing.sh, which
 * has made the TPM, the keys and OPENSSL_CONF. */
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

#include "provision/provider/provider.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "tests/integration/provider/keys.h"

static const unsigned char message[] = MESSAGE;

static void signs_with_each_digest(void **state)
{
    static const char *const digests[] = {"SHA256", "SHA384", "SHA512"};

    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        EVP_PKEY *key = load(keys[i].file), *public = public_half(key);

        for (size_t d = 0; d < 3; d++) {
            assert_int_equal(sign_and_verify(key, public, digests[d], false), 1);
            if (keys[i].rsa)
                assert_int_equal(sign_and_verify(key, public, digests[d], true), 1);
        }
        assert_int_equal(sign_and_verify(key, public, NULL, false), 1); /* the key's default digest */
        assert_int_equal(sign_and_verify(key, public, "SHA1", false), 0);
        assert_int_equal(sign_and_verify(key, public, "MD5", false), 0);
        EVP_PKEY_free(public);
        EVP_PKEY_free(key);
    }
}

static void leaves_no_stale_error(void **state)
{
    (void)state;
    ERR_clear_error();
    for (size_t i = 0; i < KEYS; i++) {
        EVP_PKEY *key = load(keys[i].file), *public = public_half(key);

        assert_int_equal(EVP_PKEY_eq(public, key), 1);
        assert_int_equal(EVP_PKEY_eq(key, public), 1);
        assert_int_equal(sign_and_verify(key, public, "SHA256", false), 1);
        assert_int_equal(ERR_peek_error(), 0);
        EVP_PKEY_free(public);
        EVP_PKEY_free(key);
    }
}

static void tells_keys_apart(void **state)
{
    EVP_PKEY *a = load("ec-handle.tpm"), *b = load("ec-blob.tpm"), *again = load("ec-handle.tpm");
    EVP_PKEY *rsa = load("rsa-handle.tpm"), *public = public_half(b);

    (void)state;
    assert_int_equal(EVP_PKEY_eq(a, again), 1);
    assert_int_equal(EVP_PKEY_eq(a, b), 0);
    assert_int_equal(EVP_PKEY_eq(a, public), 0);
    assert_int_not_equal(EVP_PKEY_eq(a, rsa), 1);
    assert_int_equal(EVP_PKEY_get_id(a), EVP_PKEY_EC);
    assert_int_equal(EVP_PKEY_get_id(rsa), EVP_PKEY_RSA);
    assert_int_equal(EVP_PKEY_get_bits(rsa), 2048);
    assert_int_equal(EVP_PKEY_get_size(rsa), 256);
    assert_int_equal(EVP_PKEY_get_security_bits(a), 128);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
    EVP_PKEY_free(again);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(public);
}

static void gives_out_the_public_half_only(void **state)
{
    static const int refused[] = {EVP_PKEY_KEYPAIR, OSSL_KEYMGMT_SELECT_ALL, OSSL_KEYMGMT_SELECT_PRIVATE_KEY};

    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        EVP_PKEY *key = load(keys[i].file);
        OSSL_PARAM *params = NULL;
        BIGNUM *private = NULL;
        BIO *sink = BIO_new(BIO_s_mem());

        for (size_t r = 0; r < 3; r++)
            assert_int_equal(EVP_PKEY_todata(key, refused[r], &params), 0);
        assert_int_equal(EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &params), 1);
        assert_null(OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PRIV_KEY));
        assert_null(OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_D));
        assert_int_equal(EVP_PKEY_get_bn_param(
                             key, keys[i].rsa ? OSSL_PKEY_PARAM_RSA_D : OSSL_PKEY_PARAM_PRIV_KEY, &private),
                         0);
        assert_int_equal(PEM_write_bio_PrivateKey(sink, key, NULL, NULL, 0, NULL, NULL), 0);
        assert_int_equal(BIO_pending(sink), 0);
        OSSL_PARAM_free(params);
        BIO_free(sink);
        EVP_PKEY_free(key);
    }
    ERR_clear_error();
}

static void takes_no_key_in(void **state)
{
    static const char *const kinds[] = {"RSA", "EC"};
    static const int selections[] = {EVP_PKEY_PUBLIC_KEY, EVP_PKEY_KEYPAIR};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *software = i == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                                    : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, kinds[i], "provider=plantcert");

        assert_non_null(context);
        for (size_t s = 0; s < 2; s++) {
            OSSL_PARAM *params = NULL;
            EVP_PKEY *taken = NULL;

            assert_int_equal(EVP_PKEY_todata(software, selections[s], &params), 1);
            assert_true(EVP_PKEY_fromdata_init(context) <= 0 ||
                        EVP_PKEY_fromdata(context, &taken, selections[s], params) <= 0);
            EVP_PKEY_free(taken);
            OSSL_PARAM_free(params);
        }
        assert_true(EVP_PKEY_keygen_init(context) <= 0);
        EVP_PKEY_CTX_free(context);
        EVP_PKEY_free(software);
    }
    ERR_clear_error();
}

/* Whichever provider is listed first, keys that are not the TPM's stay with the default provider. */
static void stays_out_of_the_way(void **state)
{
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"),
             *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    EVP_PKEY *public;

    (void)state;
    assert_non_null(ec);
    assert_non_null(rsa);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(ec)), "default");
    public = public_half(ec);
    assert_int_equal(sign_and_verify(ec, public, "SHA256", false), 1);
    EVP_PKEY_free(public);
    public = public_half(rsa);
    assert_int_equal(sign_and_verify(rsa, public, "SHA1", true), 1);
    EVP_PKEY_free(public);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
}

static void copies_a_signature_in_the_making(void **state)
{
    EVP_PKEY *key = load("ec-handle.tpm"), *public = public_half(key);
    EVP_MD_CTX *one = EVP_MD_CTX_new(), *other = EVP_MD_CTX_new();
    unsigned char signature[512];
    size_t len = sizeof(signature);

    (void)state;
    assert_int_equal(EVP_DigestSignInit(one, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSignUpdate(one, message, 4), 1);
    assert_int_equal(EVP_MD_CTX_copy_ex(other, one), 1);
    EVP_MD_CTX_free(one);
    assert_int_equal(EVP_DigestSignUpdate(other, message + 4, sizeof(message) - 4), 1);
    assert_int_equal(EVP_DigestSignFinal(other, signature, &len), 1);
    EVP_MD_CTX_free(other);

    one = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(one, NULL, EVP_sha256(), NULL, public), 1);
    assert_int_equal(EVP_DigestVerify(one, signature, len, message, sizeof(message)), 1);
    EVP_MD_CTX_free(one);
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
}

/* Raw signatures of a digest: `md` may be NULL. */
static int sign_raw(EVP_PKEY *key, const char *md, size_t digest_len, size_t room)
{
    unsigned char signature[512];
    const unsigned char digest[EVP_MAX_MD_SIZE] = {1, 2, 3};
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int ok = EVP_PKEY_sign_init(context) == 1;

    ok = ok && (md == NULL || EVP_PKEY_CTX_set_signature_md(context, EVP_get_digestbyname(md)) == 1);
    ok = ok && EVP_PKEY_sign(context, signature, &room, digest, digest_len) == 1;
    EVP_PKEY_CTX_free(context);
    return ok;
}

static void signs_digests_but_not_bare_bytes(void **state)
{
    EVP_PKEY *rsa = load("rsa-handle.tpm"), *ec = load("ec-blob.tpm");

    (void)state;
    assert_int_equal(sign_raw(rsa, "SHA256", 32, 512), 1);
    assert_int_equal(sign_raw(rsa, "SHA256", 20, 512), 0);
    assert_int_equal(sign_raw(rsa, "SHA256", 0, 512), 0);
    assert_int_equal(sign_raw(rsa, NULL, 32, 512), 0);
    assert_int_equal(sign_raw(rsa, "SHA256", 32, 255), 0);
    assert_int_equal(sign_raw(ec, NULL, 32, 512), 1);
    assert_int_equal(sign_raw(ec, NULL, 31, 512), 0);
    assert_int_equal(sign_raw(ec, "SHA384", 32, 512), 0);
    assert_int_equal(sign_raw(ec, NULL, 32, 8), 0);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

static int set_rsa(EVP_PKEY *key, int padding, int salt, const char *mgf1)
{
    unsigned char signature[512];
    size_t len = sizeof(signature);
    EVP_MD_CTX *signer = EVP_MD_CTX_new();
    EVP_PKEY_CTX *parameters;
    int ok = EVP_DigestSignInit_ex(signer, &parameters, "SHA256", NULL, NULL, key, NULL) == 1;

    ok = ok && EVP_PKEY_CTX_set_rsa_padding(parameters, padding) == 1;
    ok = ok && (salt == INT32_MIN || EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, salt) == 1);
    ok = ok && (mgf1 == NULL || EVP_PKEY_CTX_set_rsa_mgf1_md_name(parameters, mgf1, NULL) == 1);
    ok = ok && EVP_DigestSign(signer, signature, &len, message, sizeof(message)) == 1;
    EVP_MD_CTX_free(signer);
    return ok;
}

static void refuses_what_a_tpm_cannot(void **state)
{
    EVP_PKEY *key = load("rsa-blob.tpm");

    (void)state;
    assert_int_equal(set_rsa(key, RSA_PKCS1_PADDING, INT32_MIN, NULL), 1);
    assert_int_equal(set_rsa(key, RSA_NO_PADDING, INT32_MIN, NULL), 0);
    assert_int_equal(set_rsa(key, RSA_X931_PADDING, INT32_MIN, NULL), 0);
    assert_int_equal(set_rsa(key, RSA_PKCS1_PSS_PADDING, INT32_MIN, NULL), 1);
    assert_int_equal(set_rsa(key, RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_DIGEST, "SHA256"), 1);
    assert_int_equal(set_rsa(key, RSA_PKCS1_PSS_PADDING, 32, NULL), 1);
    assert_int_equal(set_rsa(key, RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_AUTO, NULL), 1);
    assert_int_equal(set_rsa(key, RSA_PKCS1_PSS_PADDING, 20, NULL), 0);
    assert_int_equal(set_rsa(key, RSA_PKCS1_PSS_PADDING, 222, NULL), 0);
    assert_int_equal(set_rsa(key, RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_MAX, NULL), 0);
    assert_int_equal(set_rsa(key, RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_DIGEST, "SHA1"), 0);
    EVP_PKEY_free(key);
}

static void survives_unloading(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();
        pc_autofree char *path = key_path("ec-handle.tpm");
        FILE *file = fopen(path, "r");
        EVP_PKEY *key;

        assert_int_equal(OSSL_LIB_CTX_load_config(context, getenv("OPENSSL_CONF")), 1);
        key = PEM_read_PrivateKey_ex(file, NULL, NULL, NULL, context, NULL);
        assert_non_null(key);
        fclose(file);
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(context);
    }
}

/* --- prov_open: built in, no configuration file --- */

static void built_in(void **state)
{
    const struct tpm_place place = {.tcti = getenv("SWTPM_TCTI"), .allow_simulator = true};
    PC_CLEANUP(prov_close_ref) struct prov_session *session = NULL;

    (void)state;
    assert_int_equal(prov_open(&place, &session), 0);
    for (size_t i = 0; i < KEYS; i++) {
        pc_autofree char *path = key_path(keys[i].file);
        pc_autobytes pem = {NULL, 0};
        EVP_PKEY *key = NULL, *public;

        assert_int_equal(pc_file_read(path, 65536, &pem), 0);
        assert_int_equal(prov_key_load(session, pem.data, pem.len, &key), 0);
        public = public_half(key);
        assert_int_equal(sign_and_verify(key, public, "SHA256", keys[i].rsa), 1);
        EVP_PKEY_free(public);
        EVP_PKEY_free(key);
    }
}

/* The program's own settings count, not the module's environment. */
static void built_in_obeys_its_place(void **state)
{
    const struct tpm_place place = {.tcti = getenv("SWTPM_TCTI"), .allow_simulator = false};
    PC_CLEANUP(prov_close_ref) struct prov_session *session = NULL;
    pc_autofree char *path = key_path("ec-handle.tpm");
    pc_autobytes pem = {NULL, 0};
    EVP_PKEY *key = NULL, *public;

    (void)state;
    setenv("PLANTCERT_ALLOW_SIMULATOR", "yes", 1);
    assert_int_equal(prov_open(&place, &session), 0);
    unsetenv("PLANTCERT_ALLOW_SIMULATOR");
    assert_int_equal(pc_file_read(path, 65536, &pem), 0);
    assert_int_equal(prov_key_load(session, pem.data, pem.len, &key), 0);
    public = public_half(key);
    pc_error_clear();
    assert_int_equal(sign_and_verify(key, public, "SHA256", false), 0);
    assert_int_equal(pc_error_code(), PC_EUSAGE);
    assert_string_equal(pc_error_name(), "tpm-simulator");
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
}

static void built_in_takes_nothing_else_for_a_key(void **state)
{
    static const char *const texts[] = {
        "",
        "plc",
        "-----BEGIN PLANTCERT TPM KEY-----\n-----END PLANTCERT TPM KEY-----\n",
        "-----BEGIN PLANTCERT TPM KEY-----\nMAA=\n-----END PLANTCERT TPM KEY-----\n",
        "-----BEGIN TSS2 PRIVATE KEY-----\nMAA=\n-----END TSS2 PRIVATE KEY-----\n",
        "-----BEGIN PLANTCERT TPM KEY-----\nMIT/////AgEB\n-----END PLANTCERT TPM KEY-----\n",
    };
    const struct tpm_place place = {.tcti = getenv("SWTPM_TCTI"), .allow_simulator = true};
    PC_CLEANUP(prov_close_ref) struct prov_session *session = NULL;
    EVP_PKEY *key = NULL, *software = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    BIO *pem = BIO_new(BIO_s_mem());
    char *data;
    long len;

    (void)state;
    assert_int_equal(prov_open(&place, &session), 0);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(prov_key_load(session, texts[i], strlen(texts[i]), &key), PC_EREFUSED);
    assert_int_equal(PEM_write_bio_PrivateKey(pem, software, NULL, NULL, 0, NULL, NULL), 1);
    len = BIO_get_mem_data(pem, &data);
    assert_int_equal(prov_key_load(session, data, (size_t)len, &key), PC_EREFUSED);
    assert_null(key);
    BIO_free(pem);
    EVP_PKEY_free(software);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_with_each_digest),
        cmocka_unit_test(leaves_no_stale_error),
        cmocka_unit_test(tells_keys_apart),
        cmocka_unit_test(gives_out_the_public_half_only),
        cmocka_unit_test(takes_no_key_in),
        cmocka_unit_test(stays_out_of_the_way),
        cmocka_unit_test(copies_a_signature_in_the_making),
        cmocka_unit_test(signs_digests_but_not_bare_bytes),
        cmocka_unit_test(refuses_what_a_tpm_cannot),
        cmocka_unit_test(survives_unloading),
        cmocka_unit_test(built_in),
        cmocka_unit_test(built_in_obeys_its_place),
        cmocka_unit_test(built_in_takes_nothing_else_for_a_key),
    };

    return cmocka_run_group_tests_name("provider", tests, NULL, NULL);
}
