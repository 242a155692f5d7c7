/* Certificate requests (PKCS#10, RFC 2986): building one, and judging one that came from outside. */
#ifndef PKI_REQUEST_H
#define PKI_REQUEST_H

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "src/base/memory.h"
#include "src/pki/key.h"
#include "src/pki/name.h"
#include "src/pki/profile.h"

#define PKI_REQUEST_MAX 65536  /* bytes */
#define PKI_CHALLENGE_TEXT 256 /* 255 characters (RFC 2985 Appendix A) and the NUL */

/* What the judge compares a request with. Everything borrowed. */
struct pki_request_rules {
    const struct pki_profile *profile;
    const char *plant;          /* device: must equal the CN; NULL: whatever canonical UUID stands there */
    const char *host;           /* broker, station: must equal the CN */
    const GENERAL_NAMES *hosts; /* broker, station: a SAN that is asked for must be exactly these */
    const EVP_PKEY *issuer_key; /* the CA's own key, which is never certified again; or NULL */
    const X509 *issuer; /* its certificate: an authorityKeyIdentifier that is asked for must be what it
                           makes us set; NULL: none may be asked for */
};

/* What is taken from an accepted request: nothing else of it reaches a certificate. */
struct pki_request {
    EVP_PKEY *key;
    char cn[256];                              /* the checked UUID, or host */
    char key_sha256[PKI_FINGERPRINT_TEXT];     /* as pki_key_fingerprint */
    char request_sha256[PKI_FINGERPRINT_TEXT]; /* of the DER request */
    struct pc_bytes der;
    char challenge[PKI_CHALLENGE_TEXT]; /* challengePassword as it stands there, "" where there is none */
};

/* Parses and judges one request: one PEM block ("CERTIFICATE REQUEST" or "NEW CERTIFICATE REQUEST", with only
 * white space around it) or DER, nothing after it. PC_EREFUSED, each rule with a name of its own
 * ("request-size", "request-pem", "request-der", "request-trailing", "request-version", "request-signature",
 * "request-algorithm", "request-cn-missing", "request-cn-twice", "request-rdn-multi", "request-cn-charset",
 * "request-cn-uuid", "request-cn-nil", "request-plant", "request-host", "request-profile", "request-rdn",
 * "request-attribute", "request-attribute-twice", "request-extension", "request-san", "key-…",
 * "request-issuer-key"). */
int pki_request_parse(const void *data, size_t len, const struct pki_request_rules *rules,
                      struct pki_request **ret);
void pki_request_free(struct pki_request *request);
PC_DEFINE_CLEANUP(struct pki_request, pki_request_free);

/* Builds and signs a request with CN = cn and no attributes; `key` may live in a TPM. PEM, one NUL behind it.
 */
int pki_request_build(EVP_PKEY *key, const char *cn, struct pc_bytes *ret_pem);
/* The same with a challengePassword of 1 to 255 printable ASCII characters, which links the request to a TLS
 * session (RFC 7030 §3.5): a PrintableString where it can be one (RFC 2985 §5.4.1), else a UTF8String. */
int pki_request_build_bound(EVP_PKEY *key, const char *cn, const char *challenge, struct pc_bytes *ret_pem);

#endif
