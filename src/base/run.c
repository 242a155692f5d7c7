/* Commands of the configuration: started, fed, waited for, and ended when they take too long. Which command
 * is run when, their callers know. */
#include "src/base/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/error.h"

#define TICK 10 /* ms */

/* A file in memory: unlike a pipe it can be neither full nor closed at its other end. */
static int input_open(const char *what, const struct pc_bytes *input, int *ret)
{
    pc_autoclose int fd =
        input ? memfd_create("input", MFD_CLOEXEC) : open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return pc_fail_errno(PC_EFAIL, "%s: input", what);
    for (size_t written = 0; input && written < input->len;) {
        ssize_t n = write(fd, input->data + written, input->len - written);
        if (n < 0 && errno != EINTR)
            return pc_fail_errno(PC_EFAIL, "%s: input", what);
        if (n > 0)
            written += (size_t)n;
    }
    if (input && lseek(fd, 0, SEEK_SET) != 0)
        return pc_fail_errno(PC_EFAIL, "%s: input", what);
    *ret = fd;
    fd = -1;
    return 0;
}

/* stdout belongs to results: the command's goes to stderr. A PIN may stand open behind --pin-fd, and the
 * token's files behind numbers that the module chose. An errno, as posix_spawn's functions give it. */
static int set_files(posix_spawn_file_actions_t *files, int input)
{
    int error = posix_spawn_file_actions_adddup2(files, input, STDIN_FILENO);
    if (!error)
        error = posix_spawn_file_actions_adddup2(files, STDERR_FILENO, STDOUT_FILENO);
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
    return error;
}

/* Signals as a program expects them, whatever ours ignores; a group of its own where it may have to be ended
 * with all that it started. */
static int set_attributes(posix_spawnattr_t *attributes, bool group)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    int error = posix_spawnattr_setsigmask(attributes, &none);
    if (!error)
        error = posix_spawnattr_setsigdefault(attributes, &all);
    if (!error)
        error = posix_spawnattr_setflags(attributes, group ? flags | POSIX_SPAWN_SETPGROUP : flags);
    return error;
}

static int spawn(const char *command, int input, bool group, pid_t *ret)
{
    char shell[] = "sh", option[] = "-c";
    pc_autofree char *copy = strdup(command);
    char *arguments[] = {shell, option, copy, NULL};
    posix_spawn_file_actions_t files;
    if (!copy || posix_spawn_file_actions_init(&files) != 0)
        return ENOMEM;
    posix_spawnattr_t attributes;
    int error = posix_spawnattr_init(&attributes);
    if (!error) {
        error = set_files(&files, input);
        if (!error)
            error = set_attributes(&attributes, group);
        if (!error)
            error = posix_spawn(ret, "/bin/sh", &files, &attributes, arguments, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return error;
}

/* Waits for `child`, `timeout` seconds at most (0: for ever), and ends it then. An errno; ret_late: it was
 * ended. */
static int await(pid_t child, unsigned timeout, int *ret_status, bool *ret_late)
{
    pid_t done;
    uint64_t waited = 0;
    *ret_late = false;
    while ((done = waitpid(child, ret_status, timeout > 0 && !*ret_late ? WNOHANG : 0)) <= 0) {
        if (done < 0 && errno != EINTR)
            return errno;
        if (done < 0 || *ret_late)
            continue;
        if (waited >= (uint64_t)timeout * 1000) {
            kill(-child, SIGKILL);
            *ret_late = true;
        } else {
            poll(NULL, 0, TICK);
            waited += TICK;
        }
    }
    return 0;
}

int pc_run(const char *what, const char *command, const struct pc_bytes *input, unsigned timeout)
{
    pc_autoclose int fd = -1;
    pid_t child;
    int status = 0;
    bool late;
    int r = input_open(what, input, &fd);
    if (r < 0)
        return r;
    int error = spawn(command, fd, timeout > 0, &child);
    if (!error)
        error = await(child, timeout, &status, &late);
    if (error)
        return pc_fail(PC_EFAIL, "%s: /bin/sh: %s", what, strerror(error));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (late)
        return pc_fail(PC_EFAIL, "%s: '%s' did not end within %u s", what, command, timeout);
    if (WIFSIGNALED(status))
        return pc_fail(PC_EFAIL, "%s: '%s' was ended by signal %d", what, command, WTERMSIG(status));
    return pc_fail(PC_EFAIL, "%s: '%s' exited with %d", what, command, WEXITSTATUS(status));
}
