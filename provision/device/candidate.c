/* Judging what is to be installed, against what stands. The rules for a chain alone are check.c's and
 * revocation.c's. */
#include "provision/device/candidate.h"

#include <stdio.h>
#include <string.h>

#include "provision/device/check.h"
#include "provision/device/legacy.h"
#include "provision/device/salvage.h"
#include "provision/device/verify.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/time.h"
#include "src/pki/bundle.h"
#include "src/pki/certificate.h"
#include "src/pki/chain.h"
#include "src/pki/openssl.h"

void dev_candidate_clear(struct dev_candidate *candidate)
{
    pki_chain_free(candidate->chain);
    pki_chain_free(candidate->anchors);
    pki_crls_free(candidate->crls);
    dev_installed_clear(&candidate->installed);
    dev_installed_clear(&candidate->previous);
    dev_installed_clear(&candidate->found);
    dev_pending_clear(&candidate->pending);
    dev_set_clear(&candidate->set);
}

/* What stands: the current generation, or plain files, which a cut may have left taken over in part. */
static int read_installed(const char *dir, struct dev_candidate *candidate)
{
    struct dev_installed *installed = &candidate->installed;
    unsigned plain = 0;
    int r = dev_folder_check(dir, &plain);
    if (r == 0)
        r = dev_salvage_read(dir, installed);
    if (r < 0 || plain == 0)
        return r;
    if (installed->name[0] && !installed->record.legacy)
        return pc_refuse("dir-legacy",
                         "%s: a plain file stands where a link into current/ should be; this program did not "
                         "put it there",
                         dir);
    dev_installed_clear(installed);
    return dev_legacy_read(dir, installed);
}

/* Only its key and its anchor are asked for: what is damaged of it is as good as gone. */
static void read_previous(const char *dir, struct dev_candidate *candidate)
{
    const char *name = candidate->installed.previous;
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/generations/%s", dir, name);
    if (!*name || !pc_file_exists(path))
        return;
    if (dev_salvage_load(dir, name, &candidate->previous) < 0)
        pc_log(PC_LOG_WARNING, "%s", pc_error_text());
    else if (candidate->previous.damage[0])
        pc_log(PC_LOG_WARNING, "%s", candidate->previous.damage);
}

static const struct pc_bytes *pinned_anchor(const struct dev_candidate *candidate)
{
    const struct dev_installed *installed = &candidate->installed, *previous = &candidate->previous;
    /* An anchor that is lost may have been put in the place of the previous one for a reason. */
    if (installed->damage[0])
        return installed->set.ca.len && !installed->record.legacy ? &installed->set.ca : NULL;
    if (installed->leaf && !installed->record.legacy)
        return &installed->set.ca;
    return previous->leaf && !previous->record.legacy ? &previous->set.ca : NULL;
}

static int parse(const struct dev_delivery *delivery, struct dev_candidate *candidate)
{
    const struct pc_bytes *ca = delivery->ca ? delivery->ca : pinned_anchor(candidate);
    int r = dev_check_parse(delivery->chain, &candidate->chain);
    if (r < 0)
        return r;
    if (!ca)
        return pc_refuse("install-anchor", "%s",
                         candidate->installed.damage[0]
                             ? "no trust anchor is installed any more: the install needs one (--ca)"
                         : candidate->installed.set.ca.len
                             ? "the plain ca.crt that stands here is not taken for a trust anchor: the first "
                               "install needs one (--ca)"
                             : "no trust anchor is installed yet: the first install needs one (--ca)");
    r = dev_check_parse(ca, &candidate->anchors);
    if (r < 0)
        return pc_refuse("install-anchor", "trust anchor: %s", pc_error_text());
    r = dev_check_anchors(candidate->anchors);
    if (r == 0 && delivery->crl)
        r = dev_check_crls_parse(delivery->crl, &candidate->crls);
    return r;
}

static bool same_key(const struct tpm_key *key, X509 *leaf)
{
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) public = NULL;
    return key && tpm_key_public(key, &public) == 0 && EVP_PKEY_eq(public, X509_get0_pubkey(leaf)) == 1;
}

/* A certificate that is another PLC's is told by its plant, too; "" where that is ours. */
static void name_plants(const struct dev *dev, const struct dev_candidate *candidate, char ret[160])
{
    const char *const ours[] = {candidate->pending.plant, candidate->installed.cn, dev->settings.plant};
    struct dev_leaf leaf;
    ret[0] = '\0';
    if (dev_leaf_describe(sk_X509_value(candidate->chain, 0), &leaf) < 0)
        return;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0] && !ret[0]; i++)
        if (ours[i] && *ours[i] && strcmp(ours[i], leaf.cn) != 0)
            snprintf(ret, 160, "; it is plant %s's, and this is plant %s", leaf.cn, ours[i]);
}

/* Which of our keys the certificate is for; after a roll-back the previous one is the newer. A key whose file
 * is lost is looked for in the TPM. */
