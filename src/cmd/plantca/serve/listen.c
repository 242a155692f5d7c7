/* The sockets on which the station is asked: opened here, or taken from a service manager. The only place of
 * the station that binds a port. */
#include "src/cmd/plantca/serve/serve.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "src/base/error.h"

#define BACKLOG 1024 /* a line that is switched on together; the kernel's own limit may be lower */
#define METRICS_NAME "metrics"

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage room;
};

static int address_of(int fd, union address *ret)
{
    socklen_t len = sizeof *ret;

    memset(ret, 0, sizeof *ret);
    return getsockname(fd, &ret->any, &len) == 0 &&
                   (ret->any.sa_family == AF_INET || ret->any.sa_family == AF_INET6)
               ? 0
               : PC_EFAIL;
}

void serve_address(int fd, char ret[SERVE_ADDRESS_TEXT])
{
    union address address;
    char host[INET6_ADDRSTRLEN] = "?";

    if (address_of(fd, &address) != 0)
        snprintf(ret, SERVE_ADDRESS_TEXT, "?");
    else if (address.any.sa_family == AF_INET)
        snprintf(ret, SERVE_ADDRESS_TEXT, "%s:%u",
                 inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof host), ntohs(address.v4.sin_port));
    else
        snprintf(ret, SERVE_ADDRESS_TEXT, "[%s]:%u",
                 inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof host), ntohs(address.v6.sin6_port));
}

static bool is_loopback(const union address *address)
{
    const struct in6_addr *v6 = &address->v6.sin6_addr;

    if (address->any.sa_family == AF_INET)
        return ntohl(address->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET);
}

static int check_loopback(int fd)
{
    union address address;
    char text[SERVE_ADDRESS_TEXT];

    if (address_of(fd, &address) == 0 && is_loopback(&address))
        return 0;
    serve_address(fd, text);
    return pc_fail(PC_EUSAGE, "metrics: %s is not on loopback: they tell too much to be read from elsewhere",
                   text);
}

static int add(struct serve_listeners *listeners, int fd)
{
    if (listeners->count == SERVE_LISTENERS_MAX)
        return pc_fail(PC_EUSAGE, "more than %d addresses to listen on", SERVE_LISTENERS_MAX);
    listeners->fds[listeners->count++] = fd;
    return 0;
}

/* One socket of the service manager's. It is ours from here on, whatever becomes of it. */
static int adopt(struct serve_listeners *listeners, int fd, const char *name)
{
    union address address;
    int flags = fcntl(fd, F_GETFL);

    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0 || address_of(fd, &address) != 0)
        return pc_fail(PC_EUSAGE,
                       "what the service manager handed over as '%.60s' is no listening TCP socket", name);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return pc_fail_errno(PC_EFAIL, "a socket of the service manager");
    if (strcmp(name, METRICS_NAME) != 0)
        return add(listeners, fd);
    if (listeners->metrics >= 0)
        return pc_fail(PC_EUSAGE, "the service manager handed over two sockets for metrics");
    listeners->metrics = fd;
    return check_loopback(fd);
}

static int adopt_all(struct serve_listeners *listeners)
{
    char **names = NULL;
    int count = sd_listen_fds_with_names(1, &names), rc = 0;

    for (int i = 0; i < count; i++) {
        if (rc == 0)
            rc = adopt(listeners, SD_LISTEN_FDS_START + i, names[i]);
        free(names[i]);
    }
    free(names);
    listeners->activated = listeners->count > 0;
    return count >= 0 ? rc : pc_fail(PC_EFAIL, "sd_listen_fds: %s", strerror(-count));
}

static int bind_one(const struct addrinfo *at, int *ret)
{
    pc_autoclose int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int yes = 1, no = 0;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0)
        return PC_EFAIL;
    /* [::] is every address, the old ones too, whatever net.ipv6.bindv6only says. */
    if (at->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) != 0)
        return PC_EFAIL;
    /* Whoever is let in inherits it: a reply in two segments would wait for the delayed acknowledgement of
     * the first. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0 ||
        bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)
        return PC_EFAIL;
    *ret = fd;
    fd = -1;
    return 0;
}

PC_DEFINE_CLEANUP(struct addrinfo, freeaddrinfo);

/* `setting` is ADDRESS:PORT or [ADDRESS]:PORT, checked for form. A name stands for all of its addresses. */
static int resolve(const char *key, const char *setting, struct addrinfo **ret)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const char *colon = strrchr(setting, ':');
    bool brackets = setting[0] == '[';
    pc_autofree char *host = strndup(setting + brackets, (size_t)(colon - setting) - 2 * brackets);

    if (host == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    int error = getaddrinfo(host, colon + 1, &hints, ret);
    return error == 0 ? 0 : pc_fail(PC_EUSAGE, "[station] %s = %s: %s", key, setting, gai_strerror(error));
}

static int open_all(const struct pc_config *config, struct serve_listeners *listeners)
{
    const char *setting = pc_config_get(config, "station", "listen");
    PC_CLEANUP(freeaddrinfo_ref) struct addrinfo *found = NULL;
    int rc = resolve("listen", setting, &found), fd;

    for (const struct addrinfo *at = found; rc == 0 && at != NULL; at = at->ai_next) {
        rc = bind_one(at, &fd);
        rc = rc == 0 ? add(listeners, fd) : pc_fail_errno(PC_EUSAGE, "[station] listen = %s", setting);
    }
    return rc;
}

static int open_metrics(const struct pc_config *config, struct serve_listeners *listeners)
{
    const char *setting = pc_config_get(config, "station", "metrics");
    PC_CLEANUP(freeaddrinfo_ref) struct addrinfo *found = NULL;

    if (setting == NULL)
        return 0;
    int rc = resolve("metrics", setting, &found);
    if (rc == 0 && bind_one(found, &listeners->metrics) != 0)
        rc = pc_fail_errno(PC_EUSAGE, "[station] metrics = %s", setting);
    return rc == 0 ? check_loopback(listeners->metrics) : rc;
}

int serve_listen(const struct pc_config *config, struct serve_listeners *ret)
{
    struct serve_listeners listeners = {.metrics = -1};
    int rc = adopt_all(&listeners);

    if (rc == 0 && listeners.count == 0)
        rc = open_all(config, &listeners);
    if (rc == 0 && listeners.metrics < 0)
        rc = open_metrics(config, &listeners);
    if (rc == 0)
        *ret = listeners;
    else
        serve_listeners_close(&listeners);
    return rc;
}

void serve_listeners_close(struct serve_listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++)
        close(listeners->fds[i]);
    listeners->count = 0;
    pc_close_ref(&listeners->metrics);
    listeners->metrics = -1;
}
