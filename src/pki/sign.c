/* Signing recorded to-be-signed bytes, and putting the finished object together. What stands in those bytes
 * is certificate_build.c's and crl.c's business. */
#include "src/pki/sign.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/asn1.h>

#include "src/base/error.h"
#include "src/pki/openssl.h"
#include "src/pki/signature.h"

#define TBS_MAX (256L * 1024 * 1024) /* bytes; more than any CRL */

/* The DER AlgorithmIdentifier of this kind of key: NULL parameters for RSA (RFC 4055 §5), none for ECDSA (RFC
 * 5758 §3.2). */
static int algorithm_der(const EVP_PKEY *key, const EVP_MD **ret_digest, unsigned char **ret, size_t *ret_len)
{
    enum pki_key_type type;
    const EVP_MD *digest;
    int nid, len, rc;
    bool rsa;
    pki_autoder *der = NULL;
    PC_CLEANUP(X509_ALGOR_free_ref) X509_ALGOR *algorithm = X509_ALGOR_new();

    rc = pki_key_type_of(key, &type);
    if (rc)
        return rc;
    rsa = EVP_PKEY_is_a(key, "RSA") == 1;
    digest = pki_key_digest(type);
    if (!algorithm ||
        OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(digest),
                               rsa ? NID_rsaEncryption : NID_X9_62_id_ecPublicKey) != 1 ||
        X509_ALGOR_set0(algorithm, OBJ_nid2obj(nid), rsa ? V_ASN1_NULL : V_ASN1_UNDEF, NULL) != 1 ||
        (len = i2d_X509_ALGOR(algorithm, &der)) <= 0)
        return pc_fail_openssl(PC_EFAIL, "signature algorithm");
    *ret_digest = digest;
    *ret = pc_steal(der);
    *ret_len = (size_t)len;
    return 0;
}

/* Reads one element's header at *at: its tag and content; *at is moved to the content. */
static bool take_header(const unsigned char **at, const unsigned char *end, int *ret_tag, int *ret_class,
                        long *ret_len)
{
    int flags = ASN1_get_object(at, ret_len, ret_tag, ret_class, end - *at);

    return (flags & 0x81) == 0; /* neither an error nor an indefinite length */
}

/* The signature algorithm inside a TBSCertificate or TBSCertList must be `expected`: it is the first element
 * behind the optional [0] version and one INTEGER (serial number or CRL version). */
static int check_inner_algorithm(const struct pc_bytes *tbs, const unsigned char *expected,
                                 size_t expected_len)
{
    const unsigned char *at = tbs->data, *end = tbs->data + tbs->len;
    int tag, class;
    long len;

    if (tbs->len == 0 || tbs->len > TBS_MAX || !take_header(&at, end, &tag, &class, &len) ||
        tag != V_ASN1_SEQUENCE || len != end - at)
        return pc_fail(PC_EFAIL, "to-be-signed bytes are not one SEQUENCE");
    if (!take_header(&at, end, &tag, &class, &len))
        return pc_fail(PC_EFAIL, "to-be-signed bytes cannot be parsed");
    if (class == V_ASN1_CONTEXT_SPECIFIC && tag == 0) {
        at += len;
        if (!take_header(&at, end, &tag, &class, &len))
            return pc_fail(PC_EFAIL, "to-be-signed bytes cannot be parsed");
    }
    if (class != V_ASN1_UNIVERSAL || tag != V_ASN1_INTEGER)
        return pc_fail(PC_EFAIL, "to-be-signed bytes are neither a TBSCertificate nor a TBSCertList");
    at += len;
    if ((size_t)(end - at) < expected_len || memcmp(at, expected, expected_len) != 0)
        return pc_fail(PC_EFAIL, "to-be-signed bytes name another signature algorithm than the key's");
    return 0;
}

static int sign_with_key(void *key, const EVP_MD *digest, const struct pc_bytes *tbs, struct pc_bytes *ret)
{
    PC_CLEANUP(EVP_MD_CTX_free_ref) EVP_MD_CTX *context = EVP_MD_CTX_new();
    pc_autobytes signature = {0};
    size_t len = 0;

    if (!context || EVP_DigestSignInit(context, NULL, digest, NULL, key) != 1 ||
        EVP_DigestSign(context, NULL, &len, tbs->data, tbs->len) != 1)
        return pc_fail_openssl(PC_EFAIL, "signing cannot begin");
    signature.data = malloc(len + 1);
    if (!signature.data || len == 0 || len > INT_MAX)
        return pc_fail(PC_EFAIL, "out of memory");
    if (EVP_DigestSign(context, signature.data, &len, tbs->data, tbs->len) != 1)
        return pc_fail_openssl(PC_EFAIL, "signing failed");
    signature.data[len] = '\0';
    *ret = (struct pc_bytes){.data = pc_steal(signature.data), .len = len};
    return 0;
}

