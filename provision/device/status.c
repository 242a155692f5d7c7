/* What is installed, what is pending, and whether the TPM still has the key. Changes nothing and takes no
 * lock: each generation is pinned. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "provision/device/installed.h"
#include "provision/device/keygen.h"
#include "src/base/error.h"
#include "src/base/time.h"

static const char *const state_names[] = {
    [DEV_NONE] = "none",
    [DEV_KEY_PENDING] = "key_pending",
    [DEV_REQUESTED] = "requested",
    [DEV_INSTALLED] = "installed",
    [DEV_DUE] = "due",
    [DEV_EXPIRED] = "expired",
    [DEV_REKEY_PENDING] = "rekey_pending",
    [DEV_SWITCHED] = "switched",
    [DEV_ROLLED_BACK] = "rolled_back",
    [DEV_CONFIRMED] = "confirmed",
};
static_assert(sizeof state_names / sizeof state_names[0] == DEV_STATES, "a name for each state");

const char *dev_state_name(enum dev_state state)
{
    return state_names[state];
}

static enum dev_state state_of(const struct dev_status *status, enum dev_step step)
{
    int64_t now = pc_now();
    if (!status->installed)
        return !status->pending.present     ? DEV_NONE
               : step == DEV_STEP_REQUESTED ? DEV_REQUESTED
                                            : DEV_KEY_PENDING;
    if (status->pending.present)
        return DEV_REKEY_PENDING;
    if (now > status->not_after)
        return DEV_EXPIRED;
    return now >= status->renew_at ? DEV_DUE : DEV_INSTALLED;
}

static int describe_installed(const struct dev *dev, const struct dev_installed *installed,
                              struct dev_status *ret)
{
    struct dev_leaf leaf;
    int r = dev_leaf_describe(installed->leaf, &leaf);
    if (r == 0 && installed->key)
        r = dev_key_describe(installed->key, &ret->current);
    if (r < 0)
        return r;
    ret->installed = true;
    memcpy(ret->cn, leaf.cn, sizeof ret->cn);
    memcpy(ret->serial, leaf.serial, sizeof ret->serial);
    memcpy(ret->certificate_sha256, leaf.sha256, sizeof ret->certificate_sha256);
    snprintf(ret->generation, sizeof ret->generation, "%s", installed->name);
    snprintf(ret->previous, sizeof ret->previous, "%s", installed->previous);
    ret->not_before = leaf.not_before;
    ret->not_after = leaf.not_after;
    ret->renew_at = leaf.not_after - dev->settings.renew_before;
    return 0;
}

static void probe(struct dev *dev, const struct tpm_key *key, struct dev_status *ret)
{
    struct tpm *tpm;
    int r = dev_tpm(dev, &tpm);
    if (r == 0)
        r = tpm_key_probe(tpm, key);
    ret->key_checked = true;
    ret->key_error = r;
    ret->key_name = r < 0 ? pc_error_name() : "";
    snprintf(ret->key_text, sizeof ret->key_text, "%s", r < 0 ? pc_error_text() : "");
    dev_end(dev);
}

int dev_status(struct dev *dev, bool offline, struct dev_status *ret)
{
    const char *dir = dev->settings.dir;
    struct dev_status status = {.state = DEV_NONE};
    dev_autoinstalled installed = {0};
    dev_autopending pending = {0};
    int r = dev_installed_read(dir, &installed);
    if (r == 0 && installed.leaf)
        r = describe_installed(dev, &installed, &status);
    if (r == 0)
        r = dev_pending_load(dir, &pending);
    if (r < 0)
        return r;
    /* The installed key in pending/ is what a cut after the switch left there. */
    if (pending.key &&
        !(installed.key && tpm_name_equal(tpm_key_name(pending.key), tpm_key_name(installed.key))))
        r = dev_key_describe(pending.key, &status.pending);
    if (r < 0)
        return r;
    status.state = state_of(&status, pending.step);
    const struct tpm_key *key = installed.key ? installed.key : pending.key;
    if (key && !offline)
        probe(dev, key, &status);
    *ret = status;
    return 0;
}
