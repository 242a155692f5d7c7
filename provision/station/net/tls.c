/* TLS 1.2 and 1.3 without anything that outlives its connection: no tickets, no cache, no renegotiation. */
#include "provision/station/net/tls.h"

#include <stdlib.h>
#include <string.h>

#include "provision/station/net/connection.h"
#include "provision/station/wire/wire.h"
#include "src/base/error.h"
#include "src/pki/openssl.h"

#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20" /* TLS 1.2: forward secrecy and AEAD only (RFC 9325 §4.2) */
#define GROUPS "X25519:P-256:P-384"
#define DEPTH 5
#define CHAIN_BYTES 32768 /* of a client's certificates: what one handshake may make us hold */

struct net_tls {
    SSL_CTX *context; /* NULL until there is a certificate */
    STACK_OF(X509) * chain, *anchors;
    EVP_PKEY *key;
};

PC_DEFINE_CLEANUP(SSL_CTX, SSL_CTX_free);

int net_tls_new(struct net_tls **ret)
{
    struct net_tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        return pc_fail(PC_EFAIL, "out of memory");
    *ret = tls;
    return 0;
}

static void free_chain(STACK_OF(X509) * chain)
{
    sk_X509_pop_free(chain, X509_free);
}

void net_tls_free(struct net_tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->context);
    free_chain(tls->chain);
    free_chain(tls->anchors);
    EVP_PKEY_free(tls->key);
    free(tls);
}

/* An expired leaf passes: how long after its end a certificate may still re-enrol is the signer's to say.
 * Everything else ends the handshake. */
static int judge(int verified, X509_STORE_CTX *context)
{
    if (verified)
        return 1;
    if (X509_STORE_CTX_get_error(context) != X509_V_ERR_CERT_HAS_EXPIRED ||
        X509_STORE_CTX_get_error_depth(context) != 0)
        return 0;
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
}

static void on_progress(const SSL *ssl, int where, int result)
{
    (void)result;
    if (where & SSL_CB_HANDSHAKE_DONE)
        net_connection_shaken(ssl);
}

static void on_message(int written, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
    (void)version, (void)data, (void)len, (void)arg;
    if (!written && type == SSL3_RT_HEADER)
        net_connection_record(ssl);
}

static void set_options(SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    /* The chain is put together once (has_chain), and not at each handshake. */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    /* Else one SSL_read goes on for as long as a client sends records without data in them, and nobody else's
     * turn comes. */
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_info_callback(context, on_progress);
    SSL_CTX_set_msg_callback(context, on_message);
    SSL_CTX_set_verify_depth(context, DEPTH);
    SSL_CTX_set_max_cert_list(context, CHAIN_BYTES);
}

static bool has_certificate(SSL_CTX *context, const STACK_OF(X509) * chain, EVP_PKEY *key)
{
    static const unsigned char id[] = "plantca";
    char groups[] = GROUPS;
    if (!SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) ||
        !SSL_CTX_set_cipher_list(context, CIPHERS) || !SSL_CTX_set1_groups_list(context, groups) ||
        !SSL_CTX_set_num_tickets(context, 0) || !SSL_CTX_set_max_early_data(context, 0) ||
        !SSL_CTX_set_session_id_context(context, id, sizeof id - 1) ||
        !SSL_CTX_use_certificate(context, sk_X509_value(chain, 0)) || !SSL_CTX_use_PrivateKey(context, key) ||
        !SSL_CTX_check_private_key(context))
        return false;
    for (int i = 1; i < sk_X509_num(chain); i++)
        if (!SSL_CTX_add1_chain_cert(context, sk_X509_value(chain, i)))
            return false;
    return true;
}

static bool has_trust(SSL_CTX *context, const STACK_OF(X509) * anchors)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    for (int i = 0; i < sk_X509_num(anchors); i++) {
        X509 *anchor = sk_X509_value(anchors, i);
        if (!X509_STORE_add_cert(store, anchor) || !SSL_CTX_add_client_CA(context, anchor))
            return false;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, judge);
    return true;
}

