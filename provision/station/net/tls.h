/* TLS towards the clients: one context for newcomers, replaced whenever certificate or trust change; who is
 * connected keeps the one that was met. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <openssl/ssl.h>

#include "src/base/memory.h"

struct net_tls;
int net_tls_new(struct net_tls **ret);
void net_tls_free(struct net_tls *tls);
PC_DEFINE_CLEANUP(struct net_tls, net_tls_free);

/* Leaf first. Copied (counted up). */
int net_tls_set_certificate(struct net_tls *tls, const STACK_OF(X509) * chain, EVP_PKEY *key);
/* The CAs whose client certificates are taken; until the first call clients are not asked for one. */
int net_tls_set_trust(struct net_tls *tls, const STACK_OF(X509) * anchors);
/* PC_EFAIL before the first certificate. Owned by the caller. */
int net_tls_session(struct net_tls *tls, SSL **ret);

/* A fresh P-256 key, and the request (DER) by which a certificate is asked for it: the name that all stations
 * have, and no wish. */
int net_tls_key(EVP_PKEY **ret_key, struct pc_bytes *ret_csr);

#endif
