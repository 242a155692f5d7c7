/* One connection to a broker, from its name to PUBACK, by libmosquitto over a TLS context of our own: keys
 * stay where they are, and what the broker says on the way is heard. What that means is for the callers. */
#include "src/mqtt/visit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <openssl/err.h>

#include "src/base/error.h"
#include "src/mqtt/address.h"
#include "src/pki/openssl.h"

#define TURN 200         /* ms; the longest wait before the deadline is looked at */
#define KEEPALIVE 60     /* s */
#define LISTEN 3000      /* ms; for an alert that the first attempt did not hear */
#define REFUSED 0x80     /* reasons from here on (MQTT 5 §2.4) */
#define MQTT_3_REFUSED 5 /* the last reason of MQTT 3.1.1's CONNACK (§3.2.2.3) */

PC_DEFINE_CLEANUP(SSL_CTX, SSL_CTX_free);
PC_DEFINE_CLEANUP(SSL, SSL_free);
PC_DEFINE_CLEANUP(struct mosquitto, mosquitto_destroy);

struct visit {
    const struct mqtt_probe *probe;
    const char *topic, *message;
    int64_t until;
    struct sockaddr_storage peer;
    socklen_t peer_len;
    int family;
    SSL_CTX *tls;
    bool trusted; /* the broker's own certificate holds */
    bool shaken;  /* hands, as far as we see it: TLS 1.3 brokers judge our certificate later */
    bool failed;  /* we ended the handshake ourselves */
    struct mqtt_report report;
};

void mqtt_report_clear(struct mqtt_report *report)
{
    X509_free(report->broker);
    report->broker = NULL;
}

const char *mqtt_alert_text(int alert)
{
    return SSL_alert_desc_string_long(alert);
}

const char *mqtt_reason_text(int reason)
{
    return reason >= 1 && reason <= MQTT_3_REFUSED ? mosquitto_connack_string(reason)
                                                   : mosquitto_reason_string(reason);
}

/* --- what is heard --- */

static struct visit *visit_of(const SSL *ssl)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

static void keep_certificate(struct mqtt_report *report, X509 *certificate)
{
    if (certificate && X509_up_ref(certificate) == 1) {
        X509_free(report->broker);
        report->broker = certificate;
    }
}

static int on_certificate(int fine, X509_STORE_CTX *context)
{
    struct visit *visit = visit_of(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
    bool leaf = X509_STORE_CTX_get_error_depth(context) == 0;
    if (!fine)
        visit->report.untrusted = X509_STORE_CTX_get_error(context);
    else if (leaf)
        visit->trusted = true;
    if (!fine || leaf)
        keep_certificate(&visit->report, X509_STORE_CTX_get_current_cert(context));
    return fine;
}

/* The name goes out as a client that was given it sends it, although libmosquitto is given an address; an
 * address does not (RFC 6066 §3). */
static void name_broker(SSL *ssl, const char *host)
{
    ASN1_OCTET_STRING *PC_CLEANUP(ASN1_OCTET_STRING_free_ref) octets = a2i_IPADDRESS(host);
    SSL_set_tlsext_host_name(ssl, octets ? NULL : (char *)(uintptr_t)host); /* copied */
    ERR_clear_error();
}

static void on_event(const SSL *ssl, int where, int value)
{
    struct visit *visit = visit_of(ssl);
    bool fatal = value >> 8 == SSL3_AL_FATAL;
    if (where & SSL_CB_HANDSHAKE_START && !visit->shaken)
        name_broker((SSL *)(uintptr_t)ssl, visit->probe->host);
    if (where & SSL_CB_HANDSHAKE_DONE) {
        visit->shaken = true;
        snprintf(visit->report.version, sizeof visit->report.version, "%s", SSL_get_version(ssl));
    }
    /* After a TLS 1.3 handshake the refusal comes as an alert on an open connection (RFC 8446 §4.4.2.4). */
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && fatal)
        visit->report.alert = value & 0xff;
    if ((where & SSL_CB_WRITE_ALERT) == SSL_CB_WRITE_ALERT && fatal)
        visit->failed = true;
}

/* The five octets that begin each record (RFC 8446 §5.1), if that is what came. */
static void on_record(int sent, int version, int type, const void *data, size_t len, SSL *ssl, void *context)
{
    struct mqtt_report *report = &((struct visit *)context)->report;
    const unsigned char *header = data;
    (void)version, (void)ssl;
    if (sent || type != SSL3_RT_HEADER || report->heard)
        return;
    report->heard = true;
    report->tls = len >= 2 && header[0] >= SSL3_RT_CHANGE_CIPHER_SPEC &&
                  header[0] <= SSL3_RT_APPLICATION_DATA && header[1] == SSL3_VERSION_MAJOR;
}

