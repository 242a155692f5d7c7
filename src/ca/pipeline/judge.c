/* The first stage: takes what the source has, judges it, plans its certificate. Neither ledger nor token. */
#include "src/base/error.h"
#include "src/ca/pipeline/stages.h"

#define AT_ONCE 8 /* items that a thread takes */

static int plan(const struct pipeline *p, struct work *work)
{
    struct enrolment *e = &work->enrolment;
    int r = enrol_prepare(p->ca, e);
    if (r == 0)
        r = issuance_plan(p->ca, &e->issuance, e->days);
    if (r == PC_EREFUSED)
        work->refused_act = "sign";
    return r;
}

static void judge(const struct pipeline *p, struct work *work)
{
    int r = p->hooks->judge(p->hooks->context, work);
    if (r == 0)
        r = plan(p, work);
    if (r < 0)
        work_fail(work, r);
}

/* The source has nothing: for now, or for good. */
static void heed_end(struct pipeline *p, int code)
{
    if (code < 0 || !p->lasts)
        p->exhausted = true;
    if (code < 0)
        pipeline_stop_for(p, code);
}

static bool goes_on(const struct pipeline *p)
{
    return p->stop == PIPELINE_RUNS && !p->exhausted;
}

/* The next items of the source, with the lock held; none when nothing will come, or the pipeline stops. */
static void take(struct pipeline *p, struct queue *ret)
{
    queue_init(ret);
    /* Those of a source that lasts come one by one, and each waits for somebody. */
    size_t most = p->hooks->lasting ? 1 : AT_ONCE;
    while (goes_on(p) && ret->count < most) {
        struct work *work = queue_pop(&p->idle);
        int r = work ? p->hooks->next(p->hooks->context, work) : 0;
        if (r > 0) {
            queue_push(ret, work);
            continue;
        }
        if (work) {
            queue_push(&p->idle, work);
            heed_end(p, r);
        }
        if (ret->count > 0)
            break;
        if (goes_on(p))
            pthread_cond_wait(&p->judge, &p->lock);
    }
    p->judging += ret->count;
}

/* Refused before it comes to the ledger, and not even by a rule that is on record there. */
static bool is_over(const struct work *work)
{
    return work->failure.code && !work->refused_act;
}

/* The lock is held. */
static void hand_on(struct pipeline *p, struct queue *taken)
{
    struct work *work;
    bool over = false;
    p->judging -= taken->count;
    while ((work = queue_pop(taken))) {
        over = over || is_over(work);
        queue_push(is_over(work) ? &p->done : &p->judged, work);
    }
    if (over)
        pipeline_tell_owner(p);
    pipeline_tell_ledger(p);
}

void *judge_thread(void *pipeline)
{
    struct pipeline *p = pipeline;
    struct queue taken;
    pthread_mutex_lock(&p->lock);
    for (take(p, &taken); taken.count > 0; take(p, &taken)) {
        pthread_mutex_unlock(&p->lock);
        for (struct work *work = taken.first; work; work = work->next)
            judge(p, work);
        pthread_mutex_lock(&p->lock);
        hand_on(p, &taken);
    }
    p->judges--;
    /* Who waits for room sees that nothing comes any more. */
    pthread_cond_broadcast(&p->judge);
    pthread_cond_signal(&p->ledger);
    pipeline_tell_owner(p);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}
