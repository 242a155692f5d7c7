/* Reading and writing pending/. What to do about what stands there is keygen.c's. */
#include "provision/device/pending.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provision/device/folder.h"
#include "provision/tpm/keyfile.h"
#include "src/base/config.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"

#define SECTION "pending"

static const char *const step_names[] = {
    [DEV_STEP_NONE] = "none",
    [DEV_STEP_MADE] = "made",
    [DEV_STEP_READY] = "ready",
    [DEV_STEP_REQUESTED] = "requested",
};
static_assert(sizeof step_names / sizeof step_names[0] == DEV_STEPS, "a name for each step");

static int parse_step(const char *value, enum dev_step *ret)
{
    for (unsigned i = 0; i < DEV_STEPS; i++)
        if (strcmp(value, step_names[i]) == 0) {
            *ret = (enum dev_step)i;
            return 0;
        }
    return pc_fail(PC_EUSAGE, "'%.20s' is no step", value);
}

static int check_step(const char *value)
{
    enum dev_step step;
    return parse_step(value, &step);
}

static int parse_handle(const char *value, uint32_t *ret)
{
    char *end;
    unsigned long handle = strtoul(value, &end, 16);
    if (strncmp(value, "0x", 2) != 0 || strlen(value) != 10 || *end)
        return pc_fail(PC_EUSAGE, "'%.20s' is no handle", value);
    *ret = (uint32_t)handle;
    return 0;
}

static int check_handle(const char *value)
{
    uint32_t handle;
    return parse_handle(value, &handle);
}

static int check_tpm_name(const char *value)
{
    struct tpm_name name;
    return pc_unhex(value, name.octets, sizeof name.octets, &name.len);
}

static const struct pc_setting state_table[] = {
    {.section = SECTION, .key = "step", .fallback = "none", .check = check_step},
    {.section = SECTION, .key = "handle", .check = check_handle},
    {.section = SECTION, .key = "name", .check = check_tpm_name},
    {.section = SECTION, .key = "plant", .check = pki_uuid_check},
    {.section = SECTION, .key = "adopted", .fallback = "no", .check = pc_check_flag},
};

void dev_pending_clear(struct dev_pending *pending)
{
    tpm_key_free(pending->key);
    *pending = (struct dev_pending){0};
}

/* Each value has passed its check. */
static void take_values(const struct pc_config *config, struct dev_pending *ret)
{
    const char *value = pc_config_get(config, SECTION, "step");
    parse_step(value, &ret->step);
    if ((value = pc_config_get(config, SECTION, "handle")) != NULL && *value)
        parse_handle(value, &ret->handle);
    if ((value = pc_config_get(config, SECTION, "name")) != NULL && *value)
        pc_unhex(value, ret->name.octets, sizeof ret->name.octets, &ret->name.len);
    if ((value = pc_config_get(config, SECTION, "plant")) != NULL)
        snprintf(ret->plant, sizeof ret->plant, "%s", value);
    ret->adopted = pc_config_flag(config, SECTION, "adopted");
}

static int load_state(const char *dir, struct dev_pending *ret)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/pending/state", dir);
    if (!pc_file_exists(path))
        return 0;
    struct pc_config *config = NULL;
    int r = pc_config_load(state_table, sizeof state_table / sizeof state_table[0], path, &config);
    if (r < 0 && !pc_file_exists(path)) /* status takes no lock: another run has removed it meanwhile */
        return 0;
    if (r == PC_EUSAGE) {
        pc_log(PC_LOG_WARNING, "%s: taken for lost", pc_error_text());
        return 0;
    }
    if (r < 0)
        return r;
    take_values(config, ret);
    pc_config_free(config);
    return 0;
}

int dev_pending_key_file(const char *dir, struct pc_bytes *ret)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/pending/key.tpm", dir);
    return pc_file_read(path, TPM_KEYFILE_MAX, ret);
}

static int load_key(const char *dir, struct dev_pending *ret)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/pending/key.tpm", dir);
    if (!pc_file_exists(path))
        return 0;
    pc_autobytes pem = {0};
    int r = dev_pending_key_file(dir, &pem);
    if (r < 0 && !pc_file_exists(path)) /* as above */
        return 0;
    if (r == 0)
        r = tpm_keyfile_parse(pem.data, pem.len, &ret->key);
    if (r != PC_EREFUSED)
        return r;
    pc_log(PC_LOG_WARNING, "%s: %s: the pending key is of no use", path, pc_error_text());
    return 0;
}

int dev_pending_load(const char *dir, struct dev_pending *ret)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/pending", dir);
    dev_autopending pending = {.present = pc_file_exists(path)};
    int r = load_state(dir, &pending);
    if (r == 0)
        r = load_key(dir, &pending);
    if (r < 0)
        return r;
    /* The key file speaks for itself where the state was lost. */
    if (pending.key && pending.name.len == 0) {
        pending.name = *tpm_key_name(pending.key);
        pending.handle = tpm_key_handle(pending.key);
    }
    *ret = pending;
    pending = (struct dev_pending){0};
    return 0;
}

int dev_pending_write_key(const char *dir, const struct dev_pending *pending)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/pending", dir);
    int r = pc_dir_make(path, 0700);
    pc_autobytes pem = {0};
    if (r == 0)
        r = tpm_keyfile_format(pending->key, &pem);
    if (r < 0)
        return r;
    dev_path(path, "%s/pending/key.tpm", dir);
    const struct pc_file_options options = {.mode = 0600};
    return pc_file_write(path, pem.data, pem.len, &options);
}

int dev_pending_write_state(const char *dir, const struct dev_pending *pending)
{
    char path[DEV_PATH_MAX], name[2 * TPM_NAME_MAX + 1], handle[16] = "", text[512];
    dev_path(path, "%s/pending/state", dir);
    pc_hex(pending->name.octets, pending->name.len, name);
    if (pending->handle)
        snprintf(handle, sizeof handle, "0x%08x", pending->handle);
    int len = snprintf(
        text, sizeof text, "[" SECTION "]\nstep = %s\nhandle = %s\nname = %s\nplant = %s\nadopted = %s\n",
        step_names[pending->step], handle, name, pending->plant, pending->adopted ? "yes" : "no");
    const struct pc_file_options options = {.mode = 0600};
    return pc_file_write(path, text, (size_t)len, &options);
}

int dev_pending_remove(const char *dir, unsigned *count)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/pending", dir);
    return dev_folder_remove(path, count);
}
