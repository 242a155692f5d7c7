/* Subject alternative names as users write them: "DNS:a.example, IP:127.0.0.1" (RFC 5280 §4.2.1.6). */
#include "src/pki/name.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/pki/openssl.h"

#define DNS_MAX 253 /* RFC 1035 §2.3.4, without length octets */
#define LABEL_MAX 63

static bool is_label(const char *text, size_t len)
{
    if (len == 0 || len > LABEL_MAX || text[0] == '-' || text[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isascii(text[i]) || (!isalnum((unsigned char)text[i]) && text[i] != '-'))
            return false;
    }
    return true;
}

/* RFC 1123 §2.1. A last label of digits only would be an address in disguise. */
static bool is_dns(const char *text)
{
    const char *at = strncmp(text, "*.", 2) == 0 ? text + 2 : text, *dot;

    if (strlen(text) > DNS_MAX)
        return false;
    while ((dot = strchr(at, '.'))) {
        if (!is_label(at, (size_t)(dot - at)))
            return false;
        at = dot + 1;
    }
    return is_label(at, strlen(at)) && strspn(at, "0123456789") != strlen(at);
}

/* Octets of an address: 4, 16, or 0 when it is none. */
static size_t read_address(const char *text, unsigned char ret[16])
{
    if (inet_pton(AF_INET, text, ret) == 1)
        return 4;
    return inet_pton(AF_INET6, text, ret) == 1 ? 16 : 0;
}

static bool has_name(const GENERAL_NAMES *names, const GENERAL_NAME *wanted)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);

        if (one->type != wanted->type)
            continue;
        if (one->type == GEN_DNS && one->d.dNSName->length == wanted->d.dNSName->length &&
            strncasecmp((const char *)one->d.dNSName->data, (const char *)wanted->d.dNSName->data,
                        (size_t)one->d.dNSName->length) == 0)
            return true;
        if (one->type == GEN_IPADD && ASN1_OCTET_STRING_cmp(one->d.iPAddress, wanted->d.iPAddress) == 0)
            return true;
    }
    return false;
}

/* Adds one name unless it is there. `type` is GEN_DNS or GEN_IPADD. */
static int add_name(GENERAL_NAMES *names, int type, const void *data, size_t len)
{
    PC_CLEANUP(GENERAL_NAME_free_ref) GENERAL_NAME *name = GENERAL_NAME_new();
    PC_CLEANUP(ASN1_STRING_free_ref)
    ASN1_STRING *value = ASN1_STRING_type_new(type == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);

    if (!name || !value || ASN1_STRING_set(value, data, (int)len) != 1)
        return pc_fail(PC_EFAIL, "out of memory");
    GENERAL_NAME_set0_value(name, type, pc_steal(value));
    if (has_name(names, name))
        return 0;
    if (sk_GENERAL_NAME_push(names, name) <= 0)
        return pc_fail(PC_EFAIL, "out of memory");
    name = NULL;
    return 0;
}

static int add_dns(GENERAL_NAMES *names, const char *host)
{
    if (!is_dns(host))
        return pc_fail(PC_EUSAGE, "'%s' is no DNS name (RFC 1123 §2.1)", host);
    return add_name(names, GEN_DNS, host, strlen(host));
}

static int add_address(GENERAL_NAMES *names, const char *host)
{
    unsigned char address[16];
    size_t len = read_address(host, address);

    if (len == 0)
        return pc_fail(PC_EUSAGE, "'%s' is no IP address", host);
    return add_name(names, GEN_IPADD, address, len);
}

int pki_san_add(GENERAL_NAMES *names, const char *host)
{
    unsigned char address[16];

    return read_address(host, address) ? add_address(names, host) : add_dns(names, host);
}

static int add_entry(GENERAL_NAMES *names, char *entry)
{
    char *end;

    entry += strspn(entry, " \t");
    end = entry + strlen(entry);
    while (end > entry && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    if (strncmp(entry, "DNS:", 4) == 0)
        return add_dns(names, entry + 4);
    if (strncmp(entry, "IP:", 3) == 0)
        return add_address(names, entry + 3);
    return pc_fail(PC_EUSAGE, "alternative name '%s' is neither DNS:… nor IP:…", entry);
}

int pki_san_parse(const char *text, GENERAL_NAMES **ret)
{
    PC_CLEANUP(GENERAL_NAMES_free_ref) GENERAL_NAMES *names = GENERAL_NAMES_new();
    pc_autofree char *copy = strdup(text);
    char *rest = copy, *entry;

    if (!names || !copy)
        return pc_fail(PC_EFAIL, "out of memory");
    while ((entry = strsep(&rest, ","))) {
        int rc = add_entry(names, entry);

        if (rc)
            return rc;
    }
    *ret = pc_steal(names);
    return 0;
}

static bool write_name(BIO *out, GENERAL_NAME *name)
{
    char text[INET6_ADDRSTRLEN];

    if (name->type == GEN_IPADD && (name->d.iPAddress->length == 4 || name->d.iPAddress->length == 16)) {
        int family = name->d.iPAddress->length == 4 ? AF_INET : AF_INET6;

        return inet_ntop(family, name->d.iPAddress->data, text, sizeof text) &&
               BIO_printf(out, "IP:%s", text) > 0;
    }
    return GENERAL_NAME_print(out, name) == 1;
}

int pki_san_format(const GENERAL_NAMES *names, char **ret)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *out = BIO_new(BIO_s_mem());
    const char *text;
    long len;

    if (!out)
        return pc_fail(PC_EFAIL, "out of memory");
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        if ((i > 0 && BIO_puts(out, ", ") <= 0) || !write_name(out, sk_GENERAL_NAME_value(names, i)))
            return pc_fail(PC_EFAIL, "out of memory");
    }
    len = BIO_get_mem_data(out, &text);
    *ret = strndup(len > 0 ? text : "", (size_t)len);
    return *ret ? 0 : pc_fail(PC_EFAIL, "out of memory");
}
