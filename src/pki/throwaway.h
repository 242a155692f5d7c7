/* Before the issuer's own key signs. OpenSSL gives the to-be-signed bytes of a certificate or CRL only after
 * a signing pass. A throwaway key of the issuer's kind makes that pass; its signature is dropped. Within
 * src/pki only. */
#ifndef PKI_THROWAWAY_H
#define PKI_THROWAWAY_H

#include <openssl/evp.h>
#include <openssl/x509.h>

/* The key that will sign must be the one in the issuer's certificate, or with `issuer` NULL (self-signed) the
 * subject's. PC_EFAIL. */
int pki_check_issuer(const X509 *issuer, const EVP_PKEY *subject_key, const EVP_PKEY *issuer_key);

/* A private key that yields the same AlgorithmIdentifier as `issuer_key`, and the digest that goes with it
 * (borrowed). */
int pki_throwaway_key(const EVP_PKEY *issuer_key, EVP_PKEY **ret, const EVP_MD **ret_digest);

/* An empty certificate that the issuer's kind of key is going to sign: a throwaway key has made the signing
 * pass already, once for the life of the process, so that i2d_re_X509_tbs takes whatever is put in. Parsed in
 * pki_keyless(); owned by the caller. */
int pki_blank_certificate(const EVP_PKEY *issuer_key, X509 **ret);

#endif
