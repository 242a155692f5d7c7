/* plantca reconcile: what a crash left, and what a restored backup has lost. */
#include "src/cmd/plantca/plantca.h"

#include <string.h>

#include "src/base/error.h"
#include "src/ca/reconcile.h"
#include "src/cmd/output.h"

struct table {
    struct cmd *cmd;
    json_t *rows, *missing;
    bool dry;
};

/* Not a step: it is for the operator to judge. */
static void show_missing(struct table *table, const struct ca_reconcile_step *step)
{
    json_array_append_new(table->missing, json_pack("{s:o,s:o}", "serial", cmd_json_text(step->name), "file",
                                                    cmd_json_text(step->subject)));
    cmd_say(table->cmd, "%-12s not on record %s %s (plantca revoke --cert takes it in, as revoked)\n",
            step->what, step->name, step->subject);
}

static void show_step(void *context, const struct ca_reconcile_step *step)
{
    struct table *table = context;

    if (strcmp(step->did, "missing") == 0) {
        show_missing(table, step);
        return;
    }

    json_array_append_new(table->rows, json_pack("{s:s,s:o,s:o,s:s}", "what", step->what, "name",
                                                 cmd_json_text(step->name), "subject",
                                                 cmd_json_text(step->subject), "did", step->did));
    if (table->dry && strcmp(step->did, "left") != 0)
        cmd_say(table->cmd, "%-12s would be %-10s %s %s\n", step->what, step->did, step->name, step->subject);
    else
        cmd_say(table->cmd, "%-12s %-10s %s %s\n", step->what, step->did, step->name, step->subject);
}

static void tell_loss(struct cmd *cmd, const struct ca_reconcile_report *report)
{
    char from[PC_TIME_TEXT], until[PC_TIME_TEXT];

    if (report->lost_until == 0)
        return;
    pc_time_format(report->lost_from, from);
    pc_time_format(report->lost_until, until);
    cmd_warn(
        cmd,
        "certificates issued after %s, until %s or later, may be missing from the record; plantca revoke "
        "--cert takes one in when it is met",
        from, until);
    cmd_set(cmd, "{s:o,s:o}", "lost_from", cmd_json_time(report->lost_from), "lost_until",
            cmd_json_time(report->lost_until));
}

static int check_reason(const struct cmd *cmd)
{
    const char *reason = cmd_value(cmd, "accept-loss");

    if (reason != NULL && reason[strspn(reason, " \t")] == '\0')
        return pc_fail(PC_EUSAGE, "--accept-loss: say why; it goes on record");
    if (reason != NULL && strlen(reason) > 500)
        return pc_fail(PC_EUSAGE, "--accept-loss: longer than 500 bytes");
    return 0;
}

int plantca_run_reconcile(struct cmd *cmd)
{
    bool dry = cmd_given(cmd, "dry-run");
    struct table table = {.cmd = cmd, .dry = dry};
    struct ca_reconcile_report report = {0};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    int rc = check_reason(cmd);

    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc != 0)
        return rc;
    table.rows = json_array();
    table.missing = json_array();
    const struct ca_reconcile_options options = {
        .dry_run = dry, .accept_loss = cmd_value(cmd, "accept-loss"), .step = show_step, .context = &table};
    rc = ca_reconcile(ca, &options, &report);
    cmd_set(cmd, "{s:b,s:o,s:o}", "dry_run", dry, "steps", table.rows, "missing", table.missing);
    if (rc != 0)
        return rc;
    cmd_set(cmd, "{s:I,s:o}", "left", (json_int_t)report.left, "crl_number",
            report.crl_number > 0 ? json_integer((json_int_t)report.crl_number) : json_null());
    tell_loss(cmd, &report);
    if (report.steps == 0 && report.left == 0)
        cmd_say(cmd, "%s\n", dry ? "There would be nothing to do." : "Nothing to do.");
    if (report.crl_number > 0 && !dry)
        cmd_say(cmd, "Next: plantca publish (brokers read the new CRL then)\n");
    return 0;
}
