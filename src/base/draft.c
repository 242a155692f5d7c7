/* Streams to files: what pc_file_write does for bytes that are all there at once. */
#include "src/base/draft.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/random.h"

struct pc_draft {
    char *path, *temporary;
    int fd;
    bool kept;
};

void pc_draft_free(struct pc_draft *draft)
{
    if (!draft)
        return;
    if (draft->fd >= 0) {
        close(draft->fd);
        if (!draft->kept)
            unlink(draft->temporary);
    }
    free(draft->path);
    free(draft->temporary);
    free(draft);
}

/* "<folder>/.<name>.<random>" */
static int name_temporary(struct pc_draft *draft)
{
    const char *slash = strrchr(draft->path, '/');
    int folder = slash ? (int)(slash - draft->path + 1) : 0;
    unsigned char random[8];
    char suffix[2 * sizeof random + 1];
    int r = pc_random(random, sizeof random);
    if (r < 0)
        return r;
    pc_hex(random, sizeof random, suffix);
    if (asprintf(&draft->temporary, "%.*s.%s.%s", folder, draft->path, draft->path + folder, suffix) < 0) {
        draft->temporary = NULL;
        return pc_fail(PC_EFAIL, "out of memory");
    }
    return 0;
}

/* 1: someone swept it away before it was locked. */
static int make_temporary(struct pc_draft *draft)
{
    struct stat status;
    free(draft->temporary);
    draft->temporary = NULL;
    int r = name_temporary(draft);
    if (r < 0)
        return r;
    draft->fd = open(draft->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (draft->fd < 0 || flock(draft->fd, LOCK_EX) != 0 || fstat(draft->fd, &status) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", draft->path);
    if (status.st_nlink > 0)
        return 0;
    close(draft->fd);
    draft->fd = -1;
    return 1;
}

/* ".<prefix>….<16 hexadecimal digits>" */
static bool is_temporary(const char *name, const char *prefix)
{
    size_t len = strlen(name), hex = 16;
    return name[0] == '.' && strncmp(name + 1, prefix, strlen(prefix)) == 0 &&
           len > strlen(prefix) + hex + 2 && name[len - hex - 1] == '.' &&
           strspn(name + len - hex, "0123456789abcdef") == hex;
}

/* Best effort: what cannot be removed today is met again. */
static void sweep_one(int dirfd, const char *name)
{
    pc_autoclose int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        (void)unlinkat(dirfd, name, 0);
}

int pc_draft_sweep(const char *folder, const char *prefix)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    if (!dir)
        return pc_fail_errno(PC_EFAIL, "%s", folder);
    while ((entry = readdir(dir)))
        if (is_temporary(entry->d_name, prefix))
            sweep_one(dirfd(dir), entry->d_name);
    closedir(dir);
    return 0;
}

int pc_draft_new(const char *path, mode_t mode, struct pc_draft **ret)
{
    struct pc_draft *draft PC_CLEANUP(pc_draft_free_ref) = calloc(1, sizeof *draft);
    if (!draft)
        return pc_fail(PC_EFAIL, "out of memory");
    draft->fd = -1;
    draft->path = strdup(path);
    if (!draft->path)
        return pc_fail(PC_EFAIL, "out of memory");
    if (pc_file_exists(path))
        return pc_refuse("file-exists", "%s: exists and is not replaced", path);
    int r;
    do
        r = make_temporary(draft);
    while (r > 0);
    if (r < 0)
        return r;
    if (pc_file_set_mode(draft->fd, mode) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    *ret = pc_steal(draft);
    return 0;
}

int pc_draft_fd(const struct pc_draft *draft)
{
    return draft->fd;
}

const char *pc_draft_path(const struct pc_draft *draft)
{
    return draft->temporary;
}

int pc_draft_keep(struct pc_draft *draft)
{
    if (fsync(draft->fd) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", draft->path);
    if (pc_file_name(AT_FDCWD, draft->temporary, draft->path) != 0)
        return errno == EEXIST ? pc_refuse("file-exists", "%s: exists and is not replaced", draft->path)
                               : pc_fail_errno(PC_EFAIL, "%s", draft->path);
    draft->kept = true;
    const char *slash = strrchr(draft->path, '/');
    pc_autofree char *folder = !slash                 ? strdup(".")
                               : slash == draft->path ? strdup("/")
                                                      : strndup(draft->path, (size_t)(slash - draft->path));
    return folder ? pc_dir_sync(folder) : pc_fail(PC_EFAIL, "out of memory");
}
