/* Writing, switching and listing generations. Which of them are kept, and what becomes of their keys, is
 * tidy.c's. */
#include "provision/device/generation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/config.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"

#define FOLDER "generations"
#define SECTION "generation"

static int check_name(const char *value);

static const struct pc_setting record_table[] = {
    {.section = SECTION, .key = "replaces", .check = check_name},
    {.section = SECTION, .key = "reloaded", .fallback = "no", .check = pc_check_flag},
    {.section = SECTION, .key = "confirmed", .fallback = "no", .check = pc_check_flag},
    {.section = SECTION, .key = "rolled-back", .fallback = "no", .check = pc_check_flag},
    {.section = SECTION, .key = "legacy", .fallback = "no", .check = pc_check_flag},
    {.section = SECTION, .key = "switched", .fallback = "no", .check = pc_check_flag},
};
#define RECORD_ROWS (sizeof record_table / sizeof record_table[0])

void dev_set_clear(struct dev_set *set)
{
    pc_bytes_clear(&set->ca);
    pc_bytes_clear(&set->certificate);
    pc_bytes_clear(&set->key);
}

/* Four to nine digits, as "%04u" writes them. */
static bool is_name(const char *name)
{
    size_t len = strspn(name, "0123456789");
    return name[len] == '\0' && len >= 4 && len <= 9 && (len == 4 || name[0] != '0');
}

static int check_name(const char *value)
{
    return is_name(value) ? 0 : pc_fail(PC_EUSAGE, "'%.20s' is no generation", value);
}

int dev_generation_current(const char *dir, char ret[DEV_GENERATION_TEXT])
{
    char path[DEV_PATH_MAX], target[DEV_LINK_MAX];
    dev_path(path, "%s/current", dir);
    int r = dev_link_read(path, target);
    if (r < 0)
        return r;
    const char *name = target[0] ? target + strlen(FOLDER "/") : "";
    if (target[0] && (strncmp(target, FOLDER "/", strlen(FOLDER "/")) != 0 || !is_name(name)))
        return pc_refuse("dir-legacy", "%s: is a link to %s, which this program did not make", path, target);
    snprintf(ret, DEV_GENERATION_TEXT, "%.9s", name);
    return 0;
}

static int load_file(const char *dir, const char *name, const char *file, bool optional, struct pc_bytes *ret)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/" FOLDER "/%s/%s", dir, name, file);
    if (pc_file_exists(path))
        return pc_file_read(path, DEV_FILE_MAX, ret);
    return optional ? 0 : pc_refuse("state-damaged", "%s: is missing", path);
}

static bool is_closed(const char *dir, const char *name)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/" FOLDER "/%s/" DEV_KEY, dir, name);
    return access(path, R_OK) != 0 && errno == EACCES;
}

int dev_generation_load(const char *dir, const char *name, bool legacy, struct dev_set *ret)
{
    dev_autoset set = {0};
    int r = load_file(dir, name, DEV_CA, legacy, &set.ca);
    if (r == 0)
        r = load_file(dir, name, DEV_CERTIFICATE, legacy, &set.certificate);
    set.closed = is_closed(dir, name);
    if (r == 0 && !legacy && !set.closed)
        r = load_file(dir, name, DEV_KEY, false, &set.key);
    if (r < 0)
        return r;
    *ret = set;
    set = (struct dev_set){0};
    return 0;
}

/* A record that a disk has lost would say that nothing is kept; these two have been in each from the first.
 */
static bool is_whole(const struct pc_config *config)
{
    return strcmp(pc_config_origin(config, SECTION, "replaces"), "default") != 0 &&
           strcmp(pc_config_origin(config, SECTION, "reloaded"), "default") != 0;
}

int dev_generation_record(const char *dir, const char *name, struct dev_record *ret)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/" FOLDER "/%s/record", dir, name);
    struct pc_config *config = NULL;
    if (pc_config_load(record_table, RECORD_ROWS, path, &config) < 0)
        return pc_refuse("state-damaged", "%s", pc_error_text());
    if (!is_whole(config)) {
        pc_config_free(config);
        return pc_refuse("state-damaged", "%s: a part of it is missing", path);
    }
    const char *replaces = pc_config_get(config, SECTION, "replaces");
    snprintf(ret->replaces, sizeof ret->replaces, "%s", replaces ? replaces : "");
    ret->reloaded = pc_config_flag(config, SECTION, "reloaded");
    ret->confirmed = pc_config_flag(config, SECTION, "confirmed");
    ret->rolled_back = pc_config_flag(config, SECTION, "rolled-back");
    ret->legacy = pc_config_flag(config, SECTION, "legacy");
    ret->switched = pc_config_flag(config, SECTION, "switched");
    pc_config_free(config);
    return 0;
}

