/* What the stages of the pipeline share. Within src/ca/pipeline only. */
#ifndef CA_PIPELINE_STAGES_H
#define CA_PIPELINE_STAGES_H

#include <pthread.h>

#include "src/ca/pipeline/pipeline.h"

enum pipeline_stop {
    PIPELINE_RUNS,
    PIPELINE_INTERRUPTED, /* what is on record is signed; nothing more is begun */
    PIPELINE_BROKEN,      /* nothing more is signed: `failure` tells why */
};

enum pipeline_token {
    TOKEN_SIGNS,
    TOKEN_RESTS,    /* signers wait while the ledger's thread tends */
    TOKEN_LOST,     /* signers wait; the ledger thread opens it again */
    TOKEN_REOPENED, /* once is enough */
};

#define JUDGES_MAX 8
#define SIGNERS_MAX 32

struct pipeline {
    struct ca *ca;
    const struct pipeline_hooks *hooks;
    unsigned char *items;
    pthread_t threads[JUDGES_MAX + SIGNERS_MAX + 1];
    size_t thread_count;
    size_t group; /* items that share a transaction at most, of those that begin and of those that end */

    pthread_mutex_t lock; /* of all that follows, and of the source */
    pthread_cond_t judge, ledger, sign, output;
    struct queue idle, judged, recorded, signed_, dropped, done;
    size_t out;          /* items in their owner's hands */
    size_t judging;      /* items in the judges' hands */
    size_t signing;      /* items in the signers' hands */
    size_t judges;       /* that still run */
    bool lasts;          /* an empty source may have more later */
    bool exhausted;      /* the source is */
    bool over;           /* the threads end */
    bool ledger_patient; /* its thread looks again by itself soon */
    enum pipeline_stop stop;
    struct ca_failure failure;
    enum pipeline_token token;
    unsigned bad_signatures;
    size_t signers;
    int64_t first_signed,
        signatures;     /* when (ms), and how many: the speed that decides how far to reserve ahead */
    int64_t tend_at;    /* ms */
    bool ledger_broken; /* nothing is written there any more */
};

/* The lock is held. */
void pipeline_stop_for(struct pipeline *pipeline, int code);
/* Something came for the ledger: its thread is woken if that makes a transaction worth while. The lock is
 * held. */
void pipeline_tell_ledger(struct pipeline *pipeline);
/* Something has ended. The lock is held. */
void pipeline_tell_owner(struct pipeline *pipeline);
void pipeline_wait_until(struct pipeline *pipeline, pthread_cond_t *cond, int64_t ms); /* from now on */

/* it was not its turn when the pipeline stopped */
void work_stop(const struct pipeline *pipeline, struct work *work);

void *judge_thread(void *pipeline);
void *sign_thread(void *pipeline);
void *ledger_thread(void *pipeline);

#endif
