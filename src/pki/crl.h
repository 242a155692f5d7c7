/* Certificate revocation lists (RFC 5280 §5): to-be-signed bytes, parsing, lint. */
#ifndef PKI_CRL_H
#define PKI_CRL_H

#include <stdint.h>

#include <openssl/x509v3.h>

#include "src/base/memory.h"
#include "src/pki/certificate.h"

struct pki_crl_entry {
    struct pki_serial serial;
    int64_t revoked_at;    /* seconds */
    int64_t invalid_since; /* invalidityDate (RFC 5280 §5.3.2); 0: left out */
    int reason;            /* CRLReason (RFC 5280 §5.3.1); unspecified (0) is left out of the CRL */
};

struct pki_crl_plan {
    const X509 *issuer;
    const EVP_PKEY *issuer_key; /* public half is enough */
    uint64_t number;            /* cRLNumber, from 1 */
    int64_t this_update, next_update;
    const struct pki_crl_entry *entries; /* sorted or not; written sorted by serial */
    size_t count;
};

/* "unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
 * "certificateHold", "privilegeWithdrawn", "aACompromise": the names of RFC 5280 §5.3.1. In any case of
 * letters. removeFromCRL is refused (it belongs to delta CRLs). PC_EUSAGE, with the names. */
int pki_reason_parse(const char *name, int *ret);
const char *pki_reason_name(int reason); /* "unspecified" for what is unknown */

int pki_crl_tbs(const struct pki_crl_plan *plan, struct pc_bytes *ret_tbs);
int pki_crl_parse(const void *data, size_t len,
                  X509_CRL **ret); /* DER or exactly one PEM block; PC_EREFUSED ("crl-parse") */
int pki_crl_append_pem(const X509_CRL *crl, struct pc_bytes *pem);
int pki_crl_number(const X509_CRL *crl, uint64_t *ret);
/* Signature, issuer, version 2, number, AKI keyid only, dates, exactly the entries of the plan. PC_EFAIL
 * naming the clause. */
int pki_crl_lint(const X509_CRL *crl, const struct pki_crl_plan *plan);

#endif
