/* Connections: their records, deadlines, and who goes when there is no room. */
#include "provision/station/net/connection.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <event2/buffer.h>
#include <event2/listener.h>

#include "src/base/error.h"

#define SWEEP 250 /* milliseconds */
#define BURST                                                                                                \
    64 /* sockets beyond the limit, open for a moment: a newcomer is let in before another one goes */
#define LISTENERS_MAX 16
#define LAST_CHANCE 5000 /* milliseconds that a first request is waited for while draining */
#define PATIENCE 1000    /* milliseconds */
#define RECORDS_MAX                                                                                          \
    32 /* in a row that bring nothing: KeyUpdates, alerts, renegotiations that are refused                   \
        */

struct net_connections {
    struct net_service *service;
    struct net_connection_list in[NET_STATES]; /* each by rising `since` */
    size_t counts[NET_STATES];
    void *addresses;
    uint64_t drained_at; /* 0: not draining */
    struct event *settle, *sweep;
    struct evhttp_bound_socket *listeners[LISTENERS_MAX];
    size_t listener_count;
};

static int record_index = -1;

static size_t limit(const struct net_connections *all)
{
    return all->service->settings->limits.connections;
}

size_t net_connections_in(const struct net_connections *all, enum net_state state)
{
    return all->counts[state];
}

size_t net_connections_count(const struct net_connections *all)
{
    size_t count = 0;
    for (size_t i = 0; i < NET_STATES; i++)
        count += all->counts[i];
    return count;
}

/* --- one record --- */

static void leave(struct net_connection *c)
{
    TAILQ_REMOVE(&c->all->in[c->state], c, in_state);
    c->all->counts[c->state]--;
}

static void enter(struct net_connection *c, enum net_state state)
{
    c->state = state;
    c->since = net_clock();
    TAILQ_INSERT_TAIL(&c->all->in[state], c, in_state);
    c->all->counts[state]++;
}

static void change(struct net_connection *c, enum net_state state)
{
    if (c->state == NET_CLOSING)
        return;
    leave(c);
    enter(c, state);
}

static void forget(void *parent, void *record, CRYPTO_EX_DATA *data, int index, long number, void *pointer)
{
    struct net_connection *c = record;
    (void)parent, (void)data, (void)index, (void)number, (void)pointer;
    if (!c)
        return;
    struct net_connections *all = c->all;
    if (c->state <= NET_SHAKING)
        all->service->counters.handshakes_failed++;
    leave(c);
    if (c->address) {
        TAILQ_REMOVE(&c->address->connections, c, of_address);
        net_address_drop(&all->addresses, c->address);
    }
    free(c);
    event_active(all->settle, EV_TIMEOUT, 0);
}

struct net_connection *net_connection_of(const SSL *ssl)
{
    return SSL_get_ex_data(ssl, record_index);
}

/* What was decrypted, before evhttp reads it. */
static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct net_connection *c = arg;
    const struct net_limits *limits = &c->all->service->settings->limits;
    struct evbuffer_ptr at;
    struct evbuffer_iovec piece;
    if (info->n_added == 0)
        return;
    c->records = 0;
    if (c->state == NET_WAITING)
        change(c, NET_READING);
    c->octets += info->n_added;
    if (c->octets > (size_t)limits->header_bytes + limits->body_bytes + 1024) {
        if (c->state != NET_CLOSING)
            c->all->service->counters.turned[NET_FLOOD]++;
        net_connection_close(c);
    }
    if (c->state != NET_READING || c->screen.at == NET_SCREEN_BODY)
        return;
    size_t offset = evbuffer_get_length(input) - info->n_added;
    for (size_t left = info->n_added; left > 0; left -= piece.iov_len, offset += piece.iov_len) {
        evbuffer_ptr_set(input, &at, offset, EVBUFFER_PTR_SET);
        if (evbuffer_peek(input, (ev_ssize_t)left, &at, &piece, 1) < 1)
            return;
        if (piece.iov_len > left)
            piece.iov_len = left;
        net_screen_read(&c->screen, piece.iov_base, piece.iov_len);
    }
}

