/* plantcert keygen, request and forget: the device's key from its birth in the TPM to its end. */
#include "src/cmd/plantcert/plantcert.h"

#include "src/base/error.h"
#include "src/cmd/output.h"
#include "src/pki/name.h"

json_t *plantcert_key_json(const struct dev_key_report *key)
{
    char handle[16];

    if (!key->present)
        return json_null();
    snprintf(handle, sizeof handle, "0x%08x", key->handle);
    return json_pack("{s:s,s:s,s:o,s:s}", "key", pki_key_type_name(key->type), "store",
                     key->handle != 0 ? "handle" : "blob", "handle",
                     key->handle != 0 ? json_string(handle) : json_null(), "key_sha256", key->fingerprint);
}

void plantcert_key_say(const struct cmd *cmd, const struct dev_key_report *key)
{
    if (key->handle != 0)
        cmd_field(cmd, "Key", "%s, in the TPM at 0x%08x", pki_key_type_name(key->type), key->handle);
    else
        cmd_field(cmd, "Key", "%s, wrapped by the TPM", pki_key_type_name(key->type));
    cmd_field(cmd, "Key SHA-256", "%s", key->fingerprint);
}

int plantcert_run_keygen(struct cmd *cmd)
{
    struct dev_key_report key = {0};
    plantcert_auto at = {0};
    int rc = plantcert_open(cmd, &at);

    if (rc == 0)
        rc = dev_keygen(at.dev, &key);
    if (rc != 0)
        return rc;
    cmd_set(cmd, "{s:b,s:o,s:s}", "made", key.made, "pending", plantcert_key_json(&key), "key_sha256",
            key.fingerprint);
    cmd_say(cmd, key.made ? "The key is made and tested.\n" : "A key is pending already.\n");
    plantcert_key_say(cmd, &key);
    return 0;
}

int plantcert_run_request(struct cmd *cmd)
{
    const char *plant = cmd_value(cmd, "plant"), *out = cmd_value(cmd, "out");
    struct dev_key_report key = {0};
    plantcert_auto at = {0};
    pc_autobytes pem = {0};

    if (plant == NULL)
        plant = pc_config_get(cmd->config, "device", "plant");
    if (plant == NULL)
        return pc_fail(PC_EUSAGE, "which plant? give --plant UUID, or set [device] plant");
    if (pki_uuid_check(plant) != 0)
        return pc_fail_in("--plant");
    int rc = cmd_check_output(out);
    if (rc == 0)
        rc = plantcert_open(cmd, &at);
    if (rc == 0)
        rc = dev_request(at.dev, plant, &pem, &key);
    if (rc == 0)
        rc = cmd_write(cmd, out, &pem, NULL);
    if (rc != 0)
        return rc;
    if (cmd_is_stdout(out)) {
        cmd->summary = stderr;
        cmd_set(cmd, "{s:o}", "csr_pem", cmd_json_text((const char *)pem.data));
    } else {
        cmd_set(cmd, "{s:o}", "file", cmd_json_text(out));
        cmd_field(cmd, "Request", "%s", out);
    }
    cmd_set(cmd, "{s:s,s:b,s:o,s:s}", "plant", plant, "made", key.made, "pending", plantcert_key_json(&key),
            "key_sha256", key.fingerprint);
    cmd_field(cmd, "Plant", "%s", plant);
    plantcert_key_say(cmd, &key);
    return 0;
}

int plantcert_run_forget(struct cmd *cmd)
{
    struct dev_forget_report report = {0};
    plantcert_auto at = {0};
    int rc = plantcert_open(cmd, &at);

    if (rc == 0)
        rc = dev_forget(at.dev, cmd_given(cmd, "force"), &report);
    if (rc != 0)
        return rc;
    cmd_set(cmd, "{s:I,s:I}", "handles", (json_int_t)report.handles, "files", (json_int_t)report.files);
    cmd_say(cmd, "Removed: %u keys in the TPM, %u files.\n", report.handles, report.files);
    return 0;
}
