/* The EST server: judges a request's form, asks the signer, and gives its answer back. */
#include "provision/station/net/est.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/keyvalq_struct.h>

#include "provision/station/net/basic.h"
#include "provision/station/net/framing.h"
#include "provision/station/net/known.h"
#include "provision/station/net/lines.h"
#include "provision/station/net/link.h"
#include "provision/station/net/reply.h"
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/est/binding.h"
#include "src/est/body.h"
#include "src/pki/certificate.h"
#include "src/pki/openssl.h"

#define PREFIX "/.well-known/est/"
#define LABEL "device"

/* One request, while it is looked at. */
struct visit {
    struct net_service *service;
    struct evhttp_request *request;
    struct net_connection *connection;
    const char *label;
};

/* An enrolment at the signer. `request` is NULL once the client has gone. */
struct enrolment {
    struct net_service *service;
    struct evhttp_request *request;
    struct net_connection *connection;
    enum wire_kind kind;
    uint64_t since;
    char from[NET_ADDRESS_TEXT];
    char user[PKI_UUID_TEXT]; /* claimed */
};

static void send_reply(const struct visit *visit, const struct net_reply *reply)
{
    net_reply_send(visit->service, visit->connection, visit->request, reply);
}

static void refuse(const struct visit *visit, int status, const char *text)
{
    send_reply(visit, &(struct net_reply){.status = status, .text = text, .close = true});
}

/* 503, and another connection the next time: this one may have been made before the CAs were known. */
static void put_off(const struct visit *visit, enum net_turned why)
{
    visit->service->counters.turned[why]++;
    send_reply(visit, &(struct net_reply){.status = 503,
                                          .text = "the station cannot answer now",
                                          .retry_after = visit->service->settings->retry_after,
                                          .close = true});
}

/* --- what is known here --- */

static void give(const struct visit *visit, const char *type, const struct pc_bytes *body)
{
    if (!body)
        put_off(visit, NET_AWAY);
    else
        send_reply(visit, &(struct net_reply){.status = 200, .type = type, .body = body});
}

static void serve_cacerts(const struct visit *visit)
{
    give(visit, EST_TYPE_CACERTS, net_known_trust(visit->service->known, net_reply_wrapped(visit->request)));
}

static void serve_attributes(const struct visit *visit)
{
    give(visit, EST_TYPE_ATTRIBUTES,
         net_known_attributes(visit->service->known, net_reply_wrapped(visit->request)));
}

/* --- enrolments: the answer --- */

static const struct {
    int status;
    const char *word;
} outcomes[WIRE_OUTCOMES] = {
    [WIRE_DONE] = {200, "issued"},
    [WIRE_PENDING] = {202, "pending"},
    [WIRE_BAD] = {400, "bad request"},
    [WIRE_UNKNOWN] = {401, "not admitted"},
    [WIRE_FORBIDDEN] = {403, "refused"},
    [WIRE_NOWHERE] = {404, "no such label"},
    [WIRE_UNAVAILABLE] = {503, "put off"},
    [WIRE_FAILED] = {500, "failed"},
    [WIRE_CODE_ASKED] = {401, "asked for a code"},
    [WIRE_CODE_WRONG] = {401, "not admitted"},
};

static const char *operation_name(enum wire_kind kind)
{
    return kind == WIRE_ENROL ? "simpleenroll" : "simplereenroll";
}

/* One line an enrolment (lines.h). The plant is the one that the signer's certificate names; where there is
 * none, the one that the client claims to be. */
static void record(const struct enrolment *enrolment, const struct wire_answer *answer)
{
    const struct pc_bytes *leaf = &answer->certificates[0];
    pc_autofree char *plant = NULL;
    unsigned long long took = net_clock() - enrolment->since;
    if (answer->outcome == WIRE_DONE && pki_certificate_cn(leaf->data, leaf->len, &plant) == 0)
        pki_name_disarm(plant);
    bool claimed = !plant && *enrolment->user;
    char why[sizeof answer->rule + sizeof answer->text + 4];
    snprintf(why, sizeof why, "%s%s%s", answer->rule, *answer->rule && *answer->text ? ": " : "",
             answer->text);
    pc_log(PC_LOG_NOTICE, "%s from %s: %s%s%s%s%s, %llu ms", operation_name(enrolment->kind), enrolment->from,
           outcomes[answer->outcome].word,
           plant     ? " plant "
           : claimed ? " claimed plant "
                     : "",
           plant ? plant : enrolment->user, *why ? ", " : "", why, took);
}

