/* The EST client's operations: which request is made, and what each answer means (RFC 7030 §4). How it goes
 * over the line is transfer.c's, whom it trusts tls.c's. */
#include "src/est/client/client.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/est/client/exchange.h"
#include "src/pki/bundle.h"
#include "src/pki/chain.h"

#define CONNECT_MAX 15L /* seconds; a host that does not answer must not use up the time for others */
#define LABEL_MAX 64
#define WORDS_MAX 160 /* octets of what a station says that are shown */

#define est_autoanswer PC_CLEANUP(est_answer_clear) struct est_answer

static bool label_sound(const char *label)
{
    size_t len = strlen(label);
    for (const char *c = label; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-._", *c))
            return false;
    return len > 0 && len <= LABEL_MAX && label[0] != '.';
}

static bool take_part(CURLU *url, CURLUPart part, char *ret, size_t size)
{
    char *text = NULL;
    bool fine = curl_url_get(url, part, &text, 0) == CURLUE_OK && strlen(text) < size;
    if (fine)
        snprintf(ret, size, "%s", text);
    curl_free(text);
    return fine;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool there = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return there;
}

/* https://host[:port] and nothing else: what a path, a user or a question would mean here nobody has said. */
static int read_url(struct est_client *client, CURLU *url)
{
    const struct est_client_options *options = &client->options;
    char scheme[16], path[8], host[sizeof client->host], port[8] = "";
    if (!url || curl_url_set(url, CURLUPART_URL, options->url, 0) != CURLUE_OK ||
        !take_part(url, CURLUPART_SCHEME, scheme, sizeof scheme) || strcmp(scheme, "https") != 0 ||
        !take_part(url, CURLUPART_HOST, host, sizeof host) ||
        !take_part(url, CURLUPART_PATH, path, sizeof path) || strcmp(path, "/") != 0 ||
        has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT))
        return pc_fail(PC_EUSAGE, "'%.200s' is no https://HOST[:PORT]", options->url);
    take_part(url, CURLUPART_PORT, port, sizeof port);
    const char *label = options->label && *options->label ? options->label : NULL;
    if (label && !label_sound(label))
        return pc_fail(PC_EUSAGE, "'%.80s' is no label: letters, digits, '-', '.' and '_', at most %d", label,
                       LABEL_MAX);
    snprintf(client->base, sizeof client->base, "https://%s%s%s/.well-known/est%s%s", host, *port ? ":" : "",
             port, label ? "/" : "", label ? label : "");
    bool bracketed = host[0] == '[';
    snprintf(client->host, sizeof client->host, "%s", host + bracketed);
    if (bracketed)
        client->host[strcspn(client->host, "]")] = '\0';
    return 0;
}

/* Nothing of the environment, of the system's trust, or of what servers like to lead clients into. */
static bool set_up(struct est_client *client)
{
    CURL *easy = client->easy;
    long timeout = (long)client->options.timeout;
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_SSL_SESSIONID_CACHE, 0},
        {CURLOPT_MAXCONNECTS, 1},
        {CURLOPT_CONNECTTIMEOUT, timeout < CONNECT_MAX ? timeout : CONNECT_MAX},
        {CURLOPT_QUICK_EXIT, 1}, /* a name server that does not answer is not waited for beyond that */
        {CURLOPT_HTTPAUTH, CURLAUTH_BASIC},
        {CURLOPT_HTTP09_ALLOWED, 0},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (curl_easy_setopt(easy, numbers[i].option, numbers[i].value) != CURLE_OK)
            return false;
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CAINFO, NULL) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "plantcert") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, client->words) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, est_on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, est_on_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, est_tls_begin) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, client) == CURLE_OK;
}

int est_client_open(const struct est_client_options *options, struct est_client **ret)
{
    PC_CLEANUP(est_client_close_ref) struct est_client *client = calloc(1, sizeof *client);
    if (!client || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return pc_fail(PC_EFAIL, "libcurl cannot begin");
    client->options = *options;
    client->alert = EST_NONE;
    client->until = est_now() + (int64_t)options->whole * 1000;
    if (sk_X509_num(options->anchors) < 1)
        return pc_fail(PC_EUSAGE, "no trust anchor for the station's certificate");
    CURLU *url = curl_url();
    int r = read_url(client, url);
    curl_url_cleanup(url);
    if (r < 0)
        return r;
    client->easy = curl_easy_init();
    if (!client->easy || !set_up(client))
        return pc_fail(PC_EFAIL, "libcurl cannot begin");
    *ret = pc_steal(client);
    return 0;
}

void est_client_close(struct est_client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->easy);
    curl_global_cleanup();
    free(client);
}

int64_t est_client_retry_after(const struct est_client *client)
{
    return client->retry_after;
}

/* --- answers --- */

/* What a station says about its refusal: one line of it, and nothing that a terminal would act on. */
static void read_words(const struct est_answer *answer, char ret[WORDS_MAX + 3])
{
    size_t len = 0;
    ret[0] = '\0';
    if (strncmp(answer->type, "text/plain", sizeof "text/plain" - 1) != 0)
        return;
    ret[len++] = ':';
    ret[len++] = ' ';
    for (size_t i = 0; i < answer->body.len && len < WORDS_MAX + 2; i++) {
        unsigned char c = answer->body.data[i];
        if (c == '\n' || c == '\r')
            break;
        ret[len++] = isprint(c) ? (char)c : '?';
    }
    ret[len > 2 ? len : 0] = '\0';
}

