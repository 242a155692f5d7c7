/* Framing (RFC 9112 §6): one length, said once, in one way. */
#include "provision/station/net/framing.h"

#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include <event2/buffer.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>

/* Headers of which a second one makes a request ambiguous. */
static const char *const singular[] = {
    "Content-Length", "Transfer-Encoding", "Host", "Authorization", "Content-Type", "Expect", "User-Agent"};

static size_t count(struct evhttp_request *request, const char *name)
{
    const struct evkeyval *header;
    size_t n = 0;
    TAILQ_FOREACH(header, evhttp_request_get_input_headers(request), next)
    n += strcasecmp(header->key, name) == 0;
    return n;
}

const char *net_framing_fault(struct evhttp_request *request, size_t behind)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    const char *length = evhttp_find_header(headers, "Content-Length");
    const char *coding = evhttp_find_header(headers, "Transfer-Encoding");
    for (size_t i = 0; i < sizeof singular / sizeof *singular; i++)
        if (count(request, singular[i]) > 1)
            return "a header twice";
    if (length && coding)
        return "Content-Length beside Transfer-Encoding";
    if (coding && strcasecmp(coding, "chunked") != 0)
        return "a Transfer-Encoding other than chunked";
    if (coding && (request->major != 1 || request->minor < 1))
        return "Transfer-Encoding before HTTP/1.1";
    if (length && (length[strspn(length, "0123456789")] != '\0' || strlen(length) > 9))
        return "a Content-Length that is no number";
    if (evhttp_request_get_command(request) != EVHTTP_REQ_POST &&
        (coding || evbuffer_get_length(evhttp_request_get_input_buffer(request)) > 0))
        return "a body where none belongs";
    return behind > 0 ? "octets behind the request, before its reply" : NULL;
}

size_t net_framing_behind(struct evbuffer *input)
{
    char end[2];
    if (evbuffer_copyout(input, end, sizeof end) == sizeof end && memcmp(end, "\r\n", sizeof end) == 0)
        evbuffer_drain(input, sizeof end);
    return evbuffer_get_length(input);
}