static void on_connack(struct mosquitto *client, void *context, int reason)
{
    (void)client;
    ((struct visit *)context)->report.connack = reason;
}

static void on_puback(struct mosquitto *client, void *context, int message, int reason,
                      const mosquitto_property *properties)
{
    (void)client, (void)message, (void)properties;
    ((struct visit *)context)->report.puback = reason;
}

/* --- the TLS context --- */

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

static int tls_new(struct visit *visit, SSL_CTX **ret)
{
    const struct mqtt_probe *probe = visit->probe;
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
    SSL_CTX_set_msg_callback(tls, on_record);
    SSL_CTX_set_msg_callback_arg(tls, visit);
    SSL_CTX_set_app_data(tls, visit);
    *ret = pc_steal(tls);
    return 0;
}

/* --- the way --- */

static void say(struct visit *visit, const char *text)
{
    snprintf(visit->report.text, sizeof visit->report.text, "%s", text);
}

static bool is_late(struct visit *visit)
{
    if (mqtt_now() < visit->until)
        return false;
    visit->report.late = true;
    say(visit, "no answer in time");
    return true;
}

/* The first address of the host that answers: libmosquitto's own attempt, which has no time limit, is spared
 * those that do not. */
static void find_address(struct visit *visit)
{
    struct mqtt_report *report = &visit->report;
    struct addrinfo *addresses = NULL;
    int error = mqtt_resolve(visit->probe->host, visit->probe->port, visit->until, &addresses);
    report->stage = MQTT_STAGE_NAME;
    if (error) {
        report->late = error == EAI_INPROGRESS;
        say(visit, report->late ? "no answer in time" : gai_strerror(error));
        return;
    }
    report->stage = MQTT_STAGE_TCP;
    int dialled = -ETIMEDOUT;
    for (const struct addrinfo *at = addresses; at && dialled < 0; at = at->ai_next) {
        /* A dead address must not use up the time of the next. */
        int64_t now = mqtt_now(), left = visit->until - now;
        dialled = mqtt_dial(at, at->ai_next ? now + left / 2 : visit->until);
        if (dialled >= 0 && getnameinfo(at->ai_addr, at->ai_addrlen, report->address, sizeof report->address,
                                        NULL, 0, NI_NUMERICHOST) == 0) {
            report->stage = MQTT_STAGE_TLS;
            visit->family = at->ai_family;
            visit->peer_len = at->ai_addrlen;
            memcpy(&visit->peer, at->ai_addr, at->ai_addrlen);
        }
    }
    freeaddrinfo(addresses);
    if (dialled >= 0) {
        close(dialled);
        return;
    }
    report->error = -dialled;
    report->late = dialled == -ETIMEDOUT;
    say(visit, strerror(-dialled));
}

static int client_new(struct visit *visit, struct mosquitto **ret)
{
    PC_CLEANUP(mosquitto_destroy_ref)
    struct mosquitto *client = mosquitto_new(visit->probe->client_id, true, visit);
    if (!client ||
        mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5) != MOSQ_ERR_SUCCESS ||
        mosquitto_int_option(client, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0) != MOSQ_ERR_SUCCESS ||
        mosquitto_void_option(client, MOSQ_OPT_SSL_CTX, visit->tls) != MOSQ_ERR_SUCCESS)
        return pc_fail(PC_EFAIL, "MQTT client cannot be made");
    mosquitto_connect_callback_set(client, on_connack);
    mosquitto_publish_v5_callback_set(client, on_puback);
    *ret = pc_steal(client);
    return 0;
}

/* Until `*answer` is there; otherwise the connection's end, or the deadline's, is told. */
static bool await(struct visit *visit, struct mosquitto *client, int error, const int *answer)
{
    while (error == MOSQ_ERR_SUCCESS && *answer == MQTT_NONE && !is_late(visit)) {
        int64_t left = visit->until - mqtt_now();
        error = mosquitto_loop(client, left < TURN ? (int)(left > 0 ? left : 0) : TURN, 1);
        /* libmosquitto goes on with a handshake that is over. */
        if (visit->report.alert != MQTT_NONE || visit->failed)
            break;
    }
    if (*answer != MQTT_NONE)
        return true;
    if (!visit->report.late)
        say(visit, error == MOSQ_ERR_ERRNO     ? strerror(errno)
                   : error == MOSQ_ERR_SUCCESS ? "the connection ended"
                                               : mosquitto_strerror(error));
    return false;
}

/* A reason, in words; false when it is a refusal. */
static bool take_reason(struct visit *visit, const char *packet, int reason)
{
    snprintf(visit->report.text, sizeof visit->report.text, "%s %d: %s", packet, reason,
             mqtt_reason_text(reason));
    return reason < REFUSED;
}

