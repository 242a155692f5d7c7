/* One reading of the configuration: what the network service is given of it, and as whom it runs. */
#include "src/cmd/plantca/serve/serve.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/pki/bundle.h"
#include "src/pki/request.h"

#define HEADER_BYTES 8192
/* base64 and its line ends, and room for what a client adds */
#define BODY_BYTES (2 * PKI_REQUEST_MAX)
#define SECONDS_MAX 86400

/* A time-out in whole seconds, at least one. */
static unsigned seconds(const struct pc_config *config, const char *key)
{
    int64_t value = pc_config_duration(config, "station", key);

    return value < 1 ? 1 : value > SECONDS_MAX ? SECONDS_MAX : (unsigned)value;
}

static unsigned count(const struct pc_config *config, const char *key)
{
    return (unsigned)pc_config_number(config, "station", key);
}

static void read_limits(const struct pc_config *config, struct net_limits *ret)
{
    int64_t token = pc_config_duration(config, "token", "timeout");

    *ret = (struct net_limits){
        .connections = count(config, "connections"),
        .per_address = count(config, "connections-per-address"),
        .handshake = seconds(config, "handshake-timeout"),
        .request = seconds(config, "request-timeout"),
        .idle = seconds(config, "idle-timeout"),
        .header_bytes = HEADER_BYTES,
        .body_bytes = BODY_BYTES,
        .questions = count(config, "questions"),
        /* A call of the token may take this long; who waits for less loses what is then issued. */
        .answer = token < 1             ? 1
                  : token > SECONDS_MAX ? SECONDS_MAX
                                        : (unsigned)token,
    };
}

static int read_net(struct serve_station *station)
{
    const struct pc_config *config = station->config;
    struct net_settings *net = &station->net;

    read_limits(config, &net->limits);
    if (net->limits.connections == 0 || net->limits.questions == 0)
        return pc_fail(PC_EUSAGE, "[station] %s = 0 lets nobody in",
                       net->limits.connections == 0 ? "connections" : "questions");
    net->metrics = -1;
    net->signer = pc_config_get(config, "station", "socket");
    net->retry_after = seconds(config, "retry-after");
    net->certificate = station->chain;
    net->key = station->key;
    return 0;
}

/* Only root can become somebody else; anyone else serves as who they are. */
static int read_user(struct serve_station *station)
{
    const char *name = pc_config_get(station->config, "station", "network-user");

    if (geteuid() != 0)
        return 0;
    errno = 0;
    const struct passwd *user = getpwnam(name);
    if (user == NULL)
        return pc_fail(PC_EUSAGE,
                       "[station] network-user = %s: no such user (systemd-sysusers makes the default one); "
                       "root does not serve the network",
                       name);
    if (user->pw_uid == 0)
        return pc_fail(PC_EUSAGE, "[station] network-user = %s: root does not serve the network", name);
    station->drop = true;
    station->uid = user->pw_uid;
    station->gid = user->pw_gid;
    return 0;
}

/* cmd->config at the start; later a new one, in the place of which nothing changes when it is no good. */
static int take_config(struct cmd *cmd, bool again, struct pc_config **ret)
{
    struct cmd fresh = *cmd;

    if (!again) {
        *ret = pc_steal(cmd->config);
        return 0;
    }
    fresh.config = NULL;
    int rc = cmd_load_settings(&fresh);
    if (rc == 0)
        *ret = fresh.config;
    else
        pc_config_free(fresh.config);
    return rc;
}

int serve_station_read(struct cmd *cmd, bool again, struct serve_station **ret)
{
    PC_CLEANUP(serve_station_free_ref) struct serve_station *station = calloc(1, sizeof *station);

    if (station == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    int rc = take_config(cmd, again, &station->config);
    if (rc == 0)
        rc = read_user(station);
    if (rc == 0)
        rc = serve_certificate_read(station->config, &station->chain, &station->key);
    if (rc == 0)
        rc = read_net(station);
    if (rc == 0)
        *ret = pc_steal(station);
    return rc;
}

void serve_station_free(struct serve_station *station)
{
    if (station == NULL)
        return;
    pc_config_free(station->config);
    pki_certificates_free(station->chain);
    EVP_PKEY_free(station->key);
    free(station);
}
