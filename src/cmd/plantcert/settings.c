/* The settings of plantcert: the one table of what its configuration may say, and what the device's side is
 * given of it. */
#include "src/cmd/plantcert/plantcert.h"

#include <limits.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/secret.h"
#include "src/cmd/checks.h"
#include "src/pki/name.h"

#define KEY_AUTO "auto"
#define BROKER_TIMEOUT 10 /* seconds; a TPM's signature among them */

static int check_key(const char *value)
{
    enum pki_key_type type;

    if (strcmp(value, KEY_AUTO) == 0)
        return 0;
    if (pki_key_type_parse(value, &type) != 0 || (type != PKI_KEY_RSA_2048 && type != PKI_KEY_EC_P256))
        return pc_fail(PC_EUSAGE, "'%.40s' is none of rsa:2048, ec:P-256 and auto", value);
    return 0;
}

static int check_store(const char *value)
{
    if (strcmp(value, "handle") == 0 || strcmp(value, "blob") == 0)
        return 0;
    return pc_fail(PC_EUSAGE, "'%.40s' is neither handle nor blob", value);
}

const struct pc_setting plantcert_settings[] = {
    {"device", "plant", NULL, NULL, pki_uuid_check},
    {"device", "dir", NULL, "/etc/voke", pc_check_path},
    {"device", "group", NULL, NULL, cmd_check_group},
    {"device", "key", NULL, "rsa:2048", check_key},
    {"device", "store", NULL, "handle", check_store},
    {"device", "handles", NULL, "0x81020000-0x8102000f", cmd_check_handles},
    {"device", "reload", NULL, NULL, cmd_check_command},
    {"tpm", "tcti", "PLANTCERT_TCTI", "device:/dev/tpmrm0", cmd_check_command},
    {"tpm", "allow-simulator", "PLANTCERT_ALLOW_SIMULATOR", "no", pc_check_flag},
    {"tpm", "owner-auth-file", NULL, NULL, pc_check_path},
    {"tpm", "srk-auth-file", NULL, NULL, pc_check_path},
    {"station", "url", NULL, NULL, cmd_check_https},
    {"station", "trust", NULL, NULL, pc_check_path},
    {"station", "label", NULL, NULL, NULL},
    {"station", "code-file", NULL, NULL, pc_check_path},
    {"station", "timeout", NULL, "2m", pc_check_duration},
    {"mqtt", "broker", NULL, NULL, cmd_check_broker},
    {"renew", "before", NULL, "30d", pc_check_duration},
};
const size_t plantcert_setting_count = CMD_LENGTH(plantcert_settings);

static int read_settings(const struct pc_config *config, struct dev_settings *ret)
{
    struct dev_settings settings = {
        .plant = pc_config_get(config, "device", "plant"),
        .dir = pc_config_get(config, "device", "dir"),
        .group = pc_config_get(config, "device", "group"),
        .store =
            strcmp(pc_config_get(config, "device", "store"), "blob") == 0 ? DEV_STORE_BLOB : DEV_STORE_HANDLE,
        .reload = pc_config_get(config, "device", "reload"),
        .station = pc_config_get(config, "station", "url") != NULL,
        .renew_before = pc_config_duration(config, "renew", "before"),
        .tpm = {.tcti = pc_config_get(config, "tpm", "tcti"),
                .allow_simulator = pc_config_flag(config, "tpm", "allow-simulator")},
    };
    const char *key = pc_config_get(config, "device", "key");
    settings.key_auto = strcmp(key, KEY_AUTO) == 0;
    int rc = pki_key_type_parse(settings.key_auto ? "rsa:2048" : key, &settings.key);

    if (rc == 0)
        rc = cmd_handles_parse(pc_config_get(config, "device", "handles"), &settings.handle_first,
                               &settings.handle_last);
    if (rc == 0)
        *ret = settings;
    return rc;
}

int plantcert_broker(const struct cmd *cmd, char room[PLANTCERT_HOST_TEXT], struct dev_broker *ret)
{
    const char *value = pc_config_get(cmd->config, "mqtt", "broker");
    struct dev_broker broker = {.timeout = BROKER_TIMEOUT};

    if (value != NULL) {
        int rc = cmd_broker_parse(value, room, PLANTCERT_HOST_TEXT, &broker.port);
        if (rc != 0)
            return rc;
        broker.host = room;
    }
    *ret = broker;
    return 0;
}

bool plantcert_takes(const struct cmd *cmd, const char *option)
{
    for (size_t i = 0; i < cmd->command->option_count; i++)
        if (strcmp(cmd->command->options[i].name, option) == 0)
            return true;
    return false;
}

/* `*ret` stays NULL where none is given. */
static int read_auth(const struct cmd *cmd, const char *file_key, const char *fd_option, const char *what,
                     struct pc_secret **ret)
{
    const char *const options[] = {file_key, fd_option, NULL};
    const char *file = pc_config_get(cmd->config, "tpm", file_key);
    long fd;
    int rc = cmd_choose(cmd, true, options);

    if (rc != 0)
        return rc;
    if (!cmd_given(cmd, fd_option))
        return file != NULL ? pc_secret_from_file(what, file, ret) : 0;
    rc = cmd_number(cmd, fd_option, 0, INT_MAX, &fd);
    return rc != 0 ? rc : pc_secret_from_fd(what, (int)fd, ret);
}

int plantcert_open(struct cmd *cmd, struct plantcert *ret)
{
    int rc = read_settings(cmd->config, &ret->settings);

    ret->settings.defer_reload = plantcert_takes(cmd, "defer-reload") && cmd_given(cmd, "defer-reload");
    if (rc == 0 && plantcert_takes(cmd, "owner-auth-file"))
        rc = read_auth(cmd, "owner-auth-file", "owner-auth-fd", "owner's auth value", &ret->owner_auth);
    if (rc == 0 && plantcert_takes(cmd, "srk-auth-file"))
        rc = read_auth(cmd, "srk-auth-file", "srk-auth-fd", "SRK's auth value", &ret->srk_auth);
    ret->settings.tpm.owner_auth = ret->owner_auth;
    ret->settings.tpm.srk_auth = ret->srk_auth;
    return rc == 0 ? dev_open(&ret->settings, &ret->dev) : rc;
}

void plantcert_close(struct plantcert *plantcert)
{
    dev_close(plantcert->dev);
    pc_secret_free(plantcert->owner_auth);
    pc_secret_free(plantcert->srk_auth);
    *plantcert = (struct plantcert){0};
}
