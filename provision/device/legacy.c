/* Plain files of before: read, made the first generation, in the end destroyed. What the new identity must be
 * like is install.c's. */
#include "provision/device/legacy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "provision/device/tidy.h"
#include "src/base/error.h"
#include "src/base/file.h"

static const char *const replaced[] = {DEV_CA, DEV_CERTIFICATE};
#define REPLACED (sizeof replaced / sizeof replaced[0])

bool dev_legacy_key(const char *dir)
{
    return dev_folder_plain(dir, DEV_LEGACY_KEY);
}

static bool is_legacy(const char *dir, const char *name)
{
    struct dev_record record;
    return dev_generation_record(dir, name, &record) == 0 && record.legacy;
}

bool dev_legacy_whole(const char *dir, const char *name)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/generations/%s/" DEV_CERTIFICATE, dir, name);
    return dev_legacy_key(dir) && is_legacy(dir, name) && pc_file_exists(path);
}

/* By the visible name, be it a plain file or already a link of ours. */
static int read_visible(const char *dir, const char *name, struct pc_bytes *ret)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/%s", dir, name);
    return access(path, F_OK) != 0 && errno == ENOENT ? 0 : pc_file_read(path, DEV_FILE_MAX, ret);
}

int dev_legacy_read(const char *dir, struct dev_installed *ret)
{
    /* Clients open these very files: their set has been in use before it is one of ours. */
    dev_autoinstalled legacy = {.record = {.legacy = true, .reloaded = true, .switched = true}};
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/" DEV_LEGACY_KEY, dir);
    if (pc_file_exists(path) && !dev_legacy_key(dir))
        return pc_refuse("dir-legacy", "%s: is no plain file; what it leads to is not taken over", path);
    int r = read_visible(dir, DEV_CA, &legacy.set.ca);
    if (r == 0)
        r = read_visible(dir, DEV_CERTIFICATE, &legacy.set.certificate);
    if (r == 0 && legacy.set.certificate.len)
        r = dev_installed_parse(&legacy);
    if (r == PC_EREFUSED)
        return pc_refuse("dir-legacy", "%s/" DEV_CERTIFICATE ": cannot be taken over: %s", dir,
                         pc_error_text());
    if (r < 0)
        return r;
    *ret = legacy;
    legacy = (struct dev_installed){0};
    return 0;
}