/* What is sent: from the certificate up, as far as it is known, in order. The root is the client's to have
 * (RFC 8446 §4.4.2). */
static bool has_chain(SSL_CTX *context)
{
    return SSL_CTX_build_cert_chain(context, SSL_BUILD_CHAIN_FLAG_UNTRUSTED | SSL_BUILD_CHAIN_FLAG_NO_ROOT |
                                                 SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR |
                                                 SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR) > 0;
}

/* Takes over chain, anchors and key (each may be NULL: what there is) if a context can be made of them. */
static int change(struct net_tls *tls, STACK_OF(X509) * chain, EVP_PKEY *key, STACK_OF(X509) * anchors)
{
    PC_CLEANUP(SSL_CTX_free_ref) SSL_CTX *context = NULL;
    const STACK_OF(X509) *new_chain = chain ? chain : tls->chain, *trust = anchors ? anchors : tls->anchors;
    if (new_chain && !(context = SSL_CTX_new(TLS_server_method())))
        return pc_fail_openssl(PC_EFAIL, "no TLS");
    if (context) {
        set_options(context);
        if (!has_certificate(context, new_chain, key ? key : tls->key) ||
            (trust && !has_trust(context, trust)) || !has_chain(context))
            return pc_fail_openssl(PC_EFAIL, "TLS cannot be set up");
        SSL_CTX_free(tls->context);
        tls->context = pc_steal(context);
    }
    if (chain) {
        free_chain(tls->chain);
        EVP_PKEY_free(tls->key);
        tls->chain = chain;
        tls->key = key;
    }
    if (anchors) {
        free_chain(tls->anchors);
        tls->anchors = anchors;
    }
    return 0;
}

static int copy_chain(const STACK_OF(X509) * chain, STACK_OF(X509) * *ret)
{
    *ret = X509_chain_up_ref((STACK_OF(X509) *)(uintptr_t)chain);
    return *ret ? 0 : pc_fail(PC_EFAIL, "out of memory");
}

int net_tls_set_certificate(struct net_tls *tls, const STACK_OF(X509) * chain, EVP_PKEY *key)
{
    STACK_OF(X509) * copy;
    int r = copy_chain(chain, &copy);
    if (r < 0)
        return r;
    EVP_PKEY_up_ref(key);
    r = change(tls, copy, key, NULL);
    if (r < 0) {
        free_chain(copy);
        EVP_PKEY_free(key);
    }
    return r;
}

int net_tls_set_trust(struct net_tls *tls, const STACK_OF(X509) * anchors)
{
    STACK_OF(X509) * copy;
    int r = copy_chain(anchors, &copy);
    if (r < 0)
        return r;
    r = change(tls, NULL, NULL, copy);
    if (r < 0)
        free_chain(copy);
    return r;
}

int net_tls_session(struct net_tls *tls, SSL **ret)
{
    SSL *ssl = tls->context ? SSL_new(tls->context) : NULL;
    if (!ssl)
        return pc_fail_openssl(PC_EFAIL, "no TLS session");
    *ret = ssl;
    return 0;
}

int net_tls_key(EVP_PKEY **ret_key, struct pc_bytes *ret_csr)
{
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *key = EVP_EC_gen("P-256");
    PC_CLEANUP(X509_REQ_free_ref) X509_REQ *request = X509_REQ_new();
    if (!key || !request || !X509_REQ_set_version(request, X509_REQ_VERSION_1) ||
        !X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(request), NID_commonName, MBSTRING_ASC,
                                    (const unsigned char *)WIRE_STATION_CN, -1, -1, 0) ||
        !X509_REQ_set_pubkey(request, key) || !X509_REQ_sign(request, key, EVP_sha256()))
        return pc_fail_openssl(PC_EFAIL, "no key for the server's certificate");
    unsigned char *der = NULL;
    int len = i2d_X509_REQ(request, &der);
    int r = len > 0 ? pc_bytes_copy(der, (size_t)len, ret_csr)
                    : pc_fail_openssl(PC_EFAIL, "no request for the server's certificate");
    OPENSSL_free(der);
    if (r == 0)
        *ret_key = pc_steal(key);
    return r;
}
