/* A manifest: lines `uuid,path` in RFC 4180's form. Read twice: once as a whole, so that nothing is signed by
 * one that contradicts itself (20 bytes a line are kept for it, and given back), once as a stream. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "src/base/csv.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/batch/source.h"
#include "src/pki/name.h"
#include "src/pki/openssl.h"

#define LINE_MAX_BYTES 8192
#define LINE_OCTETS 4

struct manifest {
    struct source source;
    char *path, *folder; /* of the file; of the paths in it */
    FILE *file;
    size_t line;
    EVP_MD_CTX *hash;
    char text[LINE_MAX_BYTES];
};

static void manifest_close(struct source *source)
{
    struct manifest *m = (struct manifest *)source;
    if (m->file)
        fclose(m->file);
    EVP_MD_CTX_free(m->hash);
    free(m->path);
    free(m->folder);
    free(m);
}

__attribute__((format(printf, 2, 3))) static int syntax(const struct manifest *m, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    return pc_fail_named(PC_EUSAGE, "manifest-syntax", "%s:%zu: %s", m->path, m->line, text);
}

/* The next line, without its end. 1, or 0 at the end of the file. */
static int read_line(struct manifest *m)
{
    size_t len = 0;
    int c;
    m->line++;
    while ((c = getc_unlocked(m->file)) != EOF && c != '\n') {
        if (c == '\0')
            return syntax(m, "holds a NUL");
        if (len + 2 >= sizeof m->text)
            return syntax(m, "longer than %zu bytes", sizeof m->text - 2);
        m->text[len++] = (char)c;
    }
    if (ferror(m->file))
        return pc_fail_errno(PC_EFAIL, "%s", m->path);
    if (c == EOF && len == 0)
        return 0;
    m->text[len] = '\n';
    if (EVP_DigestUpdate(m->hash, m->text, len + (c == '\n')) != 1)
        return pc_fail_openssl(PC_EFAIL, "hash of %s", m->path);
    if (len && m->text[len - 1] == '\r')
        len--;
    m->text[len] = '\0';
    return 1;
}

static int take_field(const struct manifest *m, char **at, char **ret)
{
    const char *fault = pc_csv_field(at, ',', ret);
    return fault ? syntax(m, "%s", fault) : 0;
}

