/* The TLS session as a value that both ends know, by which a request is linked to it (RFC 7030 §3.5). */
#ifndef EST_BINDING_H
#define EST_BINDING_H

#include <openssl/ssl.h>

#include "src/base/memory.h"

#define EST_BINDING_TEXT 65 /* base64 of at most 48 bytes, and its NUL */

/* Base64 of the session's value, as challengePassword carries it: under TLS 1.3 the exporter
 * "EXPORTER-Channel-Binding" of 32 bytes (RFC 9266 §2), under TLS 1.2 tls-unique (RFC 5929 §3.1): the
 * client's Finished of the first handshake of this connection, which needs renegotiation and resumption to be
 * off. PC_EFAIL while the handshake is not complete, or the session was resumed. */
int est_binding(SSL *ssl, char ret[EST_BINDING_TEXT]);

#endif
