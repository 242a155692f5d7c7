/* The third stage: as many threads as the token signs at once. What comes back is verified and judged here,
 * too. When the token is lost, all wait until it is back, or the batch stops. */
#include <string.h>

#include "src/base/error.h"
#include "src/ca/batch/pipeline.h"

#define BAD_SIGNATURES 2 /* then it is the token, not an accident */

static bool is_named(int code, const char *name)
{
    return code == PC_EUNREACH && strcmp(pc_error_name(), name) == 0;
}

/* The token is gone: the item waits for its turn again, and so does everybody. The lock is held. */
static void lose_token(struct batch *b, struct item *item, int code)
{
    item->next = NULL;
    queue_push(&b->recorded, item);
    if (b->token == TOKEN_REOPENED)
        pipeline_break(b, code);
    else
        b->token = TOKEN_LOST;
}

/* Where an item goes that was signed, or not. The lock is held. */
static void sort_out(struct batch *b, struct item *item, int code)
{
    if (code == 0) {
        b->signatures++;
        queue_push(&b->signed_, item);
        return;
    }
    if (is_named(code, "token-lost")) {
        lose_token(b, item, code);
        return;
    }
    bool hangs = is_named(code, "token-timeout");
    item_fail(item, code);
    if (hangs || ++b->bad_signatures >= BAD_SIGNATURES)
        pipeline_break(b, code);
    queue_push(&b->dropped, item);
}

/* Items in one thread's hands. */
struct handful {
    struct item *items[HSM_SIGN_MAX];
    struct pc_bytes signatures[HSM_SIGN_MAX];
    size_t count, done;
    int code; /* of the one behind those that are done */
    struct ca_failure failure;
};

/* What there is, shared among the signers so that none is idle while another has a heap. The lock is held. */
static void take(struct batch *b, struct handful *h)
{
    size_t most = b->recorded.count / (2 * b->signers) + 1;
    *h = (struct handful){0};
    if (b->token == TOKEN_LOST || b->stop == BATCH_BROKEN)
        return;
    while (h->count < most && h->count < HSM_SIGN_MAX && b->recorded.first)
        h->items[h->count++] = queue_pop(&b->recorded);
    b->signing += h->count;
    if (h->count > 0 && b->first_signed == 0)
        b->first_signed = batch_clock();
}

static void sign(struct batch *b, struct handful *h)
{
    struct issuance *issuances[HSM_SIGN_MAX];
    for (size_t i = 0; i < h->count; i++)
        issuances[i] = &h->items[i]->enrolment.issuance;
    h->code = issuance_sign_each(b->ca, issuances, h->count, h->signatures, &h->done);
    if (h->code < 0)
        ca_failure_keep(h->code, &h->failure);
}

/* What the token made is judged, and each item goes where that leads. Returns with the lock. */
static void give_back(struct batch *b, struct handful *h)
{
    int codes[HSM_SIGN_MAX];
    for (size_t i = 0; i < h->done; i++) {
        struct item *item = h->items[i];
        codes[i] = issuance_seal(b->ca, &item->enrolment.issuance, &h->signatures[i]);
        if (codes[i] < 0)
            ca_failure_keep(codes[i], &item->failure);
        pc_bytes_clear(&h->signatures[i]);
    }
    pthread_mutex_lock(&b->lock);
    b->signing -= h->count;
    for (size_t i = 0; i < h->done; i++)
        sort_out(b, h->items[i], codes[i] < 0 ? ca_failure_again(&h->items[i]->failure) : 0);
    if (h->code < 0)
        sort_out(b, h->items[h->done], ca_failure_again(&h->failure));
    for (size_t i = h->done + (h->code < 0); i < h->count; i++)
        queue_push(&b->recorded, h->items[i]);
    pipeline_tell_ledger(b);
}

void *sign_thread(void *batch)
{
    struct batch *b = batch;
    struct handful h;
    pthread_mutex_lock(&b->lock);
    while (!b->over) {
        take(b, &h);
        if (h.count == 0) {
            pthread_cond_wait(&b->sign, &b->lock);
            continue;
        }
        pthread_mutex_unlock(&b->lock);
        sign(b, &h);
        give_back(b, &h);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}
