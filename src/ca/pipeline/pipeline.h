/* Issuing as a pipeline: many certificates at once, through threads of which each has its one thing to do.
 * Where the requests come from, who may have what, and what becomes of those that have ended is the owner's:
 * the batch's, or the station's.
 *
 *   judge (threads) → ledger (one thread) → sign (threads) → ledger → ended
 *
 * A fixed number of items goes round, so that memory is the same however many there are. The ledger's thread
 * alone touches the ledger, and the token's session, while the pipeline runs. */
#ifndef CA_PIPELINE_PIPELINE_H
#define CA_PIPELINE_PIPELINE_H

#include "src/ca/enrol.h"
#include "src/pki/request.h"

#define PIPELINE_ITEMS 1024 /* that go round */
#define PIPELINE_GROUP 256  /* that share a transaction, where the ledger takes so many */

enum work_outcome {
    WORK_ISSUED,
    WORK_GIVEN,   /* the current certificate, given again */
    WORK_REFUSED, /* by policy or verification */
    WORK_FAILED,
    WORK_PENDING, /* stopped before its turn, or somebody else signs for it, or an operator is to decide */
};

/* What every owner's item begins with. */
struct work {
    struct work *next;           /* in a queue */
    struct pki_request *request; /* owned, while its key is needed; or NULL */
    char request_sha256[PKI_FINGERPRINT_TEXT];
    struct enrolment enrolment;
    enum work_outcome outcome;
    struct ca_failure failure; /* code 0: none */
    const char *refused_act;   /* name of the audit row that a refusal by the judge gets, or NULL */
    bool taken;                /* its plan is that of a row that another run had begun */
    int64_t signed_us;         /* microseconds that its signature took */
    char serial[PKI_SERIAL_TEXT];
    char certificate_sha256[PKI_FINGERPRINT_TEXT];
};
/* The item did not come through, for the reason that was just recorded as this thread's error. */
void work_fail(struct work *work, int code);

struct queue {
    struct work *first, **end;
    size_t count;
};
void queue_init(struct queue *queue);
void queue_push(struct queue *queue, struct work *work);
struct work *queue_pop(struct queue *queue); /* NULL when it is empty */
void queue_move(struct queue *from, size_t most, struct queue *to);

/* `context` is handed to each. Where it is not said otherwise, PC_EREFUSED and PC_EPENDING are the item's
 * failure alone, and anything else is the ledger's. */
struct pipeline_hooks {
    void *context;
    size_t size;  /* of an item; its first member is its struct work */
    bool lasting; /* the source may have more later (pipeline_wake), nobody waits for company, nothing is
                     reserved only so far as it can be signed soon, and a lost token ends the pipeline */

    /* One item of the source into an empty one. 1; 0 when there is none (now); an error stops the pipeline.
     * Called by one thread at a time, which must not wait. */
    int (*next)(void *context, struct work *work);
    /* Fills in request, request_sha256 and the enrolment but for what enrol_prepare does. Any failure is the
     * item's. Several threads at once. */
    int (*judge)(void *context, struct work *work);
    /* In the transaction, by the ledger's thread; the transaction may be done again. `admit` comes before
     * identity judges (may be NULL), `issued` once the certificate is issued, or found to be given again (may
     * be NULL; PC_EPENDING, before it writes anything: it is asked again), `refused` puts a refusal on
     * record, under the name `act`. */
    int (*admit)(void *context, struct work *work);
    int (*issued)(void *context, struct work *work);
    int (*refused)(void *context, struct work *work, const char *act);
    /* What the item is called in messages. */
    const char *(*name)(const struct work *work);
    /* By the ledger's thread, at the start and then each `interval` ms, while nothing is being signed: may
     * use ledger and token. May be NULL. An error stops the pipeline. */
    int (*tend)(void *context);
    int64_t interval;
    /* Something has ended. May be NULL. Must not wait, nor call the pipeline. */
    void (*ended)(void *context);
    void (*clear)(struct work *work); /* the owner's part of an item */
};

struct pipeline;

/* After ca_signing_run. The threads begin at once. `hooks` is borrowed. */
int pipeline_start(struct ca *ca, const struct pipeline_hooks *hooks, struct pipeline **ret);
/* The source has something again; with `last`, nothing more will come when it says so the next time. */
void pipeline_wake(struct pipeline *pipeline, bool last);
/* What is on record is signed; nothing more is begun. */
void pipeline_interrupt(struct pipeline *pipeline);
/* Nothing more is signed; what was signed goes on record. For the reason that was just recorded as this
 * thread's error. */
void pipeline_break(struct pipeline *pipeline, int code);
/* At most `most` items that have ended, for their owner to look at and to give back. Waits up to `wait` ms
 * for the first. False when there are none and none will come. */
bool pipeline_collect(struct pipeline *pipeline, size_t most, int wait, struct queue *ret);
void pipeline_give_back(struct pipeline *pipeline, struct queue *ended);
/* False from the moment on at which something stopped it. */
bool pipeline_runs(struct pipeline *pipeline);
/* How many items are between the source and their end. */
size_t pipeline_load(struct pipeline *pipeline);
/* Once pipeline_collect said that nothing will come. `ret_interrupted` may be NULL. Gives what stopped it, if
 * that was a failure. */
int pipeline_end(struct pipeline *pipeline, bool *ret_interrupted);

int64_t pipeline_clock(void); /* milliseconds, monotonic */

#endif
