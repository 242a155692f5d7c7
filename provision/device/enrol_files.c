/* Enrolment by a folder that is carried to the station and back: UUID.csr goes, UUID.crt comes. Each file
 * appears whole or not at all, and nothing on the stick is believed that install would not believe. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "provision/device/enrol_steps.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/pki/chain.h"
#include "src/pki/openssl.h"
#include "src/pki/request.h"

#define REPLY_MAX 262144 /* bytes */

/* Whether the file is a sound request for this plant by this key: it may stay, so that a station that has
 * seen it is not asked something new. */
static bool asked_before(const char *path, const char *plant, const char *key_sha256)
{
    const struct pki_request_rules rules = {.profile = &pki_profile_device, .plant = plant};
    PC_CLEANUP(pki_request_free_ref) struct pki_request *request = NULL;
    pc_autobytes bytes = {0};
    return pc_file_exists(path) && pc_file_read(path, PKI_REQUEST_MAX, &bytes) == 0 &&
           pki_request_parse(bytes.data, bytes.len, &rules, &request) == 0 &&
           strcmp(request->key_sha256, key_sha256) == 0;
}

static void chain_free_ref(STACK_OF(X509) * *chain)
{
    pki_chain_free(*chain);
}

/* Whether the reply is the certificate that is installed already: of the time before, and no answer. */
static bool stale(const struct pc_bytes *reply, const struct dev_status *status)
{
    PC_CLEANUP(chain_free_ref) STACK_OF(X509) *chain = NULL;
    struct dev_leaf leaf;
    return status->installed && pki_chain_parse(reply->data, reply->len, &chain) == 0 &&
           dev_leaf_describe(sk_X509_value(chain, 0), &leaf) == 0 &&
           strcmp(leaf.sha256, status->certificate_sha256) == 0;
}

/* The stick. */
struct places {
    const char *folder;
    char *csr, *crt; /* owned */
};

static void places_clear(struct places *at)
{
    free(at->csr);
    free(at->crt);
}

static int places_of(const char *folder, const char *plant, struct places *ret)
{
    char csr[PKI_UUID_TEXT + 4], crt[PKI_UUID_TEXT + 4];
    snprintf(csr, sizeof csr, "%s.csr", plant);
    snprintf(crt, sizeof crt, "%s.crt", plant);
    *ret =
        (struct places){.folder = folder, .csr = pc_path_join(folder, csr), .crt = pc_path_join(folder, crt)};
    return ret->csr && ret->crt ? 0 : pc_fail(PC_EFAIL, "out of memory");
}

static int leave_request(struct dev *dev, const char *path, const char *plant, struct dev_enrol_report *ret)
{
    const struct pc_file_options options = {.mode = 0644};
    pc_autobytes pem = {0};
    int r = dev_enrol_request(dev, NULL, ret, &pem);
    if (r < 0 || asked_before(path, plant, ret->key_sha256))
        return r;
    return pc_file_write(path, pem.data, pem.len, &options);
}

/* A request that is answered is none for the next round. It goes before the switch: without power in
 * between, the next run writes it again and goes on; after the switch nothing is due, and it would stay. A
 * stick that cannot be written to is no fault of what is installed. */
static void take_request_off(const void *places)
{
    const struct places *at = places;
    if (unlink(at->csr) != 0 && errno != ENOENT)
        pc_log(PC_LOG_WARNING, "%s: the request is answered, but cannot be removed: %s", at->csr,
               strerror(errno));
    else if (pc_dir_sync(at->folder) < 0)
        pc_log(PC_LOG_WARNING, "%s: the request is answered and removed, but may come back: %s", at->csr,
               pc_error_text());
}

static int take_reply(struct dev *dev, const struct places *at, const struct dev_enrol_order *order,
                      struct dev_enrol_report *ret)
{
    pc_autobytes reply = {0};
    if (!pc_file_exists(at->crt))
        return pc_fail_named(PC_EPENDING, "usb-pending",
                             "%s: is not there yet: the request waits for the station", at->crt);
    int r = pc_file_read(at->crt, REPLY_MAX, &reply);
    if (r < 0)
        return r;
    if (stale(&reply, &ret->status))
        return pc_fail_named(
            PC_EPENDING, "usb-pending",
            "%s: is the certificate that is installed already: the new request waits for the "
            "station",
            at->crt);
    bool pinned = ret->status.installed && !ret->status.plain;
    const struct pc_bytes *ca = order->ca ? order->ca : pinned ? NULL : order->trust;
    const struct dev_delivery delivery = {.chain = &reply, .ca = ca, .judged = take_request_off, .about = at};
    r = dev_install(dev, &delivery, &ret->install);
    if (r < 0)
        return pc_fail_in("%s", at->crt);
    ret->installed = true;
    return 0;
}

int dev_enrol_files(struct dev *dev, const char *folder, const struct dev_enrol_order *order,
                    struct dev_enrol_report *ret)
{
    PC_CLEANUP(places_clear) struct places at = {0};
    int r = dev_enrol_begin(dev, order->way, ret);
    if (r < 0 || ret->way == DEV_ENROL_NEEDED)
        return r;
    const char *plant = ret->status.installed ? ret->status.cn : dev->settings.plant;
    if (!plant || !*plant)
        return pc_fail_named(PC_EUSAGE, "plant-missing", "no plant is configured: whom is the request for?");
    bool pinned = ret->status.installed && !ret->status.plain;
    if (order->unfit && !order->ca && !pinned)
        return pc_fail_named(PC_EUSAGE, "station-trust", "%s", order->unfit);
    r = places_of(folder, plant, &at);
    /* First, so that a reply which is refused leaves the station something to answer. */
    if (r == 0)
        r = leave_request(dev, at.csr, plant, ret);
    return r < 0 ? r : take_reply(dev, &at, order, ret);
}
