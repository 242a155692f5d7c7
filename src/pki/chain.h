/* Chains: a leaf with what stands behind it, held against a pinned trust anchor (RFC 5280 §6). */
#ifndef PKI_CHAIN_H
#define PKI_CHAIN_H

#include <stdint.h>

#include <openssl/x509v3.h>

#include "src/base/memory.h"

#define PKI_CHAIN_MAX 8 /* certificates */

/* One to PKI_CHAIN_MAX PEM certificates, leaf first, nothing between them but white space and text lines
 * outside the blocks. PC_EREFUSED ("chain-parse"). The caller frees with pki_chain_free. */
int pki_chain_parse(const void *data, size_t len, STACK_OF(X509) * *ret);
void pki_chain_free(STACK_OF(X509) * chain);

struct pki_chain_rules {
    const STACK_OF(X509) *
        anchors;         /* self-signed CA certificates; nothing that came with the leaf is trusted */
    const X509_CRL *crl; /* of the leaf's issuer, or NULL */
    int64_t at;          /* seconds */
    bool ignore_not_yet; /* a clock behind notBefore is no fault (a PLC may boot in 1970) */
    int purpose;         /* X509_PURPOSE_SSL_CLIENT, …_SSL_SERVER, or 0 for any */
};
/* Verifies chain[0] with OpenSSL's strict rules. PC_EREFUSED: "chain-anchor", "chain-expired",
 * "chain-not-yet", "chain-revoked", "chain-signature", "chain-purpose", "chain-crl" (missing, stale, not
 * the issuer's), "chain-invalid"; the text names depth and subject. */
int pki_chain_verify(const STACK_OF(X509) * chain, const struct pki_chain_rules *rules);

#endif
