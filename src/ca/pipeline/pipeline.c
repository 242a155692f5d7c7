/* The items that go round, the threads they go between, and how they begin and end. */
#include "src/ca/pipeline/stages.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/base/error.h"

void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
    queue->count = 0;
}

void queue_push(struct queue *queue, struct work *work)
{
    work->next = NULL;
    *queue->end = work;
    queue->end = &work->next;
    queue->count++;
}

struct work *queue_pop(struct queue *queue)
{
    struct work *work = queue->first;
    if (!work)
        return NULL;
    queue->first = work->next;
    if (!queue->first)
        queue->end = &queue->first;
    queue->count--;
    return work;
}

void queue_move(struct queue *from, size_t most, struct queue *to)
{
    while (most-- > 0 && from->first)
        queue_push(to, queue_pop(from));
}

int64_t pipeline_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void work_fail(struct work *work, int code)
{
    ca_failure_keep(code, &work->failure);
    work->outcome = code == PC_EREFUSED ? WORK_REFUSED : code == PC_EPENDING ? WORK_PENDING : WORK_FAILED;
}

void work_stop(const struct pipeline *p, struct work *work)
{
    work_fail(work,
              pc_fail_named(PC_EPENDING, "stopped", "%s: stopped before its turn", p->hooks->name(work)));
    work->serial[0] = work->certificate_sha256[0] = '\0';
}

static void clear(const struct pipeline *p, struct work *work)
{
    p->hooks->clear(work);
    pki_request_free(work->request);
    issuance_clear(&work->enrolment.issuance);
    memset(work, 0, p->hooks->size);
}

static void wake_all(struct pipeline *p)
{
    pthread_cond_broadcast(&p->judge);
    pthread_cond_broadcast(&p->sign);
    pthread_cond_broadcast(&p->ledger);
    pipeline_tell_owner(p);
}

void pipeline_tell_owner(struct pipeline *p)
{
    pthread_cond_broadcast(&p->output);
    if (p->hooks->ended)
        p->hooks->ended(p->hooks->context);
}

void pipeline_stop_for(struct pipeline *p, int code)
{
    if (p->stop != PIPELINE_BROKEN)
        ca_failure_keep(code, &p->failure);
    p->stop = PIPELINE_BROKEN;
    wake_all(p);
}

void pipeline_break(struct pipeline *p, int code)
{
    pthread_mutex_lock(&p->lock);
    pipeline_stop_for(p, code);
    pthread_mutex_unlock(&p->lock);
}

void pipeline_interrupt(struct pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    if (p->stop == PIPELINE_RUNS) {
        p->stop = PIPELINE_INTERRUPTED;
        wake_all(p);
    }
    pthread_mutex_unlock(&p->lock);
}

void pipeline_wake(struct pipeline *p, bool last)
{
    pthread_mutex_lock(&p->lock);
    if (last) {
        p->lasts = false;
        pthread_cond_broadcast(&p->judge);
    } else {
        pthread_cond_signal(&p->judge);
    }
    pthread_mutex_unlock(&p->lock);
}

static int hire(struct pipeline *p, const char *name, void *(*work)(void *))
{
    int error = pthread_create(&p->threads[p->thread_count], NULL, work, p);
    if (error)
        return pc_fail(PC_EFAIL, "no thread: %s", strerror(error));
    (void)pthread_setname_np(p->threads[p->thread_count], name);
    p->thread_count++;
    return 0;
}

static size_t cores(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : (size_t)online;
}

static size_t judges_wanted(void)
{
    return cores() > JUDGES_MAX ? JUDGES_MAX : cores();
}

static size_t signers_wanted(const struct ca *ca)
{
    size_t given = ca->token_info.sessions ? ca->token_info.sessions : 1;
    if (ca->settings->sessions > 0 && (size_t)ca->settings->sessions < given)
        given = (size_t)ca->settings->sessions;
    /* A token in software gains nothing from more threads than run at once, and loses by their locks. */
    else if (hsm_key_in_software(ca->key) && given > cores() + 1)
        given = cores() + 1;
    return given > SIGNERS_MAX ? SIGNERS_MAX : given;
}

