/* GET /metrics. Few connections, short ones: whoever is on this host cannot take the clients' sockets. */
#include "provision/station/net/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

#include "provision/station/net/connection.h"
#include "provision/station/net/known.h"
#include "provision/station/net/link.h"
#include "src/base/error.h"
#include "src/base/time.h"

#define READERS 32 /* at once */
#define LIFE 3     /* seconds of one connection */
#define HEADER_BYTES 4096

struct net_metrics {
    struct net_service *service;
    struct evhttp *http;
    struct evconnlistener *listener;
    struct event *second; /* passes */
    TAILQ_HEAD(, reader) readers;
    unsigned count;
};

struct reader {
    TAILQ_ENTRY(reader) next;
    struct net_metrics *metrics;
    struct bufferevent *bev; /* a reference of our own */
    struct event *end;
};

/* --- the text --- */

static const char *const outcome_names[WIRE_OUTCOMES] = {
    [WIRE_DONE] = "issued",           [WIRE_PENDING] = "pending",         [WIRE_BAD] = "bad_request",
    [WIRE_UNKNOWN] = "not_admitted",  [WIRE_FORBIDDEN] = "refused",       [WIRE_NOWHERE] = "no_label",
    [WIRE_FAILED] = "failed",         [WIRE_UNAVAILABLE] = "unavailable", [WIRE_CODE_ASKED] = "code_asked",
    [WIRE_CODE_WRONG] = "code_wrong",
};
static const char *const turned_names[NET_TURNED] = {
    [NET_FULL] = "connections", [NET_ADDRESS] = "per_address", [NET_HANDSHAKE] = "handshake",
    [NET_SLOW] = "request",     [NET_IDLE] = "idle",           [NET_FLOOD] = "octets",
    [NET_BUSY] = "questions",   [NET_LATE] = "answer",         [NET_AWAY] = "signer",
};
static const char *const state_names[NET_STATES] = {
    [NET_OPENED] = "opened",   [NET_SHAKING] = "handshake",   [NET_WAITING] = "idle",
    [NET_READING] = "reading", [NET_ANSWERING] = "answering", [NET_CLOSING] = "closing",
};

static void head(struct evbuffer *out, const char *name, const char *type, const char *help)
{
    evbuffer_add_printf(out, "# HELP plantca_%s %s\n# TYPE plantca_%s %s\n", name, help, name, type);
}

static void one(struct evbuffer *out, const char *name, const char *type, const char *help, long long value)
{
    head(out, name, type, help);
    evbuffer_add_printf(out, "plantca_%s %lld\n", name, value);
}

static void write_own(struct evbuffer *out, const struct net_service *service)
{
    static const char *const operations[] = {
        [WIRE_ENROL] = "simpleenroll", [WIRE_REENROL] = "simplereenroll"};
    const struct net_counters *counters = &service->counters;
    head(out, "enrolments_total", "counter", "Enrolments answered, by operation and outcome.");
    for (size_t i = 0; i <= WIRE_REENROL; i++)
        for (size_t j = 0; j < WIRE_OUTCOMES; j++)
            evbuffer_add_printf(out, "plantca_enrolments_total{operation=\"%s\",outcome=\"%s\"} %llu\n",
                                operations[i], outcome_names[j],
                                (unsigned long long)counters->outcomes[i][j]);
    head(out, "limits_hit_total", "counter", "Connections closed and requests put off, by the limit.");
    for (size_t i = 0; i < NET_TURNED; i++)
        evbuffer_add_printf(out, "plantca_limits_hit_total{limit=\"%s\"} %llu\n", turned_names[i],
                            (unsigned long long)counters->turned[i]);
    head(out, "replies_total", "counter", "HTTP replies, by the class of their status.");
    for (size_t i = 2; i < 6; i++)
        evbuffer_add_printf(out, "plantca_replies_total{class=\"%zuxx\"} %llu\n", i,
                            (unsigned long long)counters->replies[i]);
    head(out, "connections", "gauge", "Connections open, by state.");
    for (enum net_state i = 0; i < NET_STATES; i++)
        evbuffer_add_printf(out, "plantca_connections{state=\"%s\"} %zu\n", state_names[i],
                            net_connections_in(service->connections, i));
    one(out, "connections_accepted_total", "counter", "Connections accepted.", (long long)counters->accepted);
    one(out, "handshakes_failed_total", "counter", "Connections that ended before their handshake did.",
        (long long)counters->handshakes_failed);
    one(out, "signer_questions", "gauge", "Questions at the signer, not answered yet.",
        (long long)net_link_questions(service->link));
    one(out, "signer_up", "gauge", "Whether the signer is connected.", net_link_is_up(service->link));
}

