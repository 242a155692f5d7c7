/* Revocation lists: the to-be-signed bytes from a plan, parsing, PEM. Our verdict on a finished one is in
 * crl_lint.c. */
#include "src/pki/crl.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/err.h>

#include "src/base/error.h"
#include "src/pki/asn1.h"
#include "src/pki/extensions.h"
#include "src/pki/openssl.h"
#include "src/pki/revoked.h"
#include "src/pki/throwaway.h"

/* RFC 5280 §5.3.1. Number 7 is not used, and 8 (removeFromCRL) belongs to delta CRLs. */
static const char *const reasons[] = {
    [CRL_REASON_UNSPECIFIED] = "unspecified",
    [CRL_REASON_KEY_COMPROMISE] = "keyCompromise",
    [CRL_REASON_CA_COMPROMISE] = "cACompromise",
    [CRL_REASON_AFFILIATION_CHANGED] = "affiliationChanged",
    [CRL_REASON_SUPERSEDED] = "superseded",
    [CRL_REASON_CESSATION_OF_OPERATION] = "cessationOfOperation",
    [CRL_REASON_CERTIFICATE_HOLD] = "certificateHold",
    [CRL_REASON_PRIVILEGE_WITHDRAWN] = "privilegeWithdrawn",
    [CRL_REASON_AA_COMPROMISE] = "aACompromise",
};
#define REASONS (sizeof reasons / sizeof reasons[0])

/* A hold is none that one could be revoked for. */
static int refuse_reason(const char *name)
{
    char names[256] = "";
    size_t at = 0;
    for (size_t i = 0; i < REASONS; i++)
        if (reasons[i] && i != CRL_REASON_CERTIFICATE_HOLD && at < sizeof names)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at ? ", " : "", reasons[i]);
    return pc_fail(PC_EUSAGE, "'%.60s' is no revocation reason: it is one of %s", name, names);
}

int pki_reason_parse(const char *name, int *ret)
{
    if (strcmp(name, "removeFromCRL") == 0)
        return pc_fail(PC_EUSAGE, "reason removeFromCRL belongs to delta CRLs (RFC 5280 §5.3.1)");
    for (size_t i = 0; i < REASONS; i++) {
        if (reasons[i] && strcasecmp(name, reasons[i]) == 0) {
            *ret = (int)i;
            return 0;
        }
    }
    return refuse_reason(name);
}

static bool reason_is_known(int reason)
{
    return reason >= 0 && (size_t)reason < REASONS && reasons[reason];
}

const char *pki_reason_name(int reason)
{
    return reasons[reason_is_known(reason) ? reason : CRL_REASON_UNSPECIFIED];
}

/* Shorter is smaller, as no serial has leading zeros. */
static int compare_serials(const struct pki_serial *a, const struct pki_serial *b)
{
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return memcmp(a->octets, b->octets, a->len);
}

static int compare_entries(const void *a, const void *b)
{
    const struct pki_crl_entry *const *left = a, *const *right = b;

    return compare_serials(&(*left)->serial, &(*right)->serial);
}

int pki_crl_sorted(const struct pki_crl_plan *plan, const struct pki_crl_entry ***ret)
{
    pc_autofree const struct pki_crl_entry **sorted = calloc(plan->count + 1, sizeof *sorted);

    if (!sorted)
        return pc_fail(PC_EFAIL, "out of memory");
    for (size_t i = 0; i < plan->count; i++)
        sorted[i] = &plan->entries[i];
    qsort(sorted, plan->count, sizeof *sorted, compare_entries);
    for (size_t i = 1; i < plan->count; i++) {
        if (compare_entries(&sorted[i - 1], &sorted[i]) == 0) {
            char serial[PKI_SERIAL_TEXT];

            pki_serial_format(&sorted[i]->serial, serial);
            return pc_fail(PC_EFAIL, "serial number %s stands twice in the CRL's plan", serial);
        }
    }
    *ret = pc_steal(sorted);
    return 0;
}

