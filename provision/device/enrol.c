/* Enrolment over the network: what is needed, when to come again, and how a PLC whose certificate is valid
 * takes it when the station is away. One visit is enrol_visit.c's. */
#include "provision/device/enrol.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "provision/device/enrol_visit.h"
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/base/random.h"
#include "src/base/time.h"

/* Seconds that a station may ask for; what it asks beyond, a PLC does not believe. */
#define RETRY_MIN 5
#define RETRY_MAX 3600
#define RETRY_DEFAULT 30
#define BACKOFF_FIRST 1000 /* ms */
#define BACKOFF_MAX 60000

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/* Between three quarters and five quarters: PLCs that were switched on together do not come together. */
static int64_t jitter(int64_t ms)
{
    uint16_t random = 0;
    if (pc_random(&random, sizeof random) < 0)
        return ms;
    return ms * 3 / 4 + ms / 2 * random / UINT16_MAX;
}

static int64_t clamp_retry(int64_t seconds)
{
    if (seconds <= 0)
        seconds = RETRY_DEFAULT;
    return seconds < RETRY_MIN ? RETRY_MIN : seconds > RETRY_MAX ? RETRY_MAX : seconds;
}

/* How long to wait after this failure, in ms; -1: it will not be better. `*backoff` grows. */
static int64_t wait_after(int r, const struct dev_enrol_order *order, const struct dev_enrol_report *report,
                          int64_t *backoff)
{
    if (r == PC_EPENDING && strcmp(pc_error_name(), "station-pending") == 0)
        return order->wait ? clamp_retry(report->retry_after) * 1000 : -1;
    if (r != PC_EUNREACH || strncmp(pc_error_name(), "station-", sizeof "station-" - 1) != 0)
        return -1;
    if (report->retry_after > 0)
        return jitter(clamp_retry(report->retry_after) * 1000);
    int64_t wait = jitter(*backoff);
    *backoff = *backoff * 2 < BACKOFF_MAX ? *backoff * 2 : BACKOFF_MAX;
    return wait;
}

static unsigned seconds_left(int64_t until)
{
    int64_t left = (until - now_ms() + 999) / 1000;
    return left < 1 ? 1 : (unsigned)left;
}

/* Until there is an answer, or no time for another attempt. */
static int visit_until(struct dev_visit *visit, struct dev_enrol_report *report)
{
    int64_t until = now_ms() + (int64_t)visit->order->timeout * 1000, backoff = BACKOFF_FIRST;
    for (;;) {
        int r = dev_visit_make(visit, seconds_left(until), report);
        if (report->retry_after > 0) /* whoever reads it may wait so long */
            report->retry_after = clamp_retry(report->retry_after);
        int64_t wait = r < 0 ? wait_after(r, visit->order, report, &backoff) : -1;
        if (wait < 0 || now_ms() + wait >= until)
            return r;
        pc_log(PC_LOG_NOTICE, "%s; asking again in %" PRId64 " s", pc_error_text(), (wait + 999) / 1000);
        sleep_ms(wait);
    }
}

/* Causes of a refusal by the names of the station's rules, which stand in its answer, and what helps there.
 * `later`: the same is granted when its time has come. */
static const struct cause {
    const char *rule, *hint;
    bool later;
} causes[] = {
    {"identity-window", "it renews only inside the renewal window, or with its early-renewal", true},
    {"reenrol-rekey", "its rekey-interval is not over yet", true},
    {"reenrol-superseded",
     "the station has given a newer certificate: install that again ('plantcert install' of its chain, where "
     "it is kept); where its key is lost, at the station: plantca list shows the current serial, plantca "
     "allow --replace SERIAL --code, then plantcert enroll --anew --code-file FILE",
     false},
    {"identity-revoked",
     "at the station: plantca allow --plant UUID --code (without --replace), then plantcert enroll --anew "
     "--code-file FILE",
     false},
    {"identity-held", "at the station: plantca release ends the hold", false},
};

static const struct cause *cause_of(int r)
{
    for (size_t i = 0; dev_refused_as(r, "station-refused") && i < sizeof causes / sizeof causes[0]; i++)
        if (strstr(pc_error_text(), causes[i].rule))
            return &causes[i];
    return NULL;
}

