/* Signing what was recorded: bytes to be signed go in, the finished DER object comes out (RFC 5280 §4.1,
 * §5.1). */
#ifndef PKI_SIGN_H
#define PKI_SIGN_H

#include <openssl/evp.h>

#include "src/base/memory.h"
#include "src/pki/key.h"

/* Whoever makes signatures: a key in a token, or one of OpenSSL's own. */
struct pki_signer {
    /* The signature over `data` (hashed with `digest` first), as X.509 carries it: PKCS#1 v1.5 (RFC 8017
     * §8.2), or DER Ecdsa-Sig-Value (RFC 3279 §2.2.3). Owned by the caller. May be called by several threads
     * at once. */
    int (*sign)(void *context, const EVP_MD *digest, const struct pc_bytes *data, struct pc_bytes *ret);
    void *context;
};
/* One around an EVP_PKEY; borrowed. */
struct pki_signer pki_signer_of(EVP_PKEY *key);

/* Signs the DER to-be-signed bytes of a certificate or CRL and puts the object together: SEQUENCE { tbs,
 * AlgorithmIdentifier, BIT STRING }. The AlgorithmIdentifier is the one inside `tbs`, which must be the one
 * that pki_key_digest() gives for this kind of key. The signature is verified in software with `public_key`
 * before anything is returned (PC_EFAIL when it does not verify). */
int pki_tbs_sign(const struct pki_signer *signer, EVP_PKEY *public_key, const struct pc_bytes *tbs,
                 struct pc_bytes *ret_der);

/* The steps of it, for who signs many at once. */

/* The digest to sign `tbs` with; PC_EFAIL unless the algorithm inside is the key's. */
int pki_tbs_digest(const EVP_PKEY *public_key, const struct pc_bytes *tbs, const EVP_MD **ret_digest);
/* Puts the object together. Whether the signature verifies is left to pki_certificate_lint_der. */
int pki_tbs_join(const EVP_PKEY *public_key, const struct pc_bytes *tbs, const struct pc_bytes *signature,
                 struct pc_bytes *ret_der);
/* Whether these to-be-signed bytes are what stands in the object. */
bool pki_tbs_is_in(const struct pc_bytes *tbs, const struct pc_bytes *der);

#endif
