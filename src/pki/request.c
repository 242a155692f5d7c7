/* Certificate requests: reading and judging one that came from outside, and building one. What its subject
 * and attributes may say is judged in request_subject.c and request_attributes.c, its key in key.c. */
#include "src/pki/request.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/pki/asn1.h"
#include "src/pki/names.h"
#include "src/pki/openssl.h"
#include "src/pki/request_attributes.h"
#include "src/pki/signature.h"
#include "src/pki/spki.h"

/* To the DER of one request. */
static int take_der(const void *data, size_t len, struct pc_bytes *ret)
{
    static const char *const labels[] = {"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", NULL};
    const unsigned char *bytes = data;
    bool behind;

    if (len == 0 || len > PKI_REQUEST_MAX)
        return pc_refuse("request-size", "request of %zu bytes, not 1 to %d", len, PKI_REQUEST_MAX);
    if (bytes[0] == (V_ASN1_CONSTRUCTED | V_ASN1_SEQUENCE))
        return pc_bytes_copy(data, len, ret);
    if (pki_pem_single(data, len, labels, false, ret, &behind))
        return pc_refuse(behind ? "request-trailing" : "request-pem", "%s", pc_error_text());
    return 0;
}

/* How long the element at the front says it is; 0 when its header is broken. */
static size_t element_size(const struct pc_bytes *der)
{
    const unsigned char *at = der->data;
    long len;
    int tag, class, flags = ASN1_get_object(&at, &len, &tag, &class, (long)der->len);

    return flags & 0x81 ? 0 : (size_t)(at - der->data) + (size_t)len;
}

static int parse(const struct pc_bytes *der, X509_REQ **ret)
{
    const unsigned char *at = der->data;
    size_t size = element_size(der);
    PC_CLEANUP(X509_REQ_free_ref) X509_REQ *request = NULL;
    OSSL_LIB_CTX *before;

    if (size > 0 && size < der->len)
        return pc_refuse("request-trailing", "%zu bytes behind the request", der->len - size);
    /* OpenSSL reads BER as well. What is hashed, named by a digest, and read by others must be one and the
     * same. */
    if (!pki_der_is_strict(der->data, der->len))
        return pc_refuse("request-der", "request is broken off or not DER (RFC 2986 §4, X.690 §10)");
    /* For this thread, and for this call: X509_REQ_new_ex's context does not reach the public key. */
    before = OSSL_LIB_CTX_set0_default(pki_keyless());
    request = d2i_X509_REQ(NULL, &at, (long)der->len);
    OSSL_LIB_CTX_set0_default(before);
    if (!request)
        return pc_refuse("request-der", "request cannot be parsed (RFC 2986 §4.2)");
    if (at != der->data + der->len)
        return pc_refuse("request-trailing", "%zu bytes behind the request",
                         (size_t)(der->data + der->len - at));
    if (X509_REQ_get_version(request) != X509_REQ_VERSION_1)
        return pc_refuse("request-version", "request version %ld, not 0 (RFC 2986 §4.1)",
                         X509_REQ_get_version(request));
    *ret = pc_steal(request);
    return 0;
}

static int judge_key(X509_REQ *request, EVP_PKEY **ret)
{
    pki_autoder *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(request), &spki);

    return len > 0 ? pki_key_judge(spki, (size_t)len, ret)
                   : pc_refuse("key-type", "public key cannot be read");
}

/* Signatures that prove possession: SHA-2 with RSA (PKCS#1 v1.5) or ECDSA. */
static int judge_algorithm(const X509_REQ *request)
{
    static const int known[] = {NID_sha256WithRSAEncryption, NID_sha384WithRSAEncryption,
                                NID_sha512WithRSAEncryption, NID_ecdsa_with_SHA256,
                                NID_ecdsa_with_SHA384,       NID_ecdsa_with_SHA512};
    const X509_ALGOR *algorithm;
    const ASN1_OBJECT *type;
    int parameter;

    X509_REQ_get0_signature(request, NULL, &algorithm);
    X509_ALGOR_get0(&type, &parameter, NULL, algorithm);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (OBJ_obj2nid(type) != known[i])
            continue;
        /* NULL beside ECDSA is wrong (RFC 5758 §3.2), but TPM tools in the field write it, and it means
         * nothing. */
        if (parameter == V_ASN1_UNDEF || parameter == V_ASN1_NULL)
            return 0;
        return pc_refuse("request-algorithm",
                         "signature algorithm with parameters (RFC 4055 §5, RFC 5758 §3.2)");
    }
    return pc_refuse("request-algorithm",
                     "signature algorithm %s is not SHA-256, SHA-384 or SHA-512 with RSA or ECDSA",
                     OBJ_nid2ln(OBJ_obj2nid(type)));
}

static int judge_possession(const X509_REQ *request, const struct pc_bytes *der, EVP_PKEY *key)
{
    const ASN1_BIT_STRING *signature;
    const X509_ALGOR *algorithm;

    X509_REQ_get0_signature(request, &signature, &algorithm);
    if (pki_signature_verify(key, OBJ_obj2nid(algorithm->algorithm), der, signature) == 0)
        return 0;
    return pc_refuse("request-signature", "CSR signature does not verify (RFC 2986 §4.2)");
}

