/* One user at a time for a simulator, which neither shares itself nor refuses a second client. */
#ifndef TPM_CLAIM_H
#define TPM_CLAIM_H

#include <stdint.h>

/* Claims the TPM at `tcti` for this struct tpm among all processes of this machine that run this code,
 * waiting until `deadline` (as tpm_link_now). The claim lasts until the descriptor is closed, or the process
 * ends. PC_EUNREACH "tpm-busy". */
int tpm_claim(const char *tcti, int64_t deadline, int *ret_fd);

#endif
