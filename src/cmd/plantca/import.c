/* plantca import: a CA of old and its fleet come on record, and stay served until they are retired. */
#include "src/cmd/plantca/plantca.h"

#include "src/base/error.h"
#include "src/ca/import.h"
#include "src/cmd/output.h"

#define CERTIFICATE_MAX 65536 /* bytes */
#define LIST_MAX (256U << 20) /* bytes of a CRL or an index */
#define ITEMS_TOLD 20         /* the rest is counted; --json tells all */

static int read_option(const struct cmd *cmd, const char *option, size_t max, struct pc_bytes *file,
                       const struct pc_bytes **ret)
{
    if (!cmd_given(cmd, option))
        return 0;
    int rc = pc_file_read(cmd_value(cmd, option), max, file);
    if (rc != 0)
        return pc_fail_in("--%s", option);
    *ret = file;
    return 0;
}

static void set_json(struct cmd *cmd, const struct ca_import_report *report)
{
    json_t *items = json_array();

    for (size_t i = 0; i < report->item_count; i++) {
        const struct ca_import_item *item = &report->items[i];
        json_array_append_new(items, json_pack("{s:s,s:o,s:o}", "what", item->what, "name",
                                               cmd_json_text(item->name), "why", cmd_json_text(item->why)));
    }
    cmd_set(cmd, "{s:b,s:o,s:b,s:b}", "dry_run", cmd_given(cmd, "dry-run"), "subject",
            cmd_json_text(report->subject), "known", report->known, "same_name", report->same_name);
    cmd_set(cmd, "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "imported", (json_int_t)report->imported, "already",
            (json_int_t)report->already, "expired", (json_int_t)report->expired, "refused",
            (json_int_t)report->refused, "revoked", (json_int_t)report->revoked, "released",
            (json_int_t)report->released, "unknown", (json_int_t)report->unknown, "other_names",
            (json_int_t)report->names, "items", items);
    if (report->crl_number == 0)
        cmd_set(cmd, "{s:n}", "crl");
    else
        cmd_set(cmd, "{s:{s:b,s:I,s:I,s:o}}", "crl", "new", report->crl_new, "number",
                (json_int_t)report->crl_number, "entries", (json_int_t)report->crl_entries, "next_update",
                cmd_json_time(report->crl_next_update));
}

static void warn_all(struct cmd *cmd, const struct ca_import_report *report)
{
    for (size_t i = 0; i < report->item_count && i < ITEMS_TOLD; i++)
        cmd_warn(cmd, "%s: %s: %s", report->items[i].what, report->items[i].name, report->items[i].why);
    if (report->item_count > ITEMS_TOLD)
        cmd_warn(cmd, "%zu more; --json tells all", report->item_count - ITEMS_TOLD);
    if (report->crl_number == 0)
        cmd_warn(cmd,
                 "this CA has no CRL on record: brokers that check CRLs would refuse its whole fleet, so "
                 "publish will refuse. Give it with --crl");
    else if (report->crl_next_update < pc_now())
        cmd_warn(cmd,
                 "the CRL of this CA has lapsed: brokers refuse its whole fleet. Make a new one and give "
                 "it with --crl");
    if (report->same_name)
        cmd_warn(cmd,
                 "this CA has the same name as ours: only key identifiers tell the two apart, which some "
                 "programs do not look at");
}

static void tell(struct cmd *cmd, const struct ca_import_report *report)
{
    set_json(cmd, report);
    cmd_field(cmd, cmd_given(cmd, "dry-run") ? "Would import" : "Imported CA", "%s%s", report->subject,
              report->known ? " (on record before)" : "");
    cmd_field(cmd, "Certificates", "%zu imported, %zu on record before, %zu expired, %zu refused",
              report->imported, report->already, report->expired, report->refused);
    if (report->unknown > 0)
        cmd_field(cmd, "Unknown", "%zu valid by the index, without a file", report->unknown);
    if (report->crl_number > 0) {
        char until[PC_TIME_TEXT];
        pc_time_format(report->crl_next_update, until);
        cmd_field(cmd, "Its CRL", "%zu listed, good until %s%s", report->crl_entries, until,
                  report->crl_new ? "" : " (on record before)");
    }
    warn_all(cmd, report);
    if (!cmd_given(cmd, "dry-run"))
        cmd_say(cmd, "Next: plantca publish -n, then plantca publish (brokers get both CAs)\n");
}

int plantca_run_import(struct cmd *cmd)
{
    PC_CLEANUP(ca_import_report_clear) struct ca_import_report report = {0};
    struct ca_import_options options = {.devices = cmd_value(cmd, "devices"),
                                        .dry_run = cmd_given(cmd, "dry-run")};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    pc_autobytes certificate = {0}, crl = {0}, index = {0};
    int rc = cmd_given(cmd, "ca") ? 0 : pc_fail(PC_EUSAGE, "--ca must be given");

    if (rc == 0)
        rc = read_option(cmd, "ca", CERTIFICATE_MAX, &certificate, &options.certificate);
    if (rc == 0)
        rc = read_option(cmd, "crl", LIST_MAX, &crl, &options.crl);
    if (rc == 0)
        rc = read_option(cmd, "index", LIST_MAX, &index, &options.index);
    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0)
        rc = ca_import(ca, &options, &report);
    if (rc == 0)
        tell(cmd, &report);
    return rc;
}
