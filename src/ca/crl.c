/* Making a CRL: its number and bytes on record before the token signs, its file written from the record. */
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/time.h"
#include "src/ca/audit/checkpoint.h"
#include "src/ca/guard.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"
#include "src/pki/sign.h"

#define CLOCK_SLACK 60 /* seconds by which several CRLs in one second may run ahead */

void ca_crl_report_clear(struct ca_crl_report *report)
{
    free(report->path);
    *report = (struct ca_crl_report){0};
}

struct entries {
    struct pki_crl_entry *rows;
    size_t count;
};

static void entries_clear(struct entries *entries)
{
    free(entries->rows);
}

/* What this CRL lists: nothing that `last` listed is left out without a reason that is on record. */
static int read_entries(struct ca *ca, const struct ledger_crl *last, struct entries *ret)
{
    struct witness_listed PC_CLEANUP(witness_listed_clear) listed = {0};
    struct entries PC_CLEANUP(entries_clear) entries = {0};
    int r = witness_listed_read(ca, &listed);
    if (r == 0)
        r = guard_listed(ca, last, &listed);
    if (r < 0)
        return r;
    entries.rows = calloc(listed.count + 1, sizeof *entries.rows);
    if (!entries.rows)
        return pc_fail(PC_EFAIL, "out of memory");
    for (; r == 0 && entries.count < listed.count; entries.count++) {
        const struct ledger_entry *from = &listed.rows[entries.count];
        struct pki_crl_entry *to = &entries.rows[entries.count];
        r = pki_serial_parse(from->serial, &to->serial);
        to->revoked_at = from->revoked_at;
        to->invalid_since = from->invalid_since;
        to->reason = from->reason;
    }
    if (r < 0)
        return r;
    *ret = entries;
    entries = (struct entries){0};
    return 0;
}

/* What we issue to ourselves for a short while is not revoked because there is a newer one: it expires soon,
 * and its key never left the memory of the process that has gone. */
static bool is_fleeting(const struct ledger_certificate *row)
{
    return strcmp(row->record.profile, pki_profile_probe.name) == 0 ||
           strcmp(row->record.profile, pki_profile_station.name) == 0;
}

/* Superseded certificates whose overlap is over. */
static int end_overlaps(struct ca *ca)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    int r = ledger_collect(ca->ledger, &(struct ledger_query){.overlap_over = pc_now()}, &rows);
    for (size_t i = 0; r == 0 && i < rows.count; i++)
        if (!is_fleeting(&rows.rows[i]))
            r = issuance_revoke(ca, &rows.rows[i], CRL_REASON_SUPERSEDED, 0);
    return r;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* `der`: the CRL itself, NULL before it is signed. */
static int audit_crl(struct ca *ca, const char *act, uint64_t number, const struct pc_bytes *tbs,
                     const struct pc_bytes *der)
{
    char tbs_sha256[PKI_FINGERPRINT_TEXT], crl_sha256[PKI_FINGERPRINT_TEXT] = "";
    int r = pki_digest_hex(tbs->data, tbs->len, tbs_sha256);
    if (r == 0 && der)
        r = pki_digest_hex(der->data, der->len, crl_sha256);
    if (r < 0)
        return r;
    return ca_audit(ca, &(struct audit_act){.act = act,
                                            .outcome = "done",
                                            .tbs_sha256 = tbs_sha256,
                                            .crl_sha256 = crl_sha256,
                                            .crl_number = number});
}

/* thisUpdate never goes back: one CRL made by a clock that was ahead holds all later ones there. */
static void warn_of_clock(int64_t this_update)
{
    char from[PC_TIME_TEXT];
    if (this_update <= pc_now() + CLOCK_SLACK)
        return;
    pc_time_format(this_update, from);
    pc_log(PC_LOG_WARNING,
           "the CRL is valid only from %s on, because an earlier one was made by a clock that was ahead; "
           "until then "
           "brokers that read it refuse every plant",
           from);
}

