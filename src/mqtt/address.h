/* From a broker's name to a connection, bounded in time. */
#ifndef MQTT_ADDRESS_H
#define MQTT_ADDRESS_H

#include <netdb.h>
#include <stdint.h>

int64_t mqtt_now(void); /* milliseconds of the monotonic clock */

/* The addresses of `host` until the time `until` (as mqtt_now): 0, or an EAI_… (EAI_INPROGRESS: the time is
 * up); freed with freeaddrinfo. A resolver that does not answer is left to itself. */
int mqtt_resolve(const char *host, uint16_t port, int64_t until, struct addrinfo **ret);

/* Connects to one address: a descriptor that does not block, which the caller closes, or the negated errno.
 */
int mqtt_dial(const struct addrinfo *address, int64_t until);

#endif
