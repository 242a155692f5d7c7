/* Under what a device key lives: the SRK at its well-known handle, or a primary of our own; and how a wrapped
 * key is loaded again. */
#include <string.h>

#include "provision/tpm/esys.h"

/* A primary of the SRK's template in the owner hierarchy: the same key each time, as long as the TPM is not
 * cleared. */
static int make_primary(struct tpm *tpm, struct tpm_object *ret)
{
    const TPM2B_SENSITIVE_CREATE sensitive = {0};
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION pcrs = {0};
    ESYS_TR tr = ESYS_TR_NONE;
    TSS2_RC rc =
        Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                           &sensitive, &tpm_template_srk, &outside, &pcrs, &tr, NULL, NULL, NULL, NULL);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot make a parent key in the owner hierarchy");
    *ret = (struct tpm_object){.tpm = tpm, .tr = tr, .loaded = true};
    return 0;
}

/* Nothing is at the SRK's handle: puts one there. */
static int install_srk(struct tpm *tpm, struct tpm_object *ret)
{
    tpm_autoobject primary = TPM_OBJECT(tpm);
    int result = make_primary(tpm, &primary);
    if (result < 0)
        return result;
    ESYS_TR tr = ESYS_TR_NONE;
    TSS2_RC rc = Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, primary.tr, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                   ESYS_TR_NONE, TPM_SRK_HANDLE, &tr);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot make the SRK persistent");
    *ret = (struct tpm_object){.tpm = tpm, .tr = tr};
    return 0;
}

int tpm_parent_for_create(struct tpm *tpm, struct tpm_object *ret, uint32_t *ret_parent)
{
    tpm_autoobject srk = TPM_OBJECT(tpm);
    int result = tpm_object_find(tpm, TPM_SRK_HANDLE, &srk);
    if (result < 0)
        return result;
    uint32_t parent = TPM_SRK_HANDLE;
    if (srk.tr == ESYS_TR_NONE) {
        result = install_srk(tpm, &srk);
    } else {
        TPM2B_PUBLIC area;
        result = tpm_object_public(tpm, &srk, &area);
        if (result == 0 && !tpm_template_matches(&area, &tpm_template_srk)) {
            /* Another's, and it stays where it is. */
            tpm_object_clear(&srk);
            parent = TPM2_RH_OWNER;
            result = make_primary(tpm, &srk);
        }
    }
    if (result < 0)
        return result;
    *ret = srk;
    srk.tr = ESYS_TR_NONE;
    *ret_parent = parent;
    return 0;
}

int tpm_parent_open(struct tpm *tpm, uint32_t parent, struct tpm_object *ret)
{
    if (parent == TPM2_RH_OWNER)
        return make_primary(tpm, ret);
    int result = tpm_object_find(tpm, parent, ret);
    if (result == 0 && ret->tr == ESYS_TR_NONE)
        return pc_refuse("key-absent", "the key's parent 0x%08x is not in this TPM; was it cleared?", parent);
    return result;
}

int tpm_key_load(struct tpm *tpm, const struct tpm_key *key, struct tpm_object *ret)
{
    tpm_autoobject parent = TPM_OBJECT(tpm);
    int result = tpm_parent_open(tpm, key->parent, &parent);
    if (result < 0)
        return result;
    tpm_autoobject loaded = TPM_OBJECT(tpm);
    TSS2_RC rc = Esys_Load(tpm->esys, parent.tr, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                           &key->private_area, &key->public_area, &loaded.tr);
    switch (tpm_rc_of(rc)) {
    case TPM2_RC_INTEGRITY:
    case TPM2_RC_BINDING:
    case TPM2_RC_SIZE:
    case TPM2_RC_SENSITIVE:
    case TPM2_RC_INSUFFICIENT:
        tpm->last = rc;
        return pc_refuse("key-absent",
                         "the wrapped key is not one of this TPM: the TPM was cleared, or the file is "
                         "another's or damaged "
                         "(0x%x)",
                         rc);
    default:
        break;
    }
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot load the key");
    loaded.loaded = true;
    struct tpm_name name;
    result = tpm_object_name(tpm, &loaded, &name);
    if (result < 0)
        return result;
    if (!tpm_name_equal(&name, &key->name))
        return pc_refuse("key-name", "the TPM loaded a key of another Name");
    *ret = loaded;
    loaded.tr = ESYS_TR_NONE;
    return 0;
}

static int open_handle(struct tpm *tpm, const struct tpm_key *key, struct tpm_object *ret)
{
    tpm_autoobject object = TPM_OBJECT(tpm);
    int result = tpm_object_find(tpm, key->handle, &object);
    if (result < 0)
        return result;
    if (object.tr == ESYS_TR_NONE)
        return pc_refuse("key-absent", "nothing is at handle 0x%08x of this TPM; was it cleared?",
                         key->handle);
    struct tpm_name name;
    result = tpm_object_name(tpm, &object, &name);
    if (result < 0)
        return result;
    if (!tpm_name_equal(&name, &key->name))
        return pc_refuse("key-name", "the key at handle 0x%08x is another one than recorded", key->handle);
    *ret = object;
    object.tr = ESYS_TR_NONE;
    return 0;
}

int tpm_key_open(struct tpm *tpm, const struct tpm_key *key, struct tpm_object *ret)
{
    return key->handle != 0 ? open_handle(tpm, key, ret) : tpm_key_load(tpm, key, ret);
}
