/* What a TSS2_RC means to the user: category, stable name, and a text that keeps the TPM's own words. */
#include <tss2/tss2_rc.h>

#include "provision/tpm/esys.h"

#define RC_FORMAT_1 0x080u /* Part 2 §6.6.2 */
#define RC_FORMAT_1_CODE 0x0bfu

TPM2_RC tpm_rc_of(TSS2_RC rc)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
    if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
        return 0;
    TPM2_RC code = rc & ~TSS2_RC_LAYER_MASK;
    return code & RC_FORMAT_1 ? code & RC_FORMAT_1_CODE : code;
}

static const struct fault {
    TPM2_RC rc;
    int code;
    const char *name, *advice;
} faults[] = {
    {TPM2_RC_AUTH_FAIL, PC_EAUTH, "tpm-auth", "the object wants an auth value"},
    {TPM2_RC_BAD_AUTH, PC_EAUTH, "tpm-auth", "the object wants an auth value"},
    {TPM2_RC_AUTH_MISSING, PC_EAUTH, "tpm-auth", "the object wants an auth value"},
    {TPM2_RC_AUTH_UNAVAILABLE, PC_EAUTH, "tpm-auth", "the object is used by a policy only"},
    {TPM2_RC_OBJECT_MEMORY, PC_EUNREACH, "tpm-memory", "the TPM has no room for an object"},
    {TPM2_RC_OBJECT_HANDLES, PC_EUNREACH, "tpm-memory", "the TPM has no room for an object"},
    {TPM2_RC_SESSION_MEMORY, PC_EUNREACH, "tpm-memory", "the TPM has no room for a session"},
    {TPM2_RC_SESSION_HANDLES, PC_EUNREACH, "tpm-memory", "the TPM has no room for a session"},
    {TPM2_RC_CONTEXT_GAP, PC_EUNREACH, "tpm-memory", "the TPM has no room for a session"},
    {TPM2_RC_MEMORY, PC_EUNREACH, "tpm-memory", "the TPM is out of memory"},
    {TPM2_RC_NV_SPACE, PC_EUNREACH, "tpm-full", "no room for another persistent object"},
    {TPM2_RC_RETRY, PC_EUNREACH, "tpm-busy", "the TPM went on asking to be tried again"},
    {TPM2_RC_YIELDED, PC_EUNREACH, "tpm-busy", "the TPM went on asking to be tried again"},
    {TPM2_RC_TESTING, PC_EUNREACH, "tpm-busy", "the TPM's self-test does not end"},
    {TPM2_RC_NV_RATE, PC_EUNREACH, "tpm-busy", "the TPM limits the rate of writing"},
    {TPM2_RC_NV_UNAVAILABLE, PC_EUNREACH, "tpm-busy", "the TPM's memory cannot be written now"},
    {TPM2_RC_CANCELED, PC_EUNREACH, "tpm-busy", "the command was cancelled"},
    {TPM2_RC_INITIALIZE, PC_EUNREACH, "tpm-not-started", "the TPM was not started (TPM2_Startup)"},
    {TPM2_RC_FAILURE, PC_EUNREACH, "tpm-failure", "the TPM is in failure mode"},
    {TPM2_RC_HIERARCHY, PC_EUNREACH, "tpm-hierarchy", "the owner hierarchy is switched off"},
    {TPM2_RC_HASH, PC_EREFUSED, "tpm-unsupported", "the TPM does not have this hash"},
    {TPM2_RC_SCHEME, PC_EREFUSED, "tpm-unsupported", "the TPM or the key does not have this scheme"},
    {TPM2_RC_CURVE, PC_EREFUSED, "tpm-unsupported", "the TPM does not have this curve"},
    {TPM2_RC_VALUE, PC_EREFUSED, "tpm-unsupported", "the TPM does not support this"},
    {TPM2_RC_COMMAND_CODE, PC_EREFUSED, "tpm-unsupported", "the TPM does not have this command"},
};

bool tpm_rc_is_memory(TSS2_RC rc)
{
    switch (tpm_rc_of(rc)) {
    case TPM2_RC_OBJECT_MEMORY:
    case TPM2_RC_SESSION_MEMORY:
    case TPM2_RC_CONTEXT_GAP:
    case TPM2_RC_OBJECT_HANDLES:
    case TPM2_RC_SESSION_HANDLES:
    case TPM2_RC_MEMORY:
        return true;
    default:
        return false;
    }
}

static int transport_fault(struct tpm *tpm, const char *what, const char *native)
{
    if (tpm_link_timed_out(tpm->link))
        return pc_fail_named(
            PC_EUNREACH, "tpm-timeout",
            "%s: no answer from the TPM within the time allowed; another program may hold it", what);
    return pc_fail_named(PC_EUNREACH, "tpm-missing", "%s: the connection to the TPM broke (%s)", what,
                         native);
}

int tpm_fault(struct tpm *tpm, TSS2_RC rc, const char *what)
{
    tpm->last = rc;
    const char *native = Tss2_RC_Decode(rc);
    if ((rc & TSS2_RC_LAYER_MASK) == TSS2_TCTI_RC_LAYER && rc != TSS2_TCTI_RC_MALFORMED_RESPONSE)
        return transport_fault(tpm, what, native);
    TPM2_RC code = tpm_rc_of(rc);
    if (code == TPM2_RC_LOCKOUT)
        return tpm_lockout_fault(tpm, rc, what);
    for (size_t i = 0; code != 0 && i < sizeof(faults) / sizeof(faults[0]); i++) {
        if (faults[i].rc != code)
            continue;
        return pc_fail_named(faults[i].code, faults[i].name, "%s: %s (0x%x, %s)", what, faults[i].advice, rc,
                             native);
    }
    return pc_fail(PC_EFAIL, "%s: the TPM answered 0x%x (%s)", what, rc, native);
}
