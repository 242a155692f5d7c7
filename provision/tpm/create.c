/* The birth of a device key: TPM2_Create under the parent, in a session that keeps the wire from reading
 * along. */
#include <string.h>

#include "provision/tpm/esys.h"

/* An HMAC session salted to the parent, with parameter encryption both ways (Part 1 §19.6, §21). */
static int start_session(struct tpm *tpm, const struct tpm_object *parent, struct tpm_object *ret)
{
    static const TPMT_SYM_DEF symmetric = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    const TPMA_SESSION attributes =
        TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT | TPMA_SESSION_CONTINUESESSION;
    tpm_autoobject session = TPM_OBJECT(tpm);
    TSS2_RC rc =
        Esys_StartAuthSession(tpm->esys, parent->tr, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                              NULL, TPM2_SE_HMAC, &symmetric, TPM2_ALG_SHA256, &session.tr);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot start a session");
    session.loaded = true;
    rc = Esys_TRSess_SetAttributes(tpm->esys, session.tr, attributes, 0xff);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot set up a session");
    *ret = session;
    session.tr = ESYS_TR_NONE;
    return 0;
}

static int create(struct tpm *tpm, const TPM2B_PUBLIC *wanted, const struct tpm_object *parent,
                  TPM2B_PUBLIC **ret_public, TPM2B_PRIVATE **ret_private)
{
    tpm_autoobject session = TPM_OBJECT(tpm);
    int result = start_session(tpm, parent, &session);
    if (result < 0)
        return result;
    const TPM2B_SENSITIVE_CREATE sensitive = {0};
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION pcrs = {0};
    TSS2_RC rc = Esys_Create(tpm->esys, parent->tr, session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                             wanted, &outside, &pcrs, ret_private, ret_public, NULL, NULL, NULL);
    return rc == TSS2_RC_SUCCESS ? 0 : tpm_fault(tpm, rc, "cannot make the key");
}

int tpm_key_create(struct tpm *tpm, enum pki_key_type type, struct tpm_key **ret)
{
    const TPM2B_PUBLIC *wanted = tpm_template_device(type);
    if (wanted == NULL)
        return pc_fail(PC_EUSAGE, "a device key is rsa:2048 or ec:P-256");
    tpm_begin(tpm, TPM_KEYGEN_EXTRA_MS);
    int result = tpm_tidy(tpm, NULL);
    if (result < 0)
        return result;
    tpm_autoobject parent = TPM_OBJECT(tpm);
    uint32_t parent_handle = 0;
    result = tpm_parent_for_create(tpm, &parent, &parent_handle);
    if (result < 0)
        return result;
    TPM2B_PUBLIC *public_area = NULL;
    TPM2B_PRIVATE *private_area = NULL;
    result = create(tpm, wanted, &parent, &public_area, &private_area);
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
