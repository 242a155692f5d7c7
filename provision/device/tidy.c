/* Which generations and keys are kept, and how the others go: the key first, by its Name, then the record
 * that names it. */
#include "provision/device/tidy.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "provision/device/clock.h"
#include "provision/device/legacy.h"
#include "provision/device/salvage.h"
#include "provision/tpm/keyfile.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/pki/openssl.h"

#define KEEP_MAX 16

/* Keys that must stay: of the current, the previous and the pending one. By Name, or, where a key file is
 * damaged, by the public half that the certificate beside it has. */
struct keep {
    struct tpm_name names[KEEP_MAX];
    size_t count;
    EVP_PKEY *publics[KEEP_MAX];
    size_t public_count;
};

static void keep_clear(struct keep *keep)
{
    for (size_t i = 0; i < keep->public_count; i++)
        EVP_PKEY_free(keep->publics[i]);
}
#define autokeep PC_CLEANUP(keep_clear) struct keep

int dev_generation_key(const char *dir, const char *name, struct tpm_key **ret)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/generations/%s/" DEV_KEY, dir, name);
    *ret = NULL;
    if (!pc_file_exists(path))
        return 0;
    pc_autobytes pem = {0};
    int r = pc_file_read(path, TPM_KEYFILE_MAX, &pem);
    if (r == 0)
        r = tpm_keyfile_parse(pem.data, pem.len, ret);
    return r < 0 ? pc_fail_in("%s", path) : 0;
}

static bool kept(const struct keep *keep, const struct tpm_name *name)
{
    for (size_t i = 0; i < keep->count; i++)
        if (tpm_name_equal(&keep->names[i], name))
            return true;
    return false;
}

static int keep_name(struct keep *keep, const struct tpm_name *name)
{
    if (keep->count == KEEP_MAX)
        return pc_fail(PC_EFAIL, "too many generations stand");
    keep->names[keep->count++] = *name;
    return 0;
}

/* Where neither says which key it is, no key is safe to evict. */
static int keep_certificate(const char *dir, const char *name, struct keep *keep)
{
    dev_autoinstalled installed = {0};
    int r = dev_salvage_load(dir, name, &installed);
    if (r < 0 || installed.record.legacy)
        return r;
    EVP_PKEY *public = installed.leaf ? X509_get_pubkey(installed.leaf) : NULL;
    if (!public)
        return pc_refuse("state-damaged", "%s; nor does a certificate there say which key in the TPM is its",
                         installed.damage);
    if (keep->public_count == KEEP_MAX) {
        EVP_PKEY_free(public);
        return pc_fail(PC_EFAIL, "too many generations stand");
    }
    keep->publics[keep->public_count++] = public;
    return 0;
}

static int keep_generation(const char *dir, const char *name, struct keep *keep)
{
    struct tpm_key *PC_CLEANUP(tpm_key_free_ref) key = NULL;
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/generations/%s", dir, name);
    if (!*name || !pc_file_exists(path))
        return 0;
    int r = dev_generation_key(dir, name, &key);
    return r == 0 && key ? keep_name(keep, tpm_key_name(key)) : keep_certificate(dir, name, keep);
}

/* Nothing is current: what was before the link was lost stays, but not what is on its way out itself. */
static int keep_lost(const char *dir, const char *except, struct keep *keep)
{
    pc_autofree char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t count;
    int r = dev_generation_list(dir, &names, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct dev_record record;
        if (strcmp(names[i], except) != 0 && dev_generation_record(dir, names[i], &record) == 0 &&
            record.switched)
            r = keep_generation(dir, names[i], keep);
    }
    return r;
}

/* `except`: a generation that is to go, or "". */
static int keep_installed(const char *dir, const char *except, struct keep *keep)
{
    char current[DEV_GENERATION_TEXT], previous[DEV_GENERATION_TEXT];
    int r = dev_salvage_kept(dir, current, previous);
    if (r == 0 && !current[0])
        return keep_lost(dir, except, keep);
    if (r == 0)
        r = keep_generation(dir, current, keep);
    return r < 0 ? r : keep_generation(dir, previous, keep);
}

