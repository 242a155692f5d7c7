/* A signature in the making, or one that is verified: shared by signature.c, verify.c (the operations) and
 * parameters.c (what can be set and asked). Private to this folder. */
#ifndef PROV_SIGNATURE_H
#define PROV_SIGNATURE_H

#include "provision/provider/key.h"

#define PROV_DIGEST_NAME 50 /* bytes, as OSSL_MAX_NAME_SIZE of OpenSSL */

struct prov_signature {
    struct prov_context *context;
    struct prov_key *key;        /* shared; NULL before init */
    bool rsa;                    /* which of the two algorithms this is */
    char *propq;                 /* owned, or NULL */
    EVP_MD *md;                  /* owned; NULL while none is set */
    EVP_MD_CTX *digest;          /* digest-sign and digest-verify only */
    EVP_PKEY_CTX *software;      /* owned; NULL unless a signature is verified, which is done by this */
    int padding;                 /* RSA_PKCS1_PADDING or RSA_PKCS1_PSS_PADDING */
    int salt;                    /* octets, or an RSA_PSS_SALTLEN_… value */
    char mgf1[PROV_DIGEST_NAME]; /* "" means the same as md, the only one a TPM knows */
};

/* Begins anew, with `key` or, when that is NULL, with the key it has. 1 or 0. */
int prov_signature_begin(struct prov_signature *signature, struct prov_key *key);
/* SHA-256, SHA-384 or SHA-512 when signing; others are refused. 1 or 0. */
int prov_signature_set_digest(struct prov_signature *signature, const char *name);
enum tpm_scheme prov_signature_scheme(const struct prov_signature *signature);
/* Whether a TPM can sign with what has been set: salt length and MGF1 digest follow from the digest (TPM 2.0
 * Part 1, Annex B.7). 1, or 0 with an error raised. */
int prov_signature_check(const struct prov_signature *signature);

int prov_signature_get_params(void *signature, OSSL_PARAM params[]);
int prov_signature_set_params(void *signature, const OSSL_PARAM params[]);
const OSSL_PARAM *prov_rsa_gettable(void *signature, void *context);
const OSSL_PARAM *prov_rsa_settable(void *signature, void *context);
const OSSL_PARAM *prov_ecdsa_gettable(void *signature, void *context);
const OSSL_PARAM *prov_ecdsa_settable(void *signature, void *context);

/* --- verify.c: the functions of provider-signature(7), by the default provider and the public half --- */
int prov_verify_init(void *signature, void *key, const OSSL_PARAM params[]);
int prov_verify(void *signature, const unsigned char *sig, size_t siglen, const unsigned char *tbs,
                size_t tbslen);
int prov_recover_init(void *signature, void *key, const OSSL_PARAM params[]);
int prov_recover(void *signature, unsigned char *out, size_t *outlen, size_t size, const unsigned char *sig,
                 size_t siglen);
int prov_digest_verify_init(void *signature, const char *digest, void *key, const OSSL_PARAM params[]);
int prov_digest_verify_final(void *signature, const unsigned char *sig, size_t siglen);

bool prov_digest_known(const EVP_MD *md);
/* The DER AlgorithmIdentifier of what has been set, by which X509_sign and its kin name the signature (RFC
 * 4055 §3 and §5, RFC 5758 §3.2). 1, or 0 when there is none. */
int prov_signature_algorithm(const struct prov_signature *signature, unsigned char **ret_der,
                             size_t *ret_len);

#endif
