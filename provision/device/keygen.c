/* The pending key: made in the TPM, written down, made persistent, tested; in that order, so that a cut at
 * any moment leaves a record from which the next run goes on. */
#include "provision/device/keygen.h"

#include <stdio.h>
#include <string.h>

#include "provision/device/tidy.h"
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/pki/openssl.h"

/* No handle of ours is free, or the TPM has no room: the key that only a roll-back would need may have to go.
 * Where there is none, what the TPM said stands. */
static int make_room(struct dev *dev, int r)
{
    if (r != PC_EUNREACH || strcmp(pc_error_name(), "tpm-full") != 0)
        return r;
    char text[512];
    snprintf(text, sizeof text, "%s", pc_error_text());
    r = dev_previous_yield(dev);
    return r == PC_EUNREACH && strcmp(pc_error_name(), "tpm-full") == 0
               ? pc_fail_named(PC_EUNREACH, "tpm-full", "%s; no earlier key of ours is there to give up",
                               text)
               : r;
}

static int find_handle(struct dev *dev, struct tpm *tpm, uint32_t *ret)
{
    const struct dev_settings *settings = &dev->settings;
    int r = tpm_handle_free(tpm, settings->handle_first, settings->handle_last, ret);
    if (r == 0)
        return 0;
    r = make_room(dev, r);
    return r < 0 ? r : tpm_handle_free(tpm, settings->handle_first, settings->handle_last, ret);
}

/* A handle is written down before it is used. What stands there under another Name is not ours: another
 * handle, then. */
static int persist(struct dev *dev, struct tpm *tpm, struct dev_pending *pending)
{
    for (int attempt = 0;; attempt++) {
        int r = 0;
        if (pending->handle == 0) {
            r = find_handle(dev, tpm, &pending->handle);
            if (r == 0)
                r = dev_pending_write_state(dev->settings.dir, pending);
        }
        if (r == 0)
            r = tpm_key_persist(tpm, pending->key, pending->handle);
        if (r == 0 || attempt == 2)
            return r;
        if (dev_refused_as(r, "handle-occupied"))
            pending->handle = 0;
        else if ((r = make_room(dev, r)) < 0)
            return r;
    }
}

static int make(struct dev *dev, struct tpm *tpm, enum pki_key_type type, struct dev_pending *pending)
{
    int r = tpm_key_create(tpm, type, &pending->key);
    if (r < 0)
        return r;
    pending->present = true;
    pending->name = *tpm_key_name(pending->key);
    return dev_pending_write_key(dev->settings.dir, pending);
}

/* From wherever the last run stopped up to READY. */
static int finish(struct dev *dev, struct tpm *tpm, struct dev_pending *pending)
{
    int r = 0;
    if (pending->step < DEV_STEP_MADE) {
        pending->step = DEV_STEP_MADE;
        if (dev->settings.store == DEV_STORE_HANDLE && tpm_key_handle(pending->key) == 0)
            r = find_handle(dev, tpm, &pending->handle);
        if (r == 0)
            r = dev_pending_write_state(dev->settings.dir, pending);
    }
    if (r == 0 && pending->handle && tpm_key_handle(pending->key) == 0)
        r = persist(dev, tpm, pending);
    if (r == 0)
        r = tpm_key_test(tpm, pending->key);
    if (r == 0)
        r = dev_pending_write_key(dev->settings.dir, pending);
    if (r < 0)
        return r;
    pending->step = DEV_STEP_READY;
    return dev_pending_write_state(dev->settings.dir, pending);
}

/* Whether what stands in pending/ can be used: 0, or a refusal when it never can. */
static int judge(struct tpm *tpm, const struct dev_pending *pending)
{
    if (!pending->key)
        return pc_refuse("key-absent", "the pending key's file is missing or damaged");
    return tpm_key_probe(tpm, pending->key);
}

int dev_key_afresh(struct dev *dev)
{
    pc_log(PC_LOG_WARNING, "the pending key is lost (%s): a new one is made", pc_error_text());
    struct dev_forget_report dropped = {0};
    return dev_pending_drop(dev, &dropped);
}

