/* The restore guard: nothing is signed on a ledger that is older than what the world has seen of it. */
#ifndef CA_GUARD_H
#define CA_GUARD_H

#include "src/ca/witness.h"

/* Before anything is signed (an init's own run excepted), after ca_signing_key. The witnesses are
 * state/ca.crl and <publish dir>/ca/ca.crl, where our key signed them, and the clock. PC_EREFUSED
 * "restore-crl" (a witness has a higher number than the ledger), "restore-revocation" (it lists a serial that
 * the ledger does not hold revoked or held; or the last CRL on record lists more than the ledger does by
 * now, and no release since explains it), "ca-half" (state/ca.crt is another CA's), "clock-behind" (now
 * is more than 5 minutes before the last audit row); recorded as a refusal. `plantca reconcile --accept-loss`
 * is the way out. Judged once a run. */
int guard_check(struct ca *ca);
/* The same for whoever only looks: nothing is recorded. */
int guard_look(struct ca *ca);

/* Before a CRL is signed: each serial that the last one lists is in `listed`, has expired, or was released
 * since. Else PC_EREFUSED "restore-revocation"; the caller records it. */
int guard_listed(struct ca *ca, const struct ledger_crl *last, const struct witness_listed *listed);

/* The latest moment that the record tells of: its last checkpoint, or an audit row since. */
int guard_clock(struct ca *ca, int64_t *ret);

#endif
