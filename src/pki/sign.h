/* Signing what was recorded: bytes to be signed go in, the finished DER object comes out (RFC 5280 §4.1,
 * §5.1). */
#ifndef PKI_SIGN_H
#define PKI_SIGN_H

#include <openssl/evp.h>

#include "src/base/memory.h"
#include "src/pki/key.h"

/* Signs the DER to-be-signed bytes of a certificate or CRL with `key` (which may live in a token) and puts
 * the object together: SEQUENCE { tbs, AlgorithmIdentifier, BIT STRING }. The AlgorithmIdentifier is the one
 * inside `tbs`, which must be the one that pki_key_digest() gives for this kind of key. The signature is
 * verified in software with `public_key` before anything is returned (PC_EFAIL when it does not verify). */
int pki_tbs_sign(EVP_PKEY *key, EVP_PKEY *public_key, const struct pc_bytes *tbs, struct pc_bytes *ret_der);

#endif
