/* The ledger's thread: one transaction records what was signed and reserves what comes next, so that all of
 * it costs one fsync. It also opens a lost token again, since nobody else may touch the session. */
#include <string.h>

#include "src/base/error.h"
#include "src/ca/pipeline/stages.h"

#define PATIENCE 100 /* ms that items wait for others to share their transaction */
#define BREATH 10    /* ms until what another station has claimed is tried again */
#define AHEAD 2 /* 1/AHEAD second's signatures are reserved ahead, so that little is left begun by a stop */

/* What shares a transaction. */
struct group {
    struct queue starting, finishing, dropping;
    struct queue failed, failed_begun; /* the ledger did not take them */
    struct queue later;                /* signed, but another station is at them for a moment */
};

/* A refusal of this item alone: on record, and no failure of the transaction. */
static int refuse(struct pipeline *p, struct work *work, int code)
{
    work_fail(work, code);
    (void)pc_fail_in("%s", p->hooks->name(work));
    ca_failure_keep(code, &work->failure);
    return code == PC_EREFUSED ? p->hooks->refused(p->hooks->context, work, "sign") : 0;
}

static int tell_issued(struct pipeline *p, struct work *work)
{
    return p->hooks->issued ? p->hooks->issued(p->hooks->context, work) : 0;
}

static int give(struct pipeline *p, struct work *work, const struct ledger_certificate *row)
{
    struct issuance *issuance = &work->enrolment.issuance;
    pc_bytes_clear(&issuance->der);
    int r = p->ca->ledger->ops->body(p->ca->ledger, row->id, NULL, &issuance->der);
    if (r < 0)
        return r;
    memcpy(work->serial, row->record.serial, sizeof work->serial);
    memcpy(work->certificate_sha256, row->record.certificate_sha256, sizeof work->certificate_sha256);
    work->outcome = WORK_GIVEN;
    return tell_issued(p, work);
}

static int start_item(struct pipeline *p, struct work *work)
{
    struct enrolment *e = &work->enrolment;
    struct enrol_decision decision;
    if (work->refused_act)
        return p->hooks->refused(p->hooks->context, work, work->refused_act);
    work->failure.code = 0;
    work->outcome = WORK_ISSUED;
    int r = work->taken ? issuance_plan(p->ca, &e->issuance, e->days) : 0;
    work->taken = false;
    if (r == 0 && p->hooks->admit)
        r = p->hooks->admit(p->hooks->context, work);
    if (r == 0)
        r = enrol_record(p->ca, e, &decision);
    if (r == 0 && decision.act == IDENTITY_GIVE)
        r = give(p, work, &decision.row);
    if (r == PC_EREFUSED || r == PC_EPENDING)
        return refuse(p, work, r);
    work->taken = r == 0 && decision.act == IDENTITY_FINISH;
    return r;
}

static int finish_item(struct pipeline *p, struct work *work)
{
    const struct issuance *issuance = &work->enrolment.issuance;
    work->failure.code = 0;
    work->outcome = WORK_ISSUED;
    int r = issuance_finish(p->ca, issuance);
    if (r == PC_EREFUSED)
        return refuse(p, work, r);
    if (r < 0)
        return r;
    pki_serial_format(&issuance->plan.serial, work->serial);
    memcpy(work->certificate_sha256, issuance->certificate_sha256, sizeof work->certificate_sha256);
    return tell_issued(p, work);
}

static int drop_item(struct pipeline *p, struct work *work)
{
    return issuance_let_go(p->ca, &work->enrolment.issuance);
}

static int each(struct pipeline *p, const struct queue *queue, int (*step)(struct pipeline *, struct work *),
                struct work **ret_culprit)
{
    for (struct work *work = queue->first; work; work = work->next) {
        int r = step(p, work);
        if (r < 0) {
            *ret_culprit = work;
            return r;
        }
    }
    return 0;
}

/* `ret_culprit`: the item whose rows the ledger did not take; NULL when it is not about one item. */
static int write_once(struct pipeline *p, const struct group *g, struct work **ret_culprit)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    *ret_culprit = NULL;
    int r = ca_begin_shared(p->ca, &open);
    if (r == 0)
        r = each(p, &g->finishing, finish_item, ret_culprit);
    if (r == 0)
        r = each(p, &g->dropping, drop_item, ret_culprit);
    if (r == 0)
        r = each(p, &g->starting, start_item, ret_culprit);
    return r < 0 ? r : ca_commit(p->ca, &open);
}

