/* Frames as tables of fields: what both kinds of message share. Within provision/station/wire only. */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <stddef.h>

#include "provision/station/wire/wire.h"

#define WIRE_CERTIFICATE_MAX 12288 /* bytes of DER; WIRE_CERTIFICATES_MAX of them fit a frame */
#define WIRE_BIT(kind) (1U << (kind))
#define WIRE_ANY (WIRE_BIT(WIRE_KINDS) - 1)

enum wire_type {
    WIRE_TEXT,    /* char array of `max` bytes, its NUL not counted on the wire; left out where it is "" */
    WIRE_BYTES,   /* struct pc_bytes; left out where it is empty */
    WIRE_LIST,    /* array of struct pc_bytes, a field each; `count` is where their number stands */
    WIRE_SECRET,  /* struct pc_secret *; left out where it is NULL */
    WIRE_NUMBER,  /* four bytes */
    WIRE_FLAG,    /* bool; one byte, 0 or 1 */
    WIRE_NUMBERS, /* struct wire_health: eight bytes a number */
};

struct wire_field {
    unsigned char tag; /* from 1; in the order in which fields are written, and must come */
    enum wire_type type;
    size_t at, count;               /* offsets in the message's struct */
    size_t max;                     /* bytes of a value; of a text, with its NUL */
    unsigned allowed;               /* WIRE_BIT()s */
    bool (*form)(const char *text); /* of a text */
};

struct wire_table {
    const struct wire_field *fields;
    size_t count;
    unsigned char direction; /* of the kind's octet: 0, or 0x80 for answers */
};

/* `message` is what the offsets are of. PC_EUSAGE when a field does not fit its table. */
int wire_write(const struct wire_table *table, enum wire_kind kind, uint64_t number, const void *message,
               struct pc_bytes *ret);
/* Into a `message` of zeros, which may hold something on failure, too. */
int wire_read(const struct wire_table *table, const void *frame, size_t len, enum wire_kind *ret_kind,
              uint64_t *ret_number, void *message);
int wire_refuse(const char *what);

bool wire_is_printable(const char *text);

/* health.c */
#define WIRE_HEALTH_BYTES (8 * (15 + WIRE_HEALTH_LE))
void wire_health_put(const struct wire_health *health, unsigned char ret[WIRE_HEALTH_BYTES]);
int wire_health_take(const unsigned char from[WIRE_HEALTH_BYTES], struct wire_health *ret);

#endif