static int set_head(X509_CRL *crl, const struct pki_crl_plan *plan)
{
    int rc;
    PC_CLEANUP(ASN1_TIME_free_ref) ASN1_TIME *this_update = NULL;
    PC_CLEANUP(ASN1_TIME_free_ref) ASN1_TIME *next_update = NULL;

    if (plan->next_update <= plan->this_update)
        return pc_fail(PC_EFAIL, "CRL would be stale when it is made");
    rc = pki_asn1_time(plan->this_update, &this_update);
    if (!rc)
        rc = pki_asn1_time(plan->next_update, &next_update);
    if (rc)
        return rc;
    if (X509_CRL_set_version(crl, X509_CRL_VERSION_2) != 1 ||
        X509_CRL_set_issuer_name(crl, X509_get_subject_name(plan->issuer)) != 1 ||
        X509_CRL_set1_lastUpdate(crl, this_update) != 1 || X509_CRL_set1_nextUpdate(crl, next_update) != 1)
        return pc_fail_openssl(PC_EFAIL, "CRL head");
    return 0;
}

static int set_extensions(X509_CRL *crl, const struct pki_crl_plan *plan)
{
    int rc;
    PC_CLEANUP(AUTHORITY_KEYID_free_ref) AUTHORITY_KEYID *authority = NULL;
    PC_CLEANUP(ASN1_INTEGER_free_ref) ASN1_INTEGER *number = ASN1_INTEGER_new();

    if (plan->number == 0)
        return pc_fail(PC_EFAIL, "CRL numbers begin at 1");
    rc = pki_authority_key_id(plan->issuer, plan->issuer_key, &authority);
    if (rc)
        return rc;
    if (!number || ASN1_INTEGER_set_uint64(number, plan->number) != 1 ||
        X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, authority, 0, X509V3_ADD_DEFAULT) != 1 ||
        X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, X509V3_ADD_DEFAULT) != 1)
        return pc_fail_openssl(PC_EFAIL, "CRL extensions");
    return 0;
}

/* Reason and invalidity date, each only where there is something to say (RFC 5280 §5.3.1, §5.3.2). */
static int set_entry_extensions(X509_REVOKED *revoked, const struct pki_crl_entry *entry)
{
    PC_CLEANUP(ASN1_ENUMERATED_free_ref) ASN1_ENUMERATED *reason = NULL;
    PC_CLEANUP(ASN1_GENERALIZEDTIME_free_ref) ASN1_GENERALIZEDTIME *since = NULL;
    int rc;

    if (entry->reason != CRL_REASON_UNSPECIFIED) {
        reason = ASN1_ENUMERATED_new();
        if (!reason || ASN1_ENUMERATED_set(reason, entry->reason) != 1 ||
            X509_REVOKED_add1_ext_i2d(revoked, NID_crl_reason, reason, 0, X509V3_ADD_APPEND) != 1)
            return pc_fail_openssl(PC_EFAIL, "CRL entry");
    }
    if (entry->invalid_since == 0)
        return 0;
    rc = pki_asn1_generalized_time(entry->invalid_since, &since);
    if (rc)
        return rc;
    if (X509_REVOKED_add1_ext_i2d(revoked, NID_invalidity_date, since, 0, X509V3_ADD_APPEND) != 1)
        return pc_fail_openssl(PC_EFAIL, "CRL entry");
    return 0;
}

static int add_entry(X509_CRL *crl, const struct pki_crl_entry *entry)
{
    int rc;
    PC_CLEANUP(X509_REVOKED_free_ref) X509_REVOKED *revoked = X509_REVOKED_new();
    PC_CLEANUP(ASN1_INTEGER_free_ref) ASN1_INTEGER *serial = ASN1_INTEGER_new();
    PC_CLEANUP(ASN1_TIME_free_ref) ASN1_TIME *at = NULL;

    if (entry->serial.len == 0 || entry->serial.len > PKI_SERIAL_MAX || entry->serial.octets[0] == 0)
        return pc_fail(PC_EFAIL, "CRL entry without a proper serial number");
    if (!reason_is_known(entry->reason))
        return pc_fail(PC_EFAIL, "CRL entry with reason %d, which is none (RFC 5280 §5.3.1)", entry->reason);
    rc = pki_asn1_time(entry->revoked_at, &at);
    if (rc)
        return rc;
    if (!revoked || !serial || ASN1_STRING_set(serial, entry->serial.octets, (int)entry->serial.len) != 1 ||
        X509_REVOKED_set_serialNumber(revoked, serial) != 1 ||
        X509_REVOKED_set_revocationDate(revoked, at) != 1)
        return pc_fail_openssl(PC_EFAIL, "CRL entry");
    rc = set_entry_extensions(revoked, entry);
    if (rc)
        return rc;
    if (X509_CRL_add0_revoked(crl, revoked) != 1)
        return pc_fail_openssl(PC_EFAIL, "CRL entry");
    revoked = NULL;
    return 0;
}

