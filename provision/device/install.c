/* Installing a set: everything is judged before anything changes, then one rename switches. The judging
 * itself is check.c's, the folders are generation.c's. */
#include <stdlib.h>
#include <string.h>

#include "provision/device/check.h"
#include "provision/device/installed.h"
#include "provision/device/reload.h"
#include "provision/device/tidy.h"
#include "provision/tpm/keyfile.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/time.h"
#include "src/pki/certificate.h"
#include "src/pki/chain.h"
#include "src/pki/openssl.h"

/* All that is known about a set on its way in. */
struct candidate {
    STACK_OF(X509) * chain, *anchors;
    struct dev_installed installed; /* what stands now */
    struct dev_pending pending;
    bool renewal;       /* the certificate is for the installed key, not the pending one */
    struct dev_set set; /* what will be written */
    struct dev_leaf leaf;
};

static void candidate_clear(struct candidate *candidate)
{
    pki_chain_free(candidate->chain);
    pki_chain_free(candidate->anchors);
    dev_installed_clear(&candidate->installed);
    dev_pending_clear(&candidate->pending);
    dev_set_clear(&candidate->set);
}

void dev_install_report_clear(struct dev_install_report *report)
{
    free(report->generation);
    *report = (struct dev_install_report){0};
}

static int parse(const struct dev_delivery *delivery, struct candidate *candidate)
{
    const struct pc_bytes *chain = delivery->chain, *ca = delivery->ca;
    int r = pki_chain_parse(chain->data, chain->len, &candidate->chain);
    if (r < 0)
        return r;
    if (!ca && !candidate->installed.leaf)
        return pc_refuse("install-anchor",
                         "no trust anchor is installed yet: the first install needs one (--ca)");
    if (!ca)
        ca = &candidate->installed.set.ca;
    r = pki_chain_parse(ca->data, ca->len, &candidate->anchors);
    if (r < 0)
        return pc_refuse("install-anchor", "trust anchor: %s", pc_error_text());
    return dev_check_anchors(candidate->anchors);
}

static bool same_key(const struct tpm_key *key, X509 *leaf)
{
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) public = NULL;
    return key && tpm_key_public(key, &public) == 0 && EVP_PKEY_eq(public, X509_get0_pubkey(leaf)) == 1;
}

/* Which of our keys the certificate is for. */
static int find_key(struct candidate *candidate)
{
    X509 *leaf = sk_X509_value(candidate->chain, 0);
    char fingerprint[PKI_FINGERPRINT_TEXT];
    if (candidate->pending.step >= DEV_STEP_READY && same_key(candidate->pending.key, leaf)) {
        candidate->renewal = false;
        return 0;
    }
    if (same_key(candidate->installed.key, leaf)) {
        candidate->renewal = true;
        return 0;
    }
    const EVP_PKEY *key = X509_get0_pubkey(leaf);
    int r = key ? pki_key_fingerprint(key, fingerprint)
                : pc_refuse("install-key", "the certificate's key cannot be read");
    if (r < 0)
        return r;
    return pc_refuse("install-key",
                     "the certificate is for key %s, which is neither pending nor installed here",
                     fingerprint);
}

static int judge(const struct dev *dev, struct candidate *candidate)
{
    int r = find_key(candidate);
    if (r < 0)
        return r;
    const struct dev_expected expected[] = {
        {.plant = candidate->renewal ? "" : candidate->pending.plant, .source = "the plant requested"},
        {.plant = candidate->installed.cn, .source = "the plant of the installed certificate"},
        {.plant = dev->settings.plant, .source = "the configured plant"},
    };
    r = dev_check_chain(candidate->chain, candidate->anchors, expected, sizeof expected / sizeof expected[0],
                        pc_now());
    return r < 0 ? r : dev_leaf_describe(sk_X509_value(candidate->chain, 0), &candidate->leaf);
}

