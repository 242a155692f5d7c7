/* Generations: complete sets of ca.crt, device.crt and device.tpm, each in a folder of its own
 * (generations/NNNN), of which the link `current` names one. Bytes only: no certificate is judged here, and
 * no TPM is asked. The caller holds the lock. */
#ifndef DEV_GENERATION_H
#define DEV_GENERATION_H

#include <stdbool.h>
#include <sys/types.h>

#include "provision/device/folder.h"
#include "src/base/memory.h"

#define DEV_GENERATION_TEXT 16 /* "0001"… with its NUL */
#define DEV_FILE_MAX 65536     /* bytes of any file of a set */

/* The bytes of a set's files. */
struct dev_set {
    struct pc_bytes ca, certificate, key;
    bool closed; /* device.tpm is there, but not for this user to read */
};
void dev_set_clear(struct dev_set *set);
#define dev_autoset PC_CLEANUP(dev_set_clear) struct dev_set

/* What a generation says about itself (file `record`), so that one rename switches this too. */
struct dev_record {
    char replaces[DEV_GENERATION_TEXT]; /* the generation before it, kept as long as this one is current; ""
                                           for the first */
    bool reloaded;                      /* the reload command has run since the switch, or none is wanted */
    bool confirmed;                     /* the operator, or a broker, said that it is good */
    bool switched;                      /* it was made the current one; noted after the switch */
    bool rolled_back; /* it is current again in place of `replaces`, which is the newer one */
    bool legacy;      /* plain files of before: ca.crt and device.crt, no device.tpm */
};

/* The generation that `current` names; "" when none does. PC_EREFUSED "dir-legacy" when `current` is not
 * ours. */
int dev_generation_current(const char *dir, char ret[DEV_GENERATION_TEXT]);
/* A legacy one has no key, and perhaps not both of the others: what is missing stays empty; so does a key
 * file that is `closed`. */
int dev_generation_load(const char *dir, const char *name, bool legacy, struct dev_set *ret);
int dev_generation_record(const char *dir, const char *name, struct dev_record *ret);
int dev_generation_record_write(const char *dir, const char *name, const struct dev_record *record);
/* The current generation and the one before it, of which either may be "". */
int dev_generation_kept(const char *dir, char ret_current[DEV_GENERATION_TEXT],
                        char ret_previous[DEV_GENERATION_TEXT]);

/* Who may read device.tpm: mode 0640 and this group, or 0600. */
struct dev_readers {
    bool group;
    gid_t gid;
};
/* Whether a generation's device.tpm is readable by exactly these. */
bool dev_generation_readable(const char *dir, const char *name, const struct dev_readers *readers);
/* Gives a generation the modes and the group that it was written with, where something has changed them.
 * Notices what was set right. */
int dev_generation_restore(const char *dir, const char *name, const struct dev_readers *readers);
/* Writes a whole new generation, durably, beside the others; nothing that a client sees changes. What is
 * empty in the set is not written. */
int dev_generation_write(const char *dir, const struct dev_set *set, const struct dev_record *record,
                         const struct dev_readers *readers, char ret_name[DEV_GENERATION_TEXT]);
/* Makes it the current one: the visible links first (they dangle before the very first switch), then one
 * rename. */
int dev_generation_switch(const char *dir, const char *name);

/* The names of all generation folders, complete or not, in ascending order; `*ret` has `*ret_count` of them
 * and is owned by the caller. Other names are not ours and not listed. */
int dev_generation_list(const char *dir, char (**ret)[DEV_GENERATION_TEXT], size_t *ret_count);
int dev_generation_remove(const char *dir, const char *name, unsigned *count);

#endif