static int keep_pending(const char *dir, struct keep *keep)
{
    dev_autopending pending = {0};
    int r = dev_pending_load(dir, &pending);
    if (r == 0 && pending.name.len)
        r = keep_name(keep, &pending.name);
    return r;
}

/* Evicts what persists at `handle` if its Name is `name`; something else there is left alone. */
static int evict(struct dev *dev, uint32_t handle, const struct tpm_name *name, unsigned *count)
{
    struct tpm *tpm;
    struct tpm_name found;
    int r = dev_tpm(dev, &tpm);
    if (r == 0)
        r = tpm_handle_name(tpm, handle, &found);
    if (dev_refused_as(r, "handle-free"))
        return 0;
    if (r < 0)
        return r;
    if (!tpm_name_equal(&found, name)) {
        pc_log(PC_LOG_NOTICE, "handle 0x%08x holds another key than ours: left alone", handle);
        return 0;
    }
    r = tpm_handle_evict(tpm, handle, name);
    if (r == 0)
        *count += 1;
    return r;
}

/* Whether what persists there is a kept key whose Name is not known. */
static int kept_public(struct dev *dev, uint32_t handle, const struct keep *keep, bool *ret)
{
    struct tpm_key *PC_CLEANUP(tpm_key_free_ref) key = NULL;
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) public = NULL;
    struct tpm *tpm;
    *ret = false;
    if (keep->public_count == 0)
        return 0;
    int r = dev_tpm(dev, &tpm);
    if (r == 0)
        r = tpm_handle_key(tpm, handle, &key);
    if (r == PC_EREFUSED)
        return 0;
    if (r == 0)
        r = tpm_key_public(key, &public);
    for (size_t i = 0; r == 0 && i < keep->public_count; i++)
        *ret = *ret || EVP_PKEY_eq(public, keep->publics[i]) == 1;
    return r;
}

static int drop_key(struct dev *dev, uint32_t handle, const struct tpm_name *name, const struct keep *keep,
                    unsigned *count)
{
    bool stays;
    if (handle == 0 || name->len == 0 || kept(keep, name))
        return 0;
    int r = kept_public(dev, handle, keep, &stays);
    return r < 0 || stays ? r : evict(dev, handle, name, count);
}

int dev_pending_drop(struct dev *dev, struct dev_forget_report *count)
{
    dev_autopending pending = {0};
    autokeep keep = {.count = 0};
    int r = dev_pending_load(dev->settings.dir, &pending);
    if (r < 0 || !pending.present)
        return r;
    r = keep_installed(dev->settings.dir, "", &keep);
    if (r == 0)
        r = drop_key(dev, pending.handle, &pending.name, &keep, &count->handles);
    return r < 0 ? r : dev_pending_remove(dev->settings.dir, &count->files);
}

/* By the key file, or, of a set that was whole once, by its certificate. */
static int find_key(struct dev *dev, const char *name, struct tpm_key **ret)
{
    dev_autoinstalled lost = {0};
    int r = dev_generation_key(dev->settings.dir, name, ret);
    if (r == 0 && *ret)
        return 0;
    r = dev_salvage_load(dev->settings.dir, name, &lost);
    if (r == 0 && lost.record.switched && lost.leaf)
        r = dev_salvage_key(dev, lost.leaf, &lost);
    *ret = r == 0 ? pc_steal(lost.key) : NULL;
    if (r == 0 && !*ret && lost.record.switched && !lost.record.legacy)
        pc_log(PC_LOG_WARNING, "%s: the TPM's key, if there is one, is not known and stays", lost.damage);
    return r;
}

int dev_generation_drop(struct dev *dev, const char *name, struct dev_forget_report *count)
{
    autokeep keep = {.count = 0};
    struct tpm_key *PC_CLEANUP(tpm_key_free_ref) key = NULL;
    int r = keep_installed(dev->settings.dir, name, &keep);
    if (r == 0)
        r = keep_pending(dev->settings.dir, &keep);
    if (r < 0)
        return r;
    r = find_key(dev, name, &key);
    if (r == 0 && key)
        r = drop_key(dev, tpm_key_handle(key), tpm_key_name(key), &keep, &count->handles);
    return r < 0 ? r : dev_generation_remove(dev->settings.dir, name, &count->files);
}

