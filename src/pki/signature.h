/* The signature of a certificate, CRL or request, over its bytes as they came. Within src/pki only. */
#ifndef PKI_SIGNATURE_H
#define PKI_SIGNATURE_H

#include <stdbool.h>

#include <openssl/asn1.h>
#include <openssl/evp.h>

#include "src/base/memory.h"

/* Over any bytes. PC_EFAIL. */
int pki_signature_verify_bytes(EVP_PKEY *key, const EVP_MD *digest, const void *data, size_t len,
                               const unsigned char *signature, size_t signature_len);

/* `der`, a SEQUENCE of the signed element, an AlgorithmIdentifier and `signature`, is signed with `algorithm`
 * (NID), which must be one of this kind of key. PC_EFAIL. */
int pki_signature_verify(EVP_PKEY *key, int algorithm, const struct pc_bytes *der,
                         const ASN1_BIT_STRING *signature);

/* The first element inside the SEQUENCE `der`, with its header: what is signed. False when it cannot be
 * found. */
bool pki_signed_part(const struct pc_bytes *der, const unsigned char **ret, size_t *ret_len);

#endif
