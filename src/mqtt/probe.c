/* A visit's report, judged: accepted, refused, or nothing that would prove either. */
#include "src/mqtt/probe.h"

#include <stdio.h>

#include <mqtt_protocol.h>

#include "src/base/error.h"
#include "src/mqtt/visit.h"

static int unreachable(const struct mqtt_probe *probe, const char *why)
{
    return pc_fail_named(PC_EUNREACH, "broker-unreachable", "broker %s:%u: %s", probe->host, probe->port,
                         why);
}

static int judge(const struct mqtt_probe *probe, const struct mqtt_report *report)
{
    bool busy = report->connack == MQTT_RC_SERVER_UNAVAILABLE || report->connack == MQTT_RC_SERVER_BUSY;
    if (report->stage == MQTT_STAGE_TRUST)
        return pc_fail_named(PC_EUNREACH, "broker-certificate",
                             "broker %s:%u: its certificate does not hold: %s", probe->host, probe->port,
                             report->text);
    if (report->stage == MQTT_STAGE_KEY)
        return pc_fail_named(PC_EFAIL, "client-key", "broker %s:%u: our own key did not sign", probe->host,
                             probe->port);
    if (report->stage < MQTT_STAGE_TRUST || report->late || busy)
        return unreachable(probe, report->text);
    return 0;
}

int mqtt_probe(const struct mqtt_probe *probe, enum mqtt_answer *ret, char ret_text[256])
{
    mqtt_autoreport report = {0};
    int r = mqtt_visit(probe, NULL, NULL, &report);
    if (r == 0)
        r = judge(probe, &report);
    if (r < 0)
        return r;
    *ret = report.stage == MQTT_STAGE_DONE ? MQTT_ACCEPTED : MQTT_REFUSED;
    snprintf(ret_text, 256, "%s", report.text);
    return 0;
}
