/* The PLC's side as a whole: its folder, its key, its installed set. One operation a function; each takes the
 * folder's lock, can be repeated, and goes on from wherever the last one stopped. */
#ifndef DEV_DEVICE_H
#define DEV_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "provision/device/clock.h"
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
    bool key_auto; /* PKI_KEY_EC_P256 instead where this TPM's PSS salt is of no use to TLS 1.3 */
    enum dev_store store;
    uint32_t handle_first, handle_last; /* persistent handles that we may use; two are needed in turn */
    const char *reload;                 /* run by /bin/sh -c after a switch, or NULL */
    bool defer_reload;                  /* leave it owed, for dev_reload in a process of its own */
    bool station;                       /* one is configured: advice says 'enroll' */
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

/* What a command needs of a broker. Borrowed. */
struct dev_broker {
    const char *host;
    uint16_t port;
    unsigned timeout; /* seconds for the whole */
};

/* The pending key: made and tested if there is none. The file appears only after the key stands in the TPM,
 * and what a cut left behind is found and used or removed. */
int dev_keygen(struct dev *dev, struct dev_key_report *ret);

/* The CSR for `plant` (NULL: the configured one) as PEM, with the pending key (made if there is none), or,
 * when there is an installed set and no pending key, with a new pending key. The plant is remembered with the
 * pending key; another plant for the same pending key is PC_EREFUSED "plant-differs". */
int dev_request(struct dev *dev, const char *plant, struct pc_bytes *ret_pem, struct dev_key_report *ret);

/* Takes the device key at `handle` (0: at that of our handles which fits) back as the pending key, after the
 * PLC's folder was lost: its public key must be that of `chain`'s leaf (PEM), whose CN is remembered as the
 * plant requested; dev_install of the same chain finishes. PC_EREFUSED, naming the keys that are there,
 * "adopt-key", "handle-free", "handle-foreign", "install-cn"; "key-pending" when another key is pending. */
int dev_adopt(struct dev *dev, uint32_t handle, const struct pc_bytes *chain, struct dev_key_report *ret);

/* The CSR for the installed certificate's plant: with the installed key, or with a new pending key, which is
 * then remembered as with dev_request. PC_EREFUSED "not-installed" where nothing is. */
int dev_renew(struct dev *dev, struct pc_bytes *ret_pem, struct dev_key_report *ret);
int dev_rekey(struct dev *dev, struct pc_bytes *ret_pem, struct dev_key_report *ret);

/* What is to be installed, PEM (the CRL also DER). All borrowed. */
struct dev_delivery {
    const struct pc_bytes *chain; /* leaf first */
    const struct pc_bytes *ca;    /* trust anchors, or NULL: the installed ones */
    const struct pc_bytes *crl;   /* the issuer's, or NULL */
    void (*judged)(const void *); /* called with `about` when all is found good, before anything changes */
    const void *about;
};

struct dev_install_report {
    bool already; /* this very set was installed before */
    char cn[PKI_UUID_TEXT];
    char serial[41];
    char certificate_sha256[PKI_FINGERPRINT_TEXT];
    int64_t not_before, not_after;
    char *generation;   /* folder name, owned */
    bool reload_failed; /* the set stands; the command's exit was not 0 */
    bool reload_owed;   /* ... or it was left to dev_reload */
    bool legacy;        /* a device.key of before is still there, for dev_forget_legacy */
};
void dev_install_report_clear(struct dev_install_report *report);

/* Installs a chain. A set that is damaged is replaced: its own key is used if it can be read, or found at a
 * handle. Without anchors given the installed ca.crt stays the anchor (PC_EREFUSED "install-anchor"
 * when there is none); one that came with the chain never is. Checked before anything changes: chain, anchor,
 * CN, subject and SAN equal to the installed ones, profile (device), key (pending, current or previous; a
 * live signature in the TPM), dates by the clock and its floor, CRL. PC_EREFUSED with a name of its own for
 * each. A folder with plain ca.crt, device.crt and device.key is taken over: they stay as the previous
 * generation, device.key where it is. */
int dev_install(struct dev *dev, const struct dev_delivery *delivery, struct dev_install_report *ret);

/* Runs the reload command if a switch still owes it. `*ret_ran`: it was owed. PC_EFAIL when it failed: it
 * stays owed. */
int dev_reload(struct dev *dev, bool *ret_ran);

struct dev_confirm_report {
    bool already;
    bool proven;             /* by CONNACK 0 with the new certificate, in this call */
    char answer[256];        /* what the broker said, "" when it was not asked */
    unsigned handles, files; /* what went with the previous generation */
};
/* The current set is good: the one before it and its key go, and rollback is over. With a broker, only after
 * that has answered CONNACK 0 to the current certificate and key, under a client id of our own. PC_EREFUSED
 * "confirm-refused" when it refuses, "not-installed"; PC_EUNREACH as mqtt_probe. A legacy generation stays
 * for dev_forget_legacy. */
