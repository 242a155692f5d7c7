/* The public half of a pair in a token, as a key of OpenSSL's own: free of the token, for comparing and
 * verifying. */
#ifndef HSM_PUBLIC_H
#define HSM_PUBLIC_H

#include "hsm/internal.h"

/* Reads a CKO_PUBLIC_KEY object: RSA (PKCS#11 v2.40 §2.1.2) or EC on a named curve (§2.3.3). PC_EREFUSED
 * ("key-type") for others. The caller owns the result. */
int hsm_public_read(struct hsm_token *token, CK_OBJECT_HANDLE object, EVP_PKEY **ret);

#endif