static int advise_cause(const struct cause *cause, const struct dev_enrol_report *report)
{
    char text[512], renew[PC_TIME_TEXT];
    snprintf(text, sizeof text, "%s", pc_error_text());
    if (!cause->later)
        return pc_refuse("station-refused", "%s; %s", text, cause->hint);
    pc_time_format(report->status.renew_at, renew);
    return pc_refuse(
        "station-refused", "%s; %s: by this PLC's settings it is due from %s%s", text, cause->hint, renew,
        report->way == DEV_ENROL_REKEY ? "; the new key stays pending, 'plantcert enroll' goes on "
                                         "with it then, 'plantcert forget' gives it up"
                                       : "");
}

/* A refusal, with what the operator can do at the station. */
static int advise(int r, const struct dev *dev, const struct dev_enrol_report *report)
{
    const char *name = pc_error_name(), *plant = dev->settings.plant ? dev->settings.plant : "UUID";
    const struct cause *cause = cause_of(r);
    char text[512];
    if (!dev_refused_as(r, "station-refused") && !dev_refused_as(r, "station-code"))
        return r;
    if (cause)
        return advise_cause(cause, report);
    snprintf(text, sizeof text, "%s", pc_error_text());
    if (report->way == DEV_ENROL_FIRST)
        return pc_refuse(
            name,
            "%s; at the station: plantca allow --plant %s --code, then plantcert enroll --code-file FILE",
            text, plant);
    return pc_refuse(
        name,
        "%s; where the station is not to renew this certificate (serial %s): plantca allow --plant %s "
        "--replace %s --code, then plantcert enroll --anew --code-file FILE",
        text, report->status.serial, plant, report->status.serial);
}

/* Away is the station only where it could not be asked, for whatever reason, not where it refuses. */
static bool forgives(int r, const struct dev_enrol_order *order, const struct dev_status *status)
{
    bool valid = order->way == DEV_ENROL_NEEDED && status->installed && !status->expired;
    return valid && (r == PC_EUNREACH || r == PC_EUSAGE) &&
           strncmp(pc_error_name(), "station-", sizeof "station-" - 1) == 0;
}

/* Too early is no fault of a PLC whose certificate is valid. */
static bool forgives_refusal(int r, const struct dev_enrol_order *order, const struct dev_status *status)
{
    const struct cause *cause = cause_of(r);
    return cause && cause->later && order->way == DEV_ENROL_NEEDED && status->installed && !status->expired;
}

static int enrol_once(struct dev *dev, const struct dev_enrol_order *order, struct dev_enrol_report *ret)
{
    struct dev_visit PC_CLEANUP(dev_visit_close) visit = {0};
    int r = dev_enrol_begin(dev, order->way, ret);
    if (r < 0)
        return r;
    if (ret->way == DEV_ENROL_NEEDED) {
        if (dev_visit_fit(order) < 0)
            pc_log(PC_LOG_WARNING, "%s; nothing is due yet", pc_error_text());
        return 0;
    }
    r = dev_visit_open(dev, order, ret->way, &visit);
    if (r == 0)
        r = visit_until(&visit, ret);
    if (forgives_refusal(r, order, &ret->status)) {
        (void)advise(r, dev, ret);
        pc_log(PC_LOG_WARNING, "%s; the certificate is valid", pc_error_text());
        ret->early = true;
        return 0;
    }
    if (!forgives(r, order, &ret->status))
        return r < 0 ? advise(r, dev, ret) : 0;
    pc_log(PC_LOG_WARNING, "%s; the certificate is valid, so there is time", pc_error_text());
    ret->unasked = true;
    return 0;
}

int dev_enrol(struct dev *dev, const struct dev_enrol_order *order, struct dev_enrol_report *ret)
{
    int r = enrol_once(dev, order, ret);
    if (r != PC_EPENDING || order->way != DEV_ENROL_NEEDED || strcmp(pc_error_name(), "set-changed") != 0)
        return r;
    dev_enrol_report_clear(ret);
    *ret = (struct dev_enrol_report){0};
    return enrol_once(dev, order, ret);
}