static int judge_status(const struct est_client *client, const struct est_answer *answer)
{
    char words[WORDS_MAX + 3];
    long status = answer->status;
    read_words(answer, words);
    if (status == 200)
        return 0;
    if (status == 202)
        return pc_fail_named(PC_EPENDING, "station-pending",
                             "the station has the request and has not decided yet%s", words);
    if (status == 401)
        return pc_refuse("station-code", "the station %s (401)%s",
                         client->challenged && client->options.password ? "does not take this code"
                                                                        : "asks for a code",
                         words);
    /* Those of 4xx that mean: not now. */
    if (status == 408 || status == 425 || status == 429 || (status >= 500 && status < 600))
        return pc_fail_named(PC_EUNREACH, "station-unreachable", "the station cannot serve now (%ld)%s",
                             status, words);
    if (status >= 300 && status < 400)
        return pc_refuse("station-redirect", "the station leads elsewhere (%ld): that is not followed",
                         status);
    if (status == 404)
        return pc_refuse("station-refused",
                         "the station has no such address (404)%s; is it a station for EST, and its "
                         "label right?",
                         words);
    if (status >= 400 && status < 500)
        return pc_refuse("station-refused", "the station refuses (%ld)%s", status, words);
    return pc_refuse("est-status", "the station answers %ld, which EST does not know here", status);
}

/* One request; asked for Basic, and with something to say, once more with that. */
static int ask(struct est_client *client, const char *operation, const struct pc_bytes *body,
               struct est_answer *ret)
{
    long offered = 0;
    int r = est_transfer(client, operation, body, ret);
    if (r < 0 || ret->status != 401 || client->challenged || !client->options.user ||
        !client->options.password)
        return r;
    curl_easy_getinfo(client->easy, CURLINFO_HTTPAUTH_AVAIL, &offered);
    if (!(offered & (long)CURLAUTH_BASIC))
        return 0;
    client->challenged = true;
    est_answer_clear(ret);
    *ret = (struct est_answer){0};
    return est_transfer(client, operation, body, ret);
}

static int check_type(const struct est_answer *answer, const char *type)
{
    size_t len = strlen(type);
    if (strncasecmp(answer->type, type, len) == 0 && strchr("; \t", answer->type[len]))
        return 0;
    return pc_refuse("est-type", "the station's answer is '%.64s', not %s", answer->type, type);
}

static int read_certificates(const struct est_answer *answer, size_t most, STACK_OF(X509) * *ret)
{
    pc_autobytes der = {0};
    int r = check_type(answer, EST_TYPE_CACERTS);
    if (r == 0)
        r = est_body_decode(answer->body.data, answer->body.len, &der);
    return r < 0 ? r : est_certs_read(&der, most, ret);
}

/* --- operations --- */

int est_client_cacerts(struct est_client *client, STACK_OF(X509) * *ret)
{
    est_autoanswer answer = {0};
    int r = ask(client, "cacerts", NULL, &answer);
    if (r == 0)
        r = judge_status(client, &answer);
    if (r == 0)
        r = read_certificates(&answer, PKI_BUNDLE_MAX, ret);
    return r < 0 ? pc_fail_in("cacerts") : 0;
}

int est_client_attributes(struct est_client *client, struct est_attributes *ret)
{
    est_autoanswer answer = {0};
    pc_autobytes der = {0};
    int r = ask(client, "csrattrs", NULL, &answer);
    /* 404: a station need not have it (RFC 7030 §4.5.2). */
    if (r == 0 && (answer.status == 204 || answer.status == 404)) {
        *ret = (struct est_attributes){0};
        return 0;
    }
    if (r == 0)
        r = judge_status(client, &answer);
    if (r == 0)
        r = check_type(&answer, EST_TYPE_ATTRIBUTES);
    if (r == 0)
        r = est_body_decode(answer.body.data, answer.body.len, &der);
    if (r == 0)
        r = est_attributes_read(&der, ret);
    return r < 0 ? pc_fail_in("csrattrs") : 0;
}

int est_client_binding(struct est_client *client, char ret[EST_BINDING_TEXT])
{
    est_autoanswer answer = {0};
    client->bound = false;
    int r = client->binding[0] ? 0 : ask(client, "csrattrs", NULL, &answer);
    if (r < 0)
        return r;
    if (!client->binding[0])
        return pc_fail(PC_EFAIL, "the TLS session has no value to bind the request to");
    memcpy(ret, client->binding, EST_BINDING_TEXT);
    client->bound = true;
    return 0;
}

int est_client_enrol(struct est_client *client, bool again, const struct pc_bytes *csr_der, X509 **ret)
{
    const char *operation = again ? "simplereenroll" : "simpleenroll";
    est_autoanswer answer = {0};
    pc_autobytes body = {0};
    STACK_OF(X509) *certificates = NULL;
    int r = est_body_encode(csr_der, true, &body);
    if (r == 0)
        r = ask(client, operation, &body, &answer);
    client->bound = false;
    if (r == 0)
        r = judge_status(client, &answer);
    if (r == 0)
        r = read_certificates(&answer, 1, &certificates);
    if (r < 0)
        return pc_fail_in("%s", operation);
    *ret = sk_X509_shift(certificates);
    pki_chain_free(certificates);
    return 0;
}