static void write_signing(struct evbuffer *out, const struct wire_health *health)
{
    head(out, "signing_seconds", "histogram", "Time of one signature in the token.");
    for (size_t i = 0; i < WIRE_HEALTH_LE; i++)
        evbuffer_add_printf(out, "plantca_signing_seconds_bucket{le=\"%g\"} %llu\n",
                            wire_health_bounds[i] / 1e6, (unsigned long long)health->signing_le[i]);
    evbuffer_add_printf(out,
                        "plantca_signing_seconds_bucket{le=\"+Inf\"} %llu\n"
                        "plantca_signing_seconds_sum %g\nplantca_signing_seconds_count %llu\n",
                        (unsigned long long)health->signing_count, (double)health->signing_us / 1e6,
                        (unsigned long long)health->signing_count);
}

static void write_health(struct evbuffer *out, const struct wire_health *health)
{
    int64_t now = pc_now();
    one(out, "token_up", "gauge", "Whether the token signs.", health->token);
    one(out, "ledger_up", "gauge", "Whether the ledger is there.", health->ledger);
    one(out, "signer_started_timestamp_seconds", "gauge", "When the signer started.", health->started_at);
    one(out, "issued_total", "counter", "Certificates issued by the signer.", (long long)health->issued);
    one(out, "reenrolled_total", "counter", "Of these, by re-enrolment.", (long long)health->reenrolled);
    one(out, "given_again_total", "counter", "Current certificates given again.",
        (long long)health->given_again);
    one(out, "refused_total", "counter", "Enrolments refused by the signer.", (long long)health->refused);
    one(out, "failed_total", "counter", "Enrolments that failed at the signer.", (long long)health->failed);
    one(out, "pending", "gauge", "Requests that wait for an operator.", (long long)health->waiting);
    one(out, "signer_queue", "gauge", "Questions in work at the signer.", (long long)health->queue);
    if (health->crl_this_update)
        one(out, "crl_age_seconds", "gauge", "Age of the CRL.", now - health->crl_this_update);
    if (health->crl_next_update)
        one(out, "crl_remaining_seconds", "gauge", "Time until the CRL ends.", health->crl_next_update - now);
    if (health->horizon) {
        head(out, "horizon_days", "gauge", "Days on which a full-term certificate can still be issued.");
        evbuffer_add_printf(out, "plantca_horizon_days %.2f\n",
                            (double)(health->horizon - now) / (double)PC_DAY);
    }
    write_signing(out, health);
}

static void on_request(struct evhttp_request *request, void *arg)
{
    const struct net_metrics *metrics = arg;
    const struct wire_health *health = net_known_health(metrics->service->known);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    bool found = strcmp(evhttp_request_get_uri(request), "/metrics") == 0;
    struct evbuffer *out = evbuffer_new();
    evhttp_add_header(headers, "Connection", "close");
    if (found && out) {
        evhttp_add_header(headers, "Content-Type", "text/plain; version=0.0.4");
        write_own(out, metrics->service);
        if (health)
            write_health(out, health);
    }
    evhttp_send_reply(request, found ? HTTP_OK : HTTP_NOTFOUND, found ? "OK" : "Not Found", out);
    if (out)
        evbuffer_free(out);
}