/* The same, until it does not lose against another station's. */
static int write_surely(struct pipeline *p, const struct group *g, struct work **ret_culprit)
{
    int r = write_once(p, g, ret_culprit);
    for (int i = 0; i < CA_CONFLICTS && ledger_conflict(r); i++)
        r = write_once(p, g, ret_culprit);
    if (ledger_conflict(r))
        *ret_culprit = NULL;
    return r;
}

static bool take_out(struct queue *queue, const struct work *work)
{
    struct queue kept;
    struct work *other;
    bool found = false;
    queue_init(&kept);
    while ((other = queue_pop(queue)))
        if (other == work)
            found = true;
        else
            queue_push(&kept, other);
    queue_move(&kept, PIPELINE_ITEMS, queue);
    return found;
}

/* What was signed and is claimed by another station waits for the next transaction: it is as good as issued.
 */
static int write_unclaimed(struct pipeline *p, struct group *g, struct work **ret_culprit)
{
    int r = write_surely(p, g, ret_culprit);
    while (r == PC_EPENDING && *ret_culprit && take_out(&g->finishing, *ret_culprit)) {
        queue_push(&g->later, *ret_culprit);
        r = write_surely(p, g, ret_culprit);
    }
    return r;
}

/* An item that the ledger does not take fails alone: one whose certificate it did not take is let go in the
 * next transaction, for a later request to finish. Twice in a group, and it is the ledger. */
static int write_group(struct pipeline *p, struct group *g)
{
    struct work *culprit, *second;
    int r = write_unclaimed(p, g, &culprit);
    if (r == 0 || !culprit)
        return r;
    work_fail(culprit, r);
    bool begun = take_out(&g->finishing, culprit);
    if (!begun && !take_out(&g->starting, culprit))
        (void)take_out(&g->dropping, culprit);
    queue_push(begun ? &g->failed_begun : &g->failed, culprit);
    return write_unclaimed(p, g, &second);
}

/* How many may be reserved and not yet signed. */
static size_t depth(const struct pipeline *p)
{
    int64_t elapsed = p->first_signed ? pipeline_clock() - p->first_signed : 0;
    size_t least = 4 * p->signers, most = PIPELINE_ITEMS / 2;
    if (p->hooks->lasting)
        return most;
    if (elapsed <= 0 || least > most)
        return least < most ? least : most;
    size_t wanted = (size_t)(p->signatures * 1000 / elapsed / AHEAD);
    return wanted < least ? least : wanted > most ? most : wanted;
}

static size_t can_start(const struct pipeline *p)
{
    size_t ahead = p->recorded.count + p->signing, most = depth(p);
    size_t room = most > ahead ? most - ahead : 0;
    return p->judged.count < room ? p->judged.count : room;
}

static void stop_all(const struct pipeline *p, struct queue *from, struct queue *to)
{
    struct work *work;
    while ((work = queue_pop(from))) {
        work_stop(p, work);
        queue_push(to, work);
    }
}

/* What a stopped pipeline leaves undone. */
static void clear_stages(struct pipeline *p)
{
    if (p->stop != PIPELINE_RUNS)
        stop_all(p, &p->judged, &p->done);
    if (p->stop == PIPELINE_BROKEN)
        stop_all(p, &p->recorded, p->ledger_broken ? &p->done : &p->dropped);
    if (p->ledger_broken) {
        stop_all(p, &p->signed_, &p->done);
        queue_move(&p->dropped, PIPELINE_ITEMS, &p->done);
    }
    if (p->stop != PIPELINE_RUNS)
        pipeline_tell_owner(p);
}

/* Items for the next transaction, and whether no others can join them. */
static size_t waiting(const struct pipeline *p, bool *ret_nothing_comes)
{
    *ret_nothing_comes = p->signing == 0 && p->recorded.count == 0 && p->judges == 0;
    return can_start(p) + p->signed_.count + p->dropped.count;
}

/* Whether the transaction is worth its fsync by now; else how long the wait may be, in ms; 0: for ever. Where
 * each item has somebody who waits for it, it always is: what comes meanwhile shares the next one, so that
 * groups grow with the load by themselves. */
static bool is_worth(const struct pipeline *p, int64_t last, int64_t *ret_wait)
{
    bool nothing_comes;
    size_t count = waiting(p, &nothing_comes);
    *ret_wait = 0;
    if (p->hooks->lasting)
        return count > 0;
    if (count == 0)
        return false;
    *ret_wait = last + PATIENCE - pipeline_clock();
    return count >= p->group || nothing_comes || *ret_wait <= 0;
}

