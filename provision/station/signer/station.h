/* What the files of the signer share. Within provision/station/signer only. */
#ifndef SIGNER_STATION_H
#define SIGNER_STATION_H

#include <pthread.h>

#include "provision/station/signer/signer.h"
#include "provision/station/wire/wire.h"
#include "src/ca/pipeline/pipeline.h"

#define STATION_WAITING_MAX 2048      /* questions that wait for an item of the pipeline */
#define STATION_BYTES_MAX (32U << 20) /* that they hold */
#define STATION_RECORDED_MAX 60       /* refusals that are put on record within a minute */

/* A question and who asked; its place in the queue. */
struct asked {
    struct asked *next;
    uint64_t connection;
    struct wire_question question;
};
void asked_free(struct asked *asked);

/* An item of the pipeline: a question that is for a certificate. */
struct ask {
    struct work work; /* first: the pipeline's */
    struct asked *asked;
    char who[160];                   /* for messages: address and plant */
    char presented[PKI_SERIAL_TEXT]; /* of the client's certificate */
    char presented_sha256[PKI_FINGERPRINT_TEXT];
    char replace[PKI_SERIAL_TEXT];
    int64_t admission;
    enum { ASK_UNTOLD, ASK_RECORDED, ASK_LEFT_OUT } told; /* whether its refusal goes on record */
    uint64_t left_out;                                    /* refusals before it that did not */
};
static inline struct ask *ask_of(struct work *work)
{
    return (struct ask *)(void *)work;
}
static inline const struct ask *ask_of_const(const struct work *work)
{
    return (const struct ask *)(const void *)work;
}

/* Refusals that are on record already, of this minute. */
struct limiter {
    int64_t minute;
    size_t count;
    uint64_t seen[STATION_RECORDED_MAX], left_out;
};

struct connections;

struct station {
    struct ca *ca;
    const struct signer_options *options;
    GENERAL_NAMES *hosts;  /* of the server's certificate */
    struct pc_bytes trust; /* the CA's certificate, DER */
    int wake;              /* eventfd: something has ended */
    struct connections *connections;

    /* The main thread's alone. */
    struct pipeline *pipeline; /* NULL while nothing can be signed */
    bool draining;             /* it was stopped: what is in it comes out */
    bool told;                 /* that nothing can be signed */
    bool opening;              /* `opener` runs */
    pthread_t opener;
    int64_t open_at, open_wait; /* ms: when it is tried again, and how long the next wait is */
    bool stopping;
    int64_t servers, servers_at; /* server certificates that may be asked for yet; ms: counted then */
    struct wire_health counted;  /* what the main thread counts */

    pthread_mutex_t lock; /* of what follows */
    struct asked *first, **end;
    size_t waiting, waiting_bytes;
    struct limiter limiter;
    struct wire_health looked; /* what was seen when the ledger was last looked at */
    bool crl_wanted;
    bool opened; /* the opener has come back, with: */
    struct ca_failure failure;
};

/* ask.c: pipeline_hooks, in judges' threads. */
int ask_next(void *station, struct work *work);
int ask_judge(void *station, struct work *work);
const char *ask_name(const struct work *work);
void ask_clear(struct work *work);
/* admit.c: by the ledger's thread, in a transaction. */
int ask_admit(void *station, struct work *work);
int ask_issued(void *station, struct work *work);
/* refuse.c */
int ask_refused(void *station, struct work *work, const char *act);
/* Whether this refusal is to go on record; asked again, the same. */
bool refusal_counts(struct station *station, struct ask *ask, const char *rule);

/* tend.c: what is done at intervals, on the ledger's thread. */
#define TEND_INTERVAL 15000 /* ms */
int station_tend(void *station);

/* open.c: a pipeline, and another one once that has ended. */
int station_start(struct station *station);
/* What stopped, and what can begin again. PC_EAUTH, and PC_EUNREACH when the module hangs: the end of the
 * process. */
int station_look_after(struct station *station);
bool station_signs(const struct station *station);

/* answer.c */
/* Answers at once, or hands on to the pipeline. `question` is taken over. */
void station_ask(struct station *station, uint64_t connection, struct wire_question *question);
void station_answer_ended(struct station *station);   /* whatever has come out of the pipeline */
void station_answer_waiting(struct station *station); /* nothing can be signed: so told to all that wait */
bool station_is_full(struct station *station);

/* connection.c */
int connections_new(struct station *station, struct connections **ret);
void connections_free(struct connections *connections);
PC_DEFINE_CLEANUP(struct connections, connections_free);
/* Waits until something comes, at most `ms`; reads, accepts, writes. With `quiet` nothing is accepted or
 * read. */
void connections_serve(struct connections *connections, int ms, bool quiet);
void connections_answer(struct connections *connections, uint64_t connection,
                        const struct wire_answer *answer);
bool connections_flushed(const struct connections *connections);

#endif
