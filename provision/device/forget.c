/* Removing what this program made. Handles go by the Names that are written down, files by the folders that
 * are ours. */
#include <stdlib.h>
#include <unistd.h>

#include "provision/device/clock.h"
#include "provision/device/legacy.h"
#include "provision/device/salvage.h"
#include "provision/device/tidy.h"
#include "src/base/error.h"
#include "src/base/file.h"

/* Opens the TPM if any record names a handle: without it, nothing goes. */
static int reach_tpm(struct dev *dev)
{
    pc_autofree char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t found = 0;
    dev_autopending pending = {0};
    struct tpm *tpm;
    int r = dev_generation_list(dev->settings.dir, &names, &found);
    if (r == 0)
        r = dev_pending_load(dev->settings.dir, &pending);
    bool needed = pending.handle != 0;
    for (size_t i = 0; r == 0 && !needed && i < found; i++) {
        struct tpm_key *PC_CLEANUP(tpm_key_free_ref) key = NULL;
        needed = dev_generation_key(dev->settings.dir, names[i], &key) == 0 && key && tpm_key_handle(key);
    }
    return r < 0 || !needed ? r : dev_tpm(dev, &tpm);
}

/* From here on no client finds the set, but what was there before us, and the generations are records of keys
 * to evict. */
static int unlink_set(const char *dir, struct dev_forget_report *count)
{
    char current[DEV_GENERATION_TEXT], target[DEV_LINK_MAX];
    int r = dev_legacy_give_back(dir);
    if (r == 0)
        r = dev_generation_current(dir, current);
    if (r < 0)
        return r;
    snprintf(target, sizeof target, "generations/%s", current);
    r = dev_folder_unlink(dir, &count->files);
    return r < 0 ? r : dev_link_remove(dir, "current", target, &count->files);
}

static int drop_generations(struct dev *dev, struct dev_forget_report *count)
{
    pc_autofree char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t found = 0;
    int r = dev_generation_list(dev->settings.dir, &names, &found);
    for (size_t i = 0; r == 0 && i < found; i++)
        r = dev_generation_drop(dev, names[i], count);
    if (r < 0)
        return r;
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/generations", dev->settings.dir);
    rmdir(path); /* something else in it is not ours, and stays */
    return pc_dir_sync(dev->settings.dir);
}

/* What is to go was never current: a cut must not leave what a check would make current again. */
static int unnote(const char *dir)
{
    pc_autofree char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t found = 0;
    int r = dev_generation_list(dir, &names, &found);
    for (size_t i = 0; r == 0 && i < found; i++) {
        struct dev_record record;
        if (dev_generation_record(dir, names[i], &record) < 0 || !record.switched)
            continue;
        record.switched = false;
        r = dev_generation_record_write(dir, names[i], &record);
    }
    return r;
}

/* A rekey given up: the pending key alone. */
static int drop_pending(struct dev *dev, const char *current, struct dev_forget_report *count)
{
    dev_autopending pending = {0};
    int r = dev_tidy(dev);
    if (r == 0)
        r = dev_pending_load(dev->settings.dir, &pending);
    if (r == 0 && !pending.present)
        return pc_refuse("key-in-use", "%s: generation %s is installed; --force removes it and its key",
                         dev->settings.dir, current);
    return r < 0 ? r : dev_pending_drop(dev, count);
}

static int drop_all(struct dev *dev, struct dev_forget_report *count)
{
    int r = reach_tpm(dev);
    if (r == 0)
        r = unnote(dev->settings.dir);
    if (r == 0)
        r = unlink_set(dev->settings.dir, count);
    if (r == 0)
        r = drop_generations(dev, count);
    if (r == 0)
        r = dev_clock_forget(dev->settings.dir, &count->files);
    return r < 0 ? r : dev_pending_drop(dev, count);
}

int dev_forget(struct dev *dev, bool force, struct dev_forget_report *ret)
{
    const char *dir = dev->settings.dir;
    struct dev_forget_report count = {0};
    char current[DEV_GENERATION_TEXT] = "";
    if (!pc_file_exists(dir)) {
        *ret = count;
        return 0;
    }
    int r = dev_begin(dev, false);
    if (r < 0)
        return r;
    struct dev *PC_CLEANUP(dev_end_ref) busy = dev;
    r = force ? 0 : dev_current_restore(dir);
    if (dev_refused_as(r, "state-damaged"))
        return pc_refuse("key-in-use", "%s; --force removes all that stands there", pc_error_text());
    if (r == 0)
        r = dev_generation_current(dir, current);
    if (r == 0)
        r = current[0] && !force ? drop_pending(busy, current, &count) : drop_all(busy, &count);
    if (r == 0)
        *ret = count;
    return r;
}