void pipeline_tell_ledger(struct pipeline *p)
{
    bool nothing_comes;
    if (!p->ledger_patient || waiting(p, &nothing_comes) >= p->group || nothing_comes ||
        p->token == TOKEN_LOST)
        pthread_cond_signal(&p->ledger);
}

static void wait_ms(struct pipeline *p, int64_t ms)
{
    int64_t tend = p->hooks->tend ? p->tend_at - pipeline_clock() : 0;
    if (ms > 0) {
        p->ledger_patient = true;
        pipeline_wait_until(p, &p->ledger, ms);
        p->ledger_patient = false;
    } else if (tend > 0) {
        pipeline_wait_until(p, &p->ledger, tend);
    } else {
        pthread_cond_wait(&p->ledger, &p->lock);
    }
}

static void take_group(struct pipeline *p, struct group *g)
{
    queue_init(&g->starting);
    queue_init(&g->finishing);
    queue_init(&g->dropping);
    queue_init(&g->failed);
    queue_init(&g->failed_begun);
    queue_init(&g->later);
    size_t start = can_start(p);
    queue_move(&p->judged, start < p->group ? start : p->group, &g->starting);
    queue_move(&p->signed_, p->group, &g->finishing);
    queue_move(&p->dropped, p->group, &g->dropping);
}

/* After the commit: where each item goes next. */
static void hand_on(struct pipeline *p, struct group *g)
{
    struct work *work;
    while ((work = queue_pop(&g->starting)))
        queue_push(work->failure.code || work->outcome == WORK_GIVEN ? &p->done : &p->recorded, work);
    queue_move(&g->finishing, PIPELINE_ITEMS, &p->done);
    queue_move(&g->dropping, PIPELINE_ITEMS, &p->done);
    pthread_cond_broadcast(&p->sign);
    pipeline_tell_owner(p);
}

static void break_ledger(struct pipeline *p, struct group *g, int code)
{
    pipeline_stop_for(p, code);
    p->ledger_broken = true;
    stop_all(p, &g->starting, &p->done);
    stop_all(p, &g->finishing, &p->done);
    queue_move(&g->dropping, PIPELINE_ITEMS, &p->done);
}

static void reopen(struct pipeline *p)
{
    pthread_mutex_unlock(&p->lock);
    int r = ca_token_reopen(p->ca);
    pthread_mutex_lock(&p->lock);
    p->token = TOKEN_REOPENED;
    if (r < 0)
        pipeline_stop_for(p, r);
    pthread_cond_broadcast(&p->sign);
}

/* The signers take nothing new, and when the last has come back: whatever the owner does at intervals. */
static bool tend(struct pipeline *p)
{
    if (!p->hooks->tend || p->stop == PIPELINE_BROKEN || pipeline_clock() < p->tend_at)
        return false;
    p->token = TOKEN_RESTS;
    if (p->signing > 0)
        return false;
    pthread_mutex_unlock(&p->lock);
    int r = p->hooks->tend(p->hooks->context);
    pthread_mutex_lock(&p->lock);
    p->token = TOKEN_SIGNS;
    p->tend_at = pipeline_clock() + p->hooks->interval;
    if (r < 0)
        pipeline_stop_for(p, r);
    pthread_cond_broadcast(&p->sign);
    return true;
}

static void write_next(struct pipeline *p)
{
    struct group g;
    take_group(p, &g);
    pthread_mutex_unlock(&p->lock);
    int r = write_group(p, &g);
    pthread_mutex_lock(&p->lock);
    if (r < 0)
        break_ledger(p, &g, r);
    queue_move(&g.failed, PIPELINE_ITEMS, &p->done);
    queue_move(&g.failed_begun, PIPELINE_ITEMS, &p->dropped);
    bool claimed = g.later.count > 0;
    queue_move(&g.later, PIPELINE_ITEMS, &p->signed_);
    hand_on(p, &g);
    if (claimed && r == 0)
        pipeline_wait_until(p, &p->ledger, BREATH);
}

void *ledger_thread(void *pipeline)
{
    struct pipeline *p = pipeline;
    int64_t last = pipeline_clock(), wait;
    pthread_mutex_lock(&p->lock);
    while (!p->over) {
        if (p->token == TOKEN_LOST && p->signing == 0 && p->stop != PIPELINE_BROKEN) {
            reopen(p);
            continue;
        }
        if (tend(p))
            continue;
        clear_stages(p);
        if (!is_worth(p, last, &wait)) {
            wait_ms(p, wait);
            continue;
        }
        write_next(p);
        last = pipeline_clock();
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}