/* What a cut left of durable writes: among it, perhaps, a wrapped key that has been persistent since. */
static int sweep(const char *dir)
{
    char path[DEV_PATH_MAX];
    int r = dev_folder_sweep_of(dir, DEV_CLOCK);
    dev_path(path, "%s/pending", dir);
    if (r == 0)
        r = dev_folder_sweep(path);
    if (r == 0 && rmdir(path) == 0) /* only when nothing is in it */
        r = pc_dir_sync(dir);
    return r;
}

/* Of a generation that stays: its record may have been rewritten. */
static int sweep_generation(const char *dir, const char *name)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/generations/%s", dir, name);
    return dev_folder_sweep(path);
}

/* The set was switched, and then the power went before pending/ was removed. */
static int settle_pending(struct dev *dev, const char *current)
{
    dev_autopending pending = {0};
    autokeep keep = {.count = 0};
    int r = dev_pending_load(dev->settings.dir, &pending);
    if (r == 0 && pending.present)
        r = keep_generation(dev->settings.dir, current, &keep);
    if (r < 0 || pending.name.len == 0 || !kept(&keep, &pending.name))
        return r;
    return dev_pending_remove(dev->settings.dir, NULL);
}

int dev_tidy(struct dev *dev)
{
    struct dev_forget_report dropped = {0};
    return dev_tidy_count(dev, &dropped);
}

void dev_tidy_try(struct dev *dev)
{
    if (dev_tidy(dev) < 0)
        pc_log(PC_LOG_WARNING, "what was left is cleared away later: %s", pc_error_text());
}

/* Written down once a set is current: a link that is lost can be made anew by it. */
static int note_switched(const char *dir, const char *current)
{
    struct dev_record record;
    int r = dev_generation_record(dir, current, &record);
    if (r < 0 || record.switched)
        return r;
    record.switched = true;
    return dev_generation_record_write(dir, current, &record);
}

static int tidy(struct dev *dev, struct dev_forget_report *dropped)
{
    const char *dir = dev->settings.dir;
    char current[DEV_GENERATION_TEXT], previous[DEV_GENERATION_TEXT];
    int r = dev_current_restore(dir);
    if (r == 0)
        r = dev_generation_kept(dir, current, previous);
    if (r == 0)
        r = sweep(dir);
    if (r == 0 && current[0])
        r = note_switched(dir, current);
    if (r < 0 || current[0] == '\0')
        return r;
    r = settle_pending(dev, current);
    if (r < 0)
        return r;
    pc_autofree char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t count;
    r = dev_generation_list(dir, &names, &count);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = strcmp(names[i], current) == 0 || strcmp(names[i], previous) == 0 ||
                    dev_legacy_whole(dir, names[i])
                ? sweep_generation(dir, names[i])
                : dev_generation_drop(dev, names[i], dropped);
    return r;
}

int dev_tidy_count(struct dev *dev, struct dev_forget_report *dropped)
{
    int r = tidy(dev, dropped);
    if (!dev_refused_as(r, "state-damaged"))
        return r;
    pc_log(PC_LOG_WARNING, "%s", pc_error_text());
    return 0;
}

int dev_previous_yield(struct dev *dev)
{
    const char *dir = dev->settings.dir;
    char current[DEV_GENERATION_TEXT], previous[DEV_GENERATION_TEXT];
    autokeep keep = {.count = 0};
    struct tpm_key *PC_CLEANUP(tpm_key_free_ref) key = NULL;
    int r = dev_salvage_kept(dir, current, previous);
    if (r == 0)
        r = keep_generation(dir, current, &keep);
    if (r == 0)
        r = keep_pending(dir, &keep);
    if (r == 0 && previous[0])
        r = dev_generation_key(dir, previous, &key);
    unsigned freed = 0;
    if (r == 0 && key)
        r = drop_key(dev, tpm_key_handle(key), tpm_key_name(key), &keep, &freed);
    if (r < 0 || freed)
        return r;
    return pc_fail_named(PC_EUNREACH, "tpm-full",
                         "handles 0x%08x to 0x%08x: none is free, and none is ours to give up",
                         dev->settings.handle_first, dev->settings.handle_last);
}
