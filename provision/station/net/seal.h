/* The signer's address in a page that nobody can write any more: the one argument of connect() that the
 * sandbox lets through. */
#ifndef NET_SEAL_H
#define NET_SEAL_H

#include <stddef.h>
#include <sys/socket.h>

/* The path's address; the first call makes the page, and later ones give it again. NULL when the path is too
 * long, or there is no memory. Static. */
const struct sockaddr *net_seal(const char *path, socklen_t *ret_len);

/* Where the page is, and how long; *ret_page is NULL when there is none. */
void net_seal_page(const void **ret_page, size_t *ret_size);

#endif
