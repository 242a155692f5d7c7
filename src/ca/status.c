/* The health of an authority: its record, CRL, audit chain and token at one glance. */
#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/internal.h"
#include "src/ca/list.h"

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

static int read_record(struct ca *ca, struct ca_health *health)
{
    struct ledger_counts counts;
    struct ledger_crl crl;
    struct audit_verdict audit;
    bool due = false;
    int r = ca->ledger->ops->count(ca->ledger, pc_now(), ca->settings->renew_window, &counts);
    if (r == 0)
        r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &crl);
    if (r == 0)
        r = crl_due(ca, &due);
    if (r == 0)
        r = audit_verify(ca->ledger, &audit);
    if (r < 0)
        return r;
    health->current = counts.current;
    health->valid = counts.valid;
    health->expiring = counts.expiring;
    health->superseded = counts.superseded;
    health->held = counts.held;
    health->revoked = counts.revoked;
    health->unfinished = counts.unfinished;
    health->crl_number = crl.number;
    health->crl_this_update = crl.this_update;
    health->crl_next_update = crl.next_update;
    health->crl_entries = crl.entries;
    health->crl_due = due;
    health->audit_rows = audit.rows;
    health->audit_sound = audit.sound;
    memcpy(health->audit_head, audit.head, sizeof health->audit_head);
    return 0;
}

int ca_status(struct ca *ca, struct ca_health *ret)
{
    struct ca_health PC_CLEANUP(ca_health_clear) health = {0};
    int r = ca_summarise(ca, &health.ca);
    if (r == 0)
        r = read_record(ca, &health);
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
