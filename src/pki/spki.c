/* Public keys as octets: kept with the key once encoded, and read without OpenSSL's decoders. */
#include "src/pki/spki.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/provider.h>

#include "src/base/error.h"
#include "src/pki/asn1.h"
#include "src/pki/openssl.h"

PC_DEFINE_CLEANUP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free);
PC_DEFINE_CLEANUP(OSSL_PARAM, OSSL_PARAM_free);
PC_DEFINE_CLEANUP(ASN1_OBJECT, ASN1_OBJECT_free);
PC_DEFINE_CLEANUP(OSSL_LIB_CTX, OSSL_LIB_CTX_free);

static void sequence_free_ref(ASN1_SEQUENCE_ANY **sequence)
{
    sk_ASN1_TYPE_pop_free(*sequence, ASN1_TYPE_free);
}

/* Made once, for the life of the process. */
static struct {
    pthread_once_t once;
    OSSL_LIB_CTX *keyless;
    int slot; /* of a key's kept encoding; -1: there is none */
} shared = {.once = PTHREAD_ONCE_INIT, .slot = -1};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of every key's slot */

static void kept_free(void *parent, void *kept, CRYPTO_EX_DATA *data, int slot, long argl, void *argp)
{
    (void)parent, (void)data, (void)slot, (void)argl, (void)argp;
    free(kept);
}

/* A copy of a key keeps an encoding of its own. */
static int kept_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **kept, int slot, long argl,
                    void *argp)
{
    (void)to, (void)from, (void)slot, (void)argl, (void)argp;
    *kept = NULL;
    return 1;
}

static void make_shared(void)
{
    PC_CLEANUP(OSSL_LIB_CTX_free_ref) OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();

    shared.slot = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_EVP_PKEY, 0, NULL, NULL, kept_dup, kept_free);
    /* Without it, the default provider would come by itself. */
    if (context && OSSL_PROVIDER_load(context, "null"))
        shared.keyless = pc_steal(context);
}

OSSL_LIB_CTX *pki_keyless(void)
{
    pthread_once(&shared.once, make_shared);
    return shared.keyless;
}

int pki_spki_open(const unsigned char *der, size_t len, X509_PUBKEY **ret_owner, struct pki_spki_parts *ret)
{
    const unsigned char *end = der;
    X509_ALGOR *identifier = NULL;
    int bits_len = 0, again_len;
    pki_autoder *again = NULL;
    PC_CLEANUP(X509_PUBKEY_free_ref) X509_PUBKEY *owner = X509_PUBKEY_new_ex(pki_keyless(), NULL);

    if (!owner)
        return pc_fail(PC_EFAIL, "out of memory");
    if (len > LONG_MAX || !d2i_X509_PUBKEY(&owner, &end, (long)len) || end != der + len ||
        X509_PUBKEY_get0_param(&ret->algorithm, &ret->bits, &bits_len, &identifier, owner) != 1 ||
        bits_len <= 0)
        return pc_refuse("key-type", "SubjectPublicKeyInfo cannot be parsed (RFC 5280 §4.1.2.7)");
    again_len = i2d_X509_PUBKEY(owner, &again);
    ret->bits_len = (size_t)bits_len;
    /* One key must have one encoding, or it has several fingerprints. The octet before the bits tells how
     * many of them are not used. */
    if (again_len <= 0 || (size_t)again_len != len || memcmp(again, der, len) != 0 ||
        !pki_der_is_strict(der, len) || der[len - ret->bits_len - 1] != 0)
        return pc_refuse("key-parameters", "SubjectPublicKeyInfo is not in its one DER form (X.690 §10)");
    X509_ALGOR_get0(NULL, &ret->parameter, &ret->value, identifier);
    *ret_owner = pc_steal(owner);
    return 0;
}

struct kept {
    struct pki_spki spki;
    unsigned char der[];
};

static int keep(EVP_PKEY *key, const unsigned char *der, size_t len, struct pki_spki *ret)
{
    struct pki_spki_parts parts;
    PC_CLEANUP(X509_PUBKEY_free_ref) X509_PUBKEY *owner = NULL;
    pc_autofree struct kept *made = calloc(1, sizeof *made + len);
    int rc = made ? pki_spki_open(der, len, &owner, &parts) : pc_fail(PC_EFAIL, "out of memory");
    struct kept *kept;
    bool done;

    if (rc)
        return rc;
    memcpy(made->der, der, len);
    made->spki.der = made->der;
    made->spki.len = len;
    if (EVP_Digest(parts.bits, parts.bits_len, made->spki.id, NULL, EVP_sha1(), NULL) != 1)
        return pc_fail_openssl(PC_EFAIL, "subjectKeyIdentifier");
    pthread_mutex_lock(&lock);
    kept = EVP_PKEY_get_ex_data(key, shared.slot);
    done = kept || EVP_PKEY_set_ex_data(key, shared.slot, made) == 1;
    pthread_mutex_unlock(&lock);
    if (!done)
        return pc_fail_openssl(PC_EFAIL, "public key");
    *ret = kept ? kept->spki : made->spki;
    if (!kept)
        made = NULL;
    return 0;
}

