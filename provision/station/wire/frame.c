/* Frames: length, version, kind, number, then fields of tag, length, value, as a table says. What the table
 * does not allow makes the frame none, in both directions. */
#include "provision/station/wire/frame.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "src/base/error.h"
#include "src/base/secret.h"

#define VERSION 1
#define LENGTH 4           /* bytes of a length, of the frame or of a field */
#define HEAD (LENGTH + 10) /* version, kind, number */
#define FIELD (1 + LENGTH) /* tag, length */

int wire_refuse(const char *what)
{
    return pc_refuse("wire-frame", "between the station's services: %s", what);
}

bool wire_is_printable(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

static void put_u32(size_t value, unsigned char *to)
{
    uint32_t big = htobe32((uint32_t)value);
    memcpy(to, &big, sizeof big);
}

static uint32_t take_u32(const unsigned char *from)
{
    uint32_t big;
    memcpy(&big, from, sizeof big);
    return be32toh(big);
}

/* Where a frame is written; without `data` it is only measured. */
struct out {
    unsigned char *data;
    size_t len;
};

static void put(struct out *out, const void *data, size_t len)
{
    if (out->data && len)
        memcpy(out->data + out->len, data, len);
    out->len += len;
}

static void put_value(struct out *out, const struct wire_field *field, const void *data, size_t len)
{
    unsigned char head[FIELD] = {field->tag};
    put_u32(len, head + 1);
    put(out, head, sizeof head);
    put(out, data, len);
}

/* A value that may be left out, when it is empty. */
static int put_some(struct out *out, const struct wire_field *field, const void *data, size_t len, size_t max)
{
    if (len > max)
        return pc_fail(PC_EUSAGE, "field %d of the station's services: %zu bytes, more than %zu", field->tag,
                       len, max);
    if (len)
        put_value(out, field, data, len);
    return 0;
}

static int put_text(struct out *out, const struct wire_field *field, const char *text)
{
    size_t len = strnlen(text, field->max);
    if (len == field->max || (len && field->form && !field->form(text)))
        return pc_fail(PC_EUSAGE, "field %d of the station's services: not of its form", field->tag);
    return put_some(out, field, text, len, field->max - 1);
}

static int put_list(struct out *out, const struct wire_field *field, const struct pc_bytes *list,
                    size_t count)
{
    int r = count > WIRE_CERTIFICATES_MAX
                ? pc_fail(PC_EUSAGE, "%zu certificates, more than %d", count, WIRE_CERTIFICATES_MAX)
                : 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = put_some(out, field, list[i].data, list[i].len, field->max);
    return r;
}

static int put_field(struct out *out, const struct wire_field *field, const void *message)
{
    const char *at = (const char *)message + field->at;
    unsigned char number[LENGTH], numbers[WIRE_HEALTH_BYTES];
    const struct pc_bytes *bytes = (const void *)at;
    struct pc_secret *secret;
    uint32_t value;
    size_t count;
    switch (field->type) {
    case WIRE_TEXT:
        return put_text(out, field, at);
    case WIRE_BYTES:
        return put_some(out, field, bytes->data, bytes->len, field->max);
    case WIRE_LIST:
        memcpy(&count, (const char *)message + field->count, sizeof count);
        return put_list(out, field, bytes, count);
    case WIRE_SECRET:
        memcpy(&secret, at, sizeof secret);
        return secret ? put_some(out, field, secret->data, secret->len, field->max) : 0;
    case WIRE_NUMBER:
        memcpy(&value, at, sizeof value);
        put_u32(value, number);
        put_value(out, field, number, sizeof number);
        return 0;
    case WIRE_FLAG:
        put_value(out, field, *(const bool *)at ? "\1" : "\0", 1);
        return 0;
    case WIRE_NUMBERS:
        wire_health_put((const void *)at, numbers);
        put_value(out, field, numbers, sizeof numbers);
        return 0;
    }
    return pc_fail(PC_EFAIL, "no such field");
}

static int put_frame(struct out *out, const struct wire_table *table, enum wire_kind kind, uint64_t number,
                     const void *message)
{
    const uint64_t big = htobe64(number);
    unsigned char head[HEAD] = {[LENGTH] = VERSION, [LENGTH + 1] = (unsigned char)(kind | table->direction)};
    memcpy(head + LENGTH + 2, &big, sizeof big);
    put(out, head, sizeof head);
    for (size_t i = 0; i < table->count; i++) {
        int r = table->fields[i].allowed & WIRE_BIT(kind) ? put_field(out, &table->fields[i], message) : 0;
        if (r < 0)
            return r;
    }
    return out->len <= WIRE_FRAME_MAX ? 0 : pc_fail(PC_EUSAGE, "a frame of %zu bytes", out->len);
}

int wire_write(const struct wire_table *table, enum wire_kind kind, uint64_t number, const void *message,
               struct pc_bytes *ret)
{
    struct out out = {0};
    if ((unsigned)kind >= WIRE_KINDS)
        return pc_fail(PC_EUSAGE, "no such question: %d", (int)kind);
    int r = put_frame(&out, table, kind, number, message);
    if (r < 0)
        return r;
    out.data = malloc(out.len + 1);
    if (!out.data)
        return pc_fail(PC_EFAIL, "out of memory");
    out.len = 0;
    r = put_frame(&out, table, kind, number, message);
    put_u32(out.len - LENGTH, out.data);
    out.data[out.len] = '\0';
    *ret = (struct pc_bytes){.data = out.data, .len = out.len};
    return r;
}

void wire_frame_wipe(struct pc_bytes *frame)
{
    if (frame->data)
        OPENSSL_cleanse(frame->data, frame->len);
    pc_bytes_clear(frame);
}

int wire_frame_length(const void *data, size_t len, size_t *ret_len)
{
    *ret_len = 0;
    if (len < LENGTH)
        return 0;
    size_t rest = take_u32(data);
    if (rest < HEAD - LENGTH || rest > WIRE_FRAME_MAX - LENGTH)
        return wire_refuse("a frame of an impossible length");
    if (len > LENGTH && ((const unsigned char *)data)[LENGTH] != VERSION)
        return wire_refuse("a frame of another version");
    if (len - LENGTH >= rest)
        *ret_len = LENGTH + rest;
    return 0;
}

static int take_text(const struct wire_field *field, const unsigned char *value, size_t len, char *to)
{
    if (len >= field->max || memchr(value, 0, len))
        return wire_refuse("a text that is too long, or none");
    memcpy(to, value, len);
    to[len] = '\0';
    return !field->form || field->form(to) ? 0 : wire_refuse("a text that is not of its form");
}

static int take_secret(const struct wire_field *field, const unsigned char *value, size_t len, char *to)
{
    struct pc_secret *secret;
    int r = len > field->max ? wire_refuse("a code that is too long") : pc_secret_new(len, &secret);
    if (r < 0)
        return r;
    memcpy(secret->data, value, len);
    memcpy(to, &secret, sizeof secret);
    return 0;
}

static int take_bytes(const struct wire_field *field, const unsigned char *value, size_t len,
                      struct pc_bytes *to)
{
    return len > field->max ? wire_refuse("a value that is too long") : pc_bytes_copy(value, len, to);
}

static int take_list(const struct wire_field *field, const unsigned char *value, size_t len, void *message)
{
    struct pc_bytes *list = (void *)((char *)message + field->at);
    size_t count;
    memcpy(&count, (char *)message + field->count, sizeof count);
    if (count >= WIRE_CERTIFICATES_MAX)
        return wire_refuse("too many certificates");
    int r = take_bytes(field, value, len, &list[count]);
    count += r == 0;
    memcpy((char *)message + field->count, &count, sizeof count);
    return r;
}

static int take_field(const struct wire_field *field, const unsigned char *value, size_t len, void *message)
{
    char *at = (char *)message + field->at;
    uint32_t number;
    switch (field->type) {
    case WIRE_TEXT:
        return take_text(field, value, len, at);
    case WIRE_BYTES:
        return take_bytes(field, value, len, (void *)at);
    case WIRE_LIST:
        return take_list(field, value, len, message);
    case WIRE_SECRET:
        return take_secret(field, value, len, at);
    case WIRE_NUMBER:
        if (len != sizeof number)
            return wire_refuse("a number of another size");
        number = take_u32(value);
        memcpy(at, &number, sizeof number);
        return 0;
    case WIRE_FLAG:
        if (len != 1 || *value > 1)
            return wire_refuse("neither yes nor no");
        *(bool *)at = *value;
        return 0;
    case WIRE_NUMBERS:
        return len == WIRE_HEALTH_BYTES ? wire_health_take(value, (void *)at) : wire_refuse("other numbers");
    }
    return wire_refuse("no such field");
}

static const struct wire_field *find_field(const struct wire_table *table, unsigned char tag)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->fields[i].tag == tag)
            return &table->fields[i];
    return NULL;
}

