/* Our own verdict on a finished certificate. It looks at every field by other means than certificate_build.c,
 * so that a fault there does not confirm itself. */
#include "src/pki/certificate.h"

#include <string.h>

#include <openssl/err.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/asn1.h"
#include "src/pki/extensions.h"
#include "src/pki/names.h"
#include "src/pki/openssl.h"
#include "src/pki/signature.h"
#include "src/pki/spki.h"

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
    pc_autobytes found = {0};
    struct pki_spki planned;
    int rc = pki_spki_of_certificate(certificate, &found);

    if (!rc)
        rc = pki_spki_of(plan->subject_key, &planned);
    if (rc)
        return rc;
    return found.len == planned.len && memcmp(found.data, planned.der, found.len) == 0
               ? 0
               : LINT("public key is not the planned one (RFC 5280 §4.1.2.7)");
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

/* KU_… as OpenSSL has them: the first octet in the low byte. 0 when there is none. */
static uint32_t key_usage_of(const X509 *certificate)
{
    PC_CLEANUP(ASN1_BIT_STRING_free_ref)
    ASN1_BIT_STRING *usage = X509_get_ext_d2i(certificate, NID_key_usage, NULL, NULL);
    const unsigned char *octets = usage ? ASN1_STRING_get0_data(usage) : NULL;
    uint32_t found = 0;

    for (int i = 0; usage && i < ASN1_STRING_length(usage); i++)
        found |= i < 2 ? (uint32_t)octets[i] << (8 * i) : UINT32_MAX;
    return found;
}

static int lint_usage(const X509 *certificate, const struct pki_profile *profile)
{
    PC_CLEANUP(BASIC_CONSTRAINTS_free_ref)
    BASIC_CONSTRAINTS *constraints = X509_get_ext_d2i(certificate, NID_basic_constraints, NULL, NULL);
    PC_CLEANUP(EXTENDED_KEY_USAGE_free_ref)
    EXTENDED_KEY_USAGE *extended = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
    long path_length = constraints && constraints->pathlen ? ASN1_INTEGER_get(constraints->pathlen) : -1;

    if (!constraints || (constraints->ca != 0) != profile->ca || path_length != profile->path_length)
        return LINT("basicConstraints are not the profile's (RFC 5280 §4.2.1.9)");
    if (key_usage_of(certificate) != profile->key_usage)
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

static int lint_key_ids(const X509 *certificate, const struct pki_certificate_plan *plan)
{
    PC_CLEANUP(ASN1_OCTET_STRING_free_ref)
    ASN1_OCTET_STRING *subject = X509_get_ext_d2i(certificate, NID_subject_key_identifier, NULL, NULL);
    PC_CLEANUP(AUTHORITY_KEYID_free_ref)
    AUTHORITY_KEYID *authority = X509_get_ext_d2i(certificate, NID_authority_key_identifier, NULL, NULL);
    PC_CLEANUP(AUTHORITY_KEYID_free_ref) AUTHORITY_KEYID *planned = NULL;
    unsigned char id[PKI_KEY_ID_LEN];
    int rc = pki_key_id(plan->subject_key, id);

    if (!rc)
        rc = pki_authority_key_id(plan->issuer, plan->issuer_key, &planned);
    if (rc)
        return rc;
    if (!subject || ASN1_STRING_length(subject) != sizeof id ||
        memcmp(ASN1_STRING_get0_data(subject), id, sizeof id) != 0)
        return LINT("subjectKeyIdentifier is not its key's (RFC 5280 §4.2.1.2)");
    if (!authority || !authority->keyid || ASN1_OCTET_STRING_cmp(authority->keyid, planned->keyid) != 0)
        return LINT("authorityKeyIdentifier is not the issuer's (RFC 5280 §4.2.1.1)");
    if (authority->issuer || authority->serial)
        return LINT("authorityKeyIdentifier says more than keyid (RFC 5280 §4.2.1.1)");
    return 0;
}

/* The issuer's key as software sees it: in a certificate it is that, a plan's may live in a token. */
static int issuer_key(const struct pki_certificate_plan *plan, EVP_PKEY **ret)
{
    EVP_PKEY *key = plan->issuer ? X509_get0_pubkey(plan->issuer) : NULL;

    if (!plan->issuer)
        return pki_key_public(plan->subject_key, ret);
    if (!key || EVP_PKEY_up_ref(key) != 1)
        return pc_fail_openssl(PC_EFAIL, "issuer's key cannot be read");
    *ret = key;
    return 0;
}

static int lint_signature(const X509 *certificate, const struct pc_bytes *der,
                          const struct pki_certificate_plan *plan)
{
    const ASN1_BIT_STRING *signature;
    const X509_ALGOR *outer;
    enum pki_key_type type;
    int nid, digest, rc;
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *issuer = NULL;

    rc = pki_key_type_of(plan->issuer_key, &type);
    if (!rc)
        rc = issuer_key(plan, &issuer);
    if (rc)
        return rc;
    X509_get0_signature(&signature, &outer, certificate);
    if (X509_ALGOR_cmp(outer, X509_get0_tbs_sigalg(certificate)) != 0)
        return LINT("the two signature algorithms differ (RFC 5280 §4.1.1.2)");
    nid = OBJ_obj2nid(outer->algorithm);
    if (OBJ_find_sigid_algs(nid, &digest, NULL) != 1 || digest != EVP_MD_get_type(pki_key_digest(type)))
        return LINT("signature algorithm %s is not the issuer's", OBJ_nid2ln(nid));
    if (pki_signature_verify(issuer, nid, der, signature)) {
        pc_fail_in("signature (RFC 5280 §4.1.1.3)");
        return pc_fail_in("certificate lint");
    }
    return 0;
}

/* A copy of our own, read from the bytes. */
static int read_back(const struct pc_bytes *der, X509 **ret)
{
    const unsigned char *at = der->data;
    PC_CLEANUP(X509_free_ref) X509 *copy = X509_new_ex(pki_keyless(), NULL);

    if (!copy)
        return pc_fail(PC_EFAIL, "out of memory");
    if (!pki_der_is_strict(der->data, der->len) || !d2i_X509(&copy, &at, (long)der->len) ||
        at != der->data + der->len)
        return LINT("not well-formed DER (X.690 §10)");
    *ret = pc_steal(copy);
    return 0;
}

static int lint(const struct pc_bytes *der, const struct pki_certificate_plan *plan)
{
    PC_CLEANUP(X509_free_ref) X509 *copy = NULL;
    int rc = read_back(der, &copy);

    if (!rc)
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
    return rc ? rc : lint_signature(copy, der, plan);
}

int pki_certificate_lint_der(const struct pc_bytes *der, const struct pki_certificate_plan *plan)
{
    int rc = lint(der, plan);

    ERR_clear_error(); /* a copy without a key leaves something there */
    return rc;
}

int pki_certificate_lint(const X509 *certificate, const struct pki_certificate_plan *plan)
{
    pc_autobytes der = {0};
    int rc = pki_certificate_der(certificate, &der);

    return rc ? rc : pki_certificate_lint_der(&der, plan);
}
