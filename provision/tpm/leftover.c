/* What a run that was killed left loaded in a TPM without resource manager: three such objects and nobody can
 * use it. Recognised and flushed; nothing that could be another program's is touched. */
#include "src/base/log.h"

#include "provision/tpm/esys.h"

#define LEFT_MAX 64

/* Ours are the objects of exactly our templates, which take no auth value and can be loaded again by whoever
 * needs them, and `key`. */
static int is_ours(struct tpm *tpm, const struct tpm_object *object, const struct tpm_key *key, bool *ret)
{
    struct tpm_name name;
    int result = tpm_object_name(tpm, object, &name);
    if (result < 0)
        return result;
    if (key != NULL && tpm_name_equal(&name, &key->name)) {
        *ret = true;
        return 0;
    }
    bool ours = tpm_template_matches(&object->area, &tpm_template_srk);
    for (int type = 0; type < PKI_KEY_TYPES && !ours; type++) {
        const TPM2B_PUBLIC *wanted = tpm_template_device((enum pki_key_type)type);
        ours = wanted != NULL && tpm_template_matches(&object->area, wanted);
    }
    *ret = ours;
    return 0;
}

static int flush_one(struct tpm *tpm, TPM2_HANDLE handle, const struct tpm_key *key, unsigned *flushed)
{
    bool session = handle >> TPM2_HR_SHIFT != TPM2_HT_TRANSIENT;
    tpm_autoobject object = TPM_OBJECT(tpm);
    int result = tpm_object_find(tpm, handle, &object);
    if (result < 0 || object.tr == ESYS_TR_NONE)
        return result;
    bool ours = session;
    if (!session)
        result = is_ours(tpm, &object, key, &ours);
    if (result < 0 || !ours)
        return result;
    result = tpm_object_flush(&object);
    if (result == 0)
        (*flushed)++;
    return result;
}

static int flush_kind(struct tpm *tpm, TPM2_HANDLE first, const struct tpm_key *key, unsigned *flushed)
{
    TPM2_HANDLE handles[LEFT_MAX];
    size_t count = 0;
    int result = tpm_handles(tpm, first, handles, LEFT_MAX, &count);
    for (size_t i = 0; i < count && result == 0; i++)
        result = flush_one(tpm, handles[i], key, flushed);
    return result;
}

/* Once for each kind, and never again where that failed. */
static int flush_kinds(struct tpm *tpm, const struct tpm_key *key, unsigned kinds, unsigned *flushed)
{
    int result = 0;
    kinds &= ~tpm->tidied;
    tpm->tidied |= kinds;
    if (kinds & TPM_LEFT_OBJECTS)
        result = flush_kind(tpm, TPM_TRANSIENT_FIRST, key, flushed);
    /* A session cannot be told from another's; but the TPM is ours alone while it is open, so its owner is
     * gone. */
    if (result == 0 && (kinds & TPM_LEFT_SESSIONS))
        result = flush_kind(tpm, TPM_SESSION_FIRST, key, flushed);
    if (*flushed > 0)
        pc_log(PC_LOG_NOTICE, "the TPM held %u objects that an interrupted run had left; flushed", *flushed);
    return result;
}

int tpm_tidy(struct tpm *tpm, const struct tpm_key *key, enum tpm_left kinds)
{
    unsigned flushed = 0;
    return tpm->raw ? flush_kinds(tpm, key, kinds, &flushed) : 0;
}

bool tpm_made_room(struct tpm *tpm, const struct tpm_key *key)
{
    unsigned flushed = 0;
    if (!tpm->raw || !tpm_rc_is_memory(tpm->last))
        return false;
    return flush_kinds(tpm, key, TPM_LEFT_ALL, &flushed) == 0 && flushed > 0;
}
