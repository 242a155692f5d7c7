/* The CRL of a CA that is imported: read, judged, and carried over to the certificates on record. */
#include <openssl/err.h>

#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/import/import.h"
#include "src/ca/publish/judge.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

/* Reasons that a full CRL cannot carry count as unspecified. */
static int reason_of(const X509_REVOKED *entry)
{
    PC_CLEANUP(ASN1_ENUMERATED_free_ref)
    ASN1_ENUMERATED *value = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
    long reason = value ? ASN1_ENUMERATED_get(value) : CRL_REASON_UNSPECIFIED;
    return reason < 0 || reason > CRL_REASON_AA_COMPROMISE || reason == 7 ||
                   reason == CRL_REASON_REMOVE_FROM_CRL
               ? CRL_REASON_UNSPECIFIED
               : (int)reason;
}

static void read_entry(const X509_REVOKED *entry, struct import_entry *ret)
{
    PC_CLEANUP(ASN1_GENERALIZEDTIME_free_ref)
    ASN1_GENERALIZEDTIME *since = X509_REVOKED_get_ext_d2i(entry, NID_invalidity_date, NULL, NULL);
    int64_t at = pki_time_of(X509_REVOKED_get0_revocationDate(entry));
    int64_t from = since ? pki_time_of(since) : 0;
    *ret = (struct import_entry){
        .at = at == INT64_MIN ? 0 : at, .invalid_since = from > 0 ? from : 0, .reason = reason_of(entry)};
    ERR_clear_error();
}

bool import_listed(const struct import *import, const char *serial, struct import_entry *ret)
{
    PC_CLEANUP(ASN1_INTEGER_free_ref) ASN1_INTEGER *number = ASN1_INTEGER_new();
    struct pki_serial parsed;
    X509_REVOKED *entry = NULL;
    if (!import->crl || !number || pki_serial_parse(serial, &parsed) < 0 ||
        ASN1_STRING_set(number, parsed.octets, (int)parsed.len) != 1 ||
        X509_CRL_get0_by_serial(import->crl, &entry, number) == 0)
        return false;
    read_entry(entry, ret);
    return true;
}

static int read_last(struct import *import, const struct ledger_crl *last)
{
    pc_autobytes der = {0};
    struct ledger *ledger = import->ca->ledger;
    int r = ledger->ops->crl_body(ledger, import->issuer, last->number, &der);
    return r < 0 ? r : pki_crl_parse(der.data, der.len, &import->crl);
}

static int judge_given(struct import *import, const struct ledger_crl *last)
{
    struct ca_import_report *report = &import->report;
    char from[PC_TIME_TEXT], before[PC_TIME_TEXT], sha256[PKI_FINGERPRINT_TEXT];
    pki_autoder *der = NULL;
    int len = i2d_X509_CRL(import->crl, &der);
    int64_t this_update = pki_time_of(X509_CRL_get0_lastUpdate(import->crl));
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(import->crl);
    if (X509_NAME_cmp(X509_CRL_get_issuer(import->crl), X509_get_subject_name(import->certificate)) != 0)
        return pc_refuse("import-crl", "the CRL's issuer is not %s (RFC 5280 §5.1.2.3)", report->subject);
    if (X509_CRL_verify(import->crl, X509_get0_pubkey(import->certificate)) != 1) {
        ERR_clear_error();
        return pc_refuse("import-crl", "the CRL is not signed by %s (RFC 5280 §5.1.1.3)", report->subject);
    }
    if (!next || this_update == INT64_MIN || pki_time_of(next) <= this_update)
        return pc_refuse("import-crl", "the CRL has no nextUpdate after its thisUpdate (RFC 5280 §5.1.2.5)");
    /* What OpenSSL's own configuration makes: a CRL of version 1. */
    if (report->same_name && X509_CRL_get_ext_by_NID(import->crl, NID_authority_key_identifier, -1) < 0)
        return pc_refuse("import-crl",
                         "both CAs have one name, and the CRL does not say whose it is: brokers would "
                         "take it for ours. Make it anew with crl_extensions that have "
                         "authorityKeyIdentifier = keyid (RFC 5280 §5.2.1)");
    int r = len > 0 ? pki_digest_hex(der, (size_t)len, sha256) : pc_fail_openssl(PC_EFAIL, "CRL");
    if (r < 0)
        return r;
    report->crl_new = last->number == 0 || strcmp(sha256, last->sha256) != 0;
    if (last->number == 0 || !report->crl_new || this_update > last->this_update)
        return 0;
    pc_time_format(this_update, from);
    pc_time_format(last->this_update, before);
    return pc_refuse("import-crl-old", "the CRL of %s is not newer than the one on record, of %s", from,
                     before);
}

