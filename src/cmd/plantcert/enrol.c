/* plantcert enroll, and renew and rekey over the network: what the PLC needs, from the station or by a stick.
 */
#include "src/cmd/plantcert/plantcert.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "src/base/error.h"
#include "src/base/secret.h"
#include "src/cmd/output.h"

void plantcert_station_clear(struct plantcert_station *station)
{
    pc_bytes_clear(&station->trust);
    pc_bytes_clear(&station->ca);
    pc_secret_free(station->code);
}

static int read_anchors(const char *path, struct pc_bytes *bytes, const struct pc_bytes **ret)
{
    if (path == NULL || *path == '\0')
        return 0;
    int rc = pc_file_read(path, PLANTCERT_CHAIN_MAX, bytes);
    if (rc == 0)
        *ret = bytes;
    return rc;
}

static int check_there(const char *path)
{
    if (path == NULL || *path == '\0' || pc_file_exists(path))
        return 0;
    return pc_fail_named(PC_EUSAGE, "station-trust", "[station] trust (--trust): %s: is not there", path);
}

/* Whoever can write it decides who the station is, and on a first enrolment who the CA is. */
static int check_writers(const char *path)
{
    struct stat status;

    if (path == NULL || stat(path, &status) != 0 || (status.st_mode & S_IWOTH) == 0)
        return 0; /* that it is not there, its reader tells */
    return pc_fail_named(PC_EUSAGE, "station-trust", "%s: mode %04o: anyone can exchange this trust anchor",
                         path, (unsigned)(status.st_mode & 07777));
}

/* A code is used once: the file that the configuration names may be gone by the time of a renewal. */
static int read_code(struct cmd *cmd, struct pc_secret **ret)
{
    const char *const options[] = {"code-file", "code-fd", NULL};
    const char *file = pc_config_get(cmd->config, "station", "code-file");
    long fd;
    int rc = cmd_choose(cmd, true, options);

    if (rc != 0)
        return rc;
    if (cmd_given(cmd, "code-fd")) {
        rc = cmd_number(cmd, "code-fd", 0, INT_MAX, &fd);
        return rc != 0 ? rc : pc_secret_from_fd("code", (int)fd, ret);
    }
    if (file == NULL || (!cmd_given(cmd, "code-file") && !pc_file_exists(file)))
        return 0;
    return pc_secret_from_file("code", file, ret);
}

static unsigned whole_time(const struct cmd *cmd)
{
    int64_t seconds = pc_config_duration(cmd->config, "station", "timeout");

    return seconds < 1 ? 1 : seconds > INT_MAX ? INT_MAX : (unsigned)seconds;
}

/* What is wrong with it is told when it is needed: a certificate that is valid needs no station. */
static void read_trust(const char *path, struct plantcert_station *station, struct dev_enrol_order *order)
{
    int rc = check_writers(path);

    order->trust_name = path;
    if (rc == 0)
        rc = check_there(path);
    if (rc == 0)
        rc = read_anchors(path, &station->trust, &order->trust);
    if (rc == 0)
        return;
    snprintf(station->unfit, sizeof station->unfit, "%s", pc_error_text());
    order->unfit = station->unfit;
}

int plantcert_station(struct cmd *cmd, enum dev_enrol_way way, struct plantcert_station *station,
                      struct dev_enrol_order *ret)
{
    struct dev_enrol_order order = {
        .way = way,
        .url = pc_config_get(cmd->config, "station", "url"),
        .label = pc_config_get(cmd->config, "station", "label"),
        .timeout = whole_time(cmd),
        .wait = plantcert_takes(cmd, "wait") && cmd_given(cmd, "wait"),
    };
    int rc = 0;

    read_trust(pc_config_get(cmd->config, "station", "trust"), station, &order);
    if (plantcert_takes(cmd, "ca"))
        rc = read_anchors(cmd_value(cmd, "ca"), &station->ca, &order.ca);
    if (rc == 0 && plantcert_takes(cmd, "code-fd"))
        rc = read_code(cmd, &station->code);
    if (rc == 0)
        order.code = station->code;
    if (rc == 0)
        *ret = order;
    return rc;
}

static void tell(struct cmd *cmd, const struct dev_enrol_report *report)
{
    cmd_set(cmd, "{s:s,s:b,s:b,s:b,s:b,s:o}", "way", dev_enrol_way_name(report->way), "due",
            report->status.due, "enrolled", report->installed, "unasked", report->unasked, "early",
            report->early, "key_sha256",
            report->key_sha256[0] != '\0' ? cmd_json_text(report->key_sha256) : json_null());
    if (report->retry_after > 0)
        cmd_set(cmd, "{s:I}", "retry_after", (json_int_t)report->retry_after);
}

static void say(struct cmd *cmd, const struct dev_enrol_report *report)
{
    char until[PC_TIME_TEXT];
    /* A rekey, which the operator has begun: nothing is due by the dates, as status says, too. */
    bool waits = report->unasked && report->way == DEV_ENROL_REKEY && !report->status.due;

    if (report->installed) {
        plantcert_set_say(cmd, "Installed", &report->install);
        return;
    }
    pc_time_format(report->status.not_after, until);
    cmd_set(cmd, "{s:s,s:s,s:o}", "plant", report->status.cn, "serial", report->status.serial, "not_after",
            cmd_json_time(report->status.not_after));
    cmd_say(cmd,
            waits           ? "The new key waits for its certificate; the installed one is valid until %s.\n"
            : report->early ? "Too early for the station; the certificate is valid until %s.\n"
            : report->unasked ? "Due; the certificate is valid until %s.\n"
                              : "Nothing to do: the certificate is valid until %s.\n",
            until);
}

/* Which key waits for the operator's word. */
static void say_pending(struct cmd *cmd, const struct dev_enrol_report *report)
{
    if (report->key_sha256[0] != '\0')
        cmd_field(cmd, "Key SHA-256", "%s", report->key_sha256);
}

int plantcert_enrol(struct cmd *cmd, enum dev_enrol_way way, const char *folder)
{
    PC_CLEANUP(dev_enrol_report_clear) struct dev_enrol_report report = {0};
    PC_CLEANUP(plantcert_station_clear) struct plantcert_station station = {0};
    struct dev_enrol_order order;
    plantcert_auto at = {0};
    int rc = plantcert_station(cmd, way, &station, &order);

    if (rc == 0)
        rc = plantcert_open(cmd, &at);
    if (rc != 0)
        return rc;
    rc = folder != NULL ? dev_enrol_files(at.dev, folder, &order, &report)
                        : dev_enrol(at.dev, &order, &report);
    tell(cmd, &report);
    if (rc == PC_EPENDING)
        say_pending(cmd, &report);
    if (rc != 0)
        return rc;
    say(cmd, &report);
    if (report.install.reload_failed)
        return pc_fail(PC_EFAIL, "the set is installed, but the reload command failed: %s",
                       at.settings.reload);
    return 0;
}

int plantcert_run_enroll(struct cmd *cmd)
{
    return plantcert_enrol(cmd, cmd_given(cmd, "anew") ? DEV_ENROL_ANEW : DEV_ENROL_NEEDED,
                           cmd_value(cmd, "usb"));
}
