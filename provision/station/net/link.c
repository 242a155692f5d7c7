/* Questions on their way to the signer. One that got no answer in time keeps its place until the answer
 * comes: how many the signer has at once is what is limited. */
#include "provision/station/net/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "provision/station/net/seal.h"
#include "src/base/error.h"
#include "src/base/log.h"

#define RETRY_FIRST 100 /* milliseconds */
#define RETRY_LAST 5000
#define OVERDUE 4 /* answer times after which a signer that says nothing is left */

struct asked {
    TAILQ_ENTRY(asked) next;
    uint64_t number, since;
    enum wire_kind kind;
    net_answer_to to; /* NULL: given up */
    void *arg;
};
TAILQ_HEAD(asked_list, asked);

struct net_link {
    struct net_service *service;
    void (*up)(void *arg);
    void *arg;
    struct bufferevent *bev; /* NULL: down */
    struct event *retry, *sweep;
    unsigned delay; /* milliseconds until the next try */
    bool told;      /* that it is down */
    uint64_t number;
    struct asked_list asked; /* oldest first */
    size_t count;
};

bool net_link_is_up(const struct net_link *link)
{
    return link->bev != NULL;
}

size_t net_link_questions(const struct net_link *link)
{
    return link->count;
}

static void settle_one(struct net_link *link, struct asked *asked, const struct wire_answer *answer)
{
    TAILQ_REMOVE(&link->asked, asked, next);
    link->count--;
    if (asked->to)
        asked->to(answer, NET_AWAY, asked->arg);
    free(asked);
}

static void schedule(struct net_link *link)
{
    const struct timeval wait = {.tv_sec = link->delay / 1000, .tv_usec = link->delay % 1000 * 1000};
    link->delay = link->delay * 2 > RETRY_LAST ? RETRY_LAST : link->delay * 2;
    event_add(link->retry, &wait);
}

static void come_down(struct net_link *link, const char *why)
{
    struct asked *asked;
    if (link->bev) {
        bufferevent_free(link->bev);
        link->bev = NULL;
    }
    if (!link->told)
        pc_log(PC_LOG_WARNING, "the signer is gone: %s", why);
    link->told = true;
    while ((asked = TAILQ_FIRST(&link->asked)))
        settle_one(link, asked, NULL);
    schedule(link);
}

/* --- answers --- */

static struct asked *find(struct net_link *link, uint64_t number)
{
    struct asked *asked;
    TAILQ_FOREACH(asked, &link->asked, next)
    if (asked->number == number)
        return asked;
    return NULL;
}

static int take(struct net_link *link, const void *frame, size_t len)
{
    struct wire_answer PC_CLEANUP(wire_answer_clear) answer = {0};
    int r = wire_answer_read(frame, len, &answer);
    if (r < 0)
        return r;
    struct asked *asked = find(link, answer.number);
    if (!asked || asked->kind != answer.kind)
        return pc_refuse("wire-frame", "an answer to a question that was not asked");
    settle_one(link, asked, &answer);
    return 0;
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct net_link *link = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    /* What an answer sets off may bring the link down. */
    while (link->bev == bev && evbuffer_get_length(input) > 0) {
        size_t len = evbuffer_get_length(input), frame = 0;
        const unsigned char *data = evbuffer_pullup(input, -1);
        int r = wire_frame_length(data, len, &frame);
        if (r == 0 && frame == 0)
            return;
        if (r == 0)
            r = take(link, data, frame);
        if (link->bev != bev)
            return;
        if (r < 0) {
            pc_log(PC_LOG_WARNING, "the signer's answer is none: %s", pc_error_text());
            come_down(link, "it does not speak as a signer does");
            return;
        }
        evbuffer_drain(input, frame);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        come_down(arg, what & BEV_EVENT_EOF ? "it closed the connection" : strerror(errno));
}

/* --- up and down --- */

static int connect_path(const char *path, int *ret)
{
    socklen_t len;
    const struct sockaddr *address = net_seal(path, &len);
    if (!address)
        return pc_fail(PC_EUSAGE, "%s is too long for a socket's path", path);
    int fd pc_autoclose = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, address, len) != 0)
        return pc_fail_errno(PC_EUNREACH, "%s", path);
    *ret = fd;
    fd = -1;
    return 0;
}