static int write_file(const char *folder, const char *file, const void *data, size_t len,
                      const struct pc_file_options *options)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/%s", folder, file);
    return pc_file_write(path, data, len, options);
}

static const char *yes_no(bool value)
{
    return value ? "yes" : "no";
}

static int write_record(const char *folder, const struct dev_record *record)
{
    char text[256];
    int len = snprintf(text, sizeof text,
                       "[" SECTION
                       "]\nreplaces = %s\nreloaded = %s\nconfirmed = %s\nrolled-back = %s\nlegacy = %s\n"
                       "switched = %s\n",
                       record->replaces, yes_no(record->reloaded), yes_no(record->confirmed),
                       yes_no(record->rolled_back), yes_no(record->legacy), yes_no(record->switched));
    return write_file(folder, "record", text, (size_t)len, NULL);
}

int dev_generation_record_write(const char *dir, const char *name, const struct dev_record *record)
{
    char folder[DEV_PATH_MAX];
    dev_path(folder, "%s/" FOLDER "/%s", dir, name);
    /* What a cut left of doing this before. */
    int r = dev_folder_sweep(folder);
    return r < 0 ? r : write_record(folder, record);
}

int dev_generation_kept(const char *dir, char ret_current[DEV_GENERATION_TEXT],
                        char ret_previous[DEV_GENERATION_TEXT])
{
    char current[DEV_GENERATION_TEXT];
    struct dev_record record = {0};
    int r = dev_generation_current(dir, current);
    if (r == 0 && current[0])
        r = dev_generation_record(dir, current, &record);
    if (r < 0)
        return r;
    memcpy(ret_current, current, sizeof current);
    memcpy(ret_previous, record.replaces, sizeof record.replaces);
    return 0;
}

/* pc_dir_make makes a folder for us alone and then widens it; a cut in between left it narrow. */
static int make_folder(const char *path)
{
    int r = pc_dir_make(path, 0755);
    if (r == 0 && chmod(path, 0755) != 0)
        r = pc_fail_errno(PC_EFAIL, "%s", path);
    return r;
}

static int next_name(const char *dir, char ret[DEV_GENERATION_TEXT])
{
    char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t count;
    int r = dev_generation_list(dir, &names, &count);
    if (r < 0)
        return r;
    unsigned long last = count ? strtoul(names[count - 1], NULL, 10) : 0;
    free(names);
    if (last >= 999999999)
        return pc_fail(PC_EFAIL, "%s/" FOLDER ": the numbers are used up", dir);
    snprintf(ret, DEV_GENERATION_TEXT, "%04lu", last + 1);
    return 0;
}

static mode_t key_mode(const struct dev_readers *readers)
{
    return readers->group ? 0640 : 0600;
}

bool dev_generation_readable(const char *dir, const char *name, const struct dev_readers *readers)
{
    char path[DEV_PATH_MAX];
    struct stat status;
    dev_path(path, "%s/" FOLDER "/%s/" DEV_KEY, dir, name);
    return stat(path, &status) == 0 && (status.st_mode & 0777) == key_mode(readers) &&
           (!readers->group || status.st_gid == readers->gid);
}

