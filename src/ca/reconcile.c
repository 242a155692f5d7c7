/* After a crash: each thing that was begun is finished, voided, or left to the process that is at it. */
#include "src/ca/reconcile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/audit/checkpoint.h"
#include "src/ca/audit/key.h"
#include "src/ca/guard.h"
#include "src/ca/internal.h"
#include "src/ca/loss.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

struct work {
    struct ca *ca;
    const struct ca_reconcile_options *options;
    struct ca_reconcile_report report;
    size_t files; /* of the steps, those that left no audit row */
};

static void tell(struct work *w, const char *what, const char *name, const char *subject, const char *did)
{
    bool left = strcmp(did, "left") == 0;
    w->report.left += left;
    w->report.steps += !left;
    w->files += strcmp(what, "file") == 0;
    w->options->step(w->options->context,
                     &(struct ca_reconcile_step){.what = what, .name = name, .subject = subject, .did = did});
}

/* The subject's key out of to-be-signed bytes: they are read as a certificate whose signature is empty. */
static int key_of(const struct pc_bytes *tbs, EVP_PKEY **ret)
{
    static const unsigned char rest[] = {/* sha256WithRSAEncryption, which nobody looks at */
                                         0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
                                         0x01, 0x01, 0x0b, 0x05, 0x00, 0x03, 0x02, 0x00, 0x00};
    size_t len = tbs->len + sizeof rest, room = len + 8;
    pc_autofree unsigned char *der = malloc(room);
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    if (!der)
        return pc_fail(PC_EFAIL, "out of memory");
    unsigned char *p = der;
    ASN1_put_object(&p, 1, (int)len, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    memcpy(p, tbs->data, tbs->len);
    memcpy(p + tbs->len, rest, sizeof rest);
    int r = pki_certificate_parse(der, (size_t)(p - der) + len, &certificate);
    if (r < 0)
        return r;
    *ret = X509_get_pubkey(certificate);
    return *ret ? 0 : pc_fail_openssl(PC_EFAIL, "the key in to-be-signed bytes");
}

/* What was ordered is not on record in full where another key was to be replaced (its overlap may have been
 * ended): that is ordered anew. */
static int may_finish(struct ca *ca, const struct ledger_certificate *row, bool *ret)
{
    struct ledger_certificate old;
    bool plain = strcmp(row->record.profile, pki_profile_device.name) == 0 ||
                 strcmp(row->record.profile, pki_profile_broker.name) == 0;
    *ret = plain && row->state == LEDGER_SIGNING && !row->condemned;
    if (!*ret || row->predecessor == 0)
        return 0;
    int r = ledger_row_get(ca->ledger, row->predecessor, &old);
    if (r == 0)
        *ret = strcmp(old.record.key_sha256, row->record.key_sha256) == 0;
    return r;
}

static int names_of(struct ca *ca, const struct ledger_certificate *row, GENERAL_NAMES **ret)
{
    if (strcmp(row->record.profile, pki_profile_broker.name) != 0)
        return 0;
    int r = pki_san_parse(ca->settings->broker_san, ret);
    return r < 0 ? r : pki_san_add(*ret, row->record.cn);
}

/* In one transaction the row is judged again and taken over, or voided. */
static int take_or_void(struct ca *ca, const struct ledger_certificate *seen, struct issuance *issuance,
                        bool *ret_taken, bool *ret_gone)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_certificate row;
    bool lives = false, finish = false;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = ledger_row_get(ca->ledger, seen->id, &row);
    if (r == 0)
        r = ca->ledger->ops->owner_lives(ca->ledger, row.owner, &lives);
    if (r < 0)
        return r;
    *ret_gone = lives || !(LEDGER_UNFINISHED & LEDGER_BIT(row.state));
    if (*ret_gone)
        return 0;
    issuance->predecessor = row.predecessor;
    r = may_finish(ca, &row, &finish);
    if (r == 0)
        r = finish && issuance->plan.subject_key ? issuance_take(ca, issuance, &row, ret_taken)
                                                 : issuance_void(ca, &row);
    return r < 0 ? r : ca_commit(ca, &open);
}

