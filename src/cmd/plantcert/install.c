/* plantcert install: what the CA sent, checked by the device's side and switched in as one set. */
#include "src/cmd/plantcert/plantcert.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/cmd/output.h"

static int read_files(const char *chain_path, const char *ca_path, struct pc_bytes *chain,
                      struct pc_bytes *ca)
{
    if (ca_path != NULL && strcmp(chain_path, "-") == 0 && strcmp(ca_path, "-") == 0)
        return pc_fail(PC_EUSAGE, "standard input cannot hold both the chain and the trust anchor");
    int rc = pc_file_read(chain_path, PLANTCERT_CHAIN_MAX, chain);
    return rc == 0 && ca_path != NULL ? pc_file_read(ca_path, PLANTCERT_CHAIN_MAX, ca) : rc;
}

void plantcert_set_say(struct cmd *cmd, const char *label, const struct dev_install_report *report)
{
    char fingerprint[CMD_COLONS_TEXT], until[PC_TIME_TEXT];

    cmd_set(cmd, "{s:b,s:s,s:s,s:s,s:o,s:o,s:o,s:b}", "already", report->already, "plant", report->cn,
            "serial", report->serial, "certificate_sha256", report->certificate_sha256, "not_before",
            cmd_json_time(report->not_before), "not_after", cmd_json_time(report->not_after), "generation",
            cmd_json_text(report->generation), "reload_failed", report->reload_failed);
    cmd_colons(report->certificate_sha256, fingerprint);
    pc_time_format(report->not_after, until);
    cmd_field(cmd, label, "%s%s", pc_config_get(cmd->config, "device", "dir"),
              report->already ? " (this very set, before)" : "");
    cmd_field(cmd, "Plant", "%s", report->cn);
    cmd_field(cmd, "Serial", "%s", report->serial);
    cmd_field(cmd, "SHA-256", "%s", fingerprint);
    cmd_field(cmd, "Expires", "%s", until);
}

int plantcert_run_install(struct cmd *cmd)
{
    PC_CLEANUP(dev_install_report_clear) struct dev_install_report report = {0};
    const char *ca_path = cmd_value(cmd, "ca");
    plantcert_auto at = {0};
    pc_autobytes chain = {0}, ca = {0};
    const struct dev_delivery delivery = {.chain = &chain, .ca = ca_path != NULL ? &ca : NULL};
    int rc = read_files(cmd->operands[0], ca_path, &chain, &ca);

    if (rc == 0)
        rc = plantcert_open(cmd, &at);
    if (rc == 0)
        rc = dev_install(at.dev, &delivery, &report);
    if (rc != 0)
        return rc;
    plantcert_set_say(cmd, "Installed", &report);
    if (report.reload_failed)
        return pc_fail(PC_EFAIL, "the set is installed, but the reload command failed: %s",
                       at.settings.reload);
    return 0;
}
