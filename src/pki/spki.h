/* SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) without OpenSSL's decoders and encoders, which cost more than a
 * signature. Within src/pki only. */
#ifndef PKI_SPKI_H
#define PKI_SPKI_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "src/base/memory.h"

#define PKI_KEY_ID_LEN 20 /* octets */

/* What stays the same as long as a key lives. Borrowed from the key. */
struct pki_spki {
    const unsigned char *der;
    size_t len;
    unsigned char id[PKI_KEY_ID_LEN]; /* SHA-1 of the subjectPublicKey bits (RFC 5280 §4.2.1.2) */
};
/* Encoded when first asked for, then kept with the key; several threads may ask at once. */
int pki_spki_of(const EVP_PKEY *key, struct pki_spki *ret);
/* The same from a certificate; owned by the caller. */
int pki_spki_of_certificate(const X509 *certificate, struct pc_bytes *ret_der);

/* The pieces of one, borrowed from `owner`. */
struct pki_spki_parts {
    ASN1_OBJECT *algorithm;
    int parameter; /* V_ASN1_… */
    const void *value;
    const unsigned char *bits;
    size_t bits_len; /* bytes */
};
/* PC_EREFUSED "key-type" when it cannot be parsed, "key-parameters" when it is not in its one DER form on the
 * outside: what stands in the bits is looked at by pki_spki_rsa and pki_spki_ec. */
int pki_spki_open(const unsigned char *der, size_t len, X509_PUBKEY **ret_owner, struct pki_spki_parts *ret);
/* Puts these pieces into a certificate. */
int pki_spki_set(X509 *certificate, const struct pki_spki *spki);

/* Modulus and exponent (RFC 8017 §A.1.1); owned by the caller. PC_EREFUSED "key-type", "key-parameters". */
int pki_spki_rsa(const struct pki_spki_parts *parts, BIGNUM **ret_n, BIGNUM **ret_e);
/* The keys themselves, with `der` kept for pki_spki_of. */
int pki_spki_rsa_key(const BIGNUM *n, const BIGNUM *e, const unsigned char *der, size_t len, EVP_PKEY **ret);
int pki_spki_ec_key(int curve, const struct pki_spki_parts *parts, const unsigned char *der, size_t len,
                    EVP_PKEY **ret);

/* A library context without providers: what is parsed within it keeps its public key as it came. */
OSSL_LIB_CTX *pki_keyless(void); /* NULL when it cannot be made */

#endif
