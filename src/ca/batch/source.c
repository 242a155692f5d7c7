/* What folder and manifest share: choosing between them, UUIDs as octets, and finding what came twice. */
#include "src/ca/batch/source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/error.h"

int source_open(const char *path, struct source **ret)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    if (S_ISDIR(status.st_mode))
        return folder_open(path, ret);
    if (S_ISREG(status.st_mode))
        return manifest_open(path, ret);
    return pc_refuse("file-kind", "%s: neither a folder nor a manifest", path);
}

void source_close(struct source *source)
{
    if (source)
        source->close(source);
}

void source_entry_clear(struct source_entry *entry)
{
    free(entry->path);
    *entry = (struct source_entry){0};
}

bool source_uuid(const char *text, size_t len, unsigned char ret[SOURCE_UUID])
{
    char hex[2 * SOURCE_UUID + 1];
    size_t at = 0, octets = 0;
    if (len != PKI_UUID_TEXT - 1)
        return false;
    for (size_t i = 0; i < len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if ((text[i] == '-') != dash)
            return false;
        if (!dash)
            hex[at++] = text[i];
    }
    hex[at] = '\0';
    return pc_unhex(hex, ret, SOURCE_UUID, &octets) == 0 && octets == SOURCE_UUID;
}

int seen_add(struct seen *seen, const unsigned char *entry)
{
    if (seen->count == seen->room) {
        size_t room = seen->room ? 2 * seen->room : 1024;
        unsigned char *grown = reallocarray(seen->data, room, seen->size);
        if (!grown)
            return pc_fail(PC_EFAIL, "out of memory");
        seen->data = grown;
        seen->room = room;
    }
    memcpy(seen->data + seen->count++ * seen->size, entry, seen->size);
    return 0;
}

static int by_octets(const void *a, const void *b, void *size)
{
    return memcmp(a, b, *(const size_t *)size);
}

void seen_sort(struct seen *seen)
{
    if (seen->count > 1)
        qsort_r(seen->data, seen->count, seen->size, by_octets, &seen->size);
}
