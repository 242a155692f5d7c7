/* The ledger's thread: one transaction records what was signed and reserves what comes next, so that all of
 * it costs one fsync. It also opens a lost token again, since nobody else may touch the session. */
#include <string.h>
#include <time.h>

#include "src/base/error.h"
#include "src/ca/batch/pipeline.h"

#define PATIENCE 100 /* ms that items wait for others to share their transaction */
#define AHEAD 2 /* 1/AHEAD second's signatures are reserved ahead, so that little is left begun by a stop */

/* What shares a transaction. */
struct group {
    struct queue starting, finishing, dropping;
};

static int audit_refused(struct batch *b, const struct item *item, const char *act)
{
    return ca_audit(b->ca, &(struct audit_act){
                               .act = act,
                               .outcome = "refused",
                               .rule = item->failure.name,
                               .profile = pki_profile_device.name,
                               .subject = item->entry.plant,
                               .key_sha256 = item->enrolment.issuance.key_sha256,
                               .request_sha256 = item->request_sha256,
                           });
}

/* A refusal of this item alone: on record, and no failure of the transaction. */
static int refuse(struct batch *b, struct item *item, int code)
{
    item_fail(item, code);
    (void)pc_fail_in("%s", item->entry.path);
    ca_failure_keep(code, &item->failure);
    return code == PC_EREFUSED ? audit_refused(b, item, "sign") : 0;
}

static int give(struct batch *b, struct item *item, const struct ledger_certificate *row)
{
    struct issuance *issuance = &item->enrolment.issuance;
    pc_bytes_clear(&issuance->der);
    int r = b->ca->ledger->ops->body(b->ca->ledger, row->id, NULL, &issuance->der);
    if (r < 0)
        return r;
    memcpy(item->serial, row->record.serial, sizeof item->serial);
    memcpy(item->certificate_sha256, row->record.certificate_sha256, sizeof item->certificate_sha256);
    item->outcome = CA_BATCH_ALREADY;
    return 0;
}

static int start_item(struct batch *b, struct item *item)
{
    struct enrolment *e = &item->enrolment;
    struct enrol_decision decision;
    if (item->refused_act)
        return audit_refused(b, item, item->refused_act);
    item->failure.code = 0;
    item->outcome = CA_BATCH_ISSUED;
    int r = item->taken ? issuance_plan(b->ca, &e->issuance, e->days) : 0;
    item->taken = false;
    if (r == 0)
        r = enrol_record(b->ca, e, &decision);
    if (r == PC_EREFUSED || r == PC_EPENDING)
        return refuse(b, item, r);
    if (r < 0)
        return r;
    item->taken = decision.act == IDENTITY_FINISH;
    return decision.act == IDENTITY_GIVE ? give(b, item, &decision.row) : 0;
}

static int finish_item(struct batch *b, struct item *item)
{
    const struct issuance *issuance = &item->enrolment.issuance;
    item->failure.code = 0;
    item->outcome = CA_BATCH_ISSUED;
    int r = issuance_finish(b->ca, issuance);
    if (r == PC_EREFUSED)
        return refuse(b, item, r);
    if (r < 0)
        return r;
    pki_serial_format(&issuance->plan.serial, item->serial);
    memcpy(item->certificate_sha256, issuance->certificate_sha256, sizeof item->certificate_sha256);
    return 0;
}

static int drop_item(struct batch *b, struct item *item)
{
    return issuance_let_go(b->ca, &item->enrolment.issuance);
}

static int each(struct batch *b, const struct queue *queue, int (*step)(struct batch *, struct item *),
                struct item **ret_culprit)
{
    for (struct item *item = queue->first; item; item = item->next) {
        int r = step(b, item);
        if (r < 0) {
            *ret_culprit = item;
            return r;
        }
    }
    return 0;
}

/* `ret_culprit`: the item whose rows the ledger did not take; NULL when it is not about one item. */
static int write_once(struct batch *b, const struct group *g, struct item **ret_culprit)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    *ret_culprit = NULL;
    int r = ca_begin(b->ca, &open);
    if (r == 0)
        r = each(b, &g->finishing, finish_item, ret_culprit);
    if (r == 0)
        r = each(b, &g->dropping, drop_item, ret_culprit);
    if (r == 0)
        r = each(b, &g->starting, start_item, ret_culprit);
    return r < 0 ? r : ca_commit(b->ca, &open);
}

static bool take_out(struct queue *queue, const struct item *item)
{
    struct queue kept;
    struct item *other;
    bool found = false;
    queue_init(&kept);
    while ((other = queue_pop(queue)))
        if (other == item)
            found = true;
        else
            queue_push(&kept, other);
    queue_move(&kept, BATCH_ITEMS, queue);
    return found;
}

/* An item that the ledger does not take fails alone. Twice in a group, and it is the ledger. */
static int write_group(struct batch *b, struct group *g, struct item **ret_failed)
{
    struct item *culprit, *second;
    int r = write_once(b, g, &culprit);
    if (r == 0 || !culprit)
        return r;
    item_fail(culprit, r);
    if (!take_out(&g->starting, culprit) && !take_out(&g->finishing, culprit))
        (void)take_out(&g->dropping, culprit);
    *ret_failed = culprit;
    return write_once(b, g, &second);
}

