/* DER, public areas and software keys for the unit tests. */
#include "tests/unit/tpm/material.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <tss2/tss2_mu.h>

void octets_add(struct octets *to, const void *data, size_t len)
{
    assert_true(to->len + len <= sizeof(to->data));
    if (len > 0)
        memcpy(to->data + to->len, data, len);
    to->len += len;
}

void octets_add_hex(struct octets *to, const char *hex)
{
    size_t len = 0;
    assert_int_equal(pc_unhex(hex, to->data + to->len, sizeof(to->data) - to->len, &len), 0);
    to->len += len;
}

void octets_add_tlv(struct octets *to, unsigned char tag, const struct octets *content)
{
    const unsigned char length[4] = {tag, 0x82, (unsigned char)(content->len >> 8),
                                     (unsigned char)content->len};
    const unsigned char middle[3] = {tag, 0x81, (unsigned char)content->len};
    const unsigned char brief[2] = {tag, (unsigned char)content->len};
    if (content->len > 255)
        octets_add(to, length, sizeof(length));
    else if (content->len > 127)
        octets_add(to, middle, sizeof(middle));
    else
        octets_add(to, brief, sizeof(brief));
    octets_add(to, content->data, content->len);
}

void octets_pem(const struct octets *der, const char *label, struct pc_bytes *ret)
{
    BIO *out = BIO_new(BIO_s_mem());
    assert_non_null(out);
    assert_true(PEM_write_bio(out, label, "", der->data, (long)der->len) > 0);
    char *text = NULL;
    long len = BIO_get_mem_data(out, &text);
    assert_int_equal(pc_bytes_copy(text, (size_t)len, ret), 0);
    BIO_free(out);
}

EVP_PKEY *material_key(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    assert_non_null(key);
    return key;
}

static uint16_t number(const EVP_PKEY *key, const char *name, unsigned char *ret, int len)
{
    BIGNUM *n = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
    assert_int_equal(BN_bn2binpad(n, ret, len), len);
    BN_free(n);
    return (uint16_t)len;
}

void material_area(const EVP_PKEY *key, TPM2B_PUBLIC *ret)
{
    memset(ret, 0, sizeof(*ret));
    TPMT_PUBLIC *area = &ret->publicArea;
    area->nameAlg = TPM2_ALG_SHA256;
    area->objectAttributes = 0x00040472;
    if (EVP_PKEY_is_a(key, "RSA")) {
        area->type = TPM2_ALG_RSA;
        area->parameters.rsaDetail.symmetric.algorithm = TPM2_ALG_NULL;
        area->parameters.rsaDetail.scheme.scheme = TPM2_ALG_NULL;
        area->parameters.rsaDetail.keyBits = 2048;
        area->unique.rsa.size = number(key, OSSL_PKEY_PARAM_RSA_N, area->unique.rsa.buffer, 256);
    } else {
        area->type = TPM2_ALG_ECC;
        area->parameters.eccDetail.symmetric.algorithm = TPM2_ALG_NULL;
        area->parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
        area->parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
        area->parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
        area->unique.ecc.x.size = number(key, OSSL_PKEY_PARAM_EC_PUB_X, area->unique.ecc.x.buffer, 32);
        area->unique.ecc.y.size = number(key, OSSL_PKEY_PARAM_EC_PUB_Y, area->unique.ecc.y.buffer, 32);
    }
}

void material_marshal(const TPM2B_PUBLIC *area, struct octets *ret)
{
    ret->len = 0;
    assert_int_equal(Tss2_MU_TPM2B_PUBLIC_Marshal(area, ret->data, sizeof(ret->data), &ret->len), 0);
}

void material_name(const TPM2B_PUBLIC *area, struct octets *ret)
{
    struct octets bytes = {.len = 0};
    size_t len = 0;
    assert_int_equal(
        Tss2_MU_TPMT_PUBLIC_Marshal(&area->publicArea, bytes.data, sizeof(bytes.data), &bytes.len), 0);
    ret->len = 0;
    octets_add_hex(ret, "000b");
    assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, bytes.data, bytes.len, ret->data + 2, &len), 1);
    ret->len += len;
}
