/* How many connections one address has: an IPv4 address, or the /64 that one IPv6 host has to itself. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <sys/queue.h>
#include <sys/socket.h>

#define NET_ADDRESS_TEXT 64

struct net_connection;
TAILQ_HEAD(net_connection_list, net_connection);

struct net_address {
    unsigned char key[9]; /* family, then the octets that count */
    unsigned count;
    struct net_connection_list connections; /* oldest first */
};
/* Finds or makes it, and counts one more. NULL when out of memory or of another family. */
struct net_address *net_address_take(void **root, const struct sockaddr_storage *from);
void net_address_drop(void **root, struct net_address *address); /* one fewer; the last one frees it */
void net_address_text(const struct sockaddr_storage *from, char ret[NET_ADDRESS_TEXT]);

#endif
