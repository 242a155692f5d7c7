/* The audit log as commands see it: judged, vouched for, written out. */
#ifndef CA_AUDIT_FACE_H
#define CA_AUDIT_FACE_H

#include "src/ca/authority.h"

/* One checkpoint as it was made now. */
struct ca_checkpoint_report {
    int64_t id, at, seq; /* seq: the row of the chain that it vouches for */
    char chain[33], sha256[PKI_FINGERPRINT_TEXT];
    uint64_t crl_number;
    size_t shipped; /* how many were handed over, this one among them; 0: no command */
};
/* Signs the head and records it, and hands it over by `ship` (NULL: [audit] ship). Fails with PC_EFAIL when
 * the command does, after the checkpoint is on record: it will be handed over with the next. */
int ca_audit_checkpoint(struct ca *ca, const char *ship, struct ca_checkpoint_report *ret);

/* Every line, oldest first, as it is on record; non-zero stops, and is returned. No token. */
int ca_audit_each(struct ca *ca, int (*line)(void *context, const char *line), void *context);

/* What verification is given from outside the ledger, and whom it tells. */
struct ca_verify_options {
    const char *const *heads; /* files and folders of checkpoints that were handed over */
    size_t head_count;
    const char *const *crls; /* that were published, beside those in the state and publish folders */
    size_t crl_count;
    const char *certificate; /* the CA certificate as the auditor has it; NULL: the ledger's is believed */
    /* One fault: which rule broke, and where, with what was expected. Told up to `most` times. */
    void (*fault)(void *context, const char *rule, const char *text);
    void *context;
    size_t most;
};

struct ca_verify_report {
    size_t faults;                                /* all of them; 0: sound */
    size_t rows, certificates, crls, checkpoints; /* looked at */
    size_t heads, witnesses;                      /* given: checkpoints from outside, CRLs from outside */
    char head[PKI_FINGERPRINT_TEXT];
    int64_t checkpoint_at, checkpoint_seq; /* of the last one; 0: there is none */
    size_t rows_after;  /* rows that no checkpoint vouches for, its own record not counted */
    int64_t rows_since; /* time of the first of them; 0: there are none */
};
/* Reads everything on record: the chain, each checkpoint, each certificate's story in the chain against its
 * row, each certificate and CRL, and holds it against the witnesses. Neither token nor PIN; nothing is
 * written. Faults are a verdict (report, 0), not an error. Memory does not grow with the ledger, but for 400
 * bytes a checkpoint and a CRL. */
int ca_audit_verify(struct ca *ca, const struct ca_verify_options *options, struct ca_verify_report *ret);

#endif
