/* The network service from start to end: what it opens, when it enters its sandbox, how it drains. */
#include "provision/station/net/net.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>

#include "provision/station/net/connection.h"
#include "provision/station/net/est.h"
#include "provision/station/net/known.h"
#include "provision/station/net/lines.h"
#include "provision/station/net/link.h"
#include "provision/station/net/metrics.h"
#include "provision/station/net/tls.h"
#include "src/base/error.h"
#include "src/base/log.h"

#define START 30        /* seconds that the signer is waited for */
#define START_GIVEN 2   /* ... where a certificate was given: for the CAs alone */
#define OWN_SOCKETS 256 /* descriptors that are no client's: listeners, log, signer, metrics, and a burst */

static int stop_fd = -1;
static volatile sig_atomic_t stopped;

uint64_t net_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void net_stop(void)
{
    static const uint64_t one = 1;
    int error = errno;
    stopped = 1;
    if (stop_fd >= 0 && write(stop_fd, &one, sizeof one) < 0) {
        /* full: it is told already */
    }
    errno = error;
}

/* --- the end --- */

static void finish(struct net_service *service)
{
    net_lines_tell(&service->lines);
    service->over = true;
    event_base_loopbreak(service->base);
}

static void on_drained(evutil_socket_t fd, short what, void *arg)
{
    struct net_service *service = arg;
    (void)fd;
    bool late = net_clock() >= service->drained_by;
    if (what & EV_TIMEOUT && (late || net_connections_count(service->connections) == 0))
        finish(service);
}

void net_drain(struct net_service *service, int result)
{
    const struct timeval often = {.tv_usec = 20 * 1000};
    if (service->draining)
        return;
    service->draining = true;
    service->result = result;
    const struct net_limits *limits = &service->settings->limits;
    service->drained_by = net_clock() + UINT64_C(1000) * (limits->request + limits->answer);
    net_connections_drain(service->connections);
    event_add(service->drained, &often);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    net_drain(arg, 0);
}

/* --- the beginning --- */

/* What libevent has to say goes where all goes, and it may hold what a client sent. */
static void on_library_log(int severity, const char *text)
{
    char line[256];
    (void)severity;
    snprintf(line, sizeof line, "%s", text);
    pki_name_disarm(line);
    pc_log(PC_LOG_DEBUG, "libevent: %s", line);
}

static void on_ready(struct net_service *service)
{
    service->ready = true;
    event_base_loopbreak(service->base);
}

static void on_link(void *arg)
{
    struct net_service *service = arg;
    net_known_ask(service->known);
}

