/* What a TPM with the longest salt would answer (Part 3 §20.2): made in software, since swtpm salts as long
 * as the digest. No product code here. */
#include "tests/integration/tpm/tcti_salt.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#define SIGN 0x15du
#define RSAPSS 0x0016u
#define SHA256 0x000bu
#define DIGEST 32

static uint32_t word(const uint8_t *octet)
{
    return (uint32_t)octet[0] << 24 | (uint32_t)octet[1] << 16 | (uint32_t)octet[2] << 8 | octet[3];
}

static void put(uint8_t *at, uint32_t value, size_t octets)
{
    while (octets-- > 0) {
        at[octets] = (uint8_t)value;
        value >>= 8;
    }
}

static size_t sign(const char *path, const uint8_t *digest, uint8_t *signature, size_t room)
{
    FILE *in = fopen(path, "re");
    EVP_PKEY *key = in ? PEM_read_PrivateKey(in, NULL, NULL, NULL) : NULL;
    EVP_PKEY_CTX *context = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    size_t len = room;
    int good = context && EVP_PKEY_sign_init(context) == 1 &&
               EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_MAX) == 1 &&
               EVP_PKEY_sign(context, signature, &len, digest, DIGEST) == 1;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
    if (in)
        fclose(in);
    return good ? len : 0;
}

size_t salt_answer(const char *key, const uint8_t *command, size_t size, uint8_t *response, size_t room)
{
    /* header, key handle, size of the authorization area, which it is, then digest and scheme */
    if (size < 18 || word(command + 6) != SIGN)
        return 0;
    size_t at = 18 + word(command + 14);
    if (size < at + 2 + DIGEST + 4 || word(command + at) >> 16 != DIGEST ||
        word(command + at + 2 + DIGEST) != (RSAPSS << 16 | SHA256) || room < 25)
        return 0;
    size_t len = sign(key, command + at + 2, response + 20, room - 25);
    if (len == 0)
        return 0;
    static const uint8_t password_session[] = {0, 0, 1, 0, 0};
    put(response, 0x8002, 2);
    put(response + 2, (uint32_t)(20 + len + sizeof(password_session)), 4);
    put(response + 6, 0, 4);
    put(response + 10, (uint32_t)(6 + len), 4);
    put(response + 14, RSAPSS, 2);
    put(response + 16, SHA256, 2);
    put(response + 18, (uint32_t)len, 2);
    memcpy(response + 20 + len, password_session, sizeof(password_session));
    return 20 + len + sizeof(password_session);
}
