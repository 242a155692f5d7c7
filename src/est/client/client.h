/* One conversation with an EST server, by libcurl: the only place that sees it. Blocking, bounded in time. */
#ifndef EST_CLIENT_H
#define EST_CLIENT_H

#include <openssl/ssl.h>

#include "src/est/binding.h"
#include "src/est/body.h"

/* Who is asked, and as whom. All borrowed. */
struct est_client_options {
    const char *url;                /* https://host[:port], without a path */
    const char *label;              /* RFC 7030 §3.2.2, or NULL */
    const STACK_OF(X509) * anchors; /* the only ones that may stand behind the server's certificate */
    const char *anchors_name;       /* where they came from, for messages */
    int64_t at;                     /* time by which the server's certificate is judged */
    bool clock_unknown;             /* NOT_YET_VALID of the server's chain, and nothing else, is tolerated */
    X509 *certificate;              /* of the client, with `chain` (or NULL) and `key`; NULL: none is shown */
    const STACK_OF(X509) * chain;
    EVP_PKEY *key;    /* may live in a TPM, by a provider of whatever library context */
    const char *user; /* HTTP Basic, sent only when the server asks for it; NULL: none */
    const struct pc_secret *password;
    unsigned timeout; /* seconds for each request, connecting included */
    unsigned whole;   /* seconds for all of them, from the opening of the client on */
};

struct est_client;
int est_client_open(const struct est_client_options *options, struct est_client **ret);
void est_client_close(struct est_client *client);
PC_DEFINE_CLEANUP(struct est_client, est_client_close);

/* PC_EUNREACH: "station-unreachable" (no connection, a cut, 408, 425, 429, 5xx; retry_after is set),
 * PC_EREFUSED: "station-certificate" (not by the anchors, not its name, not its time), "station-code" (401),
 * "station-refused" (other 4xx, or a TLS alert that means it), "station-redirect" (never followed), "est-…";
 * PC_EPENDING "station-pending" (202; retry_after is set). A failed signature by `key` shows as
 * "station-unreachable": the key's owner knows better. */
int est_client_cacerts(struct est_client *client, STACK_OF(X509) * *ret);
int est_client_attributes(struct est_client *client, struct est_attributes *ret); /* 204: nothing is wanted */
/* The value of the connection that the next request will use (one is made where there is none). A request
 * that then finds that connection gone fails with PC_EUNREACH "station-connection" and has sent nothing. */
int est_client_binding(struct est_client *client, char ret[EST_BINDING_TEXT]);
/* simpleenroll, or simplereenroll: the DER request goes, the certificate comes (one; RFC 7030 §4.2.3). */
int est_client_enrol(struct est_client *client, bool again, const struct pc_bytes *csr_der, X509 **ret);
/* Seconds that the server asked to wait at its last answer, as it said it; 0: it did not. */
int64_t est_client_retry_after(const struct est_client *client);

#endif
