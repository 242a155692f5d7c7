/* The birth of a device key: TPM2_Create under the parent, in a session that keeps the wire from reading
 * along. */
#include <string.h>

#include "provision/tpm/esys.h"

/* What a TPM says that does not have the algorithm, the size or the curve. */
static bool is_unknown_kind(TSS2_RC rc)
{
    switch (tpm_rc_of(rc)) {
    case TPM2_RC_ASYMMETRIC:
    case TPM2_RC_CURVE:
    case TPM2_RC_KEY_SIZE:
    case TPM2_RC_TYPE:
    case TPM2_RC_VALUE:
        return true;
    default:
        return false;
    }
}

/* In a session salted to the parent, with parameter encryption both ways (Part 1 §19.6, §21), which also
 * proves the parent's auth value. */
static int create(struct tpm *tpm, enum pki_key_type type, const struct tpm_object *parent,
                  enum tpm_auth auth, TPM2B_PUBLIC **ret_public, TPM2B_PRIVATE **ret_private)
{
    static const char what[] = "cannot make the key";
    const TPM2B_SENSITIVE_CREATE sensitive = {0};
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION pcrs = {0};
    tpm_autopermit permit = TPM_PERMIT(tpm, auth);
    int result = tpm_lockout_check(tpm, &parent->area, what);
    if (result == 0)
        result = tpm_permit(&permit, parent->tr, parent, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT);
    if (result < 0)
        return result;
    TSS2_RC rc =
        Esys_Create(tpm->esys, parent->tr, permit.tr, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                    tpm_template_device(type), &outside, &pcrs, ret_private, ret_public, NULL, NULL, NULL);
    result = tpm_permit_answer(&permit, rc, what);
    if (result < 0 && is_unknown_kind(rc))
        return pc_refuse("tpm-unsupported", "this TPM makes no key of kind %s (0x%x): the other is %s",
                         pki_key_type_name(type), rc,
                         pki_key_type_name(type == PKI_KEY_EC_P256 ? PKI_KEY_RSA_2048 : PKI_KEY_EC_P256));
    return result;
}

int tpm_key_create(struct tpm *tpm, enum pki_key_type type, struct tpm_key **ret)
{
    const TPM2B_PUBLIC *wanted = tpm_template_device(type);
    if (wanted == NULL)
        return pc_fail(PC_EUSAGE, "a device key is rsa:2048 or ec:P-256");
    tpm_begin(tpm, TPM_KEYGEN_EXTRA_MS);
    int result = tpm_tidy(tpm, NULL, TPM_LEFT_ALL);
    if (result < 0)
        return result;
    tpm_autoobject parent = TPM_OBJECT(tpm);
    uint32_t parent_handle = 0;
    result = tpm_parent_for_create(tpm, &parent, &parent_handle);
    if (result < 0)
        return result;
    TPM2B_PUBLIC *public_area = NULL;
    TPM2B_PRIVATE *private_area = NULL;
    result = create(tpm, type, &parent, tpm_parent_auth(parent_handle), &public_area, &private_area);
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    if (result == 0 && !tpm_template_matches(public_area, wanted))
        result = pc_fail(PC_EFAIL, "the TPM made another kind of key than it was asked for");
    if (result == 0)
        result = tpm_key_from_public(public_area, &key);
    if (result == 0) {
        key->private_area = *private_area;
        key->parent = parent_handle;
        *ret = pc_steal(key);
    }
    Esys_Free(public_area);
    Esys_Free(private_area);
    return result;
}
