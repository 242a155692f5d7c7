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
};
static_assert(sizeof state_names / sizeof state_names[0] == DEV_STATES, "a name for each state");

const char *dev_state_name(enum dev_state state)
{
    return state_names[state];
}

static const char *const advice[] = {
    [DEV_NONE] = "Ask for a certificate: plantcert request.",
    [DEV_KEY_PENDING] = "Ask for a certificate with the pending key: plantcert request.",
    [DEV_REQUESTED] =
        "Have the request signed (plantca sign), then install the certificate: plantcert install.",
    [DEV_INSTALLED] = "",
    [DEV_DUE] =
        "Renew: plantcert renew (the same key) or rekey (a new one), plantca sign, plantcert install.",
    [DEV_EXPIRED] =
        "Renew: plantcert renew (the same key) or rekey (a new one), plantca sign, plantcert install.",
    [DEV_REKEY_PENDING] = "Have the new key certified: plantca sign --replace, then plantcert install.",
    [DEV_SWITCHED] =
        "Prove the new set (plantcert confirm --mqtt HOST:PORT), or go back: plantcert rollback.",
    [DEV_ROLLED_BACK] =
        "Install the newer certificate again, or a better one; or keep this one: plantcert confirm.",
    [DEV_CONFIRMED] = "",
};
static_assert(sizeof advice / sizeof advice[0] == DEV_STATES, "advice for each state");

const char *dev_state_advice(enum dev_state state)
{
    return advice[state];
}

static enum dev_state state_of(const struct dev_status *status, bool pending, enum dev_step step)
{
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

const char *dev_status_next(const struct dev_status *status)
{
    bool lost = status->installed &&
                (strcmp(status->key_name, "key-absent") == 0 || strcmp(status->key_name, "key-name") == 0);
    if (lost && status->state != DEV_REKEY_PENDING)
        return "Start afresh: plantcert request, plantca sign --replace, plantcert install.";
    bool plain = status->installed && !status->current.present && !status->key_closed;
    if (plain && (status->due || status->expired) && status->state != DEV_REKEY_PENDING)
        return "Have a key made in the TPM and certified: plantcert rekey, plantca sign, plantcert install.";
    if (status->state == DEV_CONFIRMED && status->legacy && !plain)
        return "Destroy the old device.key: plantcert forget --legacy.";
    return dev_state_advice(status->state);
}

static int describe_installed(const struct dev *dev, const struct dev_installed *installed,
                              struct dev_status *ret)
{
    const struct dev_record *record = &installed->record;
    struct dev_leaf leaf;
    int r = dev_leaf_describe(installed->leaf, &leaf);
    if (r == 0 && installed->key)
        r = dev_key_describe(installed->key, &ret->current);
    if (r < 0)
        return r;
    ret->installed = true;
    ret->confirmed = record->confirmed;
    ret->rolled_back = record->rolled_back && record->replaces[0];
    ret->key_closed = installed->set.closed;
    memcpy(ret->cn, leaf.cn, sizeof ret->cn);
    memcpy(ret->serial, leaf.serial, sizeof ret->serial);
    memcpy(ret->certificate_sha256, leaf.sha256, sizeof ret->certificate_sha256);
    snprintf(ret->generation, sizeof ret->generation, "%s", installed->name);
    snprintf(ret->previous, sizeof ret->previous, "%s", record->replaces);
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
    *ret_there = closed || other;
    return other ? dev_key_describe(pending->key, &ret->pending) : 0;
}

static void probe(struct dev *dev, const struct tpm_key *key, struct dev_status *ret)
{
    struct tpm *tpm;
    int r = dev_tpm(dev, &tpm);
    if (r == 0)
        r = tpm_key_probe(tpm, key);
    if (ret->installed)
        r = dev_key_lost(r);
    ret->key_checked = true;
    ret->key_error = r;
    ret->key_name = r < 0 ? pc_error_name() : "";
    snprintf(ret->key_text, sizeof ret->key_text, "%s", r < 0 ? pc_error_text() : "");
    dev_end(dev);
}

int dev_status(struct dev *dev, bool offline, struct dev_status *ret)
{
    const char *dir = dev->settings.dir;
    struct dev_status status = {.state = DEV_NONE, .key_name = "", .legacy = dev_legacy_key(dir)};
    dev_autoinstalled installed = {0};
    dev_autopending pending = {0};
    bool waiting = false;
    int r = dev_installed_read(dir, &installed);
    if (r == 0 && installed.leaf)
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
    const struct tpm_key *key = installed.leaf ? installed.key : pending.key;
    if (key && !offline)
        probe(dev, key, &status);
    status.next = dev_status_next(&status);
    *ret = status;
    return 0;
}
