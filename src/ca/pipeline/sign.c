/* The third stage: as many threads as the token signs at once. What comes back is verified and judged here,
 * too. When the token is lost, all wait until it is back, or the pipeline stops. */
#include <string.h>
#include <time.h>

#include "src/base/error.h"
#include "src/ca/pipeline/stages.h"

#define BAD_SIGNATURES 2 /* then it is the token, not an accident */

static bool is_named(int code, const char *name)
{
    return code == PC_EUNREACH && strcmp(pc_error_name(), name) == 0;
}

/* The token is gone: the item waits for its turn again, and so does everybody. The lock is held. */
static void lose_token(struct pipeline *p, struct work *work, int code)
{
    work->next = NULL;
    queue_push(&p->recorded, work);
    if (p->token == TOKEN_REOPENED || p->hooks->lasting)
        pipeline_stop_for(p, code);
    else
        p->token = TOKEN_LOST;
}

/* Where an item goes that was signed, or not. The lock is held. */
static void sort_out(struct pipeline *p, struct work *work, int code)
{
    if (code == 0) {
        p->signatures++;
        if (p->hooks->lasting)
            p->bad_signatures = 0;
        queue_push(&p->signed_, work);
        return;
    }
    if (is_named(code, "token-lost")) {
        lose_token(p, work, code);
        return;
    }
    bool hangs = is_named(code, "token-timeout");
    work_fail(work, code);
    if (hangs || ++p->bad_signatures >= BAD_SIGNATURES)
        pipeline_stop_for(p, code);
    queue_push(&p->dropped, work);
}

/* Items in one thread's hands. */
struct handful {
    struct work *items[HSM_SIGN_MAX];
    struct pc_bytes signatures[HSM_SIGN_MAX];
    size_t count, done;
    int code; /* of the one behind those that are done */
    struct ca_failure failure;
};

/* What there is, shared among the signers so that none is idle while another has a heap. The lock is held. */
static void take(struct pipeline *p, struct handful *h)
{
    size_t most = p->recorded.count / (2 * p->signers) + 1;
    *h = (struct handful){0};
    if (p->token == TOKEN_LOST || p->token == TOKEN_RESTS || p->stop == PIPELINE_BROKEN)
        return;
    while (h->count < most && h->count < HSM_SIGN_MAX && p->recorded.first)
        h->items[h->count++] = queue_pop(&p->recorded);
    p->signing += h->count;
    if (h->count > 0 && p->first_signed == 0)
        p->first_signed = pipeline_clock();
}

static int64_t microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void sign(struct pipeline *p, struct handful *h)
{
    struct issuance *issuances[HSM_SIGN_MAX];
    int64_t began = microseconds();
    for (size_t i = 0; i < h->count; i++)
        issuances[i] = &h->items[i]->enrolment.issuance;
    h->code = issuance_sign_each(p->ca, issuances, h->count, h->signatures, &h->done);
    if (h->code < 0)
        ca_failure_keep(h->code, &h->failure);
    for (size_t i = 0; i < h->done; i++)
        h->items[i]->signed_us = (microseconds() - began) / (int64_t)h->done;
}

/* What the token made is judged, and each item goes where that leads. Returns with the lock. */
static void give_back(struct pipeline *p, struct handful *h)
{
    int codes[HSM_SIGN_MAX];
    for (size_t i = 0; i < h->done; i++) {
        struct work *work = h->items[i];
        codes[i] = issuance_seal(p->ca, &work->enrolment.issuance, &h->signatures[i]);
        if (codes[i] < 0)
            ca_failure_keep(codes[i], &work->failure);
        pc_bytes_clear(&h->signatures[i]);
    }
    pthread_mutex_lock(&p->lock);
    p->signing -= h->count;
    for (size_t i = 0; i < h->done; i++)
        sort_out(p, h->items[i], codes[i] < 0 ? ca_failure_again(&h->items[i]->failure) : 0);
    if (h->code < 0)
        sort_out(p, h->items[h->done], ca_failure_again(&h->failure));
    for (size_t i = h->done + (h->code < 0); i < h->count; i++)
        queue_push(&p->recorded, h->items[i]);
    pipeline_tell_ledger(p);
}

void *sign_thread(void *pipeline)
{
    struct pipeline *p = pipeline;
    struct handful h;
    pthread_mutex_lock(&p->lock);
    while (!p->over) {
        take(p, &h);
        if (h.count == 0) {
            pthread_cond_wait(&p->sign, &p->lock);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        sign(p, &h);
        give_back(p, &h);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}
