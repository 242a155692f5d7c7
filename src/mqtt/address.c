/* Names and TCP connections that end in time: getaddrinfo(3) and connect(2) know no limit of ours. */
#include "src/mqtt/address.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "src/base/memory.h"

int64_t mqtt_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A question on its way: it outlives the one who asked, should no answer come. */
struct question {
    struct gaicb lookup;
    struct addrinfo wanted;
    char port[6], host[];
};

static int await(struct question *question, int64_t until)
{
    const struct gaicb *const list[] = {&question->lookup};
    int error;
    while ((error = gai_error(&question->lookup)) == EAI_INPROGRESS) {
        int64_t left = until - mqtt_now();
        if (left <= 0)
            return EAI_INPROGRESS;
        const struct timespec limit = {.tv_sec = left / 1000, .tv_nsec = (long)(left % 1000) * 1000000};
        (void)gai_suspend(list, 1, &limit);
    }
    return error;
}

int mqtt_resolve(const char *host, uint16_t port, int64_t until, struct addrinfo **ret)
{
    size_t size = strlen(host) + 1;
    struct question *question = calloc(1, sizeof *question + size);
    if (!question)
        return EAI_MEMORY;
    memcpy(question->host, host, size);
    snprintf(question->port, sizeof question->port, "%u", port);
    question->wanted = (struct addrinfo){.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    question->lookup = (struct gaicb){
        .ar_name = question->host, .ar_service = question->port, .ar_request = &question->wanted};
    struct gaicb *list[] = {&question->lookup};
    int error = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
    if (error == 0) {
        error = await(question, until);
        if (error == EAI_INPROGRESS && gai_cancel(&question->lookup) != EAI_CANCELED) {
            pc_process_abandon(); /* a thread of the C library still holds the question */
            return error;
        }
    }
    if (error == 0)
        *ret = question->lookup.ar_result;
    free(question);
    return error;
}

int mqtt_dial(const struct addrinfo *address, int64_t until)
{
    pc_autoclose int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            return -errno;
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        int64_t left = until - mqtt_now();
        int error = ETIMEDOUT;
        socklen_t len = sizeof error;
        if (left > 0 && poll(&ready, 1, (int)left) == 1)
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error)
            return -error;
    }
    int made = fd;
    fd = -1;
    return made;
}
