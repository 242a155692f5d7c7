/* Objects and sessions as ESYS knows them: met by handle, and flushed on every path. What they are for is
 * decided elsewhere. */
#include <string.h>

#include "provision/tpm/esys.h"

#define FLUSH_MS 2000 /* what a flush may take when the operation's own time is over */

/* Not by Esys_FlushContext: after an answer that it did not understand, ESYS sends nothing any more, and that
 * is when it matters. */
static TSS2_RC flush(struct tpm *tpm, ESYS_TR tr)
{
    TPM2_HANDLE handle = 0;
    TSS2_RC rc = Esys_TR_GetTpmHandle(tpm->esys, tr, &handle);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    int64_t least = tpm_link_now() + FLUSH_MS;
    if (tpm_link_deadline(tpm->link) < least)
        tpm_link_until(tpm->link, least);
    return tpm_link_flush(tpm->link, handle);
}

int tpm_object_flush(struct tpm_object *object)
{
    TSS2_RC rc = flush(object->tpm, object->tr);
    return rc == TSS2_RC_SUCCESS ? 0 : tpm_fault(object->tpm, rc, "cannot flush what an earlier run left");
}

void tpm_object_clear(struct tpm_object *object)
{
    if (object->tr == ESYS_TR_NONE)
        return;
    if (object->loaded)
        (void)flush(object->tpm, object->tr);
    Esys_TR_Close(object->tpm->esys, &object->tr);
    object->tr = ESYS_TR_NONE;
}

int tpm_object_find(struct tpm *tpm, TPM2_HANDLE handle, struct tpm_object *ret)
{
    ESYS_TR tr = ESYS_TR_NONE;
    TSS2_RC rc = Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tr);
    if (tpm_rc_of(rc) == TPM2_RC_HANDLE)
        return 0;
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot read a public area");
    ret->tpm = tpm;
    ret->tr = tr;
    ret->loaded = false;
    return 0;
}

int tpm_object_name(struct tpm *tpm, const struct tpm_object *object, struct tpm_name *ret)
{
    TPM2B_NAME *name = NULL;
    TSS2_RC rc = Esys_TR_GetName(tpm->esys, object->tr, &name);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot read a Name");
    int result = 0;
    if (name->size > sizeof(ret->octets)) {
        result = pc_fail(PC_EFAIL, "the TPM gave a Name of %u octets", name->size);
    } else {
        memcpy(ret->octets, name->name, name->size);
        ret->len = name->size;
    }
    Esys_Free(name);
    return result;
}

int tpm_object_public(struct tpm *tpm, const struct tpm_object *object, TPM2B_PUBLIC *ret)
{
    TPM2B_PUBLIC *area = NULL;
    TSS2_RC rc =
        Esys_ReadPublic(tpm->esys, object->tr, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &area, NULL, NULL);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot read a public area");
    *ret = *area;
    Esys_Free(area);
    return 0;
}

int tpm_handles(struct tpm *tpm, TPM2_HANDLE first, TPM2_HANDLE *ret, size_t max, size_t *ret_count)
{
    size_t count = 0;
    TPM2_HANDLE next = first;
    TPMI_YES_NO more = TPM2_YES;
    while (more == TPM2_YES && count < max) {
        TPMS_CAPABILITY_DATA *data = NULL;
        TSS2_RC rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                                        next, TPM2_MAX_CAP_HANDLES, &more, &data);
        if (rc != TSS2_RC_SUCCESS)
            return tpm_fault(tpm, rc, "cannot list the TPM's handles");
        const TPML_HANDLE *list = &data->data.handles;
        uint32_t listed = list->count < TPM2_MAX_CAP_HANDLES ? list->count : 0;
        for (uint32_t i = 0; i < listed && count < max; i++)
            ret[count++] = list->handle[i];
        /* A TPM that lists nothing new, or goes backwards, has no more for us. */
        if (listed == 0 || list->handle[listed - 1] < next)
            more = TPM2_NO;
        else
            next = list->handle[listed - 1] + 1;
        Esys_Free(data);
    }
    *ret_count = count;
    return 0;
}
