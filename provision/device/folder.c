/* Links that switch in one rename, flat folders, and the visible names. What a generation or a pending key
 * is, is decided elsewhere. */
#include "provision/device/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/memory.h"

static const char *const visible[] = {DEV_CA, DEV_CERTIFICATE, DEV_KEY};
#define RANDOM_TEXT 16 /* digits by which base/file.c makes a temporary name */
#define VISIBLE (sizeof visible / sizeof visible[0])

void dev_path(char ret[DEV_PATH_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(ret, DEV_PATH_MAX, format, args);
    va_end(args);
}

int dev_link_read(const char *path, char ret[DEV_LINK_MAX])
{
    ssize_t len = readlink(path, ret, DEV_LINK_MAX);
    if (len < 0) {
        ret[0] = '\0';
        if (errno == ENOENT || errno == ENOTDIR)
            return 0;
        if (errno == EINVAL)
            return pc_refuse("dir-legacy", "%s: is no link, so this program did not make it", path);
        return pc_fail_errno(PC_EFAIL, "%s", path);
    }
    if (len >= DEV_LINK_MAX)
        return pc_refuse("dir-legacy", "%s: is a link that this program did not make", path);
    ret[len] = '\0';
    return 0;
}

int dev_link_switch(const char *dir, const char *name, const char *target)
{
    char path[DEV_PATH_MAX], fresh[DEV_PATH_MAX];
    dev_path(path, "%s/%s", dir, name);
    dev_path(fresh, "%s/.%s.new", dir, name);
    /* The lock is held: a link of that name is what a cut left. */
    if (unlink(fresh) != 0 && errno != ENOENT)
        return pc_fail_errno(PC_EFAIL, "%s", fresh);
    if (symlink(target, fresh) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", fresh);
    if (rename(fresh, path) != 0) {
        int r = pc_fail_errno(PC_EFAIL, "%s", path);
        unlink(fresh);
        return r;
    }
    return pc_dir_sync(dir);
}

int dev_link_remove(const char *dir, const char *name, const char *target, unsigned *count)
{
    char path[DEV_PATH_MAX], found[DEV_LINK_MAX];
    dev_path(path, "%s/.%s.new", dir, name);
    if (unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    dev_path(path, "%s/%s", dir, name);
    /* What is no link, or leads elsewhere, is somebody else's and stays. */
    if (dev_link_read(path, found) < 0 || found[0] == '\0' || (target && strcmp(found, target) != 0))
        return 0;
    if (unlink(path) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    *count += 1;
    return pc_dir_sync(dir);
}

static void close_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* Whether `found` is what a cut left of a durable write of `name` (base/file.c). */
static bool is_left_of(const char *found, const char *name)
{
    size_t len = strlen(name);
    if (found[0] != '.' || strncmp(found + 1, name, len) != 0 || found[1 + len] != '.')
        return false;
    const char *random = found + 1 + len + 1;
    return strlen(random) == RANDOM_TEXT && strspn(random, "0123456789abcdef") == RANDOM_TEXT;
}

/* All files in the folder (`of` NULL), or only the temporary ones, of any file ("") or of one. */
static int remove_files(const char *path, const char *of, unsigned *count)
{
    pc_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    DIR *PC_CLEANUP(close_dir) dir = fdopendir(fd);
    if (!dir)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    fd = -1; /* closedir closes it */
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (of && !(*of ? is_left_of(entry->d_name, of) : entry->d_name[0] == '.'))
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) != 0)
            return pc_fail_errno(PC_EFAIL, "%s/%s", path, entry->d_name);
        if (count)
            *count += 1;
    }
    return errno ? pc_fail_errno(PC_EFAIL, "%s", path) : 0;
}

int dev_folder_remove(const char *path, unsigned *count)
{
    if (!pc_file_exists(path))
        return 0;
    int r = remove_files(path, NULL, count);
    if (r < 0)
        return r;
    if (rmdir(path) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    char parent[DEV_PATH_MAX];
    dev_path(parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    return pc_dir_sync(parent);
}

int dev_folder_sweep(const char *path)
{
    return pc_file_exists(path) ? remove_files(path, "", NULL) : 0;
}

int dev_folder_sweep_of(const char *dir, const char *name)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/.", dir); /* the folder itself may be reached by a link */
    return pc_file_exists(path) ? remove_files(path, name, NULL) : 0;
}

int dev_folder_inner(const char *dir)
{
    static const char *const inner[] = {"generations", "pending"};
    char path[DEV_PATH_MAX];
    struct stat status;
    for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++) {
        dev_path(path, "%s/%s", dir, inner[i]);
        if (lstat(path, &status) == 0 && !S_ISDIR(status.st_mode))
            return pc_refuse("dir-legacy", "%s: is no folder, so this program did not make it", path);
    }
    return 0;
}

bool dev_folder_plain(const char *dir, const char *name)
{
    char path[DEV_PATH_MAX];
    struct stat status;
    dev_path(path, "%s/%s", dir, name);
    return lstat(path, &status) == 0 && S_ISREG(status.st_mode);
}

int dev_folder_check(const char *dir, unsigned *ret_plain)
{
    char path[DEV_PATH_MAX], found[DEV_LINK_MAX], wanted[DEV_LINK_MAX];
    unsigned plain = 0;
    for (size_t i = 0; i < VISIBLE; i++) {
        if (strcmp(visible[i], DEV_KEY) != 0 && dev_folder_plain(dir, visible[i])) {
            plain++;
            continue;
        }
        dev_path(path, "%s/%s", dir, visible[i]);
        int r = dev_link_read(path, found);
        if (r < 0)
            return r;
        snprintf(wanted, sizeof wanted, "current/%s", visible[i]);
        if (found[0] && strcmp(found, wanted) != 0)
            return pc_refuse("dir-legacy", "%s: is a link to %s, which this program did not make", path,
                             found);
    }
    dev_path(path, "%s/current", dir);
    int r = dev_link_read(path, found);
    if (r == 0)
        *ret_plain = plain;
    return r;
}

/* Whose it is, and who else may change it; a link's mode says nothing, nor does a file of before lead to
 * ours.
 */
static int check_owner(const char *path)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : pc_fail_errno(PC_EFAIL, "%s", path);
    if (status.st_uid != 0 && status.st_uid != geteuid())
        return pc_refuse("dir-owner", "%s: belongs to user %lu, who could put another trust anchor there",
                         path, (unsigned long)status.st_uid);
    if (S_ISLNK(status.st_mode) || !(status.st_mode & (S_IWGRP | S_IWOTH)))
        return 0;
    if (S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX)) {
        pc_log(PC_LOG_WARNING, "%s: others may write there (mode %04o)", path, status.st_mode & 07777);
        return 0;
    }
    return pc_refuse("dir-owner", "%s: others may write there (mode %04o) and put in another trust anchor",
                     path, status.st_mode & 07777);
}

