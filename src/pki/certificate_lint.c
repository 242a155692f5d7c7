/* Our own verdict on a finished certificate. It looks at every field by other means than certificate_build.c,
 * so that a fault there does not confirm itself. */
#include "src/pki/certificate.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/asn1.h"
#include "src/pki/extensions.h"
#include "src/pki/names.h"
#include "src/pki/openssl.h"

#define LINT(...) pc_fail(PC_EFAIL, "certificate lint: " __VA_ARGS__)

static int lint_serial(const X509 *certificate, const struct pki_certificate_plan *plan)
{
    struct pki_serial serial;

    if (X509_get_version(certificate) != X509_VERSION_3)
        return LINT("version is not 3 (RFC 5280 §4.1.2.1)");
    if (pki_serial_of(certificate, &serial) || serial.len != plan->serial.len ||
        memcmp(serial.octets, plan->serial.octets, serial.len) != 0)
        return LINT("serial number is not the planned one (RFC 5280 §4.1.2.2)");
    return 0;
}

static int lint_names(const X509 *certificate, const struct pki_certificate_plan *plan)
{
    const X509_NAME *subject = X509_get_subject_name(certificate),
                    *issuer = X509_get_issuer_name(certificate);
    PC_CLEANUP(X509_NAME_free_ref) X509_NAME *planned = NULL;
    int rc = pki_plan_subject(plan, &planned);

    if (rc)
        return rc;
    if (X509_NAME_cmp(subject, planned) != 0 ||
        X509_NAME_entry_count(subject) != X509_NAME_entry_count(planned))
        return LINT("subject is not the planned one (RFC 5280 §4.1.2.6)");
    if (X509_NAME_cmp(issuer, plan->issuer ? X509_get_subject_name(plan->issuer) : planned) != 0)
        return LINT("issuer is not the issuing CA's subject (RFC 5280 §4.1.2.4)");
    return 0;
}

static int lint_dates(const X509 *certificate, const struct pki_certificate_plan *plan)
{
    int64_t issuer_from, issuer_until;
    int rc;

    if (!pki_asn1_time_is_strict(X509_get0_notBefore(certificate)) ||
        !pki_asn1_time_is_strict(X509_get0_notAfter(certificate)))
        return LINT("dates are not UTCTime to 2049 and GeneralizedTime from 2050, in seconds and UTC (RFC "
                    "5280 §4.1.2.5)");
    if (pki_time_of(X509_get0_notBefore(certificate)) != plan->not_before ||
        pki_time_of(X509_get0_notAfter(certificate)) != plan->not_after || plan->not_after < plan->not_before)
        return LINT("dates are not the planned ones (RFC 5280 §4.1.2.5)");
    if (!plan->issuer)
        return 0;
    rc = pki_certificate_dates(plan->issuer, &issuer_from, &issuer_until);
    if (rc)
        return rc;
    return plan->not_after <= issuer_until ? 0 : LINT("certificate would outlive its issuer");
}

static int lint_key(const X509 *certificate, const struct pki_certificate_plan *plan)
{
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    char planned[PKI_FINGERPRINT_TEXT], found[PKI_FINGERPRINT_TEXT];
    int rc;

    if (!key)
        return LINT("public key cannot be read (RFC 5280 §4.1.2.7)");
    rc = pki_key_fingerprint(key, found);
    if (!rc)
        rc = pki_key_fingerprint(plan->subject_key, planned);
    if (rc)
        return rc;
    return strcmp(found, planned) == 0 ? 0 : LINT("public key is not the planned one (RFC 5280 §4.1.2.7)");
}

/* Every extension that may stand there, and whether it is critical. */
static const struct allowed {
    int nid;
    bool critical;
    const char *clause;
} allowed[] = {
    {NID_basic_constraints, true, "RFC 5280 §4.2.1.9"},
    {NID_key_usage, true, "RFC 5280 §4.2.1.3"},
    {NID_ext_key_usage, false, "RFC 5280 §4.2.1.12"},
    {NID_subject_alt_name, false, "RFC 5280 §4.2.1.6"},
    {NID_subject_key_identifier, false, "RFC 5280 §4.2.1.2"},
    {NID_authority_key_identifier, false, "RFC 5280 §4.2.1.1"},
};

