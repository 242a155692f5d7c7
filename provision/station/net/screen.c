/* The head of a request, octet by octet. */
#include "provision/station/net/screen.h"

#include <string.h>

/* RFC 9110 §5.6.2 */
static bool is_token(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *end_of_line(struct net_screen *s)
{
    bool empty = s->at == NET_SCREEN_NAME && s->name == 0;
    if (s->at == NET_SCREEN_NAME && !empty)
        return "a header without a colon";
    s->at = empty ? NET_SCREEN_BODY : NET_SCREEN_NAME;
    s->name = 0;
    return NULL;
}

static const char *in_name(struct net_screen *s, unsigned char c)
{
    if (c == ':' && s->name > 0) {
        s->at = NET_SCREEN_VALUE;
        return ++s->lines > NET_HEADERS_MAX ? "too many headers" : NULL;
    }
    if (!is_token(c))
        return (c == ' ' || c == '\t') && s->name == 0 ? "a folded header"
                                                       : "a header whose name is no token";
    s->name++;
    return NULL;
}

static const char *look_at(struct net_screen *s, unsigned char c)
{
    bool cr = s->cr;
    s->cr = c == '\r';
    if (c == '\n')
        return cr ? end_of_line(s) : "a line that ends in a bare LF";
    if (cr)
        return "a CR that ends no line";
    if (c == '\r')
        return NULL;
    if (s->at == NET_SCREEN_NAME)
        return in_name(s, c);
    if (s->at == NET_SCREEN_LINE)
        return c <= 0x20 && c != ' ' ? "a control character" : c >= 0x7f ? "an octet beyond ASCII" : NULL;
    return (c < 0x20 && c != '\t') || c == 0x7f ? "a control character" : NULL;
}

void net_screen_read(struct net_screen *screen, const void *data, size_t len)
{
    const unsigned char *octets = data;
    for (size_t i = 0; i < len && screen->at != NET_SCREEN_BODY && !screen->fault; i++)
        screen->fault = look_at(screen, octets[i]);
}
