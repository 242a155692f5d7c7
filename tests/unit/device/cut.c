/* Ending a child before the N-th call that changes a file. Knows nothing of what is tested. */
#include "tests/unit/device/cut.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CUT 99 /* exit code */

bool cut_fail_fchown;
static unsigned cut_at, points; /* 0: never */

void cut_point(void)
{
    if (cut_at && ++points == cut_at)
        _exit(CUT);
}

int cut_run(int (*operation)(void *argument), void *argument, unsigned at, bool *ret_ended)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child == 0) {
        cut_at = at;
        points = 0;
        _exit(-operation(argument));
    }
    int status;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        abort();
    *ret_ended = WEXITSTATUS(status) != CUT;
    return *ret_ended ? -WEXITSTATUS(status) : 0;
}

#define WRAP(name, parameters, arguments)                                                                    \
    int __real_##name parameters;                                                                            \
    int __wrap_##name parameters;                                                                            \
    int __wrap_##name parameters                                                                             \
    {                                                                                                        \
        cut_point();                                                                                         \
        return __real_##name arguments;                                                                      \
    }                                                                                                        \
    struct pc_require_semicolon

WRAP(fsync, (int fd), (fd));
WRAP(fchmod, (int fd, mode_t mode), (fd, mode));
WRAP(chmod, (const char *path, mode_t mode), (path, mode));
WRAP(mkdir, (const char *path, mode_t mode), (path, mode));
WRAP(rmdir, (const char *path), (path));
WRAP(symlink, (const char *target, const char *path), (target, path));
WRAP(unlink, (const char *path), (path));
WRAP(unlinkat, (int fd, const char *path, int flags), (fd, path, flags));
WRAP(rename, (const char *from, const char *to), (from, to));
WRAP(renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
     (from_fd, from, to_fd, to, flags));

int __real_fchown(int fd, uid_t owner, gid_t group);
int __wrap_fchown(int fd, uid_t owner, gid_t group);
int __wrap_fchown(int fd, uid_t owner, gid_t group)
{
    cut_point();
    if (cut_fail_fchown) {
        errno = EPERM;
        return -1;
    }
    return __real_fchown(fd, owner, group);
}
