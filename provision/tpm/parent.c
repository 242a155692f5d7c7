/* Under what a device key lives: the SRK at its well-known handle, or a primary of our own; and how a wrapped
 * key is loaded again. */
#include <string.h>

#include <openssl/crypto.h>

#include "provision/tpm/esys.h"

/* A primary of the SRK's template in the owner hierarchy: the same key each time, as long as the TPM is not
 * cleared. `auth` (or NULL) becomes its auth value. */
static int make_primary(struct tpm *tpm, const struct pc_secret *auth, struct tpm_object *ret)
{
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION pcrs = {0};
    tpm_autopermit permit = TPM_PERMIT(tpm, TPM_AUTH_OWNER);
    int result = tpm_permit(&permit, ESYS_TR_RH_OWNER, NULL, auth != NULL ? TPMA_SESSION_DECRYPT : 0);
    if (result < 0)
        return result;
    if (auth != NULL) {
        sensitive.sensitive.userAuth.size = (uint16_t)auth->len;
        memcpy(sensitive.sensitive.userAuth.buffer, auth->data, auth->len);
    }
    ESYS_TR tr = ESYS_TR_NONE;
    TSS2_RC rc =
        Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, permit.tr, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                           &tpm_template_srk, &outside, &pcrs, &tr, NULL, NULL, NULL, NULL);
    OPENSSL_cleanse(&sensitive, sizeof(sensitive));
    result = tpm_permit_answer(&permit, rc, "cannot make a parent key (ec:P-256) in the owner hierarchy");
    if (result == 0)
        *ret = (struct tpm_object){.tpm = tpm, .tr = tr, .loaded = true, .area = tpm_template_srk};
    return result;
}

/* Nothing is at the SRK's handle: puts one there. */
static int install_srk(struct tpm *tpm, struct tpm_object *ret)
{
    tpm_autoobject primary = TPM_OBJECT(tpm);
    int result = make_primary(tpm, tpm->auth[TPM_AUTH_SRK], &primary);
    if (result < 0)
        return result;
    ESYS_TR tr = ESYS_TR_NONE;
    tpm_autopermit permit = TPM_PERMIT(tpm, TPM_AUTH_OWNER);
    result = tpm_permit(&permit, ESYS_TR_RH_OWNER, &primary, 0);
    if (result < 0)
        return result;
    TSS2_RC rc = Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, primary.tr, permit.tr, ESYS_TR_NONE,
                                   ESYS_TR_NONE, TPM_SRK_HANDLE, &tr);
    if (tpm_rc_of(rc) == TPM2_RC_NV_SPACE)
        return tpm_slots_full(tpm, TPM_PERSISTENT_FIRST, UINT32_MAX, "no room for the storage key (SRK)");
    result = tpm_permit_answer(&permit, rc, "cannot make the SRK persistent");
    if (result < 0)
        return result;
    tpm_object_remember(tpm, TPM_SRK_HANDLE, tr, &tpm_template_srk);
    return tpm_object_find(tpm, TPM_SRK_HANDLE, ret);
}

enum tpm_auth tpm_parent_auth(uint32_t parent)
{
    return parent == TPM2_RH_OWNER ? TPM_AUTH_NONE : TPM_AUTH_SRK;
}

int tpm_parent_for_create(struct tpm *tpm, struct tpm_object *ret, uint32_t *ret_parent)
{
    uint32_t parent = TPM_SRK_HANDLE;
    tpm_autoobject srk = TPM_OBJECT(tpm);
    int result = tpm_object_find(tpm, parent, &srk);
    if (result < 0)
        return result;
    if (srk.tr == ESYS_TR_NONE) {
        result = install_srk(tpm, &srk);
    } else if (!tpm_template_matches(&srk.area, &tpm_template_srk)) {
        /* Another's, and it stays where it is. */
        tpm_object_clear(&srk);
        parent = TPM2_RH_OWNER;
        result = make_primary(tpm, NULL, &srk);
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
        return make_primary(tpm, NULL, ret);
    int result = tpm_object_find(tpm, parent, ret);
    if (result == 0 && ret->tr == ESYS_TR_NONE)
        return pc_refuse("key-absent",
                         "the key's parent 0x%08x is not in this TPM: it was cleared, or is another one",
                         parent);
    return result;
}

int tpm_key_load(struct tpm *tpm, const struct tpm_key *key, struct tpm_object *ret)
{
    static const char what[] = "cannot load the key";
    tpm_autoobject parent = TPM_OBJECT(tpm);
    int result = tpm_parent_open(tpm, key->parent, &parent);
    if (result < 0)
        return result;
    tpm_autoobject loaded = TPM_OBJECT(tpm);
    tpm_autopermit permit = TPM_PERMIT(tpm, tpm_parent_auth(key->parent));
    result = tpm_lockout_check(tpm, &parent.area, what);
    if (result == 0)
        result = tpm_permit(&permit, parent.tr, &parent, 0);
    if (result < 0)
        return result;
    TSS2_RC rc = Esys_Load(tpm->esys, parent.tr, permit.tr, ESYS_TR_NONE, ESYS_TR_NONE, &key->private_area,
                           &key->public_area, &loaded.tr);
    switch (tpm_rc_of(rc)) {
    case TPM2_RC_INTEGRITY:
    case TPM2_RC_BINDING:
    case TPM2_RC_SIZE:
    case TPM2_RC_SENSITIVE:
    case TPM2_RC_INSUFFICIENT:
        tpm->last = rc;
        return pc_refuse(
            "key-absent",
            "the wrapped key is not one of this TPM: it was cleared, or is another one, or the file is "
            "another's or damaged "
            "(0x%x)",
            rc);
    default:
        break;
    }
    result = tpm_permit_answer(&permit, rc, what);
    if (result < 0)
        return result;
    loaded.loaded = true;
    loaded.area = key->public_area;
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
        return pc_refuse("key-absent",
                         "nothing is at handle 0x%08x of this TPM: it was cleared, or is another one",
                         key->handle);
    struct tpm_name name;
    result = tpm_object_name(tpm, &object, &name);
    if (result < 0)
        return result;
    if (!tpm_name_equal(&name, &key->name))
        return pc_refuse(
            "key-name",
            "the key at handle 0x%08x is another one than recorded: the TPM was cleared, or is another one",
            key->handle);
    *ret = object;
    object.tr = ESYS_TR_NONE;
    return 0;
}

int tpm_key_open(struct tpm *tpm, const struct tpm_key *key, struct tpm_object *ret)
{
    return key->handle != 0 ? open_handle(tpm, key, ret) : tpm_key_load(tpm, key, ret);
}
