/* HTTP replies, in the forms that EST clients read. */
#ifndef NET_REPLY_H
#define NET_REPLY_H

#include "provision/station/net/connection.h"

struct net_reply {
    int status;
    const char *type; /* of `body`; NULL: `text` is sent, as text/plain */
    const struct pc_bytes *body;
    const char *text;
    const char *allow;    /* 405: the methods that there are */
    unsigned retry_after; /* seconds; 202 and 503 */
    bool close;           /* no further request on this connection */
};
void net_reply_send(struct net_service *service, struct net_connection *connection,
                    struct evhttp_request *request, const struct net_reply *reply);

/* Base64 in lines or in one: libest reads certificates only in lines, strongSwan 5.9.8 only in one; the
 * first names itself in User-Agent, the second sends no such header. */
bool net_reply_wrapped(struct evhttp_request *request);

#endif
