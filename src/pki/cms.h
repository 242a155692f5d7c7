/* Signed statements: CMS SignedData (RFC 5652 §5), detached, always with signed attributes. */
#ifndef PKI_CMS_H
#define PKI_CMS_H

#include <openssl/bio.h>
#include <openssl/x509.h>

#include "src/base/memory.h"

/* Signs what `content` gives until its end (a file may be of any length: it is read piece by piece) with
 * `key`, whose certificate is `signer` (digitalSignature). Signed attributes: contentType, messageDigest,
 * signingTime (`at`, seconds). The certificate goes along. DER; `content` is not in it. */
int pki_cms_sign(EVP_PKEY *key, X509 *signer, BIO *content, int64_t at, struct pc_bytes *ret_der);

/* Verifies such a signature over `content`: exactly one signer, whose certificate is in it, is byte for byte
 * one that `issuer` signed, with digitalSignature and without CA, and whose public key has the fingerprint
 * `key_sha256` (NULL: any). The dates of the certificate are held against signingTime. PC_EREFUSED
 * "cms-parse", "cms-signer", "cms-attributes", "cms-signature". `ret_signer` (owned by the caller) and
 * `ret_at` may be NULL. */
int pki_cms_verify(const void *der, size_t len, BIO *content, X509 *issuer, const char *key_sha256,
                   X509 **ret_signer, int64_t *ret_at);

#endif
