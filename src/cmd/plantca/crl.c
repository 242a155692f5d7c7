/* plantca crl: a new CRL, or one where it is due. */
#include "src/cmd/plantca/plantca.h"

#include "src/cmd/output.h"

int plantca_run_crl(struct cmd *cmd)
{
    const char *out = cmd_value(cmd, "out");
    bool made = true, if_due = cmd_given(cmd, "if-due");
    PC_CLEANUP(ca_crl_report_clear) struct ca_crl_report report = {0};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    pc_autobytes pem = {0};
    int rc = plantca_check_output(cmd, out);

    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0)
        rc = if_due ? ca_crl_if_due(ca, &report, &pem, &made) : ca_crl(ca, &report, &pem);
    if (rc == 0 && out != NULL)
        rc = cmd_write(cmd, out, &pem, NULL);
    if (rc != 0)
        return rc;
    if (out != NULL && cmd_is_stdout(out))
        cmd->summary = stderr;
    cmd_set(cmd, "{s:b,s:o,s:o}", "made", made, "crl", plantca_crl_json(&report), "file",
            cmd_is_stdout(out) ? json_null() : cmd_json_text(out));
    if (out != NULL && cmd_is_stdout(out))
        cmd_set(cmd, "{s:o}", "crl_pem", cmd_json_text((const char *)pem.data));
    if (!made)
        cmd_say(cmd, "No new CRL is due.\n");
    plantca_crl_say(cmd, &report);
    if (!cmd_is_stdout(out))
        cmd_field(cmd, "Copy", "%s", out);
    return 0;
}
