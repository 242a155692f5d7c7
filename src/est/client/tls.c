/* TLS of the EST client: the server is judged by the pinned anchors and by nothing that libcurl or the system
 * would trust, the client shows its certificate, and the session's value is noted for the request. */
#include <openssl/err.h>

#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/est/client/exchange.h"
#include "src/pki/chain.h"
#include "src/pki/name.h"
#include "src/pki/openssl.h"

#define SHOWN_MAX 300 /* bytes of names that a certificate has */

static bool named(X509 *leaf, const char *host)
{
    const unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
    ASN1_OCTET_STRING *PC_CLEANUP(ASN1_OCTET_STRING_free_ref) address = a2i_IPADDRESS(host);
    ERR_clear_error();
    return address ? X509_check_ip_asc(leaf, host, 0) == 1 : X509_check_host(leaf, host, 0, flags, NULL) == 1;
}

/* Which names it does have, so that one of them can go into the URL. Others chose them. */
static int refuse_name(X509 *leaf, const char *host)
{
    pc_autofree char *text = NULL;
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    bool some = sk_GENERAL_NAME_num(names) > 0 && pki_san_format(names, &text) == 0;
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    if (!some)
        return pc_refuse("station-certificate", "it does not name %s, nor anything (RFC 6125 §6.4)", host);
    pki_name_disarm(text);
    return pc_refuse("station-certificate", "it does not name %s, but %.*s%s (RFC 6125 §6.4)", host,
                     SHOWN_MAX, text, strlen(text) > SHOWN_MAX ? "..." : "");
}

/* Who made it, and whom it was held against. */
static int tell_issuer(const STACK_OF(X509) * chain, const char *anchors)
{
    pc_autofree char *issuer = NULL;
    if (pki_name_format(X509_get_issuer_name(sk_X509_value(chain, sk_X509_num(chain) - 1)), &issuer) == 0)
        pki_name_disarm(issuer);
    return pc_refuse("station-certificate", "%s; it was issued by %.*s, and trusted are the CAs of %s",
                     pc_error_text(), SHOWN_MAX, issuer ? issuer : "?", anchors ? anchors : "this PLC");
}

/* The whole verdict on the server (RFC 6125 §6, RFC 5280 §6), in the place of OpenSSL's own and its store. */
static int judge(X509_STORE_CTX *context, void *argument)
{
    struct est_client *client = argument;
    const struct pki_chain_rules rules = {
        .anchors = client->options.anchors,
        .at = client->options.at,
        .ignore_not_yet = client->options.clock_unknown,
        .purpose = X509_PURPOSE_SSL_SERVER,
    };
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(context);
    int r = pki_chain_verify(chain, &rules);
    if (r < 0 && strcmp(pc_error_name(), "chain-anchor") == 0 && sk_X509_num(chain) > 0)
        r = tell_issuer(chain, client->options.anchors_name);
    if (r == 0 && !named(X509_STORE_CTX_get0_cert(context), client->host))
        r = refuse_name(X509_STORE_CTX_get0_cert(context), client->host);
    if (r < 0)
        snprintf(client->untrusted, sizeof client->untrusted, "%s", pc_error_text());
    X509_STORE_CTX_set_error(context, r == 0 ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
    return r == 0;
}

static void on_event(const SSL *ssl, int where, int value)
{
    struct est_client *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    /* A ticket after the handshake is told as one, too (RFC 8446 §4.6.1). */
    if ((where & SSL_CB_HANDSHAKE_DONE) && client->fresh) {
        client->fresh = false;
        if (est_binding((SSL *)(uintptr_t)ssl, client->binding) < 0)
            client->binding[0] = '\0';
    }
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && value >> 8 == SSL3_AL_FATAL)
        client->alert = value & 0xff;
}

static bool show_identity(SSL_CTX *tls, const struct est_client_options *options)
{
    if (!options->certificate)
        return true;
    if (SSL_CTX_use_certificate(tls, options->certificate) != 1 ||
        SSL_CTX_use_PrivateKey(tls, options->key) != 1)
        return false;
    for (int i = 0; options->chain && i < sk_X509_num(options->chain); i++)
        if (SSL_CTX_add1_chain_cert(tls, sk_X509_value(options->chain, i)) != 1)
            return false;
    return true;
}

CURLcode est_tls_begin(CURL *easy, void *context, void *argument)
{
    struct est_client *client = argument;
    SSL_CTX *tls = context;
    (void)easy;
    client->binding[0] = '\0';
    if (client->bound) {
        client->lost = true;
        return CURLE_ABORTED_BY_CALLBACK;
    }
    client->fresh = true;
    SSL_CTX_set_app_data(tls, client);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(tls, judge, client);
    SSL_CTX_set_info_callback(tls, on_event);
    SSL_CTX_set_keylog_callback(tls, NULL); /* libcurl's, where the environment has SSLKEYLOGFILE */
    /* tls-unique is the first handshake's Finished only without these two (RFC 5929 §3.1). */
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    if (show_identity(tls, &client->options))
        return CURLE_OK;
    pc_fail_openssl(PC_EFAIL, "certificate and key");
    snprintf(client->words, sizeof client->words, "%s", pc_error_text());
    return CURLE_SSL_CERTPROBLEM;
}
