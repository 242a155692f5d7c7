/* The master: starts the worker (and, with --single, the signer), watches them, hands over to a fresh worker
 * on SIGHUP, and drains on SIGTERM. One thread, one loop; nothing of a client's is ever read here. */
#include "src/cmd/plantca/serve/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "src/base/error.h"
#include "src/base/log.h"
#include "src/cmd/output.h"

#define DRAINING_MAX 8
#define DRAIN_GRACE 10 /* seconds, beyond those that a request may take */
#define ADDRESSES_TEXT (SERVE_LISTENERS_MAX * (SERVE_ADDRESS_TEXT + 2))

struct master {
    struct cmd *cmd;
    struct serve_listeners *listeners;
    struct serve_station *station, *next; /* owned; `next` is what `fresh` was started with */
    struct serve_child worker, fresh, signer;
    struct serve_signer own; /* --single */
    bool single;
    struct {
        pid_t pid;
        int64_t until; /* killed then */
    } draining[DRAINING_MAX];
    int signals, stopped_by; /* by which signal; 0: none */
    bool announced, reload_wanted, stopping, signer_told, ended;
    int code; /* of the end */
    char why[512];
};

/* Ends with `code` once all children are gone; the first cause stands. */
static void end(struct master *m, int code, const char *why)
{
    if (m->code == 0 && code != 0) {
        m->code = code;
        snprintf(m->why, sizeof m->why, "%s", why);
    }
    m->stopping = true;
}

static void describe(int status, char *ret, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(ret, size, "was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(ret, size, "ended with exit status %d", WEXITSTATUS(status));
}

/* The exit of a child as one of our codes. */
static int code_of(int status)
{
    int code = WIFEXITED(status) ? -WEXITSTATUS(status) : PC_EFAIL;

    return code < 0 && code >= PC_EPENDING ? code : PC_EFAIL;
}

/* Lets a worker finish what it has begun. */
static void retire(struct master *m, struct serve_child *child, const struct serve_station *station)
{
    pid_t pid = child->pid;

    serve_child_forget(child);
    child->due = 0;
    if (pid == 0)
        return;
    kill(pid, SIGTERM);
    for (size_t i = 0; i < DRAINING_MAX; i++)
        if (m->draining[i].pid == 0) {
            m->draining[i].pid = pid;
            m->draining[i].until =
                serve_clock() + 1000 * (int64_t)(station->net.limits.request + DRAIN_GRACE);
            return;
        }
    kill(pid, SIGKILL); /* reload() leaves room, so this is one whose drain nobody waits for */
}

static size_t count_draining(const struct master *m)
{
    size_t count = 0;

    for (size_t i = 0; i < DRAINING_MAX; i++)
        count += m->draining[i].pid != 0;
    return count;
}

static int start_worker(struct master *m, struct serve_child *child, const struct serve_station *station)
{
    struct serve_worker worker = {.cmd = m->cmd,
                                  .station = station,
                                  .listeners = m->listeners,
                                  .signer = m->single ? m->own.path : station->net.signer,
                                  .master = getpid()};

    return serve_child_start(child, serve_worker_run, &worker);
}

/* A start that fails is one of many reasons to try again later, unless it is the first. */
static void start_due(struct master *m, struct serve_child *child)
{
    m->own.station = m->station;
    int rc = child == &m->signer ? serve_signer_start(&m->own, child) : start_worker(m, child, m->station);

    child->due = 0;
    if (rc == 0)
        return;
    if (!m->announced) {
        end(m, rc, pc_error_text());
        return;
    }
    pc_log(PC_LOG_WARNING, "%s", pc_error_text());
    serve_child_back_off(child);
}

static void announce(struct master *m)
{
    char addresses[ADDRESSES_TEXT] = "", one[SERVE_ADDRESS_TEXT], metrics[SERVE_ADDRESS_TEXT] = "";
    json_t *list = json_array();

    for (size_t i = 0, at = 0; i < m->listeners->count; i++) {
        serve_address(m->listeners->fds[i], one);
        json_array_append_new(list, json_string(one));
        at += (size_t)snprintf(addresses + at, sizeof addresses - at, "%s%s", i > 0 ? ", " : "", one);
    }
    if (m->listeners->metrics >= 0)
        serve_address(m->listeners->metrics, metrics);
    m->announced = true;
    if (!m->cmd->quiet)
        cmd_print(m->cmd, "listening on %s\n", addresses);
    if (metrics[0] != '\0' && !m->cmd->quiet)
        cmd_print(m->cmd, "metrics on http://%s/metrics\n", metrics);
    cmd_line(m->cmd, json_pack("{s:o,s:o,s:i}", "listening", list, "metrics",
                               metrics[0] != '\0' ? json_string(metrics) : json_null(), "pid", getpid()));
    fflush(stdout);
    sd_notifyf(0, "READY=1\nSTATUS=listening on %s", addresses);
}

/* The configuration that was read anew has come to serve: from here on it is in effect. */
static void fresh_serves(struct master *m)
{
    retire(m, &m->worker, m->station);
    serve_station_free(m->station);
    m->station = pc_steal(m->next);
    m->worker = m->fresh;
    m->fresh = (struct serve_child)SERVE_NO_CHILD;
    pc_log(PC_LOG_NOTICE, "reloaded: a fresh worker serves, the old one drains");
    sd_notify(0, "READY=1");
}

static void reload_fails(const char *why)
{
    pc_log(PC_LOG_WARNING, "not reloaded, what was in effect goes on: %s", why);
    sd_notify(0, "READY=1");
}

static void warn_of_change(const struct master *m, const char *key)
{
    const char *was = pc_config_get(m->station->config, "station", key),
               *is = pc_config_get(m->next->config, "station", key);

    if ((was == NULL) != (is == NULL) || (was != NULL && strcmp(was, is) != 0))
        pc_log(PC_LOG_WARNING, "[station] %s has changed: that needs a restart", key);
}

static void reload(struct master *m)
{
    m->reload_wanted = !m->announced; /* then, when there is something to go on from */
    if (m->stopping || !m->announced)
        return;
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)serve_clock() * 1000);
    retire(m, &m->fresh, m->station); /* of a reload that this one overtakes */
    serve_station_free(pc_steal(m->next));
    if (count_draining(m) > DRAINING_MAX - 2) {
        reload_fails("too many workers of former reloads still drain");
        return;
    }
    if (serve_station_read(m->cmd, true, &m->next) != 0 || start_worker(m, &m->fresh, m->next) != 0) {
        reload_fails(pc_error_text());
        serve_station_free(pc_steal(m->next));
        return;
    }
    if (!m->listeners->activated)
        warn_of_change(m, "listen");
    warn_of_change(m, "metrics");
}

