/* plantcert doctor: the way that a connection takes, a line a step, and what to do about its cause. */
#include "provision/device/doctor.h"

#include <assert.h>
#include <stdlib.h>

#include "src/base/error.h"
#include "src/cmd/output.h"
#include "src/cmd/plantcert/plantcert.h"

#define OPENSSL_CONF "/etc/plantcert/openssl.cnf"

static const struct {
    const char *word, *name;
} verdicts[] = {
    [DEV_FINE] = {"ok", "ok"},
    [DEV_WARNING] = {"warn", "warn"},
    [DEV_FAULT] = {"FAIL", "fail"},
    [DEV_SKIPPED] = {"-", "skipped"},
};
static_assert(CMD_LENGTH(verdicts) == DEV_SKIPPED + 1, "a word for each verdict");

static json_t *finding_json(const struct dev_finding *finding)
{
    return json_pack("{s:s,s:s,s:i,s:s,s:o,s:o}", "step", finding->step, "verdict",
                     verdicts[finding->verdict].name, "code", -finding->code, "name", finding->name, "text",
                     cmd_json_text(finding->text), "advice", cmd_json_text(finding->advice));
}

static void say_all(struct cmd *cmd, const struct dev_diagnosis *diagnosis, const struct dev_finding *cause)
{
    json_t *findings = json_array();

    for (size_t i = 0; i < diagnosis->count; i++) {
        const struct dev_finding *finding = &diagnosis->findings[i];
        cmd_print(cmd, "%-4s  %-18s  %s\n", verdicts[finding->verdict].word, finding->step, finding->text);
        if (finding->verdict == DEV_WARNING && finding->advice[0] != '\0')
            cmd_print(cmd, "%-4s  %-18s  %s\n", "", "", finding->advice);
        json_array_append_new(findings, finding_json(finding));
    }
    cmd_set(cmd, "{s:b,s:o,s:o}", "sound", cause == NULL, "cause",
            cause != NULL ? finding_json(cause) : json_null(), "findings", findings);
    if (cause != NULL)
        cmd_print(cmd, "\nCause: %s (%s)\n%s%s%s", cause->text, cause->name,
                  cause->advice[0] != '\0' ? "To do: " : "", cause->advice,
                  cause->advice[0] != '\0' ? "\n" : "");
}

/* What the MQTT client is likely to be given. */
static const char *openssl_conf(const struct cmd *cmd)
{
    const char *option = cmd_value(cmd, "openssl-conf"), *environment = getenv("OPENSSL_CONF");

    if (option != NULL)
        return option;
    if (environment != NULL && environment[0] != '\0')
        return environment;
    return pc_file_exists(OPENSSL_CONF) ? OPENSSL_CONF : NULL;
}

int plantcert_run_doctor(struct cmd *cmd)
{
    char host[PLANTCERT_HOST_TEXT];
    struct dev_broker broker;
    struct dev_diagnosis diagnosis;
    const struct dev_finding *cause = NULL;
    PC_CLEANUP(plantcert_station_clear) struct plantcert_station files = {0};
    struct dev_enrol_order station;
    plantcert_auto at = {0};
    int rc = plantcert_broker(cmd, host, &broker);

    if (rc == 0 && cmd_given(cmd, "publish") && broker.host == NULL)
        rc = pc_fail(PC_EUSAGE, "--publish needs a broker: --mqtt or [mqtt] broker");
    if (rc == 0)
        rc = plantcert_station(cmd, DEV_ENROL_NEEDED, &files, &station);
    if (rc == 0)
        rc = plantcert_open(cmd, &at);
    if (rc != 0)
        return rc;
    const struct dev_doctor_order order = {
        .station = station.url != NULL ? &station : NULL,
        .broker = broker.host != NULL ? &broker : NULL,
        .openssl_conf = openssl_conf(cmd),
        .publish = cmd_given(cmd, "publish"),
    };
    rc = dev_doctor(at.dev, &order, &diagnosis);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < diagnosis.count && cause == NULL; i++)
        if (diagnosis.findings[i].verdict == DEV_FAULT)
            cause = &diagnosis.findings[i];
    say_all(cmd, &diagnosis, cause);
    return cause != NULL ? pc_fail_named(cause->code, cause->name, "%s: %s", cause->step, cause->text) : 0;
}
