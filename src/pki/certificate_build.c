/* The to-be-signed bytes of a certificate, from a plan. Nothing here holds the issuer's private key. */
#include "src/pki/certificate.h"

#include "src/base/error.h"
#include "src/pki/asn1.h"
#include "src/pki/extensions.h"
#include "src/pki/names.h"
#include "src/pki/openssl.h"
#include "src/pki/spki.h"
#include "src/pki/throwaway.h"

static int set_subject(X509 *certificate, const struct pki_certificate_plan *plan)
{
    int rc;
    PC_CLEANUP(X509_NAME_free_ref) X509_NAME *name = NULL;

    rc = pki_plan_subject(plan, &name);
    if (rc)
        return rc;
    if (X509_set_subject_name(certificate, name) != 1 ||
        X509_set_issuer_name(certificate, plan->issuer ? X509_get_subject_name(plan->issuer) : name) != 1)
        return pc_fail_openssl(PC_EFAIL, "certificate names");
    return 0;
}

static int set_serial(X509 *certificate, const struct pki_serial *serial)
{
    PC_CLEANUP(ASN1_INTEGER_free_ref) ASN1_INTEGER *value = ASN1_INTEGER_new();

    if (serial->len == 0 || serial->len > PKI_SERIAL_MAX || serial->octets[0] == 0 ||
        (serial->len == PKI_SERIAL_MAX && serial->octets[0] > 0x7f))
        return pc_fail(PC_EFAIL, "serial number is not positive or longer than %d octets", PKI_SERIAL_MAX);
    if (!value || ASN1_STRING_set(value, serial->octets, (int)serial->len) != 1 ||
        X509_set_serialNumber(certificate, value) != 1)
        return pc_fail_openssl(PC_EFAIL, "serial number");
    return 0;
}

static int set_dates(X509 *certificate, int64_t not_before, int64_t not_after)
{
    int rc;
    PC_CLEANUP(ASN1_TIME_free_ref) ASN1_TIME *from = NULL;
    PC_CLEANUP(ASN1_TIME_free_ref) ASN1_TIME *until = NULL;

    if (not_after < not_before)
        return pc_fail(PC_EFAIL, "certificate would end before it begins");
    rc = pki_asn1_time(not_before, &from);
    if (!rc)
        rc = pki_asn1_time(not_after, &until);
    if (rc)
        return rc;
    if (X509_set1_notBefore(certificate, from) != 1 || X509_set1_notAfter(certificate, until) != 1)
        return pc_fail_openssl(PC_EFAIL, "certificate dates");
    return 0;
}

static int set_key(X509 *certificate, const EVP_PKEY *key)
{
    struct pki_spki spki;
    int rc = pki_spki_of(key, &spki);

    return rc ? rc : pki_spki_set(certificate, &spki);
}

static int set_extensions(X509 *certificate, const struct pki_certificate_plan *plan)
{
    int rc;
    PC_CLEANUP(pki_extensions_free_ref) STACK_OF(X509_EXTENSION) *stack = NULL;
    PC_CLEANUP(AUTHORITY_KEYID_free_ref) AUTHORITY_KEYID *authority = NULL;

    rc = pki_extensions_new(plan->profile, plan->subject_key, plan->cn, plan->hosts, &stack);
    if (!rc)
        rc = pki_authority_key_id(plan->issuer, plan->issuer_key, &authority);
    if (rc)
        return rc;
    for (int i = 0; i < sk_X509_EXTENSION_num(stack); i++) {
        if (X509_add_ext(certificate, sk_X509_EXTENSION_value(stack, i), -1) != 1)
            return pc_fail_openssl(PC_EFAIL, "certificate extensions");
    }
    if (X509_add1_ext_i2d(certificate, NID_authority_key_identifier, authority, 0, X509V3_ADD_DEFAULT) != 1)
        return pc_fail_openssl(PC_EFAIL, "authorityKeyIdentifier");
    return 0;
}

int pki_certificate_tbs(const struct pki_certificate_plan *plan, struct pc_bytes *ret_tbs)
{
    int rc, len;
    pki_autoder *der = NULL;
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;

    rc = pki_check_issuer(plan->issuer, plan->subject_key, plan->issuer_key);
    if (!rc)
        rc = pki_blank_certificate(plan->issuer_key, &certificate);
    if (!rc)
        rc = set_serial(certificate, &plan->serial);
    if (!rc)
        rc = set_subject(certificate, plan);
    if (!rc)
        rc = set_dates(certificate, plan->not_before, plan->not_after);
    if (!rc)
        rc = set_key(certificate, plan->subject_key);
    if (!rc)
        rc = set_extensions(certificate, plan);
    if (rc)
        return rc;
    len = i2d_re_X509_tbs(certificate, &der);
    return len > 0 ? pc_bytes_copy(der, (size_t)len, ret_tbs)
                   : pc_fail_openssl(PC_EFAIL, "certificate cannot be encoded");
}
