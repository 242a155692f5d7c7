/* What must not work, and in which words it is refused: digests, bare bytes, parameters of every wrong kind,
 * damaged key files; and a library context that does not know the provider. Run by signing.sh. */
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
#include <openssl/rsa.h>

#include "src/base/memory.h"
#include "tests/integration/provider/keys.h"

/* --- refusals, and what they say --- */

static void refuse_raw(EVP_PKEY *own, const char *md, const unsigned char *tbs, size_t len, const char *why)
{
    unsigned char signature[512];
    size_t room = sizeof(signature);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    int ok = EVP_PKEY_sign_init(context) == 1;

    ok = ok && (md == NULL || EVP_PKEY_CTX_set_signature_md(context, EVP_get_digestbyname(md)) == 1);
    ok = ok && EVP_PKEY_sign(context, signature, &room, tbs, len) == 1;
    EVP_PKEY_CTX_free(context);
    assert_int_equal(ok, 0);
    if (!was_said(why))
        fail_msg("%s, %zu octets: nothing about '%s'", md ? md : "no digest", len, why);
}

static void says_why_it_does_not_sign(void **state)
{
    static const unsigned char huge[1 << 20];
    static const char *const refused[] = {"SHA1",     "MD5",      "SHA224",     "SHA512-256",
                                          "SHA3-256", "SHA3-512", "BLAKE2b512", "RIPEMD160"};
    EVP_PKEY *rsa = load("rsa-blob.tpm"), *ec = load("ec-handle.tpm");
    size_t before = tpm_commands();
    unsigned char signature[512];

    (void)state;
    ERR_clear_error();
    refuse_raw(rsa, NULL, huge, 32, "not bare bytes");
    refuse_raw(ec, NULL, huge, 20, "not bare bytes");
    refuse_raw(ec, NULL, huge, 0, "not bare bytes");
    refuse_raw(ec, NULL, huge, sizeof(huge), "not bare bytes");
    refuse_raw(rsa, "SHA256", huge, 0, "0 octets are no SHA2-256 digest");
    refuse_raw(rsa, "SHA256", huge, 31, "31 octets are no SHA2-256 digest");
    refuse_raw(rsa, "SHA512", huge, sizeof(huge), "1048576 octets are no SHA2-512 digest");
    refuse_raw(ec, "SHA384", huge, 32, "32 octets are no SHA2-384 digest");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        size_t len = sizeof(signature);

        assert_int_equal(sign(rsa, refused[i], false, signature, &len), 0);
        assert_true(was_said("SHA-256, SHA-384 and SHA-512 digests, not "));
        refuse_raw(ec, refused[i], huge, 32, "SHA-256, SHA-384 and SHA-512 digests, not ");
    }
    assert_int_equal(tpm_commands(), before);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

/* --- parameters of every wrong kind --- */

#define TEXT(key, text) OSSL_PARAM_utf8_string((key), (char *)(uintptr_t)(text), sizeof(text) - 1)

static void survives_hostile_parameters(void **state)
{
    static const char endless[] = "SHA256SHA256SHA256SHA256SHA256SHA256SHA256SHA256SHA256SHA256SHA256SHA256";
    static int number = 12345;
    static double real = 1e300;
    const OSSL_PARAM cases[] = {
        TEXT(OSSL_SIGNATURE_PARAM_DIGEST, ""),
        TEXT(OSSL_SIGNATURE_PARAM_DIGEST, endless),
        TEXT(OSSL_SIGNATURE_PARAM_DIGEST, "NULL"),
        TEXT(OSSL_SIGNATURE_PARAM_DIGEST, "no such digest"),
        OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_DIGEST, &number),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 6),
        TEXT(OSSL_SIGNATURE_PARAM_PAD_MODE, ""),
        TEXT(OSSL_SIGNATURE_PARAM_PAD_MODE, "none"),
        TEXT(OSSL_SIGNATURE_PARAM_PAD_MODE, "oaep"),
        TEXT(OSSL_SIGNATURE_PARAM_PAD_MODE, "6 "),
        TEXT(OSSL_SIGNATURE_PARAM_PAD_MODE, endless),
        OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PAD_MODE, &number),
        OSSL_PARAM_double(OSSL_SIGNATURE_PARAM_PAD_MODE, &real),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_PAD_MODE, (char *)(uintptr_t) "pss", 3),
        TEXT(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, ""),
        TEXT(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, "32x"),
        TEXT(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, "-5"),
        TEXT(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, "99999999999999999999"),
        TEXT(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, endless),
        OSSL_PARAM_double(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &real),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        TEXT(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, endless),
        OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, &number),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
    };
    EVP_PKEY *own = load("rsa-handle.tpm");

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const OSSL_PARAM params[] = {cases[i], OSSL_PARAM_END};
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
        int padding = 0;

        assert_int_equal(EVP_PKEY_sign_init(context), 1);
        if (EVP_PKEY_CTX_set_params(context, params) > 0)
            fail_msg("case %zu: %s is taken", i, cases[i].key);
        assert_true(EVP_PKEY_CTX_get_rsa_padding(context, &padding) > 0);
        assert_int_equal(padding, RSA_PKCS1_PADDING);
        EVP_PKEY_CTX_free(context);
        ERR_clear_error();
    }
    EVP_PKEY_free(own);
}

