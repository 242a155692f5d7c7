/* One connection to a broker, from the TCP connection to CONNACK, by libmosquitto over a TLS context of our
 * own: keys stay in memory, and alerts are seen. */
#include "src/mqtt/probe.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <openssl/err.h>

#include "src/base/error.h"
#include "src/pki/openssl.h"

#define TURN 200     /* ms; the longest wait before the deadline is looked at */
#define KEEPALIVE 60 /* s */

PC_DEFINE_CLEANUP(SSL_CTX, SSL_CTX_free);
PC_DEFINE_CLEANUP(struct mosquitto, mosquitto_destroy);

/* What has been heard so far. */
struct hearing {
    bool trusted; /* the broker's own certificate holds */
    bool answered;
    int untrusted; /* X509_V_ERR_…, when it does not */
    int alert;     /* the last fatal one from the broker; -1: none */
    int reason;    /* of CONNACK */
};

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct hearing *hearing_of(const SSL *ssl)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

static int on_certificate(int fine, X509_STORE_CTX *context)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct hearing *heard = hearing_of(ssl);
    if (!fine)
        heard->untrusted = X509_STORE_CTX_get_error(context);
    else if (X509_STORE_CTX_get_error_depth(context) == 0)
        heard->trusted = true;
    return fine;
}

/* After a TLS 1.3 handshake the refusal comes as an alert on an open connection (RFC 8446 §4.4.2.4). */
static void on_event(const SSL *ssl, int where, int value)
{
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && value >> 8 == SSL3_AL_FATAL)
        hearing_of(ssl)->alert = value & 0xff;
}

static void on_connack(struct mosquitto *client, void *context, int reason)
{
    struct hearing *heard = context;
    (void)client;
    heard->answered = true;
    heard->reason = reason;
}

/* Name or address must stand in the broker's certificate (RFC 6125 §6.4). */
static bool expect_host(SSL_CTX *tls, const char *host)
{
    X509_VERIFY_PARAM *rules = SSL_CTX_get0_param(tls);
    X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool fine =
        X509_VERIFY_PARAM_set1_ip_asc(rules, host) == 1 || X509_VERIFY_PARAM_set1_host(rules, host, 0) == 1;
    ERR_clear_error(); /* of the first attempt */
    return fine;
}

static int tls_new(const struct mqtt_probe *probe, struct hearing *heard, SSL_CTX **ret)
{
    PC_CLEANUP(SSL_CTX_free_ref) SSL_CTX *tls = SSL_CTX_new_ex(probe->libctx, NULL, TLS_client_method());
    if (!tls || SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1 || !expect_host(tls, probe->host))
        return pc_fail_openssl(PC_EFAIL, "TLS");
    for (int i = 0; i < sk_X509_num(probe->anchors); i++)
        if (X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), sk_X509_value(probe->anchors, i)) != 1)
            return pc_fail_openssl(PC_EFAIL, "trust anchor of the broker");
    if (SSL_CTX_use_certificate(tls, probe->certificate) != 1 || SSL_CTX_use_PrivateKey(tls, probe->key) != 1)
        return pc_fail_openssl(PC_EFAIL, "certificate and key of the probe");
    for (int i = 0; probe->chain && i < sk_X509_num(probe->chain); i++)
        if (SSL_CTX_add1_chain_cert(tls, sk_X509_value(probe->chain, i)) != 1)
            return pc_fail_openssl(PC_EFAIL, "chain of the probe");
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, on_certificate);
    SSL_CTX_set_info_callback(tls, on_event);
    SSL_CTX_set_app_data(tls, heard);
    *ret = pc_steal(tls);
    return 0;
}

static int client_new(const struct mqtt_probe *probe, SSL_CTX *tls, struct hearing *heard,
                      struct mosquitto **ret)
{
    PC_CLEANUP(mosquitto_destroy_ref) struct mosquitto *client = mosquitto_new(probe->client_id, true, heard);
    if (!client ||
        mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5) != MOSQ_ERR_SUCCESS ||
        mosquitto_int_option(client, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0) != MOSQ_ERR_SUCCESS ||
        mosquitto_void_option(client, MOSQ_OPT_SSL_CTX, tls) != MOSQ_ERR_SUCCESS)
        return pc_fail(PC_EFAIL, "MQTT client cannot be made");
    mosquitto_connect_callback_set(client, on_connack);
    *ret = pc_steal(client);
    return 0;
}

static int unreachable(const struct mqtt_probe *probe, const char *why)
{
    return pc_fail_named(PC_EUNREACH, "broker-unreachable", "broker %s:%u: %s", probe->host, probe->port,
                         why);
}