static bool same_bytes(const struct pc_bytes *a, const struct pc_bytes *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* The generation that a run before this one has made of these bytes; "" when none has. */
static int find_made(const char *dir, const struct dev_set *set, char ret[DEV_GENERATION_TEXT])
{
    pc_autofree char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t count;
    ret[0] = '\0';
    int r = dev_generation_list(dir, &names, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        dev_autoset found = {0};
        if (is_legacy(dir, names[i]) && dev_generation_load(dir, names[i], true, &found) == 0 &&
            same_bytes(&found.ca, &set->ca) && same_bytes(&found.certificate, &set->certificate))
            memcpy(ret, names[i], DEV_GENERATION_TEXT);
    }
    return r;
}

int dev_legacy_take(const char *dir, const struct dev_installed *legacy, char ret_name[DEV_GENERATION_TEXT])
{
    const struct dev_readers nobody = {.group = false};
    char name[DEV_GENERATION_TEXT], current[DEV_GENERATION_TEXT];
    int r = find_made(dir, &legacy->set, name);
    if (r == 0 && !name[0])
        r = dev_generation_write(dir, &legacy->set, &legacy->record, &nobody, name);
    if (r == 0)
        r = dev_generation_current(dir, current);
    if (r == 0 && strcmp(current, name) != 0)
        r = dev_generation_switch(dir, name);
    for (size_t i = 0; r == 0 && i < REPLACED; i++) {
        char target[DEV_LINK_MAX] = "current/";
        strcat(target, replaced[i]);
        if (dev_folder_plain(dir, replaced[i]))
            r = dev_link_switch(dir, replaced[i], target);
    }
    if (r == 0)
        memcpy(ret_name, name, sizeof name);
    return r;
}

/* The last generation that can be gone back to, or "". */
static int find_whole(const char *dir, char ret[DEV_GENERATION_TEXT])
{
    pc_autofree char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t count;
    ret[0] = '\0';
    int r = dev_generation_list(dir, &names, &count);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (dev_legacy_whole(dir, names[i]))
            memcpy(ret, names[i], DEV_GENERATION_TEXT);
    return r;
}

int dev_legacy_give_back(const char *dir)
{
    char name[DEV_GENERATION_TEXT], from[DEV_PATH_MAX], to[DEV_PATH_MAX];
    int r = find_whole(dir, name);
    /* First it is gone back to, so that a cut from here on leaves nothing that is not understood. */
    if (r == 0 && name[0])
        r = dev_generation_switch(dir, name);
    if (r < 0 || !name[0])
        return r;
    /* The certificate, which makes the generation whole, last. */
    for (size_t i = 0; i < REPLACED; i++) {
        dev_path(from, "%s/generations/%s/%s", dir, name, replaced[i]);
        dev_path(to, "%s/%s", dir, replaced[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            return pc_fail_errno(PC_EFAIL, "%s", to);
    }
    return pc_dir_sync(dir);
}

/* --- the end of it --- */

static int overwrite(int fd, const char *path)
{
    static const unsigned char zeros[4096];
    struct stat status;
    if (fstat(fd, &status) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    if (!S_ISREG(status.st_mode))
        return pc_refuse("dir-legacy", "%s: is no plain file", path);
    /* The other name may be a copy that somebody keeps, or a file of the system's that somebody wants gone.
     */
    if (status.st_nlink != 1)
        return pc_refuse("legacy-linked",
                         "%s: has another name too (%lu hard links), so it is not overwritten; remove that "
                         "first",
                         path, (unsigned long)status.st_nlink);
    for (off_t done = 0; done < status.st_size;) {
        off_t rest = status.st_size - done;
        ssize_t n = write(fd, zeros, rest < (off_t)sizeof zeros ? (size_t)rest : sizeof zeros);
        if (n < 0 && errno != EINTR)
            return pc_fail_errno(PC_EFAIL, "%s", path);
        done += n > 0 ? n : 0;
    }
    return fsync(fd) != 0 ? pc_fail_errno(PC_EFAIL, "%s", path) : 0;
}

static int destroy_key(const char *dir, unsigned *count)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/" DEV_LEGACY_KEY, dir);
    if (!dev_legacy_key(dir))
        return 0;
    pc_autoclose int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    int r = overwrite(fd, path);
    if (r < 0)
        return r;
    if (unlink(path) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    *count += 1;
    return pc_dir_sync(dir);
}

/* Whether the new identity stands, and is known to be good. */
static int judge_new(const char *dir, const char *current, const struct dev_record *record, bool force)
{
    if (!*current || record->legacy)
        return pc_refuse("legacy-in-use", "%s: no other identity is in use here than that of " DEV_LEGACY_KEY,
                         dir);
    if (!record->confirmed && !force)
        return pc_refuse("legacy-unconfirmed",
                         "%s: generation %s is not confirmed yet, and without " DEV_LEGACY_KEY
                         " there is no way back; confirm first, or --force",
                         dir, current);
    return 0;
}

static int drop_generations(struct dev *dev, struct dev_forget_report *count)
{
    const char *dir = dev->settings.dir;
    pc_autofree char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t found;
    int r = dev_generation_list(dir, &names, &found);
    for (size_t i = 0; r == 0 && i < found; i++)
        if (is_legacy(dir, names[i]))
            r = dev_generation_drop(dev, names[i], count);
    return r;
}

static int forget(struct dev *dev, bool force, struct dev_forget_report *count)
{
    const char *dir = dev->settings.dir;
    char current[DEV_GENERATION_TEXT];
    struct dev_record record = {0};
    int r = dev_generation_current(dir, current);
    if (r == 0 && current[0])
        r = dev_generation_record(dir, current, &record);
    if (r < 0)
        return r;
    bool behind = record.replaces[0] && is_legacy(dir, record.replaces);
    if (dev_legacy_key(dir) || behind || record.legacy)
        r = judge_new(dir, current, &record, force);
    /* First the way back is closed, then what it led to goes. */
    if (r == 0 && behind) {
        record.replaces[0] = '\0';
        r = dev_generation_record_write(dir, current, &record);
    }
    if (r == 0)
        r = destroy_key(dir, &count->files);
    if (r == 0)
        r = drop_generations(dev, count);
    /* A cut while one was removed has left no record in it to know it by. */
    return r < 0 ? r : dev_tidy_count(dev, count);
}

int dev_forget_legacy(struct dev *dev, bool force, struct dev_forget_report *ret)
{
    struct dev_forget_report count = {0};
    if (!pc_file_exists(dev->settings.dir)) {
        *ret = count;
        return 0;
    }
    int r = dev_begin(dev, false);
    if (r < 0)
        return r;
    struct dev *PC_CLEANUP(dev_end_ref) busy = dev;
    r = forget(busy, force, &count);
    if (r == 0)
        *ret = count;
    return r;
}
