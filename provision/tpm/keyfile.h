/* Key files: `device.tpm` in its two forms. Neither holds a private key that is of use without the TPM. Needs
 * no TPM. PLANTCERT TPM KEY  a reference to a persistent key: handle, Name, public area (nothing private at
 * all) TSS2 PRIVATE KEY   a wrapped blob (draft-bottomley-tpm2-keys): as we, tpm2-openssl and tpm2-tools
 * write it */
#ifndef TPM_KEYFILE_H
#define TPM_KEYFILE_H

#include "provision/tpm/key.h"

#define TPM_PEM_REFERENCE "PLANTCERT TPM KEY"
#define TPM_PEM_BLOB "TSS2 PRIVATE KEY"
#define TPM_KEYFILE_MAX 16384 /* bytes */

/* PEM of either form, chosen by what `key` is. */
int tpm_keyfile_format(const struct tpm_key *key, struct pc_bytes *ret_pem);
/* One PEM block of either form. The public area's hash must be the Name. PC_EREFUSED "keyfile-parse",
 * "keyfile-name", "keyfile-unsupported" (auth value, policy, other parent than the owner's SRK or a
 * persistent handle). */
int tpm_keyfile_parse(const void *pem, size_t len, struct tpm_key **ret);
/* The DER inside a PEM block with that label. */
int tpm_keyfile_parse_der(const char *label, const unsigned char *der, size_t len, struct tpm_key **ret);

#endif
