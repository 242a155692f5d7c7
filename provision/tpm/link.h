/* The wire to the TPM, bounded in time: a TCTI of our own around the one that is named. Says nothing of
 * commands' meaning. */
#ifndef TPM_LINK_H
#define TPM_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <tss2/tss2_tcti.h>

/* tpm2-tss 3.2's TCTIs know no time-out, and opening one can block as well: so each step of the named TCTI
 * runs in a thread, which is left to itself when the deadline passes, and closes the TCTI should the TPM ever
 * answer. A command that the TPM puts off (TPM_RC_RETRY, YIELDED, TESTING, NV_RATE; Part 2 §6.6.3) is sent
 * again, ever more slowly, until then. After a time-out or an I/O error the link is dead: every further step
 * fails at once. */
struct tpm_link;

int64_t tpm_link_now(void); /* milliseconds of the monotonic clock */

/* Loads and opens the TCTI "name:conf" and no other, until `deadline` (as tpm_link_now). The link is made
 * even when that fails, and says why: tpm_link_timed_out. NULL when out of memory. */
TSS2_RC tpm_link_open(const char *tcti, int64_t deadline, struct tpm_link **ret);
void tpm_link_close(struct tpm_link *link);

/* TPM2_FlushContext (Part 3 §28.4) straight over the link, for whatever state the layers above are in. */
TSS2_RC tpm_link_flush(struct tpm_link *link, uint32_t handle);

/* The last answer, whole and well formed, until the next command; borrowed. */
const uint8_t *tpm_link_response(const struct tpm_link *link, size_t *ret_len);

TSS2_TCTI_CONTEXT *tpm_link_tcti(struct tpm_link *link); /* borrowed */
void tpm_link_until(struct tpm_link *link, int64_t deadline);
int64_t tpm_link_deadline(const struct tpm_link *link);
bool tpm_link_timed_out(const struct tpm_link *link);

#endif
