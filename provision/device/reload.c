/* Running the reload command. When it is owed, install.c knows. */
#include "provision/device/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/memory.h"

#define TICK 20 /* ms */

static int start(const char *command, pid_t *ret)
{
    char shell[] = "sh", option[] = "-c";
    pc_autofree char *copy = strdup(command);
    if (!copy)
        return pc_fail(PC_EFAIL, "out of memory");
    char *arguments[] = {shell, option, copy, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    if (posix_spawn_file_actions_init(&files) != 0)
        return pc_fail(PC_EFAIL, "out of memory");
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return pc_fail(PC_EFAIL, "out of memory");
    }
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    int error = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error) /* stdout carries our results only */
        error = posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    if (!error)
        error = posix_spawnattr_setsigdefault(&attributes, &defaults);
    if (!error)
        error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    if (!error)
        error = posix_spawn(ret, "/bin/sh", &files, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error ? pc_fail(PC_EFAIL, "reload: /bin/sh: %s", strerror(error)) : 0;
}

int dev_reload(const char *command, int wait_ms)
{
    pid_t child;
    int r = start(command, &child);
    if (r < 0)
        return r;
    int status;
    pid_t done;
    for (int waited = 0; (done = waitpid(child, &status, WNOHANG)) == 0; waited += TICK) {
        if (waited >= wait_ms) {
            kill(-child, SIGKILL);
            while (waitpid(child, &status, 0) < 0 && errno == EINTR)
                ;
            return pc_fail(PC_EFAIL, "reload: '%s' did not end within %d s", command, wait_ms / 1000);
        }
        poll(NULL, 0, TICK);
    }
    if (done < 0)
        return pc_fail_errno(PC_EFAIL, "reload");
    if (WIFSIGNALED(status))
        return pc_fail(PC_EFAIL, "reload: '%s' was ended by signal %d", command, WTERMSIG(status));
    return WEXITSTATUS(status) == 0
               ? 0
               : pc_fail(PC_EFAIL, "reload: '%s' exited with %d", command, WEXITSTATUS(status));
}