/* `group` NULL: whatever it is. */
static int restore(const char *path, int kind, mode_t mode, const gid_t *group)
{
    struct stat status;
    pc_autoclose int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | kind);
    if (fd < 0)
        return errno == ENOENT ? 0 : pc_fail_errno(PC_EFAIL, "%s", path);
    if (fstat(fd, &status) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    bool regrouped = group && status.st_gid != *group;
    if (!regrouped && (status.st_mode & 0777) == mode)
        return 0;
    /* Ownership first: a mode that is wider than 0600 must not be there for the wrong group. */
    if ((regrouped && fchown(fd, (uid_t)-1, *group) != 0) || fchmod(fd, mode) != 0 || fsync(fd) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    pc_log(PC_LOG_NOTICE, "%s: had mode %04o, set right to %04o", path, status.st_mode & 07777, mode);
    return 0;
}

int dev_generation_restore(const char *dir, const char *name, const struct dev_readers *readers)
{
    const struct {
        const char *file;
        int kind;
        mode_t mode;
        const gid_t *group;
    } parts[] = {
        {"", O_DIRECTORY, 0755, NULL},
        {"/" DEV_CA, 0, 0644, NULL},
        {"/" DEV_CERTIFICATE, 0, 0644, NULL},
        {"/" DEV_KEY, 0, key_mode(readers), readers->group ? &readers->gid : NULL},
    };
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/" FOLDER, dir);
    int r = restore(path, O_DIRECTORY, 0755, NULL);
    for (size_t i = 0; r == 0 && i < sizeof parts / sizeof parts[0]; i++) {
        dev_path(path, "%s/" FOLDER "/%s%s", dir, name, parts[i].file);
        r = restore(path, parts[i].kind, parts[i].mode, parts[i].group);
    }
    return r;
}

static int write_set(const char *folder, const struct dev_set *set, const struct dev_readers *readers)
{
    const struct pc_file_options open = {.mode = 0644};
    const struct pc_file_options closed = {
        .mode = key_mode(readers), .group = readers->group, .gid = readers->gid};
    const struct {
        const char *name;
        const struct pc_bytes *bytes;
        const struct pc_file_options *options;
    } files[] = {
        {DEV_CA, &set->ca, &open},
        {DEV_CERTIFICATE, &set->certificate, &open},
        {DEV_KEY, &set->key, &closed},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (files[i].bytes->len == 0)
            continue;
        int r =
            write_file(folder, files[i].name, files[i].bytes->data, files[i].bytes->len, files[i].options);
        if (r < 0)
            return r;
    }
    return 0;
}

int dev_generation_write(const char *dir, const struct dev_set *set, const struct dev_record *record,
                         const struct dev_readers *readers, char ret_name[DEV_GENERATION_TEXT])
{
    char folder[DEV_PATH_MAX], name[DEV_GENERATION_TEXT];
    dev_path(folder, "%s/" FOLDER, dir);
    int r = make_folder(folder);
    if (r == 0)
        r = next_name(dir, name);
    if (r < 0)
        return r;
    dev_path(folder, "%s/" FOLDER "/%s", dir, name);
    r = make_folder(folder);
    if (r == 0)
        r = write_set(folder, set, readers);
    if (r == 0)
        r = write_record(folder, record);
    if (r == 0)
        r = pc_dir_sync(folder);
    if (r < 0) {
        dev_folder_remove(folder, NULL); /* a disk that is full must not fill up further at each try */
        return r;
    }
    memcpy(ret_name, name, sizeof name);
    return 0;
}

int dev_generation_switch(const char *dir, const char *name)
{
    char target[DEV_LINK_MAX];
    snprintf(target, sizeof target, FOLDER "/%s", name);
    int r = dev_folder_link(dir);
    return r < 0 ? r : dev_link_switch(dir, "current", target);
}

static int by_number(const void *a, const void *b)
{
    unsigned long left = strtoul(a, NULL, 10), right = strtoul(b, NULL, 10);
    return (left > right) - (left < right);
}

int dev_generation_list(const char *dir, char (**ret)[DEV_GENERATION_TEXT], size_t *ret_count)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/" FOLDER, dir);
    DIR *folder = opendir(path);
    if (!folder && errno != ENOENT)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t count = 0;
    const struct dirent *entry;
    int r = 0;
    while (folder && r == 0 && (errno = 0, (entry = readdir(folder)) != NULL)) {
        if (!is_name(entry->d_name))
            continue;
        char(*grown)[DEV_GENERATION_TEXT] = realloc(names, (count + 1) * sizeof *names);
        if (grown) {
            names = grown;
            snprintf(names[count++], sizeof *names, "%.9s", entry->d_name);
        } else {
            r = pc_fail(PC_EFAIL, "out of memory");
        }
    }
    if (folder && r == 0 && errno)
        r = pc_fail_errno(PC_EFAIL, "%s", path);
    if (folder)
        closedir(folder);
    if (r < 0) {
        free(names);
        return r;
    }
    if (count)
        qsort(names, count, sizeof *names, by_number);
    *ret = names;
    *ret_count = count;
    return 0;
}

int dev_generation_remove(const char *dir, const char *name, unsigned *count)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/" FOLDER "/%s", dir, name);
    return dev_folder_remove(path, count);
}
