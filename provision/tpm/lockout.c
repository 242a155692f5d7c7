/* Dictionary-attack protection (Part 1 §19.8): what the TPM says of it, and how nothing is tried in vain. Our
 * own keys are outside of it (noDA). */
#include <stdio.h>

#include "provision/tpm/esys.h"

/* "7200 s (2 h)" */
static void format_wait(uint32_t seconds, char *text, size_t size)
{
    if (seconds >= 7200)
        snprintf(text, size, "%u s (%u h)", seconds, (seconds + 3599) / 3600);
    else if (seconds >= 120)
        snprintf(text, size, "%u s (%u min)", seconds, (seconds + 59) / 60);
    else
        snprintf(text, size, "%u s", seconds);
}

static int refuse(const struct tpm_description *now, const char *what, const char *native)
{
    char wait[128], interval[48];
    format_wait(now->lockout_interval, interval, sizeof(interval));
    if (now->lockout_interval > 0)
        snprintf(wait, sizeof(wait), "it allows another try within %s, of time with power", interval);
    else
        snprintf(wait, sizeof(wait), "it ends only by TPM2_DictionaryAttackLockReset");
    return pc_fail_named(
        PC_EAUTH, "tpm-lockout",
        "%s: the TPM is in dictionary-attack lockout, after %u of %u failures by whoever gave "
        "it wrong auth values; %s%s",
        what, now->lockout_counter, now->max_auth_fail, wait, native);
}

int tpm_lockout_fault(struct tpm *tpm, TSS2_RC rc, const char *what)
{
    char native[32];
    struct tpm_description now = {0};
    /* A TPM that says so of this question as well is not asked again. */
    bool asked = tpm->asked_lockout;
    tpm->asked_lockout = true;
    if (asked || tpm_describe_now(tpm, &now) < 0)
        return pc_fail_named(PC_EAUTH, "tpm-lockout", "%s: the TPM is in dictionary-attack lockout (0x%x)",
                             what, rc);
    tpm->asked_lockout = false;
    snprintf(native, sizeof(native), " (0x%x)", rc);
    return refuse(&now, what, native);
}

int tpm_lockout_check(struct tpm *tpm, const TPM2B_PUBLIC *area, const char *what)
{
    if (area->publicArea.objectAttributes & TPMA_OBJECT_NODA)
        return 0;
    struct tpm_description now = {0};
    int result = tpm_describe_now(tpm, &now);
    if (result < 0 || !now.in_lockout)
        return result;
    return refuse(&now, what, "");
}