static void kill_all(struct master *m)
{
    for (size_t i = 0; i < DRAINING_MAX; i++)
        if (m->draining[i].pid != 0)
            kill(m->draining[i].pid, SIGKILL);
    if (m->signer.pid != 0)
        kill(m->signer.pid, SIGKILL);
}

static void worker_ended(struct master *m, int status)
{
    char how[96], why[160];

    describe(status, how, sizeof how);
    serve_child_forget(&m->worker);
    if (!m->announced) {
        snprintf(why, sizeof why, "the worker %s before it served", how);
        end(m, code_of(status), why);
        return;
    }
    serve_child_back_off(&m->worker);
    pc_log(PC_LOG_WARNING, "the worker %s; the next one in %u ms", how, m->worker.delay);
}

static void fresh_ended(struct master *m, int status)
{
    char how[96], why[160];

    describe(status, how, sizeof how);
    serve_child_forget(&m->fresh);
    serve_station_free(pc_steal(m->next));
    snprintf(why, sizeof why, "the fresh worker %s before it served", how);
    reload_fails(why);
}

/* A PIN that was refused is never tried again; the first start tells whether there is a station at all. */
static void signer_ended(struct master *m, int status)
{
    bool served = m->signer.serving;
    char how[96], why[160];
    int code = code_of(status);

    describe(status, how, sizeof how);
    serve_child_forget(&m->signer);
    if (m->stopping)
        return;
    snprintf(why, sizeof why, "the signer %s", how);
    if (code == PC_EAUTH || (!served && !m->announced)) {
        end(m, code, why);
    } else if (!serve_signer_can_restart(&m->own)) {
        snprintf(why, sizeof why,
                 "the signer %s, and its PIN with it: another can follow by itself only where the PIN "
                 "comes from a file",
                 how);
        end(m, PC_EFAIL, why);
    } else {
        serve_child_back_off(&m->signer);
        pc_log(PC_LOG_WARNING, "%s; the next one in %u ms", why, m->signer.delay);
    }
}

static void child_ended(struct master *m, pid_t pid, int status)
{
    for (size_t i = 0; i < DRAINING_MAX; i++)
        if (m->draining[i].pid == pid)
            m->draining[i].pid = 0;
    if (pid == m->worker.pid)
        worker_ended(m, status);
    else if (pid == m->fresh.pid)
        fresh_ended(m, status);
    else if (pid == m->signer.pid)
        signer_ended(m, status);
}

static void begin_stop(struct master *m, int number)
{
    m->stopping = true;
    m->stopped_by = number;
    pc_log(PC_LOG_NOTICE, "stopping by SIG%s: what has begun is finished", sigabbrev_np(number));
}

