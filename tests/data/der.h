/* Certificate requests put together octet by octet, where OpenSSL would refuse to build what a test needs. */
#ifndef DATA_DER_H
#define DATA_DER_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/evp.h>

#include "src/base/memory.h"

/* All of these end the program when out of memory: they serve tests only. Buffers are owned by the caller. */

/* The parts, one behind the other; ended by NULL. */
struct pc_bytes der_join(const struct pc_bytes *first, ...) __attribute__((sentinel));
/* One element: `tag` is the identifier octet, the length in its shortest form. Takes `content` over. */
struct pc_bytes der_wrap(unsigned char tag, struct pc_bytes content);
struct pc_bytes der_copy(const void *data, size_t len);
/* From hex, blanks allowed. */
struct pc_bytes der_hex(const char *hex);
struct pc_bytes der_oid(const char *dotted);
/* The same element with an indefinite length, or with a length in a longer form than needed. Takes `element`
 * over. */
struct pc_bytes der_indefinite(struct pc_bytes element);
struct pc_bytes der_long_length(struct pc_bytes element);

/* A Name of RDNs that are given as DER; one RDN of one attribute; both take over what they get. */
struct pc_bytes der_rdn(const char *dotted, unsigned char tag, const void *value, size_t len);
struct pc_bytes der_set_of_two(struct pc_bytes first_rdn, struct pc_bytes second_rdn);
/* Attribute { type, SET OF value }; one extension. Takes the values over. */
struct pc_bytes der_attribute(const char *dotted, struct pc_bytes values);
struct pc_bytes der_extension(const char *dotted, bool critical, struct pc_bytes value);

struct pc_bytes der_spki(const EVP_PKEY *key);
/* CertificationRequestInfo (RFC 2986 §4.1). Takes all but `version` over; `attributes` are what stands inside
 * the [0]. */
struct pc_bytes der_request_info(int version, struct pc_bytes name, struct pc_bytes spki,
                                 struct pc_bytes attributes);
/* The whole request, signed with `key`; with a NULL key the signature is made of noise, under the name of
 * sha256WithRSAEncryption. Takes `info` over. */
struct pc_bytes der_request(struct pc_bytes info, EVP_PKEY *key, const EVP_MD *digest);
struct pc_bytes der_pem(const char *label, struct pc_bytes der);

#endif
