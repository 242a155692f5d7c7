/* The items that go round, the threads they go between, and how they begin and end. */
#include "src/ca/batch/pipeline.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/base/error.h"

#define JUDGES_MAX 8
#define SIGNERS_MAX 32
#define OUTPUT_AT_ONCE 64
#define BREATH 200 /* ms after which signals and progress are looked at again */

void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
    queue->count = 0;
}

void queue_push(struct queue *queue, struct item *item)
{
    item->next = NULL;
    *queue->end = item;
    queue->end = &item->next;
    queue->count++;
}

struct item *queue_pop(struct queue *queue)
{
    struct item *item = queue->first;
    if (!item)
        return NULL;
    queue->first = item->next;
    if (!queue->first)
        queue->end = &queue->first;
    queue->count--;
    return item;
}

void queue_move(struct queue *from, size_t most, struct queue *to)
{
    while (most-- > 0 && from->first)
        queue_push(to, queue_pop(from));
}

int64_t batch_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void item_fail(struct item *item, int code)
{
    ca_failure_keep(code, &item->failure);
    item->outcome = code == PC_EREFUSED   ? CA_BATCH_REFUSED
                    : code == PC_EPENDING ? CA_BATCH_PENDING
                                          : CA_BATCH_FAILED;
}

void item_stop(struct item *item)
{
    item_fail(item, pc_fail_named(PC_EPENDING, "stopped", "%s: the batch was stopped before its turn",
                                  item->entry.path));
    item->serial[0] = item->certificate_sha256[0] = '\0';
}

void item_clear(struct item *item)
{
    source_entry_clear(&item->entry);
    pki_request_free(item->request);
    issuance_clear(&item->enrolment.issuance);
    *item = (struct item){0};
}

static void wake_all(struct batch *b)
{
    pthread_cond_broadcast(&b->judge);
    pthread_cond_broadcast(&b->sign);
    pthread_cond_broadcast(&b->ledger);
    pthread_cond_broadcast(&b->output);
}

void pipeline_break(struct batch *b, int code)
{
    if (b->stop != BATCH_BROKEN)
        ca_failure_keep(code, &b->failure);
    b->stop = BATCH_BROKEN;
    wake_all(b);
}

/* A batch whose threads have begun. */
struct crew {
    pthread_t threads[JUDGES_MAX + SIGNERS_MAX + 1];
    size_t count;
};

static int hire(struct batch *b, struct crew *crew, const char *name, void *(*work)(void *))
{
    int error = pthread_create(&crew->threads[crew->count], NULL, work, b);
    if (error)
        return pc_fail(PC_EFAIL, "no thread: %s", strerror(error));
    (void)pthread_setname_np(crew->threads[crew->count], name);
    crew->count++;
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

/* The caller's thread alone is to be interrupted. */
static int hire_all(struct batch *b, struct crew *crew)
{
    sigset_t all, before;
    sigfillset(&all);
    int r = 0;
    size_t judges = judges_wanted();
    b->signers = signers_wanted(b->ca);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&b->lock);
    r = hire(b, crew, "ledger", ledger_thread);
    for (size_t i = 0; r == 0 && i < b->signers; i++)
        r = hire(b, crew, "sign", sign_thread);
    for (size_t i = 0; r == 0 && i < judges; i++) {
        r = hire(b, crew, "judge", judge_thread);
        b->judges += r == 0;
    }
    if (r < 0)
        pipeline_break(b, r);
    pthread_mutex_unlock(&b->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

/* The lock is held. */
static void heed_signal(struct batch *b)
{
    if (b->options->stop && *b->options->stop && b->stop == BATCH_RUNS) {
        b->stop = BATCH_INTERRUPTED;
        wake_all(b);
    }
}

static void wait_for_output(struct batch *b)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += BREATH * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&b->output, &b->lock, &until);
}

/* Writes these, and lets them go round again. The lock is held. */
static void put_out(struct batch *b, struct queue *ended)
{
    struct item *item;
    int r = 0;
    pthread_mutex_unlock(&b->lock);
    for (item = ended->first; item; item = item->next) {
        int written = output_item(b, item);
        r = r < 0 ? r : written;
    }
    output_progress(b);
    pthread_mutex_lock(&b->lock);
    if (r < 0)
        pipeline_break(b, r);
    while ((item = queue_pop(ended))) {
        item_clear(item);
        queue_push(&b->idle, item);
    }
    pthread_cond_broadcast(&b->judge);
}

/* Writes what has ended, until everything has. The lock is held. */
static void run_output(struct batch *b)
{
    while (b->judges > 0 || b->idle.count < BATCH_ITEMS) {
        struct queue ended;
        queue_init(&ended);
        queue_move(&b->done, OUTPUT_AT_ONCE, &ended);
        heed_signal(b);
        if (ended.first) {
            put_out(b, &ended);
            continue;
        }
        wait_for_output(b);
        pthread_mutex_unlock(&b->lock);
        output_progress(b);
        pthread_mutex_lock(&b->lock);
    }
}

/* What a stopped batch did not come to is named in the receipt all the same. */
static int tell_rest(struct batch *b)
{
    struct item item = {0};
    int r = 0;
    while (r == 0 && !b->exhausted && b->source->next(b->source, &item.entry) > 0) {
        item.number = ++b->read;
        item_stop(&item);
        r = output_item(b, &item);
        item_clear(&item);
    }
    return r;
}

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

static int set_up(struct batch *b)
{
    struct queue *const queues[] = {&b->idle, &b->judged, &b->recorded, &b->signed_, &b->dropped, &b->done};
    pthread_cond_t *const conds[] = {&b->judge, &b->ledger, &b->sign, &b->output};
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
        queue_init(queues[i]);
    b->items = calloc(BATCH_ITEMS, sizeof *b->items);
    if (!b->items)
        return pc_fail(PC_EFAIL, "out of memory");
    for (size_t i = 0; i < BATCH_ITEMS; i++)
        queue_push(&b->idle, &b->items[i]);
    pthread_mutex_init(&b->lock, NULL);
    for (size_t i = 0; i < sizeof conds / sizeof *conds; i++)
        cond_init(conds[i]);
    return 0;
}

static void take_down(struct batch *b)
{
    pthread_cond_t *const conds[] = {&b->judge, &b->ledger, &b->sign, &b->output};
    for (size_t i = 0; i < sizeof conds / sizeof *conds; i++)
        pthread_cond_destroy(conds[i]);
    pthread_mutex_destroy(&b->lock);
    free(b->items);
}

static int verdict(const struct batch *b)
{
    if (b->stop == BATCH_BROKEN)
        return ca_failure_again(&b->failure);
    if (b->stop == BATCH_INTERRUPTED)
        return pc_fail_named(
            PC_EPENDING, "interrupted", "stopped by a signal: %zu of %zu are done; run it again for the rest",
            b->counts.outcome[CA_BATCH_ISSUED] + b->counts.outcome[CA_BATCH_ALREADY], b->counts.total);
    return 0;
}

int pipeline_run(struct batch *b)
{
    struct crew crew = {0};
    int r = set_up(b);
    if (r < 0)
        return r;
    (void)hire_all(b, &crew);
    pthread_mutex_lock(&b->lock);
    run_output(b);
    b->over = true;
    wake_all(b);
    pthread_mutex_unlock(&b->lock);
    for (size_t i = 0; i < crew.count; i++)
        pthread_join(crew.threads[i], NULL);
    r = tell_rest(b);
    if (r < 0)
        pipeline_break(b, r);
    take_down(b);
    return verdict(b);
}
