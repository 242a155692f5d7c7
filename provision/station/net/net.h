/* The station's network service: EST over TLS. It holds no token, no PIN and no ledger, and decides nothing:
 * what is asked goes to the signer, and what that answers goes back. */
#ifndef NET_NET_H
#define NET_NET_H

#include <openssl/x509.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits; each has a default in plantca.conf(5). */
struct net_limits {
    unsigned connections; /* open at once; beyond, those idle longest are closed */
    unsigned per_address; /* of one address; 0: no limit (a whole line may stand behind one) */
    unsigned handshake;   /* seconds from accept to the end of the handshake */
    unsigned request;     /* seconds from the first byte of a request to its last */
    unsigned idle;        /* seconds between requests of one connection */
    unsigned header_bytes, body_bytes;
    unsigned questions; /* at the signer at once; beyond: 503 */
    unsigned answer;    /* seconds that an answer of the signer is waited for; beyond: 503 */
};

/* All borrowed for the life of the service. */
struct net_settings {
    const int *listeners; /* bound and listening, not blocking; closed at net_stop */
    size_t listener_count;
    int metrics;        /* listening on loopback, or -1 */
    const char *signer; /* path of the signer's socket */
    const STACK_OF(X509) *
        certificate; /* leaf first; NULL: one is asked of the signer, for a key in memory */
    EVP_PKEY *key;
    unsigned retry_after; /* seconds told where the signer told none */
    struct net_limits limits;
};

/* Serves until net_stop, then finishes what was begun (at most `limits.request` and `limits.answer`
 * seconds more) and returns 0.
 * The sandbox is entered inside, once everything is open, and before the first byte of a client is read:
 * `enter` (may be NULL) does that. Libraries do not log: what happens is told by pc_log. PC_EUNREACH when no
 * signer answers at the start within 30 s and no certificate is given. */
int net_run(const struct net_settings *settings, int (*enter)(void *context), void *context);
/* From a signal handler: drain and end. */
void net_stop(void);

/* sandbox.c: from here on this process, and what it may become, opens no file, starts no program and makes no
 * connection but to the signer's socket: no_new_privs, Landlock where the kernel has it, and seccomp
 * (libseccomp). PC_EFAIL when seccomp is not to be had: the service does not run without. */
int net_sandbox(const char *signer_socket);

#endif
