/* Objects and sessions as ESYS knows them: met by handle, and flushed on every path. What they are for is
 * decided elsewhere. */
#include <string.h>

#include <tss2/tss2_mu.h>

#include "provision/tpm/esys.h"

#define RESPONSE_HEADER 10 /* octets before the parameters of an answer without sessions (Part 1 §18) */
#define FLUSH_MS 2000      /* what a flush may take when the operation's own time is over */

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
    if (object->known) {
        object->tr = ESYS_TR_NONE;
        return;
    }
    if (object->loaded)
        (void)flush(object->tpm, object->tr);
    Esys_TR_Close(object->tpm->esys, &object->tr);
    object->tr = ESYS_TR_NONE;
}

/* --- what was met --- */

static struct tpm_known *find_known(struct tpm *tpm, TPM2_HANDLE handle)
{
    for (size_t i = 0; i < TPM_KNOWN; i++) {
        if (tpm->known[i].handle == handle)
            return &tpm->known[i];
    }
    return NULL;
}

void tpm_object_forget(struct tpm *tpm, TPM2_HANDLE handle)
{
    struct tpm_known *known = find_known(tpm, handle);
    if (known != NULL)
        known->handle = 0;
}

void tpm_object_remember(struct tpm *tpm, TPM2_HANDLE handle, ESYS_TR tr, const TPM2B_PUBLIC *area)
{
    struct tpm_known *known = find_known(tpm, handle);
    if (known == NULL)
        known = &tpm->known[tpm->known_next++ % TPM_KNOWN];
    /* For an object that it has met already ESYS may give the same number once more. */
    if (known->handle != 0 && known->tr != tr)
        Esys_TR_Close(tpm->esys, &known->tr);
    *known = (struct tpm_known){.handle = handle, .tr = tr, .area = *area};
}

/* The answer to ReadPublic that ESYS has just had and judged: it keeps the area to itself. */
static int read_area(struct tpm *tpm, TPM2B_PUBLIC *ret)
{
    size_t len = 0, offset = RESPONSE_HEADER;
    const uint8_t *response = tpm_link_response(tpm->link, &len);
    TPM2B_PUBLIC area = {0};
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(response, len, &offset, &area) != TSS2_RC_SUCCESS)
        return pc_fail(PC_EFAIL, "the TPM gave a public area that cannot be read");
    *ret = area;
    return 0;
}

static TSS2_RC meet(struct tpm *tpm, TPM2_HANDLE handle, ESYS_TR *ret)
{
    return Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ret);
}

int tpm_object_find_now(struct tpm *tpm, TPM2_HANDLE handle, struct tpm_object *ret)
{
    uint32_t kind = handle >> TPM2_HR_SHIFT;
    tpm_autoobject found = TPM_OBJECT(tpm);
    TSS2_RC rc = meet(tpm, handle, &found.tr);
    /* To read a persistent object a TPM loads it. */
    if (tpm_rc_is_memory(rc)) {
        tpm->last = rc;
        if (tpm_made_room(tpm, NULL))
            rc = meet(tpm, handle, &found.tr);
    }
    if (tpm_rc_of(rc) == TPM2_RC_HANDLE)
        return 0;
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot read a public area");
    int result = kind == TPM2_HT_TRANSIENT || kind == TPM2_HT_PERSISTENT ? read_area(tpm, &found.area) : 0;
    if (result < 0)
        return result;
    if (kind == TPM2_HT_PERSISTENT) {
        tpm_object_remember(tpm, handle, found.tr, &found.area);
        found.known = true;
    }
    *ret = found;
    found.tr = ESYS_TR_NONE;
    return 0;
}

int tpm_object_find(struct tpm *tpm, TPM2_HANDLE handle, struct tpm_object *ret)
{
    const struct tpm_known *known = find_known(tpm, handle);
    if (known == NULL)
        return tpm_object_find_now(tpm, handle, ret);
    *ret = (struct tpm_object){.tpm = tpm, .tr = known->tr, .known = true, .area = known->area};
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
