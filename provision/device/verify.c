/* Verifying a set that is installed already. What is on its way in is candidate.c's. */
#include "provision/device/verify.h"

#include "provision/device/check.h"
#include "provision/device/legacy.h"
#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/certificate.h"
#include "src/pki/chain.h"

static void chain_free_ref(STACK_OF(X509) * *chain)
{
    pki_chain_free(*chain);
}

int dev_verify_clock(const struct dev *dev, const struct dev_installed *installed,
                     const STACK_OF(X509) * given, struct dev_clock *ret)
{
    PC_CLEANUP(chain_free_ref) STACK_OF(X509) *anchors = NULL;
    int64_t end = dev_check_anchors_end(given), installed_end = 0;
    /* Anchors that cannot be read say nothing of the time. */
    if (installed->set.ca.len &&
        pki_chain_parse(installed->set.ca.data, installed->set.ca.len, &anchors) == 0)
        installed_end = dev_check_anchors_end(anchors);
    return dev_clock_read(dev->settings.dir, end > installed_end ? end : installed_end, ret);
}

static int verify_legacy(const struct dev *dev, const struct dev_installed *installed, int64_t at)
{
    int64_t not_before, not_after;
    char until[PC_TIME_TEXT];
    if (!installed->leaf)
        return pc_refuse("install-chain", "the plain files that were taken over hold no certificate");
    int r = pki_certificate_dates(installed->leaf, &not_before, &not_after);
    if (r < 0)
        return r;
    pc_time_format(not_after, until);
    if (at > not_after)
        return pc_refuse("chain-expired", "the certificate that was taken over ended at %s", until);
    if (!dev_legacy_key(dev->settings.dir))
        return pc_refuse("key-absent", "%s/" DEV_LEGACY_KEY ": is gone", dev->settings.dir);
    return 0;
}

int dev_verify_set(const struct dev *dev, const struct dev_installed *installed, int64_t at)
{
    PC_CLEANUP(chain_free_ref) STACK_OF(X509) *chain = NULL;
    PC_CLEANUP(chain_free_ref) STACK_OF(X509) *anchors = NULL;
    const struct dev_expected expected[] = {
        {.plant = installed->cn, .source = "the plant installed"},
        {.plant = dev->settings.plant, .source = "the configured plant"},
    };
    if (installed->record.legacy)
        return verify_legacy(dev, installed, at);
    int r = pki_chain_parse(installed->set.certificate.data, installed->set.certificate.len, &chain);
    if (r == 0)
        r = pki_chain_parse(installed->set.ca.data, installed->set.ca.len, &anchors);
    if (r == 0)
        r = dev_check_anchors(anchors);
    if (r == 0)
        r = dev_check_chain(chain, anchors, expected, sizeof expected / sizeof expected[0], at);
    return r < 0 ? pc_fail_in("%s/generations/%s", dev->settings.dir, installed->name) : 0;
}
