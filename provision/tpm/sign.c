/* Signing in the TPM, and the check in software that each signature passes before anyone sees it. */
#include <string.h>

#include <openssl/rsa.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include "provision/tpm/esys.h"

static const struct digest {
    const char *name;
    TPMI_ALG_HASH algorithm;
} digests[] = {
    {"SHA2-256", TPM2_ALG_SHA256},
    {"SHA2-384", TPM2_ALG_SHA384},
    {"SHA2-512", TPM2_ALG_SHA512},
};

static const struct scheme {
    TPMI_ALG_SIG_SCHEME algorithm;
    TPMI_ALG_PUBLIC key;
    int padding; /* RSA */
} schemes[] = {
    [TPM_SCHEME_RSASSA] = {TPM2_ALG_RSASSA, TPM2_ALG_RSA, RSA_PKCS1_PADDING},
    [TPM_SCHEME_RSAPSS] = {TPM2_ALG_RSAPSS, TPM2_ALG_RSA, RSA_PKCS1_PSS_PADDING},
    [TPM_SCHEME_ECDSA] = {TPM2_ALG_ECDSA, TPM2_ALG_ECC, 0},
};

/* One signature to make. Borrowed. */
struct order {
    const struct tpm_key *key;
    const struct scheme *scheme;
    TPMI_ALG_HASH hash;
    const EVP_MD *md;
    const unsigned char *digest;
    size_t digest_len;
};

static int judge_order(const struct tpm_key *key, enum tpm_scheme scheme, const EVP_MD *md,
                       const unsigned char *digest, size_t digest_len, struct order *ret)
{
    TPMI_ALG_HASH hash = TPM2_ALG_NULL;
    for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
        if (md != NULL && EVP_MD_is_a(md, digests[i].name))
            hash = digests[i].algorithm;
    }
    if (hash == TPM2_ALG_NULL)
        return pc_refuse("tpm-digest", "a TPM key signs SHA-256, SHA-384 and SHA-512 digests, not %s",
                         md ? EVP_MD_get0_name(md) : "bare bytes");
    if (digest_len != (size_t)EVP_MD_get_size(md))
        return pc_refuse("tpm-digest", "a %s digest has %d octets, not %zu", EVP_MD_get0_name(md),
                         EVP_MD_get_size(md), digest_len);
    if ((unsigned)scheme >= sizeof(schemes) / sizeof(schemes[0]) ||
        schemes[scheme].key != key->public_area.publicArea.type)
        return pc_refuse("tpm-unsupported", "the key's kind does not have this signature scheme");
    *ret = (struct order){key, &schemes[scheme], hash, md, digest, digest_len};
    return 0;
}

/* --- in software --- */

/* 1 or 0; `salt` only counts for PSS. */
static int verify_with(const struct order *order, int salt, const unsigned char *signature, size_t len)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, order->key->public_key, "provider=default");
    bool ready = context != NULL && EVP_PKEY_verify_init(context) == 1 &&
                 EVP_PKEY_CTX_set_signature_md(context, order->md) == 1;
    if (ready && order->scheme->padding != 0)
        ready = EVP_PKEY_CTX_set_rsa_padding(context, order->scheme->padding) == 1;
    if (ready && order->scheme->padding == RSA_PKCS1_PSS_PADDING)
        ready = EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt) == 1;
    int good = ready && EVP_PKEY_verify(context, signature, len, order->digest, order->digest_len) == 1;
    EVP_PKEY_CTX_free(context);
    return good;
}

static int verify(const struct order *order, const unsigned char *signature, size_t len)
{
    ERR_set_mark();
    bool good = verify_with(order, RSA_PSS_SALTLEN_DIGEST, signature, len);
    /* Some TPMs salt as long as they can; TLS 1.3 demands the digest's length (RFC 8446 §4.2.3). */
    bool salted = !good && order->scheme->padding == RSA_PKCS1_PSS_PADDING &&
                  verify_with(order, RSA_PSS_SALTLEN_AUTO, signature, len);
    ERR_pop_to_mark();
    if (good)
        return 0;
    if (salted)
        return pc_refuse(
            "tpm-pss-salt",
            "this TPM's PSS salt is not as long as the digest, which TLS 1.3 refuses: use an EC key");
    return pc_fail_named(PC_EFAIL, "tpm-signature", "the TPM gave a signature that does not verify");
}

/* --- in the TPM --- */

/* Only the use of a blob can have left anything. */
static int tidy_for(struct tpm *tpm, const struct tpm_key *key)
{
    return key->handle == 0 ? tpm_tidy(tpm, key, TPM_LEFT_OBJECTS) : 0;
}

static int encode_rsa(const TPM2B_PUBLIC_KEY_RSA *from, unsigned char *ret, size_t *ret_len)
{
    if (from->size == 0 || from->size > TPM_SIGNATURE_MAX)
        return pc_fail(PC_EFAIL, "the TPM gave a signature of %u octets", from->size);
    memcpy(ret, from->buffer, from->size);
    *ret_len = from->size;
    return 0;
}

