/* Who is connected, in which state and since when. evhttp's own time-outs are for one read each; what is held
 * here is a deadline for the whole of it. A record lives as long as its SSL. */
#ifndef NET_CONNECTION_H
#define NET_CONNECTION_H

#include <event2/bufferevent.h>
#include <openssl/ssl.h>

#include "provision/station/net/address.h"
#include "provision/station/net/screen.h"
#include "provision/station/net/service.h"

enum net_state {
    NET_OPENED,    /* address not yet known */
    NET_SHAKING,   /* handshake not done */
    NET_WAITING,   /* between requests */
    NET_READING,   /* a request has begun */
    NET_ANSWERING, /* a request is whole, its reply not yet taken */
    NET_CLOSING,   /* shut; gone as soon as evhttp notices */
    NET_STATES,
};

struct net_connection {
    TAILQ_ENTRY(net_connection) in_state, of_address;
    struct net_connections *all;
    SSL *ssl; /* borrowed: it owns us */
    struct bufferevent *bev;
    enum net_state state;
    uint64_t since; /* net_clock() at the beginning of the state */
    struct net_address *address;
    char from[NET_ADDRESS_TEXT];
    size_t octets;    /* of this request, or beside this reply */
    bool served;      /* a reply has been given */
    unsigned records; /* of TLS, since the last octet that they brought */
    struct net_screen screen;
};

int net_connections_new(struct net_service *service, struct net_connections **ret);
void net_connections_free(struct net_connections *all); /* after the last SSL */
PC_DEFINE_CLEANUP(struct net_connections, net_connections_free);
/* One more listener that is stopped while there is no room, and closed by the drain. */
void net_connections_listen(struct net_connections *all, struct evhttp_bound_socket *listener);

/* A record for a connection that is about to get its socket. */
int net_connection_new(struct net_connections *all, SSL *ssl, struct bufferevent *bev);
struct net_connection *net_connection_of(const SSL *ssl);
void net_connection_shaken(const SSL *ssl); /* the handshake is done */
void net_connection_record(const SSL *ssl); /* a record has come, whatever it holds */
/* The request is whole: what came so far is all that may come. */
void net_connection_answering(struct net_connection *connection);
void net_connection_replied(struct net_connection *connection);
void net_connection_close(struct net_connection *connection);

size_t net_connections_count(const struct net_connections *all);
size_t net_connections_in(const struct net_connections *all, enum net_state state);
void net_connections_drain(struct net_connections *all); /* no newcomers; see connection.c */

#endif
