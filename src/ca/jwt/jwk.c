/* Public keys as JSON. */
#include "src/ca/jwt/jwk.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/sha.h>

#include "src/base/error.h"
#include "src/pki/openssl.h"

char *jwk_base64url(const void *data, size_t len)
{
    char *text = malloc((len + 2) / 3 * 4 + 1);
    if (!text)
        return NULL;
    int n = EVP_EncodeBlock((unsigned char *)text, data, (int)len);
    for (int i = 0; i < n; i++) {
        if (text[i] == '+')
            text[i] = '-';
        else if (text[i] == '/')
            text[i] = '_';
        else if (text[i] == '=')
            text[i] = '\0';
    }
    return text;
}

int jwk_text(json_t *value, struct pc_bytes *ret)
{
    pc_autofree char *text = value ? json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(value);
    return text ? pc_bytes_copy(text, strlen(text), ret) : pc_fail(PC_EFAIL, "out of memory");
}

/* A number as base64url of its octets (Base64urlUInt, RFC 7518 §2). */
static char *number(const EVP_PKEY *key, const char *name)
{
    PC_CLEANUP(BN_free_ref) BIGNUM *value = NULL;
    if (EVP_PKEY_get_bn_param(key, name, &value) != 1)
        return NULL;
    size_t len = (size_t)BN_num_bytes(value);
    pc_autofree unsigned char *octets = malloc(len + 1);
    if (!octets)
        return NULL;
    BN_bn2bin(value, octets);
    return jwk_base64url(octets, len);
}

/* The members that a thumbprint is made of (RFC 7638 §3.2). */
static int required(const EVP_PKEY *key, json_t **ret)
{
    pc_autofree char *n = number(key, OSSL_PKEY_PARAM_RSA_N);
    pc_autofree char *e = number(key, OSSL_PKEY_PARAM_RSA_E);
    json_t *value = n && e ? json_pack("{s:s,s:s,s:s}", "kty", "RSA", "n", n, "e", e) : NULL;
    if (!value)
        return pc_fail_openssl(PC_EFAIL, "public key as JSON");
    *ret = value;
    return 0;
}

int jwk_kid(const EVP_PKEY *key, char ret[JWK_KID_TEXT])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    pc_autobytes text = {0};
    json_t *members = NULL;
    int r = required(key, &members);
    if (r == 0)
        r = jwk_text(members, &text);
    if (r < 0)
        return r;
    if (EVP_Digest(text.data, text.len, digest, NULL, EVP_sha256(), NULL) != 1)
        return pc_fail_openssl(PC_EFAIL, "SHA-256");
    pc_autofree char *kid = jwk_base64url(digest, sizeof digest);
    if (!kid)
        return pc_fail(PC_EFAIL, "out of memory");
    memcpy(ret, kid, JWK_KID_TEXT);
    return 0;
}

int jwk_json(const EVP_PKEY *key, json_t **ret)
{
    char kid[JWK_KID_TEXT];
    json_t *members = NULL;
    int r = jwk_kid(key, kid);
    if (r == 0)
        r = required(key, &members);
    if (r < 0)
        return r;
    if (json_object_set_new(members, "kid", json_string(kid)) != 0 ||
        json_object_set_new(members, "alg", json_string("RS256")) != 0 ||
        json_object_set_new(members, "use", json_string("sig")) != 0) {
        json_decref(members);
        return pc_fail(PC_EFAIL, "out of memory");
    }
    *ret = members;
    return 0;
}
