/* Connections counted by address, in a tree of libc's. */
#include "provision/station/net/address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    return memcmp(((const struct net_address *)a)->key, ((const struct net_address *)b)->key,
                  sizeof((const struct net_address *)a)->key);
}

/* An IPv4 address that came in by a listener of IPv6 is that IPv4 address. */
static void key_of(const struct sockaddr_storage *from, unsigned char ret[9])
{
    memset(ret, 0, 9);
    if (from->ss_family == AF_INET) {
        ret[0] = 4;
        memcpy(ret + 1, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
    } else if (from->ss_family == AF_INET6) {
        const struct in6_addr *host = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(host);
        ret[0] = mapped ? 4 : 6;
        memcpy(ret + 1, host->s6_addr + (mapped ? 12 : 0), mapped ? 4 : 8);
    }
}

struct net_address *net_address_take(void **root, const struct sockaddr_storage *from)
{
    struct net_address wanted = {0};
    key_of(from, wanted.key);
    struct net_address **found = tfind(&wanted, root, compare);
    if (found) {
        (*found)->count++;
        return *found;
    }
    struct net_address *address = calloc(1, sizeof *address);
    if (!address)
        return NULL;
    memcpy(address->key, wanted.key, sizeof wanted.key);
    TAILQ_INIT(&address->connections);
    address->count = 1;
    if (!tsearch(address, root, compare)) {
        free(address);
        return NULL;
    }
    return address;
}

void net_address_drop(void **root, struct net_address *address)
{
    if (--address->count > 0)
        return;
    tdelete(address, root, compare);
    free(address);
}

void net_address_text(const struct sockaddr_storage *from, char ret[NET_ADDRESS_TEXT])
{
    socklen_t len = from->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (getnameinfo((const struct sockaddr *)(const void *)from, len, ret, NET_ADDRESS_TEXT, NULL, 0,
                    NI_NUMERICHOST) != 0)
        snprintf(ret, NET_ADDRESS_TEXT, "unknown");
}
