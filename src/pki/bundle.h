/* Bundles: files of several PEM blocks, as a broker's CA file and CRL file are. */
#ifndef PKI_BUNDLE_H
#define PKI_BUNDLE_H

#include <openssl/x509v3.h>

#include "src/base/memory.h"

#define PKI_BUNDLE_MAX 64 /* objects */

/* One to PKI_BUNDLE_MAX certificates, or CRLs, in the order of the file. As OpenSSL reads such files, text
 * around the blocks and blocks with other labels are passed over. PC_EREFUSED "bundle-parse", also when there
 * is none. */
int pki_bundle_certificates(const void *data, size_t len, STACK_OF(X509) * *ret);
int pki_bundle_crls(const void *data, size_t len, STACK_OF(X509_CRL) * *ret);

void pki_certificates_free(STACK_OF(X509) * certificates); /* with what they hold */
void pki_crls_free(STACK_OF(X509_CRL) * crls);

#endif