static void give_certificate(const struct visit *visit, const struct wire_answer *answer)
{
    pc_autobytes der = {0}, text = {0};
    int r = est_certs_build(answer->certificates, answer->count, &der);
    if (r == 0)
        r = est_body_encode(&der, net_reply_wrapped(visit->request), &text);
    if (r < 0) {
        pc_log(PC_LOG_WARNING, "a reply cannot be made: %s", pc_error_text());
        refuse(visit, 500, NULL);
        return;
    }
    send_reply(visit, &(struct net_reply){.status = 200, .type = EST_TYPE_CERTS, .body = &text});
}

static void on_closed(struct evhttp_connection *evcon, void *arg)
{
    struct enrolment *enrolment = arg;
    (void)evcon;
    enrolment->request = NULL;
}

static void on_answer(const struct wire_answer *answer, enum net_turned why, void *arg)
{
    pc_autofree struct enrolment *enrolment = arg;
    const struct visit visit = {enrolment->service, enrolment->request, enrolment->connection, ""};
    bool given = answer && answer->outcome == WIRE_DONE;
    bool line = given || net_lines_take(&enrolment->service->lines);
    if (answer)
        enrolment->service->counters.outcomes[enrolment->kind][answer->outcome]++;
    if (line && answer) {
        record(enrolment, answer);
    } else if (line) {
        pc_log(PC_LOG_NOTICE, "%s from %s: put off, %s", operation_name(enrolment->kind), enrolment->from,
               why == NET_LATE ? "no answer of the signer in time" : "the signer is gone");
    }
    if (!enrolment->request)
        return;
    evhttp_connection_set_closecb(evhttp_request_get_connection(enrolment->request), NULL, NULL);
    if (!answer) {
        put_off(&visit, why);
    } else if (answer->outcome == WIRE_DONE) {
        give_certificate(&visit, answer);
    } else {
        bool wait = answer->outcome == WIRE_PENDING || answer->outcome == WIRE_UNAVAILABLE;
        unsigned told = answer->retry_after ? answer->retry_after : enrolment->service->settings->retry_after;
        char text[sizeof answer->rule + sizeof answer->text + 2] = "";
        /* Who has shown a plant's certificate may know by which rule: its next step depends on that. */
        bool named = answer->outcome == WIRE_FORBIDDEN && enrolment->kind == WIRE_REENROL && *answer->rule;
        snprintf(text, sizeof text, "%s%s%s", named ? answer->rule : "", named ? ": " : "", answer->text);
        send_reply(&visit, &(struct net_reply){.status = outcomes[answer->outcome].status,
                                               .text = text,
                                               .retry_after = wait ? told : 0});
    }
}

/* --- enrolments: the question --- */

static bool is_pkcs10(const char *type)
{
    size_t len = sizeof EST_TYPE_REQUEST - 1;
    return type && strncasecmp(type, EST_TYPE_REQUEST, len) == 0 &&
           (type[len] == '\0' || type[len] == ';' || type[len] == ' ');
}

/* Takes user and code out of the header, and wipes it there. */
static int take_code(struct evhttp_request *request, struct wire_question *question)
{
    struct evkeyval *header;
    int r = 0;
    TAILQ_FOREACH(header, evhttp_request_get_input_headers(request), next)
    {
        if (strcasecmp(header->key, "Authorization") != 0)
            continue;
        if (question->kind == WIRE_ENROL)
            r = net_basic_parse(header->value, question->user, &question->code);
        explicit_bzero(header->value, strlen(header->value));
    }
    return r;
}

static int take_session(SSL *ssl, struct wire_question *question)
{
    const X509 *certificate = SSL_get0_peer_certificate(ssl);
    if (est_binding(ssl, question->binding) < 0)
        *question->binding = '\0';
    return certificate ? pki_certificate_der(certificate, &question->certificate) : 0;
}

static int take_body(struct evhttp_request *request, struct wire_question *question)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    return est_body_decode(evbuffer_pullup(input, -1), evbuffer_get_length(input), &question->csr);
}

