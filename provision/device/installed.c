/* Reading the installed set and describing its certificate. Writing it is generation.c's. */
#include "provision/device/installed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provision/tpm/keyfile.h"
#include "src/base/error.h"
#include "src/pki/certificate.h"
#include "src/pki/chain.h"
#include "src/pki/openssl.h"

void dev_installed_clear(struct dev_installed *installed)
{
    dev_set_clear(&installed->set);
    X509_free(installed->leaf);
    tpm_key_free(installed->key);
    *installed = (struct dev_installed){0};
}

int dev_leaf_describe(const X509 *leaf, struct dev_leaf *ret)
{
    struct dev_leaf about = {0};
    struct pki_serial serial;
    pc_autofree char *cn = NULL;
    int r = pki_name_cn(X509_get_subject_name(leaf), &cn);
    if (r == 0 && !pki_uuid_is_canonical(cn))
        r = pc_refuse("install-cn", "the certificate's CN is no canonical UUID");
    if (r == 0)
        r = pki_serial_of(leaf, &serial);
    if (r == 0)
        r = pki_certificate_fingerprint(leaf, about.sha256);
    if (r == 0)
        r = pki_certificate_dates(leaf, &about.not_before, &about.not_after);
    if (r < 0)
        return r;
    pki_serial_format(&serial, about.serial);
    snprintf(about.cn, sizeof about.cn, "%s", cn);
    *ret = about;
    return 0;
}

int dev_install_describe(const struct dev_installed *installed, bool already, struct dev_install_report *ret)
{
    struct dev_leaf leaf;
    int r = dev_leaf_describe(installed->leaf, &leaf);
    if (r < 0)
        return r;
    struct dev_install_report about = {
        .already = already, .not_before = leaf.not_before, .not_after = leaf.not_after};
    memcpy(about.cn, leaf.cn, sizeof about.cn);
    memcpy(about.serial, leaf.serial, sizeof about.serial);
    memcpy(about.certificate_sha256, leaf.sha256, sizeof about.certificate_sha256);
    about.generation = strdup(installed->name);
    if (!about.generation)
        return pc_fail(PC_EFAIL, "out of memory");
    *ret = about;
    return 0;
}

int dev_installed_parse(struct dev_installed *installed)
{
    STACK_OF(X509) *chain = NULL;
    struct dev_leaf about;
    int r = pki_chain_parse(installed->set.certificate.data, installed->set.certificate.len, &chain);
    if (r < 0)
        return r;
    installed->leaf = sk_X509_shift(chain);
    pki_chain_free(chain);
    r = dev_leaf_describe(installed->leaf, &about);
    if (r == 0)
        snprintf(installed->cn, sizeof installed->cn, "%s", about.cn);
    return r;
}

int dev_installed_load(const char *dir, const char *name, struct dev_installed *ret)
{
    dev_autoinstalled installed = {0};
    struct dev_record *record = &installed.record;
    int r = dev_generation_record(dir, name, record);
    if (r == 0)
        r = dev_generation_load(dir, name, record->legacy, &installed.set);
    /* None at all is a legacy generation's alone. */
    if (r == 0 && (installed.set.certificate.len || !record->legacy))
        r = dev_installed_parse(&installed);
    if (r == 0 && !record->legacy && !installed.set.closed)
        r = tpm_keyfile_parse(installed.set.key.data, installed.set.key.len, &installed.key);
    if (r < 0)
        return pc_fail_in("%s/generations/%s", dir, name);
    snprintf(installed.name, sizeof installed.name, "%s", name);
    memcpy(installed.previous, record->replaces, sizeof record->replaces);
    *ret = installed;
    installed = (struct dev_installed){0};
    return 0;
}

int dev_installed_read(const char *dir, struct dev_installed *ret)
{
    *ret = (struct dev_installed){0};
    for (int attempt = 0;; attempt++) {
        char before[DEV_GENERATION_TEXT], after[DEV_GENERATION_TEXT];
        int r = dev_generation_current(dir, before);
        if (r == 0 && before[0])
            r = dev_installed_load(dir, before, ret);
        /* Without the lock, two installs may have replaced and removed it meanwhile. */
        if (r == 0 || attempt == 2 || dev_generation_current(dir, after) < 0 || strcmp(before, after) == 0)
            return r;
    }
}