/* What a connection that ended without CONNACK tells. */
static int judge_end(const struct mqtt_probe *probe, const struct hearing *heard, int error, char text[256])
{
    if (heard->untrusted)
        return pc_fail_named(PC_EUNREACH, "broker-certificate",
                             "broker %s:%u: its certificate does not hold: %s", probe->host, probe->port,
                             X509_verify_cert_error_string(heard->untrusted));
    if (!heard->trusted)
        return unreachable(probe, error == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(error));
    if (heard->alert >= 0)
        snprintf(text, 256, "TLS alert: %s", SSL_alert_desc_string_long(heard->alert));
    else
        snprintf(text, 256, "closed without CONNACK");
    return 0;
}

static int judge_connack(const struct mqtt_probe *probe, int reason, enum mqtt_answer *ret, char text[256])
{
    const char *said = mosquitto_reason_string(reason);
    if (reason == MQTT_RC_SERVER_UNAVAILABLE || reason == MQTT_RC_SERVER_BUSY)
        return unreachable(probe, said);
    snprintf(text, 256, "CONNACK %d: %s", reason, said);
    *ret = reason == MQTT_RC_SUCCESS ? MQTT_ACCEPTED : MQTT_REFUSED;
    return 0;
}

/* Whether somebody listens there; 0 or an errno. */
static int try_address(const struct addrinfo *address, int64_t until)
{
    pc_autoclose int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    int64_t left = until - milliseconds();
    int error = ETIMEDOUT;
    socklen_t len = sizeof error;
    if (left > 0 && poll(&ready, 1, (int)left) == 1)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error;
}

/* The first address of the host that answers: libmosquitto's own attempt, which has no time limit, is spared
 * those that do not. */
static int find_address(const struct mqtt_probe *probe, int64_t until, char ret[NI_MAXHOST])
{
    char port[6];
    struct addrinfo *addresses = NULL;
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    snprintf(port, sizeof port, "%u", probe->port);
    int error = getaddrinfo(probe->host, port, &wanted, &addresses);
    if (error)
        return unreachable(probe, gai_strerror(error));
    error = ETIMEDOUT;
    for (const struct addrinfo *at = addresses; at && error && milliseconds() < until; at = at->ai_next) {
        error = try_address(at, until);
        if (error == 0 &&
            getnameinfo(at->ai_addr, at->ai_addrlen, ret, NI_MAXHOST, NULL, 0, NI_NUMERICHOST) != 0)
            error = EADDRNOTAVAIL;
    }
    freeaddrinfo(addresses);
    return error ? unreachable(probe, strerror(error)) : 0;
}

/* From the TCP connection to an answer, an end, or the deadline. */
static int converse(const struct mqtt_probe *probe, struct mosquitto *client, struct hearing *heard,
                    enum mqtt_answer *ret, char text[256])
{
    int64_t until = milliseconds() + (int64_t)probe->timeout * 1000, left;
    char address[NI_MAXHOST];
    int r = find_address(probe, until, address);
    if (r < 0)
        return r;
    int error = mosquitto_connect(client, address, probe->port, KEEPALIVE);
    while (error == MOSQ_ERR_SUCCESS && !heard->answered) {
        left = until - milliseconds();
        if (left <= 0)
            return unreachable(probe, "no answer in time");
        error = mosquitto_loop(client, left < TURN ? (int)left : TURN, 1);
    }
    if (heard->answered) {
        if (heard->reason == MQTT_RC_SUCCESS && mosquitto_disconnect(client) == MOSQ_ERR_SUCCESS)
            (void)mosquitto_loop(client, 0, 1); /* a good-bye that does not get through changes nothing */
        return judge_connack(probe, heard->reason, ret, text);
    }
    r = judge_end(probe, heard, error, text);
    if (r == 0)
        *ret = MQTT_REFUSED;
    return r;
}

int mqtt_probe(const struct mqtt_probe *probe, enum mqtt_answer *ret, char ret_text[256])
{
    struct hearing heard = {.alert = -1};
    enum mqtt_answer answer = MQTT_REFUSED;
    char text[256] = "";
    PC_CLEANUP(SSL_CTX_free_ref) SSL_CTX *tls = NULL;
    int r = tls_new(probe, &heard, &tls);
    if (r < 0)
        return r;
    if (mosquitto_lib_init() != MOSQ_ERR_SUCCESS)
        return pc_fail(PC_EFAIL, "libmosquitto cannot begin");
    {
        PC_CLEANUP(mosquitto_destroy_ref) struct mosquitto *client = NULL;
        r = client_new(probe, tls, &heard, &client);
        if (r == 0)
            r = converse(probe, client, &heard, &answer, text);
    }
    mosquitto_lib_cleanup();
    ERR_clear_error();
    if (r < 0)
        return r;
    *ret = answer;
    memcpy(ret_text, text, sizeof text);
    return 0;
}
