/* Taking a key back after the PLC's folder was lost: what persists in the TPM, held against the certificate
 * that was made for it, becomes the pending key again. */
#include <stdio.h>
#include <string.h>

#include "provision/device/check.h"
#include "provision/device/installed.h"
#include "provision/device/keygen.h"
#include "provision/device/salvage.h"
#include "provision/device/tidy.h"
#include "src/base/error.h"
#include "src/pki/chain.h"
#include "src/pki/openssl.h"

/* The plant that the certificate names, which must be this one. */
static int check_plant(const struct dev *dev, const struct dev_installed *installed, X509 *leaf,
                       struct dev_leaf *ret)
{
    const struct {
        const char *plant, *source;
    } expected[] = {
        {dev->settings.plant, "the configured plant"},
        {installed->leaf ? installed->cn : NULL, "the plant of the installed certificate"},
    };
    int r = dev_leaf_describe(leaf, ret);
    for (size_t i = 0; r == 0 && i < sizeof expected / sizeof expected[0]; i++)
        if (expected[i].plant && *expected[i].plant && strcmp(ret->cn, expected[i].plant) != 0)
            r = pc_refuse("install-cn", "the certificate is for %s, but %s is %s", ret->cn,
                          expected[i].source, expected[i].plant);
    return r;
}

static int check_public(const struct tpm_key *key, uint32_t handle, X509 *leaf)
{
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) public = NULL;
    int r = tpm_key_public(key, &public);
    if (r < 0)
        return r;
    if (!X509_get0_pubkey(leaf) || EVP_PKEY_eq(public, X509_get0_pubkey(leaf)) != 1)
        return pc_refuse("adopt-key", "the key at handle 0x%08x is not the one that the certificate is for",
                         handle);
    return 0;
}

#define LISTED_MAX 16

/* The device keys at the first of our handles, as text; the one that the certificate is for is marked. */
static int look(const struct dev *dev, struct tpm *tpm, X509 *leaf, char ret_text[512])
{
    const struct dev_settings *settings = &dev->settings;
    uint32_t handles[LISTED_MAX];
    size_t count = 0, len = 0;
    ret_text[0] = '\0';
    int r = tpm_handle_list(tpm, settings->handle_first, settings->handle_last, handles, LISTED_MAX, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct tpm_key *PC_CLEANUP(tpm_key_free_ref) key = NULL;
        r = tpm_handle_key(tpm, handles[i], &key);
        if (r == PC_EREFUSED) { /* not ours */
            r = 0;
            continue;
        }
        bool ours = r == 0 && check_public(key, handles[i], leaf) == 0;
        int more = snprintf(ret_text + len, 512 - len, "%s0x%08x%s", len ? ", " : "", handles[i],
                            ours ? " (the certificate's)" : "");
        len += more > 0 && (size_t)more < 512 - len ? (size_t)more : 0;
    }
    return r;
}

/* After a refusal: with what could be taken instead. */
static int refuse(const struct dev *dev, struct tpm *tpm, X509 *leaf)
{
    const char *name = pc_error_name();
    char text[512], keys[512];
    snprintf(text, sizeof text, "%s", pc_error_text());
    if (look(dev, tpm, leaf, keys) < 0)
        snprintf(keys, sizeof keys, "cannot be listed");
    return pc_fail_named(PC_EREFUSED, name, "%s; device keys at our handles: %s", text,
                         keys[0] ? keys : "none");
}

