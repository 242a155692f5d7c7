/* The sockets of the signer: who may connect, whole frames in, whole frames out. One network service has one
 * connection; the few that there may be share what there is. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "provision/station/signer/station.h"
#include "src/base/error.h"
#include "src/base/log.h"

#define CONNECTIONS_MAX 8
#define OUT_MAX (16U << 20)  /* bytes that wait for somebody who does not read: closed beyond */
#define OUT_PAUSE (1U << 20) /* bytes from which on nothing more of theirs is read */

struct connection {
    int fd; /* -1: none */
    uint64_t id;
    unsigned char *in; /* WIRE_FRAME_MAX bytes */
    size_t in_len;
    struct pc_bytes out;
    size_t out_sent, out_room;
};

struct connections {
    struct station *station;
    struct connection all[CONNECTIONS_MAX];
    uint64_t last;
};

static void close_connection(struct connection *c)
{
    if (c->in)
        OPENSSL_cleanse(c->in, WIRE_FRAME_MAX);
    free(c->in);
    free(c->out.data);
    if (c->fd >= 0)
        close(c->fd);
    *c = (struct connection){.fd = -1};
}

void connections_free(struct connections *cs)
{
    if (!cs)
        return;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        close_connection(&cs->all[i]);
    free(cs);
}

static bool is_peer(const struct signer_options *options, uid_t uid)
{
    if (uid == geteuid())
        return true;
    for (size_t i = 0; i < options->peer_count; i++)
        if (options->peers[i] == uid)
            return true;
    return false;
}

static int check_peer(const struct signer_options *options, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return pc_fail_errno(PC_EFAIL, "signer: who is connecting");
    if (is_peer(options, peer.uid))
        return 0;
    return pc_refuse("signer-peer", "signer: process %d of user %u may not connect", (int)peer.pid,
                     (unsigned)peer.uid);
}

/* Takes `fd` over. */
static int add(struct connections *cs, int fd)
{
    pc_autoclose int owned = fd;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &cs->all[i];
        if (c->fd >= 0)
            continue;
        c->in = malloc(WIRE_FRAME_MAX);
        if (!c->in)
            return pc_fail(PC_EFAIL, "out of memory");
        c->fd = fd;
        c->id = ++cs->last;
        owned = -1;
        return 0;
    }
    return pc_refuse("signer-full", "signer: %d connections are open already", CONNECTIONS_MAX);
}

int connections_new(struct station *station, struct connections **ret)
{
    struct connections *cs PC_CLEANUP(connections_free_ref) = calloc(1, sizeof *cs);
    if (!cs)
        return pc_fail(PC_EFAIL, "out of memory");
    cs->station = station;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        cs->all[i].fd = -1;
    *ret = pc_steal(cs);
    return 0;
}

static void accept_one(struct connections *cs)
{
    int fd = accept4(cs->station->options->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    int r = check_peer(cs->station->options, fd);
    if (r < 0)
        close(fd);
    if (r < 0 || add(cs, fd) < 0)
        pc_log(PC_LOG_WARNING, "%s", pc_error_text());
}

/* What cannot be sent now waits. */
static void send_some(struct connection *c)
{
    while (c->fd >= 0 && c->out_sent < c->out.len) {
        ssize_t n =
            send(c->fd, c->out.data + c->out_sent, c->out.len - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            close_connection(c);
        if (n < 0)
            return;
        c->out_sent += (size_t)n;
    }
    c->out.len = c->out_sent = 0;
}

static int append(struct connection *c, const struct pc_bytes *frame)
{
    if (c->out_sent > 0) {
        memmove(c->out.data, c->out.data + c->out_sent, c->out.len - c->out_sent);
        c->out.len -= c->out_sent;
        c->out_sent = 0;
    }
    if (c->out.len + frame->len > c->out_room) {
        size_t room = 2 * (c->out.len + frame->len);
        unsigned char *grown = room > OUT_MAX ? NULL : realloc(c->out.data, room);
        if (!grown)
            return pc_fail(PC_EFAIL, "signer: answers are not being read");
        c->out.data = grown;
        c->out_room = room;
    }
    memcpy(c->out.data + c->out.len, frame->data, frame->len);
    c->out.len += frame->len;
    return 0;
}

void connections_answer(struct connections *cs, uint64_t connection, const struct wire_answer *answer)
{
    pc_autobytes frame = {0};
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &cs->all[i];
        if (c->fd < 0 || c->id != connection)
            continue;
        int r = wire_answer_write(answer, &frame);
        if (r == 0)
            r = append(c, &frame);
        if (r < 0) {
            pc_log(PC_LOG_WARNING, "signer: connection closed: %s", pc_error_text());
            close_connection(c);
        }
        return;
    }
}

/* Each whole frame among what has come. False where there is none of ours in it. */
static bool read_frames(struct connections *cs, struct connection *c)
{
    size_t at = 0, len;
    int r = 0;
    while (r == 0 && c->fd >= 0) {
        struct wire_question question;
        r = wire_frame_length(c->in + at, c->in_len - at, &len);
        if (r < 0 || len == 0)
            break;
        r = wire_question_read(c->in + at, len, &question);
        at += len;
        if (r == 0)
            station_ask(cs->station, c->id, &question);
    }
    if (c->fd < 0)
        return true;
    if (r < 0)
        return false;
    memmove(c->in, c->in + at, c->in_len - at);
    OPENSSL_cleanse(c->in + c->in_len - at, at); /* there may have been a code in it */
    c->in_len -= at;
    return true;
}

static void receive(struct connections *cs, struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, WIRE_FRAME_MAX - c->in_len, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (n <= 0) {
        close_connection(c);
        return;
    }
    c->in_len += (size_t)n;
    if (!read_frames(cs, c)) {
        pc_log(PC_LOG_WARNING, "signer: connection closed: %s", pc_error_text());
        close_connection(c);
    }
}

static short wanted(const struct connection *c, bool quiet)
{
    bool reads = !quiet && c->out.len - c->out_sent < OUT_PAUSE;
    return (short)((reads ? POLLIN : 0) | (c->out_sent < c->out.len ? POLLOUT : 0));
}

static void drain_wake(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n; /* it is not blocking, and what it counts is of no interest */
}

void connections_serve(struct connections *cs, int ms, bool quiet)
{
    struct pollfd fds[CONNECTIONS_MAX + 2] = {
        {.fd = cs->station->wake, .events = POLLIN},
        {.fd = quiet ? -1 : cs->station->options->listener, .events = POLLIN},
    };
    quiet = quiet || station_is_full(cs->station);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        send_some(&cs->all[i]);
        fds[i + 2] = (struct pollfd){.fd = cs->all[i].fd, .events = wanted(&cs->all[i], quiet)};
    }
    if (poll(fds, CONNECTIONS_MAX + 2, ms) <= 0)
        return;
    if (fds[0].revents)
        drain_wake(cs->station->wake);
    if (fds[1].revents)
        accept_one(cs);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &cs->all[i];
        /* One whose slot was just taken anew has nothing to tell yet. */
        if (c->fd < 0 || c->fd != fds[i + 2].fd)
            continue;
        if (fds[i + 2].revents & (POLLIN | POLLHUP | POLLERR))
            receive(cs, c);
        if (c->fd >= 0)
            send_some(c);
    }
}

bool connections_flushed(const struct connections *cs)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (cs->all[i].fd >= 0 && cs->all[i].out_sent < cs->all[i].out.len)
            return false;
    return true;
}