/* What stopped it is the kind of key, on this TPM: no other key of that kind would do better. */
static bool kind_is_useless(int r)
{
    return dev_refused_as(r, "tpm-pss-salt") || dev_refused_as(r, "tpm-unsupported");
}

/* A key that cannot do what TLS needs is of no use to anybody; what a fault of the moment stopped is. */
static int give_up(struct dev *dev, int r)
{
    struct dev_forget_report dropped = {0};
    if (!kind_is_useless(r))
        return r;
    const char *name = dev_refused_as(r, "tpm-pss-salt") ? "tpm-pss-salt" : "tpm-unsupported";
    char text[512];
    snprintf(text, sizeof text, "%s", pc_error_text());
    return dev_pending_drop(dev, &dropped) < 0 ? pc_fail_in("after a failed test")
                                               : pc_refuse(name, "%s", text);
}

/* A key up to READY, from whatever there is. */
static int bring_up(struct dev *dev, struct tpm *tpm, enum pki_key_type type, struct dev_pending *pending,
                    bool *made)
{
    int r = 0;
    if (!pending->key) {
        *made = true;
        r = make(dev, tpm, type, pending);
    }
    if (r == 0 && pending->step < DEV_STEP_READY) {
        *made = true;
        r = finish(dev, tpm, pending);
    }
    return r < 0 ? give_up(dev, r) : 0;
}

/* The same, with the other kind of key where the user left the choice to us. */
static int bring_up_either(struct dev *dev, struct tpm *tpm, struct dev_pending *pending, bool *made)
{
    int r = bring_up(dev, tpm, dev->settings.key, pending, made);
    if (!kind_is_useless(r))
        return r;
    if (!dev->settings.key_auto)
        return pc_fail_in("[device] key = %s is not for this TPM", pki_key_type_name(dev->settings.key));
    pc_log(PC_LOG_NOTICE, "%s: the key is made as %s", pc_error_text(), pki_key_type_name(PKI_KEY_EC_P256));
    dev_pending_clear(pending);
    return bring_up(dev, tpm, PKI_KEY_EC_P256, pending, made);
}

int dev_key_ready(struct dev *dev, bool probe, struct dev_pending *ret, bool *ret_made)
{
    dev_autopending pending = {0};
    struct tpm *tpm;
    bool made = false;
    int r = dev_tidy(dev);
    if (r == 0)
        r = dev_pending_load(dev->settings.dir, &pending);
    if (r == 0)
        r = dev_tpm(dev, &tpm);
    if (r == 0 && pending.present && (probe || pending.step < DEV_STEP_READY || !pending.key)) {
        r = judge(tpm, &pending);
        if (dev_key_gone(r)) {
            r = dev_key_afresh(dev);
            dev_pending_clear(&pending);
        }
    }
    if (r == 0)
        r = bring_up_either(dev, tpm, &pending, &made);
    if (r < 0)
        return r;
    *ret = pending;
    pending = (struct dev_pending){0};
    *ret_made = made;
    return 0;
}

int dev_key_describe(const struct tpm_key *key, struct dev_key_report *ret)
{
    struct dev_key_report report = {
        .present = true, .type = tpm_key_type(key), .handle = tpm_key_handle(key)};
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) public = NULL;
    int r = tpm_key_public(key, &public);
    if (r == 0)
        r = pki_key_fingerprint(public, report.fingerprint);
    if (r == 0)
        *ret = report;
    return r;
}

int dev_keygen(struct dev *dev, struct dev_key_report *ret)
{
    int r = dev_begin(dev, true);
    if (r < 0)
        return r;
    struct dev *PC_CLEANUP(dev_end_ref) busy = dev;
    dev_autopending pending = {0};
    struct dev_key_report report;
    bool made = false;
    r = dev_key_ready(busy, true, &pending, &made);
    if (r == 0)
        r = dev_key_describe(pending.key, &report);
    if (r < 0)
        return r;
    report.made = made;
    *ret = report;
    return 0;
}