/* No extension but those, none twice, each with its criticality; and those that the profile asks for are
 * there. */
static int lint_extension_set(const X509 *certificate, const struct pki_profile *profile)
{
    const size_t count = sizeof allowed / sizeof allowed[0];

    for (int i = 0; i < X509_get_ext_count(certificate); i++) {
        X509_EXTENSION *extension = X509_get_ext(certificate, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
        size_t row = 0;

        while (row < count && allowed[row].nid != nid)
            row++;
        if (row == count)
            return LINT("extension %s stands in no profile (RFC 5280 §4.2)", OBJ_nid2ln(nid));
        if ((X509_EXTENSION_get_critical(extension) != 0) != allowed[row].critical)
            return LINT("extension %s is %scritical (%s)", OBJ_nid2ln(nid),
                        allowed[row].critical ? "not " : "", allowed[row].clause);
        if (X509_get_ext_by_NID(certificate, nid, i) >= 0)
            return LINT("extension %s stands twice (RFC 5280 §4.2)", OBJ_nid2ln(nid));
    }
    for (size_t row = 0; row < count; row++) {
        bool wanted = (allowed[row].nid != NID_ext_key_usage || profile->extended_key_usage != NID_undef) &&
                      (allowed[row].nid != NID_subject_alt_name || profile->san != PKI_SAN_NONE);

        if (wanted != (X509_get_ext_by_NID(certificate, allowed[row].nid, -1) >= 0))
            return LINT("extension %s %s (%s)", OBJ_nid2ln(allowed[row].nid),
                        wanted ? "is missing" : "is not the profile's", allowed[row].clause);
    }
    return 0;
}

/* The verdict of OpenSSL's own reading. `certificate` is a private copy, as OpenSSL's getters cache in it. */
static int lint_usage(X509 *certificate, const struct pki_profile *profile)
{
    PC_CLEANUP(BASIC_CONSTRAINTS_free_ref)
    BASIC_CONSTRAINTS *constraints = X509_get_ext_d2i(certificate, NID_basic_constraints, NULL, NULL);
    PC_CLEANUP(EXTENDED_KEY_USAGE_free_ref)
    EXTENDED_KEY_USAGE *extended = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
    long path_length = constraints && constraints->pathlen ? ASN1_INTEGER_get(constraints->pathlen) : -1;

    if (!constraints || (constraints->ca != 0) != profile->ca || path_length != profile->path_length)
        return LINT("basicConstraints are not the profile's (RFC 5280 §4.2.1.9)");
    if (X509_get_key_usage(certificate) != profile->key_usage)
        return LINT("keyUsage is not the profile's (RFC 5280 §4.2.1.3)");
    if (profile->extended_key_usage == NID_undef)
        return 0;
    if (!extended || sk_ASN1_OBJECT_num(extended) != 1 ||
        OBJ_obj2nid(sk_ASN1_OBJECT_value(extended, 0)) != profile->extended_key_usage)
        return LINT("extKeyUsage is not the profile's (RFC 5280 §4.2.1.12)");
    return 0;
}

static int lint_san(const X509 *certificate, const struct pki_certificate_plan *plan)
{
    PC_CLEANUP(GENERAL_NAMES_free_ref)
    GENERAL_NAMES *found = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    PC_CLEANUP(GENERAL_NAMES_free_ref) GENERAL_NAMES *planned = NULL;
    int rc = pki_extensions_san(plan->profile, plan->cn, plan->hosts, &planned);

    if (rc)
        return rc;
    if (!planned)
        return 0;
    if (!found || sk_GENERAL_NAME_num(found) != sk_GENERAL_NAME_num(planned))
        return LINT("subjectAltName is not the planned one (RFC 5280 §4.2.1.6)");
    for (int i = 0; i < sk_GENERAL_NAME_num(planned); i++) {
        if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(found, i), sk_GENERAL_NAME_value(planned, i)) != 0)
            return LINT("subjectAltName is not the planned one (RFC 5280 §4.2.1.6)");
    }
    return 0;
}

