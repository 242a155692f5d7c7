/* The CSR: signed inside the TPM by the pending key, or by the installed one. Who may be named in it is
 * decided here; how it is built, in src/pki. */
#include "provision/device/request.h"

#include <stdio.h>
#include <string.h>

#include "provision/device/installed.h"
#include "provision/device/keygen.h"
#include "provision/device/salvage.h"
#include "provision/device/tidy.h"
#include "src/base/error.h"
#include "src/base/file.h"
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
    int r = dev_salvage_read(dev->settings.dir, &installed);
    if (r == 0 && installed.leaf && strcmp(plant, installed.cn) != 0)
        return pc_refuse("plant-differs",
                         "the installed certificate is for %s, not %s; 'forget --force' drops it",
                         installed.cn, plant);
    return r;
}

/* With the key of this key file. */
static int sign_request(struct dev *dev, const struct pc_bytes *file, const char *plant,
                        const char *challenge, struct pc_bytes *ret_pem)
{
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = NULL;
    int r = dev_key_open(dev, file, &key);
    if (r < 0)
        return r;
    r = challenge ? pki_request_build_bound(key, plant, challenge, ret_pem)
                  : pki_request_build(key, plant, ret_pem);
    /* It knows only that the key did not sign; whether to come again or to look after the TPM, the TPM said.
     */
    int fault = r < 0 ? prov_fault_take(dev->session) : 0;
    return fault < 0 ? pc_fail_in("the request") : r;
}

/* The plant is on disk before the CSR is out. */
static int remember(struct dev *dev, const char *plant, struct dev_pending *pending)
{
    if (pending->step == DEV_STEP_REQUESTED && !pending->adopted)
        return 0;
    pending->step = DEV_STEP_REQUESTED;
    pending->adopted = false;
    snprintf(pending->plant, sizeof pending->plant, "%s", plant);
    return dev_pending_write_state(dev->settings.dir, pending);
}

static int peek_plant(struct dev *dev, const char *plant)
{
    dev_autopending pending = {0};
    int r = dev_pending_load(dev->settings.dir, &pending);
    return r < 0 ? r : check_plant(dev, plant, pending.plant);
}

/* The CSR with the pending key, under the lock. */
static int request_once(struct dev *dev, const char *plant, const char *challenge, struct pc_bytes *ret_pem,
                        struct dev_key_report *ret)
{
    dev_autopending pending = {0};
    pc_autobytes file = {0}, pem = {0};
    struct dev_key_report report = {0};
    bool made = false;
    int r = peek_plant(dev, plant);
    if (r == 0)
        r = dev_key_ready(dev, false, &pending, &made);
    if (r == 0)
        r = dev_key_describe(pending.key, &report);
    if (r == 0)
        r = dev_pending_key_file(dev->settings.dir, &file);
    if (r == 0)
        r = sign_request(dev, &file, plant, challenge, &pem);
    if (r == 0)
        r = remember(dev, plant, &pending);
    if (r < 0)
        return r;
    report.made = made;
    *ret = report;
    *ret_pem = pem;
    pem = (struct pc_bytes){0};
    return 0;
}

static int request(struct dev *dev, const char *plant, const char *challenge, struct pc_bytes *ret_pem,
                   struct dev_key_report *ret)
{
    int r = request_once(dev, plant, challenge, ret_pem, ret);
    if (!dev_key_gone(r))
        return r;
    r = dev_key_afresh(dev);
    return r < 0 ? r : request_once(dev, plant, challenge, ret_pem, ret);
}

int dev_request_bound(struct dev *dev, const char *plant, const char *challenge, struct pc_bytes *ret_pem,
                      struct dev_key_report *ret)
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
    return request(busy, plant, challenge, ret_pem, ret);
}

int dev_request(struct dev *dev, const char *plant, struct pc_bytes *ret_pem, struct dev_key_report *ret)
{
    return dev_request_bound(dev, plant, NULL, ret_pem, ret);
}

/* The lock, and what stands there, for whose plant a new certificate is wanted. */
static int begin_again(struct dev *dev, struct dev_installed *ret)
{
    const char *dir = dev->settings.dir, *plant = dev->settings.plant;
    int r = pc_file_exists(dir) ? dev_begin(dev, false) : 0;
    if (r == 0 && dev->lock >= 0)
        dev_tidy_try(dev);
    if (r == 0)
        r = dev_salvage_read(dir, ret);
    if (r < 0)
        return r;
    if (!ret->leaf && !ret->damage[0])
        return pc_refuse("not-installed", "%s: no certificate is installed: 'plantcert request' begins", dir);
    if (!ret->leaf && (!plant || !*plant))
        return pc_fail_named(PC_EUSAGE, "plant-missing", "%s; and no plant is configured", ret->damage);
    if (!ret->leaf)
        snprintf(ret->cn, sizeof ret->cn, "%s", plant);
    if (plant && *plant && strcmp(plant, ret->cn) != 0)
        return pc_refuse("plant-differs",
                         "the installed certificate is for %s, but the configured plant is %s", ret->cn,
                         plant);
    return 0;
}

int dev_renew_bound(struct dev *dev, const char *challenge, struct pc_bytes *ret_pem,
                    struct dev_key_report *ret)
{
    struct dev *PC_CLEANUP(dev_end_ref) busy = dev;
    dev_autoinstalled installed = {0};
    struct dev_key_report report = {0};
    int r = begin_again(busy, &installed);
    if (r == 0 && !installed.key && installed.damage[0])
        r = pc_refuse("state-damaged", "%s: 'plantcert rekey' makes a new key", installed.damage);
    if (r == 0 && !installed.key)
        r = pc_refuse("key-legacy", "the installed certificate's key is the file device.key, not one in the "
                                    "TPM: 'plantcert rekey' makes one");
    if (r == 0)
        r = dev_key_describe(installed.key, &report);
    if (r == 0)
        r = dev_key_lost(sign_request(busy, &installed.set.key, installed.cn, challenge, ret_pem));
    if (r == 0)
        *ret = report;
    return r;
}

int dev_renew(struct dev *dev, struct pc_bytes *ret_pem, struct dev_key_report *ret)
{
    return dev_renew_bound(dev, NULL, ret_pem, ret);
}

int dev_rekey_bound(struct dev *dev, const char *challenge, struct pc_bytes *ret_pem,
                    struct dev_key_report *ret)
{
    struct dev *PC_CLEANUP(dev_end_ref) busy = dev;
    dev_autoinstalled installed = {0};
    int r = begin_again(busy, &installed);
    return r < 0 ? r : request(busy, installed.cn, challenge, ret_pem, ret);
}

int dev_rekey(struct dev *dev, struct pc_bytes *ret_pem, struct dev_key_report *ret)
{
    return dev_rekey_bound(dev, NULL, ret_pem, ret);
}
