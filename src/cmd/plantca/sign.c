/* plantca sign: one request in, one device certificate out. How it is judged and what identity allows is in
 * src/pki and src/ca. */
#include "src/cmd/plantca/plantca.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/cmd/output.h"
#include "src/pki/crl.h"
#include "src/pki/request.h"

#define CA_ISSUED PC_CLEANUP(ca_issued_clear) struct ca_issued
#define MQTT_PORT 8883

/* --dry-run: everything that can be told of the request by itself. */
static int judge(struct cmd *cmd, const struct pc_bytes *csr, const char *plant)
{
    const struct pki_request_rules rules = {.profile = &pki_profile_device, .plant = plant};
    PC_CLEANUP(pki_request_free_ref) struct pki_request *request = NULL;
    enum pki_key_type type;
    int rc = pki_request_parse(csr->data, csr->len, &rules, &request);

    if (rc != 0)
        return plantca_name_request(rc, cmd->operands[0]);
    /* RSA sizes between the usual ones have no name. */
    bool named = pki_key_type_of(request->key, &type) == 0;
    cmd_set(cmd, "{s:b,s:s,s:o,s:s,s:s}", "dry_run", 1, "plant", request->cn, "key",
            named ? json_string(pki_key_type_name(type)) : json_null(), "key_sha256", request->key_sha256,
            "request_sha256", request->request_sha256);
    cmd_say(cmd, "The request is sound; nothing was signed.\n");
    cmd_field(cmd, "Plant", "%s", request->cn);
    cmd_field(cmd, "Key SHA-256", "%s", request->key_sha256);
    return 0;
}

static int read_options(struct cmd *cmd, struct ca_sign_options *ret)
{
    const char *profile = cmd_value(cmd, "profile"), *plant = cmd_value(cmd, "plant");
    const char *replace = cmd_value(cmd, "replace"), *reason = cmd_value(cmd, "revoke-old");
    struct pki_serial serial;
    struct ca_sign_options options = {
        .plant = plant, .renew = cmd_given(cmd, "renew"), .replace = replace, .revoke_old = -1};
    int rc = 0;

    if (profile != NULL && strcmp(profile, pki_profile_device.name) != 0)
        return pc_fail(PC_EUSAGE, "--profile: '%s' is not a profile that can be requested; there is 'device'",
                       profile);
    if (plant == NULL)
        return pc_fail(PC_EUSAGE, "--plant UUID must be given");
    if (pki_uuid_check(plant) != 0)
        return pc_fail_in("--plant");
    if (replace != NULL)
        rc = pki_serial_parse(replace, &serial) != 0 ? pc_fail_in("--replace") : 0;
    if (rc == 0 && reason != NULL)
        rc = pki_reason_parse(reason, &options.revoke_old) != 0 ? pc_fail_in("--revoke-old") : 0;
    if (rc == 0)
        *ret = options;
    return rc;
}

/* What today's script ends with: a line that tries the new certificate on the PLC. */
static void tell_test(struct cmd *cmd, const char *plant)
{
    pc_autofree char *line = NULL;

    if (asprintf(&line,
                 "mosquitto_sub -h %s -p %d --cafile /etc/voke/ca.crt --cert /etc/voke/device.crt "
                 "--key /etc/voke/device.tpm -V mqttv5 -i %s -t cpi/%s/commands",
                 pc_config_get(cmd->config, "broker", "cn"), MQTT_PORT, plant, plant) < 0) {
        line = NULL;
        return;
    }
    cmd_set(cmd, "{s:s}", "test_command", line);
    cmd_say(cmd,
            "To try it on the PLC, once it is installed there and OPENSSL_CONF names the output of "
            "'plantcert config --openssl':\n  %s\n",
            line);
}

static int issue(struct cmd *cmd, const struct pc_bytes *csr, const struct ca_sign_options *options)
{
    CA_ISSUED issued = {0};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    const char *out = cmd_value(cmd, "out");
    int rc = plantca_read_settings(cmd, &settings);

    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0)
        rc = plantca_name_request(ca_sign(ca, csr, options, &issued), cmd->operands[0]);
    if (rc == 0)
        rc = cmd_write(cmd, out, &issued.chain_pem, NULL);
    if (rc != 0)
        return rc;
    if (cmd_is_stdout(out))
        cmd->summary = stderr;
    plantca_issued_tell(cmd, &issued, cmd_is_stdout(out) ? NULL : out);
    if (issued.record.not_after - issued.record.not_before + 1 < settings.device_days * PC_DAY)
        cmd_warn(cmd, "the CA ends before %lld days are over, and this certificate with it",
                 (long long)settings.device_days);
    tell_test(cmd, options->plant);
    return 0;
}

int plantca_run_sign(struct cmd *cmd)
{
    const char *path = cmd->operands[0];
    struct ca_sign_options options;
    pc_autobytes csr = {0};

    if (cmd_given(cmd, "batch"))
        return plantca_sign_batch(cmd);
    if (cmd->operand_count == 0)
        return pc_fail(PC_EUSAGE, "a CSR, or --batch, must be given");
    int rc = read_options(cmd, &options);

    if (rc == 0)
        rc = plantca_check_input(cmd, path);
    if (rc == 0)
        rc = plantca_check_output(cmd, cmd_value(cmd, "out"));
    if (rc == 0)
        rc = plantca_read_request(path, &csr);
    if (rc == 0)
        rc = cmd_given(cmd, "dry-run") ? judge(cmd, &csr, options.plant) : issue(cmd, &csr, &options);
    return rc;
}
