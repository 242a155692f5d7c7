/* HTTP replies by evhttp, which adds Date and Content-Length. */
#include "provision/station/net/reply.h"

#include <stdio.h>
#include <string.h>

#include <event2/buffer.h>

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {202, "Accepted"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {415, "Unsupported Media Type"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Error";
}

bool net_reply_wrapped(struct evhttp_request *request)
{
    return evhttp_find_header(evhttp_request_get_input_headers(request), "User-Agent") != NULL;
}

static void add_headers(struct evkeyvalq *headers, const struct net_reply *reply)
{
    char seconds[16];
    evhttp_add_header(headers, "Content-Type", reply->type ? reply->type : "text/plain; charset=utf-8");
    if (reply->type)
        evhttp_add_header(headers, "Content-Transfer-Encoding", "base64");
    if (reply->allow)
        evhttp_add_header(headers, "Allow", reply->allow);
    if (reply->status == 401)
        evhttp_add_header(headers, "WWW-Authenticate", "Basic realm=\"plantca\"");
    if (reply->retry_after) {
        snprintf(seconds, sizeof seconds, "%u", reply->retry_after);
        evhttp_add_header(headers, "Retry-After", seconds);
    }
    if (reply->close)
        evhttp_add_header(headers, "Connection", "close");
}

static void on_sent(struct evhttp_request *request, void *arg)
{
    (void)request;
    net_connection_replied(arg);
}

/* After a CONNECT evhttp says no length and leaves the connection open: a tunnel would come next. None does
 * here. */
static void on_refused_tunnel(struct evhttp_request *request, void *arg)
{
    on_sent(request, arg);
    net_connection_close(arg);
}

static void end_tunnel(struct evhttp_request *request, size_t len)
{
    char text[24];
    snprintf(text, sizeof text, "%zu", len);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Length", text);
}

void net_reply_send(struct net_service *service, struct net_connection *connection,
                    struct evhttp_request *request, const struct net_reply *reply)
{
    struct evbuffer *body = evbuffer_new();
    const char *text = reply->text && *reply->text ? reply->text : reason_of(reply->status);
    struct net_reply sent = *reply;
    sent.close |= service->draining;
    add_headers(evhttp_request_get_output_headers(request), &sent);
    if (body && reply->type)
        evbuffer_add(body, reply->body->data, reply->body->len);
    else if (body)
        evbuffer_add_printf(body, "%s\n", text);
    service->counters.replies[reply->status / 100]++;
    bool tunnel = evhttp_request_get_command(request) == EVHTTP_REQ_CONNECT;
    if (tunnel)
        end_tunnel(request, body ? evbuffer_get_length(body) : 0);
    evhttp_request_set_on_complete_cb(request, tunnel ? on_refused_tunnel : on_sent, connection);
    evhttp_send_reply(request, reply->status, reason_of(reply->status), body);
    if (body)
        evbuffer_free(body);
}
