/* What a chain must be before it is installed: judged by bytes and clock alone, no file and no TPM (the TPM
 * appears only as an EVP_PKEY that signs). */
#ifndef DEV_CHECK_H
#define DEV_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "src/base/memory.h"

/* One reason why the CN must be a certain plant. Borrowed. */
struct dev_expected {
    const char *plant;  /* NULL or "": this reason does not apply */
    const char *source; /* for the message: "the configured plant" */
};

/* Certificates as the user gives them: as pki_chain_parse, or one in DER. PC_EREFUSED "chain-parse". */
int dev_check_parse(const struct pc_bytes *data, STACK_OF(X509) * *ret);

/* Trust anchors as the user gives them: self-signed CA certificates, each of them. PC_EREFUSED
 * "install-anchor". */
int dev_check_anchors(const STACK_OF(X509) * anchors);

/* The latest notAfter of these, seconds; 0 when there is none. */
int64_t dev_check_anchors_end(const STACK_OF(X509) * anchors);

/* The leaf (chain[0]) against anchors, dates, profile (pki_profile_device, exactly) and every plant expected.
 * `now` in seconds; a clock behind notBefore is no fault, and the chain is judged no earlier than the leaf's
 * notBefore. PC_EREFUSED: "chain-…" of pki_chain_verify, "install-dates", "install-order", "install-profile",
 * "install-cn", and "plant-missing" when nothing is expected. */
int dev_check_chain(const STACK_OF(X509) * chain, const STACK_OF(X509) * anchors,
                    const struct dev_expected *expected, size_t count, int64_t now);

/* CRLs as the user gives them: one in DER, or PEM blocks, of which a published file may hold several.
 * PC_EREFUSED "install-crl". Owned by the caller (pki_crls_free). */
int dev_check_crls_parse(const struct pc_bytes *data, STACK_OF(X509_CRL) * *ret);
/* The leaf, verified up to anchors before, against the CRLs of its issuer; those of other issuers are passed
 * over, but one must be its own. PC_EREFUSED "install-revoked" when it is on any of them, else "install-crl"
 * when none is good: signature, nextUpdate at `now`, critical extensions, IDP or delta (RFC 5280 §5.2.5,
 * §5.2.4). `*ret_this_update`: the latest thisUpdate that was verified. */
int dev_check_crls(const STACK_OF(X509) * chain, const STACK_OF(X509) * anchors,
                   const STACK_OF(X509_CRL) * crls, int64_t now, int64_t *ret_this_update);

/* That a successor says what its predecessor says: PC_EREFUSED "install-subject", "install-san". */
int dev_check_successor(X509 *leaf, X509 *before);

/* A live signature: `key` signs fresh random bytes, the certificate's public key verifies them. PC_EREFUSED
 * "install-signature" when it does not; a key that cannot sign gives its own error. */
int dev_check_signature(EVP_PKEY *key, X509 *leaf);

#endif
