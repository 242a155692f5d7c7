/* plantcert confirm and rollback: the two ways in which a switch to a new set ends. */
#include "src/cmd/plantcert/plantcert.h"

#include "src/base/error.h"
#include "src/cmd/output.h"

/* After a rollback the set that would go is the newer one: with its key goes the certificate that the CA
 * holds for current, and the one in use ends with the overlap. A broker that accepts it does not know that.
 */
static int check_forward(struct cmd *cmd, struct dev *dev)
{
    struct dev_status status = {0};

    if (dev_status(dev, true, &status) != 0 || !status.installed || !status.rolled_back ||
        status.previous[0] == '\0')
        return 0;
    if (!cmd_given(cmd, "unproven"))
        return pc_refuse(
            "confirm-rolled-back",
            "the set was rolled back: confirm would destroy the newer generation %s with its key, "
            "which the CA holds for current, and the certificate in use may end with the overlap; "
            "install the newer certificate again, or say --unproven",
            status.previous);
    cmd_warn(
        cmd,
        "the newer generation %s goes with its key: the CA holds its certificate for current, and that in "
        "use may end with the overlap",
        status.previous);
    return 0;
}

int plantcert_run_confirm(struct cmd *cmd)
{
    struct dev_confirm_report report = {0};
    struct dev_broker broker = {0};
    char room[PLANTCERT_HOST_TEXT];
    plantcert_auto at = {0};
    const char *const ways[] = {"mqtt", "unproven", NULL};
    int rc = cmd_choose(cmd, true, ways);

    if (rc == 0 && !cmd_given(cmd, "unproven"))
        rc = plantcert_broker(cmd, room, &broker);
    if (rc == 0)
        rc = plantcert_open(cmd, &at);
    if (rc == 0)
        rc = check_forward(cmd, at.dev);
    if (rc == 0)
        rc = dev_confirm(at.dev, broker.host != NULL ? &broker : NULL, &report);
    if (rc != 0)
        return rc;
    cmd_set(cmd, "{s:b,s:b,s:o,s:I,s:I}", "already", report.already, "proven", report.proven, "answer",
            report.proven ? cmd_json_text(report.answer) : json_null(), "handles", (json_int_t)report.handles,
            "files", (json_int_t)report.files);
    cmd_say(cmd, report.already ? "The installed set was confirmed before.\n"
                                : "The installed set is confirmed.\n");
    if (report.proven)
        cmd_field(cmd, "Broker", "%s:%u, %s", broker.host, broker.port, report.answer);
    if (!report.already)
        cmd_field(cmd, "Removed", "%u key%s in the TPM, %u file%s of the set before", report.handles,
                  CMD_S(report.handles), report.files, CMD_S(report.files));
    return 0;
}

int plantcert_run_rollback(struct cmd *cmd)
{
    PC_CLEANUP(dev_install_report_clear) struct dev_install_report report = {0};
    plantcert_auto at = {0};
    int rc = plantcert_open(cmd, &at);

    if (rc == 0)
        rc = dev_rollback(at.dev, &report);
    if (rc != 0)
        return rc;
    plantcert_set_say(cmd, "Rolled back", &report);
    if (report.reload_failed)
        return pc_fail(PC_EFAIL, "the set before is current again, but the reload command failed: %s",
                       at.settings.reload);
    return 0;
}
