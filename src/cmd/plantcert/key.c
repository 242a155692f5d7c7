/* plantcert keygen, request and forget: the device's key from its birth in the TPM to its end. */
#include "src/cmd/plantcert/plantcert.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
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

/* A persistent handle of the owner, "0x81020000" (TPM 2.0 Part 2 §7.5.1); 0 for "auto". */
static int parse_handle(const char *text, uint32_t *ret)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 16);

    if (strcmp(text, "auto") == 0) {
        *ret = 0;
        return 0;
    }
    if (strncmp(text, "0x81", 4) != 0 || strlen(text) != 10 || *end != '\0' || value > 0x817fffff)
        return pc_fail(PC_EUSAGE, "--adopt: '%.40s' is none of 0x81000000 to 0x817fffff, nor auto", text);
    *ret = (uint32_t)value;
    return 0;
}

static int read_adoption(const struct cmd *cmd, uint32_t *ret_handle, struct pc_bytes *ret_chain)
{
    if (!cmd_given(cmd, "adopt"))
        return cmd->operand_count == 0
                   ? 0
                   : pc_fail(PC_EUSAGE, "'%.40s': a certificate is only read with --adopt", cmd->operands[0]);
    if (cmd->operand_count == 0)
        return pc_fail(PC_EUSAGE, "--adopt: for which certificate? give its file");
    int rc = parse_handle(cmd_value(cmd, "adopt"), ret_handle);
    return rc != 0 ? rc : pc_file_read(cmd->operands[0], PLANTCERT_CHAIN_MAX, ret_chain);
}

int plantcert_run_keygen(struct cmd *cmd)
{
    struct dev_key_report key = {0};
    plantcert_auto at = {0};
    pc_autobytes chain = {0};
    uint32_t handle = 0;
    bool adopt = cmd_given(cmd, "adopt");
    int rc = read_adoption(cmd, &handle, &chain);

    if (rc == 0)
        rc = plantcert_open(cmd, &at);
    if (rc == 0)
        rc = adopt ? dev_adopt(at.dev, handle, &chain, &key) : dev_keygen(at.dev, &key);
    if (rc != 0)
        return rc;
    cmd_set(cmd, "{s:b,s:o,s:s}", "made", key.made, "pending", plantcert_key_json(&key), "key_sha256",
            key.fingerprint);
    const char *done = adopt ? "The key is taken back and tested" : "The key is made and tested";
    const char *before = adopt ? "The key is here already" : "A key is pending already";
    cmd_say(cmd, "%s.\n", key.made ? done : before);
    plantcert_key_say(cmd, &key);
    return 0;
}

int plantcert_give_request(struct cmd *cmd, const struct pc_bytes *pem)
{
    const char *out = cmd_value(cmd, "out");
    int rc = cmd_write(cmd, out, pem, NULL);

    if (rc != 0)
        return rc;
    if (cmd_is_stdout(out)) {
        cmd->summary = stderr;
        cmd_set(cmd, "{s:o}", "csr_pem", cmd_json_text((const char *)pem->data));
    } else {
        cmd_set(cmd, "{s:o}", "file", cmd_json_text(out));
        cmd_field(cmd, "Request", "%s", out);
    }
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
        rc = plantcert_give_request(cmd, &pem);
    if (rc != 0)
        return rc;
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

    bool force = cmd_given(cmd, "force");

    if (rc == 0)
        rc = cmd_given(cmd, "legacy") ? dev_forget_legacy(at.dev, force, &report)
                                      : dev_forget(at.dev, force, &report);
    if (rc != 0)
        return rc;
    cmd_set(cmd, "{s:I,s:I}", "handles", (json_int_t)report.handles, "files", (json_int_t)report.files);
    cmd_say(cmd, "Removed: %u key%s in the TPM, %u file%s.\n", report.handles, CMD_S(report.handles),
            report.files, CMD_S(report.files));
    return 0;
}