/* The plan, and its number on record. Entries and plan live as long as `entries`. */
static int record_crl(struct ca *ca, struct entries *entries, struct pki_crl_plan *plan,
                      struct pc_bytes *ret_tbs)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_crl last, issued;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = end_overlaps(ca);
    if (r == 0)
        r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, false, &last);
    if (r == 0)
        r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &issued);
    if (r == 0)
        r = read_entries(ca, &issued, entries);
    if (r < 0)
        return r;
    int64_t from = pc_now() - ca->settings->backdate;
    plan->number = last.number + 1;
    plan->this_update = last.number && !last.pardoned ? later(from, last.this_update + 1) : from;
    warn_of_clock(plan->this_update);
    plan->next_update =
        earlier(later(pc_now(), plan->this_update) + ca->settings->crl_days * PC_DAY, PC_TIME_MAX);
    plan->entries = entries->rows;
    plan->count = entries->count;
    const struct ledger_crl row = {.number = plan->number,
                                   .this_update = plan->this_update,
                                   .next_update = plan->next_update,
                                   .entries = plan->count};
    r = pki_crl_tbs(plan, ret_tbs);
    if (r == 0)
        r = ca->ledger->ops->crl_reserve(ca->ledger, ca->issuer.id, &row, ret_tbs);
    if (r == 0)
        r = audit_crl(ca, "crl-reserve", plan->number, ret_tbs, NULL);
    return r < 0 ? r : ca_commit(ca, &open);
}

static int sign_tbs(struct ca *ca, const struct pc_bytes *tbs, struct pc_bytes *ret_der)
{
    const struct pki_signer signer = hsm_key_pki_signer(ca->key);
    return pki_tbs_sign(&signer, ca->public_key, tbs, ret_der);
}

static int sign_crl(struct ca *ca, const struct pki_crl_plan *plan, const struct pc_bytes *tbs,
                    struct pc_bytes *ret_pem)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = NULL;
    pc_autobytes der = {0};
    int r = sign_tbs(ca, tbs, &der);
    if (ca_token_lost(ca, r)) {
        r = ca_token_reopen(ca);
        if (r == 0)
            r = sign_tbs(ca, tbs, &der);
    }
    if (r == 0)
        r = pki_crl_parse(der.data, der.len, &crl);
    if (r == 0)
        r = pki_crl_lint(crl, plan);
    if (r == 0)
        r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->crl_issue(ca->ledger, ca->issuer.id, plan->number, &der);
    if (r == 0)
        r = audit_crl(ca, "crl", plan->number, tbs, &der);
    if (r == 0)
        r = ca_commit(ca, &open);
    return r < 0 ? r : pki_crl_append_pem(crl, ret_pem);
}

int crl_write(struct ca *ca, const struct pc_bytes *pem)
{
    pc_autofree char *path = NULL;
    int r = ca_state_path(ca->settings, "ca.crl", &path);
    return r < 0 ? r : pc_file_write(path, pem->data, pem->len, NULL);
}

/* A session that is lost has lost its turn, too. */
static void end_turn(struct ledger **ledger)
{
    if (*ledger)
        (void)(*ledger)->ops->turn(*ledger, LEDGER_TURN_CRL, false);
}

int crl_make(struct ca *ca, struct ca_crl_report *ret, struct pc_bytes *ret_pem)
{
    struct ledger *turn PC_CLEANUP(end_turn) = NULL;
    struct entries PC_CLEANUP(entries_clear) entries = {0};
    pc_autobytes tbs = {0}, pem = {0};
    struct pki_crl_plan plan = {.issuer = ca->certificate, .issuer_key = ca->public_key};
    pc_autofree char *path = NULL;
    int r = ca_state_path(ca->settings, "ca.crl", &path);
    if (r == 0)
        r = ca_signing_key(ca);
    if (r == 0)
        r = ca->ledger->ops->turn(ca->ledger, LEDGER_TURN_CRL, true);
    if (r == 0) {
        turn = ca->ledger;
        r = record_crl(ca, &entries, &plan, &tbs);
        if (r == PC_EREFUSED)
            return ca_audit_refusal(ca, &(struct audit_act){.act = "crl", .crl_number = plan.number});
    }
    if (r == 0)
        r = sign_crl(ca, &plan, &tbs, &pem);
    if (r == 0)
        r = crl_write(ca, &pem);
    /* An init makes its own when there is an audit key. */
    if (r == 0 && ca->issuer.active)
        r = checkpoint_make(ca, plan.number);
    if (r < 0)
        return r;
    *ret = (struct ca_crl_report){.number = plan.number,
                                  .this_update = plan.this_update,
                                  .next_update = plan.next_update,
                                  .entries = plan.count,
                                  .path = pc_steal(path)};
    if (ret_pem) {
        *ret_pem = pem;
        pem = (struct pc_bytes){0};
    }
    return 0;
}

