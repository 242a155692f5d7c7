/* What in a request's headers would let two readers see two different requests, or none. */
#ifndef NET_FRAMING_H
#define NET_FRAMING_H

#include <event2/http.h>

/* NULL, or what is wrong (static). `behind`: octets that came behind the request. */
const char *net_framing_fault(struct evhttp_request *request, size_t behind);

/* How many there are, but for an empty line: libest sends one behind each request (RFC 9112 §2.2 has servers
 * pass over one before the next). It is taken away. */
size_t net_framing_behind(struct evbuffer *input);

#endif
