/* Verifying signatures over bytes as they came, not as OpenSSL would encode them again. */
#include "src/pki/signature.h"

#include <openssl/objects.h>

#include "src/base/error.h"
#include "src/pki/openssl.h"

int pki_signature_verify_bytes(EVP_PKEY *key, const EVP_MD *digest, const void *data, size_t len,
                               const unsigned char *signature, size_t signature_len)
{
    PC_CLEANUP(EVP_MD_CTX_free_ref) EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (!context || EVP_DigestVerifyInit(context, NULL, digest, NULL, key) != 1)
        return pc_fail_openssl(PC_EFAIL, "verification cannot begin");
    if (EVP_DigestVerify(context, signature, signature_len, data, len) != 1)
        return pc_fail_openssl(PC_EFAIL, "the signature does not verify");
    return 0;
}

bool pki_signed_part(const struct pc_bytes *der, const unsigned char **ret, size_t *ret_len)
{
    const unsigned char *at = der->data, *start;
    long len;
    int tag, class;

    if (der->len == 0 || (ASN1_get_object(&at, &len, &tag, &class, (long)der->len) & 0x81))
        return false;
    start = at;
    if (ASN1_get_object(&at, &len, &tag, &class, len) & 0x81)
        return false;
    *ret = start;
    *ret_len = (size_t)(at - start) + (size_t)len;
    return true;
}

int pki_signature_verify(EVP_PKEY *key, int algorithm, const struct pc_bytes *der,
                         const ASN1_BIT_STRING *signature)
{
    int digest = NID_undef, kind = NID_undef;
    const unsigned char *data;
    size_t len;

    if (OBJ_find_sigid_algs(algorithm, &digest, &kind) != 1 || EVP_PKEY_is_a(key, OBJ_nid2sn(kind)) != 1)
        return pc_fail(PC_EFAIL, "signature algorithm %s is not one of the key's", OBJ_nid2ln(algorithm));
    if (signature->flags & 0x07) /* bits that are not used */
        return pc_fail(PC_EFAIL, "the signature is not made of whole octets");
    if (!pki_signed_part(der, &data, &len))
        return pc_fail(PC_EFAIL, "what is signed cannot be found");
    return pki_signature_verify_bytes(key, EVP_get_digestbynid(digest), data, len,
                                      ASN1_STRING_get0_data(signature),
                                      (size_t)ASN1_STRING_length(signature));
}
