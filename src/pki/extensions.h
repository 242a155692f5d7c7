/* A profile's extensions in bytes: what the builder puts in, what the judge of requests compares with. Within
 * src/pki only. */
#ifndef PKI_EXTENSIONS_H
#define PKI_EXTENSIONS_H

#include <openssl/x509v3.h>

#include "src/pki/profile.h"
#include "src/pki/spki.h"

/* Method (1) of RFC 5280 §4.2.1.2: SHA-1 of the subjectPublicKey bits. An identifier, not a protection. */
int pki_key_id(const EVP_PKEY *key, unsigned char ret[PKI_KEY_ID_LEN]);

/* basicConstraints, keyUsage, extKeyUsage, subjectAltName, subjectKeyIdentifier as the profile sets them for
 * this key; everything but authorityKeyIdentifier. `cn` is for PKI_SAN_PLANT, `hosts` for PKI_SAN_HOSTS. */
int pki_extensions_new(const struct pki_profile *profile, const EVP_PKEY *key, const char *cn,
                       const GENERAL_NAMES *hosts, STACK_OF(X509_EXTENSION) * *ret);

/* The alternative names that the profile sets: NULL for PKI_SAN_NONE. Owned by the caller. */
int pki_extensions_san(const struct pki_profile *profile, const char *cn, const GENERAL_NAMES *hosts,
                       GENERAL_NAMES **ret);

/* Adds authorityKeyIdentifier (keyid only, RFC 5280 §4.2.1.1): the issuer's subjectKeyIdentifier, or the id
 * of its key where it has none; with `issuer` NULL the id of `key`. */
int pki_authority_key_id(const X509 *issuer, const EVP_PKEY *key, AUTHORITY_KEYID **ret);

#endif
