/* A token's threads, each with a letter box for one operation. Knows nothing of PKCS#11. */
#include "hsm/worker.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/error.h"

enum state { IDLE, RUNNING, DONE, ABANDONED };

struct worker {
    struct worker *next; /* of those that are idle, or of all */
    struct worker *next_of_all;
    pthread_t thread;
    sem_t go, done;
    _Atomic(enum state) state;
    _Atomic(int64_t) since;      /* when its step began: ms, monotonic */
    int (*run)(void *arguments); /* NULL: the thread is to end */
    _Alignas(max_align_t) unsigned char arguments[HSM_ARGUMENTS_MAX];
    int result;
    struct {
        const char *name;
        char text[4096];
    } error;
};

struct hsm_workers {
    char name[320];
    int64_t timeout;
    pthread_mutex_t lock; /* of the two lists */
    struct worker *idle, *all;
    atomic_bool hangs;
};

static _Thread_local struct worker *on_worker; /* this thread's own */

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void hsm_step(void)
{
    if (on_worker)
        atomic_store(&on_worker->since, clock_ms());
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    on_worker = worker;
    for (;;) {
        while (sem_wait(&worker->go) != 0)
            ;
        if (!worker->run)
            return NULL;
        worker->result = worker->run(worker->arguments);
        if (worker->result < 0) {
            worker->error.name = pc_error_name();
            snprintf(worker->error.text, sizeof worker->error.text, "%s", pc_error_text());
        }
        enum state running = RUNNING;
        if (!atomic_compare_exchange_strong(&worker->state, &running, DONE))
            return NULL; /* too late: nobody wants to know any more */
        sem_post(&worker->done);
    }
}

int hsm_workers_new(const char *name, int64_t timeout, struct hsm_workers **ret)
{
    struct hsm_workers *workers = calloc(1, sizeof *workers);
    if (!workers)
        return pc_fail(PC_EFAIL, "out of memory");
    snprintf(workers->name, sizeof workers->name, "%s", name);
    workers->timeout = timeout;
    pthread_mutex_init(&workers->lock, NULL);
    *ret = workers;
    return 0;
}

void hsm_workers_rename(struct hsm_workers *workers, const char *name)
{
    snprintf(workers->name, sizeof workers->name, "%s", name);
}

void hsm_workers_free(struct hsm_workers *workers)
{
    if (!workers || hsm_hangs(workers))
        return;
    while (workers->all) {
        struct worker *worker = workers->all;
        workers->all = worker->next_of_all;
        worker->run = NULL;
        sem_post(&worker->go);
        pthread_join(worker->thread, NULL);
        sem_destroy(&worker->go);
        sem_destroy(&worker->done);
        free(worker);
    }
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}

/* Signals are for the threads that the program knows of. */
static int start_thread(struct worker *worker)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&worker->thread, NULL, work, worker);
    if (error == 0)
        (void)pthread_setname_np(worker->thread, "token");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static int hire(struct hsm_workers *workers, struct worker **ret)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return pc_fail(PC_EFAIL, "out of memory");
    sem_init(&worker->go, 0, 0);
    sem_init(&worker->done, 0, 0);
    int error = start_thread(worker);
    if (error) {
        sem_destroy(&worker->go);
        sem_destroy(&worker->done);
        free(worker);
        errno = error;
        return pc_fail_errno(PC_EFAIL, "%s: no thread to ask it with", workers->name);
    }
    pthread_mutex_lock(&workers->lock);
    worker->next_of_all = workers->all;
    workers->all = worker;
    pthread_mutex_unlock(&workers->lock);
    *ret = worker;
    return 0;
}

/* The one that was busy last: its memory is the warmest. */
static int take(struct hsm_workers *workers, struct worker **ret)
{
    pthread_mutex_lock(&workers->lock);
    struct worker *worker = workers->idle;
    if (worker)
        workers->idle = worker->next;
    pthread_mutex_unlock(&workers->lock);
    if (!worker)
        return hire(workers, ret);
    *ret = worker;
    return 0;
}

static void give_back(struct hsm_workers *workers, struct worker *worker)
{
    pthread_mutex_lock(&workers->lock);
    worker->next = workers->idle;
    workers->idle = worker;
    pthread_mutex_unlock(&workers->lock);
}

/* False when the time is over and it has still not come back. */
static bool wait_for(struct worker *worker, int64_t timeout)
{
    int64_t until;
    int r;
    do {
        until = atomic_load(&worker->since) + timeout * 1000;
        const struct timespec end = {.tv_sec = (time_t)(until / 1000),
                                     .tv_nsec = (long)(until % 1000) * 1000000};
        r = timeout > 0 ? sem_clockwait(&worker->done, CLOCK_MONOTONIC, &end) : sem_wait(&worker->done);
    } while (r != 0 && (errno == EINTR || atomic_load(&worker->since) + timeout * 1000 > until));
    if (r == 0)
        return atomic_load(&worker->state) == DONE;
    enum state running = RUNNING;
    if (atomic_compare_exchange_strong(&worker->state, &running, ABANDONED))
        return false;
    while (sem_wait(&worker->done) != 0)
        ;
    return true;
}

static int run_within(struct hsm_workers *workers, int64_t timeout, const char *what,
                      int (*run)(void *arguments), void *arguments, size_t size)
{
    struct worker *worker = NULL;
    if (on_worker)
        return run(arguments);
    if (size > HSM_ARGUMENTS_MAX)
        return pc_fail(PC_EFAIL, "%s: more arguments than a thread takes", what);
    if (hsm_hangs(workers))
        return pc_fail_named(PC_EUNREACH, "token-timeout", "%s: not asked again, since it did not answer",
                             workers->name);
    int r = take(workers, &worker);
    if (r < 0)
        return r;
    worker->run = run;
    memcpy(worker->arguments, arguments, size);
    atomic_store(&worker->since, clock_ms());
    atomic_store(&worker->state, RUNNING);
    sem_post(&worker->go);
    if (!wait_for(worker, timeout)) {
        atomic_store(&workers->hangs, true);
        pc_process_abandon();
        return pc_fail_named(PC_EUNREACH, "token-timeout",
                             "%s: %s did not end within %lld s ([token] timeout)", workers->name, what,
                             (long long)timeout);
    }
    memcpy(arguments, worker->arguments, size);
    explicit_bzero(worker->arguments, size);
    r = worker->result;
    if (r < 0)
        r = pc_fail_named(r, worker->error.name, "%s", worker->error.text);
    give_back(workers, worker);
    return r;
}

int hsm_run(struct hsm_workers *workers, const char *what, int (*run)(void *arguments), void *arguments,
            size_t size)
{
    return run_within(workers, workers->timeout, what, run, arguments, size);
}

int hsm_run_unlimited(struct hsm_workers *workers, const char *what, int (*run)(void *arguments),
                      void *arguments, size_t size)
{
    return run_within(workers, 0, what, run, arguments, size);
}

bool hsm_hangs(const struct hsm_workers *workers)
{
    return atomic_load(&workers->hangs);
}
