/* Incidents: certificates that our key signed and that are not on record. They are recorded, and revoked. */
#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/selection.h"
#include "src/pki/openssl.h"

#define PROFILE "incident" /* no profile of ours made it */

/* What a certificate says of itself, as a row. */
static int describe(struct ca *ca, X509 *certificate, struct ledger_certificate *ret)
{
    struct ledger_certificate row = {.issuer = ca->issuer.id, .state = LEDGER_REVOKED};
    struct ca_record *c = &row.record;
    struct pki_serial serial;
    pc_autofree char *cn = NULL;
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    int r = key ? pki_key_fingerprint(key, c->key_sha256)
                : pc_fail_openssl(PC_EFAIL, "the certificate's key cannot be read");
    if (r == 0)
        r = pki_certificate_fingerprint(certificate, c->certificate_sha256);
    if (r == 0)
        r = pki_serial_of(certificate, &serial);
    if (r == 0)
        r = pki_certificate_dates(certificate, &c->not_before, &c->not_after);
    if (r == 0 && c->not_after < c->not_before)
        r = pc_refuse("revoke-never",
                      "the certificate ends before it begins: it is never valid, nor on record");
    if (r < 0)
        return r;
    pki_serial_format(&serial, c->serial);
    snprintf(c->profile, sizeof c->profile, PROFILE);
    snprintf(c->origin, sizeof c->origin, "incident");
    snprintf(c->cn, sizeof c->cn, "%s",
             pki_name_cn(X509_get_subject_name(certificate), &cn) == 0 && *cn ? cn : PROFILE);
    pki_name_disarm(c->cn);
    c->issued_at = c->revoked_at = pc_now();
    *ret = row;
    return 0;
}

/* `outcome`: "done" where a row came of it. */
static int audit_incident(struct ca *ca, const struct ledger_certificate *row, int reason,
                          const char *outcome, const char *rule)
{
    return ca_audit(ca, &(struct audit_act){
                            .act = "incident",
                            .outcome = outcome,
                            .rule = rule,
                            .certificate = row->id,
                            .profile = PROFILE,
                            .serial = row->record.serial,
                            .key_sha256 = row->record.key_sha256,
                            .certificate_sha256 = row->record.certificate_sha256,
                            .reason = reason,
                        });
}

static int read_certificate(struct ca *ca, const struct pc_bytes *bytes, struct ledger_certificate *ret_row,
                            struct pc_bytes *ret_der)
{
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    int r = pki_certificate_parse(bytes->data, bytes->len, &certificate);
    if (r < 0)
        return r;
    if (X509_verify(certificate, ca->public_key) != 1)
        return selection_unknown(&(struct ca_selector){.certificate = bytes});
    r = describe(ca, certificate, ret_row);
    return r < 0 ? r : pki_certificate_der(certificate, ret_der);
}

int incident_record(struct ca *ca, const struct ca_selector *selector, int reason, int64_t *ret_row)
{
    struct ledger_certificate row;
    pc_autobytes der = {0};
    int r = read_certificate(ca, selector->certificate, &row, &der);
    if (r < 0)
        return r;
    row.record.reason = reason;
    row.record.invalid_since = selector->invalid_since;
    r = ca->ledger->ops->record(ca->ledger, &row, &der, &row.id);
    if (r == 0)
        r = audit_incident(ca, &row, reason, "done", NULL);
    if (r == 0)
        *ret_row = row.id;
    return r;
}

int incident_twin(struct ca *ca, const struct ca_selector *selector, const struct ledger_certificate *row)
{
    struct ledger_certificate twin;
    pc_autobytes der = {0};
    bool listed = row->state == LEDGER_REVOKED || row->state == LEDGER_VOID;
    int r = read_certificate(ca, selector->certificate, &twin, &der);
    if (r == 0)
        r = audit_incident(ca, &twin, -1, listed ? "found" : "refused", listed ? NULL : "revoke-twin");
    if (r < 0 || listed)
        return r;
    return pc_refuse(
        "revoke-twin",
        "our key signed this certificate (SHA-256 %s), but it is not the one on record under its "
        "serial: that is %s for %s. A CRL knows serials only and cannot tell the two apart. It "
        "is in the audit log as an incident; plantca revoke --serial %s stops both, and %s needs "
        "another certificate then",
        twin.record.certificate_sha256, row->record.certificate_sha256, row->record.cn, row->record.serial,
        row->record.cn);
}