static int judge_owner(const char *key_sha256, const EVP_PKEY *issuer_key)
{
    char issuer_sha256[PKI_FINGERPRINT_TEXT];
    int rc;

    if (!issuer_key)
        return 0;
    rc = pki_key_fingerprint(issuer_key, issuer_sha256);
    if (!rc && strcmp(key_sha256, issuer_sha256) == 0)
        rc = pc_refuse("request-issuer-key", "the key is the CA's own, which is never certified on request");
    return rc;
}

static int judge(X509_REQ *request, const struct pki_request_rules *rules, struct pki_request *result)
{
    int rc = judge_key(request, &result->key);

    if (!rc)
        rc = pki_key_fingerprint(result->key, result->key_sha256);
    if (!rc)
        rc = judge_owner(result->key_sha256, rules->issuer_key);
    if (!rc)
        rc = judge_algorithm(request);
    if (!rc)
        rc = judge_possession(request, &result->der, result->key);
    if (!rc)
        rc = pki_request_judge_subject(X509_REQ_get_subject_name(request), rules, result->cn,
                                       sizeof result->cn);
    if (!rc)
        rc = pki_request_judge_attributes(request, rules, result->key, result->cn, result->challenge);
    return rc;
}

int pki_request_parse(const void *data, size_t len, const struct pki_request_rules *rules,
                      struct pki_request **ret)
{
    int rc;
    PC_CLEANUP(X509_REQ_free_ref) X509_REQ *request = NULL;
    PC_CLEANUP(pki_request_free_ref) struct pki_request *result = calloc(1, sizeof *result);

    if (!result)
        return pc_fail(PC_EFAIL, "out of memory");
    rc = take_der(data, len, &result->der);
    if (!rc)
        rc = parse(&result->der, &request);
    if (!rc)
        rc = judge(request, rules, result);
    if (!rc)
        rc = pki_digest_hex(result->der.data, result->der.len, result->request_sha256);
    ERR_clear_error(); /* what hostile bytes left there is no news for the next caller */
    if (rc)
        return rc;
    *ret = pc_steal(result);
    return 0;
}

void pki_request_free(struct pki_request *request)
{
    if (!request)
        return;
    EVP_PKEY_free(request->key);
    pc_bytes_clear(&request->der);
    free(request);
}

/* The signature was made by a provider or a chip: it is verified in software before it is given out. */
static int verify_own(X509_REQ *request, const EVP_PKEY *key)
{
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *plain = NULL;
    int rc = pki_key_public(key, &plain);

    if (rc)
        return rc;
    if (X509_REQ_verify(request, plain) != 1)
        return pc_fail_openssl(PC_EFAIL, "the request just signed does not verify");
    return 0;
}

static int add_challenge(X509_REQ *request, const char *challenge)
{
    size_t len = strlen(challenge);
    int type;

    if (len < 1 || len >= PKI_CHALLENGE_TEXT)
        return pc_fail(PC_EUSAGE, "challengePassword of %zu characters, not 1 to %d", len,
                       PKI_CHALLENGE_TEXT - 1);
    for (size_t i = 0; i < len; i++) {
        if (challenge[i] < 0x20 || challenge[i] > 0x7e)
            return pc_fail(PC_EUSAGE, "challengePassword is not printable ASCII");
    }
    type = ASN1_PRINTABLE_type((const unsigned char *)challenge, (int)len);
    if (X509_REQ_add1_attr_by_NID(request, NID_pkcs9_challengePassword,
                                  type == V_ASN1_PRINTABLESTRING ? type : V_ASN1_UTF8STRING,
                                  (const unsigned char *)challenge, (int)len) != 1)
        return pc_fail_openssl(PC_EFAIL, "challengePassword");
    return 0;
}

static int build(EVP_PKEY *key, const char *cn, const char *challenge, struct pc_bytes *ret_pem)
{
    enum pki_key_type type;
    const char *text;
    long len;
    int rc;
    PC_CLEANUP(X509_REQ_free_ref) X509_REQ *request = X509_REQ_new();
    PC_CLEANUP(X509_NAME_free_ref) X509_NAME *name = NULL;
    PC_CLEANUP(BIO_free_all_ref) BIO *out = BIO_new(BIO_s_mem());

    if (!request || !out)
        return pc_fail(PC_EFAIL, "out of memory");
    rc = pki_key_type_of(key, &type);
    if (!rc)
        rc = pki_name_of_cn(cn, &name);
    if (rc)
        return rc;
    if (X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
        X509_REQ_set_subject_name(request, name) != 1 || X509_REQ_set_pubkey(request, key) != 1)
        return pc_fail_openssl(PC_EFAIL, "request");
    if (challenge && (rc = add_challenge(request, challenge)))
        return rc;
    if (X509_REQ_sign(request, key, pki_key_digest(type)) <= 0)
        return pc_fail_openssl(PC_EFAIL, "request cannot be signed");
    rc = verify_own(request, key);
    if (rc)
        return rc;
    if (PEM_write_bio_X509_REQ(out, request) != 1)
        return pc_fail_openssl(PC_EFAIL, "request cannot be encoded");
    len = BIO_get_mem_data(out, &text);
    return pc_bytes_copy(text, (size_t)len, ret_pem);
}

int pki_request_build(EVP_PKEY *key, const char *cn, struct pc_bytes *ret_pem)
{
    return build(key, cn, NULL, ret_pem);
}

int pki_request_build_bound(EVP_PKEY *key, const char *cn, const char *challenge, struct pc_bytes *ret_pem)
{
    return build(key, cn, challenge, ret_pem);
}
