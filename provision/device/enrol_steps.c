/* Deciding what a PLC needs, and asking for it: the part of an enrolment that knows no station. */
#include "provision/device/enrol_steps.h"

#include <string.h>

#include "provision/device/request.h"
#include "provision/device/salvage.h"
#include "src/base/error.h"

const char *dev_enrol_way_name(enum dev_enrol_way way)
{
    static const char *const names[] = {
        [DEV_ENROL_NEEDED] = "needed", [DEV_ENROL_FIRST] = "first", [DEV_ENROL_RENEW] = "renew",
        [DEV_ENROL_REKEY] = "rekey",   [DEV_ENROL_ANEW] = "anew",
    };
    _Static_assert(sizeof names / sizeof names[0] == DEV_ENROL_WAYS, "a name for each way");
    return names[way];
}

void dev_enrol_report_clear(struct dev_enrol_report *report)
{
    dev_install_report_clear(&report->install);
    report->installed = false;
}

/* A set that is good, due or not. */
static enum dev_enrol_way way_of(const struct dev_status *status)
{
    if (status->state == DEV_REKEY_PENDING)
        return DEV_ENROL_REKEY;
    return status->due ? DEV_ENROL_RENEW : DEV_ENROL_NEEDED;
}

static int decide_first(enum dev_enrol_way wanted, const struct dev *dev, enum dev_enrol_way *ret)
{
    if (wanted == DEV_ENROL_RENEW || wanted == DEV_ENROL_REKEY)
        return pc_refuse("not-installed",
                         "%s: no certificate is installed that could be shown: 'plantcert enroll' begins",
                         dev->settings.dir);
    *ret = DEV_ENROL_FIRST;
    return 0;
}

/* Faults of the set that a certificate for a new key mends; the others would stop its install, too. */
static bool mends(const char *name)
{
    static const char *const names[] = {"state-damaged", "key-absent", "key-name"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strncmp(name, "chain-", sizeof "chain-" - 1) == 0;
}

int dev_enrol_begin(struct dev *dev, enum dev_enrol_way wanted, struct dev_enrol_report *ret)
{
    struct dev_status *status = &ret->status;
    ret->way = wanted;
    int r = dev_check(dev, status);
    const char *name = r < 0 ? pc_error_name() : "";
    if (r == PC_EPENDING && strcmp(name, "not-installed") == 0)
        return decide_first(wanted, dev, &ret->way);
    if (r == PC_EREFUSED && wanted == DEV_ENROL_ANEW && mends(name))
        return 0;
    /* The station may have patience with it; nobody else has. */
    bool expired = dev_refused_as(r, "chain-expired") && status->installed && !status->plain;
    if (expired && wanted == DEV_ENROL_NEEDED)
        ret->way = status->pending.present ? DEV_ENROL_REKEY : DEV_ENROL_RENEW;
    if (r < 0)
        return expired ? 0 : r;
    if (wanted == DEV_ENROL_NEEDED)
        ret->way = way_of(status);
    return 0;
}

/* The station may have let us wait for long, and nobody else had to. A request now would be for a set that
 * is no more: on a first enrolment or a rekey it would make one key too many. */
static int check_unchanged(const struct dev *dev, const struct dev_enrol_report *report)
{
    dev_autoinstalled installed = {0};
    struct dev_leaf leaf = {0};
    if (report->way == DEV_ENROL_ANEW && !report->status.installed)
        return 0; /* what is damaged says nothing */
    int r = dev_salvage_read(dev->settings.dir, &installed);
    if (r == 0 && installed.leaf)
        r = dev_leaf_describe(installed.leaf, &leaf);
    if (r < 0 || strcmp(leaf.sha256, report->status.certificate_sha256) == 0)
        return r;
    return pc_fail_named(PC_EPENDING, "set-changed",
                         "another run has installed a certificate meanwhile: look again what is needed");
}

int dev_enrol_request(struct dev *dev, const char *challenge, struct dev_enrol_report *report,
                      struct pc_bytes *ret_pem)
{
    struct dev_key_report key = {0};
    int r = check_unchanged(dev, report);
    if (r < 0)
        return r;
    if (report->way == DEV_ENROL_FIRST)
        r = dev_request_bound(dev, NULL, challenge, ret_pem, &key);
    else if (report->way == DEV_ENROL_RENEW)
        r = dev_renew_bound(dev, challenge, ret_pem, &key);
    else
        r = dev_rekey_bound(dev, challenge, ret_pem, &key);
    if (r == 0)
        memcpy(report->key_sha256, key.fingerprint, sizeof report->key_sha256);
    return r;
}
