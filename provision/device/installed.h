/* The installed set, read: one generation, pinned by its name, so that a switch meanwhile mixes nothing.
 * Needs no lock and no TPM. */
#ifndef DEV_INSTALLED_H
#define DEV_INSTALLED_H

#include <openssl/x509.h>

#include "provision/device/device.h"
#include "provision/device/generation.h"

struct dev_installed {
    char name[DEV_GENERATION_TEXT], previous[DEV_GENERATION_TEXT];
    struct dev_set set;
    struct dev_record record;
    X509 *leaf;          /* owned; NULL when nothing is installed, and then all else is empty too, but for a
                            legacy generation without a certificate */
    struct tpm_key *key; /* owned; NULL in a legacy generation, and when set.closed */
    char cn[PKI_UUID_TEXT];
    char damage[512]; /* what salvage could not read, and why; "" when all is whole */
};
/* One generation, whichever; the caller holds the lock. */
int dev_installed_load(const char *dir, const char *name, struct dev_installed *ret);
/* The current one. */
int dev_installed_read(const char *dir, struct dev_installed *ret);
void dev_installed_clear(struct dev_installed *installed);
#define dev_autoinstalled PC_CLEANUP(dev_installed_clear) struct dev_installed

/* `leaf` and `cn` from the bytes in `set.certificate`. */
int dev_installed_parse(struct dev_installed *installed);

/* What reports say of a leaf. */
struct dev_leaf {
    char cn[PKI_UUID_TEXT], serial[41], sha256[PKI_FINGERPRINT_TEXT];
    int64_t not_before, not_after;
};
int dev_leaf_describe(const X509 *leaf, struct dev_leaf *ret);
int dev_install_describe(const struct dev_installed *installed, bool already, struct dev_install_report *ret);

#endif