static int lint_key_ids(X509 *certificate, const struct pki_certificate_plan *plan)
{
    const ASN1_OCTET_STRING *subject = X509_get0_subject_key_id(certificate),
                            *authority = X509_get0_authority_key_id(certificate);
    unsigned char id[PKI_KEY_ID_LEN];
    PC_CLEANUP(AUTHORITY_KEYID_free_ref) AUTHORITY_KEYID *planned = NULL;
    int rc = pki_key_id(plan->subject_key, id);

    if (!rc)
        rc = pki_authority_key_id(plan->issuer, plan->issuer_key, &planned);
    if (rc)
        return rc;
    if (!subject || ASN1_STRING_length(subject) != sizeof id ||
        memcmp(ASN1_STRING_get0_data(subject), id, sizeof id) != 0)
        return LINT("subjectKeyIdentifier is not its key's (RFC 5280 §4.2.1.2)");
    if (!authority || ASN1_OCTET_STRING_cmp(authority, planned->keyid) != 0)
        return LINT("authorityKeyIdentifier is not the issuer's (RFC 5280 §4.2.1.1)");
    if (X509_get0_authority_issuer(certificate) || X509_get0_authority_serial(certificate))
        return LINT("authorityKeyIdentifier says more than keyid (RFC 5280 §4.2.1.1)");
    return 0;
}

static int lint_signature(X509 *certificate, const struct pki_certificate_plan *plan)
{
    const X509_ALGOR *outer;
    enum pki_key_type type;
    int nid, digest, rc;
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *issuer = NULL;

    rc = pki_key_type_of(plan->issuer_key, &type);
    if (!rc)
        rc = pki_key_public(plan->issuer ? X509_get0_pubkey(plan->issuer) : plan->subject_key, &issuer);
    if (rc)
        return rc;
    X509_get0_signature(NULL, &outer, certificate);
    if (X509_ALGOR_cmp(outer, X509_get0_tbs_sigalg(certificate)) != 0)
        return LINT("the two signature algorithms differ (RFC 5280 §4.1.1.2)");
    nid = X509_get_signature_nid(certificate);
    if (OBJ_find_sigid_algs(nid, &digest, NULL) != 1 || digest != EVP_MD_get_type(pki_key_digest(type)))
        return LINT("signature algorithm %s is not the issuer's", OBJ_nid2ln(nid));
    if (X509_verify(certificate, issuer) != 1) {
        pc_fail_openssl(PC_EFAIL, "signature does not verify (RFC 5280 §4.1.1.3)");
        return pc_fail_in("certificate lint");
    }
    return 0;
}

int pki_certificate_lint(const X509 *certificate, const struct pki_certificate_plan *plan)
{
    int rc;
    pc_autobytes der = {0};
    PC_CLEANUP(X509_free_ref) X509 *copy = NULL;

    rc = pki_certificate_der(certificate, &der);
    if (rc)
        return rc;
    if (!pki_der_is_strict(der.data, der.len))
        return LINT("not well-formed DER (X.690 §10)");
    if (pki_certificate_parse(der.data, der.len, &copy))
        return LINT("%s", pc_error_text());
    rc = lint_serial(copy, plan);
    if (!rc)
        rc = lint_names(copy, plan);
    if (!rc)
        rc = lint_dates(copy, plan);
    if (!rc)
        rc = lint_key(copy, plan);
    if (!rc)
        rc = lint_extension_set(copy, plan->profile);
    if (!rc)
        rc = lint_usage(copy, plan->profile);
    if (!rc)
        rc = lint_san(copy, plan);
    if (!rc)
        rc = lint_key_ids(copy, plan);
    return rc ? rc : lint_signature(copy, plan);
}
