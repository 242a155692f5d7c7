/* Confirming the current set: proven by a broker or said by the operator, and then the set before it goes.
 * How a broker is asked is src/mqtt's. */
#include <stdio.h>
#include <string.h>

#include "provision/device/installed.h"
#include "provision/device/tidy.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/random.h"
#include "src/mqtt/probe.h"
#include "src/pki/chain.h"
#include "src/pki/openssl.h"

#define CLIENT_ID_TEXT 40

static int not_installed(const struct dev *dev)
{
    return pc_refuse("not-installed", "%s: no certificate is installed, so there is nothing to confirm",
                     dev->settings.dir);
}

/* Never the plant's own, which would throw off the client that is running. */
static int client_id(char ret[CLIENT_ID_TEXT])
{
    unsigned char octets[8];
    char text[2 * sizeof octets + 1];
    int r = pc_random(octets, sizeof octets);
    if (r < 0)
        return r;
    pc_hex(octets, sizeof octets, text);
    snprintf(ret, CLIENT_ID_TEXT, "plantcert-confirm-%s", text);
    return 0;
}

static int load_key(struct dev *dev, const struct dev_installed *installed, EVP_PKEY **ret)
{
    if (installed->record.legacy)
        return pc_refuse("key-legacy",
                         "the current set's key is the file device.key, not one in the TPM: only "
                         "the operator can say that it is good");
    return dev_key_open(dev, &installed->set.key, ret);
}

/* Lets the broker speak. What the TPM said goes before what the broker made of it. */
static int ask(struct dev *dev, const struct dev_broker *broker, const struct dev_installed *installed,
               const STACK_OF(X509) * chain, const STACK_OF(X509) * anchors, char ret_answer[256])
{
    char id[CLIENT_ID_TEXT], answer[256] = "";
    enum mqtt_answer said = MQTT_REFUSED;
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = NULL;
    STACK_OF(X509) *behind = NULL;
    int r = client_id(id);
    if (r == 0)
        r = load_key(dev, installed, &key);
    if (r < 0)
        return r;
    behind = sk_X509_dup(chain);
    if (!behind)
        return pc_fail(PC_EFAIL, "out of memory");
    sk_X509_shift(behind);
    const struct mqtt_probe probe = {
        .host = broker->host,
        .port = broker->port,
        .anchors = anchors,
        .certificate = sk_X509_value(chain, 0),
        .chain = behind,
        .key = key,
        .libctx = prov_libctx(dev->session),
        .client_id = id,
        .timeout = broker->timeout,
    };
    r = mqtt_probe(&probe, &said, answer);
    sk_X509_free(behind);
    char failed[512];
    snprintf(failed, sizeof failed, "%s", r < 0 ? pc_error_text() : "");
    int fault = r < 0 || said != MQTT_ACCEPTED ? prov_fault_take(dev->session) : 0;
    if (fault < 0)
        return dev_key_lost(fault);
    if (r < 0)
        return r;
    if (said != MQTT_ACCEPTED)
        return pc_refuse("confirm-refused", "broker %s:%u does not accept the current certificate: %s",
                         broker->host, broker->port, answer);
    memcpy(ret_answer, answer, sizeof answer);
    return 0;
}

/* CONNACK 0 for the current set, which is given back. Without the lock: a broker that is silent must not keep
 * a boot script waiting. */
static int prove(struct dev *dev, const struct dev_broker *broker, struct dev_installed *ret,
                 char ret_answer[256])
{
    STACK_OF(X509) *chain = NULL, *anchors = NULL;
    int r = dev_installed_read(dev->settings.dir, ret);
    if (r == 0 && !ret->leaf)
        r = not_installed(dev);
    if (r == 0)
        r = pki_chain_parse(ret->set.certificate.data, ret->set.certificate.len, &chain);
    if (r == 0)
        r = pki_chain_parse(ret->set.ca.data, ret->set.ca.len, &anchors);
    if (r == 0)
        r = ask(dev, broker, ret, chain, anchors, ret_answer);
    pki_chain_free(chain);
    pki_chain_free(anchors);
    return r;
}

/* A set whose key this TPM does not have cannot be good, whoever says so. */
static int check_key(struct dev *dev, const struct dev_installed *installed)
{
    struct tpm *tpm;
    if (!installed->key)
        return 0;
    int r = dev_tpm(dev, &tpm);
    return r < 0 ? r : dev_key_lost(tpm_key_probe(tpm, installed->key));
}

/* One record says both: this set is good, and nothing is kept for going back. From then on the set before it
 * is one that nothing names. */
static int settle(struct dev *dev, const struct dev_installed *installed, struct dev_confirm_report *report)
{
    struct dev_record record = installed->record;
    struct dev_forget_report dropped = {0};
    record.replaces[0] = '\0';
    record.rolled_back = false;
    record.confirmed = true;
    int r = dev_generation_record_write(dev->settings.dir, installed->name, &record);
    if (r < 0)
        return r;
    if (dev_tidy_count(dev, &dropped) < 0)
        pc_log(PC_LOG_WARNING, "the set is confirmed; the one before it is cleared away later: %s",
               pc_error_text());
    report->handles = dropped.handles;
    report->files = dropped.files;
    return 0;
}

/* A generation's number alone does not tell: one that was removed meanwhile may have lent it to another. */
static bool is_same(const struct dev_installed *a, const struct dev_installed *b)
{
    return strcmp(a->name, b->name) == 0 && X509_cmp(a->leaf, b->leaf) == 0;
}

/* `proven`: the set that a broker has accepted, or NULL. */
static int confirm(struct dev *dev, const struct dev_installed *proven, struct dev_confirm_report *report)
{
    dev_autoinstalled installed = {0};
    dev_tidy_try(dev);
    int r = dev_installed_read(dev->settings.dir, &installed);
    if (r < 0)
        return r;
    if (!installed.leaf)
        return not_installed(dev);
    if (proven && !is_same(proven, &installed))
        return pc_fail_named(PC_EPENDING, "confirm-switched",
                             "generation %s was proven, but meanwhile %s is current: confirm again",
                             proven->name, installed.name);
    r = proven ? 0 : check_key(dev, &installed);
    report->already = installed.record.confirmed && installed.record.replaces[0] == '\0';
    return r < 0 || report->already ? r : settle(dev, &installed, report);
}

int dev_confirm(struct dev *dev, const struct dev_broker *broker, struct dev_confirm_report *ret)
{
    struct dev_confirm_report report = {0};
    dev_autoinstalled proven = {0};
    if (!pc_file_exists(dev->settings.dir))
        return not_installed(dev);
    int r = broker ? prove(dev, broker, &proven, report.answer) : 0;
    if (r == 0)
        r = dev_begin(dev, false);
    if (r < 0)
        return r;
    struct dev *PC_CLEANUP(dev_end_ref) busy = dev;
    report.proven = broker != NULL;
    r = confirm(busy, broker ? &proven : NULL, &report);
    if (r == 0)
        *ret = report;
    return r;
}
