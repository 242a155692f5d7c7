/* plantcert install: what the CA sent, checked by the device's side and switched in as one set. */
#include "src/cmd/plantcert/plantcert.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/cmd/output.h"

#define CRL_MAX 16777216 /* bytes: some 400,000 revoked certificates */

struct files {
    struct pc_bytes chain, ca, crl;
};

static void files_clear(struct files *files)
{
    pc_bytes_clear(&files->chain);
    pc_bytes_clear(&files->ca);
    pc_bytes_clear(&files->crl);
}

static int read_files(const struct cmd *cmd, struct files *files, struct dev_delivery *ret)
{
    const struct {
        const char *path;
        size_t max;
        struct pc_bytes *bytes;
        const struct pc_bytes **delivered;
    } inputs[] = {
        {cmd->operands[0], PLANTCERT_CHAIN_MAX, &files->chain, &ret->chain},
        {cmd_value(cmd, "ca"), PLANTCERT_CHAIN_MAX, &files->ca, &ret->ca},
        {cmd_value(cmd, "crl"), CRL_MAX, &files->crl, &ret->crl},
    };
    unsigned piped = 0;

    for (size_t i = 0; i < CMD_LENGTH(inputs); i++)
        piped += inputs[i].path != NULL && strcmp(inputs[i].path, "-") == 0;
    if (piped > 1)
        return pc_fail(PC_EUSAGE, "standard input cannot hold two of chain, trust anchor and CRL");
    for (size_t i = 0; i < CMD_LENGTH(inputs); i++) {
        if (inputs[i].path == NULL)
            continue;
        int rc = pc_file_read(inputs[i].path, inputs[i].max, inputs[i].bytes);
        if (rc != 0)
            return rc;
        *inputs[i].delivered = inputs[i].bytes;
    }
    return 0;
}

void plantcert_set_say(struct cmd *cmd, const char *label, const struct dev_install_report *report)
{
    char fingerprint[CMD_COLONS_TEXT], until[PC_TIME_TEXT];

    cmd_set(cmd, "{s:b,s:b,s:b,s:s,s:s,s:s,s:o,s:o,s:o,s:b}", "legacy", report->legacy, "reload_owed",
            report->reload_owed, "already", report->already, "plant", report->cn, "serial", report->serial,
            "certificate_sha256", report->certificate_sha256, "not_before", cmd_json_time(report->not_before),
            "not_after", cmd_json_time(report->not_after), "generation", cmd_json_text(report->generation),
            "reload_failed", report->reload_failed);
    cmd_colons(report->certificate_sha256, fingerprint);
    pc_time_format(report->not_after, until);
    cmd_field(cmd, label, "%s%s", pc_config_get(cmd->config, "device", "dir"),
              report->already ? " (this very set, before)" : "");
    cmd_field(cmd, "Plant", "%s", report->cn);
    cmd_field(cmd, "Serial", "%s", report->serial);
    cmd_field(cmd, "SHA-256", "%s", fingerprint);
    cmd_field(cmd, "Expires", "%s", until);
    if (report->legacy)
        cmd_say(cmd,
                "The old key is still in %s/device.key. Once the new set is confirmed (plantcert confirm),\n"
                "destroy it: plantcert forget --legacy\n",
                pc_config_get(cmd->config, "device", "dir"));
}

int plantcert_run_install(struct cmd *cmd)
{
    PC_CLEANUP(dev_install_report_clear) struct dev_install_report report = {0};
    plantcert_auto at = {0};
    PC_CLEANUP(files_clear) struct files files = {0};
    struct dev_delivery delivery = {0};
    int rc = read_files(cmd, &files, &delivery);

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
