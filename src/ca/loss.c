/* Accepting what a restored ledger has lost: the world's view is taken over, and who took it over is on
 * record. */
#include "src/ca/loss.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/audit/line.h"
#include "src/ca/guard.h"
#include "src/ca/missing.h"
#include "src/ca/witness.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

#define ROWS_READ 256 /* audit rows that are looked at first, from the end */

struct loss {
    struct ca *ca;
    const struct ca_reconcile_options *options;
    struct ca_reconcile_report *report;
    struct witness_listed listed;
    struct ledger_crl last;
    int64_t accepted;    /* things */
    int64_t known_until; /* this ledger's own last moment, before anything is accepted */
    bool lost;           /* a CRL was met that the ledger does not know */
    int64_t made;        /* when the last of them was, as far as can be told; 0: cannot */
};

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void tell(struct loss *l, const char *what, const char *name, const char *subject, const char *did)
{
    l->accepted++;
    l->report->steps++;
    l->options->step(l->options->context,
                     &(struct ca_reconcile_step){.what = what, .name = name, .subject = subject, .did = did});
}

/* It can be released by whoever knows why it was held. */
static int hold(struct ca *ca, const struct ledger_certificate *row, int64_t at)
{
    if (row->state == LEDGER_HELD)
        return 0;
    int r = ca->ledger->ops->hold(ca->ledger, row->id, at);
    return r < 0 ? r
                 : ca_audit(ca, &(struct audit_act){.act = "hold",
                                                    .outcome = "done",
                                                    .certificate = row->id,
                                                    .profile = row->record.profile,
                                                    .subject = row->record.cn,
                                                    .serial = row->record.serial,
                                                    .key_sha256 = row->record.key_sha256,
                                                    .reason = CRL_REASON_CERTIFICATE_HOLD,
                                                    .at = at});
}

static int take_entry(void *context, const struct ledger_entry *entry, const struct ledger_certificate *row)
{
    struct loss *l = context;
    struct ca *ca = l->ca;
    struct ledger_certificate now;
    int r = 0;
    bool held =
        row && entry->reason == CRL_REASON_CERTIFICATE_HOLD && !(LEDGER_UNFINISHED & LEDGER_BIT(row->state));
    tell(l, "revocation", entry->serial, row ? row->record.cn : "",
         held  ? "held"
         : row ? "revoked"
               : "recorded");
    if (l->options->dry_run)
        return 0;
    if (!row) {
        r = ca->ledger->ops->orphan_add(ca->ledger, ca->issuer.id, entry);
        if (r == 0)
            r = ca_audit(ca, &(struct audit_act){.act = "orphan",
                                                 .outcome = "done",
                                                 .serial = entry->serial,
                                                 .reason = entry->reason,
                                                 .since = entry->invalid_since});
        return r;
    }
    r = ledger_row_get(ca->ledger, row->id, &now); /* another witness may have told of it */
    if (r < 0 || now.state == LEDGER_REVOKED || now.state == LEDGER_VOID)
        return r;
    if (LEDGER_UNFINISHED & LEDGER_BIT(now.state)) {
        r = ca->ledger->ops->condemn(ca->ledger, row->id);
        return r < 0 ? r : issuance_void(ca, &now);
    }
    return held ? hold(ca, &now, entry->revoked_at)
                : issuance_revoke_at(ca, &now, entry->revoked_at, entry->reason, entry->invalid_since);
}

static int adopt(struct loss *l, const struct witness *w)
{
    struct ca *ca = l->ca;
    char number[24];
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(w->crl);
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(w->crl);
    struct ledger_crl crl = {.number = w->number,
                             .issued = true,
                             .this_update = pki_time_of(X509_CRL_get0_lastUpdate(w->crl)),
                             .next_update = next ? pki_time_of(next) : PC_TIME_MAX,
                             .entries = (size_t)(entries ? sk_X509_REVOKED_num(entries) : 0)};
    snprintf(number, sizeof number, "%" PRIu64, w->number);
    tell(l, "crl", number, w->path, "adopted");
    l->last = crl;
    if (l->options->dry_run)
        return 0;
    int r = ca->ledger->ops->crl_adopt(ca->ledger, ca->issuer.id, &crl, &w->der);
    if (r == 0)
        r = ca_audit(
            ca, &(struct audit_act){
                    .act = "crl-adopt", .outcome = "done", .crl_number = w->number, .crl_sha256 = w->sha256});
    return r;
}

/* Somebody had a ledger that knew of it until then: thisUpdate lies before its making by the allowance for
 * clocks that lag, and it was published some time after. */
