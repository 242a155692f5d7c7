/* Reading what is damaged, as far as it goes. Which key is safe to evict then is tidy.c's; what is written
 * anew, install.c's. */
#include "provision/device/salvage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "provision/tpm/keyfile.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/pki/chain.h"
#include "src/pki/openssl.h"

/* The first that is found is told: it is what a repair begins with. */
static void note(struct dev_installed *installed, const char *path)
{
    if (installed->damage[0])
        return;
    /* Errors of the files themselves name them already. */
    bool named = strncmp(pc_error_text(), path, strlen(path)) == 0;
    snprintf(installed->damage, sizeof installed->damage, "%s%s%s", named ? "" : path, named ? "" : ": ",
             pc_error_text());
}

static int parse_anchors(struct dev_installed *installed)
{
    STACK_OF(X509) *anchors = NULL;
    int r = pki_chain_parse(installed->set.ca.data, installed->set.ca.len, &anchors);
    pki_chain_free(anchors);
    return r;
}

static int parse_key(struct dev_installed *installed)
{
    return tpm_keyfile_parse(installed->set.key.data, installed->set.key.len, &installed->key);
}

/* One file of the set, kept only when it can be read and understood. A file that this user may not read is an
 * error, not a loss. */
static int take(const char *path, struct dev_installed *installed, struct pc_bytes *bytes,
                int (*parse)(struct dev_installed *installed))
{
    bool there = pc_file_exists(path);
    if (!there && installed->record.legacy)
        return 0;
    if (there && access(path, R_OK) != 0 && errno == EACCES)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    int r = pc_file_read(path, DEV_FILE_MAX, bytes);
    if (r == 0)
        r = parse(installed);
    if (r == 0)
        return 0;
    note(installed, path);
    pc_bytes_clear(bytes);
    return 0;
}

static int take_record(const char *dir, const char *name, struct dev_installed *installed)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/generations/%s/record", dir, name);
    if (access(path, R_OK) != 0 && errno == EACCES)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    if (dev_generation_record(dir, name, &installed->record) == 0)
        return 0;
    note(installed, path);
    installed->record = (struct dev_record){.reloaded = false};
    return 0;
}

int dev_salvage_load(const char *dir, const char *name, struct dev_installed *ret)
{
    dev_autoinstalled installed = {0};
    char path[DEV_PATH_MAX];
    snprintf(installed.name, sizeof installed.name, "%.9s", name);
    int r = take_record(dir, name, &installed);
    dev_path(path, "%s/generations/%s/" DEV_CA, dir, name);
    if (r == 0)
        r = take(path, &installed, &installed.set.ca, parse_anchors);
    dev_path(path, "%s/generations/%s/" DEV_CERTIFICATE, dir, name);
    if (r == 0)
        r = take(path, &installed, &installed.set.certificate, dev_installed_parse);
    if (r == 0 && !installed.set.certificate.len) {
        X509_free(installed.leaf);
        installed.leaf = NULL;
    }
    dev_path(path, "%s/generations/%s/" DEV_KEY, dir, name);
    installed.set.closed = access(path, R_OK) != 0 && errno == EACCES;
    if (r == 0 && !installed.record.legacy && !installed.set.closed)
        r = take(path, &installed, &installed.set.key, parse_key);
    if (r < 0)
        return r;
    memcpy(installed.previous, installed.record.replaces, sizeof installed.previous);
    *ret = installed;
    installed = (struct dev_installed){0};
    return 0;
}

/* --- which set is current --- */

static bool stands(const char *dir, const char *name)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/generations/%s", dir, name);
    return *name && pc_file_exists(path);
}

static bool has_record(const char *dir, const char *name)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/generations/%s/record", dir, name);
    return pc_file_exists(path);
}

/* A record is written last, so that a folder without one was never whole. */
static int find_last(const char *dir, char ret[DEV_GENERATION_TEXT])
{
    pc_autofree char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t count;
    char last[DEV_GENERATION_TEXT] = "", back[DEV_GENERATION_TEXT] = "";
    int r = dev_generation_list(dir, &names, &count);
    for (size_t i = count; r == 0 && i-- > 0;) {
        struct dev_record record;
        if (!has_record(dir, names[i]))
            continue;
        r = dev_generation_record(dir, names[i], &record);
        if (r < 0 || !record.switched)
            continue;
        if (!last[0])
            memcpy(last, names[i], sizeof last);
        else if (record.rolled_back && strcmp(record.replaces, last) == 0)
            memcpy(back, names[i], sizeof back);
    }
    if (r == 0)
        memcpy(ret, back[0] ? back : last, sizeof last);
    return r;
}

static int find_lost(const char *dir, char ret[DEV_GENERATION_TEXT])
{
    dev_autoinstalled found = {0};
    char name[DEV_GENERATION_TEXT], reason[512];
    int r = find_last(dir, name);
    if (r == 0 && name[0])
        r = dev_salvage_load(dir, name, &found);
    if (r < 0 || found.damage[0]) {
        snprintf(reason, sizeof reason, "%s", r < 0 ? pc_error_text() : found.damage);
        return pc_refuse("state-damaged",
                         "%s/current: the link is lost, and which set it led to cannot be told: %s", dir,
                         reason);
    }
    memcpy(ret, name, sizeof name);
    return 0;
}