int dev_folder_owner(const char *dir, const char *current)
{
    static const char *const leading[] = {"/.", "/generations", "/pending", "/current"};
    static const char *const inner[] = {"", "/" DEV_CA, "/" DEV_CERTIFICATE, "/" DEV_KEY, "/record"};
    char path[DEV_PATH_MAX];
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof leading / sizeof leading[0]; i++) {
        dev_path(path, "%s%s", dir, leading[i]);
        r = check_owner(path);
    }
    for (size_t i = 0; r == 0 && *current && i < sizeof inner / sizeof inner[0]; i++) {
        dev_path(path, "%s/generations/%s%s", dir, current, inner[i]);
        r = check_owner(path);
    }
    for (size_t i = 0; r == 0 && i < VISIBLE; i++) {
        dev_path(path, "%s/%s", dir, visible[i]);
        r = dev_folder_plain(dir, visible[i]) ? 0 : check_owner(path);
    }
    return r;
}

int dev_folder_link(const char *dir)
{
    char path[DEV_PATH_MAX], target[DEV_LINK_MAX];
    for (size_t i = 0; i < VISIBLE; i++) {
        dev_path(path, "%s/%s", dir, visible[i]);
        if (pc_file_exists(path))
            continue;
        snprintf(target, sizeof target, "current/%s", visible[i]);
        int r = dev_link_switch(dir, visible[i], target);
        if (r < 0)
            return r;
    }
    return 0;
}

int dev_folder_unlink(const char *dir, unsigned *count)
{
    char target[DEV_LINK_MAX];
    for (size_t i = 0; i < VISIBLE; i++) {
        snprintf(target, sizeof target, "current/%s", visible[i]);
        int r = dev_link_remove(dir, visible[i], target, count);
        if (r < 0)
            return r;
    }
    return 0;
}
