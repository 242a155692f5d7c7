/* "certs-only" messages: a SignedData that nobody has signed, a mere bag of certificates (RFC 5652 §5.1). */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pkcs7.h>

#include "src/base/error.h"
#include "src/est/body.h"
#include "src/pki/asn1.h"
#include "src/pki/bundle.h"
#include "src/pki/certificate.h"
#include "src/pki/openssl.h"

PC_DEFINE_CLEANUP(PKCS7, PKCS7_free);

static void certificates_free_ref(STACK_OF(X509) * *stack)
{
    pki_certificates_free(*stack);
}

/* All but the certificates: id-signedData; version 1, no digests, id-data without content; no signers. */
static const unsigned char type_signed[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02};
static const unsigned char before[] = {0x02, 0x01, 0x01, 0x31, 0x00, 0x30, 0x0b, 0x06, 0x09,
                                       0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01};
static const unsigned char behind[] = {0x31, 0x00};

static void put(unsigned char **at, const void *data, size_t len)
{
    memcpy(*at, data, len);
    *at += len;
}

/* Written as bytes, since the certificates are bytes: OpenSSL would parse each for the sake of writing it
 * again, and the station does this for every PLC. */
int est_certs_build(const struct pc_bytes *certificates, size_t count, struct pc_bytes *ret_der)
{
    size_t held = 0;
    int bag, inner, explicit, outer, whole;
    unsigned char *at;
    pc_autofree unsigned char *der = NULL;

    for (size_t i = 0; i < count; i++) {
        if (certificates[i].len == 0 || certificates[i].len > EST_BODY_MAX)
            return pc_fail(PC_EFAIL, "certificate of %zu octets", certificates[i].len);
        held += certificates[i].len;
        if (held > EST_BODY_MAX)
            return pc_fail(PC_EFAIL, "certificates of more than %d octets", EST_BODY_MAX);
    }
    if (count == 0)
        return pc_fail(PC_EFAIL, "no certificate to send");
    bag = ASN1_object_size(1, (int)held, 0);
    inner = (int)sizeof before + bag + (int)sizeof behind;
    explicit = ASN1_object_size(1, inner, V_ASN1_SEQUENCE);
    outer = (int)sizeof type_signed + ASN1_object_size(1, explicit, 0);
    whole = ASN1_object_size(1, outer, V_ASN1_SEQUENCE);
    at = der = malloc((size_t)whole);
    if (!der)
        return pc_fail(PC_EFAIL, "out of memory");
    ASN1_put_object(&at, 1, outer, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    put(&at, type_signed, sizeof type_signed);
    ASN1_put_object(&at, 1, explicit, 0, V_ASN1_CONTEXT_SPECIFIC);
    ASN1_put_object(&at, 1, inner, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    put(&at, before, sizeof before);
    ASN1_put_object(&at, 1, (int)held, 0, V_ASN1_CONTEXT_SPECIFIC);
    for (size_t i = 0; i < count; i++)
        put(&at, certificates[i].data, certificates[i].len);
    put(&at, behind, sizeof behind);
    return pc_bytes_copy(der, (size_t)whole, ret_der);
}

static int parse(const struct pc_bytes *der, PKCS7 **ret)
{
    const unsigned char *at = der->data;
    PC_CLEANUP(PKCS7_free_ref) PKCS7 *message = NULL;

    if (der->len == 0 || der->len > EST_BODY_MAX || !pki_der_is_strict(der->data, der->len))
        return pc_refuse("est-certs", "certificates are not DER, or more than %d octets (RFC 8951 §3.1)",
                         EST_BODY_MAX);
    /* PKCS#7 knows certificates and CRLs alone, where CMS would pass over kinds that it does not know. */
    message = d2i_PKCS7(NULL, &at, (long)der->len);
    if (!message || at != der->data + der->len)
        return pc_refuse("est-certs", "certificates are no certs-only message (RFC 5272 §4.1)");
    if (!PKCS7_type_is_signed(message) || !message->d.sign || !message->d.sign->contents)
        return pc_refuse("est-certs", "certificates come as %s, not as SignedData (RFC 5272 §4.1)",
                         OBJ_nid2sn(OBJ_obj2nid(message->type)));
    *ret = pc_steal(message);
    return 0;
}

static int judge(const PKCS7_SIGNED *bag, size_t most)
{
    int count = sk_X509_num(bag->cert);

    if (sk_PKCS7_SIGNER_INFO_num(bag->signer_info) > 0)
        return pc_refuse("est-certs", "certs-only message has signers (RFC 5272 §4.1)");
    if (!PKCS7_type_is_data(bag->contents) || bag->contents->d.ptr)
        return pc_refuse("est-certs", "certs-only message has content (RFC 5272 §4.1)");
    if (sk_X509_CRL_num(bag->crl) > 0)
        return pc_refuse("est-certs", "certs-only message brings CRLs");
    if (count < 1)
        return pc_refuse("est-certs", "certs-only message has no certificate (RFC 7030 §4.1.3)");
    if ((size_t)count > most)
        return pc_refuse("est-certs", "certs-only message of %d certificates, not at most %zu", count, most);
    return 0;
}

/* Parsed anew each, so that whatever judges certificates elsewhere has judged these. */
static int take(const PKCS7_SIGNED *bag, STACK_OF(X509) * certificates)
{
    for (int i = 0; i < sk_X509_num(bag->cert); i++) {
        pki_autoder *der = NULL;
        int len = i2d_X509(sk_X509_value(bag->cert, i), &der);
        PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;

        if (len <= 0)
            return pc_fail_openssl(PC_EFAIL, "certificate");
        if (pki_certificate_parse(der, (size_t)len, &certificate))
            return pc_refuse("est-certs", "certificate %d: %s", i + 1, pc_error_text());
        if (sk_X509_push(certificates, certificate) == 0)
            return pc_fail(PC_EFAIL, "out of memory");
        certificate = NULL;
    }
    return 0;
}

int est_certs_read(const struct pc_bytes *der, size_t most, STACK_OF(X509) * *ret)
{
    PC_CLEANUP(PKCS7_free_ref) PKCS7 *message = NULL;
    PC_CLEANUP(certificates_free_ref) STACK_OF(X509) *certificates = sk_X509_new_null();
    int rc;

    if (!certificates)
        return pc_fail(PC_EFAIL, "out of memory");
    rc = parse(der, &message);
    if (!rc)
        rc = judge(message->d.sign, most);
    if (!rc)
        rc = take(message->d.sign, certificates);
    ERR_clear_error(); /* what hostile bytes left there is no news for the next caller */
    if (rc)
        return rc;
    *ret = pc_steal(certificates);
    return 0;
}
