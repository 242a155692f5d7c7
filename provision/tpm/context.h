/* The TPM: opening it for one operation, and telling its faults apart. No tpm2-tss type leaves this room. */
#ifndef TPM_CONTEXT_H
#define TPM_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/memory.h"

/* Where the TPM is. Borrowed. */
struct tpm_place {
    const char *tcti; /* "device:/dev/tpmrm0", "swtpm:host=127.0.0.1,port=2321", …; NULL or empty is
                         PC_EUSAGE, never a guess */
    /* Auth values of the owner hierarchy and of the SRK; NULL: empty. They outlive what is opened here. Each
     * is tried once, never again after a refusal (PC_EAUTH "tpm-auth"). */
    const struct pc_secret *owner_auth, *srk_auth;
    bool thorough; /* tpm_key_sign looks for leftovers before it loads a blob (1 command): for programs that
                      follow a killed run, not for clients */
    bool allow_simulator; /* swtpm:, mssim:, cmd: and modules by path are refused (PC_EUSAGE) unless true */
    int timeout_ms; /* for a TPM that is busy or silent, an operation in all; 0 means 30,000. Key generation
                       gets 180,000 more */
    int total_ms;   /* ... and for all of them together, from tpm_open on; 0: no limit */
};

struct tpm; /* an open TPM */

/* Opens the TCTI named (and no other), waiting for a busy one; one at a time, also within a process. Sends no
 * command. Errors, told apart by name: PC_EUNREACH "tpm-missing", "tpm-busy", "tpm-timeout",
 * "tpm-permission"; PC_EUSAGE "tpm-simulator". On a TPM without resource manager, what a killed run left is
 * looked for and flushed where one can have left something: objects and sessions before a key is made, made
 * persistent or evicted (2 commands when there are none), objects before a blob is loaded (1), and whenever
 * the TPM has no room. What any operation can also end in: PC_EUNREACH "tpm-timeout",
 * "tpm-missing", "tpm-busy" (the TPM kept saying RETRY), "tpm-memory", "tpm-failure", "tpm-not-started";
 * PC_EAUTH "tpm-lockout", "tpm-auth"; PC_EREFUSED "tpm-unsupported". tpm2-tss itself writes errors to stderr
 * unless the program sets TSS2_LOG=all+NONE. */
int tpm_open(const struct tpm_place *place, struct tpm **ret);
/* Flushes every object and session that was opened through `tpm`, then closes. NULL is fine. */
void tpm_close(struct tpm *tpm);
PC_DEFINE_CLEANUP(struct tpm, tpm_close);

struct tpm_description {
    char manufacturer[8], vendor[32];
    uint64_t firmware;
    bool simulator;  /* by TCTI */
    bool in_lockout; /* TPMA_PERMANENT.inLockout */
    uint32_t lockout_counter, max_auth_fail,
        lockout_interval;                       /* Part 2 §6.13 TPM_PT_LOCKOUT_…; interval in seconds */
    uint32_t transient_loaded, sessions_loaded; /* handles that TPM2_GetCapability lists now */
};
int tpm_describe(struct tpm *tpm, struct tpm_description *ret);

#endif
