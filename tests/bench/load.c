/* load HOST PORT ANCHOR LIST CONNECTIONS new|kept: enrols every plant of LIST (lines of uuid,code,path of the
 * request) at an EST server, over so many connections at once, with a new TLS connection for each plant or
 * with those that were opened before. Prints the count, seconds, enrolments a second, p50 and p99 in
 * milliseconds (from connecting, or from the request, to the last byte of the reply), the processor seconds
 * of this program, and how many failed, the first of them on stderr. */
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/memory.h"

#define CONNECTIONS_MAX 512
#define REPLY_MAX 65536
#define BODY_MAX 8192

struct item {
    char *message; /* the whole HTTP request */
    size_t len;
    double took; /* seconds; negative: failed */
};

static struct item *items;
static size_t count;
static atomic_size_t next, failures;
static struct addrinfo *server;
static const char *host;
static SSL_CTX *tls;
static bool kept;

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The base64 of a PEM file, without what stands around it. */
static void read_request(const char *path, char body[BODY_MAX])
{
    pc_autobytes pem = {0};
    char *rest, *line;

    if (pc_file_read(path, BODY_MAX, &pem))
        die("%s", pc_error_text());
    body[0] = '\0';
    for (line = strtok_r((char *)pem.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "-----", 5) != 0)
            strcat(body, line);
    }
}

static void prepare(struct item *item, const char *uuid, const char *code, const char *path)
{
    char body[BODY_MAX], user[128];
    unsigned char basic[256];

    read_request(path, body);
    snprintf(user, sizeof user, "%s:%s", uuid, code);
    EVP_EncodeBlock(basic, (unsigned char *)user, (int)strlen(user));
    if (asprintf(&item->message,
                 "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\n"
                 "Content-Type: application/pkcs10\r\nContent-Length: %zu\r\n%s\r\n%s",
                 host, basic, strlen(body), kept ? "" : "Connection: close\r\n", body) < 0)
        die("out of memory");
    item->len = strlen(item->message);
    item->took = -1;
}

static void read_list(const char *path)
{
    char line[1024], *rest;
    FILE *list = fopen(path, "r");

    if (!list)
        die("%s: cannot be opened", path);
    while (fgets(line, sizeof line, list)) {
        const char *uuid = strtok_r(line, ",\r\n", &rest), *code = strtok_r(NULL, ",\r\n", &rest),
                   *csr = strtok_r(NULL, ",\r\n", &rest);

        if (!csr)
            die("%s: not uuid,code,path", path);
        if (count % 1024 == 0 && !(items = reallocarray(items, count + 1024, sizeof *items)))
            die("out of memory");
        prepare(&items[count++], uuid, code, csr);
    }
    fclose(list);
}

static SSL *connected(void)
{
    int on = 1, fd = socket(server->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SSL *ssl = SSL_new(tls);

    if (fd < 0 || !ssl)
        die("no socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    SSL_set_fd(ssl, fd);
    char name[256]; /* the macro wants one that could be changed */
    snprintf(name, sizeof name, "%s", host);
    SSL_set_tlsext_host_name(ssl, name);
    if (connect(fd, server->ai_addr, server->ai_addrlen) == 0 && SSL_connect(ssl) == 1)
        return ssl;
    close(fd);
    SSL_free(ssl);
    return NULL;
}

static void disconnect(SSL *ssl)
{
    if (!ssl)
        return;
    SSL_shutdown(ssl);
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
}

/* Reads one reply to its end. Its status, or 0 where the connection broke. */
static int reply(SSL *ssl, char text[REPLY_MAX])
{
    size_t have = 0, want = 0;

    while (want == 0 || have < want) {
        const char *end, *length;
        int got = SSL_read(ssl, text + have, (int)(REPLY_MAX - 1 - have));

        if (got <= 0)
            return 0;
        have += (size_t)got;
        text[have] = '\0';
        end = want ? NULL : strstr(text, "\r\n\r\n");
        length = end ? strcasestr(text, "\r\nContent-Length:") : NULL;
        if (end)
            want = (size_t)(end + 4 - text) + (length ? strtoul(length + 17, NULL, 10) : 0);
    }
    return (int)strtol(text + strcspn(text, " "), NULL, 10);
}

static void complain(int status, const char *text)
{
    if (atomic_fetch_add(&failures, 1) == 0)
        fprintf(stderr, "load: %d %.600s\n", status, status ? text : "connection broke");
}

static void *enrol(void *unused)
{
    char *text = malloc(REPLY_MAX);
    SSL *ssl = kept ? connected() : NULL;
    size_t at;

    (void)unused;
    while (text && (at = atomic_fetch_add(&next, 1)) < count) {
        double begun = now();
        int status = 0;

        text[0] = '\0';
        if (!ssl)
            ssl = connected();
        if (ssl && SSL_write(ssl, items[at].message, (int)items[at].len) > 0)
            status = reply(ssl, text);
        if (status == 200)
            items[at].took = now() - begun;
        else
            complain(status, text);
        if (!kept || status == 0) {
            disconnect(ssl);
            ssl = NULL;
        }
    }
    disconnect(ssl);
    free(text);
    return NULL;
}

static int by_time(const void *one, const void *other)
{
    double a = ((const struct item *)one)->took, b = ((const struct item *)other)->took;

    return a < b ? -1 : a > b;
}

static double percentile(double part)
{
    size_t failed = atomic_load(&failures), fine = count - failed;

    return fine ? items[failed + (size_t)((double)(fine - 1) * part)].took * 1e3 : 0;
}

static double cpu(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void open_tls(const char *anchor)
{
    tls = SSL_CTX_new(TLS_client_method());
    if (!tls || SSL_CTX_load_verify_locations(tls, anchor, NULL) != 1)
        die("%s: no trust anchor", anchor);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
}

int main(int argc, char **argv)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    pthread_t threads[CONNECTIONS_MAX];
    long connections = argc == 7 ? strtol(argv[5], NULL, 10) : 0;
    double begun, took, spent;

    if (connections < 1 || connections > CONNECTIONS_MAX) {
        fprintf(stderr, "usage: load HOST PORT ANCHOR LIST CONNECTIONS new|kept\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    host = argv[1];
    kept = strcmp(argv[6], "kept") == 0;
    if (getaddrinfo(host, argv[2], &hints, &server) != 0)
        die("%s: no such host", host);
    open_tls(argv[3]);
    read_list(argv[4]);
    spent = cpu();
    begun = now();
    for (long i = 0; i < connections; i++)
        if (pthread_create(&threads[i], NULL, enrol, NULL) != 0)
            die("no thread");
    for (long i = 0; i < connections; i++)
        pthread_join(threads[i], NULL);
    took = now() - begun;
    spent = cpu() - spent;
    if (count == 0)
        die("nobody to enrol");
    qsort(items, count, sizeof *items, by_time);
    printf("%zu %.3f %.1f %.2f %.2f %.3f %zu\n", count, took, (double)count / took, percentile(0.5),
           percentile(0.99), spent, atomic_load(&failures));
    return atomic_load(&failures) ? 1 : 0;
}
