/* The settings of plantca: the one table of what its configuration may say, and what the authority is given
 * of it. */
#include "src/cmd/plantca/plantca.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "hsm/pin.h"
#include "src/base/error.h"
#include "src/base/secret.h"
#include "src/base/time.h"
#include "src/ca/ledger.h"
#include "src/cmd/checks.h"
#include "src/pki/name.h"

PC_DEFINE_CLEANUP(GENERAL_NAMES, GENERAL_NAMES_free);
PC_DEFINE_CLEANUP(X509_NAME, X509_NAME_free);

static int check_key(const char *value)
{
    enum pki_key_type type;

    if (pki_key_type_parse(value, &type) != 0 || type == PKI_KEY_RSA_2048)
        return pc_fail(PC_EUSAGE, "'%.40s' is none of rsa:3072, rsa:4096, ec:P-256, ec:P-384", value);
    return 0;
}

/* libp11 keeps at most 16 sessions. */
static int check_sessions(const char *value)
{
    static const char digits[] = "0123456789";
    size_t len = strlen(value);

    if (len == 0 || len > 2 || strspn(value, digits) != len || atoi(value) > 16)
        return pc_fail(PC_EUSAGE, "'%.40s' is no number from 0 to 16", value);
    return 0;
}

static int check_subject(const char *value)
{
    PC_CLEANUP(X509_NAME_free_ref) X509_NAME *name = NULL;

    return pki_name_parse(value, &name);
}

static int check_san(const char *value)
{
    PC_CLEANUP(GENERAL_NAMES_free_ref) GENERAL_NAMES *names = NULL;

    return pki_san_parse(value, &names);
}

/* RFC 7512; whatever is wrong in it is found when the token is opened, but a PIN must not even be shown by
 * `config`. */
static int check_uri(const char *value)
{
    if (strncmp(value, "pkcs11:", 7) != 0)
        return pc_fail(PC_EUSAGE, "no pkcs11: URI");
    if (strcasestr(value, "pin-value") != NULL || strcasestr(value, "pin-source") != NULL)
        return pc_fail(PC_EUSAGE, "a PKCS#11 URI must not carry a PIN (pin-value, pin-source); use pin-file");
    return 0;
}

const struct pc_setting plantca_settings[] = {
    {"token", "module", NULL, NULL, pc_check_path},
    {"token", "uri", NULL, NULL, check_uri},
    {"token", "label", NULL, NULL, NULL},
    {"token", "serial", NULL, NULL, NULL},
    {"token", "pin-file", NULL, NULL, pc_check_path},
    {"token", "timeout", NULL, "30s", pc_check_duration},
    {"token", "sessions", NULL, "0", check_sessions},
    {"ca", "state", NULL, "/var/lib/plantca", pc_check_path},
    {"ca", "subject", "CA_SUBJECT", "/C=CZ/ST=Prague/O=CPI IoT Platform/CN=CPI Root CA", check_subject},
    {"ca", "days", "CA_DAYS", "3650", pc_check_days},
    {"ca", "key", NULL, "rsa:4096", check_key},
    {"ca", "crl-days", NULL, "30", pc_check_days},
    {"ca", "crl-renew", NULL, "10d", pc_check_duration},
    {"device", "days", "DEVICE_DAYS", "730", pc_check_days},
    {"device", "renew-window", NULL, "60d", pc_check_duration},
    {"device", "overlap", NULL, "14d", pc_check_duration},
    {"device", "backdate", NULL, "5m", pc_check_duration},
    {"broker", "cn", "BROKER_CN", "mqtt.voke.lovinka.com", cmd_check_host},
    {"broker", "san", NULL, "DNS:mqtt.voke.lovinka.com, DNS:localhost, DNS:cpi-mosquitto, IP:127.0.0.1",
     check_san},
    {"broker", "days", NULL, "730", pc_check_days},
    {"ledger", "url", NULL, "sqlite", ledger_url_check},
    {"audit", "interval", NULL, "1d", pc_check_duration},
    {"audit", "ship", NULL, NULL, cmd_check_command},
    {"publish", "dir", NULL, NULL, pc_check_path},
    {"publish", "reload", NULL, NULL, cmd_check_command},
    {"publish", "probe", NULL, NULL, cmd_check_listen},
    {"station", "listen", NULL, "0.0.0.0:8443", cmd_check_bind},
    {"station", "name", NULL, "localhost", cmd_check_host},
    {"station", "certificate", NULL, NULL, pc_check_path},
    {"station", "key", NULL, NULL, pc_check_path},
    {"station", "server-life", NULL, "7d", pc_check_duration},
    {"station", "socket", NULL, "/run/plantca/signer.sock", pc_check_path},
    {"station", "network-user", NULL, "plantca-net", NULL},
    {"station", "metrics", NULL, NULL, cmd_check_bind},
    {"station", "early-renewal", NULL, "no", pc_check_flag},
    {"station", "grace", NULL, "0", pc_check_duration},
    {"station", "rekey-interval", NULL, "1d", pc_check_duration},
    {"station", "binding", NULL, "no", pc_check_flag},
    {"station", "retry-after", NULL, "30s", pc_check_duration},
    {"station", "code-valid", NULL, "7d", pc_check_duration},
    {"station", "pending-valid", NULL, "1d", pc_check_duration},
    {"station", "waiting-keys", NULL, "8", cmd_check_count},
    {"station", "connections", NULL, "4000", cmd_check_count},
    {"station", "connections-per-address", NULL, "1000", cmd_check_count},
    {"station", "handshake-timeout", NULL, "10s", pc_check_duration},
    {"station", "request-timeout", NULL, "20s", pc_check_duration},
    {"station", "idle-timeout", NULL, "60s", pc_check_duration},
    {"station", "questions", NULL, "1024", cmd_check_count},
};
const size_t plantca_setting_count = CMD_LENGTH(plantca_settings);