/* How many may be reserved and not yet signed. */
static size_t depth(const struct batch *b)
{
    int64_t elapsed = b->first_signed ? batch_clock() - b->first_signed : 0;
    size_t least = 4 * b->signers, most = BATCH_ITEMS / 2;
    if (elapsed <= 0 || least > most)
        return least < most ? least : most;
    size_t wanted = (size_t)(b->signatures * 1000 / elapsed / AHEAD);
    return wanted < least ? least : wanted > most ? most : wanted;
}

size_t pipeline_can_start(const struct batch *b)
{
    size_t ahead = b->recorded.count + b->signing, most = depth(b);
    size_t room = most > ahead ? most - ahead : 0;
    return b->judged.count < room ? b->judged.count : room;
}

static void stop_all(struct queue *from, struct queue *to)
{
    struct item *item;
    while ((item = queue_pop(from))) {
        item_stop(item);
        queue_push(to, item);
    }
}

/* What a stopped batch leaves undone. */
static void clear_stages(struct batch *b)
{
    if (b->stop != BATCH_RUNS)
        stop_all(&b->judged, &b->done);
    if (b->stop == BATCH_BROKEN)
        stop_all(&b->recorded, b->ledger_broken ? &b->done : &b->dropped);
    if (b->ledger_broken) {
        stop_all(&b->signed_, &b->done);
        queue_move(&b->dropped, BATCH_ITEMS, &b->done);
    }
    if (b->stop != BATCH_RUNS)
        pthread_cond_signal(&b->output);
}

/* Items for the next transaction, and whether no others can join them. */
static size_t waiting(const struct batch *b, bool *ret_nothing_comes)
{
    *ret_nothing_comes = b->signing == 0 && b->recorded.count == 0 && b->judges == 0;
    return pipeline_can_start(b) + b->signed_.count + b->dropped.count;
}

/* Whether the transaction is worth its fsync by now; else how long the wait may be, in ms; 0: for ever. */
static bool is_worth(const struct batch *b, int64_t last, int64_t *ret_wait)
{
    bool nothing_comes;
    size_t count = waiting(b, &nothing_comes);
    *ret_wait = 0;
    if (count == 0)
        return false;
    *ret_wait = last + PATIENCE - batch_clock();
    return count >= BATCH_GROUP || nothing_comes || *ret_wait <= 0;
}

void pipeline_tell_ledger(struct batch *b)
{
    bool nothing_comes;
    if (!b->ledger_patient || waiting(b, &nothing_comes) >= BATCH_GROUP || nothing_comes ||
        b->token == TOKEN_LOST)
        pthread_cond_signal(&b->ledger);
}

static void wait_ms(struct batch *b, int64_t ms)
{
    struct timespec until;
    if (ms <= 0) {
        pthread_cond_wait(&b->ledger, &b->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    b->ledger_patient = true;
    pthread_cond_timedwait(&b->ledger, &b->lock, &until);
    b->ledger_patient = false;
}

static void take_group(struct batch *b, struct group *g)
{
    queue_init(&g->starting);
    queue_init(&g->finishing);
    queue_init(&g->dropping);
    size_t start = pipeline_can_start(b);
    queue_move(&b->judged, start < BATCH_GROUP ? start : BATCH_GROUP, &g->starting);
    queue_move(&b->signed_, BATCH_GROUP, &g->finishing);
    queue_move(&b->dropped, BATCH_GROUP, &g->dropping);
}

/* After the commit: where each item goes next. */
static void hand_on(struct batch *b, struct group *g)
{
    struct item *item;
    while ((item = queue_pop(&g->starting)))
        queue_push(item->failure.code || item->outcome == CA_BATCH_ALREADY ? &b->done : &b->recorded, item);
    queue_move(&g->finishing, BATCH_ITEMS, &b->done);
    queue_move(&g->dropping, BATCH_ITEMS, &b->done);
    pthread_cond_broadcast(&b->sign);
    pthread_cond_signal(&b->output);
}

static void break_ledger(struct batch *b, struct group *g, int code)
{
    pipeline_break(b, code);
    b->ledger_broken = true;
    stop_all(&g->starting, &b->done);
    stop_all(&g->finishing, &b->done);
    queue_move(&g->dropping, BATCH_ITEMS, &b->done);
}

static void reopen(struct batch *b)
{
    pthread_mutex_unlock(&b->lock);
    int r = ca_token_reopen(b->ca);
    pthread_mutex_lock(&b->lock);
    b->token = TOKEN_REOPENED;
    if (r < 0)
        pipeline_break(b, r);
    pthread_cond_broadcast(&b->sign);
}

static void write_next(struct batch *b)
{
    struct group g;
    struct item *failed = NULL;
    take_group(b, &g);
    pthread_mutex_unlock(&b->lock);
    int r = write_group(b, &g, &failed);
    pthread_mutex_lock(&b->lock);
    if (r < 0)
        break_ledger(b, &g, r);
    if (failed)
        queue_push(&b->done, failed);
    hand_on(b, &g);
}

void *ledger_thread(void *batch)
{
    struct batch *b = batch;
    int64_t last = batch_clock(), wait;
    pthread_mutex_lock(&b->lock);
    while (!b->over) {
        if (b->token == TOKEN_LOST && b->signing == 0 && b->stop != BATCH_BROKEN) {
            reopen(b);
            continue;
        }
        clear_stages(b);
        if (!is_worth(b, last, &wait)) {
            wait_ms(b, wait);
            continue;
        }
        write_next(b);
        last = batch_clock();
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}