static int encode_ecdsa(const TPMS_SIGNATURE_ECC *from, unsigned char *ret, size_t *ret_len)
{
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(from->signatureR.buffer, from->signatureR.size, NULL);
    BIGNUM *s = BN_bin2bn(from->signatureS.buffer, from->signatureS.size, NULL);
    int len = -1;
    if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL;
        len = i2d_ECDSA_SIG(pair, NULL);
    }
    if (len > 0 && len <= TPM_SIGNATURE_MAX)
        len = i2d_ECDSA_SIG(pair, &ret);
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    if (len <= 0 || len > TPM_SIGNATURE_MAX)
        return pc_fail_openssl(PC_EFAIL, "cannot encode the TPM's signature");
    *ret_len = (size_t)len;
    return 0;
}

static int encode(const struct order *order, const TPMT_SIGNATURE *from, unsigned char *ret, size_t *ret_len)
{
    if (from->sigAlg != order->scheme->algorithm)
        return pc_fail(PC_EFAIL, "the TPM signed with scheme 0x%x, not 0x%x", from->sigAlg,
                       order->scheme->algorithm);
    /* RSASSA and RSAPSS have one form (Part 2 §11.3.1). */
    return order->scheme->padding != 0 ? encode_rsa(&from->signature.rsassa.sig, ret, ret_len)
                                       : encode_ecdsa(&from->signature.ecdsa, ret, ret_len);
}

static int sign_with(struct tpm *tpm, const struct order *order, const struct tpm_object *object,
                     unsigned char *ret, size_t *ret_len)
{
    static const char what[] = "cannot sign";
    TPM2B_DIGEST digest = {.size = (uint16_t)order->digest_len};
    memcpy(digest.buffer, order->digest, order->digest_len);
    const TPMT_SIG_SCHEME scheme = {.scheme = order->scheme->algorithm, .details.any.hashAlg = order->hash};
    const TPMT_TK_HASHCHECK ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    TPMT_SIGNATURE *signature = NULL;
    int result = tpm_lockout_check(tpm, &object->area, what);
    if (result < 0)
        return result;
    TSS2_RC rc = Esys_Sign(tpm->esys, object->tr, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                           &scheme, &ticket, &signature);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, what);
    result = encode(order, signature, ret, ret_len);
    Esys_Free(signature);
    return result;
}

static int sign_once(struct tpm *tpm, const struct order *order, unsigned char *ret, size_t *ret_len)
{
    tpm_autoobject object = TPM_OBJECT(tpm);
    int result = tpm_key_open(tpm, order->key, &object);
    return result < 0 ? result : sign_with(tpm, order, &object, ret, ret_len);
}

int tpm_key_sign(struct tpm *tpm, const struct tpm_key *key, enum tpm_scheme scheme, const EVP_MD *md,
                 const unsigned char *digest, size_t digest_len, unsigned char *ret_signature,
                 size_t *ret_len)
{
    struct order order;
    int result = judge_order(key, scheme, md, digest, digest_len, &order);
    if (result < 0)
        return result;
    unsigned char signature[TPM_SIGNATURE_MAX];
    size_t len = 0;
    tpm_begin(tpm, 0);
    if (tpm->thorough)
        result = tidy_for(tpm, key);
    if (result == 0)
        result = sign_once(tpm, &order, signature, &len);
    if (result < 0 && tpm_made_room(tpm, key))
        result = sign_once(tpm, &order, signature, &len);
    if (result == 0)
        result = verify(&order, signature, len);
    if (result < 0)
        return result;
    memcpy(ret_signature, signature, len);
    *ret_len = len;
    return 0;
}

/* With all schemes of the key's kind, which is met once. */
static int test_once(struct tpm *tpm, const struct tpm_key *key, const unsigned char *digest,
                     size_t digest_len)
{
    unsigned char signature[TPM_SIGNATURE_MAX];
    tpm_autoobject object = TPM_OBJECT(tpm);
    int result = tpm_key_open(tpm, key, &object);
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && result == 0; i++) {
        if (schemes[i].key != key->public_area.publicArea.type)
            continue;
        struct order order;
        size_t len = 0;
        result = judge_order(key, (enum tpm_scheme)i, EVP_sha256(), digest, digest_len, &order);
        if (result == 0)
            result = sign_with(tpm, &order, &object, signature, &len);
        if (result == 0)
            result = verify(&order, signature, len);
    }
    return result;
}

int tpm_key_test(struct tpm *tpm, const struct tpm_key *key)
{
    static const char text[] = "plantcert key test";
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t digest_len = 0;
    if (!EVP_Q_digest(NULL, "SHA2-256", "provider=default", text, sizeof(text) - 1, digest, &digest_len))
        return pc_fail_openssl(PC_EFAIL, "cannot hash");
    tpm_begin(tpm, 0);
    int result = tidy_for(tpm, key);
    if (result == 0)
        result = test_once(tpm, key, digest, digest_len);
    if (result < 0 && tpm_made_room(tpm, key))
        result = test_once(tpm, key, digest, digest_len);
    return result;
}

int tpm_key_probe(struct tpm *tpm, const struct tpm_key *key)
{
    tpm_begin(tpm, 0);
    int result = tidy_for(tpm, key);
    if (result < 0)
        return result;
    tpm_autoobject object = TPM_OBJECT(tpm);
    return tpm_key_open(tpm, key, &object);
}
