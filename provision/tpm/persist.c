/* Persistent handles: putting a key there, finding what is there, and removing exactly what is ours. */
#include <string.h>

#include "provision/tpm/esys.h"

static int check_range(uint32_t first, uint32_t last)
{
    if (first < TPM_PERSISTENT_FIRST || last > TPM_OWNER_LAST || first > last)
        return pc_fail(PC_EUSAGE, "handles 0x%08x–0x%08x: the owner's lie in 0x%08x–0x%08x", first, last,
                       TPM_PERSISTENT_FIRST, TPM_OWNER_LAST);
    return 0;
}

/* A storage key (restricted, decrypting) of a kind that sessions can be salted to. */
static bool can_salt(const struct tpm_object *srk)
{
    return srk->tr != ESYS_TR_NONE && tpm_template_matches(&srk->area, &tpm_template_srk);
}

static void become_handle_key(struct tpm_key *key, uint32_t handle)
{
    key->handle = handle;
    key->parent = 0;
    memset(&key->private_area, 0, sizeof(key->private_area));
}

/* What the TPM says of a handle that is taken, or of a TPM that is full; whichever it looks at first. */
static bool is_taken(TSS2_RC rc)
{
    TPM2_RC code = tpm_rc_of(rc);
    return code == TPM2_RC_NV_DEFINED || code == TPM2_RC_NV_SPACE || code == TPM2_RC_HANDLE ||
           code == TPM2_RC_RANGE || code == TPM2_RC_VALUE;
}

static int evict_control(struct tpm *tpm, ESYS_TR object, uint32_t handle, ESYS_TR *ret, bool *ret_taken)
{
    tpm_autoobject srk = TPM_OBJECT(tpm);
    tpm_autopermit permit = TPM_PERMIT(tpm, TPM_AUTH_OWNER);
    /* An auth value is better hidden from the wire by a session that is salted. */
    int result = tpm->auth[TPM_AUTH_OWNER] != NULL ? tpm_object_find(tpm, TPM_SRK_HANDLE, &srk) : 0;
    if (result == 0)
        result = tpm_permit(&permit, ESYS_TR_RH_OWNER, can_salt(&srk) ? &srk : NULL, 0);
    if (result < 0)
        return result;
    TSS2_RC rc = Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, object, permit.tr, ESYS_TR_NONE, ESYS_TR_NONE,
                                   handle, ret);
    *ret_taken = is_taken(rc);
    return tpm_permit_answer(&permit, rc, "cannot change a persistent handle");
}

/* EvictControl never overwrites: so it is tried, and only what it says is looked into. `*ret_there`: this
 * very key persists there. */
static int put(struct tpm *tpm, const struct tpm_key *key, uint32_t handle)
{
    tpm_autoobject loaded = TPM_OBJECT(tpm);
    ESYS_TR tr = ESYS_TR_NONE;
    bool taken = false;
    int result = tpm_key_load(tpm, key, &loaded);
    if (result == 0)
        result = evict_control(tpm, loaded.tr, handle, &tr, &taken);
    if (result == 0)
        tpm_object_remember(tpm, handle, tr, &key->public_area);
    if (result == 0 || !taken)
        return result;
    bool full = tpm_rc_of(tpm->last) == TPM2_RC_NV_SPACE;
    tpm_autoobject there = TPM_OBJECT(tpm);
    struct tpm_name name;
    if (tpm_object_find(tpm, handle, &there) < 0)
        return pc_fail_in("at handle 0x%08x", handle);
    if (there.tr == ESYS_TR_NONE)
        return full ? tpm_slots_full(tpm, TPM_PERSISTENT_FIRST, UINT32_MAX,
                                     "the TPM has no room for another persistent object")
                    : result;
    result = tpm_object_name(tpm, &there, &name);
    if (result == 0 && !tpm_name_equal(&name, &key->name))
        return pc_refuse("handle-occupied", "handle 0x%08x holds another object, which is left alone",
                         handle);
    return result;
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
    result = tpm_tidy(tpm, key, TPM_LEFT_ALL);
    if (result == 0)
        result = put(tpm, key, handle);
    if (result == 0)
        become_handle_key(key, handle);
    return result;
}