int crl_due(struct ca *ca, bool *ret)
{
    struct ledger_crl last;
    bool behind = false;
    int r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &last);
    if (r == 0)
        r = ca->ledger->ops->crl_behind(ca->ledger, ca->issuer.id, &last, pc_now(), &behind);
    if (r < 0)
        return r;
    *ret = behind || last.number == 0 || last.next_update <= pc_now();
    return 0;
}

int64_t crl_renew_at(struct ca *ca, const struct ledger_crl *crl)
{
    return crl->next_update - earlier(ca->settings->crl_renew, (crl->next_update - crl->this_update) / 2);
}

int crl_renewal_due(struct ca *ca, bool *ret)
{
    struct ledger_crl last;
    bool due = false;
    int r = crl_due(ca, &due);
    if (r == 0)
        r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &last);
    if (r < 0)
        return r;
    *ret = due || pc_now() >= crl_renew_at(ca, &last);
    return 0;
}

/* Whether ca.crl is missing, or one of ours with a lower number. Any other is a witness, which stays. */
static bool file_lags(struct ca *ca, const char *path, uint64_t number)
{
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = NULL;
    pc_autobytes file = {0};
    uint64_t found;
    if (!pc_file_exists(path))
        return true;
    return pc_file_read(path, CA_FILE_MAX, &file) == 0 && pki_crl_parse(file.data, file.len, &crl) == 0 &&
           pki_crl_number(crl, &found) == 0 && found < number && X509_CRL_verify(crl, ca->public_key) == 1;
}

/* A run that was stopped between the record and the file left an older one. */
static int catch_up(struct ca *ca, const char *path)
{
    pc_autoclose int lock = -1;
    pc_autobytes pem = {0};
    struct ledger_crl last;
    int r = ca_lock(ca->settings, &lock);
    if (r == 0)
        r = crl_last_pem(ca, &last, &pem);
    return r < 0 || !file_lags(ca, path, last.number) ? r : crl_write(ca, &pem);
}

int crl_report_last(struct ca *ca, struct ca_crl_report *ret)
{
    struct ledger_crl last;
    pc_autofree char *path = NULL;
    int r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &last);
    if (r == 0)
        r = ca_state_path(ca->settings, "ca.crl", &path);
    if (r == 0 && file_lags(ca, path, last.number))
        r = catch_up(ca, path);
    if (r < 0)
        return r;
    *ret = (struct ca_crl_report){.number = last.number,
                                  .this_update = last.this_update,
                                  .next_update = last.next_update,
                                  .entries = last.entries,
                                  .path = pc_steal(path)};
    return 0;
}

int ca_crl(struct ca *ca, struct ca_crl_report *ret, struct pc_bytes *ret_pem)
{
    pc_autoclose int lock = -1;
    int r = ca_signing_key(ca); /* a PIN may be asked for: not while others wait */
    if (r == 0)
        r = ca_lock(ca->settings, &lock);
    return r < 0 ? r : crl_make(ca, ret, ret_pem);
}

int ca_crl_if_due(struct ca *ca, struct ca_crl_report *ret, struct pc_bytes *ret_pem, bool *ret_made)
{
    struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) last = {0};
    struct ledger_crl row;
    bool due = false;
    int r = crl_renewal_due(ca, &due);
    if (r == 0 && due)
        r = ca_crl(ca, &last, ret_pem);
    else if (r == 0)
        r = crl_report_last(ca, &last);
    if (r == 0 && !due && ret_pem)
        r = crl_last_pem(ca, &row, ret_pem);
    if (r < 0)
        return r;
    *ret = last;
    last = (struct ca_crl_report){0};
    *ret_made = due;
    return 0;
}

int crl_last_pem(struct ca *ca, struct ledger_crl *ret, struct pc_bytes *ret_pem)
{
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = NULL;
    struct ledger_crl last;
    pc_autobytes der = {0};
    int r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &last);
    if (r == 0 && last.number == 0)
        return pc_refuse("crl-missing", "there is no CRL on record; plantca crl makes one");
    if (r == 0)
        r = ca->ledger->ops->crl_body(ca->ledger, ca->issuer.id, last.number, &der);
    if (r == 0)
        r = pki_crl_parse(der.data, der.len, &crl);
    if (r == 0)
        r = pki_crl_append_pem(crl, ret_pem);
    if (r == 0)
        *ret = last;
    return r;
}
