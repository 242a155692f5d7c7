/* The templates: what the SRK and device keys are (TPM 2.0 Part 2 §8.3, §12.2). Tables only; nothing here
 * asks the TPM. */
#include "provision/tpm/esys.h"

/* noDA all along the line: cuts of power around the use of a key without it count as failures, and three lock
 * the TPM. */
#define SRK_ATTRIBUTES                                                                                       \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |                      \
     TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)
#define DEVICE_ATTRIBUTES                                                                                    \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |                      \
     TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT)
_Static_assert(SRK_ATTRIBUTES == 0x00030472, "the SRK's attributes");
_Static_assert(DEVICE_ATTRIBUTES == 0x00040472, "a device key's attributes");

/* Also what draft-bottomley-tpm2-keys implies by the parent TPM_RH_OWNER. */
const TPM2B_PUBLIC tpm_template_srk = {
    .publicArea =
        {
            .type = TPM2_ALG_ECC,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = SRK_ATTRIBUTES,
            .parameters.eccDetail =
                {
                    .symmetric = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB},
                    .scheme.scheme = TPM2_ALG_NULL,
                    .curveID = TPM2_ECC_NIST_P256,
                    .kdf.scheme = TPM2_ALG_NULL,
                },
        },
};

static const TPM2B_PUBLIC device_rsa_2048 = {
    .publicArea =
        {
            .type = TPM2_ALG_RSA,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = DEVICE_ATTRIBUTES,
            .parameters.rsaDetail =
                {
                    .symmetric.algorithm = TPM2_ALG_NULL,
                    .scheme.scheme = TPM2_ALG_NULL, /* TLS asks for PKCS#1 v1.5 and for PSS */
                    .keyBits = 2048,
                    .exponent = 0, /* 65537 */
                },
        },
};

static const TPM2B_PUBLIC device_ec_p256 = {
    .publicArea =
        {
            .type = TPM2_ALG_ECC,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = DEVICE_ATTRIBUTES,
            .parameters.eccDetail =
                {
                    .symmetric.algorithm = TPM2_ALG_NULL,
                    .scheme.scheme = TPM2_ALG_NULL,
                    .curveID = TPM2_ECC_NIST_P256,
                    .kdf.scheme = TPM2_ALG_NULL,
                },
        },
};

static const TPM2B_PUBLIC *const device_templates[PKI_KEY_TYPES] = {
    [PKI_KEY_RSA_2048] = &device_rsa_2048,
    [PKI_KEY_EC_P256] = &device_ec_p256,
};

const TPM2B_PUBLIC *tpm_template_device(enum pki_key_type type)
{
    return (unsigned)type < PKI_KEY_TYPES ? device_templates[type] : NULL;
}

static bool same_symmetric(const TPMT_SYM_DEF_OBJECT *a, const TPMT_SYM_DEF_OBJECT *b)
{
    if (a->algorithm != b->algorithm)
        return false;
    return a->algorithm == TPM2_ALG_NULL || (a->keyBits.sym == b->keyBits.sym && a->mode.sym == b->mode.sym);
}

static bool same_rsa(const TPMS_RSA_PARMS *a, const TPMS_RSA_PARMS *b)
{
    return same_symmetric(&a->symmetric, &b->symmetric) && a->scheme.scheme == b->scheme.scheme &&
           a->keyBits == b->keyBits && a->exponent == b->exponent;
}

static bool same_ecc(const TPMS_ECC_PARMS *a, const TPMS_ECC_PARMS *b)
{
    return same_symmetric(&a->symmetric, &b->symmetric) && a->scheme.scheme == b->scheme.scheme &&
           a->curveID == b->curveID && a->kdf.scheme == b->kdf.scheme;
}

bool tpm_template_matches(const TPM2B_PUBLIC *area, const TPM2B_PUBLIC *wanted)
{
    const TPMT_PUBLIC *a = &area->publicArea, *b = &wanted->publicArea;
    if (a->type != b->type || a->nameAlg != b->nameAlg || a->objectAttributes != b->objectAttributes ||
        a->authPolicy.size != b->authPolicy.size)
        return false;
    if (a->type == TPM2_ALG_RSA)
        return same_rsa(&a->parameters.rsaDetail, &b->parameters.rsaDetail);
    return same_ecc(&a->parameters.eccDetail, &b->parameters.eccDetail);
}
