/* Base64 bodies: read as tolerantly as RFC 8951 wants it of white space, and as strictly as RFC 4648 has it
 * of all else, so that two bodies that say the same differ in white space alone. */
#include "src/est/body.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"

#define LINE_BYTES 48 /* 64 characters */

static bool in_alphabet(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* What stands in `text` without its white space. */
static int gather(const unsigned char *text, size_t len, unsigned char *ret, size_t *ret_len)
{
    size_t count = 0, padding = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\r' || text[i] == '\n' || text[i] == '\t' || text[i] == ' ')
            continue;
        if (text[i] == '=')
            padding++;
        else if (!in_alphabet(text[i]))
            return pc_refuse("est-base64", "body holds the octet 0x%02x at %zu (RFC 4648 §4)", text[i], i);
        else if (padding > 0)
            return pc_refuse("est-base64", "body goes on behind its padding (RFC 4648 §3.3)");
        ret[count++] = text[i];
    }
    if (count == 0)
        return pc_refuse("est-base64", "body is empty (RFC 8951 §3.1)");
    if (count % 4 != 0 || padding > 2)
        return pc_refuse("est-base64", "body of %zu characters, %zu of them padding (RFC 4648 §4)", count,
                         padding);
    *ret_len = count;
    return 0;
}

/* The bits behind the last octet are zero (RFC 4648 §3.5): the last four characters are as they would be
 * written. */
static bool ends_canonically(const unsigned char *last_quad, const unsigned char *octets, size_t count)
{
    unsigned char again[5];

    EVP_EncodeBlock(again, octets, (int)count);
    return memcmp(again, last_quad, 4) == 0;
}

int est_body_decode(const void *text, size_t len, struct pc_bytes *ret_der)
{
    size_t count = 0, size;
    pc_autofree unsigned char *characters = NULL;
    pc_autofree unsigned char *octets = NULL;
    int rc;

    if (len > EST_BODY_MAX)
        return pc_refuse("est-base64", "body of %zu octets, more than %d", len, EST_BODY_MAX);
    characters = malloc(len + 1);
    octets = malloc(len + 1);
    if (!characters || !octets)
        return pc_fail(PC_EFAIL, "out of memory");
    rc = gather(text, len, characters, &count);
    if (rc)
        return rc;
    if (EVP_DecodeBlock(octets, characters, (int)count) < 0)
        return pc_refuse("est-base64", "body is no base64 (RFC 4648 §4)");
    size = count / 4 * 3;
    for (size_t i = count; characters[i - 1] == '='; i--)
        size--;
    if (!ends_canonically(characters + count - 4, octets + count / 4 * 3 - 3, size - (count / 4 * 3 - 3)))
        return pc_refuse("est-base64", "body ends in bits that belong to no octet (RFC 4648 §3.5)");
    return pc_bytes_copy(octets, size, ret_der);
}

int est_body_encode(const struct pc_bytes *der, bool wrapped, struct pc_bytes *ret_text)
{
    size_t step = wrapped ? LINE_BYTES : der->len, len = 0;
    pc_autofree unsigned char *text = NULL;

    if (der->len == 0 || der->len > EST_BODY_MAX / 2) /* what is read back is not over the limit */
        return pc_fail(PC_EFAIL, "body of %zu octets", der->len);
    text = malloc(der->len / 3 * 4 + 4 + der->len / LINE_BYTES + 2);
    if (!text)
        return pc_fail(PC_EFAIL, "out of memory");
    for (size_t at = 0; at < der->len; at += step) {
        size_t part = der->len - at < step ? der->len - at : step;

        len += (size_t)EVP_EncodeBlock(text + len, der->data + at, (int)part);
        if (wrapped)
            text[len++] = '\n';
    }
    return pc_bytes_copy(text, len, ret_text);
}
