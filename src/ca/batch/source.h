/* Where a batch's requests come from: read as a stream, in an order that is the same each time. Within
 * src/ca/batch only. */
#ifndef CA_BATCH_SOURCE_H
#define CA_BATCH_SOURCE_H

#include <stdio.h>

#include "src/ca/internal.h"

/* One line of a manifest or one file of a folder. */
struct source_entry {
    char plant[64];            /* as it stands there, shortened where it is longer than any UUID */
    char *path;                /* owned */
    size_t line;               /* of the manifest, or 0 */
    struct ca_failure failure; /* code 0: none; why it is not even opened */
};
void source_entry_clear(struct source_entry *entry);

struct source {
    int (*next)(struct source *source, struct source_entry *ret); /* 1: an entry; 0: no more */
    void (*close)(struct source *source);
    size_t count;                      /* of entries */
    size_t ignored;                    /* files that are no requests by their names */
    char sha256[PKI_FINGERPRINT_TEXT]; /* of a manifest; "" for a folder */
};

/* A folder or a manifest, judged as a whole. */
int source_open(const char *path, struct source **ret);
void source_close(struct source *source);
PC_DEFINE_CLEANUP(struct source, source_close);

int folder_open(const char *path, struct source **ret);
int manifest_open(const char *path, struct source **ret);

/* The 16 octets of a UUID in whatever case; false when `len` bytes of text are none. */
#define SOURCE_UUID 16
bool source_uuid(const char *text, size_t len, unsigned char ret[SOURCE_UUID]);

/* Octets that stand for what was seen, sorted to find what was seen twice: `size` bytes each, on the heap. */
struct seen {
    unsigned char *data;
    size_t count, room, size;
};
int seen_add(struct seen *seen, const unsigned char *entry);
void seen_sort(struct seen *seen);
static inline const unsigned char *seen_at(const struct seen *seen, size_t i)
{
    return seen->data + i * seen->size;
}

#endif
