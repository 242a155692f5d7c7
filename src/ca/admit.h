/* What judging (admission.c), admitting (admit.c) and deciding (approve.c) share. Within src/ca only. */
#ifndef CA_ADMIT_H
#define CA_ADMIT_H

#include "src/ca/admission.h"
#include "src/ca/internal.h"

/* Of a code as it was typed, for that plant. */
int admission_code_hash(const char *plant, const void *code, size_t len, char ret[PKI_FINGERPRINT_TEXT]);
/* Inside a transaction: from the state `from` to `state`, with the audit row `act` (outcome, admission and
 * subject are filled in here). */
int admission_decide(struct ca *ca, struct ca_admission *a, const char *from, const char *state,
                     const struct audit_act *act);

#endif
