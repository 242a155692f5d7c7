/* The CSR: signed by the pending key inside the TPM. Who may be named in it is decided here; how it is built,
 * in src/pki. */
#include <stdio.h>
#include <string.h>

#include "provision/device/installed.h"
#include "provision/device/keygen.h"
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/pki/openssl.h"
#include "src/pki/request.h"

/* One key, one plant; one PLC, one plant. */
static int check_plant(struct dev *dev, const char *plant, const char *remembered)
{
    if (remembered[0] && strcmp(plant, remembered) != 0)
        return pc_refuse("plant-differs", "the pending key was requested for %s, not %s; 'forget' drops it",
                         remembered, plant);
    dev_autoinstalled installed = {0};
    int r = dev_installed_read(dev->settings.dir, &installed);
    if (r == 0 && installed.leaf && strcmp(plant, installed.cn) != 0)
        return pc_refuse("plant-differs",
                         "the installed certificate is for %s, not %s; 'forget --force' drops it",
                         installed.cn, plant);
    return r;
}

static int sign_request(struct dev *dev, const char *plant, struct pc_bytes *ret_pem)
{
    pc_autobytes file = {0};
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = NULL;
    int r = dev_pending_key_file(dev->settings.dir, &file);
    if (r == 0)
        r = dev_key_open(dev, &file, &key);
    if (r < 0)
        return r;
    r = pki_request_build(key, plant, ret_pem);
    /* It knows only that the key did not sign; whether to come again or to look after the TPM, the TPM said.
     */
    int fault = r < 0 ? prov_fault_take(dev->session) : 0;
    return fault < 0 ? pc_fail_in("the request") : r;
}

/* The plant is on disk before the CSR is out. */
static int remember(struct dev *dev, const char *plant, struct dev_pending *pending)
{
    if (pending->step == DEV_STEP_REQUESTED)
        return 0;
    pending->step = DEV_STEP_REQUESTED;
    snprintf(pending->plant, sizeof pending->plant, "%s", plant);
    return dev_pending_write_state(dev->settings.dir, pending);
}

static int peek_plant(struct dev *dev, const char *plant)
{
    dev_autopending pending = {0};
    int r = dev_pending_load(dev->settings.dir, &pending);
    return r < 0 ? r : check_plant(dev, plant, pending.plant);
}

int dev_request(struct dev *dev, const char *plant, struct pc_bytes *ret_pem, struct dev_key_report *ret)
{
    if (!plant)
        plant = dev->settings.plant;
    if (!plant || !*plant)
        return pc_fail_named(PC_EUSAGE, "plant-missing",
                             "no plant is configured or given: whom is the request for?");
    if (dev->settings.plant && *dev->settings.plant && strcmp(plant, dev->settings.plant) != 0)
        pc_log(PC_LOG_WARNING, "the configured plant is %s: a certificate for %s will not be installed",
               dev->settings.plant, plant);
    int r = pki_uuid_check(plant);
    if (r == 0)
        r = dev_begin(dev, true);
    if (r < 0)
        return r;
    struct dev *PC_CLEANUP(dev_end_ref) busy = dev;
    dev_autopending pending = {0};
    pc_autobytes pem = {0};
    struct dev_key_report report = {0};
    bool made = false;
    r = peek_plant(busy, plant);
    if (r == 0)
        r = dev_key_ready(busy, &pending, &made);
    if (r == 0)
        r = dev_key_describe(pending.key, &report);
    if (r == 0)
        r = sign_request(busy, plant, &pem);
    if (r == 0)
        r = remember(busy, plant, &pending);
    if (r < 0)
        return r;
    report.made = made;
    *ret = report;
    *ret_pem = pem;
    pem = (struct pc_bytes){0};
    return 0;
}