int net_connection_new(struct net_connections *all, SSL *ssl, struct bufferevent *bev)
{
    struct net_connection *c = calloc(1, sizeof *c);
    if (!c || !SSL_set_ex_data(ssl, record_index, c)) {
        free(c);
        return pc_fail(PC_EFAIL, "out of memory for a connection");
    }
    *c = (struct net_connection){.all = all, .ssl = ssl, .bev = bev};
    enter(c, NET_OPENED);
    all->service->counters.accepted++;
    evbuffer_add_cb(bufferevent_get_input(bev), on_input, c);
    event_active(all->settle, EV_TIMEOUT, 0);
    if (net_connections_count(all) >= limit(all) + BURST)
        for (size_t i = 0; i < all->listener_count; i++)
            evconnlistener_disable(evhttp_bound_socket_get_listener(all->listeners[i]));
    return 0;
}

void net_connection_answering(struct net_connection *c)
{
    change(c, NET_ANSWERING);
    c->octets = 0;
}

void net_connection_replied(struct net_connection *c)
{
    size_t waiting = evbuffer_get_length(bufferevent_get_input(c->bev));
    c->screen = (struct net_screen){0};
    c->octets = waiting;
    c->served = true;
    if (waiting > 0)
        c->screen.fault = "octets behind a request, before its reply";
    change(c, waiting > 0 ? NET_READING : NET_WAITING);
    if (c->all->service->draining)
        net_connection_close(c);
}

/* The socket is shut, not closed: evhttp then meets its end, and frees what is its own. What still waits in
 * the socket is not read any more. */
void net_connection_close(struct net_connection *c)
{
    if (c->state == NET_CLOSING)
        return;
    if (c->state <= NET_SHAKING)
        c->all->service->counters.handshakes_failed++;
    change(c, NET_CLOSING);
    SSL_set_shutdown(c->ssl, SSL_RECEIVED_SHUTDOWN);
    shutdown(SSL_get_fd(c->ssl), SHUT_RDWR);
}

/* --- all of them --- */

static void turn_away(struct net_connection *c, enum net_turned why)
{
    c->all->service->counters.turned[why]++;
    net_connection_close(c);
}

/* Who goes first: who has asked nothing for longest, and, PATIENCE later than they, who has begun a request
 * and does not end it; else whoever begins many such keeps all others out. */
static uint64_t turn_of(const struct net_connection *c)
{
    if (c->state == NET_WAITING || c->state == NET_SHAKING)
        return c->since;
    return c->state == NET_READING ? c->since + PATIENCE : UINT64_MAX;
}

static struct net_connection *earlier(struct net_connection *a, struct net_connection *b)
{
    if (!a || !b)
        return a ? a : b;
    return turn_of(a) <= turn_of(b) ? a : b;
}

static struct net_connection *idlest(const struct net_connections *all)
{
    struct net_connection *found =
        earlier(TAILQ_FIRST(&all->in[NET_WAITING]), TAILQ_FIRST(&all->in[NET_SHAKING]));
    found = earlier(found, TAILQ_FIRST(&all->in[NET_READING]));
    return found && turn_of(found) <= net_clock() ? found : NULL;
}

/* Never NULL: the newcomer is one of them. */
static struct net_connection *idlest_of(const struct net_address *address)
{
    struct net_connection *c, *found = NULL;
    TAILQ_FOREACH(c, &address->connections, of_address)
    found = earlier(found, c);
    return found;
}

/* A newcomer's address is known once it has its socket. */
static void settle_one(struct net_connections *all, struct net_connection *c)
{
    change(c, NET_SHAKING);
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof from;
    unsigned most = all->service->settings->limits.per_address;
    if (getpeername(SSL_get_fd(c->ssl), (struct sockaddr *)(void *)&from, &len) != 0 ||
        !(c->address = net_address_take(&all->addresses, &from))) {
        net_connection_close(c);
        return;
    }
    TAILQ_INSERT_TAIL(&c->address->connections, c, of_address);
    net_address_text(&from, c->from);
    unsigned closing = 0;
    struct net_connection *other;
    if (most == 0 || c->address->count <= most)
        return;
    TAILQ_FOREACH(other, &c->address->connections, of_address)
    closing += other->state == NET_CLOSING;
    if (c->address->count - closing > most)
        turn_away(idlest_of(c->address), NET_ADDRESS);
}

void net_connection_shaken(const SSL *ssl)
{
    struct net_connection *c = net_connection_of(ssl);
    if (c && c->state == NET_OPENED)
        settle_one(c->all, c);
    if (c && c->state == NET_SHAKING)
        change(c, NET_WAITING);
}

void net_connection_record(const SSL *ssl)
{
    struct net_connection *c = net_connection_of(ssl);
    if (c && c->state > NET_SHAKING && c->state != NET_CLOSING && ++c->records > RECORDS_MAX)
        turn_away(c, NET_FLOOD);
}

