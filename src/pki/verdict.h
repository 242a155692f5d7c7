/* What OpenSSL's verdicts on a path are called here. Within src/pki only. */
#ifndef PKI_VERDICT_H
#define PKI_VERDICT_H

#include <openssl/x509.h>

/* The subject of a certificate, for messages; owned by the caller, NULL when it cannot be shown. */
char *pki_verdict_subject(const X509 *certificate);
/* After X509_verify_cert gave 0: PC_EREFUSED with the name that pki_chain_verify documents. */
int pki_verdict_refuse(X509_STORE_CTX *context);
/* The same, for who knows the leaf: it is not named, so that the text holds for others of its kind, too. */
int pki_verdict_refuse_leaf(X509_STORE_CTX *context);

#endif
