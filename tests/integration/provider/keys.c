/* Loading, signing, verifying: keys.h says what. */
#include "tests/integration/provider/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "src/base/file.h"

const struct key_file keys[KEYS] = {
    {"rsa-handle.tpm", true},
    {"rsa-blob.tpm", true},
    {"ec-handle.tpm", false},
    {"ec-blob.tpm", false},
};

char *key_path(const char *name)
{
    char *path = pc_path_join(getenv("WORK"), name);

    assert_non_null(path);
    return path;
}

EVP_PKEY *load(const char *name)
{
    pc_autofree char *path = key_path(name);
    FILE *file = fopen(path, "r");
    EVP_PKEY *key;

    assert_non_null(file);
    key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(key);
    return key;
}

EVP_PKEY *public_half(const EVP_PKEY *key)
{
    unsigned char *der = NULL;
    const unsigned char *p;
    int len = i2d_PUBKEY(key, &der);
    EVP_PKEY *public;

    assert_true(len > 0);
    p = der;
    public = d2i_PUBKEY(NULL, &p, len);
    OPENSSL_free(der);
    assert_non_null(public);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(public)), "default");
    return public;
}

static int set_pss(EVP_PKEY_CTX *parameters, bool pss)
{
    return !pss || (EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1 &&
                    EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST) == 1);
}

int sign(EVP_PKEY *key, const char *md, bool pss, unsigned char *signature, size_t *len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *parameters;
    int ok = EVP_DigestSignInit_ex(context, &parameters, md, NULL, NULL, key, NULL) == 1 &&
             set_pss(parameters, pss) &&
             EVP_DigestSign(context, signature, len, (const unsigned char *)MESSAGE, sizeof(MESSAGE)) == 1;

    EVP_MD_CTX_free(context);
    return ok;
}

int verify(EVP_PKEY *key, const char *md, bool pss, const unsigned char *signature, size_t len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *parameters;
    int ok = EVP_DigestVerifyInit_ex(context, &parameters, md, NULL, NULL, key, NULL) == 1 &&
             set_pss(parameters, pss) &&
             EVP_DigestVerify(context, signature, len, (const unsigned char *)MESSAGE, sizeof(MESSAGE)) == 1;

    EVP_MD_CTX_free(context);
    return ok;
}

int sign_and_verify(EVP_PKEY *key, EVP_PKEY *verifier, const char *md, bool pss)
{
    unsigned char signature[512];
    size_t len = sizeof(signature);

    return sign(key, md, pss, signature, &len) && verify(verifier, md, pss, signature, len);
}

bool was_said(const char *text)
{
    const char *data;
    int flags;
    bool found = false;
    unsigned long code;

    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        const char *reason = ERR_reason_error_string(code);

        found = found || (reason != NULL && strstr(reason, text) != NULL) ||
                ((flags & ERR_TXT_STRING) != 0 && strstr(data, text) != NULL);
    }
    return found;
}

size_t tpm_commands(void)
{
    FILE *in = fopen(getenv("COMMANDS"), "r");
    size_t lines = 0;
    int c;

    if (in == NULL)
        return 0;
    while ((c = fgetc(in)) != EOF)
        lines += c == '\n';
    fclose(in);
    return lines;
}
