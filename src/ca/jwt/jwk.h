/* JSON Web Keys of RSA public keys, and base64url. */
#ifndef CA_JWT_JWK_H
#define CA_JWT_JWK_H

#include <jansson.h>
#include <openssl/evp.h>

#include "src/base/memory.h"

#define JWK_KID_TEXT 44 /* 43 characters of base64url, with NUL */

/* RFC 4648 §5 without padding; owned by the caller, NULL when out of memory. */
char *jwk_base64url(const void *data, size_t len);
/* The thumbprint (RFC 7638 §3). */
int jwk_kid(const EVP_PKEY *key, char ret[JWK_KID_TEXT]);
/* {kty, n, e, kid, alg, use} (RFC 7517 §4, RFC 7518 §6.3.1); owned by the caller. */
int jwk_json(const EVP_PKEY *key, json_t **ret);
/* One line of JSON, keys sorted; takes `value` over, which may be NULL (out of memory). */
int jwk_text(json_t *value, struct pc_bytes *ret);

#endif