static void ask(const struct visit *visit, struct wire_question *question)
{
    enum net_turned why = NET_AWAY;
    struct enrolment *enrolment = calloc(1, sizeof *enrolment);
    if (!enrolment) {
        put_off(visit, NET_AWAY);
        return;
    }
    *enrolment = (struct enrolment){.service = visit->service,
                                    .request = visit->request,
                                    .connection = visit->connection,
                                    .kind = question->kind,
                                    .since = net_clock()};
    memcpy(enrolment->from, visit->connection->from, sizeof enrolment->from);
    memcpy(enrolment->user, question->user, sizeof enrolment->user);
    int r = net_link_ask(visit->service->link, question, on_answer, enrolment, &why);
    if (r == 0) {
        evhttp_connection_set_closecb(evhttp_request_get_connection(visit->request), on_closed, enrolment);
        return;
    }
    free(enrolment);
    if (r == PC_EUSAGE)
        refuse(visit, 400, "a request longer than any");
    else
        put_off(visit, why);
}

static void serve_enrolment(const struct visit *visit, enum wire_kind kind)
{
    struct wire_question PC_CLEANUP(wire_question_clear) question = {.kind = kind};
    SSL *ssl = visit->connection->ssl;
    snprintf(question.label, sizeof question.label, "%s", visit->label);
    snprintf(question.from, sizeof question.from, "%s", visit->connection->from);
    if (!is_pkcs10(evhttp_find_header(evhttp_request_get_input_headers(visit->request), "Content-Type"))) {
        refuse(visit, 415, "Content-Type is not " EST_TYPE_REQUEST);
    } else if (take_body(visit->request, &question) < 0) {
        refuse(visit, 400, "the body is no base64");
    } else if (take_code(visit->request, &question) < 0) {
        bool user = strcmp(pc_error_name(), "basic-user") == 0;
        if (net_lines_take(&visit->service->lines))
            pc_log(PC_LOG_NOTICE, "%s from %s: %s, %s", operation_name(kind), visit->connection->from,
                   user ? "not admitted" : "bad request", pc_error_text());
        send_reply(visit, &(struct net_reply){.status = user ? 401 : 400, .close = true});
    } else if (take_session(ssl, &question) < 0 ||
               (kind == WIRE_REENROL && SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE)) {
        put_off(visit, NET_AWAY);
    } else {
        ask(visit, &question);
    }
}

static void serve_simpleenroll(const struct visit *visit)
{
    serve_enrolment(visit, WIRE_ENROL);
}

static void serve_simplereenroll(const struct visit *visit)
{
    serve_enrolment(visit, WIRE_REENROL);
}

/* --- what there is, and nothing else --- */

static const struct operation {
    const char *name;
    enum evhttp_cmd_type method;
    const char *allow;
    void (*serve)(const struct visit *visit);
} operations[] = {
    {"cacerts", EVHTTP_REQ_GET, "GET", serve_cacerts},
    {"csrattrs", EVHTTP_REQ_GET, "GET", serve_attributes},
    {"simpleenroll", EVHTTP_REQ_POST, "POST", serve_simpleenroll},
    {"simplereenroll", EVHTTP_REQ_POST, "POST", serve_simplereenroll},
};

/* The path as it was sent: no decoding, no query, no second slash. */
static const struct operation *find(const char *path, const char **ret_label)
{
    if (strncmp(path, PREFIX, sizeof PREFIX - 1) != 0)
        return NULL;
    path += sizeof PREFIX - 1;
    *ret_label = "";
    if (strncmp(path, LABEL "/", sizeof LABEL) == 0) {
        path += sizeof LABEL;
        *ret_label = LABEL;
    }
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (strcmp(path, operations[i].name) == 0)
            return &operations[i];
    return NULL;
}

void net_est_serve(struct evhttp_request *request, void *arg)
{
    struct net_service *service = arg;
    struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(request));
    const SSL *ssl = bufferevent_openssl_get_ssl(bev);
    if (!ssl) { /* memory for TLS was wanting */
        evhttp_send_error(request, HTTP_SERVUNAVAIL, NULL);
        return;
    }
    struct visit visit = {service, request, net_connection_of(ssl), ""};
    const char *fault = visit.connection->screen.fault;
    net_connection_answering(visit.connection);
    if (!fault)
        fault = net_framing_fault(request, net_framing_behind(bufferevent_get_input(bev)));
    if (fault) {
        refuse(&visit, 400, fault);
        return;
    }
    const struct operation *operation = find(evhttp_request_get_uri(request), &visit.label);
    if (!operation)
        refuse(&visit, 404, NULL);
    else if (evhttp_request_get_command(request) != operation->method)
        send_reply(&visit, &(struct net_reply){.status = 405, .allow = operation->allow, .close = true});
    else
        operation->serve(&visit);
}