int import_crl_read(struct import *import)
{
    const struct pc_bytes *given = import->options->crl;
    struct ca_import_report *report = &import->report;
    struct ledger *ledger = import->ca->ledger;
    struct ledger_crl last = {0};
    int r = import->issuer ? ledger->ops->crl_last(ledger, import->issuer, true, &last) : 0;
    if (r == 0 && given) {
        r = pki_crl_parse(given->data, given->len, &import->crl);
        if (r == 0)
            r = judge_given(import, &last);
    } else if (r == 0 && last.number > 0) {
        r = read_last(import, &last);
    }
    if (r < 0 || !import->crl)
        return r;
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(import->crl);
    report->crl_number = last.number + report->crl_new;
    report->crl_next_update = pki_time_of(X509_CRL_get0_nextUpdate(import->crl));
    report->crl_entries = entries ? (size_t)sk_X509_REVOKED_num(entries) : 0;
    return 0;
}

static int revoke_row(struct import *import, const struct ledger_certificate *row,
                      const struct import_entry *entry)
{
    struct ledger *ledger = import->ca->ledger;
    bool holds = entry->reason == CRL_REASON_CERTIFICATE_HOLD;
    if (row->state == LEDGER_REVOKED || (holds && row->state == LEDGER_HELD))
        return 0;
    int r = holds ? ledger->ops->hold(ledger, row->id, entry->at)
                  : ledger->ops->revoke(ledger, row->id, entry->at, entry->reason, entry->invalid_since);
    if (r < 0)
        return r;
    import->report.revoked++;
    struct ledger_certificate told = *row;
    told.record.reason = entry->reason;
    return import_audit(import, &told, holds ? "hold" : "revoke");
}

static int revoke_listed(struct import *import)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(import->crl);
    int r = 0;
    for (int i = 0; r == 0 && i < sk_X509_REVOKED_num(entries); i++) {
        const X509_REVOKED *revoked = sk_X509_REVOKED_value(entries, i);
        struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
        struct import_entry entry;
        struct pki_serial serial;
        char text[PKI_SERIAL_TEXT];
        if (!serial_of_entry(revoked, &serial))
            continue;
        pki_serial_format(&serial, text);
        r = ledger_collect(import->ca->ledger,
                           &(struct ledger_query){.issuer = import->issuer, .serial = text}, &rows);
        if (r < 0 || rows.count == 0)
            continue;
        read_entry(revoked, &entry);
        r = revoke_row(import, &rows.rows[0], &entry);
    }
    return r;
}

static int release_unlisted(struct import *import)
{
    struct ledger *ledger = import->ca->ledger;
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    struct import_entry entry;
    const struct ledger_query held = {.issuer = import->issuer, .states = LEDGER_BIT(LEDGER_HELD)};
    int r = ledger_collect(ledger, &held, &rows);
    for (size_t i = 0; r == 0 && i < rows.count; i++) {
        if (import_listed(import, rows.rows[i].record.serial, &entry))
            continue;
        r = ledger->ops->release(ledger, rows.rows[i].id);
        if (r == 0)
            r = import_audit(import, &rows.rows[i], "release");
        import->report.released++;
    }
    return r;
}

int import_crl_record(struct import *import)
{
    struct ledger *ledger = import->ca->ledger;
    const struct ca_import_report *report = &import->report;
    pki_autoder *der = NULL;
    pc_autobytes bytes = {0};
    if (!report->crl_new)
        return 0;
    int r = revoke_listed(import);
    if (r == 0)
        r = release_unlisted(import);
    int len = r == 0 ? i2d_X509_CRL(import->crl, &der) : 0;
    if (r == 0)
        r = len > 0 ? pc_bytes_copy(der, (size_t)len, &bytes) : pc_fail_openssl(PC_EFAIL, "CRL");
    if (r < 0)
        return r;
    struct ledger_crl row = {.number = report->crl_number,
                             .issued = true,
                             .this_update = pki_time_of(X509_CRL_get0_lastUpdate(import->crl)),
                             .next_update = report->crl_next_update,
                             .entries = report->crl_entries};
    r = pki_digest_hex(bytes.data, bytes.len, row.sha256);
    if (r == 0)
        r = ledger->ops->crl_adopt(ledger, import->issuer, &row, &bytes);
    if (r == 0)
        r = ca_audit(import->ca, &(struct audit_act){.act = "crl-import",
                                                     .outcome = "done",
                                                     .crl_number = row.number,
                                                     .crl_sha256 = row.sha256,
                                                     .count = (int64_t)row.entries});
    return r;
}
