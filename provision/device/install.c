/* Installing a set: everything is judged before anything changes, then one rename switches. The judging
 * itself is candidate.c's, the folders are generation.c's. */
#include <stdlib.h>
#include <string.h>

#include "provision/device/candidate.h"
#include "provision/device/check.h"
#include "provision/device/clock.h"
#include "provision/device/legacy.h"
#include "provision/device/reload.h"
#include "provision/device/tidy.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/pki/openssl.h"

void dev_install_report_clear(struct dev_install_report *report)
{
    free(report->generation);
    *report = (struct dev_install_report){0};
}

static int prove_key(struct dev *dev, const struct dev_candidate *candidate)
{
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = NULL;
    int r = dev_key_open(dev, &candidate->set.key, &key);
    if (r == 0)
        r = dev_check_signature(key, sk_X509_value(candidate->chain, 0));
    /* The previous set's may have given way to a later one. */
    return candidate->source == &candidate->previous ? r : dev_key_lost(r);
}

static bool same_bytes(const struct pc_bytes *a, const struct pc_bytes *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static bool same_set(const struct dev_set *a, const struct dev_set *b)
{
    return same_bytes(&a->ca, &b->ca) && same_bytes(&a->certificate, &b->certificate) &&
           same_bytes(&a->key, &b->key);
}

static int report(const struct dev_candidate *candidate, const char *generation, bool already,
                  struct dev_install_report *ret)
{
    const struct dev_leaf *leaf = &candidate->leaf;
    struct dev_install_report about = {
        .already = already, .not_before = leaf->not_before, .not_after = leaf->not_after};
    memcpy(about.cn, leaf->cn, sizeof about.cn);
    memcpy(about.serial, leaf->serial, sizeof about.serial);
    memcpy(about.certificate_sha256, leaf->sha256, sizeof about.certificate_sha256);
    about.generation = strdup(generation);
    if (!about.generation)
        return pc_fail(PC_EFAIL, "out of memory");
    *ret = about;
    return 0;
}

/* Without it a set is as good, and a PLC that cannot write it down is no worse off than one in 1970. */
static void raise_floor(const char *dir, const struct dev_candidate *candidate)
{
    if (dev_clock_raise(dir, candidate->proven) < 0)
        pc_log(PC_LOG_WARNING, "the set is installed; the floor of the clock is not raised: %s",
               pc_error_text());
}

/* Plain files of before are made a generation first, then the new set is written, then it is current. What a
 * failure after the switch leaves behind, the next run clears away. */
static int replace(struct dev *dev, const struct dev_candidate *candidate, const struct dev_readers *readers,
                   char ret_name[DEV_GENERATION_TEXT])
{
    const char *dir = dev->settings.dir;
    const struct dev_installed *installed = &candidate->installed;
    struct dev_record record = {.reloaded = !dev_reload_wanted(dev)};
    int r = 0;
    /* What is damaged is nothing to go back to; what was before it may be. */
    const char *before = !installed->damage[0] ? installed->name
                         : candidate->previous.leaf && !candidate->previous.damage[0]
                             ? candidate->previous.name
                             : "";
    memcpy(record.replaces, before, strlen(before) + 1);
    if (installed->record.legacy)
        r = dev_legacy_take(dir, installed, record.replaces);
    if (r == 0 && installed->record.legacy && !dev_legacy_whole(dir, record.replaces))
        record.replaces[0] = '\0'; /* there is nothing to go back to */
    if (r == 0)
        r = dev_generation_write(dir, &candidate->set, &record, readers, ret_name);
    if (r == 0)
        r = dev_generation_switch(dir, ret_name);
    if (r < 0)
        return r;
    raise_floor(dir, candidate);
    if (dev_tidy(dev) < 0)
        pc_log(PC_LOG_WARNING, "the new set is installed; what it replaced is cleared away later: %s",
               pc_error_text());
    return 0;
}

/* The very set that stands: what a cut left undone beside it is done. */
static int complete(struct dev *dev, const struct dev_candidate *candidate)
{
    int r = dev_folder_link(dev->settings.dir);
    if (r == 0)
        raise_floor(dev->settings.dir, candidate);
    return r;
}

static bool stands(const struct dev *dev, const struct dev_candidate *candidate,
                   const struct dev_readers *readers)
{
    const struct dev_installed *installed = &candidate->installed;
    return installed->leaf && !installed->damage[0] && !installed->record.legacy &&
           same_set(&candidate->set, &installed->set) &&
           dev_generation_readable(dev->settings.dir, installed->name, readers);
}

/* The locked part. `*ret_owed`: clients have still to be told of the set. */
static int install(struct dev *dev, const struct dev_delivery *delivery, struct dev_install_report *ret,
                   bool *ret_owed)
{
    const char *dir = dev->settings.dir;
    dev_autocandidate candidate = {0};
    struct dev_readers readers;
    char name[DEV_GENERATION_TEXT];
    int r = dev_readers(dev, &readers);
    if (r == 0)
        r = dev_generation_current(dir, name);
    if (r == 0)
        r = dev_folder_owner(dir, name);
    if (r < 0)
        return r;
    dev_tidy_try(dev);
    r = dev_candidate_judge(dev, delivery, &candidate);
    if (r == 0)
        r = prove_key(dev, &candidate);
    if (r < 0)
        return r;
    const struct dev_installed *installed = &candidate.installed;
    if (installed->damage[0])
        pc_log(PC_LOG_WARNING, "what was installed is damaged, and is replaced: %s", installed->damage);
    bool already = stands(dev, &candidate, &readers);
    if (installed->leaf && !installed->record.legacy && !same_bytes(&candidate.set.ca, &installed->set.ca))
        pc_log(PC_LOG_NOTICE, "%s: the trust anchor is replaced by the one given", dir);
    if (delivery->judged)
        delivery->judged(delivery->about);
    r = already ? complete(dev, &candidate) : replace(dev, &candidate, &readers, name);
    if (r < 0)
        return r;
    *ret_owed = already ? !installed->record.reloaded : dev_reload_wanted(dev);
    r = report(&candidate, already ? installed->name : name, already, ret);
    if (r == 0)
        ret->legacy = dev_legacy_key(dir);
    return r;
}

int dev_install(struct dev *dev, const struct dev_delivery *delivery, struct dev_install_report *ret)
{
    if (!pc_file_exists(dev->settings.dir))
        return pc_refuse("install-key", "%s: does not exist, so no key is pending here", dev->settings.dir);
    int r = dev_begin(dev, false);
    if (r < 0)
        return r;
    bool owed = false;
    r = install(dev, delivery, ret, &owed);
    dev_end(dev);
    if (r < 0 || !owed)
        return r;
    dev_reload_after(dev, ret);
    return 0;
}
