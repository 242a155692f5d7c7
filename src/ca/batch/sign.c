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

void *sign_thread(void *batch)
{
    struct batch *b = batch;
    pthread_mutex_lock(&b->lock);
    while (!b->over) {
        struct item *item = NULL;
        if (b->token != TOKEN_LOST && b->stop != BATCH_BROKEN)
            item = queue_pop(&b->recorded);
        if (!item) {
            pthread_cond_wait(&b->sign, &b->lock);
            continue;
        }
        b->signing++;
        if (b->first_signed == 0)
            b->first_signed = batch_clock();
        pthread_mutex_unlock(&b->lock);
        int r = issuance_sign(b->ca, &item->enrolment.issuance);
        pthread_mutex_lock(&b->lock);
        b->signing--;
        sort_out(b, item, r);
        pthread_cond_signal(&b->ledger);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}
