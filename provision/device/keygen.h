/* The pending key, ready to be used; for keygen and request. The caller holds the lock. */
#ifndef DEV_KEYGEN_H
#define DEV_KEYGEN_H

#include "provision/device/operation.h"
#include "provision/device/pending.h"

/* Finds the pending key in the TPM, finishes what was begun, or makes one. `*ret_made`: some of it was done
 * by this call. Without `probe` a key that is ready is not looked for: its caller signs with it at once, and
 * hears of it then. */
int dev_key_ready(struct dev *dev, bool probe, struct dev_pending *ret, bool *ret_made);
/* After dev_key_gone: drops the record of the pending key, with a warning that holds the last error. */
int dev_key_afresh(struct dev *dev);

int dev_key_describe(const struct tpm_key *key, struct dev_key_report *ret);

#endif
