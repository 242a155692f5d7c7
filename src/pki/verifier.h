/* What a broker will say: leaves judged under one set of CA certificates and CRLs by mosquitto's rules. */
#ifndef PKI_VERIFIER_H
#define PKI_VERIFIER_H

#include <stdint.h>

#include <openssl/x509v3.h>

#include "src/base/memory.h"
#include "src/pki/certificate.h"

struct pki_verifier;

/* Built once for a CA file and a CRL file, whose objects are shared, not copied; they must not be changed
 * afterwards. `crls` NULL: the broker checks none, as mosquitto without a crlfile, or with one that it cannot
 * read. */
int pki_verifier_new(const STACK_OF(X509) * anchors, const STACK_OF(X509_CRL) * crls,
                     struct pki_verifier **ret);
void pki_verifier_free(struct pki_verifier *verifier);
PC_DEFINE_CLEANUP(struct pki_verifier, pki_verifier_free);

/* One full verification, CRL signature included, as mosquitto 2.0.11 makes it with Debian's OpenSSL: purpose
 * sslclient, security level 2, X509_V_FLAG_CRL_CHECK on the leaf alone, all dates at `at` (seconds). Nothing
 * but the leaf comes from the client. 0, or PC_EREFUSED with the names of pki_chain_verify ("chain-revoked",
 * "chain-crl", …). May be called by several threads at once. */
int pki_verifier_judge(const struct pki_verifier *verifier, X509 *leaf, int64_t at);

/* Whether the CRL lists this serial number, whatever else it says: for the many after one full verification.
 * The first call sorts the CRL's entries (under OpenSSL's lock); several threads may ask at once. */
bool pki_crl_lists(X509_CRL *crl, const struct pki_serial *serial);

#endif
