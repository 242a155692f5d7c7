/* Streams to files: what pc_file_write does for bytes that are all there at once. */
#include "src/base/draft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    int r = name_temporary(draft);
    if (r < 0)
        return r;
    draft->fd = open(draft->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (draft->fd < 0 || fchmod(draft->fd, mode) != 0)
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
    if (renameat2(AT_FDCWD, draft->temporary, AT_FDCWD, draft->path, RENAME_NOREPLACE) != 0)
        return errno == EEXIST ? pc_refuse("file-exists", "%s: exists and is not replaced", draft->path)
                               : pc_fail_errno(PC_EFAIL, "%s", draft->path);
    draft->kept = true;
    const char *slash = strrchr(draft->path, '/');
    pc_autofree char *folder = !slash                 ? strdup(".")
                               : slash == draft->path ? strdup("/")
                                                      : strndup(draft->path, (size_t)(slash - draft->path));
    return folder ? pc_dir_sync(folder) : pc_fail(PC_EFAIL, "out of memory");
}
