/* The PLC's side as a whole: its folder, its key, its installed set. One operation a function; each takes the
 * folder's lock, can be repeated, and goes on from wherever the last one stopped. */
#ifndef DEV_DEVICE_H
#define DEV_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "provision/tpm/key.h"
#include "src/base/memory.h"
#include "src/pki/key.h"
#include "src/pki/name.h"

enum dev_store { DEV_STORE_HANDLE, DEV_STORE_BLOB };

/* What the configuration says. All borrowed for the life of the struct dev. */
struct dev_settings {
    const char *plant; /* canonical UUID, or NULL when not configured */
    const char *dir;   /* absolute: ca.crt, device.crt, device.tpm, current, … */
    const char *group; /* group that may read device.tpm, or NULL */
    enum pki_key_type key;
    enum dev_store store;
    uint32_t handle_first, handle_last; /* persistent handles that we may use; two are needed in turn */
    const char *reload;                 /* run by /bin/sh -c after a switch, or NULL */
    int64_t renew_before;               /* seconds */
    struct tpm_place tpm;
};

struct dev;                                                          /* a PLC's folder, opened */
int dev_open(const struct dev_settings *settings, struct dev **ret); /* makes nothing */
void dev_close(struct dev *dev);
PC_DEFINE_CLEANUP(struct dev, dev_close);

/* A key as operators see it. */
struct dev_key_report {
    bool present;
    bool made; /* by this call */
    enum pki_key_type type;
    uint32_t handle;                        /* 0 for a blob */
    char fingerprint[PKI_FINGERPRINT_TEXT]; /* as pki_key_fingerprint */
};

/* The pending key: made and tested if there is none. The file appears only after the key stands in the TPM,
 * and what a cut left behind is found and used or removed. */
int dev_keygen(struct dev *dev, struct dev_key_report *ret);

/* The CSR for `plant` (NULL: the configured one) as PEM, with the pending key (made if there is none), or,
 * when there is an installed set and no pending key, with a new pending key. The plant is remembered with the
 * pending key; another plant for the same pending key is PC_EREFUSED "plant-differs". */
int dev_request(struct dev *dev, const char *plant, struct pc_bytes *ret_pem, struct dev_key_report *ret);

struct dev_install_report {
    bool already; /* this very set was installed before */
    char cn[PKI_UUID_TEXT];
    char serial[41];
    char certificate_sha256[PKI_FINGERPRINT_TEXT];
    int64_t not_before, not_after;
    char *generation;   /* folder name, owned */
    bool reload_failed; /* the set stands; the command's exit was not 0 */
};
void dev_install_report_clear(struct dev_install_report *report);

/* Installs a chain (leaf first, PEM) and, if `ca` is given, that trust anchor file's bytes; without it, the
 * installed ca.crt stays the anchor (PC_EREFUSED "install-anchor" when there is none). Checked before
 * anything changes: chain, anchor, CN, profile (device), key (pending or current; a live signature in the
 * TPM), dates. PC_EREFUSED with a name of its own for each. */
int dev_install(struct dev *dev, const struct pc_bytes *chain, const struct pc_bytes *ca,
                struct dev_install_report *ret);

enum dev_state {
    DEV_NONE,
    DEV_KEY_PENDING,
    DEV_REQUESTED,
    DEV_INSTALLED,
    DEV_DUE,
    DEV_EXPIRED,
    DEV_REKEY_PENDING
};
const char *dev_state_name(enum dev_state state); /* "none", "key_pending", … */

struct dev_status {
    enum dev_state state;
    struct dev_key_report pending, current;
    bool installed;
    char cn[PKI_UUID_TEXT], serial[41], certificate_sha256[PKI_FINGERPRINT_TEXT];
    char generation[64], previous[64]; /* folder names or "" */
    int64_t not_before, not_after, renew_at;
    bool key_checked;     /* the TPM was asked */
    int key_error;        /* what it said: 0 or PC_E… */
    const char *key_name; /* ... by name (base/error.h), "" when nothing is wrong */
    char key_text[256];
};
/* What is installed and until when; asks the TPM for the key (Name only) unless `offline`. */
int dev_status(struct dev *dev, bool offline, struct dev_status *ret);

struct dev_forget_report {
    unsigned handles, files;
};
/* Removes what this program made: pending key, generations, links, and keys in the TPM whose Names are
 * written down; nothing else. An installed set and its key only with `force`: without it the pending key goes
 * alone, and where there is none, that is PC_EREFUSED "key-in-use". */
int dev_forget(struct dev *dev, bool force, struct dev_forget_report *ret);

#endif