static int add_entries(X509_CRL *crl, const struct pki_crl_plan *plan)
{
    pc_autofree const struct pki_crl_entry **sorted = NULL;
    int rc = pki_crl_sorted(plan, &sorted);

    for (size_t i = 0; !rc && i < plan->count; i++)
        rc = add_entry(crl, sorted[i]);
    return rc;
}

int pki_crl_tbs(const struct pki_crl_plan *plan, struct pc_bytes *ret_tbs)
{
    const EVP_MD *digest = NULL;
    int len, rc;
    pki_autoder *der = NULL;
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *key = NULL;
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = X509_CRL_new();

    if (!crl)
        return pc_fail(PC_EFAIL, "out of memory");
    rc = pki_check_issuer(plan->issuer, NULL, plan->issuer_key);
    if (!rc)
        rc = set_head(crl, plan);
    if (!rc)
        rc = add_entries(crl, plan);
    if (!rc)
        rc = set_extensions(crl, plan);
    if (!rc)
        rc = pki_throwaway_key(plan->issuer_key, &key, &digest);
    if (rc)
        return rc;
    /* The signing pass that fixes the signature algorithm. */
    if (X509_CRL_sign(crl, key, digest) <= 0 || (len = i2d_re_X509_CRL_tbs(crl, &der)) <= 0)
        return pc_fail_openssl(PC_EFAIL, "CRL cannot be encoded");
    return pc_bytes_copy(der, (size_t)len, ret_tbs);
}

static int parse_der(const unsigned char *der, size_t len, X509_CRL **ret)
{
    const unsigned char *at = der;
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = NULL;

    if (len == 0 || len > INT_MAX || !(crl = d2i_X509_CRL(NULL, &at, (long)len)))
        return pc_refuse("crl-parse", "CRL cannot be parsed (RFC 5280 §5.1)");
    if (at != der + len)
        return pc_refuse("crl-parse", "%zu bytes behind the CRL", (size_t)(der + len - at));
    *ret = pc_steal(crl);
    return 0;
}

static int parse_any(const void *data, size_t len, X509_CRL **ret)
{
    static const char *const labels[] = {"X509 CRL", NULL};
    pc_autobytes der = {0};
    int rc = pki_der_or_pem(data, len, labels, "crl-parse", &der);

    return rc ? rc : parse_der(der.data, der.len, ret);
}

int pki_crl_parse(const void *data, size_t len, X509_CRL **ret)
{
    int rc = parse_any(data, len, ret);

    ERR_clear_error(); /* what hostile bytes left there is no news for the next caller */
    return rc;
}

int pki_crl_append_pem(const X509_CRL *crl, struct pc_bytes *pem)
{
    pki_autoder *der = NULL;
    int len = i2d_X509_CRL(crl, &der);

    if (len <= 0)
        return pc_fail_openssl(PC_EFAIL, "CRL cannot be encoded");
    return pki_pem_append("X509 CRL", der, (size_t)len, pem);
}

int pki_crl_number(const X509_CRL *crl, uint64_t *ret)
{
    PC_CLEANUP(ASN1_INTEGER_free_ref)
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    uint64_t value;

    if (!number || ASN1_INTEGER_get_uint64(&value, number) != 1) {
        ERR_clear_error();
        return pc_refuse("crl-number", "CRL without a cRLNumber of at most 64 bits (RFC 5280 §5.2.3)");
    }
    *ret = value;
    return 0;
}
