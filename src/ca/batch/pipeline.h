/* What the stages of a batch share: a fixed number of items that go round, so that memory is the same
 * whatever the batch's length. Within src/ca/batch only.
 *
 *   judge (threads) → ledger (one thread) → sign (threads) → ledger → output (the caller's thread)
 *
 * The ledger thread alone touches the ledger, and the token's session once signing has begun. */
#ifndef CA_BATCH_PIPELINE_H
#define CA_BATCH_PIPELINE_H

#include <pthread.h>

#include "src/ca/batch/batch.h"
#include "src/ca/batch/receipt.h"
#include "src/ca/batch/source.h"
#include "src/ca/enrol.h"
#include "src/pki/request.h"

#define BATCH_ITEMS 1024 /* that go round */
#define BATCH_GROUP 256  /* that share a transaction, of those that begin and of those that end */

struct item {
    struct item *next; /* in a queue */
    size_t number;     /* in the order of the source */
    struct source_entry entry;
    char request_sha256[PKI_FINGERPRINT_TEXT];
    struct pki_request *request; /* while its key is needed */
    struct enrolment enrolment;
    enum ca_batch_outcome outcome;
    struct ca_failure failure; /* code 0: none */
    const char *refused_act;   /* name of the audit row that its refusal gets, or NULL */
    bool taken;                /* its plan is that of a row that another run had begun */
    char serial[PKI_SERIAL_TEXT];
    char certificate_sha256[PKI_FINGERPRINT_TEXT];
    char output[PKI_UUID_TEXT + 4]; /* name of its chain, "" while it has none */
};

struct queue {
    struct item *first, **end;
    size_t count;
};
void queue_init(struct queue *queue);
void queue_push(struct queue *queue, struct item *item);
struct item *queue_pop(struct queue *queue); /* NULL when it is empty */
void queue_move(struct queue *from, size_t most, struct queue *to);

enum batch_stop {
    BATCH_RUNS,
    BATCH_INTERRUPTED, /* what is on record is signed; nothing more is begun */
    BATCH_BROKEN,      /* nothing more is signed: `failure` tells why */
};

enum batch_token {
    TOKEN_SIGNS,
    TOKEN_LOST,     /* signers wait; the ledger thread opens it again */
    TOKEN_REOPENED, /* once is enough */
};

struct batch {
    struct ca *ca;
    const struct ca_batch_options *options;
    struct source *source;
    struct receipt *receipt;
    int out; /* folder */
    struct item *items;

    pthread_mutex_t lock; /* of all that follows, and of the source */
    pthread_cond_t judge, ledger, sign, output;
    struct queue idle, judged, recorded, signed_, dropped, done;
    size_t signing;      /* items in the signers' hands */
    size_t judges;       /* that still run */
    size_t read;         /* items of the source */
    bool exhausted;      /* the source is */
    bool over;           /* the threads end */
    bool ledger_patient; /* its thread looks again by itself soon */
    enum batch_stop stop;
    struct ca_failure failure;
    enum batch_token token;
    unsigned bad_signatures;
    size_t signers;
    int64_t first_signed,
        signatures;     /* when (ms), and how many: the speed that decides how far to reserve ahead */
    bool ledger_broken; /* nothing is written there any more */

    /* The output thread's alone. */
    struct ca_batch_counts counts;
    size_t first_failed; /* number of the first item that failed; 0: none did */
    struct ca_failure first_failure;
    size_t unsynced; /* chains written behind */
    int64_t told;    /* when progress was last told, ms */
};

/* Runs all items of the source through the stages; returns when each has ended. Only what stopped the batch
 * is an error. */
int pipeline_run(struct batch *batch);
/* Stops the batch for the reason that was just recorded as this thread's error. The lock is held. */
void pipeline_break(struct batch *batch, int code);
/* Something came for the ledger: its thread is woken if that makes a transaction worth while. The lock is
 * held. */
void pipeline_tell_ledger(struct batch *batch);
/* Items that may begin now: judged, and near enough to the signers' speed. The lock is held. */
size_t pipeline_can_start(const struct batch *batch);

/* judge.c: a thread. */
void *judge_thread(void *batch);
/* sign.c: a thread. */
void *sign_thread(void *batch);
/* record.c: the thread of the ledger. */
void *ledger_thread(void *batch);
/* output.c, all on the caller's thread: writes chain and receipt line of an item that has ended, and tells
 * the caller. An error is the receipt's. */
int output_item(struct batch *batch, struct item *item);
int output_sync(struct batch *batch); /* makes the chains durable */
void output_progress(struct batch *batch);

/* The item did not come through, for the reason that was just recorded as this thread's error. */
void item_fail(struct item *item, int code);
void item_stop(struct item *item);  /* it was not its turn when the batch stopped */
void item_clear(struct item *item); /* back to empty */
int64_t batch_clock(void);          /* milliseconds, monotonic */

#endif
