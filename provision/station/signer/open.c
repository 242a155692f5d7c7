/* The pipeline of a signer: begun, ended by whatever stopped it, and begun again once token and ledger are
 * back. Meanwhile the main thread goes on answering: opening is done by a thread of its own. */
#include <string.h>
#include <unistd.h>

#include "provision/station/signer/station.h"
#include "src/base/error.h"
#include "src/base/log.h"

#define WAIT_FIRST 1000 /* ms */
#define WAIT_LAST 60000
#define PATIENCE 3000 /* ms that another writer is waited for: whoever asks waits, too */

static void wake(void *context)
{
    struct station *s = context;
    const uint64_t one = 1;
    /* It cannot fail but by being set already. */
    ssize_t n = write(s->wake, &one, sizeof one);
    (void)n;
}

static struct pipeline_hooks hooks; /* those of the one signer of this process */

int station_start(struct station *s)
{
    hooks = (struct pipeline_hooks){
        .context = s,
        .size = sizeof(struct ask),
        .lasting = true,
        .next = ask_next,
        .judge = ask_judge,
        .admit = ask_admit,
        .issued = ask_issued,
        .refused = ask_refused,
        .name = ask_name,
        .tend = station_tend,
        .interval = TEND_INTERVAL,
        .ended = wake,
        .clear = ask_clear,
    };
    s->draining = false;
    s->ca->ledger->ops->patience(s->ca->ledger, PATIENCE);
    return pipeline_start(s->ca, &hooks, &s->pipeline);
}

bool station_signs(const struct station *s)
{
    return s->pipeline && !s->draining;
}

/* Whether it takes anything: one that is locked can be opened all the same. */
static int try_ledger(struct ca *ca)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    ca->ledger->ops->patience(ca->ledger, PATIENCE);
    return ca_begin_shared(ca, &open);
}

/* Both anew, whichever it was: a ledger that failed may have left rows in work, and a token that was away has
 * lost its session. One login. */
static int reopen(struct ca *ca)
{
    int r = ca_ledger_reopen(ca);
    if (r == 0)
        r = try_ledger(ca);
    if (r == 0)
        r = ca_token_reopen(ca);
    return r == 0 ? ca_signing_run(ca) : r;
}

static void *open_thread(void *context)
{
    struct station *s = context;
    struct ca_failure failure = {0};
    int r = reopen(s->ca);
    if (r < 0)
        ca_failure_keep(r, &failure);
    pthread_mutex_lock(&s->lock);
    s->failure = failure;
    s->opened = true;
    pthread_mutex_unlock(&s->lock);
    wake(s);
    return NULL;
}

/* The one alarm; what comes after it until all is well again is for the curious. */
static void tell(struct station *s, const char *text)
{
    pc_log(s->told ? PC_LOG_DEBUG : PC_LOG_WARNING, "nothing can be signed: %s; trying again", text);
    s->told = true;
}

/* What no second try mends. */
static int judge_failure(const struct ca_failure *failure)
{
    if (failure->code == PC_EAUTH || pc_process_abandoned())
        return ca_failure_again(failure);
    return 0;
}

static int look_at_pipeline(struct station *s)
{
    struct ca_failure failure;
    if (!s->draining && !pipeline_runs(s->pipeline) && !s->stopping) {
        s->draining = true;
        station_answer_waiting(s);
    }
    struct queue ended;
    if (!s->draining || pipeline_collect(s->pipeline, 0, 0, &ended))
        return 0;
    int r = pipeline_end(s->pipeline, NULL);
    s->pipeline = NULL;
    s->draining = false;
    if (r == 0)
        r = pc_fail(PC_EFAIL, "it was stopped");
    ca_failure_keep(r, &failure);
    tell(s, failure.text);
    s->open_at = pipeline_clock();
    s->open_wait = WAIT_FIRST;
    return judge_failure(&failure);
}

static int begin_opening(struct station *s)
{
    sigset_t all, before;
    if (s->opening || pipeline_clock() < s->open_at)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&s->opener, NULL, open_thread, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->opening = error == 0;
    return error ? pc_fail(PC_EFAIL, "no thread: %s", strerror(error)) : 0;
}

static int look_at_opener(struct station *s)
{
    pthread_mutex_lock(&s->lock);
    bool opened = s->opened;
    struct ca_failure failure = s->failure;
    s->opened = false;
    pthread_mutex_unlock(&s->lock);
    if (!opened)
        return 0;
    pthread_join(s->opener, NULL);
    s->opening = false;
    if (failure.code < 0) {
        tell(s, failure.text);
        s->open_at = pipeline_clock() + s->open_wait;
        s->open_wait = 2 * s->open_wait < WAIT_LAST ? 2 * s->open_wait : WAIT_LAST;
        return judge_failure(&failure);
    }
    int r = station_start(s);
    if (r == 0) {
        pc_log(PC_LOG_NOTICE, "signing again");
        s->told = false;
    }
    return r;
}

int station_look_after(struct station *s)
{
    int r = s->pipeline ? look_at_pipeline(s) : 0;
    if (r == 0 && s->opening)
        r = look_at_opener(s);
    if (r == 0 && !s->pipeline && !s->stopping)
        r = begin_opening(s);
    return r;
}
