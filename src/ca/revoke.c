/* Revocation: first on record, durably, then on a CRL. */
#include "src/ca/revoke.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/ca/internal.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

void ca_revoke_report_clear(struct ca_revoke_report *report)
{
    free(report->records);
    ca_crl_report_clear(&report->crl);
    *report = (struct ca_revoke_report){0};
}

static int by_serial(struct ca *ca, const struct pki_serial *serial, struct ledger_rows *ret)
{
    char text[PKI_SERIAL_TEXT];
    pki_serial_format(serial, text);
    return ledger_collect(ca->ledger, &(struct ledger_query){.serial = text, .issuer = ca->issuer.id}, ret);
}

/* Byte for byte: a certificate that only shares a serial with ours is a forgery, not an order. */
static int by_certificate(struct ca *ca, const struct pc_bytes *bytes, struct ledger_rows *ret)
{
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    struct pki_serial serial;
    char sha256[PKI_FINGERPRINT_TEXT];
    int r = pki_certificate_parse(bytes->data, bytes->len, &certificate);
    if (r == 0)
        r = pki_certificate_fingerprint(certificate, sha256);
    if (r == 0)
        r = pki_serial_of(certificate, &serial);
    if (r == 0)
        r = by_serial(ca, &serial, &rows);
    if (r < 0)
        return r;
    if (rows.count == 1 && strcmp(rows.rows[0].record.certificate_sha256, sha256) != 0)
        return pc_refuse("revoke-unknown", "this certificate is not the one on record under its serial %s",
                         rows.rows[0].record.serial);
    *ret = rows;
    rows = (struct ledger_rows){0};
    return 0;
}

static int select_rows(struct ca *ca, const struct ca_selector *selector, struct ledger_rows *ret)
{
    struct pki_serial serial;
    if (selector->plant)
        return ledger_collect(
            ca->ledger,
            &(struct ledger_query){.subject = selector->plant, .profile = pki_profile_device.name}, ret);
    if (selector->certificate)
        return by_certificate(ca, selector->certificate, ret);
    int r = pki_serial_parse(selector->serial, &serial);
    return r < 0 ? r : by_serial(ca, &serial, ret);
}

/* A key that is revoked must not come back through a reservation that someone is about to sign. */
static int void_reservations(struct ca *ca, const struct ledger_certificate *revoked)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const struct ledger_query query = {.key_sha256 = revoked->record.key_sha256, .states = LEDGER_UNFINISHED};
    int r = ledger_collect(ca->ledger, &query, &rows);
    for (size_t i = 0; r == 0 && i < rows.count; i++)
        r = issuance_void(ca, &rows.rows[i]);
    return r;
}

struct outcome {
    struct ca_revoke_report report;
    int64_t listed_from; /* the latest CRL that one of them needs */
};

static int revoke_row(struct ca *ca, const struct ledger_certificate *selected, int reason,
                      struct outcome *outcome)
{
    struct ledger_certificate row;
    int r = ledger_row_get(ca->ledger, selected->id, &row); /* an earlier one may have voided it */
    if (r < 0)
        return r;
    if (strcmp(row.record.profile, pki_profile_root.name) == 0)
        return pc_refuse("revoke-root", "%s is the CA's own certificate; no CRL of its own can revoke it",
                         row.record.serial);
    if (LEDGER_UNFINISHED & LEDGER_BIT(row.state)) {
        r = ca->ledger->ops->condemn(ca->ledger, row.id);
        if (r == 0)
            r = issuance_void(ca, &row);
    } else if (row.state != LEDGER_REVOKED && row.state != LEDGER_VOID) {
        r = issuance_revoke(ca, &row, reason);
        if (r == 0)
            r = void_reservations(ca, &row);
    }
    if (r < 0)
        return r;
    bool before = row.state == LEDGER_REVOKED || row.state == LEDGER_VOID;
    r = ledger_row_get(ca->ledger, row.id, &row);
    if (r < 0)
        return r;
    if (row.listed_from > outcome->listed_from)
        outcome->listed_from = row.listed_from;
    if (before)
        outcome->report.already += row.listed_from > 0;
    else
        outcome->report.records[outcome->report.revoked++] = row.record;
    return 0;
}

static int unknown(const struct ca_selector *selector)
{
    if (selector->plant)
        return pc_refuse("revoke-unknown", "%s: no certificate on record", selector->plant);
    if (selector->serial)
        return pc_refuse("revoke-unknown", "%s: no certificate on record with this serial", selector->serial);
    return pc_refuse("revoke-unknown", "this certificate is not on record");
}

static int revoke_all(struct ca *ca, const struct ca_selector *selector, int reason, struct outcome *outcome)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = select_rows(ca, selector, &rows);
    if (r < 0)
        return r;
    outcome->report.records = calloc(rows.count + 1, sizeof *outcome->report.records);
    if (!outcome->report.records)
        return pc_fail(PC_EFAIL, "out of memory");
    for (size_t i = 0; r == 0 && i < rows.count; i++)
        r = revoke_row(ca, &rows.rows[i], reason, outcome);
    if (r == 0 && outcome->report.revoked + outcome->report.already == 0)
        r = unknown(selector);
    return r < 0 ? r : ca_commit(ca, &open);
}

/* The CRL that lists them: the last one where it does already, else a new one. */
static int list_them(struct ca *ca, struct outcome *outcome)
{
    struct ledger_crl last;
    struct ca_crl_report *report = &outcome->report.crl;
    int r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &last);
    if (r < 0)
        return r;
    if (last.number == 0 || (uint64_t)outcome->listed_from > last.number)
        return ca_crl(ca, report, NULL);
    r = ca_state_path(ca->settings, "ca.crl", &report->path);
    report->number = last.number;
    report->this_update = last.this_update;
    report->next_update = last.next_update;
    report->entries = last.entries;
    return r;
}

int ca_revoke(struct ca *ca, const struct ca_selector *selector, int reason, struct ca_revoke_report *ret)
{
    if (!selector->plant + !selector->serial + !selector->certificate != 2)
        return pc_fail(PC_EUSAGE, "a revocation names one of plant, serial and certificate");
    if (reason == CRL_REASON_CERTIFICATE_HOLD)
        return pc_fail(PC_EUSAGE, "certificateHold can be taken back: it is no revocation");
    if (selector->plant) {
        int r = pki_uuid_check(selector->plant);
        if (r < 0)
            return r;
    }
    struct outcome outcome = {0};
    int r = revoke_all(ca, selector, reason, &outcome);
    if (r == 0)
        r = list_them(ca, &outcome);
    if (r < 0) {
        ca_revoke_report_clear(&outcome.report);
        return r;
    }
    *ret = outcome.report;
    return 0;
}
