/* The check at boot: what a cut left is brought to an end, what is installed is verified, and the whole ends
 * within 30 s whatever the TPM does. What a command shows of it is status.c's. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "provision/device/clock.h"
#include "provision/device/legacy.h"
#include "provision/device/reload.h"
#include "provision/device/salvage.h"
#include "provision/device/status.h"
#include "provision/device/tidy.h"
#include "provision/device/verify.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/time.h"

/* Besides the lock (DEV_LOCK_WAIT, twice) and the closing of a TPM that hangs (1 s). */
#define TPM_MS 18000
#define WHOLE_S 27

static int64_t seconds_up(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec;
}

/* An error that waits while others may come. */
struct fault {
    int code;
    const char *name;
    char text[512];
};

static struct fault keep_fault(int code)
{
    struct fault fault = {.code = code, .name = code < 0 ? pc_error_name() : ""};
    snprintf(fault.text, sizeof fault.text, "%s", code < 0 ? pc_error_text() : "");
    return fault;
}

static int return_fault(const struct fault *fault)
{
    return fault->code < 0 ? pc_fail_named(fault->code, fault->name, "%s", fault->text) : 0;
}

/* What one check has found. */
struct check {
    struct dev_installed installed;
    struct dev_readers readers;
    bool key_checked;
    struct fault key;
    int64_t proven; /* what the installed set proves of the time; 0 until it is verified */
};

static void check_clear(struct check *check)
{
    dev_installed_clear(&check->installed);
}

/* What is no fault of the set's is said, and does not stop the rest. */
static void say(int r, const char *what)
{
    if (r < 0)
        pc_log(PC_LOG_WARNING, "%s: %s", what, pc_error_text());
}

/* Names that clients open: a takeover or a first install that a cut stopped half-way is finished. */
static int finish_names(const char *dir, const struct dev_installed *installed)
{
    unsigned plain = 0;
    int r = dev_folder_check(dir, &plain);
    if (r < 0)
        return r;
    if (plain && !installed->record.legacy)
        return pc_refuse("dir-legacy",
                         "%s: plain files hide the links into current/, so that clients do not see what is "
                         "installed; remove them",
                         dir);
    if (plain) {
        dev_autoinstalled visible = {0};
        char name[DEV_GENERATION_TEXT];
        r = dev_legacy_read(dir, &visible);
        return r < 0 ? r : dev_legacy_take(dir, &visible, name);
    }
    return dev_folder_link(dir);
}

/* By the Name alone: no signature, and no session. */
static int probe(struct dev *dev, struct check *check)
{
    struct tpm *tpm;
    int r = dev_tpm(dev, &tpm);
    if (r == 0)
        r = dev_key_lost(tpm_key_probe(tpm, check->installed.key));
    check->key_checked = true;
    check->key = keep_fault(r);
    return r;
}

static int verify(struct dev *dev, struct check *check)
{
    const struct dev_installed *installed = &check->installed;
    struct dev_clock clock;
    struct dev_leaf leaf;
    int r = dev_verify_clock(dev, installed, NULL, &clock);
    if (r == 0)
        r = dev_verify_set(dev, installed, clock.at);
    if (r < 0 || installed->record.legacy)
        return r;
    r = dev_leaf_describe(installed->leaf, &leaf);
    if (r < 0)
        return r;
    check->proven = leaf.not_before;
    if (!dev_generation_readable(dev->settings.dir, installed->name, &check->readers))
        return pc_refuse("files-mode",
                         "%s/generations/%s/" DEV_KEY ": clients may not read it as they should",
                         dev->settings.dir, installed->name);
    return probe(dev, check);
}

static int check_installed(struct dev *dev, struct check *check)
{
    const char *dir = dev->settings.dir, *name = check->installed.name;
    int names = finish_names(dir, &check->installed);
    if (names < 0)
        return names;
    if (!check->installed.record.legacy)
        say(dev_generation_restore(dir, name, &check->readers), "modes");
    int r = verify(dev, check);
    if (check->proven)
        say(dev_clock_raise(dir, check->proven), "the floor of the clock");
    return r;
}

/* The locked part. `ret_name`: the generation whose clients have still to be told, or "". */
static int check_all(struct dev *dev, struct check *check, char ret_name[DEV_GENERATION_TEXT])
{
    const char *dir = dev->settings.dir;
    char current[DEV_GENERATION_TEXT];
    ret_name[0] = '\0';
    say(dev_current_restore(dir), "repair");
    int r = dev_generation_current(dir, current);
    if (r == 0)
        r = dev_folder_owner(dir, current);
    if (r == 0)
        r = dev_readers(dev, &check->readers);
    if (r == 0)
        r = dev_salvage_read(dir, &check->installed);
    if (r < 0)
        return r;
    const struct dev_installed *installed = &check->installed;
    r = installed->damage[0] ? pc_refuse("state-damaged", "%s", installed->damage)
        : installed->leaf    ? check_installed(dev, check)
                             : 0;
    const struct fault found = keep_fault(r);
    /* Last, since it may need the TPM too, whose time the key comes first in. */
    if (found.code != PC_EUNREACH && found.code != PC_EAUTH)
        dev_tidy_try(dev);
    if (found.code == 0 && installed->leaf && !installed->record.reloaded)
        memcpy(ret_name, installed->name, DEV_GENERATION_TEXT);
    return return_fault(&found);
}

static int locked(struct dev *dev, struct check *check, char ret_name[DEV_GENERATION_TEXT])
{
    int r = dev_begin(dev, false);
    if (r < 0)
        return r;
    struct dev *PC_CLEANUP(dev_end_ref) busy = dev;
    return check_all(busy, check, ret_name);
}

static int describe(struct dev *dev, const struct check *check, struct dev_status *ret)
{
    int r = dev_status(dev, true, ret);
    if (r < 0)
        return r;
    ret->key_checked = check->key_checked;
    ret->key_error = check->key.code;
    ret->key_name = check->key_checked ? check->key.name : "";
    snprintf(ret->key_text, sizeof ret->key_text, "%s", check->key.text);
    dev_status_advise(ret);
    return 0;
}

/* With what is left of the 30 s. */
static int tell(struct dev *dev, const char *generation, int64_t begun)
{
    int64_t left = begun + WHOLE_S - seconds_up();
    return dev_reload_run(dev, generation, left > 1 ? (unsigned)left : 1);
}

int dev_check(struct dev *dev, struct dev_status *ret)
{
    struct check PC_CLEANUP(check_clear) check = {0};
    char owed[DEV_GENERATION_TEXT] = "";
    int64_t begun = seconds_up();
    const struct tpm_place place = dev->settings.tpm;
    dev->settings.tpm.total_ms = TPM_MS;
    const struct fault found = keep_fault(pc_file_exists(dev->settings.dir) ? locked(dev, &check, owed) : 0);
    dev->settings.tpm = place;
    int r = describe(dev, &check, ret);
    if (found.code < 0)
        return return_fault(&found);
    if (r < 0)
        return r;
    if (!ret->installed)
        return pc_fail_named(PC_EPENDING, "not-installed", "%s: no certificate is installed yet%s",
                             dev->settings.dir, ret->plain ? ": " DEV_PLAIN_FILES : "");
    if (!owed[0])
        return 0;
    r = tell(dev, owed, begun);
    if (r == 0 && !dev->settings.defer_reload) {
        ret->reload_owed = false;
        dev_status_advise(ret);
    }
    return r;
}