/* Written anew from what was parsed: nothing else that the user's files hold gets into ours. */
static int append_all(const STACK_OF(X509) * certificates, struct pc_bytes *pem)
{
    int r = 0;
    for (int i = 0; r == 0 && i < sk_X509_num(certificates); i++)
        r = pki_certificate_append_pem(sk_X509_value(certificates, i), pem);
    return r;
}

static int compose(const struct dev *dev, struct candidate *candidate)
{
    const struct pc_bytes *current = &candidate->installed.set.key;
    int r = append_all(candidate->anchors, &candidate->set.ca);
    if (r == 0)
        r = append_all(candidate->chain, &candidate->set.certificate);
    if (r == 0)
        r = candidate->renewal ? pc_bytes_copy(current->data, current->len, &candidate->set.key)
                               : dev_pending_key_file(dev->settings.dir, &candidate->set.key);
    return r;
}

static int prove_key(struct dev *dev, const struct candidate *candidate)
{
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = NULL;
    int r = dev_key_open(dev, &candidate->set.key, &key);
    return r < 0 ? r : dev_check_signature(key, sk_X509_value(candidate->chain, 0));
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

static int report(const struct candidate *candidate, const char *generation, bool already,
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

/* The new set is written, then current. What a failure after the switch leaves behind, the next run clears
 * away. */
static int replace(struct dev *dev, const struct candidate *candidate, const struct dev_readers *readers,
                   char ret_name[DEV_GENERATION_TEXT])
{
    const char *dir = dev->settings.dir;
    struct dev_record record = {.reloaded = !dev_reload_wanted(dev)};
    memcpy(record.replaces, candidate->installed.name, sizeof record.replaces);
    int r = dev_generation_write(dir, &candidate->set, &record, readers, ret_name);
    if (r == 0)
        r = dev_generation_switch(dir, ret_name);
    if (r == 0 && dev_tidy(dev) < 0)
        pc_log(PC_LOG_WARNING, "the new set is installed; what it replaced is cleared away later: %s",
               pc_error_text());
    return r;
}

/* The locked part. `*ret_owed`: clients have still to be told of the set. */
static int install(struct dev *dev, const struct dev_delivery *delivery, struct dev_install_report *ret,
                   bool *ret_owed)
{
    const char *dir = dev->settings.dir;
    struct candidate PC_CLEANUP(candidate_clear) candidate = {0};
    struct dev_readers readers;
    char name[DEV_GENERATION_TEXT];
    int r = dev_readers(dev, &readers);
    if (r == 0)
        r = dev_folder_check(dir);
    if (r == 0)
        r = dev_tidy(dev);
    if (r == 0)
        r = dev_installed_read(dir, &candidate.installed);
    if (r == 0)
        r = dev_pending_load(dir, &candidate.pending);
    if (r == 0)
        r = parse(delivery, &candidate);
    if (r == 0)
        r = judge(dev, &candidate);
    if (r == 0)
        r = compose(dev, &candidate);
    if (r == 0)
        r = prove_key(dev, &candidate);
    if (r < 0)
        return r;
    bool already = candidate.installed.leaf && same_set(&candidate.set, &candidate.installed.set) &&
                   dev_generation_readable(dir, candidate.installed.name, &readers);
    *ret_owed = already ? !candidate.installed.record.reloaded : dev_reload_wanted(dev);
    if (candidate.installed.leaf && !same_bytes(&candidate.set.ca, &candidate.installed.set.ca))
        pc_log(PC_LOG_NOTICE, "%s: the trust anchor is replaced by the one given", dir);
    r = already ? dev_folder_link(dir) : replace(dev, &candidate, &readers, name);
    return r < 0 ? r : report(&candidate, already ? candidate.installed.name : name, already, ret);
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
    if (r == 0 && owed && dev_reload_run(dev, ret->generation, DEV_RELOAD_WAIT) < 0) {
        pc_log(PC_LOG_WARNING, "%s", pc_error_text());
        ret->reload_failed = true;
    }
    return r;
}
