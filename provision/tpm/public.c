/* From a TPM public area to what software needs: its Name and an EVP_PKEY. The area may come from a file: it
 * is judged here. */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include <tss2/tss2_mu.h>

#include "provision/tpm/esys.h"

#define RSA_EXPONENT_DEFAULT 65537u /* Part 2 §12.2.3.5: exponent 0 means this */

static const struct hash {
    TPMI_ALG_HASH algorithm;
    const char *name;
} name_hashes[] = {
    {TPM2_ALG_SHA256, "SHA2-256"},
    {TPM2_ALG_SHA384, "SHA2-384"},
    {TPM2_ALG_SHA512, "SHA2-512"},
};

static int unsupported(const char *what, unsigned found)
{
    return pc_refuse("keyfile-unsupported", "TPM key: %s 0x%x is not supported", what, found);
}

bool tpm_name_equal(const struct tpm_name *a, const struct tpm_name *b)
{
    return a->len == b->len && a->len <= TPM_NAME_MAX && memcmp(a->octets, b->octets, a->len) == 0;
}

int tpm_public_name(const TPM2B_PUBLIC *area, struct tpm_name *ret)
{
    const struct hash *hash = NULL;
    for (size_t i = 0; i < sizeof(name_hashes) / sizeof(name_hashes[0]); i++) {
        if (name_hashes[i].algorithm == area->publicArea.nameAlg)
            hash = &name_hashes[i];
    }
    if (hash == NULL)
        return unsupported("name hash", area->publicArea.nameAlg);
    unsigned char bytes[sizeof(TPMT_PUBLIC)];
    size_t len = 0;
    if (Tss2_MU_TPMT_PUBLIC_Marshal(&area->publicArea, bytes, sizeof(bytes), &len) != TSS2_RC_SUCCESS)
        return pc_refuse("keyfile-parse", "TPM key: the public area cannot be encoded");
    struct tpm_name name;
    name.octets[0] = (unsigned char)(hash->algorithm >> 8);
    name.octets[1] = (unsigned char)(hash->algorithm & 0xff);
    size_t digest_len = 0;
    if (!EVP_Q_digest(NULL, hash->name, "provider=default", bytes, len, name.octets + 2, &digest_len))
        return pc_fail_openssl(PC_EFAIL, "cannot hash a public area");
    name.len = 2 + digest_len;
    *ret = name;
    return 0;
}

/* --- the software key --- */

static int from_params(const char *algorithm, OSSL_PARAM_BLD *builder, EVP_PKEY **ret)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, algorithm, "provider=default");
    EVP_PKEY *key = NULL;
    int result = 0;
    if (params == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1)
        result = pc_fail_openssl(PC_EFAIL, "TPM key: no public key can be made");
    else if (EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        result = pc_refuse("keyfile-parse", "TPM key: the public area holds no valid %s key", algorithm);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    if (result == 0)
        *ret = key;
    return result;
}

static int rsa_key(const TPMT_PUBLIC *area, EVP_PKEY **ret)
{
    const TPM2B_PUBLIC_KEY_RSA *modulus = &area->unique.rsa;
    uint32_t exponent = area->parameters.rsaDetail.exponent;
    if (modulus->size * 8u != area->parameters.rsaDetail.keyBits || modulus->buffer[0] < 0x80 ||
        (modulus->buffer[modulus->size - 1] & 1) == 0)
        return pc_refuse("keyfile-parse", "TPM key: the modulus is not one of %u bits",
                         area->parameters.rsaDetail.keyBits);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_bin2bn(modulus->buffer, modulus->size, NULL);
    bool built = builder != NULL && n != NULL && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) &&
                 OSSL_PARAM_BLD_push_uint32(builder, OSSL_PKEY_PARAM_RSA_E,
                                            exponent ? exponent : RSA_EXPONENT_DEFAULT);
    int result = built ? from_params("RSA", builder, ret) : pc_fail(PC_EFAIL, "out of memory");
    BN_free(n);
    OSSL_PARAM_BLD_free(builder);
    return result;
}

