/* Children of the master: how they begin, what they keep and what they lose, and when the next one may come.
 * What they do is elsewhere. */
#include "src/cmd/plantca/serve/serve.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/memory.h"
#include "src/cmd/output.h"

#define PAUSE_FIRST 200 /* milliseconds */
#define PAUSE_MAX 30000
#define LIVED_LONG 60000 /* who lived so long had another cause: the pauses begin anew */

int64_t serve_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void serve_child_back_off(struct serve_child *child)
{
    int64_t now = serve_clock();

    if (child->delay == 0 || now - child->since >= LIVED_LONG)
        child->delay = PAUSE_FIRST;
    else
        child->delay = child->delay * 2 > PAUSE_MAX ? PAUSE_MAX : child->delay * 2;
    child->due = now + child->delay;
}

void serve_child_forget(struct serve_child *child)
{
    pc_close_ref(&child->ready);
    child->ready = -1;
    child->pid = 0;
    child->serving = false;
}

bool serve_child_told(struct serve_child *child)
{
    char byte;

    child->serving = read(child->ready, &byte, 1) == 1;
    pc_close_ref(&child->ready);
    child->ready = -1;
    return child->serving;
}

int serve_leave_stream(int stream)
{
    pc_autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    return null >= 0 && dup2(null, stream) == stream ? 0 : pc_fail_errno(PC_EFAIL, "/dev/null");
}

/* The master's signals were held back for its signalfd. Ctrl-C and a terminal that hangs up reach all of us:
 * the master decides what comes of it. (By functions, not SIG_IGN, which programs that we start would
 * inherit.) */
static void no_act(int number)
{
    (void)number;
}

static void take_signals(void)
{
    struct sigaction nothing = {.sa_handler = no_act, .sa_flags = SA_RESTART};
    sigset_t none;

    sigemptyset(&nothing.sa_mask);
    sigaction(SIGINT, &nothing, NULL);
    sigaction(SIGHUP, &nothing, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static __attribute__((noreturn)) void live(int (*run)(void *context, int ready), void *context, int ready)
{
    unsetenv("NOTIFY_SOCKET");                  /* the master alone speaks to the service manager */
    int rc = serve_leave_stream(STDOUT_FILENO); /* it is the master's */

    if (rc == 0) {
        take_signals();
        rc = run(context, ready);
    }
    _exit(-rc);
}

int serve_child_start(struct serve_child *child, int (*run)(void *context, int ready), void *context)
{
    int ends[2];

    fflush(stdout);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return pc_fail_errno(PC_EFAIL, "a pipe");
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        live(run, context, ends[1]);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return pc_fail_errno(PC_EFAIL, "fork");
    }
    *child =
        (struct serve_child){.pid = pid, .ready = ends[0], .since = serve_clock(), .delay = child->delay};
    return 0;
}

int serve_drop(const struct serve_station *station)
{
    if (!station->drop)
        return 0;
    if (setgroups(0, NULL) != 0 || setresgid(station->gid, station->gid, station->gid) != 0 ||
        setresuid(station->uid, station->uid, station->uid) != 0)
        return pc_fail_errno(PC_EFAIL, "becoming [station] network-user");
    if (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0)
        return pc_fail(PC_EFAIL, "becoming [station] network-user: there is a way back");
    return pc_process_harden(); /* a change of user has undone that */
}

/* After serve_drop: a change of user undoes this, too (PR_SET_PDEATHSIG in prctl(2)). */
int serve_die_with_master(pid_t master)
{
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
        return pc_fail_errno(PC_EFAIL, "PR_SET_PDEATHSIG");
    return getppid() == master ? 0 : pc_fail(PC_EFAIL, "the master is gone");
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void serve_keep(const int *fds, size_t count)
{
    int sorted[SERVE_LISTENERS_MAX + 4];
    unsigned next = STDERR_FILENO + 1;

    for (size_t i = 0; i < count; i++)
        sorted[i] = fds[i];
    qsort(sorted, count, sizeof *sorted, compare);
    for (size_t i = 0; i < count; i++) {
        if (sorted[i] < (int)next)
            continue;
        if ((unsigned)sorted[i] > next)
            close_range(next, (unsigned)sorted[i] - 1, 0);
        next = (unsigned)sorted[i] + 1;
    }
    close_range(next, ~0U, 0);
}
