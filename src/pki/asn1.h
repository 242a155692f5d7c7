/* Small bridges to libcrypto's ASN.1: 64-bit times, PEM framing, strict DER. Within src/pki, but for
 * pki_der_is_strict, which src/est asks, too. */
#ifndef PKI_ASN1_H
#define PKI_ASN1_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/asn1.h>
#include <openssl/evp.h>

#include "src/base/memory.h"

/* UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5); owned by the caller. Never passes
 * through time_t. */
int pki_asn1_time(int64_t seconds, ASN1_TIME **ret);
/* GeneralizedTime whatever the year (RFC 5280 §5.3.2). */
int pki_asn1_generalized_time(int64_t seconds, ASN1_GENERALIZEDTIME **ret);
/* Is it encoded as pki_asn1_time would encode it: the type that the year asks for, whole seconds, "Z"? */
bool pki_asn1_time_is_strict(const ASN1_TIME *time);

/* Finds in `data` exactly one PEM block that bears one of `labels` (NULL-terminated), without PEM headers.
 * Text outside the block is refused unless `text_around`; a second block always is. 0, or PC_EFAIL with a
 * text that the caller turns into its own refusal; *ret_behind says whether what was wrong stood behind the
 * block. */
int pki_pem_single(const void *data, size_t len, const char *const labels[], bool text_around,
                   struct pc_bytes *ret_der, bool *ret_behind);
/* The DER of an object that came as DER or as one such block, text around it allowed. PC_EREFUSED with the
 * name `refusal` (a literal). */
int pki_der_or_pem(const void *data, size_t len, const char *const labels[], const char *refusal,
                   struct pc_bytes *ret_der);
/* Appends DER as one PEM block to `pem`. */
int pki_pem_append(const char *label, const unsigned char *der, size_t len, struct pc_bytes *pem);

/* Is this one element of well-formed DER, with nothing behind it: definite and shortest lengths, primitive
 * strings, minimal INTEGERs, BOOLEAN 00 or FF (X.690 §8–§11)? The order inside a SET OF is not looked at, as
 * too many requests get it wrong. */
bool pki_der_is_strict(const unsigned char *data, size_t len);

/* The key as software sees it: decoded anew from its public half, whatever provider holds `key`. */
int pki_key_public(const EVP_PKEY *key, EVP_PKEY **ret);

#endif