/* --- the readers --- */

/* Its place is free, and the socket closed at last, when its time is over: evhttp tells nobody when it has
 * done with a connection. */
static void end_reader(struct reader *reader)
{
    struct net_metrics *metrics = reader->metrics;
    TAILQ_REMOVE(&metrics->readers, reader, next);
    shutdown(bufferevent_getfd(reader->bev), SHUT_RDWR);
    bufferevent_decref(reader->bev);
    event_free(reader->end);
    free(reader);
    if (metrics->count-- == READERS && metrics->listener)
        evconnlistener_enable(metrics->listener);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    end_reader(arg);
}

/* NULL: evhttp makes a connection by itself, which is not counted; out of memory, that is all that is left to
 * do. */
static struct bufferevent *on_reader(struct event_base *base, void *arg)
{
    struct net_metrics *metrics = arg;
    struct reader *reader = calloc(1, sizeof *reader);
    struct bufferevent *bev = reader ? bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE) : NULL;
    struct event *end = bev ? event_new(base, -1, 0, on_end, reader) : NULL;
    const struct timeval life = {.tv_sec = LIFE};
    if (!end || event_add(end, &life) != 0) {
        if (end)
            event_free(end);
        if (bev)
            bufferevent_free(bev);
        free(reader);
        return NULL;
    }
    bufferevent_incref(bev);
    *reader = (struct reader){.metrics = metrics, .bev = bev, .end = end};
    TAILQ_INSERT_TAIL(&metrics->readers, reader, next);
    if (++metrics->count == READERS)
        evconnlistener_disable(metrics->listener);
    return bev;
}

/* No socket to be had on this machine: the listener, which would try at once again, rests for a moment. (The
 * argument is evhttp's.) */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    (void)arg;
    evconnlistener_disable(listener);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    struct net_metrics *metrics = arg;
    (void)fd, (void)what;
    if (metrics->count < READERS)
        evconnlistener_enable(metrics->listener);
}

int net_metrics_new(struct net_service *service, struct net_metrics **ret)
{
    PC_CLEANUP(net_metrics_free_ref) struct net_metrics *metrics = calloc(1, sizeof *metrics);
    const struct timeval second = {.tv_sec = 1};
    if (!metrics || !(metrics->http = evhttp_new(service->base)))
        return pc_fail(PC_EFAIL, "out of memory");
    metrics->service = service;
    TAILQ_INIT(&metrics->readers);
    evhttp_set_bevcb(metrics->http, on_reader, metrics);
    evhttp_set_gencb(metrics->http, on_request, metrics);
    evhttp_set_allowed_methods(metrics->http, EVHTTP_REQ_GET);
    evhttp_set_default_content_type(metrics->http, NULL);
    evhttp_set_max_headers_size(metrics->http, HEADER_BYTES);
    evhttp_set_max_body_size(metrics->http, 0);
    metrics->listener =
        evconnlistener_new(service->base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, service->settings->metrics);
    metrics->second = event_new(service->base, -1, EV_PERSIST, on_second, metrics);
    if (!metrics->second || event_add(metrics->second, &second) != 0 || !metrics->listener ||
        !evhttp_bind_listener(metrics->http, metrics->listener))
        return pc_fail(PC_EFAIL, "the metrics' listener cannot be served");
    evconnlistener_set_error_cb(metrics->listener, on_accept_error);
    *ret = pc_steal(metrics);
    return 0;
}

void net_metrics_free(struct net_metrics *metrics)
{
    struct reader *reader;
    if (!metrics)
        return;
    metrics->listener = NULL;
    if (metrics->second)
        event_free(metrics->second);
    if (metrics->http)
        evhttp_free(metrics->http);
    while (metrics->http && (reader = TAILQ_FIRST(&metrics->readers)))
        end_reader(reader);
    free(metrics);
}
