/* Import: the CA's certificate is judged, and everything goes on record in one transaction. */
#include "src/ca/import/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/openssl.h"

void ca_import_report_clear(struct ca_import_report *report)
{
    free(report->items);
    *report = (struct ca_import_report){0};
}

static void import_clear(struct import *import)
{
    X509_free(import->certificate);
    X509_CRL_free(import->crl);
    ca_import_report_clear(&import->report);
}

int import_item(struct import *import, const char *what, const char *name, const char *why)
{
    struct ca_import_report *report = &import->report;
    if (report->item_count == import->room) {
        size_t room = import->room ? 2 * import->room : 16;
        struct ca_import_item *grown = reallocarray(report->items, room, sizeof *grown);
        if (!grown)
            return pc_fail(PC_EFAIL, "out of memory");
        report->items = grown;
        import->room = room;
    }
    struct ca_import_item *item = &report->items[report->item_count++];
    snprintf(item->what, sizeof item->what, "%s", what);
    snprintf(item->name, sizeof item->name, "%s", name);
    pki_name_disarm(item->name);
    snprintf(item->why, sizeof item->why, "%s", why);
    return 0;
}

static int judge_certificate(struct import *import)
{
    X509 *certificate = import->certificate, *ours = import->ca->certificate;
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    struct ca_import_report *report = &import->report;
    int64_t from, until;
    pc_autofree char *subject = NULL;
    int r = pki_name_format(X509_get_subject_name(certificate), &subject);
    if (r == 0)
        r = pki_certificate_dates(certificate, &from, &until);
    if (r < 0)
        return r;
    snprintf(report->subject, sizeof report->subject, "%s", subject);
    bool self_signed =
        key && X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0 &&
        X509_verify(certificate, key) == 1;
    ERR_clear_error();
    if (X509_check_ca(certificate) != 1)
        return pc_refuse("import-ca", "%s is no CA's certificate (basicConstraints, RFC 5280 §4.2.1.9)",
                         subject);
    if (!self_signed)
        return pc_refuse("import-ca", "%s is not self-signed, or its signature does not verify", subject);
    if (until < import->now)
        return pc_refuse("import-ca", "%s has expired: nothing that it issued is valid", subject);
    if (EVP_PKEY_eq(key, import->ca->public_key) == 1)
        return pc_refuse("import-own", "%s: this is our own CA's key", subject);
    report->same_name = X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_subject_name(ours)) == 0;
    return 0;
}

/* Stops, with PC_EREFUSED, at another imported CA of the same name; else finds the row. */
static int look_for_it(void *context, const struct ledger_issuer *issuer)
{
    struct import *import = context;
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    pc_autobytes der = {0};
    if (!issuer->foreign)
        return 0;
    int r = import->ca->ledger->ops->body(import->ca->ledger, issuer->certificate, NULL, &der);
    if (r == 0)
        r = pki_certificate_parse(der.data, der.len, &certificate);
    if (r < 0)
        return r;
    if (X509_cmp(certificate, import->certificate) == 0) {
        import->issuer = issuer->id;
        import->report.known = true;
    } else if (X509_NAME_cmp(X509_get_subject_name(certificate),
                             X509_get_subject_name(import->certificate)) == 0) {
        return pc_refuse("import-name", "%s: another imported CA has this name", issuer->subject);
    }
    return 0;
}

/* The CA itself: an issuer, and the row of its certificate. */
static int record_issuer(struct import *import)
{
    struct ledger *ledger = import->ca->ledger;
    struct ledger_issuer issuer = {.foreign = true, .planned_at = import->now};
    struct ledger_certificate row = {.state = LEDGER_FOREIGN};
    struct ca_record *c = &row.record;
    struct pki_serial serial;
    pc_autofree char *cn = NULL;
    pc_autobytes der = {0};
    if (import->issuer)
        return 0;
    snprintf(issuer.subject, sizeof issuer.subject, "%s", import->report.subject);
    int r = pki_serial_of(import->certificate, &serial);
    if (r == 0)
        r = pki_key_fingerprint(X509_get0_pubkey(import->certificate), c->key_sha256);
    if (r == 0)
        r = pki_certificate_fingerprint(import->certificate, c->certificate_sha256);
    if (r == 0)
        r = pki_certificate_dates(import->certificate, &c->not_before, &c->not_after);
    if (r == 0)
        r = pki_certificate_der(import->certificate, &der);
    if (r == 0)
        r = ledger->ops->issuer_import(ledger, &issuer, &import->issuer);
    if (r < 0)
        return r;
    pki_serial_format(&serial, c->serial);
    snprintf(c->profile, sizeof c->profile, "%s", pki_profile_root.name);
    snprintf(c->origin, sizeof c->origin, "imported");
    snprintf(c->cn, sizeof c->cn, "%.255s",
             pki_name_cn(X509_get_subject_name(import->certificate), &cn) == 0 ? cn : import->report.subject);
    pki_name_disarm(c->cn);
    c->issued_at = import->now;
    c->reason = -1;
    row.issuer = import->issuer;
    r = ledger->ops->record(ledger, &row, &der, &row.id);
    if (r == 0)
        r = ledger->ops->issuer_certificate(ledger, import->issuer, row.id);
    return r < 0 ? r : import_audit(import, &row, "import");
}

static int carry_out(struct import *import)
{
    struct ca *ca = import->ca;
    const struct ca_import_options *options = import->options;
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->issuer_each(ca->ledger, look_for_it, import);
    if (r == 0)
        r = import_crl_read(import);
    if (r == 0)
        r = record_issuer(import);
    if (r == 0 && options->devices)
        r = import_devices(import);
    if (r == 0 && options->index)
        r = import_index(import);
    if (r == 0)
        r = import_crl_record(import);
    if (r < 0 || options->dry_run)
        return r;
    return ca_commit(ca, &open);
}

int ca_import(struct ca *ca, const struct ca_import_options *options, struct ca_import_report *ret)
{
    struct import PC_CLEANUP(import_clear) import = {.ca = ca, .options = options, .now = pc_now()};
    *ret = (struct ca_import_report){0};
    int r = pki_certificate_parse(options->certificate->data, options->certificate->len, &import.certificate);
    if (r == 0)
        r = judge_certificate(&import);
    if (r == 0)
        r = carry_out(&import);
    if (r < 0)
        return r;
    *ret = import.report;
    import.report = (struct ca_import_report){0};
    return 0;
}

struct lapse {
    struct ca *ca;
    char *subject; /* room for 1024 bytes */
    int64_t next_update;
};

static int look_at_crl(void *context, const struct ledger_issuer *issuer)
{
    struct lapse *lapse = context;
    struct ledger_crl last;
    if (!issuer->foreign)
        return 0;
    int r = lapse->ca->ledger->ops->crl_last(lapse->ca->ledger, issuer->id, true, &last);
    if (r < 0)
        return r;
    int64_t next_update = last.number ? last.next_update : 1;
    if (lapse->next_update == 0 || next_update < lapse->next_update) {
        lapse->next_update = next_update;
        memcpy(lapse->subject, issuer->subject, sizeof issuer->subject);
    }
    return 0;
}

int ca_import_lapses(struct ca *ca, char ret_subject[1024], int64_t *ret_next_update)
{
    struct lapse lapse = {.ca = ca, .subject = ret_subject};
    int r = ca->ledger->ops->issuer_each(ca->ledger, look_at_crl, &lapse);
    if (r == 0)
        *ret_next_update = lapse.next_update;
    return r;
}
