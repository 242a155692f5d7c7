/* The pending key on disk: folder pending/ with key.tpm (the key file, as a blob until the key persists) and
 * `state` (what was decided, written down before it is done). Asks no TPM. The caller holds the lock. */
#ifndef DEV_PENDING_H
#define DEV_PENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "provision/tpm/key.h"
#include "src/pki/name.h"

/* How far a pending key has come; each step is written down when it is done. */
enum dev_step {
    DEV_STEP_NONE,      /* no state written */
    DEV_STEP_MADE,      /* the blob is in key.tpm; `handle`, if any, is where it goes next */
    DEV_STEP_READY,     /* persistent where wanted, tested; key.tpm is what will be installed */
    DEV_STEP_REQUESTED, /* a CSR for `plant` was given out */
    DEV_STEPS
};

struct dev_pending {
    bool present; /* the folder is there, whatever is in it */
    enum dev_step step;
    struct tpm_key *key;       /* owned; NULL when there is no usable key file */
    uint32_t handle;           /* written down before EvictControl; 0 for a blob */
    struct tpm_name name;      /* of the key that `handle` was meant for; len 0 when none was written */
    char plant[PKI_UUID_TEXT]; /* "" until requested */
    bool adopted;              /* taken back against a certificate, and no CSR given out since */
};
void dev_pending_clear(struct dev_pending *pending);
#define dev_autopending PC_CLEANUP(dev_pending_clear) struct dev_pending

/* Whatever a cut left there is no error: a missing or unusable file shows as step NONE or key NULL. */
int dev_pending_load(const char *dir, struct dev_pending *ret);
/* The key file as bytes, as it will be installed. */
int dev_pending_key_file(const char *dir, struct pc_bytes *ret);
/* Write pending->key, and all the rest, durably. */
int dev_pending_write_key(const char *dir, const struct dev_pending *pending);
int dev_pending_write_state(const char *dir, const struct dev_pending *pending);
int dev_pending_remove(const char *dir, unsigned *count);

#endif