static void date(struct loss *l, const struct witness *w)
{
    struct stat st;
    int64_t made = pki_time_of(X509_CRL_get0_lastUpdate(w->crl));
    l->lost = true;
    if (made != INT64_MIN)
        l->made = later(l->made, made + l->ca->settings->backdate);
    if (stat(w->path, &st) == 0)
        l->made = later(l->made, st.st_mtime);
}

static int take_witness(void *context, const struct witness *w)
{
    struct loss *l = context;
    if (w->recorded)
        return 0;
    date(l, w);
    int r = w->number > l->last.number ? adopt(l, w) : 0;
    return r < 0 ? r : witness_compare(l->ca, w, &l->listed, take_entry, l);
}

/* A revocation that was undone in the record, though its CRL is there. */
static int take_undone(struct loss *l)
{
    struct ledger_crl last;
    int r = l->ca->ledger->ops->crl_last(l->ca->ledger, l->ca->issuer.id, true, &last);
    return r < 0 ? r : witness_last(l->ca, &last, &l->listed, take_entry, l);
}

/* A clock that was ahead left rows, and perhaps a CRL, of the future. */
static int take_clock(struct loss *l)
{
    struct ca *ca = l->ca;
    char then[PC_TIME_TEXT], number[24];
    int r = 0;
    if (l->known_until > pc_now()) {
        pc_time_format(l->known_until, then);
        tell(l, "clock", then, "", "accepted");
    }
    if (l->last.number == 0 || l->last.this_update <= pc_now() || l->last.pardoned)
        return 0;
    snprintf(number, sizeof number, "%" PRIu64, l->last.number);
    tell(l, "crl", number, "", "pardoned");
    if (l->options->dry_run)
        return 0;
    r = ca->ledger->ops->crl_pardon(ca->ledger, ca->issuer.id, l->last.number, pc_now());
    if (r == 0)
        r = ca_audit(
            ca, &(struct audit_act){.act = "crl-pardon", .outcome = "done", .crl_number = l->last.number});
    return r;
}

static int take_all(struct loss *l)
{
    struct ca *ca = l->ca;
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = guard_clock(ca, &l->known_until);
    if (r < 0)
        return r;
    r = ca->ledger->ops->begin(ca->ledger, !l->options->dry_run);
    if (r < 0)
        return r;
    open = ca->ledger;
    r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, false, &l->last);
    if (r == 0)
        r = witness_listed_read(ca, &l->listed);
    if (r == 0)
        r = take_undone(l);
    if (r == 0)
        r = witness_each_known(ca, take_witness, l);
    if (r == 0)
        r = take_clock(l);
    if (r < 0 || l->options->dry_run || l->accepted == 0)
        return r;
    r = ca_audit(ca, &(struct audit_act){.act = "accept-loss",
                                         .outcome = "done",
                                         .count = l->accepted,
                                         .note = l->options->accept_loss});
    return r < 0 ? r : ca_commit(ca, &open);
}

struct span {
    int64_t made, from;
};

static int keep_before(void *context, const struct ledger_audit *row)
{
    struct span *span = context;
    struct audit_line line;
    if (audit_line_read(row->line, &line) == 0 && line.time <= span->made && line.time > span->from)
        span->from = line.time;
    return 0;
}

/* From the last row that the copy of the ledger came with (those since, refusals and others, are younger than
 * what was published before) to the end of the one that was lost. */
static int tell_span(struct loss *l)
{
    struct ledger *ledger = l->ca->ledger;
    struct span span = {.made = l->made ? l->made : pc_now()};
    struct ledger_audit head;
    int r = ledger->ops->audit_head(ledger, &head);
    for (int64_t rows = ROWS_READ; r == 0; rows *= 8) {
        r = ledger->ops->audit_each(ledger, head.chain, head.seq > rows ? head.seq - rows : 1, keep_before,
                                    &span);
        if (span.from || head.seq <= rows)
            break;
    }
    if (r < 0)
        return r;
    l->report->lost_until = span.made;
    l->report->lost_from = span.from ? span.from : span.made;
    return 0;
}

int loss_accept(struct ca *ca, const struct ca_reconcile_options *options, struct ca_reconcile_report *report)
{
    struct loss l = {.ca = ca, .options = options, .report = report};
    int r = take_all(&l);
    if (r == 0 && l.lost)
        r = tell_span(&l);
    if (r == 0 && l.lost)
        r = missing_each(ca, options);
    witness_listed_clear(&l.listed);
    return r;
}