int dev_confirm(struct dev *dev, const struct dev_broker *broker, struct dev_confirm_report *ret);

/* Back to the previous set (also from a damaged one), which is checked as on install, then current again; the
 * newer one is kept as the previous one, and its install switches forward again. Done before: 0, `already`.
 * PC_EREFUSED "rollback-none", "chain-…" when it has expired, "key-…" when the TPM does not have its key. */
int dev_rollback(struct dev *dev, struct dev_install_report *ret);

enum dev_state {
    DEV_NONE,
    DEV_KEY_PENDING,
    DEV_REQUESTED,
    DEV_INSTALLED,
    DEV_DUE,
    DEV_EXPIRED,
    DEV_REKEY_PENDING,
    DEV_SWITCHED,    /* a new set is current, the one before it kept until it is confirmed */
    DEV_ROLLED_BACK, /* the set before is current again, the newer one kept */
    DEV_CONFIRMED,
    DEV_DAMAGED, /* a file of the installed set, or the link to it, is damaged or lost */
    DEV_STATES
};
const char *dev_state_name(enum dev_state state); /* "none", "key_pending", … */

/* Whether a key that is not the one in use is where it should be. */
enum dev_key_found { DEV_KEY_UNASKED, DEV_KEY_THERE, DEV_KEY_GONE };

/* What to call dev_status.plain where nothing is installed. */
#define DEV_PLAIN_FILES "a PLC with plain files: request, then install takes them over"

#define DEV_NEXT_MAX 320 /* bytes, with the NUL */

struct dev_status {
    enum dev_state state;
    bool due, expired;           /* of the installed certificate; true together where both hold */
    bool confirmed, rolled_back; /* of the installed set */
    bool legacy;                 /* a device.key of before is still there, for dev_forget_legacy */
    bool plain; /* the certificate in use, or, where none is installed, what lies in the folder, are plain
                   files of before */
    bool reload_owed;   /* clients have not been told of the set in use */
    bool plant_differs; /* the configured plant is not the installed one */
    bool adopted;       /* the pending key was taken back: its certificate exists */
    bool station;       /* one is configured */
    struct dev_clock clock;
    char next[DEV_NEXT_MAX]; /* what to do next, one sentence, "" when nothing is to be done */
    struct dev_key_report pending, current;
    char damage[512]; /* which file is damaged, and why; "" when none is: what follows is as far as it goes */
    bool installed;
    char cn[PKI_UUID_TEXT], serial[41], certificate_sha256[PKI_FINGERPRINT_TEXT];
    char generation[64], previous[64]; /* folder names or "" */
    int64_t not_before, not_after, renew_at;
    bool key_closed;  /* the key's file is not for this user to read: `current` or `pending` is not known */
    bool key_checked; /* the TPM was asked */
    int key_error;    /* what it said: 0 or PC_E… */
    const char *key_name; /* ... by name (base/error.h), "" when nothing is wrong */
    char key_text[512];
    enum dev_key_found pending_key, previous_key; /* beside an installed key; the previous set's */
    bool read;                                    /* the folder could be read */
};
/* The check at boot: whatever an interrupted run left is brought to an end, the installed set is verified
 * (chain to the anchor, dates, key by its Name: at most 3 TPM commands for a handle, 5 for a blob), the floor
 * of the clock raised, an owed reload run. No network. `ret` is set whenever the folder could be read. 0 when
 * the set is good, due or not; PC_EPENDING "not-installed"; PC_EREFUSED ("state-damaged" where it cannot be
 * read whole), PC_EAUTH, PC_EUNREACH otherwise, each within 30 s. */
int dev_check(struct dev *dev, struct dev_status *ret);

/* What is installed and until when; asks the TPM for the key (Name only) unless `offline`. Takes no lock, and
 * needs no right to read the key's file: what it cannot see then is left out, and `key_closed` says so. */
int dev_status(struct dev *dev, bool offline, struct dev_status *ret);

struct dev_forget_report {
    unsigned handles, files;
};
/* Removes what this program made: pending key, generations, links, and keys in the TPM whose Names are
 * written down; nothing else: plain files that were taken over, and are whole, are where they were. An
 * installed set and its key only with `force`: without it the pending key goes alone, and where there is
 * none, that is PC_EREFUSED "key-in-use". */
int dev_forget(struct dev *dev, bool force, struct dev_forget_report *ret);
/* Destroys the device.key of a PLC that was taken over (overwritten, then removed) and the legacy generation.
 * Done before: 0. PC_EREFUSED "legacy-unconfirmed" before dev_confirm, unless `force`. */
int dev_forget_legacy(struct dev *dev, bool force, struct dev_forget_report *ret);

#endif