int dev_current_lost(const char *dir, char ret[DEV_GENERATION_TEXT])
{
    char current[DEV_GENERATION_TEXT];
    int r = dev_generation_current(dir, current);
    if (r == 0 && stands(dir, current))
        ret[0] = '\0';
    else if (r == 0)
        r = find_lost(dir, ret);
    return r;
}

int dev_current_restore(const char *dir)
{
    char name[DEV_GENERATION_TEXT];
    int r = dev_current_lost(dir, name);
    if (r < 0 || !name[0])
        return r;
    r = dev_folder_owner(dir, name);
    if (r == 0)
        r = dev_generation_switch(dir, name);
    if (r == 0)
        pc_log(PC_LOG_NOTICE, "%s/current: was lost, and leads to generation %s again", dir, name);
    return r;
}

/* The newest set other than `except` that was current; one whose record is damaged is passed over. */
static int find_other(const char *dir, const char *except, char ret[DEV_GENERATION_TEXT])
{
    pc_autofree char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t count;
    ret[0] = '\0';
    int r = dev_generation_list(dir, &names, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct dev_record record;
        if (strcmp(names[i], except) != 0 && dev_generation_record(dir, names[i], &record) == 0 &&
            record.switched)
            memcpy(ret, names[i], DEV_GENERATION_TEXT);
    }
    return r;
}

int dev_salvage_kept(const char *dir, char ret_current[DEV_GENERATION_TEXT],
                     char ret_previous[DEV_GENERATION_TEXT])
{
    struct dev_record record = {0};
    int r = dev_generation_current(dir, ret_current);
    if (r < 0)
        return r;
    if (ret_current[0] && dev_generation_record(dir, ret_current, &record) < 0)
        return find_other(dir, ret_current, ret_previous);
    memcpy(ret_previous, record.replaces, sizeof record.replaces);
    return 0;
}

/* `current` is lost: the set that it led to, where that can be told. */
static int read_lost(const char *dir, const char *current, struct dev_installed *ret)
{
    char name[DEV_GENERATION_TEXT];
    int r = find_lost(dir, name);
    if (r < 0) {
        snprintf(ret->damage, sizeof ret->damage, "%s", pc_error_text());
        return 0;
    }
    if (name[0])
        r = dev_salvage_load(dir, name, ret);
    if (r == 0 && name[0])
        snprintf(ret->damage, sizeof ret->damage,
                 "%s/current: the link is lost; generation %s was current, and 'plantcert check' makes it so "
                 "again",
                 dir, name);
    else if (r == 0 && *current)
        snprintf(ret->damage, sizeof ret->damage,
                 "%s/current: leads to generation %s, which is not there, nor is any other", dir, current);
    return r;
}

static int read_standing(const char *dir, const char *current, struct dev_installed *ret)
{
    struct dev_record record;
    int r = dev_salvage_load(dir, current, ret);
    if (r < 0 || !ret->damage[0])
        return r;
    return dev_generation_record(dir, current, &record) < 0 ? find_other(dir, current, ret->previous) : 0;
}

int dev_salvage_read(const char *dir, struct dev_installed *ret)
{
    for (int attempt = 0;; attempt++) {
        char before[DEV_GENERATION_TEXT], after[DEV_GENERATION_TEXT];
        *ret = (struct dev_installed){0};
        int r = dev_generation_current(dir, before);
        if (r == 0)
            r = stands(dir, before) ? read_standing(dir, before, ret) : read_lost(dir, before, ret);
        /* Without the lock, two installs may have replaced and removed it meanwhile. */
        bool whole = r == 0 && !ret->damage[0];
        if (whole || attempt == 2 || dev_generation_current(dir, after) < 0 || strcmp(before, after) == 0)
            return r;
        dev_installed_clear(ret);
    }
}

/* --- the key --- */

int dev_salvage_key(struct dev *dev, X509 *leaf, struct dev_installed *installed)
{
    struct tpm_key *PC_CLEANUP(tpm_key_free_ref) key = NULL;
    struct tpm *tpm;
    const EVP_PKEY *public = X509_get0_pubkey(leaf);
    if (!public || installed->key || installed->record.legacy || dev->settings.store != DEV_STORE_HANDLE)
        return 0;
    int r = dev_tpm(dev, &tpm);
    if (r == 0)
        r = tpm_handle_find(tpm, dev->settings.handle_first, dev->settings.handle_last, public, &key);
    if (r < 0 || !key)
        return r;
    pc_bytes_clear(&installed->set.key);
    r = tpm_keyfile_format(key, &installed->set.key);
    if (r == 0)
        installed->key = pc_steal(key);
    return r;
}