/* The key at `handle`, or, where that is 0, at the handle that fits. */
static int find(const struct dev *dev, struct tpm *tpm, uint32_t handle, X509 *leaf, struct tpm_key **ret)
{
    struct tpm_key *PC_CLEANUP(tpm_key_free_ref) key = NULL;
    int r = handle ? 0
                   : tpm_handle_find(tpm, dev->settings.handle_first, dev->settings.handle_last,
                                     X509_get0_pubkey(leaf), &key);
    if (r == 0 && !handle && !key) {
        (void)pc_refuse("adopt-key", "the key that the certificate is for is not at our handles");
        return refuse(dev, tpm, leaf);
    }
    if (r == 0 && !handle)
        *ret = pc_steal(key);
    if (r < 0 || !handle)
        return r;
    r = tpm_handle_key(tpm, handle, &key);
    if (r == 0)
        r = check_public(key, handle, leaf);
    if (r == PC_EREFUSED)
        return refuse(dev, tpm, leaf);
    if (r == 0)
        *ret = pc_steal(key);
    return r;
}

/* A pending key of another Name is in the way; a record whose key file is lost is not. */
static int make_way(struct dev *dev, const struct tpm_key *key, struct dev_pending *pending)
{
    struct dev_forget_report dropped = {0};
    int r = dev_pending_load(dev->settings.dir, pending);
    if (r < 0 || !pending->present || tpm_name_equal(&pending->name, tpm_key_name(key)))
        return r;
    if (pending->key)
        return pc_refuse("key-pending", "another key is pending; 'plantcert forget' drops it");
    r = dev_pending_drop(dev, &dropped);
    if (r == 0)
        dev_pending_clear(pending);
    return r;
}

/* Tested like a new one. The key file is written first: it speaks for itself where the state is missing. */
static int take(struct dev *dev, struct tpm *tpm, const char *plant, struct dev_pending *pending)
{
    int r = tpm_key_test(tpm, pending->key);
    if (r == 0)
        r = dev_pending_write_key(dev->settings.dir, pending);
    if (r < 0)
        return r;
    pending->present = true;
    pending->step = DEV_STEP_REQUESTED;
    pending->adopted = true;
    pending->handle = tpm_key_handle(pending->key);
    pending->name = *tpm_key_name(pending->key);
    snprintf(pending->plant, sizeof pending->plant, "%s", plant);
    return dev_pending_write_state(dev->settings.dir, pending);
}

static int adopt(struct dev *dev, uint32_t handle, X509 *leaf, struct dev_key_report *ret)
{
    dev_autoinstalled installed = {0};
    dev_autopending pending = {0};
    struct tpm_key *PC_CLEANUP(tpm_key_free_ref) key = NULL;
    struct dev_key_report report;
    struct dev_leaf about;
    struct tpm *tpm;
    dev_tidy_try(dev);
    int r = dev_salvage_read(dev->settings.dir, &installed);
    if (r == 0)
        r = check_plant(dev, &installed, leaf, &about);
    if (r == 0)
        r = dev_tpm(dev, &tpm);
    if (r == 0)
        r = find(dev, tpm, handle, leaf, &key);
    if (r == 0)
        r = dev_key_describe(key, &report);
    if (r == 0)
        r = make_way(dev, key, &pending);
    if (r < 0)
        return r;
    bool in_use = installed.key && tpm_name_equal(tpm_key_name(installed.key), tpm_key_name(key));
    bool taken = pending.key && pending.step == DEV_STEP_REQUESTED &&
                 tpm_key_handle(pending.key) == tpm_key_handle(key);
    if (!in_use && !taken) {
        tpm_key_free(pending.key);
        pending.key = pc_steal(key);
        r = take(dev, tpm, about.cn, &pending);
    }
    report.made = !in_use && !taken;
    if (r == 0)
        *ret = report;
    return r;
}

int dev_adopt(struct dev *dev, uint32_t handle, const struct pc_bytes *chain, struct dev_key_report *ret)
{
    STACK_OF(X509) *certificates = NULL;
    int r = dev_check_parse(chain, &certificates);
    if (r == 0)
        r = dev_begin(dev, true);
    if (r == 0) {
        struct dev *PC_CLEANUP(dev_end_ref) busy = dev;
        r = adopt(busy, handle, sk_X509_value(certificates, 0), ret);
    }
    pki_chain_free(certificates);
    return r;
}
