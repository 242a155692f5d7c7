/* Throwaway keys for the signing pass that fixes a to-be-signed encoding, and the check of the issuer's key
 * before it. Nothing signed with a throwaway key ever leaves this process. */
#include "src/pki/throwaway.h"

#include <pthread.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "src/base/error.h"
#include "src/pki/asn1.h"
#include "src/pki/certificate.h"
#include "src/pki/key.h"
#include "src/pki/openssl.h"
#include "src/pki/spki.h"

PC_DEFINE_CLEANUP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free);
PC_DEFINE_CLEANUP(OSSL_PARAM, OSSL_PARAM_free);

int pki_check_issuer(const X509 *issuer, const EVP_PKEY *subject_key, const EVP_PKEY *issuer_key)
{
    struct pki_spki given, own;
    pc_autobytes certified = {0};
    int rc = pki_spki_of(issuer_key, &given);

    if (!rc && issuer) {
        rc = pki_spki_of_certificate(issuer, &certified);
        own = (struct pki_spki){.der = certified.data, .len = certified.len};
    } else if (!rc) {
        rc = pki_spki_of(subject_key, &own);
    }
    if (rc)
        return rc;
    return own.len == given.len && memcmp(own.der, given.der, own.len) == 0
               ? 0
               : pc_fail(PC_EFAIL, "the issuer's key is not the one in its certificate");
}

/* 2^exponent - 1 */
static BIGNUM *mersenne(int exponent)
{
    BIGNUM *number = BN_new();

    if (number && BN_set_bit(number, exponent) == 1 && BN_sub_word(number, 1) == 1)
        return number;
    BN_free(number);
    return NULL;
}

/* An RSA key whose primes are two Mersenne primes: made in no time, the same everywhere, and plainly no
 * secret. */
static EVP_PKEY *rsa_throwaway(void)
{
    EVP_PKEY *key = NULL;
    PC_CLEANUP(BN_CTX_free_ref) BN_CTX *numbers = BN_CTX_new();
    PC_CLEANUP(BN_free_ref) BIGNUM *p = mersenne(127);
    PC_CLEANUP(BN_free_ref) BIGNUM *q = mersenne(521);
    PC_CLEANUP(BN_free_ref) BIGNUM *n = BN_new();
    PC_CLEANUP(BN_free_ref) BIGNUM *e = BN_new();
    PC_CLEANUP(BN_free_ref) BIGNUM *d = BN_new();
    PC_CLEANUP(OSSL_PARAM_BLD_free_ref) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    PC_CLEANUP(OSSL_PARAM_free_ref) OSSL_PARAM *parameters = NULL;
    PC_CLEANUP(EVP_PKEY_CTX_free_ref) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);

    if (!numbers || !p || !q || !n || !e || !d || !builder || !context)
        return NULL;
    /* n = pq, d = 1/e modulo (p-1)(q-1) */
    if (!BN_mul(n, p, q, numbers) || !BN_sub_word(p, 1) || !BN_sub_word(q, 1) || !BN_mul(p, p, q, numbers) ||
        !BN_set_word(e, 65537) || !BN_mod_inverse(d, e, p, numbers))
        return NULL;
    if (OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) != 1 ||
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_D, d) != 1 ||
        !(parameters = OSSL_PARAM_BLD_to_param(builder)))
        return NULL;
    if (EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, parameters) != 1)
        return NULL;
    return key;
}

static EVP_PKEY *throwaway_of(enum pki_key_type type)
{
    if (type == PKI_KEY_EC_P256)
        return EVP_EC_gen("P-256");
    return type == PKI_KEY_EC_P384 ? EVP_EC_gen("P-384") : rsa_throwaway();
}

int pki_throwaway_key(const EVP_PKEY *issuer_key, EVP_PKEY **ret, const EVP_MD **ret_digest)
{
    enum pki_key_type type;
    EVP_PKEY *key;
    int rc = pki_key_type_of(issuer_key, &type);

    if (rc)
        return rc;
    key = throwaway_of(type);
    if (!key)
        return pc_fail_openssl(PC_EFAIL, "throwaway key");
    *ret = key;
    *ret_digest = pki_key_digest(type);
    return 0;
}

/* DER of empty certificates, one for each kind of key; without bytes where that failed. */
static struct pc_bytes blanks[PKI_KEY_TYPES];

static int make_blank(EVP_PKEY *key, const EVP_MD *digest, struct pc_bytes *ret)
{
    PC_CLEANUP(X509_free_ref) X509 *certificate = X509_new();
    PC_CLEANUP(ASN1_TIME_free_ref) ASN1_TIME *epoch = NULL;

    if (!certificate || pki_asn1_time(0, &epoch) || X509_set_version(certificate, X509_VERSION_3) != 1 ||
        X509_set1_notBefore(certificate, epoch) != 1 || X509_set1_notAfter(certificate, epoch) != 1 ||
        X509_set_pubkey(certificate, key) != 1 || X509_sign(certificate, key, digest) <= 0)
        return pc_fail_openssl(PC_EFAIL, "blank certificate");
    return pki_certificate_der(certificate, ret);
}

static void make_blanks(void)
{
    for (int type = 0; type < PKI_KEY_TYPES; type++) {
        PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *key = throwaway_of((enum pki_key_type)type);

        if (key)
            (void)make_blank(key, pki_key_digest((enum pki_key_type)type), &blanks[type]);
    }
}

int pki_blank_certificate(const EVP_PKEY *issuer_key, X509 **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const unsigned char *at;
    enum pki_key_type type;
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    int rc = pki_key_type_of(issuer_key, &type);

    if (rc)
        return rc;
    pthread_once(&once, make_blanks);
    certificate = X509_new_ex(pki_keyless(), NULL);
    at = blanks[type].data;
    if (!certificate || !at || !d2i_X509(&certificate, &at, (long)blanks[type].len))
        return pc_fail_openssl(PC_EFAIL, "blank certificate");
    *ret = pc_steal(certificate);
    return 0;
}
