/* What a chain must be before it is installed: judged by bytes and clock alone, no file and no TPM (the TPM
 * appears only as an EVP_PKEY that signs). */
#ifndef DEV_CHECK_H
#define DEV_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

/* One reason why the CN must be a certain plant. Borrowed. */
struct dev_expected {
    const char *plant;  /* NULL or "": this reason does not apply */
    const char *source; /* for the message: "the configured plant" */
};

/* Trust anchors as the user gives them: self-signed CA certificates, each of them. PC_EREFUSED
 * "install-anchor". */
int dev_check_anchors(const STACK_OF(X509) * anchors);

/* When the last of the anchors ends, in seconds; 0 when that cannot be told. */
int64_t dev_check_anchors_end(const STACK_OF(X509) * anchors);

/* The leaf (chain[0]) against anchors, dates, profile (pki_profile_device, exactly) and every plant expected.
 * `now` in seconds; a clock behind notBefore is no fault, and the chain is judged no earlier than the leaf's
 * notBefore. PC_EREFUSED: "chain-…" of pki_chain_verify, "install-dates", "install-order", "install-profile",
 * "install-cn", and "plant-missing" when nothing is expected. */
int dev_check_chain(const STACK_OF(X509) * chain, const STACK_OF(X509) * anchors,
                    const struct dev_expected *expected, size_t count, int64_t now);

/* A live signature: `key` signs fresh random bytes, the certificate's public key verifies them. PC_EREFUSED
 * "install-signature" when it does not; a key that cannot sign gives its own error. */
int dev_check_signature(EVP_PKEY *key, X509 *leaf);

#endif