static int attach(struct net_link *link, int fd)
{
    struct bufferevent *bev = bufferevent_socket_new(link->service->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!bev) {
        close(fd);
        return pc_fail(PC_EFAIL, "out of memory");
    }
    bufferevent_setcb(bev, on_read, NULL, on_event, link);
    bufferevent_setwatermark(bev, EV_READ, 0, WIRE_FRAME_MAX);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    link->bev = bev;
    if (link->told)
        pc_log(PC_LOG_NOTICE, "the signer is there again");
    link->told = false;
    link->delay = RETRY_FIRST;
    link->up(link->arg);
    return 0;
}

static void open_link(struct net_link *link)
{
    int fd = -1, r = connect_path(link->service->settings->signer, &fd);
    if (r == 0)
        r = attach(link, fd);
    if (r == 0)
        return;
    if (!link->told)
        pc_log(PC_LOG_WARNING,
               "no signer: %s (plantca signer serves it, as plantca-signer.service; "
               "plantca serve --single has one of its own)",
               pc_error_text());
    link->told = true;
    schedule(link);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    open_link(arg);
}

static void sweep(evutil_socket_t fd, short what, void *arg)
{
    struct net_link *link = arg;
    struct asked *asked;
    uint64_t now = net_clock(), answer = UINT64_C(1000) * link->service->settings->limits.answer;
    (void)fd, (void)what;
    TAILQ_FOREACH(asked, &link->asked, next)
    {
        if (now - asked->since < answer)
            break;
        net_answer_to to = asked->to;
        asked->to = NULL;
        if (to)
            to(NULL, NET_LATE, asked->arg);
    }
    asked = TAILQ_FIRST(&link->asked);
    if (asked && now - asked->since >= OVERDUE * answer)
        come_down(link, "it gives no answer");
}

int net_link_new(struct net_service *service, void (*up)(void *arg), void *arg, struct net_link **ret)
{
    PC_CLEANUP(net_link_free_ref) struct net_link *link = calloc(1, sizeof *link);
    const struct timeval often = {.tv_usec = 250 * 1000}, now = {0};
    if (!link)
        return pc_fail(PC_EFAIL, "out of memory");
    *link = (struct net_link){.service = service, .up = up, .arg = arg, .delay = RETRY_FIRST};
    TAILQ_INIT(&link->asked);
    link->retry = event_new(service->base, -1, 0, on_retry, link);
    link->sweep = event_new(service->base, -1, EV_PERSIST, sweep, link);
    if (!link->retry || !link->sweep || event_add(link->sweep, &often) != 0 ||
        event_add(link->retry, &now) != 0)
        return pc_fail(PC_EFAIL, "out of memory");
    *ret = pc_steal(link);
    return 0;
}

void net_link_free(struct net_link *link)
{
    struct asked *asked;
    if (!link)
        return;
    if (link->bev)
        bufferevent_free(link->bev);
    if (link->retry)
        event_free(link->retry);
    if (link->sweep)
        event_free(link->sweep);
    while ((asked = TAILQ_FIRST(&link->asked)))
        settle_one(link, asked, NULL);
    free(link);
}

static void wipe(const void *data, size_t len, void *frame)
{
    (void)data, (void)len;
    wire_frame_wipe(frame);
    free(frame);
}

/* The frame, which may hold a code, is not copied on its way, and wiped behind it. */
static int send_frame(struct net_link *link, const struct wire_question *question)
{
    struct pc_bytes *frame = calloc(1, sizeof *frame);
    if (!frame)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = wire_question_write(question, frame);
    if (r < 0) {
        free(frame);
        return r;
    }
    if (evbuffer_add_reference(bufferevent_get_output(link->bev), frame->data, frame->len, wipe, frame) !=
        0) {
        wipe(NULL, 0, frame);
        return pc_fail(PC_EFAIL, "out of memory");
    }
    return 0;
}

int net_link_ask(struct net_link *link, struct wire_question *question, net_answer_to to, void *arg,
                 enum net_turned *ret_why)
{
    bool full = link->count >= link->service->settings->limits.questions;
    if (!link->bev || full) {
        *ret_why = link->bev ? NET_BUSY : NET_AWAY;
        return pc_fail(PC_EUNREACH, full ? "too many questions at the signer" : "no signer");
    }
    struct asked *asked = calloc(1, sizeof *asked);
    if (!asked)
        return pc_fail(PC_EFAIL, "out of memory");
    question->number = ++link->number;
    *asked = (struct asked){
        .number = question->number, .since = net_clock(), .kind = question->kind, .to = to, .arg = arg};
    int r = send_frame(link, question);
    if (r < 0) {
        free(asked);
        return r;
    }
    TAILQ_INSERT_TAIL(&link->asked, asked, next);
    link->count++;
    return 0;
}