static int find_key(struct dev *dev, struct dev_candidate *candidate)
{
    X509 *leaf = sk_X509_value(candidate->chain, 0);
    int r = 0;
    const struct dev_installed *const kept[] = {&candidate->installed, &candidate->previous};
    char fingerprint[PKI_FINGERPRINT_TEXT];
    candidate->source = NULL;
    if (candidate->pending.step >= DEV_STEP_READY && same_key(candidate->pending.key, leaf))
        return 0;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        if (same_key(kept[i]->key, leaf)) {
            candidate->source = kept[i];
            return 0;
        }
    }
    const EVP_PKEY *key = X509_get0_pubkey(leaf);
    if (candidate->installed.damage[0] || candidate->previous.damage[0])
        r = dev_salvage_key(dev, leaf, &candidate->found);
    if (r < 0)
        return r;
    if (candidate->found.key) {
        candidate->source = &candidate->found;
        return 0;
    }
    r = key ? pki_key_fingerprint(key, fingerprint)
            : pc_refuse("install-key", "the certificate's key cannot be read");
    if (r < 0)
        return r;
    char whose[160];
    name_plants(dev, candidate, whose);
    return pc_refuse("install-key",
                     "the certificate is for key %s, which is neither pending nor installed here%s",
                     fingerprint, whose);
}

/* When what is judged by dates is judged, said where it is not the machine's own time. */
static int find_time(const struct dev *dev, const struct dev_candidate *candidate, int64_t *ret)
{
    struct dev_clock clock;
    char now[PC_TIME_TEXT], at[PC_TIME_TEXT];
    int r = dev_verify_clock(dev, &candidate->installed, candidate->anchors, &clock);
    if (r < 0)
        return r;
    pc_time_format(clock.now, now);
    pc_time_format(clock.at, at);
    if (clock.behind || clock.implausible)
        pc_log(PC_LOG_WARNING, "the clock says %s, which lies %s: dates are judged by %s", now,
               clock.behind ? "before a time that is proven" : "past the end of every trust anchor", at);
    *ret = clock.at;
    return 0;
}

static int judge_chain(const struct dev *dev, struct dev_candidate *candidate, int64_t at)
{
    const struct dev_installed *installed = &candidate->installed;
    X509 *leaf = sk_X509_value(candidate->chain, 0);
    int64_t this_update = 0;
    const struct dev_expected expected[] = {
        {.plant = candidate->source ? "" : candidate->pending.plant, .source = "the plant requested"},
        {.plant = installed->cn, .source = "the plant of the installed certificate"},
        {.plant = installed->damage[0] ? candidate->previous.cn : "",
         .source = "the plant of the previous certificate"},
        {.plant = dev->settings.plant, .source = "the configured plant"},
    };
    int r = dev_check_chain(candidate->chain, candidate->anchors, expected,
                            sizeof expected / sizeof expected[0], at);
    if (r == 0 && installed->leaf && !installed->record.legacy)
        r = dev_check_successor(leaf, installed->leaf);
    if (r == 0 && candidate->crls)
        r = dev_check_crls(candidate->chain, candidate->anchors, candidate->crls, at, &this_update);
    /* The CRL proves that it is at least so late: what has ended by then must not raise the floor past
     * itself. */
    if (r == 0 && this_update > at) {
        r = dev_check_chain(candidate->chain, candidate->anchors, expected,
                            sizeof expected / sizeof expected[0], this_update);
        if (r < 0)
            return pc_fail_in("by the CRL's thisUpdate");
    }
    if (r == 0)
        r = dev_leaf_describe(leaf, &candidate->leaf);
    if (r < 0)
        return r;
    candidate->proven = this_update > candidate->leaf.not_before ? this_update : candidate->leaf.not_before;
    return 0;
}

/* Written anew from what was parsed: nothing else that the user's files hold gets into ours. */
static int append_all(const STACK_OF(X509) * certificates, struct pc_bytes *pem)
{
    int r = 0;
    for (int i = 0; r == 0 && i < sk_X509_num(certificates); i++)
        r = pki_certificate_append_pem(sk_X509_value(certificates, i), pem);
    return r;
}

static int compose(const char *dir, struct dev_candidate *candidate)
{
    const struct dev_installed *source = candidate->source;
    int r = append_all(candidate->anchors, &candidate->set.ca);
    if (r == 0)
        r = append_all(candidate->chain, &candidate->set.certificate);
    if (r < 0)
        return r;
    return source ? pc_bytes_copy(source->set.key.data, source->set.key.len, &candidate->set.key)
                  : dev_pending_key_file(dir, &candidate->set.key);
}

int dev_candidate_judge(struct dev *dev, const struct dev_delivery *delivery, struct dev_candidate *ret)
{
    const char *dir = dev->settings.dir;
    int64_t at = 0;
    int r = read_installed(dir, ret);
    if (r == 0)
        r = dev_pending_load(dir, &ret->pending);
    if (r < 0)
        return r;
    read_previous(dir, ret);
    r = parse(delivery, ret);
    if (r == 0)
        r = find_key(dev, ret);
    if (r == 0)
        r = find_time(dev, ret, &at);
    if (r == 0)
        r = judge_chain(dev, ret, at);
    return r < 0 ? r : compose(dir, ret);
}
