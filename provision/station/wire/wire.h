/* What the station's two services say to each other: questions of the network service, answers of the signer.
 * A frame is a length (4 bytes, big endian, of what follows), then version, kind, number of the question, and
 * fields of tag, length, value, by rising tag. Neither side trusts the other's bytes: each field's length is
 * bounded, an unknown, doubled, empty or missing one makes the frame none. */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/memory.h"
#include "src/pki/key.h"
#include "src/pki/name.h"

#define WIRE_FRAME_MAX (256 * 1024) /* bytes, with its length */
#define WIRE_LABEL_TEXT 32
#define WIRE_CERTIFICATES_MAX 16

enum wire_kind {
    WIRE_ENROL,      /* simpleenroll */
    WIRE_REENROL,    /* simplereenroll */
    WIRE_TRUST,      /* cacerts */
    WIRE_ATTRIBUTES, /* csrattrs */
    WIRE_SERVER,     /* a certificate for the network service's own key, for the names that the signer's
                        configuration says */
    WIRE_HEALTH,     /* numbers, for the metrics */
    WIRE_KINDS,
};

/* Subject of the request with WIRE_SERVER: CN = this. Whoever is served finds the station by its SAN. */
#define WIRE_STATION_CN "plantca-station"

/* All texts are checked for form by the reader; nothing in them is true because the network service says so.
 */
struct wire_question {
    uint64_t number; /* of the asker's choice; the answer carries it */
    enum wire_kind kind;
    char label[WIRE_LABEL_TEXT]; /* of the URL; "" */
    struct pc_bytes csr;         /* DER */
    char user[PKI_UUID_TEXT];    /* HTTP Basic; "" */
    struct pc_secret *code;      /* HTTP Basic's password; or NULL; owned */
    struct pc_bytes certificate; /* DER of the TLS client's; empty: it showed none */
    char binding[65];            /* the TLS session's value (src/est/binding.h) */
    char from[64];               /* the client's address, for the record */
};
void wire_question_clear(struct wire_question *question);

enum wire_outcome {
    WIRE_DONE,        /* here it is */
    WIRE_PENDING,     /* not yet: 202 */
    WIRE_BAD,         /* what was sent is none, or asks for too much: 400 */
    WIRE_UNKNOWN,     /* who asks has not shown that they may: 401 */
    WIRE_FORBIDDEN,   /* ... and may not: 403 */
    WIRE_NOWHERE,     /* no such label: 404 */
    WIRE_UNAVAILABLE, /* token or ledger away, or too much to do: 503 */
    WIRE_FAILED,      /* 500 */
    WIRE_CODE_ASKED,  /* a code is needed, and none was sent: 401, and no refusal */
    WIRE_CODE_WRONG,  /* 401 */
    WIRE_OUTCOMES,
};

#define WIRE_HEALTH_LE 12 /* buckets of the signing time */
/* What the signer counts; times in seconds unless said. Counters begin at its start. */
struct wire_health {
    bool token, ledger; /* there, and signing */
    int64_t started_at;
    uint64_t issued, given_again, pending_answers, refused, failed; /* enrolments by outcome */
    uint64_t reenrolled;                                            /* of `issued`: by simplereenroll */
    uint64_t signing_count, signing_us;                             /* signatures, and microseconds in all */
    uint64_t signing_le[WIRE_HEALTH_LE]; /* cumulative; bounds in wire_health_bounds */
    uint64_t waiting;                    /* requests that wait for an operator */
    uint64_t queue;                      /* questions in work */
    int64_t crl_this_update, crl_next_update;
    int64_t horizon; /* last moment at which a full-term certificate can still be issued */
};
extern const uint32_t wire_health_bounds[WIRE_HEALTH_LE]; /* microseconds */

struct wire_answer {
    uint64_t number;
    enum wire_kind kind; /* of the question */
    enum wire_outcome outcome;
    uint32_t retry_after; /* seconds; with WIRE_PENDING and WIRE_UNAVAILABLE */
    char rule[64];        /* name of the refusal, "" */
    char text[512];       /* for the log and the client: nothing of another plant stands in it */
    /* WIRE_ENROL, WIRE_REENROL: the leaf alone (RFC 7030 §4.2.3); WIRE_TRUST: root, then chain, then rollover
     * certificates; WIRE_SERVER: leaf, then chain. */
    struct pc_bytes certificates[WIRE_CERTIFICATES_MAX];
    size_t count;
    bool binding_required; /* WIRE_ATTRIBUTES */
    struct wire_health health;
};
void wire_answer_clear(struct wire_answer *answer);

/* A whole frame, owned by the caller. PC_EUSAGE when a field is longer than the wire allows. A code in it is
 * wiped by wire_frame_wipe. */
int wire_question_write(const struct wire_question *question, struct pc_bytes *ret_frame);
int wire_answer_write(const struct wire_answer *answer, struct pc_bytes *ret_frame);
void wire_frame_wipe(struct pc_bytes *frame); /* overwrites, then frees */

/* What stands at the front of `len` bytes that have come: 0 and the length of a whole frame, or *ret_len = 0
 * where more must come; PC_EREFUSED "wire-frame" when no frame begins so: close. */
int wire_frame_length(const void *data, size_t len, size_t *ret_len);
/* PC_EREFUSED "wire-frame". `frame` is exactly one. */
int wire_question_read(const void *frame, size_t len, struct wire_question *ret);
int wire_answer_read(const void *frame, size_t len, struct wire_answer *ret);

#endif
