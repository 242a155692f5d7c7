/* A TPM that has no persistent slot left: what occupies them, so that its owner can decide. Nothing is
 * removed here. */
#include <stdio.h>
#include <string.h>

#include "provision/tpm/esys.h"

#define LISTED_MAX 24 /* a TPM has room for seven or so */

static const char *algorithm_of(const TPMT_PUBLIC *area, char text[16])
{
    if (area->type == TPM2_ALG_RSA)
        snprintf(text, 16, "rsa:%u", area->parameters.rsaDetail.keyBits);
    else if (area->type == TPM2_ALG_ECC && area->parameters.eccDetail.curveID == TPM2_ECC_NIST_P256)
        return "ec:P-256";
    else if (area->type == TPM2_ALG_ECC && area->parameters.eccDetail.curveID == TPM2_ECC_NIST_P384)
        return "ec:P-384";
    else if (area->type == TPM2_ALG_ECC)
        snprintf(text, 16, "ec:0x%x", area->parameters.eccDetail.curveID);
    else
        snprintf(text, 16, "type 0x%x", area->type);
    return text;
}

static const struct usage {
    TPMA_OBJECT attributes; /* of the three below, exactly these */
    const char *name;
} usages[] = {
    {TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT, "storage key"},
    {TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT, "attestation key"},
    {TPMA_OBJECT_SIGN_ENCRYPT, "signing key"},
    {TPMA_OBJECT_DECRYPT, "decryption key"},
};

static const char *usage_of(const TPMT_PUBLIC *area)
{
    TPMA_OBJECT found =
        area->objectAttributes & (TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_SIGN_ENCRYPT);
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++) {
        if (usages[i].attributes == found)
            return usages[i].name;
    }
    return "key";
}

/* By its template: which key it is, only its Name tells, and that is known above. */
static const char *origin_of(const TPM2B_PUBLIC *area)
{
    if (tpm_template_matches(area, &tpm_template_srk))
        return " as plantcert makes it";
    for (int type = 0; type < PKI_KEY_TYPES; type++) {
        const TPM2B_PUBLIC *template = tpm_template_device((enum pki_key_type)type);
        if (template != NULL && tpm_template_matches(area, template))
            return " as plantcert makes it";
    }
    return ", not plantcert's";
}

static void describe(struct tpm *tpm, TPM2_HANDLE handle, char *text, size_t size)
{
    char algorithm[16];
    tpm_autoobject object = TPM_OBJECT(tpm);
    if (tpm_object_find_now(tpm, handle, &object) < 0 || object.tr == ESYS_TR_NONE) {
        snprintf(text, size, "0x%08x (cannot be read)", handle);
        return;
    }
    const TPMT_PUBLIC *area = &object.area.publicArea;
    snprintf(text, size, "0x%08x (%s %s%s)", handle, algorithm_of(area, algorithm), usage_of(area),
             origin_of(&object.area));
}

int tpm_slots_full(struct tpm *tpm, TPM2_HANDLE first, TPM2_HANDLE last, const char *reason)
{
    TPM2_HANDLE handles[TPM2_MAX_CAP_HANDLES];
    size_t count = 0;
    int result = tpm_handles(tpm, first, handles, TPM2_MAX_CAP_HANDLES, &count);
    if (result < 0)
        return result;
    char list[LISTED_MAX * 80] = "";
    size_t used = 0, listed = 0;
    for (size_t i = 0; i < count && handles[i] <= last && listed < LISTED_MAX; i++, listed++) {
        char one[80];
        describe(tpm, handles[i], one, sizeof(one));
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s %s", listed ? "," : "", one);
    }
    return pc_fail_named(PC_EUNREACH, "tpm-full", "%s; there are%s", reason, list);
}
