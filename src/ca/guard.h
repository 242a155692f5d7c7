/* The restore guard: nothing is signed on a ledger that is older than what the world has seen of it. */
#ifndef CA_GUARD_H
#define CA_GUARD_H

#include "src/ca/internal.h"

/* Before anything is signed (an init's own run excepted), after ca_signing_key. The witnesses are
 * state/ca.crl and <publish dir>/ca/ca.crl, where our key signed them, and the clock. PC_EREFUSED
 * "restore-crl" (a witness has a higher number than the ledger), "restore-revocation" (it lists a serial that
 * the ledger does not hold revoked or held), "ca-half" (state/ca.crt is another CA's), "clock-behind" (now
 * is more than 5 minutes before the last audit row); recorded as a refusal. `plantca reconcile --accept-loss`
 * is the way out. Judged once a run. */
int guard_check(struct ca *ca);

/* The latest moment that the record tells of: its last checkpoint, or an audit row since. */
int guard_clock(struct ca *ca, int64_t *ret);

#endif