/* What may be left out is what may be empty; numbers and flags always come. */
static bool is_complete(const struct wire_table *table, enum wire_kind kind, const bool seen[UINT8_MAX + 1])
{
    for (size_t i = 0; i < table->count; i++) {
        const struct wire_field *field = &table->fields[i];
        bool fixed = field->type == WIRE_NUMBER || field->type == WIRE_FLAG || field->type == WIRE_NUMBERS;
        if (fixed && (field->allowed & WIRE_BIT(kind)) && !seen[field->tag])
            return false;
    }
    return true;
}

/* Tags rise, so that nothing comes twice but the members of a list. */
static int take_fields(const struct wire_table *table, enum wire_kind kind, const unsigned char *at,
                       size_t left, void *message)
{
    unsigned char last = 0;
    bool seen[UINT8_MAX + 1] = {false};
    while (left > 0) {
        size_t len = left >= FIELD ? take_u32(at + 1) : 0;
        const struct wire_field *field = find_field(table, *at);
        if (left < FIELD || len > left - FIELD || len == 0)
            return wire_refuse("a field of an impossible length");
        if (!field || !(field->allowed & WIRE_BIT(kind)))
            return wire_refuse("a field that does not belong there");
        if (*at < last || (*at == last && field->type != WIRE_LIST))
            return wire_refuse("a field twice, or out of order");
        last = *at;
        seen[last] = true;
        int r = take_field(field, at + FIELD, len, message);
        if (r < 0)
            return r;
        at += FIELD + len;
        left -= FIELD + len;
    }
    return is_complete(table, kind, seen) ? 0 : wire_refuse("a field is missing");
}

int wire_read(const struct wire_table *table, const void *frame, size_t len, enum wire_kind *ret_kind,
              uint64_t *ret_number, void *message)
{
    const unsigned char *data = frame;
    size_t whole;
    uint64_t big;
    int r = wire_frame_length(frame, len, &whole);
    if (r < 0)
        return r;
    if (whole == 0 || whole != len)
        return wire_refuse("not one frame");
    unsigned kind = data[LENGTH + 1] ^ table->direction;
    if (kind >= WIRE_KINDS)
        return wire_refuse("no such kind");
    memcpy(&big, data + LENGTH + 2, sizeof big);
    *ret_kind = (enum wire_kind)kind;
    *ret_number = be64toh(big);
    return take_fields(table, *ret_kind, data + HEAD, len - HEAD, message);
}
