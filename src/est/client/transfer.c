/* One HTTP request by libcurl, and what its failure means. Which requests there are is client.c's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>

#include "src/base/error.h"
#include "src/est/client/exchange.h"

#define HEADERS_MAX 16384 /* bytes */

void est_answer_clear(struct est_answer *answer)
{
    pc_bytes_clear(&answer->body);
}

/* libcurl ends the transfer when less than all is taken. */
size_t est_on_body(char *data, size_t size, size_t count, void *context)
{
    struct est_answer *answer = context;
    struct pc_bytes *body = &answer->body;
    size_t len = size * count;
    answer->large = answer->large || len > EST_BODY_MAX - body->len;
    unsigned char *grown = answer->large ? NULL : realloc(body->data, body->len + len + 1);
    if (!grown)
        return CURL_WRITEFUNC_ERROR;
    memcpy(grown + body->len, data, len);
    body->data = grown;
    body->len += len;
    body->data[body->len] = '\0';
    return len;
}

size_t est_on_header(char *data, size_t size, size_t count, void *context)
{
    struct est_answer *answer = context;
    (void)data;
    answer->headers += size * count;
    answer->large = answer->large || answer->headers > HEADERS_MAX;
    return answer->large ? CURL_WRITEFUNC_ERROR : size * count;
}

/* Alerts by which a server says that it does not want this client; others are its own trouble (RFC 8446
 * §6.2). */
static bool alert_refuses(int alert)
{
    return (alert >= SSL_AD_HANDSHAKE_FAILURE && alert <= SSL_AD_ACCESS_DENIED) ||
           alert == SSL_AD_CERTIFICATE_REQUIRED;
}

/* What is most likely behind a connection that came to nothing, or "". */
static const char *likely(const struct est_client *client, CURLcode code)
{
    long error = 0;
    curl_easy_getinfo(client->easy, CURLINFO_OS_ERRNO, &error);
    /* OpenSSL's reason for a first record that is none; libcurl passes on the text alone. */
    bool plain = strstr(client->words, "wrong version number") || strstr(client->words, "http request");
    if (code == CURLE_COULDNT_CONNECT && error == ECONNREFUSED)
        return ": connection refused: nothing listens at that port";
    if (code == CURLE_COULDNT_CONNECT && (error == EHOSTUNREACH || error == ENETUNREACH))
        return ": no way leads there from this network";
    if (code == CURLE_COULDNT_RESOLVE_HOST)
        return ": is the name right, and is there a name server?";
    if (code == CURLE_SSL_CONNECT_ERROR && plain)
        return ": what answers speaks no TLS: is that the station's port?";
    return "";
}

/* A station asks whoever enrols for the first time for no certificate; brokers ask everyone. */
static int refuse_alert(const struct est_client *client)
{
    bool other = !client->options.certificate &&
                 (client->alert == SSL_AD_CERTIFICATE_REQUIRED || client->alert == SSL_AD_HANDSHAKE_FAILURE);
    return pc_refuse("station-refused", "the station ends the handshake with TLS alert %d: %s%s",
                     client->alert, SSL_alert_desc_string_long(client->alert),
                     other ? "; is that the station's port, or another server's, as the broker's?" : "");
}

static int judge_failure(const struct est_client *client, const struct est_answer *answer, CURLcode code)
{
    /* "Failed to connect to HOST port N after 0 ms: Couldn't connect to server" says it twice. */
    const char *words = code == CURLE_COULDNT_CONNECT ? "cannot connect"
                        : client->words[0]            ? client->words
                                                      : curl_easy_strerror(code);
    if (client->lost)
        return pc_fail_named(PC_EUNREACH, "station-connection",
                             "the station closed the connection that the request is bound to");
    if (client->untrusted[0])
        return pc_refuse("station-certificate", "the station's certificate is not to be trusted: %s",
                         client->untrusted);
    if (answer->large)
        return pc_refuse("est-size", "the station's answer is too long: over %d bytes, or over %d of headers",
                         EST_BODY_MAX, HEADERS_MAX);
    if (alert_refuses(client->alert))
        return refuse_alert(client);
    switch ((int)code) {
    case CURLE_PEER_FAILED_VERIFICATION:
        return pc_refuse("station-certificate", "the station's certificate is not to be trusted: %s", words);
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
        return pc_fail(PC_EFAIL, "the request cannot be made: %s", words);
    default:
        return pc_fail_named(PC_EUNREACH, "station-unreachable", "%s: %s%s", client->options.url, words,
                             likely(client, code));
    }
}

/* What is the same for each request was set when the client was opened. */
static bool prepare(struct est_client *client, const char *url, const struct pc_bytes *body,
                    struct est_answer *answer)
{
    CURL *easy = client->easy;
    bool named = client->challenged && client->options.user && client->options.password;
    /* To name the fields makes it a POST. */
    bool fine = body ? curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)body->len) == CURLE_OK &&
                           curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body->data) == CURLE_OK
                     : curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    return fine && curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, answer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERNAME, named ? client->options.user : NULL) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PASSWORD,
                            named ? (const char *)client->options.password->data : NULL) == CURLE_OK;
}

int64_t est_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What is left of the whole, and no more than one request may take. False: nothing is. */
static bool limit_time(struct est_client *client)
{
    int64_t left = client->until - est_now(), most = (int64_t)client->options.timeout * 1000;
    return left > 0 &&
           curl_easy_setopt(client->easy, CURLOPT_TIMEOUT_MS, (long)(left < most ? left : most)) == CURLE_OK;
}

static void append(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer)
        *list = longer;
}

static void read_answer(struct est_client *client, struct est_answer *answer)
{
    curl_off_t wait = 0;
    const char *type = NULL;
    curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &answer->status);
    if (curl_easy_getinfo(client->easy, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
        client->retry_after = wait;
    if (curl_easy_getinfo(client->easy, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type)
        snprintf(answer->type, sizeof answer->type, "%s", type);
}

int est_transfer(struct est_client *client, const char *operation, const struct pc_bytes *body,
                 struct est_answer *ret)
{
    char url[EST_URL_TEXT + 32];
    struct est_answer answer = {0};
    struct curl_slist *lines = NULL;
    snprintf(url, sizeof url, "%s/%s", client->base, operation);
    client->retry_after = 0;
    client->alert = EST_NONE;
    client->lost = false;
    client->untrusted[0] = client->words[0] = '\0';
    append(&lines, "Content-Type: " EST_TYPE_REQUEST);
    append(&lines, "Expect:"); /* no waiting for a 100 */
    CURLcode code = limit_time(client) ? CURLE_FAILED_INIT : CURLE_OPERATION_TIMEDOUT;
    if (code != CURLE_OPERATION_TIMEDOUT && prepare(client, url, body, &answer) &&
        curl_easy_setopt(client->easy, CURLOPT_HTTPHEADER, body ? lines : NULL) == CURLE_OK)
        code = curl_easy_perform(client->easy);
    curl_easy_setopt(client->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(lines);
    ERR_clear_error();
    int r = code == CURLE_OK ? 0 : judge_failure(client, &answer, code);
    if (r < 0) {
        client->binding[0] = '\0';
        est_answer_clear(&answer);
        return r;
    }
    read_answer(client, &answer);
    *ret = answer;
    return 0;
}
