/* plantca publish: CA, CRL and certificates where brokers read them, and the command that makes them read
 * again. */
#include "src/cmd/plantca/plantca.h"

#include <string.h>

#include "src/base/error.h"
#include "src/ca/publish.h"
#include "src/cmd/output.h"

#define LIST_MAX (64U << 20) /* bytes of a list of serial numbers */
#define SOON (10 * PC_DAY)   /* a warning from here to the end of a CRL */

/* --retire: serial numbers, apart by commas, or the file that holds them. */
static int read_retired(const struct cmd *cmd, struct pc_bytes *file, const char **ret)
{
    static const char serials[] = "0123456789abcdefABCDEF:, ";
    const char *value = cmd_value(cmd, "retire");
    int rc;

    if (value == NULL || value[strspn(value, serials)] == '\0') {
        *ret = value;
        return 0;
    }
    rc = pc_file_read(value, LIST_MAX, file);
    if (rc != 0)
        return pc_fail_in("--retire");
    if (memchr(file->data, '\0', file->len) != NULL)
        return pc_fail(PC_EUSAGE, "--retire: %s: no list of serial numbers", value);
    *ret = (const char *)file->data;
    return 0;
}

static void set_json(struct cmd *cmd, const struct ca_publish_report *report, bool dry)
{
    json_t *shut_out = json_array();

    for (size_t i = 0; i < report->shut_out_count; i++) {
        const struct ca_shut_out *one = &report->shut_out[i];
        json_array_append_new(shut_out, json_pack("{s:s,s:o,s:o}", "serial", one->serial, "cn",
                                                  cmd_json_text(one->cn), "why", cmd_json_text(one->why)));
    }
    cmd_set(cmd, "{s:s,s:b,s:I,s:I,s:I,s:I,s:b,s:b,s:b,s:b}", "dir", report->dir, "dry_run", dry, "written",
            (json_int_t)report->written, "unchanged", (json_int_t)report->unchanged, "removed",
            (json_int_t)report->removed, "crl_number", (json_int_t)report->crl_number, "reloaded",
            report->reloaded, "probed", report->probed, "published", report->published, "broker_left",
            report->broker_left);
    cmd_set(cmd, "{s:{s:I,s:I,s:I,s:I,s:I,s:o},s:o}", "preflight", "issuers", (json_int_t)report->issuers,
            "refused_as_before", (json_int_t)report->refused, "judged", (json_int_t)report->judged, "sampled",
            (json_int_t)report->sampled, "retired", (json_int_t)report->retired, "shut_out", shut_out,
            "crl_next_update", cmd_json_time(report->crl_next_update));
}

static void say_preflight(struct cmd *cmd, const struct ca_publish_report *report)
{
    char refused[64] = "none refused";

    if (report->refused > 0)
        snprintf(refused, sizeof refused, "%zu refused, as before; none newly", report->refused);
    cmd_field(cmd, "Preflight", "%zu certificate%s of %zu CA%s: %s%s", report->judged, CMD_S(report->judged),
              report->issuers, CMD_S(report->issuers), refused,
              report->retired > 0 ? " but those retired" : "");
    if (report->retired > 0)
        cmd_field(cmd, "Retired", "%zu", report->retired);
    if (report->crl_next_update > 0 && report->crl_next_update < pc_now() + SOON) {
        char until[PC_TIME_TEXT];
        pc_time_format(report->crl_next_update, until);
        cmd_warn(cmd,
                 "a CRL among those published lapses at %s; from then on brokers refuse every certificate "
                 "of that CA",
                 until);
    }
}

static void say_all(struct cmd *cmd, const struct ca_settings *settings,
                    const struct ca_publish_report *report)
{
    cmd_field(cmd, "Published", "%s", report->dir);
    cmd_field(cmd, "Files", "%zu written, %zu unchanged", report->written, report->unchanged);
    cmd_field(cmd, "CRL number", "%llu", (unsigned long long)report->crl_number);
    say_preflight(cmd, report);
    if (report->removed > 0)
        cmd_field(cmd, "Removed", "%zu file%s of revoked plants", report->removed, CMD_S(report->removed));
    if (report->broker_left)
        cmd_field(cmd, "Broker", "broker.crt left as it was: the new one is for another key");
    if (settings->publish_reload != NULL)
        cmd_field(cmd, "Reload", "%s: %s", settings->publish_reload, report->reloaded ? "done" : "FAILED");
    else
        cmd_field(cmd, "Reload", "none set ([publish] reload): a broker uses what it read last");
    if (report->probed)
        cmd_field(cmd, "Probe", "%s accepts what is good and refuses what is revoked",
                  settings->publish_probe);
}

static void say_dry(struct cmd *cmd, const struct ca_publish_report *report)
{
    cmd_field(cmd, "Would publish", "%s", report->dir);
    cmd_field(cmd, "Changes", "%zu of ca.crt and ca.crl", report->written);
    cmd_field(cmd, "CRL number", "%llu", (unsigned long long)report->crl_number);
    say_preflight(cmd, report);
}

int plantca_run_publish(struct cmd *cmd)
{
    PC_CLEANUP(ca_publish_report_clear) struct ca_publish_report report = {0};
    struct ca_publish_options options = {.dry_run = cmd_given(cmd, "dry-run"),
                                         .new_broker_key = cmd_given(cmd, "new-broker-key")};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    pc_autobytes retired = {0};
    int rc = plantca_read_settings(cmd, &settings);

    if (rc == 0 && settings.publish_dir != NULL)
        rc = plantca_check_folder(cmd, settings.publish_dir);
    if (rc == 0)
        rc = read_retired(cmd, &retired, &options.retired);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0)
        rc = ca_publish(ca, &options, &report);
    if (report.dir[0] != '\0')
        set_json(cmd, &report, options.dry_run);
    if (report.published)
        say_all(cmd, &settings, &report);
    else if (options.dry_run && (rc == 0 || report.broker_left))
        say_dry(cmd, &report);
    return rc;
}