static void publish(struct visit *visit, struct mosquitto *client)
{
    struct mqtt_report *report = &visit->report;
    report->stage = MQTT_STAGE_PUBACK;
    int error = mosquitto_publish_v5(client, NULL, visit->topic, (int)strlen(visit->message), visit->message,
                                     1, false, NULL);
    if (await(visit, client, error, &report->puback) && take_reason(visit, "PUBACK", report->puback))
        report->stage = MQTT_STAGE_DONE;
}

static void converse(struct visit *visit, struct mosquitto *client)
{
    struct mqtt_report *report = &visit->report;
    errno = 0;
    int error = mosquitto_connect(client, report->address, visit->probe->port, KEEPALIVE);
    if (!await(visit, client, error, &report->connack))
        return;
    report->stage = MQTT_STAGE_CONNACK;
    /* Those of MQTT 3 are a refusal, all but 0. */
    if (!take_reason(visit, "CONNACK", report->connack) || report->connack != MQTT_RC_SUCCESS)
        return;
    report->stage = MQTT_STAGE_DONE;
    if (visit->topic)
        publish(visit, client);
    if (mosquitto_disconnect(client) == MOSQ_ERR_SUCCESS)
        (void)mosquitto_loop(client, 0, 1); /* a good-bye that does not get through changes nothing */
}

/* A TLS 1.3 broker closes after its alert; what we send meanwhile brings a reset, which libmosquitto meets
 * before it reads. So the handshake is made once more, and then only listened. */
static void listen_again(struct visit *visit)
{
    struct addrinfo peer = {.ai_family = visit->family,
                            .ai_addr = (struct sockaddr *)&visit->peer,
                            .ai_addrlen = visit->peer_len};
    int64_t until = mqtt_now() + LISTEN;
    pc_autoclose int fd = mqtt_dial(&peer, until);
    PC_CLEANUP(SSL_free_ref) SSL *ssl = SSL_new(visit->tls);
    if (fd < 0 || !ssl || SSL_set_fd(ssl, fd) != 1)
        return;
    while (visit->report.alert == MQTT_NONE) {
        char octet;
        ERR_clear_error();
        int result = SSL_is_init_finished(ssl) ? SSL_read(ssl, &octet, 1) : SSL_connect(ssl);
        int error = SSL_get_error(ssl, result);
        int64_t left = until - mqtt_now();
        struct pollfd ready = {.fd = fd, .events = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN};
        if (result <= 0 && ((error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) || left <= 0 ||
                            poll(&ready, 1, (int)left) != 1))
            return;
    }
}

/* Where a connection that brought no CONNACK ended. */
static void judge_end(struct visit *visit)
{
    struct mqtt_report *report = &visit->report;
    if (report->untrusted) {
        report->stage = MQTT_STAGE_TRUST;
        say(visit, X509_verify_cert_error_string(report->untrusted));
    } else if (visit->trusted && visit->failed) {
        report->stage = MQTT_STAGE_KEY;
    } else if (visit->trusted) {
        report->stage =
            visit->shaken && report->alert == MQTT_NONE ? MQTT_STAGE_CONNACK : MQTT_STAGE_IDENTITY;
    }
    if (report->alert != MQTT_NONE)
        snprintf(report->text, sizeof report->text, "TLS alert %d: %s", report->alert,
                 mqtt_alert_text(report->alert));
}

static int run(struct visit *visit)
{
    PC_CLEANUP(mosquitto_destroy_ref) struct mosquitto *client = NULL;
    int r = client_new(visit, &client);
    if (r < 0)
        return r;
    converse(visit, client);
    if (visit->report.stage > MQTT_STAGE_TLS)
        return 0;
    if (visit->shaken && !visit->report.late && visit->report.alert == MQTT_NONE)
        listen_again(visit);
    judge_end(visit);
    return 0;
}

int mqtt_visit(const struct mqtt_probe *probe, const char *topic, const char *message,
               struct mqtt_report *ret)
{
    struct visit visit = {
        .probe = probe,
        .topic = topic,
        .message = message,
        .until = mqtt_now() + (int64_t)probe->timeout * 1000,
        .report = {.alert = MQTT_NONE, .connack = MQTT_NONE, .puback = MQTT_NONE},
    };
    PC_CLEANUP(SSL_CTX_free_ref) SSL_CTX *tls = NULL;
    int r = tls_new(&visit, &tls);
    if (r < 0)
        return r;
    visit.tls = tls;
    find_address(&visit);
    if (visit.report.stage > MQTT_STAGE_TCP) {
        if (mosquitto_lib_init() != MOSQ_ERR_SUCCESS)
            return pc_fail(PC_EFAIL, "libmosquitto cannot begin");
        r = run(&visit);
        mosquitto_lib_cleanup();
    }
    ERR_clear_error();
    if (r < 0)
        mqtt_report_clear(&visit.report);
    else
        *ret = visit.report;
    return r;
}
