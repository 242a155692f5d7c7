/* What is installed, what is pending, and whether the TPM still has the key. Changes nothing and takes no
 * lock: each generation is pinned. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "provision/device/check.h"
#include "provision/device/installed.h"
#include "provision/device/keygen.h"
#include "provision/device/legacy.h"
#include "provision/device/reload.h"
#include "provision/device/salvage.h"
#include "provision/device/status.h"
#include "src/base/error.h"
#include "src/pki/chain.h"

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
    [DEV_DAMAGED] = "damaged",
};
static_assert(sizeof state_names / sizeof state_names[0] == DEV_STATES, "a name for each state");

const char *dev_state_name(enum dev_state state)
{
    return state_names[state];
}

static enum dev_state state_of(const struct dev_status *status, bool pending, enum dev_step step)
{
    if (status->damage[0])
        return DEV_DAMAGED;
    if (!status->installed)
        return !pending ? DEV_NONE : step == DEV_STEP_REQUESTED ? DEV_REQUESTED : DEV_KEY_PENDING;
    const struct {
        bool holds;
        enum dev_state state;
    } order[] = {
        {pending, DEV_REKEY_PENDING},
        {status->expired, DEV_EXPIRED},
        {status->due, DEV_DUE},
        {status->rolled_back, DEV_ROLLED_BACK},
        {status->confirmed, DEV_CONFIRMED},
        {status->previous[0] != '\0', DEV_SWITCHED},
    };
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (order[i].holds)
            return order[i].state;
    return DEV_INSTALLED;
}

static int describe_installed(const struct dev *dev, const struct dev_installed *installed,
                              struct dev_status *ret)
{
    const struct dev_record *record = &installed->record;
    struct dev_leaf leaf;
    ret->confirmed = record->confirmed;
    ret->rolled_back = record->rolled_back && record->replaces[0];
    ret->plain = record->legacy;
    ret->reload_owed = !record->reloaded && dev_reload_wanted(dev);
    ret->key_closed = installed->set.closed;
    memcpy(ret->damage, installed->damage, sizeof ret->damage);
    snprintf(ret->generation, sizeof ret->generation, "%s", installed->name);
    snprintf(ret->previous, sizeof ret->previous, "%s", installed->previous);
    int r = installed->key ? dev_key_describe(installed->key, &ret->current) : 0;
    if (r < 0 || !installed->leaf)
        return r;
    r = dev_leaf_describe(installed->leaf, &leaf);
    if (r < 0)
        return r;
    ret->installed = true;
    ret->plant_differs =
        dev->settings.plant && *dev->settings.plant && strcmp(dev->settings.plant, leaf.cn) != 0;
    memcpy(ret->cn, leaf.cn, sizeof ret->cn);
    memcpy(ret->serial, leaf.serial, sizeof ret->serial);
    memcpy(ret->certificate_sha256, leaf.sha256, sizeof ret->certificate_sha256);
    ret->not_before = leaf.not_before;
    ret->not_after = leaf.not_after;
    ret->renew_at = leaf.not_after - dev->settings.renew_before;
    return 0;
}

/* By the clock where it can be believed, and never before the certificate was made. */
static int describe_time(const char *dir, const struct dev_installed *installed, struct dev_status *ret)
{
    STACK_OF(X509) *anchors = NULL;
    if (installed->set.ca.data &&
        pki_chain_parse(installed->set.ca.data, installed->set.ca.len, &anchors) < 0)
        anchors = NULL; /* what is wrong with it is the check's to say */
    int r = dev_clock_read(dir, dev_check_anchors_end(anchors), &ret->clock);
    pki_chain_free(anchors);
    if (r < 0 || !ret->installed)
        return r;
    int64_t at = ret->clock.at > ret->not_before ? ret->clock.at : ret->not_before;
    ret->expired = at > ret->not_after;
    ret->due = at >= ret->renew_at;
    return 0;
}

/* The installed key in pending/ is what a cut after the switch left there. `*ret_there`: another key, or one
 * that this user may not see. */
