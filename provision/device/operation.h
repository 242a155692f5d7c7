/* One operation on a PLC's folder: its lock, and the TPM, opened when first needed. */
#ifndef DEV_OPERATION_H
#define DEV_OPERATION_H

#include <openssl/evp.h>

#include "provision/device/device.h"
#include "provision/device/generation.h"
#include "provision/provider/provider.h"

struct dev {
    struct dev_settings settings;
    int lock;                     /* -1 between operations */
    struct tpm *tpm;              /* NULL until needed */
    struct prov_session *session; /* NULL until needed */
};

#define DEV_LOCK_WAIT 2000 /* ms */

/* Takes the lock; the folder is made first if `make`. PC_EPENDING when another run holds it;
 * PC_EREFUSED "dir-legacy" when what is no folder stands where ours would be, "dir-owner" when others may
 * change it. */
int dev_begin(struct dev *dev, bool make);
/* Closes the TPM and lets the lock go; fine when there is nothing to close. */
void dev_end(struct dev *dev);
PC_DEFINE_CLEANUP(struct dev, dev_end);

/* The TPM, open until dev_end; borrowed. */
int dev_tpm(struct dev *dev, struct tpm **ret);
/* An EVP_PKEY that signs in the TPM, from a key file. Closes the TPM first: the provider opens it for each
 * signature, and one connection at a time is all that a TPM without resource manager has. Owned by the
 * caller, freed before dev_close. */
int dev_key_open(struct dev *dev, const struct pc_bytes *pem, EVP_PKEY **ret);

/* The group of the settings. PC_EUSAGE when there is no such group. */
int dev_readers(const struct dev *dev, struct dev_readers *ret);

/* Whether `r` is the refusal of this name. */
bool dev_refused_as(int r, const char *name);
/* Whether the TPM said that it does not have the key: "key-absent" or "key-name". */
bool dev_key_gone(int r);
/* What a use of the installed key ended in: where that is gone, with what it means and what to do. */
int dev_key_lost(int r);

#endif
