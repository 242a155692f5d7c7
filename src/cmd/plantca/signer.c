/* plantca signer: the half of the station that has token and ledger, behind a Unix socket. */
#include "src/cmd/plantca/plantca.h"

#include <errno.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "src/base/error.h"
#include "src/base/log.h"
#include "src/cmd/output.h"

#define SOCKET_MODE 0660
#define KEEP_HEAP (4 << 20) /* bytes */

static volatile sig_atomic_t stop_wanted;

static void want_stop(int number)
{
    stop_wanted = number;
}

static void ready(void *context)
{
    (void)context;
    (void)sd_notify(0, "READY=1");
    pc_log(PC_LOG_NOTICE, "ready");
}

/* Which user the network service runs as: nobody else may ask. Its group may reach the socket. */
static int find_peer(struct cmd *cmd, uid_t *ret_uid, gid_t *ret_gid, bool *ret_found)
{
    const char *name = pc_config_get(cmd->config, "station", "network-user");
    const struct passwd *user;

    errno = 0;
    user = getpwnam(name);
    *ret_found = user != NULL;
    if (user == NULL && errno != 0 && errno != ENOENT && errno != ESRCH)
        return pc_fail_errno(PC_EFAIL, "user %s", name);
    if (user == NULL) {
        cmd_warn(cmd, "[station] network-user: there is no user %s; only this one may connect", name);
        return 0;
    }
    *ret_uid = user->pw_uid;
    *ret_gid = user->pw_gid;
    return 0;
}

static int socket_address(const char *path, struct sockaddr_un *ret)
{
    size_t len = strlen(path);

    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (len >= sizeof ret->sun_path)
        return pc_fail(PC_EUSAGE, "[station] socket: longer than %zu bytes", sizeof ret->sun_path - 1);
    memcpy(ret->sun_path, path, len + 1);
    return 0;
}

/* One that a signer left which was killed. Whoever listens there keeps it. */
static int remove_stale(const char *path, const struct sockaddr_un *address)
{
    struct stat status;
    pc_autoclose int fd = -1;

    if (lstat(path, &status) != 0)
        return errno == ENOENT ? 0 : pc_fail_errno(PC_EFAIL, "%s", path);
    if (!S_ISSOCK(status.st_mode))
        return pc_refuse("file-kind", "%s: not a socket; it stays", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return pc_refuse("signer-runs", "%s: a signer listens there already", path);
    if (errno != ECONNREFUSED)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    return unlink(path) == 0 ? 0 : pc_fail_errno(PC_EFAIL, "%s", path);
}

/* The folder gives it the group where it has the set-group-ID bit; else only root can. */
static int open_to_group(struct cmd *cmd, const char *path, gid_t group)
{
    struct stat status;

    if (lstat(path, &status) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    if (status.st_gid != group && lchown(path, (uid_t)-1, group) != 0)
        cmd_warn(cmd, "%s: group %u may not reach it: %s", path, (unsigned)group, strerror(errno));
    return chmod(path, SOCKET_MODE) == 0 ? 0 : pc_fail_errno(PC_EFAIL, "%s", path);
}

/* A folder that is not there is the one thing that "No such file" would not tell. */
static int check_folder(const char *path)
{
    pc_autofree char *folder = strdup(path);
    struct stat status;
    char *slash = folder != NULL ? strrchr(folder, '/') : NULL;

    if (folder == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    if (slash == NULL || slash == folder)
        return 0;
    *slash = '\0';
    if (stat(folder, &status) != 0)
        return pc_fail(PC_EUSAGE,
                       "[station] socket: the folder %s: %s (systemd-tmpfiles makes it at boot; by hand: "
                       "install -d -m 2750 -o plantca -g plantca-net %s)",
                       folder, strerror(errno), folder);
    if (!S_ISDIR(status.st_mode))
        return pc_fail(PC_EUSAGE, "[station] socket: %s is no folder", folder);
    return 0;
}

static int make_socket(struct cmd *cmd, const char *path, gid_t group, int *ret_fd)
{
    struct sockaddr_un address;
    pc_autoclose int fd = -1;
    int rc = socket_address(path, &address);

    if (rc == 0)
        rc = check_folder(path);
    if (rc == 0)
        rc = remove_stale(path, &address);
    if (rc != 0)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0777 & ~0600);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        rc = pc_fail_errno(PC_EFAIL, "%s", path);
    umask(before);
    if (rc == 0)
        rc = open_to_group(cmd, path, group);
    if (rc == 0 && listen(fd, SOMAXCONN) != 0)
        rc = pc_fail_errno(PC_EFAIL, "%s", path);
    if (rc != 0)
        return rc;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

/* The socket that systemd holds for us, or one of our own; `ret_path` NULL where it is not ours to remove. */
static int open_socket(struct cmd *cmd, gid_t group, int *ret_fd, const char **ret_path)
{
    const char *path = pc_config_get(cmd->config, "station", "socket");
    int given = sd_listen_fds(1);

    if (given > 1)
        return pc_fail(PC_EUSAGE, "systemd gave %d sockets, where the signer has one", given);
    if (given == 1 && sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <= 0)
        return pc_fail(PC_EUSAGE, "systemd gave a socket that is no listening Unix socket");
    if (given == 1) {
        *ret_fd = SD_LISTEN_FDS_START;
        return 0;
    }
    int rc = make_socket(cmd, path, group, ret_fd);
    if (rc == 0)
        *ret_path = path;
    return rc;
}

static void heed_signals(void)
{
    struct sigaction action = {.sa_handler = want_stop};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int serve(struct cmd *cmd, struct ca *ca, struct signer_options *options)
{
    const char *path = NULL;
    pc_autoclose int listener = -1;
    uid_t peer = 0;
    gid_t group = getegid();
    bool found = false;
    int rc = find_peer(cmd, &peer, &group, &found);

    if (rc == 0)
        rc = open_socket(cmd, group, &listener, &path);
    if (rc != 0)
        return rc;
    options->listener = listener;
    options->peers = &peer;
    options->peer_count = found ? 1 : 0;
    options->stop = &stop_wanted;
    options->ready = ready;
    heed_signals();
    rc = signer_run(ca, options);
    (void)sd_notify(0, "STOPPING=1");
    if (rc == 0)
        pc_log(PC_LOG_NOTICE, "stopped by SIG%s", sigabbrev_np(stop_wanted));
    else
        pc_log(PC_LOG_NOTICE, "stopped by an error");
    if (path != NULL)
        (void)unlink(path);
    return rc;
}

int plantca_run_signer(struct cmd *cmd)
{
    struct ca_settings settings;
    struct signer_options options;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    int rc = plantca_read_settings(cmd, &settings);

    /* Certificates come and go: what was freed once is used again, not given back each time. */
    mallopt(M_TRIM_THRESHOLD, KEEP_HEAP);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc != 0)
        return rc;
    plantca_read_station(cmd, &options);
    return serve(cmd, ca, &options);
}