static int describe_pending(const char *dir, const struct dev_installed *installed,
                            const struct dev_pending *pending, struct dev_status *ret, bool *ret_there)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/pending", dir);
    bool closed = pending->present && access(path, R_OK | X_OK) != 0 && errno == EACCES;
    bool other = pending->key && !(installed->key &&
                                   tpm_name_equal(tpm_key_name(pending->key), tpm_key_name(installed->key)));
    ret->key_closed = ret->key_closed || closed;
    ret->adopted = pending->adopted;
    *ret_there = closed || other;
    return other ? dev_key_describe(pending->key, &ret->pending) : 0;
}

/* Plain files of before, where nothing of ours is installed. */
static bool plain_files(const char *dir)
{
    unsigned plain = 0;
    return dev_legacy_key(dir) || (dev_folder_check(dir, &plain) == 0 && plain > 0);
}

static int ask(struct dev *dev, const struct tpm_key *key)
{
    struct tpm *tpm;
    int r = dev_tpm(dev, &tpm);
    return r < 0 ? r : tpm_key_probe(tpm, key);
}

static enum dev_key_found found(int r)
{
    return r == 0 ? DEV_KEY_THERE : dev_key_gone(r) ? DEV_KEY_GONE : DEV_KEY_UNASKED;
}

/* The key in use, else the pending one. */
static void probe(struct dev *dev, const struct tpm_key *key, struct dev_status *ret)
{
    int r = ask(dev, key);
    if (ret->installed)
        r = dev_key_lost(r);
    ret->key_checked = true;
    ret->key_error = r;
    ret->key_name = r < 0 ? pc_error_name() : "";
    snprintf(ret->key_text, sizeof ret->key_text, "%s", r < 0 ? pc_error_text() : "");
}

/* Whether one could go back. A previous set that cannot be read is not known. */
static enum dev_key_found find_previous(struct dev *dev, bool offline, const struct dev_status *status)
{
    const char *dir = dev->settings.dir;
    dev_autoinstalled previous = {0};
    if (!status->previous[0] || dev_installed_load(dir, status->previous, &previous) < 0)
        return DEV_KEY_UNASKED;
    if (previous.record.legacy)
        return dev_legacy_whole(dir, status->previous) ? DEV_KEY_THERE : DEV_KEY_GONE;
    return offline || !previous.key ? DEV_KEY_UNASKED : found(ask(dev, previous.key));
}

/* All that the TPM has to say. One that does not answer is not asked again. */
static void describe_keys(struct dev *dev, bool offline, const struct dev_installed *installed,
                          const struct dev_pending *pending, struct dev_status *ret)
{
    const struct tpm_key *key = installed->leaf || installed->damage[0] ? installed->key : pending->key;
    if (key && !offline)
        probe(dev, key, ret);
    bool silent = offline || ret->key_error == PC_EUNREACH || ret->key_error == PC_EAUTH;
    if (!silent && installed->leaf && ret->pending.present)
        ret->pending_key = found(ask(dev, pending->key));
    ret->previous_key = find_previous(dev, silent, ret);
    dev_end(dev);
}

int dev_status(struct dev *dev, bool offline, struct dev_status *ret)
{
    const char *dir = dev->settings.dir;
    struct dev_status status = {.state = DEV_NONE,
                                .key_name = "",
                                .legacy = dev_legacy_key(dir),
                                .station = dev->settings.station,
                                .read = true};
    dev_autoinstalled installed = {0};
    dev_autopending pending = {0};
    bool waiting = false;
    int r = dev_salvage_read(dir, &installed);
    if (r == 0 && (installed.leaf || installed.damage[0]))
        r = describe_installed(dev, &installed, &status);
    if (r == 0)
        r = describe_time(dir, &installed, &status);
    if (r == 0)
        r = dev_pending_load(dir, &pending);
    if (r == 0)
        r = describe_pending(dir, &installed, &pending, &status, &waiting);
    if (r < 0)
        return r;
    status.state = state_of(&status, waiting, pending.step);
    if (!installed.leaf)
        status.plain = plain_files(dir);
    describe_keys(dev, offline, &installed, &pending, &status);
    dev_status_advise(&status);
    *ret = status;
    return 0;
}
