/* Our own verdict on a finished CRL, read back from its bytes (RFC 5280 §5). */
#include "src/pki/crl.h"

#include <string.h>

#include "src/base/error.h"
#include "src/pki/asn1.h"
#include "src/pki/extensions.h"
#include "src/pki/openssl.h"
#include "src/pki/revoked.h"

#define LINT(...) pc_fail(PC_EFAIL, "CRL lint: " __VA_ARGS__)

static int lint_head(const X509_CRL *crl, const struct pki_crl_plan *plan)
{
    const ASN1_TIME *this_update = X509_CRL_get0_lastUpdate(crl),
                    *next_update = X509_CRL_get0_nextUpdate(crl);

    if (X509_CRL_get_version(crl) != X509_CRL_VERSION_2)
        return LINT("version is not 2 (RFC 5280 §5.1.2.1)");
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(plan->issuer)) != 0)
        return LINT("issuer is not the issuing CA's subject (RFC 5280 §5.1.2.3)");
    if (!next_update || !pki_asn1_time_is_strict(this_update) || !pki_asn1_time_is_strict(next_update))
        return LINT("dates are not UTCTime to 2049 and GeneralizedTime from 2050 (RFC 5280 §5.1.2.4)");
    if (pki_time_of(this_update) != plan->this_update || pki_time_of(next_update) != plan->next_update ||
        plan->next_update <= plan->this_update)
        return LINT("dates are not the planned ones (RFC 5280 §5.1.2.4, §5.1.2.5)");
    return 0;
}

/* cRLNumber and authorityKeyIdentifier, neither critical, and nothing else: an issuingDistributionPoint, say,
 * would make brokers refuse it. */
static int lint_extensions(const X509_CRL *crl, const struct pki_crl_plan *plan)
{
    uint64_t number;
    int critical_number, critical_authority, rc;
    PC_CLEANUP(ASN1_INTEGER_free_ref)
    ASN1_INTEGER *value = X509_CRL_get_ext_d2i(crl, NID_crl_number, &critical_number, NULL);
    PC_CLEANUP(AUTHORITY_KEYID_free_ref)
    AUTHORITY_KEYID *found =
        X509_CRL_get_ext_d2i(crl, NID_authority_key_identifier, &critical_authority, NULL);
    PC_CLEANUP(AUTHORITY_KEYID_free_ref) AUTHORITY_KEYID *planned = NULL;

    if (X509_CRL_get_ext_count(crl) != 2 || !value || !found)
        return LINT("extensions are not just cRLNumber and authorityKeyIdentifier (RFC 5280 §5.2)");
    if (critical_number != 0 || critical_authority != 0)
        return LINT("an extension is critical (RFC 5280 §5.2.1, §5.2.3)");
    if (ASN1_INTEGER_get_uint64(&number, value) != 1 || number != plan->number)
        return LINT("cRLNumber is not the planned one (RFC 5280 §5.2.3)");
    rc = pki_authority_key_id(plan->issuer, plan->issuer_key, &planned);
    if (rc)
        return rc;
    if (!found->keyid || found->issuer || found->serial ||
        ASN1_OCTET_STRING_cmp(found->keyid, planned->keyid) != 0)
        return LINT("authorityKeyIdentifier is not just the issuer's keyid (RFC 5280 §5.2.1)");
    return 0;
}

static int lint_reason(const X509_REVOKED *revoked, int planned, const char *serial)
{
    int critical = 0;
    PC_CLEANUP(ASN1_ENUMERATED_free_ref)
    ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(revoked, NID_crl_reason, &critical, NULL);

    if ((reason != NULL) != (planned != CRL_REASON_UNSPECIFIED))
        return LINT("entry %s does not carry its reason, or one though it is unspecified (RFC 5280 §5.3.1)",
                    serial);
    if (reason && (critical != 0 || ASN1_ENUMERATED_get(reason) != planned))
        return LINT("entry %s does not carry its planned reason, not critical (RFC 5280 §5.3.1)", serial);
    return 0;
}

static int lint_invalidity(const X509_REVOKED *revoked, int64_t planned, const char *serial)
{
    int critical = 0;
    PC_CLEANUP(ASN1_GENERALIZEDTIME_free_ref)
    ASN1_GENERALIZEDTIME *since = X509_REVOKED_get_ext_d2i(revoked, NID_invalidity_date, &critical, NULL);

    if ((since != NULL) != (planned != 0))
        return LINT(
            "entry %s does not carry its invalidity date, or one though none is known (RFC 5280 §5.3.2)",
            serial);
    /* "YYYYMMDDHHMMSSZ" */
    if (since && (critical != 0 || ASN1_STRING_length(since) != 15 || pki_time_of(since) != planned))
        return LINT("entry %s does not carry its planned invalidity date, not critical (RFC 5280 §5.3.2)",
                    serial);
    return 0;
}

