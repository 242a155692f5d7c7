/* The worker: becomes the network user, keeps nothing but its sockets, and serves in the sandbox until it is
 * told to drain. */
#include "src/cmd/plantca/serve/serve.h"

#include <signal.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/cmd/output.h"

static void drain(int number)
{
    (void)number;
    net_stop();
}

struct entry {
    const char *signer;
    int ready;
};

/* Everything is open, nothing of a client's has been read. */
static int enter(void *context)
{
    struct entry *entry = context;
    int rc = net_sandbox(entry->signer);

    if (rc == 0 && write(entry->ready, "", 1) != 1)
        rc = pc_fail(PC_EFAIL, "the master is gone");
    close(entry->ready);
    return rc;
}

static void keep_sockets(const struct serve_listeners *listeners, int ready)
{
    int fds[SERVE_LISTENERS_MAX + 2] = {ready};
    size_t count = 1;

    for (size_t i = 0; i < listeners->count; i++)
        fds[count++] = listeners->fds[i];
    if (listeners->metrics >= 0)
        fds[count++] = listeners->metrics;
    serve_keep(fds, count);
}

int serve_worker_run(void *context, int ready)
{
    const struct serve_worker *worker = context;
    struct net_settings net = worker->station->net;
    struct entry entry = {.signer = worker->signer, .ready = ready};
    struct sigaction action = {.sa_handler = drain};

    serve_log_as(worker->cmd, "worker");
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    keep_sockets(worker->listeners, ready);
    net.listeners = worker->listeners->fds;
    net.listener_count = worker->listeners->count;
    net.metrics = worker->listeners->metrics;
    net.signer = worker->signer;
    int rc = serve_leave_stream(STDIN_FILENO);
    if (rc == 0)
        rc = serve_drop(worker->station);
    if (rc == 0)
        rc = serve_die_with_master(worker->master);
    if (rc == 0)
        rc = net_run(&net, enter, &entry);
    if (rc != 0)
        cmd_complain(worker->cmd, "worker: ", pc_error_text());
    return rc;
}