static const struct pki_profile *profile_of(const char *name)
{
    return strcmp(name, pki_profile_broker.name) == 0 ? &pki_profile_broker : &pki_profile_device;
}

static int finish_row(struct work *w, const struct ledger_certificate *row)
{
    struct ca *ca = w->ca;
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *key = NULL;
    PC_CLEANUP(GENERAL_NAMES_free_ref) GENERAL_NAMES *hosts = NULL;
    pc_autobytes tbs = {0};
    bool taken = false, gone = false;
    int r = ca->ledger->ops->body(ca->ledger, row->id, &tbs, NULL);
    if (r == 0 && tbs.len && key_of(&tbs, &key) < 0)
        key = NULL; /* void */
    if (r == 0)
        r = names_of(ca, row, &hosts);
    struct issuance PC_CLEANUP(issuance_clear) issuance = {
        .plan = {.profile = profile_of(row->record.profile),
                 .subject_key = key,
                 .cn = row->record.cn,
                 .hosts = hosts},
        .cn = row->record.cn,
        .revoke_old = -1,
    };
    if (r == 0)
        r = take_or_void(ca, row, &issuance, &taken, &gone);
    if (r == 0 && taken)
        r = issuance_complete(ca, &issuance);
    if (r == 0)
        tell(w, "certificate", row->record.serial, row->record.cn,
             gone    ? "left"
             : taken ? "finished"
                     : "voided");
    return r;
}

static int finish_rows(struct work *w)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    int r = ledger_collect(w->ca->ledger, &(struct ledger_query){.states = LEDGER_UNFINISHED}, &rows);
    for (size_t i = 0; r == 0 && i < rows.count; i++) {
        const struct ledger_certificate *row = &rows.rows[i];
        bool lives = false, finish = false;
        if (strcmp(row->record.profile, pki_profile_audit.name) == 0)
            continue; /* finished with its key */
        r = w->ca->ledger->ops->owner_lives(w->ca->ledger, row->owner, &lives);
        if (r == 0 && w->options->dry_run)
            r = may_finish(w->ca, row, &finish);
        if (r < 0)
            return r;
        if (lives || w->options->dry_run)
            tell(w, "certificate", row->record.serial, row->record.cn,
                 lives    ? "left"
                 : finish ? "finished"
                          : "voided");
        else
            r = finish_row(w, row);
    }
    return r;
}

static int finish_key(struct work *w)
{
    struct ledger_key key;
    int r = audit_key_on_record(w->ca, &key);
    if (r < 0 || (key.id && strcmp(key.state, "active") == 0))
        return r;
    if (!w->options->dry_run)
        r = audit_key_ensure(w->ca);
    if (r == 0)
        tell(w, "key", AUDIT_KEY_LABEL, "", key.id ? "finished" : "made");
    return r;
}

static int finish_crl(struct work *w)
{
    struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) report = {0};
    struct ledger_crl last, issued;
    char number[24];
    bool due = false;
    int r = w->ca->ledger->ops->crl_last(w->ca->ledger, w->ca->issuer.id, false, &last);
    if (r == 0)
        r = w->ca->ledger->ops->crl_last(w->ca->ledger, w->ca->issuer.id, true, &issued);
    if (r == 0)
        r = crl_due(w->ca, &due);
    if (r < 0 || (!due && last.number == issued.number && !last.pardoned))
        return r;
    report.number = last.number + 1;
    if (!w->options->dry_run)
        r = ca_crl(w->ca, &report, NULL);
    if (r < 0)
        return r;
    w->report.crl_number = report.number;
    snprintf(number, sizeof number, "%" PRIu64, report.number);
    tell(w, "crl", number, "", "made");
    return 0;
}

