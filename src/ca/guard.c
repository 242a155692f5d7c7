/* The restore guard: a ledger that is older than what the world has seen of it signs nothing. */
#include "src/ca/guard.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"
#include "src/ca/audit/checkpoint.h"
#include "src/ca/audit/line.h"
#include "src/pki/openssl.h"

#define CLOCK_SLACK 300 /* seconds by which the clock may be set back without anybody being asked */
#define CLOCK_ROWS 256  /* audit rows that are looked at: refusals that a wrong clock left do not hide it */

struct judgement {
    struct ca *ca;
    struct ledger_crl last;
    struct witness_listed listed;
    bool read; /* `listed` was */
};

static void judgement_clear(struct judgement *j)
{
    witness_listed_clear(&j->listed);
}

static int refuse_lost(void *context, const struct ledger_entry *entry, const struct ledger_certificate *row)
{
    const struct witness *w = context;
    return pc_refuse("restore-revocation",
                     "%s (CRL number %llu) lists %s, which the ledger %s: it is older than that CRL, or was "
                     "changed; plantca audit verify tells more, plantca reconcile --accept-loss goes on",
                     w->path, (unsigned long long)w->number, entry->serial,
                     row ? "holds as not revoked" : "does not know");
}

static int judge_witness(void *context, const struct witness *w)
{
    struct judgement *j = context;
    if (w->recorded)
        return 0;
    if (w->number > j->last.number)
        return pc_refuse(
            "restore-crl",
            "%s has CRL number %llu, the ledger's last is %llu: it is older than what was "
            "published; plantca audit verify tells more, plantca reconcile --accept-loss goes on",
            w->path, (unsigned long long)w->number, (unsigned long long)j->last.number);
    int r = j->read ? 0 : witness_listed_read(j->ca, &j->listed);
    j->read = r == 0;
    struct witness seen = *w;
    return r < 0 ? r : witness_compare(j->ca, w, &j->listed, refuse_lost, &seen);
}

static int refuse_undone(void *context, const struct ledger_entry *entry,
                         const struct ledger_certificate *row)
{
    const struct ledger_crl *last = context;
    return pc_refuse(
        "restore-revocation",
        "the last CRL (number %llu) lists %s%s%s, which the ledger %s, with no release on record: "
        "it was changed; plantca audit verify tells more, plantca reconcile --accept-loss lists "
        "it again",
        (unsigned long long)last->number, entry->serial, row ? ", " : "", row ? row->record.cn : "",
        row ? "holds as not revoked" : "does not know");
}

int guard_listed(struct ca *ca, const struct ledger_crl *last, const struct witness_listed *listed)
{
    struct ledger_crl crl = *last;
    return witness_last(ca, last, listed, refuse_undone, &crl);
}

/* The files may be the recorded ones, and the record changed: a revocation that was undone in it. */
static int judge_revocations(struct judgement *j)
{
    bool less = false;
    int r = j->ca->ledger->ops->crl_short(j->ca->ledger, j->ca->issuer.id, &j->last, &less);
    if (r < 0 || !less)
        return r;
    r = j->read ? 0 : witness_listed_read(j->ca, &j->listed);
    j->read = r == 0;
    return r < 0 ? r : guard_listed(j->ca, &j->last, &j->listed);
}

static int keep_latest(void *context, const struct ledger_audit *row)
{
    int64_t *latest = context;
    struct audit_line line;
    /* What is damaged is for audit verify to tell. */
    if (audit_line_read(row->line, &line) == 0 && line.time > *latest)
        *latest = line.time;
    return 0;
}

int guard_clock(struct ca *ca, int64_t *ret)
{
    struct checkpoint_standing standing;
    struct ledger_audit head;
    int r = checkpoint_standing(ca, &standing);
    if (r == 0)
        r = ca->ledger->ops->audit_head(ca->ledger, &head);
    if (r < 0)
        return r;
    int64_t latest = standing.last.at, from = head.seq - CLOCK_ROWS;
    if (from < standing.last.seq && strcmp(standing.last.chain, head.chain) == 0)
        from = standing.last.seq;
    r = ca->ledger->ops->audit_each(ca->ledger, head.chain, from + 1, keep_latest, &latest);
    if (r == 0)
        *ret = latest;
    return r;
}

static int judge_clock(struct ca *ca)
{
    char then[PC_TIME_TEXT], now[PC_TIME_TEXT];
    int64_t latest;
    int r = guard_clock(ca, &latest);
    if (r < 0 || latest - CLOCK_SLACK <= pc_now())
        return r;
    pc_time_format(latest, then);
    pc_time_format(pc_now(), now);
    return pc_refuse("clock-behind",
                     "it is %s by this machine's clock, but the last act was recorded at %s: the clock is "
                     "wrong, or was then; set it, or accept it with plantca reconcile --accept-loss",
                     now, then);
}

/* Ledger and token may be a pair, and another CA's than the one whose certificate is published from here. */
static int judge_certificate(struct ca *ca)
{
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    pc_autofree char *path = NULL;
    pc_autobytes file = {0};
    int r = ca_state_path(ca->settings, "ca.crt", &path);
    if (r < 0 || !pc_file_exists(path))
        return r;
    r = pc_file_read(path, CA_FILE_MAX, &file);
    if (r == 0)
        r = pki_certificate_parse(file.data, file.len, &certificate);
    if (r < 0 || X509_cmp(certificate, ca->certificate) == 0)
        return r;
    return pc_refuse("ca-half", "%s: not the CA certificate that the ledger holds", path);
}

static int judge(struct ca *ca)
{
    struct judgement PC_CLEANUP(judgement_clear) j = {.ca = ca};
    int r = judge_certificate(ca);
    if (r == 0)
        r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &j.last);
    if (r == 0)
        r = witness_each_known(ca, judge_witness, &j);
    if (r == 0)
        r = judge_revocations(&j);
    return r < 0 ? r : judge_clock(ca);
}

int guard_look(struct ca *ca)
{
    return ca->guarded || !ca->issuer.active ? 0 : judge(ca);
}

int guard_check(struct ca *ca)
{
    if (ca->guarded || !ca->issuer.active)
        return 0;
    int r = judge(ca);
    if (r == PC_EREFUSED)
        return ca_audit_refusal(ca, &(struct audit_act){.act = "guard"});
    ca->guarded = r == 0;
    return r;
}
