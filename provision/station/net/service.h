/* The network service as its files see it: who is connected, what the signer said, what was counted. One
 * thread, one event loop; nothing here is for other rooms. */
#ifndef NET_SERVICE_H
#define NET_SERVICE_H

#include <event2/event.h>
#include <event2/http.h>

#include "provision/station/net/net.h"
#include "provision/station/wire/wire.h"

/* Why a connection or a request was turned away before anyone was asked. */
enum net_turned {
    NET_FULL,      /* closed for a newcomer, idle longest */
    NET_ADDRESS,   /* as that, of one address */
    NET_HANDSHAKE, /* no handshake in time */
    NET_SLOW,      /* no whole request in time, or a reply not taken */
    NET_IDLE,      /* nothing asked in time */
    NET_FLOOD,     /* sent more than a request may hold */
    NET_BUSY,      /* 503: too many questions at the signer */
    NET_LATE,      /* 503: no answer in time */
    NET_AWAY,      /* 503: no signer */
    NET_TURNED,    /* how many */
};

struct net_counters {
    uint64_t accepted, handshakes_failed;
    uint64_t turned[NET_TURNED];
    uint64_t replies[6];                                /* by the first digit of the status */
    uint64_t outcomes[WIRE_REENROL + 1][WIRE_OUTCOMES]; /* simpleenroll, simplereenroll */
};

/* Lines of the log for what nobody had to prove anything for: so many a minute. */
struct net_lines {
    uint64_t since; /* net_clock() when this minute began */
    unsigned written, left_out;
};

struct net_service {
    const struct net_settings *settings;
    struct event_base *base;
    struct evhttp *http;
    struct net_connections *connections;
    struct net_link *link;
    struct net_known *known;
    struct net_tls *tls;
    struct net_metrics *metrics;
    struct net_counters counters;
    struct net_lines lines;
    struct event *stop, *drained;
    bool ready, draining, over;
    uint64_t drained_by; /* net_clock() */
    int result;          /* of net_run */
};

uint64_t net_clock(void); /* milliseconds, never back */
/* From here on no newcomers; `result` is what net_run returns once the last one is gone. */
void net_drain(struct net_service *service, int result);

#endif
