/* The value that binds a request to its TLS session. Only the session's own ends can know it, so a request
 * that carries it was made for this session, whoever else may pass it on. */
#include "src/est/binding.h"

#include <string.h>

#include <openssl/evp.h>

#include "src/base/error.h"

#define EXPORTER "EXPORTER-Channel-Binding" /* RFC 9266 §2; no context */
#define EXPORTED 32                         /* bytes, RFC 9266 §2 */

/* The client's, whichever end asks: the first Finished of a full handshake (RFC 5929 §3.1). */
static size_t client_finished(const SSL *ssl, unsigned char *ret, size_t size)
{
    return SSL_is_server(ssl) ? SSL_get_peer_finished(ssl, ret, size) : SSL_get_finished(ssl, ret, size);
}

int est_binding(SSL *ssl, char ret[EST_BINDING_TEXT])
{
    unsigned char value[(EST_BINDING_TEXT - 1) / 4 * 3];
    size_t len = EXPORTED;

    if (!SSL_is_init_finished(ssl))
        return pc_fail(PC_EFAIL, "TLS handshake is not complete");
    if (SSL_session_reused(ssl))
        return pc_fail(PC_EFAIL, "TLS session was resumed: the server's Finished came first (RFC 5929 §3.1)");
    switch (SSL_version(ssl)) {
    case TLS1_3_VERSION:
        if (SSL_export_keying_material(ssl, value, len, EXPORTER, strlen(EXPORTER), NULL, 0, 0) != 1)
            return pc_fail_openssl(PC_EFAIL, "TLS exporter");
        break;
    case TLS1_2_VERSION:
        len = client_finished(ssl, value, sizeof value);
        if (len == 0 || len > sizeof value)
            return pc_fail(PC_EFAIL, "TLS session has a Finished of %zu bytes", len);
        break;
    default:
        return pc_fail(PC_EFAIL, "%s has no value to bind to", SSL_get_version(ssl));
    }
    EVP_EncodeBlock((unsigned char *)ret, value, (int)len);
    return 0;
}
