/* A private folder and copies in it. What is to stay is written by file.c. */
#include "src/base/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"

struct pc_scratch {
    char *path;
    int fd;
};

static void remove_all(int folder)
{
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(folder, entry->d_name, 0);
    closedir(dir);
}

void pc_scratch_free(struct pc_scratch *scratch)
{
    if (!scratch)
        return;
    if (scratch->fd >= 0) {
        remove_all(scratch->fd);
        close(scratch->fd);
        rmdir(scratch->path);
    }
    free(scratch->path);
    free(scratch);
}

int pc_scratch_new(struct pc_scratch **ret)
{
    struct pc_scratch *scratch PC_CLEANUP(pc_scratch_free_ref) = calloc(1, sizeof *scratch);
    const char *parent = getenv("TMPDIR");
    if (!scratch)
        return pc_fail(PC_EFAIL, "out of memory");
    scratch->fd = -1;
    scratch->path = pc_path_join(parent && *parent ? parent : "/var/tmp", "plantcert.XXXXXX");
    if (!scratch->path)
        return pc_fail(PC_EFAIL, "out of memory");
    if (!mkdtemp(scratch->path))
        return pc_fail_errno(PC_EFAIL, "%s", scratch->path);
    scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (scratch->fd < 0)
        return pc_fail_errno(PC_EFAIL, "%s", scratch->path);
    *ret = pc_steal(scratch);
    return 0;
}

const char *pc_scratch_path(const struct pc_scratch *scratch)
{
    return scratch->path;
}

int pc_scratch_copy(struct pc_scratch *scratch, const char *from, const char *name)
{
    struct stat status;
    pc_autoclose int in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (in < 0 || fstat(in, &status) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", from);
    if (!S_ISREG(status.st_mode))
        return pc_refuse("file-kind", "%s: not a regular file", from);
    pc_autoclose int out = openat(scratch->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return pc_fail_errno(PC_EFAIL, "%s/%s", scratch->path, name);
    for (off_t left = status.st_size; left > 0;) {
        ssize_t n = sendfile(out, in, NULL, left > (1 << 30) ? 1 << 30 : (size_t)left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pc_fail_errno(PC_EFAIL, "a copy of %s in %s", from, scratch->path);
        if (n == 0)
            break;
        left -= n;
    }
    return 0;
}