int pki_spki_of(const EVP_PKEY *key, struct pki_spki *ret)
{
    EVP_PKEY *same = (EVP_PKEY *)(uintptr_t)key; /* OpenSSL's getter has no const */
    const struct kept *kept;
    pki_autoder *der = NULL;
    int len;

    if (!pki_keyless() || shared.slot < 0)
        return pc_fail_openssl(PC_EFAIL, "library context");
    pthread_mutex_lock(&lock);
    kept = EVP_PKEY_get_ex_data(same, shared.slot);
    pthread_mutex_unlock(&lock);
    if (kept) {
        *ret = kept->spki;
        return 0;
    }
    len = i2d_PUBKEY(key, &der);
    return len > 0 ? keep(same, der, (size_t)len, ret)
                   : pc_fail_openssl(PC_EFAIL, "public key cannot be encoded");
}

int pki_spki_of_certificate(const X509 *certificate, struct pc_bytes *ret_der)
{
    pki_autoder *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

    return len > 0 ? pc_bytes_copy(der, (size_t)len, ret_der)
                   : pc_fail_openssl(PC_EFAIL, "public key cannot be encoded");
}

int pki_spki_set(X509 *certificate, const struct pki_spki *spki)
{
    struct pki_spki_parts parts;
    PC_CLEANUP(X509_PUBKEY_free_ref) X509_PUBKEY *owner = NULL;
    PC_CLEANUP(ASN1_OBJECT_free_ref) ASN1_OBJECT *curve = NULL;
    int rc = pki_spki_open(spki->der, spki->len, &owner, &parts);
    unsigned char *bits;

    if (rc)
        return rc;
    if (parts.parameter == V_ASN1_OBJECT && !(curve = OBJ_dup(parts.value)))
        return pc_fail(PC_EFAIL, "out of memory");
    bits = OPENSSL_memdup(parts.bits, parts.bits_len);
    if (!bits || X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(certificate), OBJ_dup(parts.algorithm),
                                        parts.parameter, curve, bits, (int)parts.bits_len) != 1) {
        OPENSSL_free(bits);
        return pc_fail_openssl(PC_EFAIL, "certificate key");
    }
    curve = NULL;
    return 0;
}

int pki_spki_rsa(const struct pki_spki_parts *parts, BIGNUM **ret_n, BIGNUM **ret_e)
{
    const unsigned char *at = parts->bits;
    PC_CLEANUP(sequence_free_ref) ASN1_SEQUENCE_ANY *numbers = NULL;
    PC_CLEANUP(BN_free_ref) BIGNUM *n = NULL;
    PC_CLEANUP(BN_free_ref) BIGNUM *e = NULL;

    numbers = d2i_ASN1_SEQUENCE_ANY(NULL, &at, (long)parts->bits_len);
    if (!numbers || sk_ASN1_TYPE_num(numbers) != 2 ||
        ASN1_TYPE_get(sk_ASN1_TYPE_value(numbers, 0)) != V_ASN1_INTEGER ||
        ASN1_TYPE_get(sk_ASN1_TYPE_value(numbers, 1)) != V_ASN1_INTEGER ||
        !(n = ASN1_INTEGER_to_BN(sk_ASN1_TYPE_value(numbers, 0)->value.integer, NULL)) ||
        !(e = ASN1_INTEGER_to_BN(sk_ASN1_TYPE_value(numbers, 1)->value.integer, NULL)))
        return pc_refuse("key-type", "RSA public key cannot be parsed (RFC 8017 §A.1.1)");
    if (!pki_der_is_strict(parts->bits, parts->bits_len) || BN_is_negative(n) || BN_is_negative(e))
        return pc_refuse("key-parameters", "RSA public key is not in its one DER form (X.690 §10)");
    *ret_n = pc_steal(n);
    *ret_e = pc_steal(e);
    return 0;
}

/* A public key of this algorithm, from its parameters. */
static int make_key(const char *algorithm, OSSL_PARAM_BLD *builder, const unsigned char *der, size_t len,
                    EVP_PKEY **ret)
{
    struct pki_spki kept;
    PC_CLEANUP(OSSL_PARAM_free_ref) OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    PC_CLEANUP(EVP_PKEY_CTX_free_ref)
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *key = NULL;
    int rc;

    if (!parameters || !context || EVP_PKEY_fromdata_init(context) != 1)
        return pc_fail_openssl(PC_EFAIL, "public key");
    if (EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        return pc_refuse("key-type", "%s public key cannot be read", algorithm);
    rc = keep(key, der, len, &kept);
    if (rc)
        return rc;
    *ret = pc_steal(key);
    return 0;
}

int pki_spki_rsa_key(const BIGNUM *n, const BIGNUM *e, const unsigned char *der, size_t len, EVP_PKEY **ret)
{
    PC_CLEANUP(OSSL_PARAM_BLD_free_ref) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();

    if (!builder || OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) != 1)
        return pc_fail(PC_EFAIL, "out of memory");
    return make_key("RSA", builder, der, len, ret);
}

int pki_spki_ec_key(int curve, const struct pki_spki_parts *parts, const unsigned char *der, size_t len,
                    EVP_PKEY **ret)
{
    PC_CLEANUP(OSSL_PARAM_BLD_free_ref) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();

    if (!builder ||
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, OBJ_nid2sn(curve), 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, parts->bits, parts->bits_len) != 1)
        return pc_fail(PC_EFAIL, "out of memory");
    return make_key("EC", builder, der, len, ret);
}
