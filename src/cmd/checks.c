/* Checks of settings: whether a value can be meant at all. Whether it fits the machine shows when it is used.
 */
#include "src/cmd/checks.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/memory.h"
#include "src/pki/name.h"

#define OWNER_FIRST                                                                                          \
    UINT32_C(0x81000000) /* TCG TPM v2.0 Provisioning Guidance §7.8: 0x81800000 on is the platform's */
#define OWNER_LAST UINT32_C(0x817fffff)
#define SRK UINT32_C(0x81000001)

PC_DEFINE_CLEANUP(GENERAL_NAMES, GENERAL_NAMES_free);

int cmd_check_command(const char *value)
{
    for (const char *c = value; *c != '\0'; c++)
        if (iscntrl((unsigned char)*c))
            return pc_fail(PC_EUSAGE, "a control character in a command");
    return strlen(value) <= 1000 ? 0 : pc_fail(PC_EUSAGE, "a command of more than 1000 bytes");
}

/* An address literal goes to the same parser as the names of a certificate. */
int cmd_check_host(const char *value)
{
    PC_CLEANUP(GENERAL_NAMES_free_ref) GENERAL_NAMES *names = GENERAL_NAMES_new();

    if (names == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    if (strchr(value, '*') != NULL || strlen(value) > 64)
        return pc_fail(PC_EUSAGE, "'%.70s' is no host name of at most 64 characters", value);
    return pki_san_add(names, value);
}

int cmd_check_count(const char *value)
{
    size_t len = strlen(value);

    if (len == 0 || len > 7 || strspn(value, "0123456789") != len || atol(value) > 1000000)
        return pc_fail(PC_EUSAGE, "'%.40s' is no number from 0 to 1000000", value);
    return 0;
}

static int check_place(const char *value, long port_min)
{
    const char *colon = strrchr(value, ':');
    pc_autofree char *host = colon != NULL ? strndup(value, (size_t)(colon - value)) : NULL;
    char *end = NULL;
    long port = colon != NULL && isdigit((unsigned char)colon[1]) ? strtol(colon + 1, &end, 10) : 0;

    if (host == NULL || end == NULL || *end != '\0' || port < port_min || port > 65535)
        return pc_fail(PC_EUSAGE, "'%.100s' is no ADDRESS:PORT", value);
    size_t len = strlen(host);
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        return cmd_check_host(host + 1);
    }
    return cmd_check_host(host);
}

int cmd_check_listen(const char *value)
{
    return check_place(value, 1);
}

int cmd_check_bind(const char *value)
{
    return check_place(value, 0);
}

/* Where the host of HOST:PORT ends; NULL when that cannot be told (an IPv6 address without brackets). */
static const char *host_end(const char *value)
{
    const char *colon = strchr(value, ':');

    if (value[0] == '[')
        return strchr(value, ']');
    return colon == NULL ? value + strlen(value) : strchr(colon + 1, ':') == NULL ? colon : NULL;
}

/* The number in ":PORT"; 0 when it is none. */
static long parse_port(const char *text)
{
    char *end = NULL;
    long port = text[0] == ':' && isdigit((unsigned char)text[1]) ? strtol(text + 1, &end, 10) : 0;

    return end != NULL && *end == '\0' ? port : 0;
}

int cmd_broker_parse(const char *value, char *ret_host, size_t size, uint16_t *ret_port)
{
    bool brackets = value[0] == '[';
    const char *end = host_end(value), *rest = end != NULL && brackets ? end + 1 : end;
    pc_autofree char *host = end != NULL ? strndup(value + brackets, (size_t)(end - value) - brackets) : NULL;
    unsigned char address[16];
    long port = host != NULL && rest[0] == '\0' ? CMD_BROKER_PORT : host != NULL ? parse_port(rest) : 0;

    if (port < 1 || port > 65535 || strlen(host) >= size ||
        (brackets && inet_pton(AF_INET6, host, address) != 1))
        return pc_fail(PC_EUSAGE, "'%.100s' is no HOST:PORT, nor [IPv6]:PORT", value);
    int rc = cmd_check_host(host);
    if (rc != 0)
        return rc;
    snprintf(ret_host, size, "%s", host);
    *ret_port = (uint16_t)port;
    return 0;
}

int cmd_check_broker(const char *value)
{
    char host[256];
    uint16_t port;

    return cmd_broker_parse(value, host, sizeof host, &port);
}

int cmd_check_https(const char *value)
{
    static const char scheme[] = "https://";

    if (strncmp(value, scheme, sizeof scheme - 1) != 0 || value[sizeof scheme - 1] == '\0')
        return pc_fail(PC_EUSAGE, "'%.100s' is no https:// address", value);
    for (const char *c = value; *c != '\0'; c++)
        if (*c == '@' || !isgraph((unsigned char)*c))
            return pc_fail(PC_EUSAGE, "a user name, a blank or a control character in the address");
    return 0;
}

int cmd_check_group(const char *value)
{
    return getgrnam(value) != NULL ? 0 : pc_fail(PC_EUSAGE, "'%.100s' is no group of this system", value);
}

static int parse_handle(const char *text, char after, const char **ret_end, uint32_t *ret)
{
    char *end = NULL;

    if (strncmp(text, "0x", 2) != 0 || !isxdigit((unsigned char)text[2]))
        return PC_EUSAGE;
    unsigned long long value = strtoull(text, &end, 16);
    if (*end != after || value < OWNER_FIRST || value > OWNER_LAST)
        return PC_EUSAGE;
    *ret_end = end + 1;
    *ret = (uint32_t)value;
    return 0;
}

int cmd_handles_parse(const char *value, uint32_t *ret_first, uint32_t *ret_last)
{
    const char *next = value;
    uint32_t first, last;

    if (parse_handle(next, '-', &next, &first) != 0 || parse_handle(next, '\0', &next, &last) != 0)
        return pc_fail(PC_EUSAGE, "'%.60s' is no range 0x…-0x… within 0x%08x-0x%08x", value, OWNER_FIRST,
                       OWNER_LAST);
    if (last <= first)
        return pc_fail(PC_EUSAGE, "'%.60s' holds fewer than two handles", value);
    if (first <= SRK && SRK <= last)
        return pc_fail(PC_EUSAGE, "'%.60s' holds the storage root key's handle 0x%08x", value, SRK);
    *ret_first = first;
    *ret_last = last;
    return 0;
}

int cmd_check_handles(const char *value)
{
    uint32_t first, last;

    return cmd_handles_parse(value, &first, &last);
}
