/* Revocation, hold and release: first on record, durably, then on a CRL. */
#include "src/ca/revoke.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/missing.h"
#include "src/ca/selection.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

#define OVER (LEDGER_BIT(LEDGER_REVOKED) | LEDGER_BIT(LEDGER_VOID))

void ca_revoke_report_clear(struct ca_revoke_report *report)
{
    free(report->records);
    ca_crl_report_clear(&report->crl);
    *report = (struct ca_revoke_report){0};
}

/* One order under way. */
struct order {
    struct ca *ca;
    const struct ca_selector *selector;
    int reason;
    int (*act)(struct order *order, const struct ledger_certificate *row);
    bool rehearsal; /* rolled back */
    struct ca_revoke_report report;
};

/* A key that is revoked or held must not come back through a reservation that someone is about to sign. */
static int void_reservations(struct ca *ca, const struct ledger_certificate *revoked)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const struct ledger_query query = {.key_sha256 = revoked->record.key_sha256, .states = LEDGER_UNFINISHED};
    int r = ledger_collect(ca->ledger, &query, &rows);
    for (size_t i = 0; r == 0 && i < rows.count; i++)
        r = issuance_void(ca, &rows.rows[i]);
    return r;
}

/* As it is now. */
static int tell(struct order *order, const struct ledger_certificate *row)
{
    struct ledger_certificate now;
    int r = ledger_row_get(order->ca->ledger, row->id, &now);
    if (r == 0)
        order->report.records[order->report.revoked++] = now.record;
    return r;
}

static int revoke_row(struct order *order, const struct ledger_certificate *row)
{
    struct ca *ca = order->ca;
    bool before = (OVER & LEDGER_BIT(row->state)) != 0;
    int r = 0;
    if (LEDGER_UNFINISHED & LEDGER_BIT(row->state)) {
        r = ca->ledger->ops->condemn(ca->ledger, row->id);
        if (r == 0)
            r = issuance_void(ca, row);
    } else if (!before) {
        r = issuance_revoke(ca, row, order->reason, order->selector->invalid_since);
        if (r == 0)
            r = void_reservations(ca, row);
    }
    if (before)
        order->report.already += row->listed_from > 0;
    return r < 0 || before ? r : tell(order, row);
}

static int audit_row(struct ca *ca, const char *act, const struct ledger_certificate *row)
{
    return ca_audit(ca, &(struct audit_act){
                            .act = act,
                            .outcome = "done",
                            .certificate = row->id,
                            .profile = row->record.profile,
                            .subject = row->record.cn,
                            .serial = row->record.serial,
                            .key_sha256 = row->record.key_sha256,
                            .reason = CRL_REASON_CERTIFICATE_HOLD,
                        });
}

/* An issuance under way ends, too: a held plant gets no new certificate until it is released. */
static int hold_row(struct order *order, const struct ledger_certificate *row)
{
    struct ca *ca = order->ca;
    int r = 0;
    if (OVER & LEDGER_BIT(row->state))
        return 0;
    if (LEDGER_UNFINISHED & LEDGER_BIT(row->state))
        return issuance_void(ca, row);
    bool before = row->state == LEDGER_HELD;
    if (!before)
        r = ca->ledger->ops->hold(ca->ledger, row->id, pc_now());
    if (r == 0 && !before)
        r = audit_row(ca, "hold", row);
    if (r == 0 && !before)
        r = void_reservations(ca, row);
    order->report.already += before;
    return r < 0 || before ? r : tell(order, row);
}

static int release_row(struct order *order, const struct ledger_certificate *row)
{
    struct ca *ca = order->ca;
    if ((OVER | LEDGER_UNFINISHED) & LEDGER_BIT(row->state))
        return 0;
    if (row->state != LEDGER_HELD) {
        order->report.already++;
        return 0;
    }
    int r = ca->ledger->ops->release(ca->ledger, row->id);
    if (r == 0)
        r = audit_row(ca, "release", row);
    return r < 0 ? r : tell(order, row);
}

static int act_on(struct order *order, const struct ledger_certificate *selected)
{
    struct ledger_certificate row;
    int r = ledger_row_get(order->ca->ledger, selected->id, &row); /* an earlier one may have voided it */
    if (r < 0)
        return r;
    if (strcmp(row.record.profile, pki_profile_root.name) == 0)
        return pc_refuse("revoke-root", "%s is the CA's own certificate; no CRL of its own can revoke it",
                         row.record.serial);
    if (row.issuer == order->ca->issuer.id)
        return order->act(order, &row);
    if (row.state == LEDGER_FOREIGN && !row.record.expired)
        order->report.foreign++;
    return 0;
}

/* Nothing was done nor had been done: why not? */
static int nothing_done(const struct order *order, const struct ledger_rows *rows)
{
    size_t over = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->rows[i].issuer != order->ca->issuer.id)
            return selection_foreign(&rows->rows[i]);
        over += (OVER & LEDGER_BIT(rows->rows[i].state)) != 0;
    }
    if (over > 0 && order->act == hold_row)
        return pc_refuse("hold-revoked", "%s: revoked already, and for ever", rows->rows[0].record.serial);
    if (over > 0 && order->act == release_row)
        return pc_refuse("release-revoked", "%s: revoked, not held; only what is held can be released",
                         rows->rows[0].record.serial);
    return selection_unknown(order->selector);
}

