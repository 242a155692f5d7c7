/* Signed statements: making them piece by piece, and holding one against the authority that its signer's
 * certificate came from. */
#include "src/pki/cms.h"

#include <limits.h>
#include <string.h>

#include <openssl/cms.h>
#include <openssl/err.h>

#include "src/base/error.h"
#include "src/pki/asn1.h"
#include "src/pki/certificate.h"
#include "src/pki/openssl.h"

#define CMS_MAX 65536 /* bytes; the content stands elsewhere */

PC_DEFINE_CLEANUP(CMS_ContentInfo, CMS_ContentInfo_free);

static void certificates_free_ref(STACK_OF(X509) * *stack)
{
    sk_X509_pop_free(*stack, X509_free);
}

static int parse(const void *der, size_t len, CMS_ContentInfo **ret)
{
    const unsigned char *at = der;
    PC_CLEANUP(CMS_ContentInfo_free_ref) CMS_ContentInfo *cms = NULL;

    if (len == 0 || len > CMS_MAX || !pki_der_is_strict(der, len) ||
        !(cms = d2i_CMS_ContentInfo(NULL, &at, (long)len)) || at != (const unsigned char *)der + len)
        return pc_refuse("cms-parse", "signature cannot be parsed (RFC 5652 §3)");
    if (OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_signed ||
        OBJ_obj2nid(CMS_get0_eContentType(cms)) != NID_pkcs7_data || CMS_is_detached(cms) != 1)
        return pc_refuse("cms-parse", "not a detached signature over plain data (RFC 5652 §5.2)");
    *ret = pc_steal(cms);
    return 0;
}

/* The one signature in it. */
static int only_signer(CMS_ContentInfo *cms, CMS_SignerInfo **ret)
{
    STACK_OF(CMS_SignerInfo) *signers = CMS_get0_SignerInfos(cms); /* borrowed */

    if (!signers || sk_CMS_SignerInfo_num(signers) != 1)
        return pc_refuse("cms-signer", "%d signatures, not one (RFC 5652 §5.1)",
                         signers ? sk_CMS_SignerInfo_num(signers) : 0);
    *ret = sk_CMS_SignerInfo_value(signers, 0);
    return 0;
}

/* Our own output is judged before it is given out: the signature over the attributes, by the public half in
 * the certificate. What the content's digest is, software has computed. */
static int check_made(const struct pc_bytes *der, X509 *signer)
{
    CMS_SignerInfo *info = NULL;
    PC_CLEANUP(CMS_ContentInfo_free_ref) CMS_ContentInfo *cms = NULL;

    if (parse(der->data, der->len, &cms) || only_signer(cms, &info))
        return pc_fail(PC_EFAIL, "the statement just signed cannot be read back");
    CMS_SignerInfo_set1_signer_cert(info, signer);
    if (CMS_SignerInfo_verify(info) != 1)
        return pc_fail_openssl(PC_EFAIL, "the signature just made does not verify");
    return 0;
}

static int add_signer(CMS_ContentInfo *cms, EVP_PKEY *key, X509 *signer, int64_t at)
{
    enum pki_key_type type;
    CMS_SignerInfo *info;
    PC_CLEANUP(ASN1_TIME_free_ref) ASN1_TIME *time = NULL;
    int rc = pki_key_type_of(X509_get0_pubkey(signer), &type);

    if (!rc)
        rc = pki_asn1_time(at, &time);
    if (rc)
        return rc;
    info = CMS_add1_signer(cms, signer, key, pki_key_digest(type), CMS_PARTIAL | CMS_BINARY | CMS_NOSMIMECAP);
    if (!info ||
        CMS_signed_add1_attr_by_NID(info, NID_pkcs9_signingTime, ASN1_STRING_type(time), time, -1) != 1)
        return pc_fail_openssl(PC_EFAIL, "signer of the statement");
    return 0;
}

