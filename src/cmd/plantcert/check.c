/* plantcert check and reload: what a PLC runs at boot, and what it owes its clients after a switch. */
#include "src/cmd/plantcert/plantcert.h"

#include "src/base/error.h"
#include "src/cmd/output.h"

static void warn(struct cmd *cmd, const struct dev_status *status)
{
    char now[PC_TIME_TEXT], at[PC_TIME_TEXT], until[PC_TIME_TEXT];

    pc_time_format(status->clock.now, now);
    pc_time_format(status->clock.at, at);
    pc_time_format(status->not_after, until);
    if (status->clock.behind)
        cmd_warn(cmd, "the clock says %s and is behind: dates are judged by %s", now, at);
    else if (status->clock.implausible)
        cmd_warn(cmd, "the clock says %s, past the end of the trust anchor: dates are judged by %s", now, at);
    if (status->installed && status->due && !status->expired)
        cmd_warn(cmd, "the certificate ends at %s; it is time to renew it", until);
}

int plantcert_run_check(struct cmd *cmd)
{
    struct dev_status status = {.read = false};
    plantcert_auto at = {0};
    int rc = plantcert_open(cmd, &at);

    if (rc != 0)
        return rc;
    rc = dev_check(at.dev, &status);
    if (status.read) {
        plantcert_status_tell(cmd, &status);
        warn(cmd, &status);
    }
    return rc;
}

int plantcert_run_reload(struct cmd *cmd)
{
    bool ran = false;
    plantcert_auto at = {0};
    int rc = plantcert_open(cmd, &at);

    if (rc == 0)
        rc = dev_reload(at.dev, &ran);
    if (rc != 0)
        return rc;
    cmd_set(cmd, "{s:b}", "ran", ran);
    cmd_say(cmd, ran ? "The reload command has run.\n" : "No reload is owed.\n");
    return 0;
}