static int ec_key(const TPMT_PUBLIC *area, const char *group, size_t field, EVP_PKEY **ret)
{
    const TPM2B_ECC_PARAMETER *x = &area->unique.ecc.x, *y = &area->unique.ecc.y;
    unsigned char point[1 + 2 * TPM2_MAX_ECC_KEY_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    if (x->size > field || y->size > field || x->size == 0 || y->size == 0)
        return pc_refuse("keyfile-parse", "TPM key: the point has coordinates of %u and %u octets", x->size,
                         y->size);
    /* A TPM may leave leading zeros out. */
    memcpy(point + 1 + field - x->size, x->buffer, x->size);
    memcpy(point + 1 + 2 * field - y->size, y->buffer, y->size);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    bool built = builder != NULL &&
                 OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) &&
                 OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * field);
    int result = built ? from_params("EC", builder, ret) : pc_fail(PC_EFAIL, "out of memory");
    OSSL_PARAM_BLD_free(builder);
    return result;
}

/* --- which kind --- */

static const struct kind {
    TPMI_ALG_PUBLIC algorithm;
    unsigned size; /* RSA: bits of the modulus; ECC: curve */
    size_t field;  /* ECC: octets of a coordinate */
    const char *group;
    enum pki_key_type type;
} kinds[] = {
    {TPM2_ALG_RSA, 2048, 0, NULL, PKI_KEY_RSA_2048},
    {TPM2_ALG_RSA, 3072, 0, NULL, PKI_KEY_RSA_3072},
    {TPM2_ALG_RSA, 4096, 0, NULL, PKI_KEY_RSA_4096},
    {TPM2_ALG_ECC, TPM2_ECC_NIST_P256, 32, "P-256", PKI_KEY_EC_P256},
    {TPM2_ALG_ECC, TPM2_ECC_NIST_P384, 48, "P-384", PKI_KEY_EC_P384},
};

static const struct kind *find_kind(const TPMT_PUBLIC *area)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].algorithm != area->type)
            continue;
        unsigned size = area->type == TPM2_ALG_RSA ? area->parameters.rsaDetail.keyBits
                                                   : area->parameters.eccDetail.curveID;
        if (kinds[i].size == size)
            return &kinds[i];
    }
    return NULL;
}

int tpm_key_from_public(const TPM2B_PUBLIC *area, struct tpm_key **ret)
{
    const TPMT_PUBLIC *public_area = &area->publicArea;
    const struct kind *kind = find_kind(public_area);
    if (kind == NULL)
        return unsupported("a key of type", public_area->type);
    TPMA_OBJECT attributes = public_area->objectAttributes;
    if (!(attributes & TPMA_OBJECT_SIGN_ENCRYPT) || !(attributes & TPMA_OBJECT_USERWITHAUTH) ||
        (attributes & (TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_X509SIGN)))
        return unsupported("a key with attributes", attributes);
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = calloc(1, sizeof(*key));
    if (key == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    key->type = kind->type;
    key->public_area = *area;
    int result = tpm_public_name(area, &key->name);
    if (result == 0)
        result = kind->group ? ec_key(public_area, kind->group, kind->field, &key->public_key)
                             : rsa_key(public_area, &key->public_key);
    if (result < 0)
        return result;
    *ret = pc_steal(key);
    return 0;
}

void tpm_key_free(struct tpm_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->public_key);
    free(key);
}

int tpm_key_public(const struct tpm_key *key, EVP_PKEY **ret)
{
    if (!EVP_PKEY_up_ref(key->public_key))
        return pc_fail_openssl(PC_EFAIL, "cannot hand out a public key");
    *ret = key->public_key;
    return 0;
}

enum pki_key_type tpm_key_type(const struct tpm_key *key)
{
    return key->type;
}

const struct tpm_name *tpm_key_name(const struct tpm_key *key)
{
    return &key->name;
}

uint32_t tpm_key_handle(const struct tpm_key *key)
{
    return key->handle;
}