/* Files are written from the record; one that says something else is not overwritten unasked. */
static int finish_file(struct work *w, const char *name, const struct pc_bytes *wanted, bool replace)
{
    pc_autofree char *path = NULL;
    pc_autobytes file = {0};
    int r = ca_state_path(w->ca->settings, name, &path);
    if (r == 0 && pc_file_exists(path)) {
        r = pc_file_read(path, CA_FILE_MAX, &file);
        if (r < 0 || (file.len == wanted->len && memcmp(file.data, wanted->data, file.len) == 0))
            return r;
        if (!replace)
            return pc_refuse("ca-half", "%s: not the CA certificate that the ledger holds", path);
    }
    if (r == 0 && !w->options->dry_run)
        r = pc_file_write(path, wanted->data, wanted->len, NULL);
    if (r == 0)
        tell(w, "file", path, "", "written");
    return r;
}

static int finish_files(struct work *w)
{
    pc_autobytes certificate = {0}, crl = {0};
    struct ledger_crl last;
    int r = pki_certificate_append_pem(w->ca->certificate, &certificate);
    if (r == 0)
        r = finish_file(w, "ca.crt", &certificate, false);
    if (r == 0)
        r = crl_last_pem(w->ca, &last, &crl);
    return r < 0 ? r : finish_file(w, "ca.crl", &crl, true);
}

static int finish_checkpoint(struct work *w)
{
    struct checkpoint_standing standing;
    char row[24];
    int r = checkpoint_standing(w->ca, &standing);
    if (r < 0 || (standing.last.id &&
                  (w->report.steps == w->files || w->report.crl_number || standing.rows_after == 0)))
        return r;
    if (!w->options->dry_run)
        r = checkpoint_make(w->ca, 0);
    if (r == 0)
        r = checkpoint_standing(w->ca, &standing);
    snprintf(row, sizeof row, "%" PRId64, standing.last.seq);
    if (r == 0)
        tell(w, "checkpoint", w->options->dry_run ? "" : row, "", "made");
    return r;
}

static int finish_all(struct work *w)
{
    int r = finish_key(w);
    if (r == 0)
        r = finish_rows(w);
    if (r == 0)
        r = finish_crl(w);
    if (r == 0)
        r = finish_files(w);
    return r < 0 ? r : finish_checkpoint(w);
}

/* The token alone knows: an operator says so. */
static int give_up_key(struct work *w)
{
    bool retired = false;
    int r = w->options->accept_loss && !w->options->dry_run
                ? audit_key_retire_lost(w->ca, w->options->accept_loss, &retired)
                : 0;
    if (retired)
        tell(w, "key", AUDIT_KEY_LABEL, "", "retired");
    return r;
}

static void tell_nobody(void *context, const struct ca_reconcile_step *step)
{
    (void)context;
    (void)step;
}

int ca_reconcile_count(struct ca *ca, size_t *ret)
{
    const struct ca_reconcile_options look = {.dry_run = true, .step = tell_nobody};
    struct work w = {.ca = ca, .options = &look};
    int r = finish_all(&w);
    if (r == 0)
        *ret = w.report.steps;
    return r;
}

int ca_reconcile(struct ca *ca, const struct ca_reconcile_options *options, struct ca_reconcile_report *ret)
{
    struct work w = {.ca = ca, .options = options};
    size_t todo = 0;
    int r = ca_reconcile_count(ca, &todo);
    if (r < 0)
        return r;
    if (!options->dry_run && (todo || options->accept_loss)) {
        ca->guarded = options->accept_loss != NULL;
        r = ca_signing_key(ca);
    }
    if (r == 0 && options->accept_loss)
        r = loss_accept(ca, options, &w.report);
    if (r == 0)
        r = give_up_key(&w);
    if (r == 0)
        r = finish_all(&w);
    /* Where the real run would be refused. */
    if (r == 0 && options->dry_run && todo && !options->accept_loss)
        r = guard_look(ca);
    if (r == 0)
        *ret = w.report;
    return r;
}
