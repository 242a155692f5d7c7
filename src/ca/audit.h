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

#endif
