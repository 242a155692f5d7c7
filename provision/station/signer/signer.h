/* The station's signer: token and ledger, behind a Unix socket. It believes nothing of what the network
 * service says about who is asking: admission, renewal window, identity and limits are judged here. */
#ifndef SIGNER_SIGNER_H
#define SIGNER_SIGNER_H

#include <signal.h>
#include <sys/types.h>

#include "src/ca/authority.h"

/* All borrowed. */
struct signer_options {
    int listener;       /* Unix socket that listens, not blocking */
    const uid_t *peers; /* who may connect (SO_PEERCRED), beside ourselves */
    size_t peer_count;
    bool early_renewal;     /* re-enrolment also outside the renewal window */
    int64_t grace;          /* seconds after its end during which a certificate may still re-enrol */
    bool binding;           /* a request must be linked to its TLS session (RFC 7030 §3.5) */
    const char *name;       /* of the station, for its server certificate: DNS name or address */
    int64_t server_life;    /* seconds that a server certificate lives */
    unsigned retry_after;   /* seconds: told with 202 and 503 */
    unsigned waiting_keys;  /* keys that may wait at once for one UUID */
    int64_t rekey_interval; /* seconds between two certificates of one UUID with different keys, by
                               re-enrolment: 0: no limit */
    const volatile sig_atomic_t *stop;
    void (*ready)(void *context); /* token found, logged in, listening */
    void *context;
};

/* Serves until `stop`; what was begun is finished. 0 after a stop; PC_EAUTH when the PIN is refused, at the
 * start or at a reopen (never tried twice; a service manager must not start it again); other errors only at
 * the start. Later, with token or ledger lost, it goes on answering WIRE_UNAVAILABLE, tells so once by
 * pc_log, and opens them again at growing intervals (1 s to 60 s; the token with one login each). */
int signer_run(struct ca *ca, const struct signer_options *options);

#endif