static int pin_from_fd(const struct cmd *cmd, struct pc_secret **ret)
{
    long fd;
    int rc = cmd_number(cmd, "pin-fd", 0, INT_MAX, &fd);

    return rc != 0 ? rc : pc_secret_from_fd("PIN", (int)fd, ret);
}

/* struct ca_settings' way to a PIN. */
static int find_pin(void *context, const char *label, struct pc_secret **ret)
{
    const struct cmd *cmd = context;
    const char *file = cmd_value(cmd, "pin-file");

    if (cmd_given(cmd, "pin-fd"))
        return pin_from_fd(cmd, ret);
    if (file == NULL)
        file = pc_config_get(cmd->config, "token", "pin-file");
    if (file != NULL)
        return pc_secret_from_file("PIN", file, ret);
    if (cmd->no_input)
        return pc_fail(PC_EAUTH,
                       "token '%s': no PIN: no --pin-file, --pin-fd or [token] pin-file, and --no-input",
                       label);
    return hsm_pin_from_terminal(label, ret);
}

static bool takes_pin(const struct cmd *cmd)
{
    for (size_t i = 0; i < cmd->command->option_count; i++)
        if (strcmp(cmd->command->options[i].name, "pin-file") == 0)
            return true;
    return false;
}

int plantca_read_settings(struct cmd *cmd, struct ca_settings *ret)
{
    static const char *const pin_options[] = {"pin-file", "pin-fd", NULL};
    const struct pc_config *config = cmd->config;
    enum pki_key_type key;

    if (takes_pin(cmd)) {
        int rc = cmd_choose(cmd, true, pin_options);
        if (rc != 0)
            return rc;
    }
    if (pc_config_get(config, "token", "uri") != NULL &&
        (pc_config_get(config, "token", "label") != NULL || pc_config_get(config, "token", "serial") != NULL))
        return pc_fail(PC_EUSAGE, "[token] uri stands beside label or serial: one or the other");
    int rc = pki_key_type_parse(pc_config_get(config, "ca", "key"), &key);
    if (rc != 0)
        return rc;
    *ret = (struct ca_settings){
        .token = {.module = pc_config_get(config, "token", "module"),
                  .uri = pc_config_get(config, "token", "uri"),
                  .label = pc_config_get(config, "token", "label"),
                  .serial = pc_config_get(config, "token", "serial"),
                  .timeout = pc_config_duration(config, "token", "timeout")},
        .sessions = pc_config_number(config, "token", "sessions"),
        .state = pc_config_get(config, "ca", "state"),
        .subject = pc_config_get(config, "ca", "subject"),
        .days = pc_config_number(config, "ca", "days"),
        .key = key,
        .crl_days = pc_config_number(config, "ca", "crl-days"),
        .crl_renew = pc_config_duration(config, "ca", "crl-renew"),
        .audit_interval = pc_config_duration(config, "audit", "interval"),
        .audit_ship = pc_config_get(config, "audit", "ship"),
        .backdate = pc_config_duration(config, "device", "backdate"),
        .device_days = pc_config_number(config, "device", "days"),
        .renew_window = pc_config_duration(config, "device", "renew-window"),
        .overlap = pc_config_duration(config, "device", "overlap"),
        .broker_cn = pc_config_get(config, "broker", "cn"),
        .broker_san = pc_config_get(config, "broker", "san"),
        .broker_days = pc_config_number(config, "broker", "days"),
        .ledger_url = pc_config_get(config, "ledger", "url"),
        .publish_dir = pc_config_get(config, "publish", "dir"),
        .publish_reload = pc_config_get(config, "publish", "reload"),
        .publish_probe = pc_config_get(config, "publish", "probe"),
        .program = "plantca " PLANTCERT_VERSION,
        .pin = takes_pin(cmd) ? find_pin : NULL,
        .pin_context = cmd,
    };
    return 0;
}

void plantca_read_station(const struct cmd *cmd, struct signer_options *ret)
{
    const struct pc_config *config = cmd->config;
    int64_t retry_after = pc_config_duration(config, "station", "retry-after");

    *ret = (struct signer_options){
        .listener = -1,
        .early_renewal = pc_config_flag(config, "station", "early-renewal"),
        .grace = pc_config_duration(config, "station", "grace"),
        .binding = pc_config_flag(config, "station", "binding"),
        .name = pc_config_get(config, "station", "name"),
        .server_life = pc_config_duration(config, "station", "server-life"),
        .retry_after = retry_after > PC_DAY ? (unsigned)PC_DAY : (unsigned)retry_after,
        .waiting_keys = (unsigned)pc_config_number(config, "station", "waiting-keys"),
        .rekey_interval = pc_config_duration(config, "station", "rekey-interval"),
    };
}
