/* Going back to the set before: judged as on install, then made current again by the same one rename. The
 * newer set stays as the one to go forward to. */
#include <string.h>

#include "provision/device/check.h"
#include "provision/device/installed.h"
#include "provision/device/legacy.h"
#include "provision/device/reload.h"
#include "provision/device/salvage.h"
#include "provision/device/tidy.h"
#include "provision/device/verify.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/pki/openssl.h"

/* The previous set's own key signs; that of a file of before was found to be there. */
static int check_key(struct dev *dev, const struct dev_installed *previous)
{
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = NULL;
    if (previous->record.legacy)
        return 0;
    int r = dev_key_open(dev, &previous->set.key, &key);
    if (r == 0)
        r = dev_check_signature(key, previous->leaf);
    return dev_key_gone(r) ? pc_fail_in("the key of generation %s is gone (a later rekey may have needed its "
                                        "slot in the TPM)",
                                        previous->name)
                           : r;
}

static int check_set(struct dev *dev, const struct dev_installed *current,
                     const struct dev_installed *previous)
{
    struct dev_clock clock;
    if (current->leaf && strcmp(current->cn, previous->cn) != 0)
        return pc_refuse("install-cn",
                         "generation %s is for %s, but the plant of the installed certificate is %s",
                         previous->name, previous->cn, current->cn);
    int r = dev_verify_clock(dev, previous, NULL, &clock);
    if (r == 0)
        r = dev_verify_set(dev, previous, clock.at);
    return r < 0 ? r : check_key(dev, previous);
}

/* The old set's record first: whichever of the two is current then, the other one is kept: also
 * a damaged one, whose key may be whole. */
static int go_back(struct dev *dev, const struct dev_installed *current, const struct dev_installed *previous)
{
    const char *dir = dev->settings.dir;
    struct dev_record record = previous->record;
    memcpy(record.replaces, current->name, sizeof record.replaces);
    record.reloaded = !dev_reload_wanted(dev);
    record.confirmed = false;
    record.rolled_back = true;
    record.switched = true; /* long ago */
    int r = dev_generation_record_write(dir, previous->name, &record);
    if (r == 0)
        r = dev_generation_switch(dir, previous->name);
    return r;
}

static int rollback(struct dev *dev, struct dev_install_report *ret, bool *ret_owed)
{
    const char *dir = dev->settings.dir;
    dev_autoinstalled current = {0}, previous = {0};
    dev_tidy_try(dev);
    int r = dev_salvage_read(dir, &current);
    if (r < 0)
        return r;
    if (!current.leaf && !current.damage[0])
        return pc_refuse("not-installed", "%s: no certificate is installed", dir);
    const char *before = current.previous;
    if (current.record.rolled_back && before[0] && !current.damage[0]) {
        *ret_owed = !current.record.reloaded;
        return dev_install_describe(&current, true, ret);
    }
    r = before[0] ? dev_installed_load(dir, before, &previous) : 0;
    if (r < 0)
        return r;
    if (!previous.leaf)
        return pc_refuse("rollback-none", "%s: no certificate is kept from before generation %s", dir,
                         current.name);
    r = check_set(dev, &current, &previous);
    if (r == 0)
        r = go_back(dev, &current, &previous);
    *ret_owed = dev_reload_wanted(dev);
    return r < 0 ? r : dev_install_describe(&previous, false, ret);
}

int dev_rollback(struct dev *dev, struct dev_install_report *ret)
{
    bool owed = false;
    if (!pc_file_exists(dev->settings.dir))
        return pc_refuse("not-installed", "%s: does not exist", dev->settings.dir);
    int r = dev_begin(dev, false);
    if (r < 0)
        return r;
    r = rollback(dev, ret, &owed);
    dev_end(dev);
    if (r < 0 || !owed)
        return r;
    dev_reload_after(dev, ret);
    return 0;
}
