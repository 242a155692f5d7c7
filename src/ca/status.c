/* The health of an authority: its record, CRL, audit chain and token at one glance. */
#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/audit/checkpoint.h"
#include "src/ca/guard.h"
#include "src/ca/internal.h"
#include "src/ca/list.h"
#include "src/ca/reconcile.h"

#define ROWS_READ_BACK 1000
#define AUDIT_ROWS_READ 10000

/* Opens the token without a login; what is wrong with it is a finding, not a failure. */
static void look_at_token(struct ca *ca, struct ca_health *health)
{
    health->token_error = ca_token_open(ca);
    if (health->token_error < 0) {
        snprintf(health->token_text, sizeof health->token_text, "%s", pc_error_text());
        return;
    }
    const struct hsm_token_info *info = &ca->token_info;
    health->ca.token = *info;
    if (info->pin_locked || info->pin_final_try) {
        health->token_error = PC_EAUTH;
        snprintf(health->token_text, sizeof health->token_text, "token %s: %s", info->label,
                 info->pin_locked ? "its PIN is locked" : "one more wrong PIN locks it");
    }
}

/* Whether the row's certificate is the one whose hash is on record; those without a certificate are well. */
static int check_row(struct ca *ca, const struct ledger_certificate *row, bool *ret)
{
    char sha256[PKI_FINGERPRINT_TEXT];
    pc_autobytes der = {0};
    *ret = true;
    if (row->record.certificate_sha256[0] == '\0')
        return 0;
    int r = ca->ledger->ops->body(ca->ledger, row->id, NULL, &der);
    if (r == 0)
        r = pki_digest_hex(der.data, der.len, sha256);
    if (r == 0)
        *ret = strcmp(sha256, row->record.certificate_sha256) == 0;
    return r;
}

struct look {
    struct ca *ca;
    struct ca_health *health;
};

static int look_at_row(void *context, const struct ledger_certificate *row)
{
    const struct look *look = context;
    bool sound = false;
    int r = check_row(look->ca, row, &sound);
    look->health->ledger_checked++;
    look->health->ledger_sound = look->health->ledger_sound && sound;
    return r;
}

static int look_at_ledger(struct ca *ca, struct ca_health *health)
{
    const struct ledger_query newest = {.newest_first = true, .limit = ROWS_READ_BACK};
    struct look look = {.ca = ca, .health = health};
    health->ledger_sound = true;
    return ca->ledger->ops->find(ca->ledger, &newest, look_at_row, &look);
}

/* The rows since the last checkpoint, or, where it is old, the last ones: whatever the size of the log, this
 * takes no time. */
static int look_at_audit(struct ca *ca, struct ca_health *health)
{
    struct audit_verdict verdict;
    struct ledger_audit head;
    struct checkpoint_standing standing;
    int r = checkpoint_standing(ca, &standing);
    if (r == 0)
        r = ca->ledger->ops->audit_head(ca->ledger, &head);
    if (r < 0)
        return r;
    health->checkpoint_seq = standing.last.seq;
    health->checkpoint_at = standing.last.at;
    health->rows_after = standing.rows_after;
    health->unshipped = standing.unshipped;
    int64_t from = head.seq - AUDIT_ROWS_READ;
    if (from < health->checkpoint_seq && strcmp(standing.last.chain, head.chain) == 0)
        from = health->checkpoint_seq;
    health->audit_from = from > 1 ? from : 1;
    r = audit_verify_from(ca->ledger, head.chain, health->audit_from, &verdict);
    if (r < 0)
        return r;
    health->audit_rows = (size_t)head.seq;
    health->audit_sound = verdict.sound;
    memcpy(health->audit_head, verdict.head, sizeof health->audit_head);
    return 0;
}

/* What refuses to be put right is a finding, as the token's trouble is. */
static int look_at_work(struct ca *ca, struct ca_health *health)
{
    int r = ca_reconcile_count(ca, &health->to_reconcile);
    if (r != PC_EREFUSED)
        return r;
    health->record_error = r;
    snprintf(health->record_text, sizeof health->record_text, "%s", pc_error_text());
    return 0;
}

static int read_record(struct ca *ca, struct ca_health *health)
{
    struct ledger_counts counts;
    struct ledger_crl crl;
    bool due = false;
    int r = ca->ledger->ops->count(ca->ledger, pc_now(), ca->settings->renew_window, &counts);
    if (r == 0)
        r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &crl);
    if (r == 0)
        r = crl_due(ca, &due);
    if (r == 0)
        r = look_at_audit(ca, health);
    if (r == 0)
        r = look_at_ledger(ca, health);
    if (r == 0)
        r = look_at_work(ca, health);
    if (r < 0)
        return r;
    health->current = counts.current;
    health->valid = counts.valid;
    health->expiring = counts.expiring;
    health->superseded = counts.superseded;
    health->held = counts.held;
    health->revoked = counts.revoked;
    health->foreign = counts.foreign;
    health->unfinished = counts.unfinished;
    health->admissions = counts.admissions;
    health->waiting = counts.waiting;
    health->crl_number = crl.number;
    health->crl_this_update = crl.this_update;
    health->crl_next_update = crl.next_update;
    health->crl_entries = crl.entries;
    health->crl_renew_at = crl_renew_at(ca, &crl);
    health->crl_due = due;
    return 0;
}

static int look_at_guard(struct ca *ca, struct ca_health *health)
{
    int r = guard_look(ca);
    if (r != PC_EREFUSED)
        return r;
    health->guard_name = pc_error_name();
    snprintf(health->guard_text, sizeof health->guard_text, "%s", pc_error_text());
    return 0;
}

int ca_status(struct ca *ca, struct ca_health *ret)
{
    struct ca_health PC_CLEANUP(ca_health_clear) health = {0};
    int r = ca_summarise(ca, &health.ca);
    if (r == 0)
        r = read_record(ca, &health);
    if (r == 0)
        r = look_at_guard(ca, &health);
    if (r < 0)
        return r;
    look_at_token(ca, &health);
    /* notAfter = t - backdate + days - 1 s must not pass the CA's. */
    health.issuance_horizon =
        health.ca.not_after + 1 - ca->settings->device_days * PC_DAY + ca->settings->backdate;
    *ret = health;
    health = (struct ca_health){0};
    return 0;
}

void ca_health_clear(struct ca_health *health)
{
    ca_summary_clear(&health->ca);
    *health = (struct ca_health){0};
}
