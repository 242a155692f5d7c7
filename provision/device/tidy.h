/* Keys and folders that nothing names any more: what a cut or a newer generation left behind. A key is
 * evicted only by a Name that is written down, and never one that a kept record names too. The caller holds
 * the lock. */
#ifndef DEV_TIDY_H
#define DEV_TIDY_H

#include "provision/device/operation.h"
#include "provision/device/pending.h"

/* The key of a generation: NULL when it has no key file (written or removed in part); PC_EREFUSED
 * "keyfile-…". Owned by the caller. */
int dev_generation_key(const char *dir, const char *name, struct tpm_key **ret);

/* Removes the pending folder, and its key unless the current or the previous generation has it. Adds to
 * `count`. */
int dev_pending_drop(struct dev *dev, struct dev_forget_report *count);
/* Removes a generation, and its key unless the current, the previous or the pending one has it. Adds to
 * `count`. */
int dev_generation_drop(struct dev *dev, const char *name, struct dev_forget_report *count);

/* Brings the folder into order before and after an operation: a pending key that was installed is no longer
 * pending, and generations other than the current, the previous and a legacy one go. Where nothing is
 * current, nothing goes. A link `current` that was lost is made anew; where the set is damaged, so that it is
 * not known what may go, that is warned of, and nothing goes. The TPM is opened only when a key has to go. */
int dev_tidy(struct dev *dev);
/* The same, for what can do without: only warns when, say, the owner's auth value is missing. */
void dev_tidy_try(struct dev *dev);
int dev_tidy_count(struct dev *dev, struct dev_forget_report *count); /* adds what went */

/* Makes room in the TPM: the previous generation, which only a roll-back would need, gives up its key.
 * PC_EUNREACH "tpm-full" when it has none to give. */
int dev_previous_yield(struct dev *dev);

#endif