static void admit(struct net_connections *all)
{
    bool room = net_connections_count(all) < limit(all) + BURST && !all->service->draining;
    for (size_t i = 0; room && i < all->listener_count; i++)
        evconnlistener_enable(evhttp_bound_socket_get_listener(all->listeners[i]));
}

static void settle(evutil_socket_t fd, short what, void *arg)
{
    struct net_connections *all = arg;
    struct net_connection *c;
    (void)fd, (void)what;
    while ((c = TAILQ_FIRST(&all->in[NET_OPENED])))
        settle_one(all, c);
    while (net_connections_count(all) - all->counts[NET_CLOSING] > limit(all) && (c = idlest(all)))
        turn_away(c, NET_FULL);
    admit(all);
}

static void sweep(evutil_socket_t fd, short what, void *arg)
{
    struct net_connections *all = arg;
    const struct net_limits *limits = &all->service->settings->limits;
    const struct {
        unsigned seconds;
        enum net_turned why;
    } deadlines[] = {
        [NET_OPENED] = {limits->handshake, NET_HANDSHAKE},
        [NET_SHAKING] = {limits->handshake, NET_HANDSHAKE},
        [NET_WAITING] = {limits->idle, NET_IDLE},
        [NET_READING] = {limits->request, NET_SLOW},
        [NET_ANSWERING] = {limits->answer + limits->request, NET_SLOW},
    };
    uint64_t now = net_clock();
    struct net_connection *c;
    (void)fd, (void)what;
    for (size_t i = 0; i < sizeof deadlines / sizeof *deadlines; i++)
        while ((c = TAILQ_FIRST(&all->in[i])) && now - c->since >= UINT64_C(1000) * deadlines[i].seconds)
            turn_away(c, deadlines[i].why);
    while (all->drained_at && (c = TAILQ_FIRST(&all->in[NET_WAITING])) &&
           now - (c->since > all->drained_at ? c->since : all->drained_at) >= LAST_CHANCE)
        net_connection_close(c);
    admit(all);
}

int net_connections_new(struct net_service *service, struct net_connections **ret)
{
    PC_CLEANUP(net_connections_free_ref) struct net_connections *all = calloc(1, sizeof *all);
    const struct timeval often = {.tv_usec = SWEEP * 1000};
    if (record_index < 0)
        record_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, forget);
    if (!all || record_index < 0)
        return pc_fail(PC_EFAIL, "out of memory");
    all->service = service;
    for (size_t i = 0; i < NET_STATES; i++)
        TAILQ_INIT(&all->in[i]);
    all->settle = event_new(service->base, -1, 0, settle, all);
    all->sweep = event_new(service->base, -1, EV_PERSIST, sweep, all);
    if (!all->settle || !all->sweep || event_add(all->sweep, &often) != 0)
        return pc_fail(PC_EFAIL, "out of memory");
    *ret = pc_steal(all);
    return 0;
}

void net_connections_free(struct net_connections *all)
{
    if (!all)
        return;
    if (all->settle)
        event_free(all->settle);
    if (all->sweep)
        event_free(all->sweep);
    free(all);
}

/* No socket to be had on this machine: the listener, which would try at once again, rests until the next
 * sweep. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    (void)arg;
    evconnlistener_disable(listener);
}

void net_connections_listen(struct net_connections *all, struct evhttp_bound_socket *listener)
{
    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(listener), on_accept_error);
    if (all->listener_count < LISTENERS_MAX)
        all->listeners[all->listener_count++] = listener;
}

/* Whoever has had a reply may be told at any time that there is no other; what it has sent by then is yet
 * read. Whoever has had none was let in, and has a moment to say why it came (sweep). */
void net_connections_drain(struct net_connections *all)
{
    struct net_connection *c, *next;
    for (size_t i = 0; i < all->listener_count; i++)
        evhttp_del_accept_socket(all->service->http, all->listeners[i]);
    all->listener_count = 0;
    all->drained_at = net_clock();
    for (c = TAILQ_FIRST(&all->in[NET_WAITING]); c; c = next) {
        int unread = 0;
        next = TAILQ_NEXT(c, in_state);
        if (c->served && (ioctl(SSL_get_fd(c->ssl), FIONREAD, &unread) != 0 || unread == 0))
            net_connection_close(c);
    }
}
