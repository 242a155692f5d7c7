/* The network service by itself, for tests: net_run on a free port of loopback, with the limits that are
 * given. Writes "PORT METRICS-PORT" once it is ready to be connected to; SIGTERM drains it.
 * serve SOCKET SANDBOX [LIMIT=NUMBER…], where SOCKET is the signer's path, and SANDBOX is yes or no. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "provision/station/net/net.h"
#include "src/base/error.h"
#include "src/base/log.h"

static struct net_limits limits = {.connections = 200,
                                   .per_address = 0,
                                   .handshake = 2,
                                   .request = 2,
                                   .idle = 4,
                                   .header_bytes = 8192,
                                   .body_bytes = 16384,
                                   .questions = 64,
                                   .answer = 2};

static const struct {
    const char *name;
    unsigned *value;
} names[] = {
    {"connections", &limits.connections},
    {"per-address", &limits.per_address},
    {"handshake", &limits.handshake},
    {"request", &limits.request},
    {"idle", &limits.idle},
    {"header", &limits.header_bytes},
    {"body", &limits.body_bytes},
    {"questions", &limits.questions},
    {"answer", &limits.answer},
};

static int set_limit(const char *text)
{
    const char *equals = strchr(text, '=');
    for (size_t i = 0; equals && i < sizeof names / sizeof *names; i++)
        if (strlen(names[i].name) == (size_t)(equals - text) &&
            strncmp(text, names[i].name, (size_t)(equals - text)) == 0) {
            *names[i].value = (unsigned)strtoul(equals + 1, NULL, 10);
            return 0;
        }
    fprintf(stderr, "no such limit: %s\n", text);
    return -1;
}

static int listen_somewhere(unsigned *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        perror("listen");
        exit(1);
    }
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void on_signal(int number)
{
    (void)number;
    net_stop();
}

static void on_log(enum pc_level level, const char *text)
{
    fprintf(stderr, "<%d>%s\n", level, text);
}

struct entry {
    const char *socket; /* NULL: no sandbox */
    unsigned port, metrics;
};

static int enter(void *context)
{
    const struct entry *entry = context;
    int r = entry->socket ? net_sandbox(entry->socket) : 0;
    if (r == 0)
        dprintf(STDOUT_FILENO, "%u %u\n", entry->port, entry->metrics);
    return r;
}

int main(int argc, char **argv)
{
    struct entry entry = {0};
    if (argc < 3)
        return 2;
    for (int i = 3; i < argc; i++)
        if (set_limit(argv[i]) < 0)
            return 2;
    int listener = listen_somewhere(&entry.port), metrics = listen_somewhere(&entry.metrics);
    const struct net_settings settings = {.listeners = &listener,
                                          .listener_count = 1,
                                          .metrics = metrics,
                                          .signer = argv[1],
                                          .retry_after = 7,
                                          .limits = limits};
    if (strcmp(argv[2], "yes") == 0)
        entry.socket = argv[1];
    pc_log_to(on_log);
    signal(SIGTERM, on_signal);
    int r = net_run(&settings, enter, &entry);
    if (r < 0)
        fprintf(stderr, "%s\n", pc_error_text());
    return -r;
}