struct pki_signer pki_signer_of(EVP_PKEY *key)
{
    return (struct pki_signer){.sign = sign_with_key, .context = key};
}

/* SEQUENCE { tbs, algorithm, BIT STRING signature }. */
static int assemble(const struct pc_bytes *tbs, const unsigned char *algorithm, size_t algorithm_len,
                    unsigned char *signature, size_t signature_len, struct pc_bytes *ret)
{
    PC_CLEANUP(ASN1_BIT_STRING_free_ref) ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    pki_autoder *bits_der = NULL;
    pc_autofree unsigned char *data = NULL;
    unsigned char *at;
    int bits_len, content, total;

    if (!bits || ASN1_BIT_STRING_set(bits, signature, (int)signature_len) != 1)
        return pc_fail(PC_EFAIL, "out of memory");
    /* Every bit counts: without this, trailing zero bits would be cut off. */
    bits->flags = (bits->flags & ~(ASN1_STRING_FLAG_BITS_LEFT | 0x07)) | ASN1_STRING_FLAG_BITS_LEFT;
    bits_len = i2d_ASN1_BIT_STRING(bits, &bits_der);
    if (bits_len <= 0)
        return pc_fail_openssl(PC_EFAIL, "signature value");
    content = (int)tbs->len + (int)algorithm_len + bits_len;
    total = ASN1_object_size(1, content, V_ASN1_SEQUENCE);
    if (total <= 0 || !(data = malloc((size_t)total + 1)))
        return pc_fail(PC_EFAIL, "out of memory");
    at = data;
    ASN1_put_object(&at, 1, content, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    memcpy(at, tbs->data, tbs->len);
    memcpy(at + tbs->len, algorithm, algorithm_len);
    memcpy(at + tbs->len + algorithm_len, bits_der, (size_t)bits_len);
    data[total] = '\0';
    ret->data = pc_steal(data);
    ret->len = (size_t)total;
    return 0;
}

int pki_tbs_digest(const EVP_PKEY *public_key, const struct pc_bytes *tbs, const EVP_MD **ret_digest)
{
    const EVP_MD *digest = NULL;
    pki_autoder *algorithm = NULL;
    size_t algorithm_len = 0;
    int rc;

    rc = algorithm_der(public_key, &digest, &algorithm, &algorithm_len);
    if (!rc)
        rc = check_inner_algorithm(tbs, algorithm, algorithm_len);
    if (!rc)
        *ret_digest = digest;
    return rc;
}

int pki_tbs_join(const EVP_PKEY *public_key, const struct pc_bytes *tbs, const struct pc_bytes *signature,
                 struct pc_bytes *ret_der)
{
    const EVP_MD *digest;
    pki_autoder *algorithm = NULL;
    size_t algorithm_len = 0;
    int rc;

    rc = algorithm_der(public_key, &digest, &algorithm, &algorithm_len);
    return rc ? rc : assemble(tbs, algorithm, algorithm_len, signature->data, signature->len, ret_der);
}

bool pki_tbs_is_in(const struct pc_bytes *tbs, const struct pc_bytes *der)
{
    const unsigned char *found;
    size_t len;

    return pki_signed_part(der, &found, &len) && len == tbs->len && memcmp(found, tbs->data, len) == 0;
}

int pki_tbs_sign(const struct pki_signer *signer, EVP_PKEY *public_key, const struct pc_bytes *tbs,
                 struct pc_bytes *ret_der)
{
    const EVP_MD *digest = NULL;
    pc_autobytes signature = {0};
    int rc;

    rc = pki_tbs_digest(public_key, tbs, &digest);
    if (!rc)
        rc = signer->sign(signer->context, digest, tbs, &signature);
    if (!rc)
        rc = pki_signature_verify_bytes(public_key, digest, tbs->data, tbs->len, signature.data,
                                        signature.len);
    return rc ? rc : pki_tbs_join(public_key, tbs, &signature, ret_der);
}
