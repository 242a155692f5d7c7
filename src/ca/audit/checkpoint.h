/* Checkpoints: the head of the audit chain, signed by the audit key, on record and handed off the host. */
#ifndef CA_AUDIT_CHECKPOINT_H
#define CA_AUDIT_CHECKPOINT_H

#include "src/ca/internal.h"

/* Signs the head as it is now and records it, then hands it (and those that were never taken) to [audit]
 * ship; a shipment that fails is a warning and is tried again by the next checkpoint. `crl_number`: the CRL
 * that was just issued, 0: none, the last one on record is stated. Needs ca_signing_key before it, and no
 * open transaction. */
int checkpoint_make(struct ca *ca, uint64_t crl_number);

/* Whether the last checkpoint is older than [audit] interval and rows were written since. No token needed. */
int checkpoint_due(struct ca *ca, bool *ret);

#endif