static void gives_parameters_only_where_there_is_room(void **state)
{
    static const char *const texts[] = {OSSL_SIGNATURE_PARAM_DIGEST, OSSL_SIGNATURE_PARAM_PAD_MODE,
                                        OSSL_SIGNATURE_PARAM_PSS_SALTLEN, OSSL_SIGNATURE_PARAM_MGF1_DIGEST,
                                        OSSL_SIGNATURE_PARAM_ALGORITHM_ID};
    EVP_PKEY *own = load("rsa-handle.tpm");
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    unsigned char room[64];

    (void)state;
    assert_int_equal(EVP_PKEY_sign_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()), 1);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        bool octets = strcmp(texts[i], OSSL_SIGNATURE_PARAM_ALGORITHM_ID) == 0;

        for (size_t size = 0; size < 3; size++) {
            OSSL_PARAM params[] = {octets
                                       ? OSSL_PARAM_construct_octet_string(texts[i], room, size)
                                       : OSSL_PARAM_construct_utf8_string(texts[i], (char *)room, size + 1),
                                   OSSL_PARAM_construct_end()};

            /* construct_utf8_string takes 0 for "measure it", so there the room is one more. */
            memset(room, 0xee, sizeof(room));
            assert_false(EVP_PKEY_CTX_get_params(context, params) > 0);
            assert_int_equal(room[size + 1], 0xee);
        }
    }
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(own);
    ERR_clear_error();
}

/* --- key files through the decoders --- */

static EVP_PKEY *decode(const char *label, const unsigned char *der, size_t len)
{
    BIO *pem = BIO_new(BIO_s_mem());
    EVP_PKEY *key = NULL;

    if (len > 0 && PEM_write_bio(pem, label, "", der, (long)len) > 0)
        key = PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL);
    BIO_free(pem);
    ERR_clear_error();
    return key;
}

/* Cut at each octet, and each octet changed: refused, or (the handle, the wrapped part) another key's file
 * with the same public half; nothing else ever comes out. */
static void decoders_withstand_damage(void **state)
{
    (void)state;
    for (size_t k = 0; k < KEYS; k++) {
        EVP_PKEY *own = load(keys[k].file);
        pc_autofree char *path = key_path(keys[k].file);
        char *label = NULL, *header = NULL;
        unsigned char *der = NULL;
        long len = 0;
        BIO *in = BIO_new_file(path, "r");

        assert_int_equal(PEM_read_bio(in, &label, &header, &der, &len), 1);
        for (size_t at = 0; at < (size_t)len; at += 3) {
            EVP_PKEY *found;

            assert_null(decode(label, der, at));
            der[at] ^= 0x11;
            found = decode(label, der, (size_t)len);
            if (found != NULL && EVP_PKEY_eq(found, own) == 1)
                assert_int_equal(EVP_PKEY_get_bits(found), EVP_PKEY_get_bits(own));
            else if (found != NULL && strcmp(label, "PLANTCERT TPM KEY") == 0)
                fail_msg("%s: octet %zu makes another key of it", keys[k].file, at);
            EVP_PKEY_free(found);
            der[at] ^= 0x11;
        }
        OPENSSL_free(label);
        OPENSSL_free(header);
        OPENSSL_free(der);
        BIO_free(in);
        EVP_PKEY_free(own);
    }
}

/* --- a library context of the program's own --- */

static EVP_PKEY *load_in(OSSL_LIB_CTX *context, const char *name)
{
    pc_autofree char *path = key_path(name);
    FILE *file = fopen(path, "r");
    EVP_PKEY *key = PEM_read_PrivateKey_ex(file, NULL, NULL, NULL, context, NULL);

    fclose(file);
    return key;
}

static void serves_another_library_context(void **state)
{
    OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();
    EVP_PKEY *own, *public;

    (void)state;
    assert_null(load_in(context, "ec-handle.tpm")); /* not configured: its keys are unknown there */
    ERR_clear_error();
    assert_int_equal(OSSL_LIB_CTX_load_config(context, getenv("OPENSSL_CONF")), 1);
    for (size_t k = 0; k < KEYS; k++) {
        own = load_in(context, keys[k].file);
        assert_non_null(own);
        public = public_half(own);
        assert_int_equal(sign_and_verify(own, public, "SHA256", keys[k].rsa), 1);
        assert_int_equal(sign_and_verify(own, own, "SHA256", keys[k].rsa), 1);
        EVP_PKEY_free(public);
        EVP_PKEY_free(own);
    }
    OSSL_LIB_CTX_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_why_it_does_not_sign),
        cmocka_unit_test(survives_hostile_parameters),
        cmocka_unit_test(gives_parameters_only_where_there_is_room),
        cmocka_unit_test(decoders_withstand_damage),
        cmocka_unit_test(serves_another_library_context),
    };

    return cmocka_run_group_tests_name("provider, hostile", tests, NULL, NULL);
}
