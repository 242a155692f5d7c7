/* Persistent handles: putting a key there, finding what is there, and removing exactly what is ours. */
#include <stdio.h>
#include <string.h>

#include "provision/tpm/esys.h"

static int check_range(uint32_t first, uint32_t last)
{
    if (first < TPM_PERSISTENT_FIRST || last > TPM_OWNER_LAST || first > last)
        return pc_fail(PC_EUSAGE, "handles 0x%08x–0x%08x: the owner's lie in 0x%08x–0x%08x", first, last,
                       TPM_PERSISTENT_FIRST, TPM_OWNER_LAST);
    return 0;
}

/* The Name at a handle; `*ret_there` says whether anything is there. */
static int name_at(struct tpm *tpm, uint32_t handle, struct tpm_object *object, bool *ret_there,
                   struct tpm_name *ret)
{
    int result = tpm_object_find(tpm, handle, object);
    if (result == 0 && object->tr != ESYS_TR_NONE)
        result = tpm_object_name(tpm, object, ret);
    *ret_there = object->tr != ESYS_TR_NONE;
    return result;
}

/* No slot is left: says what holds them. */
static int report_full(struct tpm *tpm)
{
    TPM2_HANDLE handles[TPM2_MAX_CAP_HANDLES];
    size_t count = 0;
    int result = tpm_handles(tpm, TPM_PERSISTENT_FIRST, handles, TPM2_MAX_CAP_HANDLES, &count);
    if (result < 0)
        return result;
    char list[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < count && used + 12 < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, " 0x%08x", handles[i]);
    return pc_fail_named(PC_EUNREACH, "tpm-full",
                         "the TPM has no room for another persistent object; it holds%s", list);
}

static void become_handle_key(struct tpm_key *key, uint32_t handle)
{
    key->handle = handle;
    key->parent = 0;
    memset(&key->private_area, 0, sizeof(key->private_area));
}

static int evict_control(struct tpm *tpm, ESYS_TR object, uint32_t handle, ESYS_TR *ret)
{
    TSS2_RC rc = Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, object, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                   ESYS_TR_NONE, handle, ret);
    if (tpm_rc_of(rc) == TPM2_RC_NV_SPACE)
        return report_full(tpm);
    return rc == TSS2_RC_SUCCESS ? 0 : tpm_fault(tpm, rc, "cannot change a persistent handle");
}

int tpm_key_persist(struct tpm *tpm, struct tpm_key *key, uint32_t handle)
{
    int result = check_range(handle, handle);
    if (result < 0)
        return result;
    if (key->handle == handle)
        return 0;
    if (key->handle != 0)
        return pc_fail(PC_EUSAGE, "the key is persistent already, at 0x%08x", key->handle);
    tpm_begin(tpm, 0);
    result = tpm_tidy(tpm, key);
    if (result < 0)
        return result;
    tpm_autoobject there = TPM_OBJECT(tpm);
    struct tpm_name name;
    bool occupied;
    result = name_at(tpm, handle, &there, &occupied, &name);
    if (result < 0)
        return result;
    if (occupied && !tpm_name_equal(&name, &key->name))
        return pc_refuse("handle-occupied", "handle 0x%08x holds another object, which is left alone",
                         handle);
    if (!occupied) {
        tpm_autoobject loaded = TPM_OBJECT(tpm);
        result = tpm_key_load(tpm, key, &loaded);
        if (result == 0)
            result = evict_control(tpm, loaded.tr, handle, &there.tr);
        if (result < 0)
            return result;
    }
    become_handle_key(key, handle);
    return 0;
}

int tpm_handle_name(struct tpm *tpm, uint32_t handle, struct tpm_name *ret)
{
    tpm_begin(tpm, 0);
    int result = tpm_tidy(tpm, NULL);
    if (result < 0)
        return result;
    tpm_autoobject object = TPM_OBJECT(tpm);
    struct tpm_name name;
    bool there;
    result = name_at(tpm, handle, &object, &there, &name);
    if (result < 0)
        return result;
    if (!there)
        return pc_refuse("handle-free", "nothing is at handle 0x%08x", handle);
    *ret = name;
    return 0;
}

#define DEVICE_WANTED                                                                                        \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |                      \
     TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT)
#define DEVICE_UNWANTED (TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_X509SIGN)

/* A key born in this TPM, for signing and nothing else, and of a kind that we can use. */
static int judge_device_key(uint32_t handle, const TPM2B_PUBLIC *area, struct tpm_key **ret)
{
    TPMA_OBJECT attributes = area->publicArea.objectAttributes;
    if ((attributes & DEVICE_WANTED) != DEVICE_WANTED || (attributes & DEVICE_UNWANTED) != 0)
        return pc_refuse("handle-foreign", "handle 0x%08x holds no device key: its attributes are 0x%08x",
                         handle, attributes);
    int result = tpm_key_from_public(area, ret);
    if (result == PC_EREFUSED)
        return pc_refuse("handle-foreign", "handle 0x%08x holds no device key that can be used: %s", handle,
                         pc_error_text());
    if (result == 0)
        (*ret)->handle = handle;
    return result;
}

int tpm_handle_key(struct tpm *tpm, uint32_t handle, struct tpm_key **ret)
{
    int result = check_range(handle, handle);
    if (result < 0)
        return result;
    tpm_begin(tpm, 0);
    result = tpm_tidy(tpm, NULL);
    tpm_autoobject object = TPM_OBJECT(tpm);
    if (result == 0)
        result = tpm_object_find(tpm, handle, &object);
    if (result < 0)
        return result;
    if (object.tr == ESYS_TR_NONE)
        return pc_refuse("handle-free", "nothing is at handle 0x%08x", handle);
    TPM2B_PUBLIC area;
    result = tpm_object_public(tpm, &object, &area);
    return result < 0 ? result : judge_device_key(handle, &area, ret);
}

int tpm_handle_evict(struct tpm *tpm, uint32_t handle, const struct tpm_name *name)
{
    int result = check_range(handle, handle);
    if (result < 0)
        return result;
    tpm_begin(tpm, 0);
    result = tpm_tidy(tpm, NULL);
    if (result < 0)
        return result;
    tpm_autoobject object = TPM_OBJECT(tpm);
    struct tpm_name found;
    bool there;
    result = name_at(tpm, handle, &object, &there, &found);
    if (result < 0 || !there)
        return result;
    if (!tpm_name_equal(&found, name))
        return pc_refuse("handle-foreign",
                         "handle 0x%08x holds another object than recorded, which is left alone", handle);
    ESYS_TR none = ESYS_TR_NONE;
    result = evict_control(tpm, object.tr, handle, &none);
    if (result == 0)
        object.tr = ESYS_TR_NONE; /* ESYS has forgotten it with the eviction */
    return result;
}

int tpm_handle_free(struct tpm *tpm, uint32_t first, uint32_t last, uint32_t *ret)
{
    int result = check_range(first, last);
    if (result < 0)
        return result;
    tpm_begin(tpm, 0);
    result = tpm_tidy(tpm, NULL);
    if (result < 0)
        return result;
    TPM2_HANDLE taken[TPM2_MAX_CAP_HANDLES];
    size_t count = 0;
    result = tpm_handles(tpm, first, taken, TPM2_MAX_CAP_HANDLES, &count);
    if (result < 0)
        return result;
    uint32_t candidate = first;
    for (size_t i = 0; i < count && taken[i] == candidate; i++)
        candidate++;
    if (candidate > last)
        return pc_fail_named(PC_EUNREACH, "tpm-full", "all persistent handles 0x%08x–0x%08x are taken", first,
                             last);
    *ret = candidate;
    return 0;
}
