/* What the files of the EST client share: the conversation's state, its TLS, and one request. */
#ifndef EST_EXCHANGE_H
#define EST_EXCHANGE_H

#include <curl/curl.h>

#include "src/est/client/client.h"

#define EST_URL_TEXT 512
#define EST_NONE (-1) /* no alert */

struct est_client {
    struct est_client_options options;
    CURL *easy;
    char base[EST_URL_TEXT]; /* https://host:port/.well-known/est[/label] */
    char host[256];          /* that the server's certificate must name; an address without brackets */
    int64_t until;           /* by the monotonic clock, ms: when the time for all requests is over */
    int64_t retry_after;
    bool challenged;                /* the server has asked for HTTP Basic */
    bool bound;                     /* the request holds `binding`: no other connection will do */
    bool lost;                      /* ... and that one was gone */
    bool fresh;                     /* a handshake has begun whose binding is not known yet */
    char binding[EST_BINDING_TEXT]; /* of the connection in use; "" when there is none */
    int alert;                      /* fatal, that the server sent; EST_NONE */
    char untrusted[1536];           /* why the server's certificate was refused; "" */
    char words[CURL_ERROR_SIZE];    /* libcurl's */
};

/* tls.c: sets up each new connection's TLS; CURLOPT_SSL_CTX_FUNCTION. */
CURLcode est_tls_begin(CURL *easy, void *context, void *client);

/* One answer. */
struct est_answer {
    long status;
    char type[128]; /* Content-Type, "" where there is none */
    struct pc_bytes body;
    size_t headers; /* bytes */
    bool large;     /* one of the two was too large */
};
void est_answer_clear(struct est_answer *answer);

/* transfer.c: libcurl's callbacks for an answer's parts. */
size_t est_on_body(char *data, size_t size, size_t count, void *answer);
size_t est_on_header(char *data, size_t size, size_t count, void *answer);
int64_t est_now(void); /* transfer.c: ms of the monotonic clock */
/* transfer.c: GET, or POST of `body`, of base/`operation`; whatever status comes back is 0. PC_E… as client.h
 * has it where none came. */
int est_transfer(struct est_client *client, const char *operation, const struct pc_bytes *body,
                 struct est_answer *ret);

#endif
