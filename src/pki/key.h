/* Public keys: which kinds we know, how one is named, and which are too weak to certify. Bytes only, no I/O.
 */
#ifndef PKI_KEY_H
#define PKI_KEY_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "src/base/memory.h"

enum pki_key_type {
    PKI_KEY_RSA_2048,
    PKI_KEY_RSA_3072,
    PKI_KEY_RSA_4096,
    PKI_KEY_EC_P256,
    PKI_KEY_EC_P384,
    PKI_KEY_TYPES, /* how many */
};

#define PKI_FINGERPRINT_TEXT 65 /* SHA-256 as lower-case hex, with its NUL */

/* "rsa:2048", "rsa:3072", "rsa:4096", "ec:P-256", "ec:P-384"; anything else PC_EUSAGE. */
int pki_key_type_parse(const char *text, enum pki_key_type *ret);
const char *pki_key_type_name(enum pki_key_type type);
/* PC_EREFUSED ("key-type") for any other kind or size. */
int pki_key_type_of(const EVP_PKEY *key, enum pki_key_type *ret);

/* SHA-256 of the DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7): how operators and the ledger name a key. */
int pki_key_fingerprint(const EVP_PKEY *key, char ret[PKI_FINGERPRINT_TEXT]);
/* SHA-256 of the whole DER certificate, and of any bytes. */
int pki_certificate_fingerprint(const X509 *certificate, char ret[PKI_FINGERPRINT_TEXT]);
int pki_digest_hex(const void *data, size_t len, char ret[PKI_FINGERPRINT_TEXT]);

/* Reads a key that asks to be certified from its DER SubjectPublicKeyInfo, and judges it: RSA of 2048 to 4096
 * bits, public exponent odd and from 65537 up, no ROCA fingerprint (CVE-2017-15361), no small factor, no
 * close primes (Fermat); EC on the named curve P-256 or P-384, point on it. PC_EREFUSED with "key-size",
 * "key-exponent", "key-roca", "key-factor", "key-fermat", "key-curve", "key-parameters" (also an encoding
 * that is not the key's one DER form), "key-point", "key-type". Owned by the caller. */
int pki_key_judge(const unsigned char *spki, size_t spki_len, EVP_PKEY **ret);

/* The digest with which this kind of key signs certificates: SHA-256, and SHA-384 for P-384. Borrowed,
 * static. */
const EVP_MD *pki_key_digest(enum pki_key_type type);

#endif
