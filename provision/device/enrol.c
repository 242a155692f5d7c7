/* Enrolment over the network: what is needed, when to come again, and how a PLC whose certificate is valid
 * takes it when the station is away. One visit is enrol_visit.c's. */
#include "provision/device/enrol.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "provision/device/enrol_visit.h"
#include "src/base/code.h"
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

/* The station's own figure beside ours, where it has given one. */
static int tell_later(int r, const struct dev_enrol_order *order, const struct dev_enrol_report *report)
{
    if (report->retry_after <= 0)
        return r;
    return pc_fail_named(r, pc_error_name(),
                         "%s; it asks to wait %" PRId64 " s, and the time for this run is %u s (--timeout): "
                         "the next run, at boot or by plantcert-enroll.timer, asks again",
                         pc_error_text(), report->retry_after, order->timeout);
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
        if (wait < 0)
            return r;
        if (now_ms() + wait >= until)
            return tell_later(r, visit->order, report);
        pc_log(PC_LOG_NOTICE, "%s; asking again in %" PRId64 " s", pc_error_text(), (wait + 999) / 1000);
        sleep_ms(wait);
    }
}

/* Causes of a refusal by the names of the station's rules, which stand in its answer, and what helps there.
 * `setting`: of the station, which is all that keeps it from granting the same before its time. */
static const struct cause {
    const char *rule, *hint, *setting;
} causes[] = {
    {"identity-window", "it renews only inside its renewal window", "[station] early-renewal = yes"},
    {"reenrol-rekey", "its rekey-interval is not over yet", "a shorter [station] rekey-interval"},
    {"reenrol-superseded",
     "the station has given a newer certificate: install that again ('plantcert install' of its chain, where "
     "it is kept); where its key is lost, at the station: plantca list shows the current serial, plantca "
     "allow --replace SERIAL --code, then plantcert enroll --anew --code-file FILE",
     NULL},
    {"identity-revoked",
     "at the station: plantca allow --plant UUID --code (without --replace), then plantcert enroll --anew "
     "--code-file FILE",
     NULL},
    {"identity-held", "at the station: plantca release ends the hold", NULL},
};

static const struct cause *cause_of(int r)
{
    for (size_t i = 0; dev_refused_as(r, "station-refused") && i < sizeof causes / sizeof causes[0]; i++)
        if (strstr(pc_error_text(), causes[i].rule))
            return &causes[i];
    return NULL;
}

/* Not yet: when, and how it goes without waiting. */
static int advise_time(const struct cause *cause, const struct dev *dev,
                       const struct dev_enrol_report *report)
{
    const char *plant = dev->settings.plant ? dev->settings.plant : report->status.cn;
    char renew[PC_TIME_TEXT];
    pc_time_format(report->status.renew_at, renew);
    return pc_refuse(
        "station-refused",
        "%s; %s: by this PLC's settings it is due from %s, and 'plantcert enroll' does it then%s; at once "
        "only if the station lets it: %s there, or plantca allow --plant %s --replace %s --code and "
        "plantcert enroll --anew --code-file FILE",
        pc_error_text(), cause->hint, renew,
        report->way == DEV_ENROL_REKEY
            ? " (the new key stays pending until then; 'plantcert forget' gives it up)"
            : "",
        cause->setting, plant, report->status.serial);
}

static int advise_cause(const struct cause *cause, const struct dev *dev,
                        const struct dev_enrol_report *report)
{
    return cause->setting ? advise_time(cause, dev, report)
                          : pc_refuse("station-refused", "%s; %s", pc_error_text(), cause->hint);
}

/* The station says the same of a plant that it does not know, of a code that is wrong, and of one whose time
 * is over; and a new code would void one that is only mistyped. */
static int advise_code(const struct dev *dev, const struct dev_enrol_order *order, const char *place)
{
    const char *plant = dev->settings.plant ? dev->settings.plant : "UUID", *text = pc_error_text();
    if (order->code)
        return pc_refuse("station-code",
                         "%s; first check the code, all %d letters and digits of it, and that it was given "
                         "for plant %s; then, at the station, look whether 'plantca plants' has that plant, "
                         "with time left, and what the signer's log says; only then make a new code, which "
                         "voids the one before: plantca allow --plant %s --code%s",
                         text, PC_CODE_DIGITS, plant, plant, place);
    return pc_refuse("station-code",
                     "%s; give the one handed out for plant %s: plantcert enroll%s --code-file FILE; where "
                     "'plantca plants' at the station has none for it: plantca allow --plant %s --code%s",
                     text, plant, *place ? " --anew" : "", plant, place);
}

/* A refusal, with what the operator can do at the station. */
static int advise(int r, const struct dev *dev, const struct dev_enrol_order *order,
                  const struct dev_enrol_report *report)
{
    const char *plant = dev->settings.plant ? dev->settings.plant : "UUID", *text = pc_error_text();
    const struct cause *cause = cause_of(r);
    char place[128] = "";
    if (!dev_refused_as(r, "station-refused") && !dev_refused_as(r, "station-code"))
        return r;
    if (cause)
        return advise_cause(cause, dev, report);
    /* Whether it is current still, the station knows: --replace is refused where it is not. */
    if (report->way == DEV_ENROL_ANEW && report->status.serial[0])
        snprintf(place, sizeof place, " (and --replace %s, if 'plantca show' says that it is current still)",
                 report->status.serial);
    if (dev_refused_as(r, "station-code"))
        return advise_code(dev, order, place);
    if (report->way == DEV_ENROL_FIRST || report->way == DEV_ENROL_ANEW)
        return pc_refuse("station-refused",
                         "%s; at the station: plantca allow --plant %s --code%s, then plantcert enroll%s "
                         "--code-file FILE",
                         text, plant, place, report->way == DEV_ENROL_ANEW ? " --anew" : "");
    return pc_refuse(
        "station-refused",
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
    return cause && cause->setting && order->way == DEV_ENROL_NEEDED && status->installed && !status->expired;
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
        (void)advise(r, dev, order, ret);
        pc_log(PC_LOG_WARNING, "%s; the certificate is valid", pc_error_text());
        ret->early = true;
        return 0;
    }
    if (!forgives(r, order, &ret->status))
        return r < 0 ? advise(r, dev, order, ret) : 0;
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
