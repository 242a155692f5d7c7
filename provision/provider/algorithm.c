/* AlgorithmIdentifiers of the signatures a TPM makes: what X509_sign writes into a certificate or request. */
#include "provision/provider/signature.h"

#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static const struct {
    const char *digest;
    int md, rsa, ecdsa;
} algorithms[] = {
    {"SHA256", NID_sha256, NID_sha256WithRSAEncryption, NID_ecdsa_with_SHA256},
    {"SHA384", NID_sha384, NID_sha384WithRSAEncryption, NID_ecdsa_with_SHA384},
    {"SHA512", NID_sha512, NID_sha512WithRSAEncryption, NID_ecdsa_with_SHA512},
};

#define ALGORITHMS (sizeof(algorithms) / sizeof(algorithms[0]))

bool prov_digest_known(const EVP_MD *md)
{
    for (size_t i = 0; i < ALGORITHMS; i++)
        if (EVP_MD_is_a(md, algorithms[i].digest))
            return true;
    return false;
}

static int to_der(const X509_ALGOR *algorithm, unsigned char **ret_der, size_t *ret_len)
{
    int len = i2d_X509_ALGOR(algorithm, ret_der);

    if (len <= 0)
        return 0;
    *ret_len = (size_t)len;
    return 1;
}

/* RFC 4055 §3.1: hash and MGF1 with its parameters, salt as long as the hash, the usual trailer by default.
 */
static ASN1_STRING *pss_parameters(int md, int salt)
{
    RSA_PSS_PARAMS *pss = RSA_PSS_PARAMS_new();
    ASN1_STRING *mgf1 = NULL, *packed = NULL;
    X509_ALGOR *hash = X509_ALGOR_new();
    bool ok = pss != NULL && hash != NULL;

    ok = ok && X509_ALGOR_set0(hash, OBJ_nid2obj(md), V_ASN1_NULL, NULL);
    ok = ok && (pss->hashAlgorithm = X509_ALGOR_dup(hash)) != NULL;
    ok = ok && (mgf1 = ASN1_item_pack(hash, ASN1_ITEM_rptr(X509_ALGOR), NULL)) != NULL;
    ok = ok && (pss->maskGenAlgorithm = X509_ALGOR_new()) != NULL;
    if (ok && X509_ALGOR_set0(pss->maskGenAlgorithm, OBJ_nid2obj(NID_mgf1), V_ASN1_SEQUENCE, mgf1))
        mgf1 = NULL; /* the algorithm's now */
    else
        ok = false;
    ok = ok && (pss->saltLength = ASN1_INTEGER_new()) != NULL && ASN1_INTEGER_set(pss->saltLength, salt);
    if (ok)
        packed = ASN1_item_pack(pss, ASN1_ITEM_rptr(RSA_PSS_PARAMS), NULL);
    ASN1_STRING_free(mgf1);
    X509_ALGOR_free(hash);
    RSA_PSS_PARAMS_free(pss);
    return packed;
}

int prov_signature_algorithm(const struct prov_signature *s, unsigned char **ret_der, size_t *ret_len)
{
    X509_ALGOR *algorithm;
    ASN1_STRING *pss = NULL;
    int ok = 0;

    for (size_t i = 0; s->md != NULL && i < ALGORITHMS; i++) {
        if (!EVP_MD_is_a(s->md, algorithms[i].digest))
            continue;
        algorithm = X509_ALGOR_new();
        if (algorithm == NULL)
            return 0;
        switch (prov_signature_scheme(s)) {
        case TPM_SCHEME_ECDSA: /* RFC 5758 §3.2: parameters absent */
            ok = X509_ALGOR_set0(algorithm, OBJ_nid2obj(algorithms[i].ecdsa), V_ASN1_UNDEF, NULL);
            break;
        case TPM_SCHEME_RSASSA: /* RFC 4055 §5: NULL */
            ok = X509_ALGOR_set0(algorithm, OBJ_nid2obj(algorithms[i].rsa), V_ASN1_NULL, NULL);
            break;
        case TPM_SCHEME_RSAPSS:
            pss = prov_signature_check(s) ? pss_parameters(algorithms[i].md, EVP_MD_get_size(s->md)) : NULL;
            ok = pss != NULL && X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_rsassaPss), V_ASN1_SEQUENCE, pss);
            if (!ok)
                ASN1_STRING_free(pss);
            break;
        }
        ok = ok && to_der(algorithm, ret_der, ret_len);
        X509_ALGOR_free(algorithm);
        return ok;
    }
    return 0;
}
