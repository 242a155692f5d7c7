/* A folder of requests. Its names are read once, 17 bytes a request are kept of them, and sorted: so the
 * order is always the same, and two files for one plant stand side by side. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/batch/source.h"
#include "src/pki/name.h"

/* The last of the 17 octets: how the name ends, so that it can be made again. */
#define PEM 0x08      /* .pem, else .csr */
#define UPPER 0x07    /* a bit for each letter of the ending that is upper case */
#define ODD_CASE 0x80 /* the UUID itself is not in lower case: its name is found by the second look */

struct folder {
    struct source source;
    char *path;
    struct seen seen;
    size_t at;
    DIR *second; /* look: at names that are refused as such; NULL when it is over */
};

static void folder_close(struct source *source)
{
    struct folder *folder = (struct folder *)source;
    if (folder->second)
        closedir(folder->second);
    free(folder->seen.data);
    free(folder->path);
    free(folder);
}

/* Whether a name ends as a request's does; then what stands before it, and the last octet. */
static bool is_request(const char *name, size_t *ret_stem, unsigned char *ret_ending)
{
    static const char *const endings[] = {".csr", ".pem"};
    size_t len = strlen(name);
    if (name[0] == '.' || len < 4)
        return false;
    for (unsigned char e = 0; e < 2; e++) {
        const char *at = name + len - 4;
        if (strcasecmp(at, endings[e]) != 0)
            continue;
        *ret_stem = len - 4;
        *ret_ending = e ? PEM : 0;
        for (int i = 0; i < 3; i++)
            if (isupper((unsigned char)at[1 + i]))
                *ret_ending |= (unsigned char)(1 << i);
        return true;
    }
    return false;
}

/* The octets of a request's name; false when it is no UUID. */
static bool octets_of(const char *name, size_t stem, unsigned char ending, unsigned char ret[SOURCE_UUID + 1])
{
    if (!source_uuid(name, stem, ret))
        return false;
    for (size_t i = 0; i < stem; i++)
        if (isupper((unsigned char)name[i]))
            ending |= ODD_CASE;
    ret[SOURCE_UUID] = ending;
    return true;
}

static void name_of(const unsigned char *octets, char ret[PKI_UUID_TEXT], char ret_ending[5])
{
    char hex[2 * SOURCE_UUID + 1];
    pc_hex(octets, SOURCE_UUID, hex);
    snprintf(ret, PKI_UUID_TEXT, "%.8s-%.4s-%.4s-%.4s-%s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
    memcpy(ret_ending, octets[SOURCE_UUID] & PEM ? ".pem" : ".csr", 5);
    for (int i = 0; i < 3; i++)
        if (octets[SOURCE_UUID] & 1 << i)
            ret_ending[1 + i] = (char)toupper((unsigned char)ret_ending[1 + i]);
}

/* Whether another file is of the same plant. */
static bool has_twin(const struct seen *seen, size_t i)
{
    const unsigned char *own = seen_at(seen, i);
    return (i > 0 && memcmp(own, seen_at(seen, i - 1), SOURCE_UUID) == 0) ||
           (i + 1 < seen->count && memcmp(own, seen_at(seen, i + 1), SOURCE_UUID) == 0);
}

static int keep(struct source_entry *entry, int code)
{
    ca_failure_keep(code, &entry->failure);
    return 1;
}

static int set_path(const struct folder *folder, const char *name, struct source_entry *entry)
{
    entry->path = pc_path_join(folder->path, name);
    return entry->path ? 0 : pc_fail(PC_EFAIL, "out of memory");
}

static int refuse_twice(struct source_entry *entry)
{
    return keep(entry,
                pc_refuse("plant-twice", "%s: several files of this folder are for plant %s; none is used",
                          entry->path, entry->plant));
}

/* The next name that is refused as such. */
static int next_odd(struct folder *folder, struct source_entry *ret)
{
    struct dirent *found;
    while (folder->second && (found = readdir(folder->second))) {
        unsigned char ending, octets[SOURCE_UUID + 1];
        size_t stem;
        if (!is_request(found->d_name, &stem, &ending))
            continue;
        bool uuid = octets_of(found->d_name, stem, ending, octets);
        if (uuid && !(octets[SOURCE_UUID] & ODD_CASE))
            continue;
        struct source_entry entry = {0};
        int r = set_path(folder, found->d_name, &entry);
        if (r < 0)
            return r;
        snprintf(entry.plant, sizeof entry.plant, "%.*s", (int)stem, found->d_name);
        *ret = entry;
        return keep(ret, pc_refuse("plant-uuid", "%s: its name is no UUID in lower case", entry.path));
    }
    if (folder->second)
        closedir(folder->second);
    folder->second = NULL;
    return 0;
}

static int folder_next(struct source *source, struct source_entry *ret)
{
    struct folder *folder = (struct folder *)source;
    while (folder->at < folder->seen.count) {
        char name[PKI_UUID_TEXT + 4], ending[5];
        size_t i = folder->at++;
        const unsigned char *octets = seen_at(&folder->seen, i);
        if (octets[SOURCE_UUID] & ODD_CASE)
            continue;
        struct source_entry entry = {0};
        name_of(octets, name, ending);
        snprintf(entry.plant, sizeof entry.plant, "%s", name);
        memcpy(name + PKI_UUID_TEXT - 1, ending, sizeof ending);
        int r = set_path(folder, name, &entry);
        if (r < 0)
            return r;
        *ret = entry;
        if (!pki_uuid_is_canonical(entry.plant))
            return keep(ret, pc_refuse("plant-uuid", "%s: the nil UUID is no plant", entry.path));
        return has_twin(&folder->seen, i) ? refuse_twice(ret) : 1;
    }
    return next_odd(folder, ret);
}

static int look(struct folder *folder, DIR *dir)
{
    struct dirent *found;
    for (errno = 0; (found = readdir(dir)); errno = 0) {
        unsigned char ending, octets[SOURCE_UUID + 1];
        size_t stem;
        if (!is_request(found->d_name, &stem, &ending)) {
            folder->source.ignored += found->d_name[0] != '.';
            continue;
        }
        folder->source.count++;
        if (!octets_of(found->d_name, stem, ending, octets))
            continue;
        int r = seen_add(&folder->seen, octets);
        if (r < 0)
            return r;
    }
    return errno ? pc_fail_errno(PC_EFAIL, "%s", folder->path) : 0;
}

int folder_open(const char *path, struct source **ret)
{
    struct folder *folder = calloc(1, sizeof *folder);
    if (!folder)
        return pc_fail(PC_EFAIL, "out of memory");
    folder->source.next = folder_next;
    folder->source.close = folder_close;
    folder->seen.size = SOURCE_UUID + 1;
    struct source *source PC_CLEANUP(source_close_ref) = &folder->source;
    folder->path = strdup(path);
    if (!folder->path)
        return pc_fail(PC_EFAIL, "out of memory");
    folder->second = opendir(path);
    if (!folder->second)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    int r = look(folder, folder->second);
    if (r < 0)
        return r;
    seen_sort(&folder->seen);
    rewinddir(folder->second);
    *ret = pc_steal(source);
    return 0;
}