/* A connection that is about to begin. NULL, out of memory: evhttp then reads plain HTTP (net_est_serve). */
static struct bufferevent *on_newcomer(struct event_base *base, void *arg)
{
    struct net_service *service = arg;
    SSL *ssl = NULL;
    struct bufferevent *bev = NULL;
    if (net_tls_session(service->tls, &ssl) == 0)
        bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (!bev) {
        SSL_free(ssl);
        return NULL;
    }
    if (net_connection_new(service->connections, ssl, bev) < 0) {
        bufferevent_free(bev);
        return NULL;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    bufferevent_setwatermark(bev, EV_READ, 0,
                             service->settings->limits.header_bytes + service->settings->limits.body_bytes);
    return bev;
}

/* As many sockets as the system gives; the clients get what is left of them. */
static unsigned sockets(unsigned wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t most = limit.rlim_cur > 2 * OWN_SOCKETS ? limit.rlim_cur - OWN_SOCKETS : OWN_SOCKETS;
    if (wanted <= most)
        return wanted;
    pc_log(PC_LOG_WARNING, "%u connections are more than the limit on open files allows: %u", wanted,
           (unsigned)most);
    return (unsigned)most;
}

static int listen_all(struct net_service *service)
{
    for (size_t i = 0; i < service->settings->listener_count; i++) {
        struct evconnlistener *listener =
            evconnlistener_new(service->base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE, 0,
                               service->settings->listeners[i]);
        struct evhttp_bound_socket *bound = listener ? evhttp_bind_listener(service->http, listener) : NULL;
        if (!bound)
            return pc_fail(PC_EFAIL, "a listener cannot be served");
        net_connections_listen(service->connections, bound);
    }
    return 0;
}

static int serve_http(struct net_service *service)
{
    const struct net_limits *limits = &service->settings->limits;
    service->http = evhttp_new(service->base);
    if (!service->http)
        return pc_fail(PC_EFAIL, "out of memory");
    evhttp_set_bevcb(service->http, on_newcomer, service);
    evhttp_set_gencb(service->http, net_est_serve, service);
    evhttp_set_allowed_methods(service->http, UINT16_MAX); /* 405 is ours to say */
    evhttp_set_default_content_type(service->http, NULL);
    evhttp_set_max_headers_size(service->http, limits->header_bytes);
    evhttp_set_max_body_size(service->http, limits->body_bytes);
    /* For one read or write each; the deadlines proper (connection.c) come first. */
    evhttp_set_timeout(service->http, (int)(limits->idle + limits->answer + limits->request));
    return 0;
}

static void release(struct net_service *service)
{
    if (service->http)
        evhttp_free(service->http);
    net_metrics_free(service->metrics);
    /* What was freed is gone after another turn of the loop. */
    for (int i = 0; service->base && i < 2; i++)
        event_base_loop(service->base, EVLOOP_NONBLOCK);
    net_link_free(service->link);
    net_known_free(service->known);
    if (service->drained)
        event_free(service->drained);
    if (service->stop)
        event_free(service->stop);
    net_connections_free(service->connections);
    net_tls_free(service->tls);
    if (service->base)
        event_base_free(service->base);
    if (stop_fd >= 0)
        close(stop_fd);
    stop_fd = -1;
    stopped = 0;
}

static int open_all(struct net_service *service)
{
    const struct net_settings *settings = service->settings;
    stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    service->base = event_base_new();
    if (stop_fd < 0 || !service->base)
        return pc_fail_errno(PC_EFAIL, "no event loop");
    service->stop = event_new(service->base, stop_fd, EV_READ, on_stop, service);
    service->drained = event_new(service->base, -1, EV_PERSIST, on_drained, service);
    if (!service->stop || !service->drained || event_add(service->stop, NULL) != 0)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = net_tls_new(&service->tls);
    if (r == 0 && settings->certificate)
        r = net_tls_set_certificate(service->tls, settings->certificate, settings->key);
    if (r == 0)
        r = net_connections_new(service, &service->connections);
    if (r == 0)
        r = net_known_new(service, on_ready, &service->known);
    if (r == 0)
        r = net_link_new(service, on_link, service, &service->link);
    if (r == 0 && stopped)
        net_stop();
    return r == 0 ? serve_http(service) : r;
}

static int wait_for_signer(struct net_service *service)
{
    bool given = service->settings->certificate;
    const struct timeval most = {.tv_sec = given ? START_GIVEN : START};
    event_base_loopexit(service->base, &most);
    while (!service->ready && !service->draining)
        if (event_base_dispatch(service->base) != 0 || event_base_got_exit(service->base))
            break;
    if (service->draining)
        return service->result;
    return service->ready || given ? 0 : pc_fail(PC_EUNREACH, "no signer answers");
}

static int run(struct net_service *service, int (*enter)(void *context), void *context)
{
    int r = wait_for_signer(service);
    if (r < 0 || service->draining)
        return r;
    if (service->settings->metrics >= 0)
        r = net_metrics_new(service, &service->metrics);
    if (r == 0 && enter)
        r = enter(context);
    if (r == 0)
        r = listen_all(service);
    if (r < 0)
        return r;
    pc_log(PC_LOG_NOTICE, "serving, at most %u connections", service->settings->limits.connections);
    while (!service->over)
        if (event_base_dispatch(service->base) != 0)
            return pc_fail(PC_EFAIL, "the event loop ended");
    return service->result;
}

int net_run(const struct net_settings *settings, int (*enter)(void *context), void *context)
{
    struct net_settings own = *settings;
    struct net_service PC_CLEANUP(release) service = {.settings = &own};
    signal(SIGPIPE, SIG_IGN);
    event_set_log_callback(on_library_log);
    own.limits.connections = sockets(settings->limits.connections);
    int r = open_all(&service);
    return r == 0 ? run(&service, enter, context) : r;
}