/* The owner's thread alone is to be interrupted. */
static void hire_all(struct pipeline *p)
{
    sigset_t all, before;
    sigfillset(&all);
    int r = 0;
    size_t judges = judges_wanted();
    p->signers = signers_wanted(p->ca);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&p->lock);
    r = hire(p, "ledger", ledger_thread);
    for (size_t i = 0; r == 0 && i < p->signers; i++)
        r = hire(p, "sign", sign_thread);
    for (size_t i = 0; r == 0 && i < judges; i++) {
        r = hire(p, "judge", judge_thread);
        p->judges += r == 0;
    }
    if (r < 0)
        pipeline_stop_for(p, r);
    pthread_mutex_unlock(&p->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

void pipeline_wait_until(struct pipeline *p, pthread_cond_t *cond, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(cond, &p->lock, &until);
}

int pipeline_start(struct ca *ca, const struct pipeline_hooks *hooks, struct pipeline **ret)
{
    pc_autofree struct pipeline *p = calloc(1, sizeof *p);
    if (p)
        p->items = calloc(PIPELINE_ITEMS, hooks->size);
    if (!p || !p->items)
        return pc_fail(PC_EFAIL, "out of memory");
    struct queue *const queues[] = {&p->idle, &p->judged, &p->recorded, &p->signed_, &p->dropped, &p->done};
    pthread_cond_t *const conds[] = {&p->judge, &p->ledger, &p->sign, &p->output};
    p->ca = ca;
    p->group = PIPELINE_GROUP;
    if (ca->ledger && ca->ledger->claims && ca->ledger->claims < PIPELINE_GROUP)
        p->group = ca->ledger->claims;
    p->hooks = hooks;
    p->lasts = hooks->lasting;
    p->tend_at = pipeline_clock();
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
        queue_init(queues[i]);
    for (size_t i = 0; i < PIPELINE_ITEMS; i++)
        queue_push(&p->idle, (struct work *)(void *)(p->items + i * hooks->size));
    pthread_mutex_init(&p->lock, NULL);
    for (size_t i = 0; i < sizeof conds / sizeof *conds; i++)
        cond_init(conds[i]);
    hire_all(p); /* one that cannot ends at once, and says why */
    *ret = pc_steal(p);
    return 0;
}

bool pipeline_collect(struct pipeline *p, size_t most, int wait, struct queue *ret)
{
    queue_init(ret);
    pthread_mutex_lock(&p->lock);
    bool all = p->judges == 0 && p->idle.count + p->out == PIPELINE_ITEMS;
    if (!p->done.first && !all && wait > 0)
        pipeline_wait_until(p, &p->output, wait);
    queue_move(&p->done, most, ret);
    p->out += ret->count;
    pthread_mutex_unlock(&p->lock);
    return ret->first || !all;
}

void pipeline_give_back(struct pipeline *p, struct queue *ended)
{
    struct work *work;
    for (work = ended->first; work;) {
        struct work *next = work->next;
        clear(p, work);
        work->next = next;
        work = next;
    }
    pthread_mutex_lock(&p->lock);
    while ((work = queue_pop(ended))) {
        p->out--;
        queue_push(&p->idle, work);
    }
    pthread_cond_broadcast(&p->judge);
    pthread_mutex_unlock(&p->lock);
}

bool pipeline_runs(struct pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    bool runs = p->stop == PIPELINE_RUNS;
    pthread_mutex_unlock(&p->lock);
    return runs;
}

size_t pipeline_load(struct pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    size_t load = PIPELINE_ITEMS - p->idle.count;
    pthread_mutex_unlock(&p->lock);
    return load;
}

int pipeline_end(struct pipeline *p, bool *ret_interrupted)
{
    pthread_cond_t *const conds[] = {&p->judge, &p->ledger, &p->sign, &p->output};
    struct ca_failure failure;
    pthread_mutex_lock(&p->lock);
    p->over = true;
    pthread_cond_broadcast(&p->sign);
    pthread_cond_broadcast(&p->ledger);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->thread_count; i++)
        pthread_join(p->threads[i], NULL);
    for (size_t i = 0; i < sizeof conds / sizeof *conds; i++)
        pthread_cond_destroy(conds[i]);
    pthread_mutex_destroy(&p->lock);
    failure = p->failure;
    if (ret_interrupted)
        *ret_interrupted = p->stop == PIPELINE_INTERRUPTED;
    free(p->items);
    free(p);
    return failure.code < 0 ? ca_failure_again(&failure) : 0;
}
