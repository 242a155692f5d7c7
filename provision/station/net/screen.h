/* What the head of a request must look like, octet by octet, before evhttp reads it: evhttp forgives what
 * makes two readers see two requests (RFC 9112 §11.2). */
#ifndef NET_SCREEN_H
#define NET_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

#define NET_HEADERS_MAX 64 /* lines */

/* Zeroed at each request's start. */
struct net_screen {
    enum { NET_SCREEN_LINE, NET_SCREEN_NAME, NET_SCREEN_VALUE, NET_SCREEN_BODY } at;
    bool cr;           /* the last octet was one */
    unsigned lines;    /* headers begun */
    size_t name;       /* octets of this header's name */
    const char *fault; /* the first thing wrong; NULL: nothing so far; static */
};
/* The next `len` octets that came. Those behind the head are the body's, and not looked at. */
void net_screen_read(struct net_screen *screen, const void *data, size_t len);

#endif