int tpm_handle_name(struct tpm *tpm, uint32_t handle, struct tpm_name *ret)
{
    tpm_begin(tpm, 0);
    tpm_autoobject object = TPM_OBJECT(tpm);
    int result = tpm_object_find(tpm, handle, &object);
    if (result < 0)
        return result;
    if (object.tr == ESYS_TR_NONE)
        return pc_refuse("handle-free", "nothing is at handle 0x%08x", handle);
    return tpm_object_name(tpm, &object, ret);
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
    tpm_autoobject object = TPM_OBJECT(tpm);
    result = tpm_object_find(tpm, handle, &object);
    if (result < 0)
        return result;
    if (object.tr == ESYS_TR_NONE)
        return pc_refuse("handle-free", "nothing is at handle 0x%08x", handle);
    return judge_device_key(handle, &object.area, ret);
}

int tpm_handle_list(struct tpm *tpm, uint32_t first, uint32_t last, uint32_t *ret, size_t max,
                    size_t *ret_count)
{
    int result = check_range(first, last);
    if (result < 0)
        return result;
    tpm_begin(tpm, 0);
    size_t count = 0;
    result = tpm_handles(tpm, first, ret, max, &count);
    if (result < 0)
        return result;
    while (count > 0 && ret[count - 1] > last)
        count--;
    *ret_count = count;
    return 0;
}

int tpm_handle_find(struct tpm *tpm, uint32_t first, uint32_t last, const EVP_PKEY *public,
                    struct tpm_key **ret)
{
    TPM2_HANDLE taken[TPM2_MAX_CAP_HANDLES];
    size_t count = 0;
    int result = tpm_handle_list(tpm, first, last, taken, TPM2_MAX_CAP_HANDLES, &count);
    *ret = NULL;
    for (size_t i = 0; result == 0 && i < count; i++) {
        struct tpm_key *PC_CLEANUP(tpm_key_free_ref) key = NULL;
        result = tpm_handle_key(tpm, taken[i], &key);
        if (result == PC_EREFUSED) { /* somebody else's */
            result = 0;
            continue;
        }
        if (result == 0 && EVP_PKEY_eq(key->public_key, public) == 1) {
            *ret = pc_steal(key);
            break;
        }
    }
    return result;
}

int tpm_handle_evict(struct tpm *tpm, uint32_t handle, const struct tpm_name *name)
{
    int result = check_range(handle, handle);
    if (result < 0)
        return result;
    tpm_begin(tpm, 0);
    result = tpm_tidy(tpm, NULL, TPM_LEFT_ALL);
    if (result < 0)
        return result;
    tpm_autoobject object = TPM_OBJECT(tpm);
    struct tpm_name found;
    result = tpm_object_find_now(tpm, handle, &object);
    if (result < 0 || object.tr == ESYS_TR_NONE)
        return result;
    result = tpm_object_name(tpm, &object, &found);
    if (result < 0)
        return result;
    if (!tpm_name_equal(&found, name))
        return pc_refuse("handle-foreign",
                         "handle 0x%08x holds another object than recorded, which is left alone", handle);
    ESYS_TR none = ESYS_TR_NONE;
    bool taken;
    result = evict_control(tpm, object.tr, handle, &none, &taken);
    if (result == 0)
        tpm_object_forget(tpm, handle);
    return result;
}

int tpm_handle_free(struct tpm *tpm, uint32_t first, uint32_t last, uint32_t *ret)
{
    TPM2_HANDLE taken[TPM2_MAX_CAP_HANDLES];
    size_t count = 0;
    int result = tpm_handle_list(tpm, first, last, taken, TPM2_MAX_CAP_HANDLES, &count);
    if (result < 0)
        return result;
    uint32_t candidate = first;
    for (size_t i = 0; i < count && taken[i] == candidate; i++)
        candidate++;
    if (candidate > last)
        return tpm_slots_full(tpm, first, last, "all the persistent handles that may be used are taken");
    *ret = candidate;
    return 0;
}
