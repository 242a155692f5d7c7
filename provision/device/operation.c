/* Opening a PLC's folder, its lock and its TPM. What is done with them stands in one file an operation. */
#include "provision/device/operation.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"

/* Part 2 §7.5: persistent objects of the owner hierarchy. */
#define OWNER_FIRST 0x81000000u
#define OWNER_LAST 0x817fffffu

int dev_open(const struct dev_settings *settings, struct dev **ret)
{
    if (!settings->dir || settings->dir[0] != '/' || strlen(settings->dir) > DEV_DIR_MAX)
        return pc_fail(PC_EUSAGE, "the folder must be an absolute path of at most %d bytes", DEV_DIR_MAX);
    if (settings->plant && *settings->plant && pki_uuid_check(settings->plant) < 0)
        return pc_fail_in("plant");
    if (settings->handle_first < OWNER_FIRST || settings->handle_last > OWNER_LAST ||
        settings->handle_first >= settings->handle_last)
        return pc_fail(PC_EUSAGE, "handles 0x%08x to 0x%08x: two or more within 0x%08x to 0x%08x are needed",
                       settings->handle_first, settings->handle_last, OWNER_FIRST, OWNER_LAST);
    struct dev *dev = calloc(1, sizeof *dev);
    if (!dev)
        return pc_fail(PC_EFAIL, "out of memory");
    dev->settings = *settings;
    dev->settings.tpm.thorough = true; /* the run before may have been killed */
    dev->lock = -1;
    *ret = dev;
    return 0;
}

void dev_close(struct dev *dev)
{
    if (!dev)
        return;
    dev_end(dev);
    prov_close(dev->session);
    free(dev);
}

int dev_begin(struct dev *dev, bool make)
{
    if (make) {
        int r = pc_dir_make(dev->settings.dir, 0755);
        if (r < 0)
            return r;
    }
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/.lock", dev->settings.dir);
    int r = pc_lock_take(path, DEV_LOCK_WAIT, &dev->lock);
    if (r == 0)
        r = dev_folder_inner(dev->settings.dir);
    /* Whoever may change names there could lead each later step to files of others. */
    if (r == 0)
        r = dev_folder_owner(dev->settings.dir, "");
    if (r < 0)
        dev_end(dev);
    return r;
}

void dev_end(struct dev *dev)
{
    if (!dev)
        return;
    tpm_close(dev->tpm);
    dev->tpm = NULL;
    pc_close_ref(&dev->lock);
    dev->lock = -1;
}

int dev_tpm(struct dev *dev, struct tpm **ret)
{
    if (!dev->tpm) {
        int r = tpm_open(&dev->settings.tpm, &dev->tpm);
        if (r < 0)
            return r;
    }
    *ret = dev->tpm;
    return 0;
}

int dev_key_open(struct dev *dev, const struct pc_bytes *pem, EVP_PKEY **ret)
{
    tpm_close(dev->tpm);
    dev->tpm = NULL;
    if (!dev->session) {
        int r = prov_open(&dev->settings.tpm, &dev->session);
        if (r < 0)
            return r;
    }
    return prov_key_load(dev->session, pem->data, pem->len, ret);
}

int dev_readers(const struct dev *dev, struct dev_readers *ret)
{
    *ret = (struct dev_readers){0};
    if (!dev->settings.group || !*dev->settings.group)
        return 0;
    struct group entry, *found = NULL;
    char room[16384];
    if (getgrnam_r(dev->settings.group, &entry, room, sizeof room, &found) != 0 || !found)
        return pc_fail(PC_EUSAGE, "group '%s' does not exist", dev->settings.group);
    *ret = (struct dev_readers){.group = true, .gid = found->gr_gid};
    return 0;
}

bool dev_key_gone(int r)
{
    return dev_refused_as(r, "key-absent") || dev_refused_as(r, "key-name");
}

int dev_key_lost(int r)
{
    if (!dev_key_gone(r))
        return r;
    const char *name = dev_refused_as(r, "key-absent") ? "key-absent" : "key-name";
    char text[512];
    snprintf(text, sizeof text, "%s", pc_error_text());
    return pc_refuse(name,
                     "%s: make a new key and have it certified (plantcert request, plantca sign --replace, "
                     "plantcert install)",
                     text);
}

bool dev_refused_as(int r, const char *name)
{
    return r == PC_EREFUSED && strcmp(pc_error_name(), name) == 0;
}