int pki_cms_sign(EVP_PKEY *key, X509 *signer, BIO *content, int64_t at, struct pc_bytes *ret_der)
{
    const unsigned int flags = CMS_PARTIAL | CMS_BINARY | CMS_DETACHED;
    pki_autoder *der = NULL;
    pc_autobytes made = {0};
    int len, rc;
    PC_CLEANUP(CMS_ContentInfo_free_ref) CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);

    if (!cms)
        return pc_fail_openssl(PC_EFAIL, "statement");
    rc = add_signer(cms, key, signer, at);
    if (rc)
        return rc;
    if (CMS_final(cms, content, NULL, flags) != 1)
        return pc_fail_openssl(PC_EFAIL, "statement cannot be signed");
    if (!BIO_eof(content)) /* or a read that failed would pass for the end */
        return pc_fail(PC_EFAIL, "what is to be signed cannot be read to its end");
    len = i2d_CMS_ContentInfo(cms, &der);
    if (len <= 0)
        return pc_fail_openssl(PC_EFAIL, "statement cannot be encoded");
    rc = pc_bytes_copy(der, (size_t)len, &made);
    if (!rc)
        rc = check_made(&made, signer);
    if (rc)
        return rc;
    *ret_der = made;
    made = (struct pc_bytes){0};
    return 0;
}

/* contentType, messageDigest, signingTime, once each, and nothing else (RFC 5652 §11). */
static int judge_attributes(const CMS_SignerInfo *info, int64_t *ret_at)
{
    static const int wanted[] = {NID_pkcs9_contentType, NID_pkcs9_messageDigest, NID_pkcs9_signingTime};
    const int count = sizeof wanted / sizeof wanted[0];
    const ASN1_TYPE *value;
    const ASN1_TIME *time;

    if (CMS_signed_get_attr_count(info) != count || CMS_unsigned_get_attr_count(info) > 0)
        return pc_refuse("cms-attributes",
                         "attributes are not just contentType, messageDigest, signingTime (RFC 5652 §11)");
    for (int i = 0; i < count; i++) {
        int place = CMS_signed_get_attr_by_NID(info, wanted[i], -1);
        X509_ATTRIBUTE *attribute = place < 0 ? NULL : CMS_signed_get_attr(info, place);

        if (!attribute || X509_ATTRIBUTE_count(attribute) != 1)
            return pc_refuse("cms-attributes", "attribute %s is missing (RFC 5652 §11)",
                             OBJ_nid2ln(wanted[i]));
    }
    value = X509_ATTRIBUTE_get0_type(
        CMS_signed_get_attr(info, CMS_signed_get_attr_by_NID(info, NID_pkcs9_signingTime, -1)), 0);
    if (value->type != V_ASN1_UTCTIME && value->type != V_ASN1_GENERALIZEDTIME)
        return pc_refuse("cms-attributes", "signingTime is no time (RFC 5652 §11.3)");
    time = value->value.asn1_string;
    if (!pki_asn1_time_is_strict(time))
        return pc_refuse("cms-attributes", "signingTime is not in its one form (RFC 5652 §11.3)");
    *ret_at = pki_time_of(time);
    return 0;
}

/* Issued by `issuer` for signatures and nothing else: a plant's certificate has an extKeyUsage. */
static int judge_certificate(X509 *signer, X509 *issuer, int64_t at)
{
    int64_t from, until;

    if (X509_check_purpose(signer, -1, 0) != 1 ||
        X509_NAME_cmp(X509_get_issuer_name(signer), X509_get_subject_name(issuer)) != 0 ||
        X509_verify(signer, X509_get0_pubkey(issuer)) != 1)
        return pc_refuse("cms-signer", "the signer's certificate is not the authority's (RFC 5280 §6.1)");
    if (X509_check_ca(signer) != 0 || !(X509_get_extension_flags(signer) & EXFLAG_KUSAGE) ||
        X509_get_key_usage(signer) != KU_DIGITAL_SIGNATURE ||
        (X509_get_extension_flags(signer) & (EXFLAG_XKUSAGE | EXFLAG_CRITICAL)))
        return pc_refuse("cms-signer", "the signer's certificate is not for statements (RFC 5280 §4.2.1.3)");
    if (pki_certificate_dates(signer, &from, &until) || at < from || at > until)
        return pc_refuse("cms-signer", "the signer's certificate was not valid at the signingTime (RFC 5280 "
                                       "§4.1.2.5)");
    return 0;
}