/* The two fields of the line. */
static int take_fields(struct manifest *m, char **ret_plant, char **ret_path)
{
    char *at = m->line == 1 ? pc_csv_begin(m->text) : m->text;
    int r = take_field(m, &at, ret_plant);
    if (r == 0 && !at)
        r = syntax(m, "one field; two are wanted: uuid,path");
    if (r == 0)
        r = take_field(m, &at, ret_path);
    if (r == 0 && at)
        r = syntax(m, "more than two fields: uuid,path");
    if (r == 0 && **ret_path == '\0')
        r = syntax(m, "no path");
    for (const char *c = *ret_path; r == 0 && *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            r = syntax(m, "a control character in the path");
    return r;
}

static bool is_header(const struct manifest *m, const char *plant)
{
    return m->line == 1 && (strcasecmp(plant, "uuid") == 0 || strcasecmp(plant, "plant") == 0);
}

/* The next line that is an entry. */
static int next_fields(struct manifest *m, char **ret_plant, char **ret_path)
{
    int r;
    while ((r = read_line(m)) > 0) {
        if (m->text[0] == '\0')
            continue;
        r = take_fields(m, ret_plant, ret_path);
        if (r < 0)
            return r;
        if (!is_header(m, *ret_plant))
            return 1;
    }
    return r;
}

static int start(struct manifest *m)
{
    rewind(m->file);
    m->line = 0;
    return EVP_DigestInit_ex(m->hash, EVP_sha256(), NULL) == 1
               ? 0
               : pc_fail_openssl(PC_EFAIL, "hash of %s", m->path);
}

static int end_hash(struct manifest *m, char ret[PKI_FINGERPRINT_TEXT])
{
    unsigned char octets[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_DigestFinal_ex(m->hash, octets, &len) != 1)
        return pc_fail_openssl(PC_EFAIL, "hash of %s", m->path);
    pc_hex(octets, len, ret);
    return 0;
}

static int manifest_next(struct source *source, struct source_entry *ret)
{
    struct manifest *m = (struct manifest *)source;
    char *plant, *path;
    char sha256[PKI_FINGERPRINT_TEXT];
    int r = next_fields(m, &plant, &path);
    if (r == 0)
        r = end_hash(m, sha256);
    if (r == 0 && strcmp(sha256, source->sha256) != 0)
        r = pc_fail(PC_EFAIL, "%s: changed while it was read", m->path);
    if (r <= 0)
        return r;
    struct source_entry entry = {.line = m->line};
    snprintf(entry.plant, sizeof entry.plant, "%s", plant);
    entry.path = path[0] == '/' || !*m->folder ? strdup(path) : pc_path_join(m->folder, path);
    if (!entry.path)
        return pc_fail(PC_EFAIL, "out of memory");
    if (!pki_uuid_is_canonical(plant))
        ca_failure_keep(
            pc_refuse("plant-uuid", "%s:%zu: \"%s\" is no UUID in lower case", m->path, m->line, entry.plant),
            &entry.failure);
    *ret = entry;
    return 1;
}

static size_t line_of(const unsigned char *entry)
{
    size_t line = 0;
    for (size_t i = 0; i < LINE_OCTETS; i++)
        line = line << 8 | entry[SOURCE_UUID + i];
    return line;
}

static int refuse_twice(const struct manifest *m, const unsigned char *first, const unsigned char *second)
{
    char uuid[2 * SOURCE_UUID + 1];
    pc_hex(first, SOURCE_UUID, uuid);
    return pc_refuse("manifest-twice", "%s:%zu: plant %.8s-%.4s-%.4s-%.4s-%s stands in line %zu already",
                     m->path, line_of(second), uuid, uuid + 8, uuid + 12, uuid + 16, uuid + 20,
                     line_of(first));
}

static int judge_whole(struct manifest *m, struct seen *seen)
{
    char *plant, *path;
    int r = start(m);
    while (r == 0 && (r = next_fields(m, &plant, &path)) > 0) {
        unsigned char entry[SOURCE_UUID + LINE_OCTETS];
        m->source.count++;
        for (size_t i = 0; i < LINE_OCTETS; i++)
            entry[SOURCE_UUID + i] = (unsigned char)(m->line >> 8 * (LINE_OCTETS - 1 - i));
        r = source_uuid(plant, strlen(plant), entry) ? seen_add(seen, entry) : 0;
    }
    if (r < 0)
        return r;
    seen_sort(seen);
    for (size_t i = 1; i < seen->count; i++)
        if (memcmp(seen_at(seen, i - 1), seen_at(seen, i), SOURCE_UUID) == 0)
            return refuse_twice(m, seen_at(seen, i - 1), seen_at(seen, i));
    r = end_hash(m, m->source.sha256);
    return r < 0 ? r : start(m);
}

static int open_files(struct manifest *m, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    m->file = fdopen(fd, "r");
    if (!m->file) {
        close(fd);
        return pc_fail(PC_EFAIL, "out of memory");
    }
    struct stat status;
    if (fstat(fd, &status) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    return S_ISREG(status.st_mode) ? 0 : pc_refuse("file-kind", "%s: not a regular file", path);
}

int manifest_open(const char *path, struct source **ret)
{
    struct manifest *m = calloc(1, sizeof *m);
    if (!m)
        return pc_fail(PC_EFAIL, "out of memory");
    m->source.next = manifest_next;
    m->source.close = manifest_close;
    struct source *source PC_CLEANUP(source_close_ref) = &m->source;
    struct seen seen = {.size = SOURCE_UUID + LINE_OCTETS};
    const char *slash = strrchr(path, '/');
    m->path = strdup(path);
    m->folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("");
    m->hash = EVP_MD_CTX_new();
    if (!m->path || !m->folder || !m->hash)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = open_files(m, path);
    if (r == 0)
        r = judge_whole(m, &seen);
    free(seen.data);
    if (r < 0)
        return r;
    *ret = pc_steal(source);
    return 0;
}