static int lint_entry_extensions(const X509_REVOKED *revoked, const struct pki_crl_entry *planned,
                                 const char *serial)
{
    int count = (planned->reason != CRL_REASON_UNSPECIFIED) + (planned->invalid_since != 0);
    int rc = lint_reason(revoked, planned->reason, serial);

    if (!rc)
        rc = lint_invalidity(revoked, planned->invalid_since, serial);
    if (!rc && X509_REVOKED_get_ext_count(revoked) != count)
        return LINT("entry %s carries more than reason and invalidity date (RFC 5280 §5.3)", serial);
    return rc;
}

static int lint_entry(const X509_REVOKED *revoked, const struct pki_crl_entry *planned)
{
    const ASN1_INTEGER *serial = X509_REVOKED_get0_serialNumber(revoked);
    const ASN1_TIME *at = X509_REVOKED_get0_revocationDate(revoked);
    char text[PKI_SERIAL_TEXT];

    pki_serial_format(&planned->serial, text);
    if (ASN1_STRING_type(serial) != V_ASN1_INTEGER ||
        (size_t)ASN1_STRING_length(serial) != planned->serial.len ||
        memcmp(ASN1_STRING_get0_data(serial), planned->serial.octets, planned->serial.len) != 0)
        return LINT("entry %s is missing or not in its place (RFC 5280 §5.1.2.6)", text);
    if (!pki_asn1_time_is_strict(at) || pki_time_of(at) != planned->revoked_at)
        return LINT("entry %s does not bear its date of revocation (RFC 5280 §5.1.2.6)", text);
    return lint_entry_extensions(revoked, planned, text);
}

static int lint_entries(X509_CRL *crl, const struct pki_crl_plan *plan)
{
    STACK_OF(X509_REVOKED) *revoked = X509_CRL_get_REVOKED(crl);
    size_t count = revoked ? (size_t)sk_X509_REVOKED_num(revoked) : 0;
    pc_autofree const struct pki_crl_entry **sorted = NULL;
    int rc = pki_crl_sorted(plan, &sorted);

    if (rc)
        return rc;
    if (count != plan->count)
        return LINT("%zu entries, not %zu (RFC 5280 §5.1.2.6)", count, plan->count);
    if (revoked && count == 0)
        return LINT("an empty list of entries instead of none (RFC 5280 §5.1.2.6)");
    for (size_t i = 0; !rc && i < count; i++)
        rc = lint_entry(sk_X509_REVOKED_value(revoked, (int)i), sorted[i]);
    return rc;
}

static int lint_signature(X509_CRL *crl, const struct pki_crl_plan *plan)
{
    const X509_ALGOR *outer;
    enum pki_key_type type;
    int nid, digest, rc;
    EVP_PKEY *issuer = X509_get0_pubkey(plan->issuer);

    rc = pki_key_type_of(plan->issuer_key, &type);
    if (rc)
        return rc;
    X509_CRL_get0_signature(crl, NULL, &outer);
    nid = OBJ_obj2nid(outer->algorithm);
    if (OBJ_find_sigid_algs(nid, &digest, NULL) != 1 || digest != EVP_MD_get_type(pki_key_digest(type)))
        return LINT("signature algorithm %s is not the issuer's", OBJ_nid2ln(nid));
    if (!issuer || X509_CRL_verify(crl, issuer) != 1) {
        pc_fail_openssl(PC_EFAIL, "signature does not verify (RFC 5280 §5.1.1.3)");
        return pc_fail_in("CRL lint");
    }
    return 0;
}

int pki_crl_lint(const X509_CRL *crl, const struct pki_crl_plan *plan)
{
    int len, rc;
    pki_autoder *der = NULL;
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *copy = NULL;

    len = i2d_X509_CRL(crl, &der);
    if (len <= 0)
        return pc_fail_openssl(PC_EFAIL, "CRL cannot be encoded");
    if (!pki_der_is_strict(der, (size_t)len) || pki_crl_parse(der, (size_t)len, &copy))
        return LINT("not well-formed DER (X.690 §10)");
    rc = lint_head(copy, plan);
    if (!rc)
        rc = lint_extensions(copy, plan);
    if (!rc)
        rc = lint_entries(copy, plan);
    return rc ? rc : lint_signature(copy, plan);
}