/* The certificate that came along, and no other; the key in it. */
static int judge_signer(CMS_ContentInfo *cms, const CMS_SignerInfo *info, X509 *issuer,
                        const char *key_sha256, int64_t at, X509 **ret)
{
    char fingerprint[PKI_FINGERPRINT_TEXT];
    X509 *signer;
    int rc;
    PC_CLEANUP(certificates_free_ref) STACK_OF(X509) *certificates = CMS_get1_certs(cms);

    if (!certificates || sk_X509_num(certificates) != 1 ||
        CMS_SignerInfo_cert_cmp((CMS_SignerInfo *)(uintptr_t)info, sk_X509_value(certificates, 0)) != 0)
        return pc_refuse("cms-signer", "not just the signer's certificate came along (RFC 5652 §5.1)");
    signer = sk_X509_value(certificates, 0);
    rc = judge_certificate(signer, issuer, at);
    if (!rc)
        rc = pki_key_fingerprint(X509_get0_pubkey(signer), fingerprint);
    if (rc)
        return rc;
    if (key_sha256 && strcmp(fingerprint, key_sha256) != 0)
        return pc_refuse("cms-signer", "signed with the key %s, not %s", fingerprint, key_sha256);
    *ret = sk_X509_pop(certificates);
    return 0;
}

/* The digest that goes with the key, the content's digest, and the signature over the attributes. */
static int judge_signature(CMS_ContentInfo *cms, CMS_SignerInfo *info, X509 *signer, BIO *content)
{
    enum pki_key_type type;
    X509_ALGOR *digest = NULL, *algorithm = NULL;
    bool rsa = EVP_PKEY_is_a(X509_get0_pubkey(signer), "RSA") == 1;
    int nid;

    if (pki_key_type_of(X509_get0_pubkey(signer), &type))
        return pc_refuse("cms-signer", "%s", pc_error_text());
    CMS_SignerInfo_get0_algs(info, NULL, NULL, &digest, &algorithm);
    /* RSA by its plain name, as OpenSSL and RFC 3370 §3.2 have it; ECDSA with its digest (RFC 5754 §3.3). */
    nid = NID_rsaEncryption;
    if (OBJ_obj2nid(digest->algorithm) != EVP_MD_get_type(pki_key_digest(type)) ||
        (!rsa && OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(pki_key_digest(type)),
                                        NID_X9_62_id_ecPublicKey) != 1) ||
        OBJ_obj2nid(algorithm->algorithm) != nid)
        return pc_refuse("cms-signature", "algorithms are not those that go with the signer's key");
    if (CMS_verify(cms, NULL, NULL, content, NULL, CMS_BINARY | CMS_DETACHED | CMS_NO_SIGNER_CERT_VERIFY) ==
        1)
        return 0;
    if (BIO_method_type(content) != BIO_TYPE_MEM && !BIO_eof(content))
        return pc_fail(PC_EFAIL, "what was signed cannot be read to its end");
    return pc_refuse("cms-signature", "the signature does not fit what was signed (RFC 5652 §5.6)");
}

static int verify(const void *der, size_t len, BIO *content, X509 *issuer, const char *key_sha256,
                  X509 **ret_signer, int64_t *ret_at)
{
    CMS_SignerInfo *info = NULL;
    int64_t at = 0;
    PC_CLEANUP(CMS_ContentInfo_free_ref) CMS_ContentInfo *cms = NULL;
    PC_CLEANUP(X509_free_ref) X509 *signer = NULL;
    int rc = parse(der, len, &cms);

    if (!rc)
        rc = only_signer(cms, &info);
    if (!rc)
        rc = judge_attributes(info, &at);
    if (!rc)
        rc = judge_signer(cms, info, issuer, key_sha256, at, &signer);
    if (!rc)
        rc = judge_signature(cms, info, signer, content);
    if (rc)
        return rc;
    if (ret_signer)
        *ret_signer = pc_steal(signer);
    if (ret_at)
        *ret_at = at;
    return 0;
}

int pki_cms_verify(const void *der, size_t len, BIO *content, X509 *issuer, const char *key_sha256,
                   X509 **ret_signer, int64_t *ret_at)
{
    int rc = verify(der, len, content, issuer, key_sha256, ret_signer, ret_at);

    ERR_clear_error(); /* what hostile bytes left there is no news for the next caller */
    return rc;
}
