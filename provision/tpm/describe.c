/* What the TPM says of itself. */
#include <string.h>

#include "provision/tpm/esys.h"

static void describe_property(const TPMS_TAGGED_PROPERTY *property, struct tpm_description *description)
{
    uint32_t value = property->value;
    char text[5] = {(char)(value >> 24), (char)(value >> 16 & 0xff), (char)(value >> 8 & 0xff),
                    (char)(value & 0xff), 0};
    for (char *c = text; *c != '\0'; c++) {
        if (*c < 0x20 || *c > 0x7e)
            *c = ' ';
    }
    switch (property->property) {
    case TPM2_PT_MANUFACTURER:
        memcpy(description->manufacturer, text, sizeof(text));
        break;
    case TPM2_PT_VENDOR_STRING_1:
    case TPM2_PT_VENDOR_STRING_2:
    case TPM2_PT_VENDOR_STRING_3:
    case TPM2_PT_VENDOR_STRING_4:
        memcpy(description->vendor + 4 * (property->property - TPM2_PT_VENDOR_STRING_1), text, 4);
        break;
    case TPM2_PT_FIRMWARE_VERSION_1:
        description->firmware |= (uint64_t)value << 32;
        break;
    case TPM2_PT_FIRMWARE_VERSION_2:
        description->firmware |= value;
        break;
    case TPM2_PT_PERMANENT:
        description->in_lockout = (value & TPMA_PERMANENT_INLOCKOUT) != 0;
        break;
    case TPM2_PT_LOCKOUT_COUNTER:
        description->lockout_counter = value;
        break;
    case TPM2_PT_MAX_AUTH_FAIL:
        description->max_auth_fail = value;
        break;
    case TPM2_PT_LOCKOUT_INTERVAL:
        description->lockout_interval = value;
        break;
    default:
        break;
    }
}

static int describe_properties(struct tpm *tpm, uint32_t first, uint32_t count,
                               struct tpm_description *description)
{
    TPMI_YES_NO more = 0;
    TPMS_CAPABILITY_DATA *data = NULL;
    TSS2_RC rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    TPM2_CAP_TPM_PROPERTIES, first, count, &more, &data);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot read the TPM's properties");
    const TPML_TAGGED_TPM_PROPERTY *list = &data->data.tpmProperties;
    for (uint32_t i = 0; i < list->count && i < TPM2_MAX_TPM_PROPERTIES; i++)
        describe_property(&list->tpmProperty[i], description);
    Esys_Free(data);
    return 0;
}

static void trim(char *text)
{
    for (size_t len = strlen(text); len > 0 && text[len - 1] == ' '; len--)
        text[len - 1] = '\0';
}

int tpm_describe_now(struct tpm *tpm, struct tpm_description *ret)
{
    return describe_properties(tpm, TPM2_PT_PERMANENT, TPM2_PT_LOCKOUT_RECOVERY - TPM2_PT_PERMANENT + 1, ret);
}

int tpm_describe(struct tpm *tpm, struct tpm_description *ret)
{
    tpm_begin(tpm, 0);
    int result = tpm_tidy(tpm, NULL, TPM_LEFT_ALL);
    if (result < 0)
        return result;
    struct tpm_description description = {.simulator = tpm->simulator};
    result = describe_properties(tpm, TPM2_PT_MANUFACTURER,
                                 TPM2_PT_FIRMWARE_VERSION_2 - TPM2_PT_MANUFACTURER + 1, &description);
    if (result == 0)
        result = tpm_describe_now(tpm, &description);
    TPM2_HANDLE handles[TPM2_MAX_CAP_HANDLES];
    size_t transient = 0, sessions = 0;
    if (result == 0)
        result = tpm_handles(tpm, TPM_TRANSIENT_FIRST, handles, TPM2_MAX_CAP_HANDLES, &transient);
    if (result == 0)
        result = tpm_handles(tpm, TPM_SESSION_FIRST, handles, TPM2_MAX_CAP_HANDLES, &sessions);
    if (result < 0)
        return result;
    trim(description.manufacturer);
    trim(description.vendor);
    description.transient_loaded = (uint32_t)transient;
    description.sessions_loaded = (uint32_t)sessions;
    *ret = description;
    return 0;
}