static int act_on_all(struct order *order, const struct ledger_rows *rows)
{
    int r = 0;
    order->report.records = calloc(rows->count + 1, sizeof *order->report.records);
    if (!order->report.records)
        return pc_fail(PC_EFAIL, "out of memory");
    for (size_t i = 0; r == 0 && i < rows->count; i++)
        r = act_on(order, &rows->rows[i]);
    if (r == 0 && order->report.revoked + order->report.already == 0)
        r = nothing_done(order, rows);
    return r;
}

/* Not on record: an incident if our key signed it. Whoever has its key has all of that key's certificates. */
static int find_incident(struct order *order, struct ledger_rows *ret)
{
    struct ca_revoke_report *report = &order->report;
    struct ca *ca = order->ca;
    int64_t id;
    int r = incident_record(ca, order->selector, order->reason, &id);
    if (r == 0)
        r = ledger_collect(ca->ledger, &(struct ledger_query){.id = id}, ret);
    if (r == 0 && ret->count == 1)
        r = selection_siblings(ca, ret);
    if (r < 0)
        return r;
    report->records = calloc(ret->count + 1, sizeof *report->records);
    if (!report->records || ret->count < 1)
        return pc_fail(PC_EFAIL, "out of memory");
    report->records[report->revoked++] = ret->rows[0].record;
    report->incident = true;
    r = missing_accepted(ca, ret->rows[0].record.not_before, &report->lost);
    if (r == 0)
        r = void_reservations(ca, &ret->rows[0]);
    for (size_t i = 1; r == 0 && i < ret->count;
         i++) /* the root: a certificate that was made of our own key */
        if (strcmp(ret->rows[i].record.profile, pki_profile_root.name) != 0)
            r = act_on(order, &ret->rows[i]);
    return r;
}

static int carry_out(struct order *order)
{
    struct ca *ca = order->ca;
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    struct ca_failure refused = {0};
    bool twin = false;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = selection_rows(ca, order->selector, &rows, &twin);
    if (r == 0 && twin) {
        r = incident_twin(ca, order->selector, &rows.rows[0]);
        order->report.incident = true;
        if (r == PC_EREFUSED)
            ca_failure_keep(r, &refused); /* on record all the same */
        else if (r == 0)
            r = act_on_all(order, &rows);
    } else if (r == 0) {
        r = rows.count == 0 && order->selector->certificate && order->act == revoke_row
                ? find_incident(order, &rows)
                : act_on_all(order, &rows);
    }
    if (r < 0 && !refused.code)
        return r;
    r = order->selector->dry_run || order->rehearsal ? 0 : ca_commit(ca, &open);
    return r == 0 && refused.code ? ca_failure_again(&refused) : r;
}

/* A release lets someone in, by the next CRL that anybody makes: whoever may make none releases nobody. Where
 * nobody is to be released, nobody is asked for a PIN. */
static int may_release(struct order *order)
{
    order->rehearsal = true;
    int r = carry_out(order);
    bool any = r == 0 && order->report.revoked > 0;
    order->rehearsal = false;
    ca_revoke_report_clear(&order->report);
    return any ? ca_signing_key(order->ca) : 0; /* what else is wrong, the act itself says */
}

/* The record stands, and whoever is told of the failure must know that. */
static int tell_recorded(const struct order *order, int failed)
{
    struct ca_failure failure;
    bool due = true;
    ca_failure_keep(failed, &failure);
    (void)crl_due(order->ca, &due);
    ca_failure_again(&failure);
    return pc_fail_in(due ? "on record, but no CRL was made of it (run plantca crl, then plantca publish)"
                          : "on record, and a new CRL was made of it, but");
}

/* The CRL that says so: the last one where it does already, else a new one. */
static int list_them(struct order *order)
{
    bool due = false;
    int r = crl_due(order->ca, &due);
    if (r == 0)
        r = due ? ca_crl(order->ca, &order->report.crl, NULL)
                : crl_report_last(order->ca, &order->report.crl);
    return r < 0 ? tell_recorded(order, r) : 0;
}

static int run(struct order *order, struct ca_revoke_report *ret)
{
    int r = selection_check(order->selector);
    bool dry = order->selector->dry_run;
    if (r == 0 && !dry && order->act == release_row)
        r = may_release(order);
    if (r == 0)
        r = carry_out(order);
    if (r < 0) {
        ca_revoke_report_clear(&order->report);
        return r;
    }
    order->report.recorded = !dry;
    if (!dry)
        r = list_them(order);
    *ret = order->report;
    return r;
}

int ca_revoke(struct ca *ca, const struct ca_selector *selector, int reason, struct ca_revoke_report *ret)
{
    struct order order = {.ca = ca, .selector = selector, .reason = reason, .act = revoke_row};
    if (reason == CRL_REASON_CERTIFICATE_HOLD)
        return pc_fail(PC_EUSAGE, "certificateHold can be taken back: it is no revocation");
    if (selector->invalid_since > pc_now())
        return pc_fail(PC_EUSAGE, "the time since when it is invalid lies in the future");
    return run(&order, ret);
}

int ca_hold(struct ca *ca, const struct ca_selector *selector, struct ca_revoke_report *ret)
{
    struct order order = {.ca = ca, .selector = selector, .act = hold_row};
    return run(&order, ret);
}

int ca_release(struct ca *ca, const struct ca_selector *selector, struct ca_revoke_report *ret)
{
    struct order order = {.ca = ca, .selector = selector, .act = release_row};
    return run(&order, ret);
}
