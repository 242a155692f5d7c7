/* The signer as a child of the master: plantca signer's work in a process beside, for a demonstration or a
 * small shop. Only that child ever sees PIN, token and ledger. */
#include "src/cmd/plantca/serve/serve.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "provision/station/signer/signer.h"
#include "src/base/error.h"
#include "src/cmd/output.h"
#include "src/cmd/plantca/plantca.h"

#define SOCKET_NAME "/signer.sock"

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

int serve_signer_prepare(struct serve_signer *signer)
{
    const char *parent = secure_getenv("TMPDIR");

    if (parent == NULL || parent[0] != '/')
        parent = "/tmp";
    int len = snprintf(signer->folder, sizeof signer->folder, "%s/plantca-XXXXXX", parent);
    if (len < 0 || (size_t)len >= sizeof signer->folder)
        return pc_fail(PC_EFAIL, "%s: too long a path for a socket (TMPDIR)", parent);
    if (mkdtemp(signer->folder) == NULL) {
        int rc = pc_fail_errno(PC_EFAIL, "%s", signer->folder);
        signer->folder[0] = '\0';
        return rc;
    }
    snprintf(signer->path, sizeof signer->path, "%s%s", signer->folder, SOCKET_NAME);
    return 0;
}

void serve_signer_remove(struct serve_signer *signer)
{
    unlink(signer->path);
    rmdir(signer->folder);
}

/* The worker's user may reach the socket and see nothing else. */
static int let_worker_in(const struct serve_signer *signer)
{
    const struct serve_station *station = signer->station;

    if (station->drop &&
        (chown(signer->folder, (uid_t)-1, station->gid) != 0 || chmod(signer->folder, 0710) != 0 ||
         chown(signer->path, station->uid, station->gid) != 0))
        return pc_fail_errno(PC_EFAIL, "%s", signer->path);
    return 0;
}

static int bind_socket(struct serve_signer *signer)
{
    pc_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    unlink(signer->path);
    memcpy(address.sun_path, signer->path, strlen(signer->path) + 1);
    mode_t mask = umask(0177);
    int bound = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&address, sizeof address);
    umask(mask);
    if (bound != 0 || listen(fd, 8) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", signer->path);
    int rc = let_worker_in(signer);
    if (rc == 0) {
        signer->listener = fd;
        fd = -1;
    }
    return rc;
}

static void tell_ready(void *context)
{
    const int *ready = context;

    if (write(*ready, "", 1) == 1)
        close(*ready);
}

static int sign(struct serve_signer *signer, struct cmd *cmd, int ready)
{
    struct ca_settings settings;
    struct signer_options options;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    int rc = plantca_read_settings(cmd, &settings);

    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc != 0)
        return rc;
    plantca_read_station(cmd, &options);
    options.listener = signer->listener;
    options.peers = &signer->station->uid;
    options.peer_count = signer->station->drop ? 1 : 0;
    options.stop = &stopped;
    options.ready = tell_ready;
    options.context = &ready;
    return signer_run(ca, &options);
}

static int pin_fd(const struct cmd *cmd)
{
    long fd = -1;

    if (cmd_given(cmd, "pin-fd") && cmd_number(cmd, "pin-fd", 0, INT_MAX, &fd) != 0)
        fd = -1; /* said where it is read */
    return (int)fd;
}

static int signer_life(void *context, int ready)
{
    struct serve_signer *signer = context;
    struct cmd cmd = *signer->cmd;
    struct sigaction action = {.sa_handler = stop};

    cmd.config = signer->station->config;
    serve_log_as(&cmd, "signer");
    serve_keep((const int[]){signer->listener, ready, pin_fd(&cmd)}, 3);
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    int rc = serve_die_with_master(signer->master);
    if (rc == 0)
        rc = sign(signer, &cmd, ready);
    if (rc != 0)
        cmd_complain(&cmd, "signer: ", pc_error_text());
    if (getppid() != signer->master)
        serve_signer_remove(signer); /* what a master that was killed cannot do itself */
    return rc;
}

int serve_signer_start(struct serve_signer *signer, struct serve_child *child)
{
    int rc = bind_socket(signer);

    if (rc == 0)
        rc = serve_child_start(child, signer_life, signer);
    pc_close_ref(&signer->listener);
    signer->listener = -1;
    if (rc == 0 && pin_fd(signer->cmd) > STDERR_FILENO)
        close(pin_fd(signer->cmd)); /* the child has it */
    return rc;
}

bool serve_signer_can_restart(const struct serve_signer *signer)
{
    return !cmd_given(signer->cmd, "pin-fd") &&
           (cmd_given(signer->cmd, "pin-file") ||
            pc_config_get(signer->station->config, "token", "pin-file") != NULL);
}
