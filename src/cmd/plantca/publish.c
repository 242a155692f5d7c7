/* plantca publish: CA, CRL and certificates where brokers read them, and the command that makes them read
 * again. */
#include "src/cmd/plantca/plantca.h"

#include "src/ca/publish.h"
#include "src/cmd/output.h"

int plantca_run_publish(struct cmd *cmd)
{
    struct ca_publish_report report = {0};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    int rc = plantca_read_settings(cmd, &settings);

    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0)
        rc = ca_publish(ca, NULL, &report);
    if (rc != 0)
        return rc;
    cmd_set(cmd, "{s:s,s:I,s:I,s:I,s:I,s:b}", "dir", settings.publish_dir, "written",
            (json_int_t)report.written, "unchanged", (json_int_t)report.unchanged, "removed",
            (json_int_t)report.removed, "crl_number", (json_int_t)report.crl_number, "reloaded",
            report.reloaded);
    cmd_field(cmd, "Published", "%s", settings.publish_dir);
    cmd_field(cmd, "Files", "%zu written, %zu unchanged", report.written, report.unchanged);
    cmd_field(cmd, "CRL number", "%llu", (unsigned long long)report.crl_number);
    if (report.removed > 0)
        cmd_field(cmd, "Removed", "%zu files of revoked plants", report.removed);
    if (report.reloaded)
        cmd_field(cmd, "Reload", "%s: done", settings.publish_reload);
    else
        cmd_field(cmd, "Reload", "none set ([publish] reload): a broker uses what it read last");
    return 0;
}