static void take_signals(struct master *m)
{
    struct signalfd_siginfo info;
    pid_t pid;
    int status;

    while (read(m->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP)
            reload(m);
        else if (info.ssi_signo == SIGCHLD)
            while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                child_ended(m, pid, status);
        else if (m->stopping)
            kill_all(m);
        else
            begin_stop(m, (int)info.ssi_signo);
    }
}

static void stop(struct master *m)
{
    if (m->worker.pid != 0 || m->fresh.pid != 0)
        sd_notify(0, "STOPPING=1");
    serve_listeners_close(m->listeners); /* nobody is to wait for an answer that will not come */
    retire(m, &m->worker, m->station);
    retire(m, &m->fresh, m->station);
    if (count_draining(m) > 0)
        return; /* they still need the signer */
    if (m->signer.pid != 0 && !m->signer_told)
        kill(m->signer.pid, SIGTERM);
    m->signer_told = true;
    m->ended = m->signer.pid == 0;
}

/* What time brings; gives the milliseconds until the next of it, -1 for never. */
static int take_time(struct master *m)
{
    struct serve_child *const children[] = {&m->worker, &m->signer};
    int64_t now = serve_clock(), next = INT64_MAX;

    for (size_t i = 0; i < DRAINING_MAX; i++) {
        if (m->draining[i].pid == 0)
            continue;
        if (m->draining[i].until <= now) {
            kill(m->draining[i].pid, SIGKILL);
            m->draining[i].until = INT64_MAX;
        }
        next = m->draining[i].until < next ? m->draining[i].until : next;
    }
    for (size_t i = 0; !m->stopping && i < CMD_LENGTH(children); i++) {
        struct serve_child *child = children[i];
        if (child->due != 0 && child->due <= now)
            start_due(m, child);
        if (child->due != 0 && child->due < next)
            next = child->due;
    }
    return next == INT64_MAX ? -1 : next <= now ? 0 : (int)(next - now);
}

static void wait_for_events(struct master *m, int timeout)
{
    struct pollfd fds[] = {{.fd = m->signals, .events = POLLIN},
                           {.fd = m->worker.ready, .events = POLLIN},
                           {.fd = m->fresh.ready, .events = POLLIN},
                           {.fd = m->signer.ready, .events = POLLIN}};

    if (poll(fds, CMD_LENGTH(fds), timeout) <= 0)
        return;
    if (fds[3].revents != 0 && serve_child_told(&m->signer) && !m->announced && m->worker.pid == 0)
        m->worker.due = serve_clock();
    if (fds[1].revents != 0 && serve_child_told(&m->worker) && !m->announced)
        announce(m);
    if (fds[2].revents != 0 && serve_child_told(&m->fresh))
        fresh_serves(m);
    if (fds[0].revents != 0)
        take_signals(m);
    if (m->reload_wanted && m->announced)
        reload(m);
}

static int hold_signals(int *ret)
{
    sigset_t set;

    sigemptyset(&set);
    for (const int *number = (const int[]){SIGHUP, SIGINT, SIGTERM, SIGCHLD, 0}; *number != 0; number++)
        sigaddset(&set, *number);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 ||
        (*ret = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
        return pc_fail_errno(PC_EFAIL, "signalfd");
    return 0;
}

static int run(struct master *m)
{
    int rc = hold_signals(&m->signals);

    if (rc == 0 && m->single) {
        m->own = (struct serve_signer){.cmd = m->cmd, .master = getpid(), .listener = -1};
        rc = serve_signer_prepare(&m->own);
    }
    if (rc != 0)
        return rc;
    *(m->single ? &m->signer.due : &m->worker.due) = serve_clock();
    while (!m->ended) {
        if (m->stopping)
            stop(m);
        if (!m->ended)
            wait_for_events(m, take_time(m));
    }
    if (m->single)
        serve_signer_remove(&m->own);
    if (m->stopped_by != 0)
        pc_log(PC_LOG_NOTICE, "stopped by SIG%s", sigabbrev_np(m->stopped_by));
    return m->code != 0 ? pc_fail(m->code, "%s", m->why) : 0;
}

int serve_master_run(struct cmd *cmd, struct serve_listeners *listeners, struct serve_station *station)
{
    struct master m = {.cmd = cmd,
                       .listeners = listeners,
                       .station = station,
                       .worker = SERVE_NO_CHILD,
                       .fresh = SERVE_NO_CHILD,
                       .signer = SERVE_NO_CHILD,
                       .single = cmd_given(cmd, "single"),
                       .signals = -1};
    int rc = run(&m);

    pc_close_ref(&m.signals);
    serve_station_free(m.station);
    serve_station_free(m.next);
    return rc;
}
