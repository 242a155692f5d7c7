/* What is left of an installed set that is damaged, and which set was current where the link is lost. Reading
 * it gives repairing commands something to go on from; what they make of it is theirs. */
#ifndef DEV_SALVAGE_H
#define DEV_SALVAGE_H

#include "provision/device/installed.h"
#include "provision/device/operation.h"

/* As dev_installed_load and dev_installed_read, but what is damaged is left out and the first of it told in
 * `damage`: a loss is no error. With the record lost, `previous` is the newest other set that was current.
 * Without `current`, the set that dev_current_restore would choose. */
int dev_salvage_load(const char *dir, const char *name, struct dev_installed *ret);
int dev_salvage_read(const char *dir, struct dev_installed *ret);

/* As dev_generation_kept, where the record may be damaged. */
int dev_salvage_kept(const char *dir, char ret_current[DEV_GENERATION_TEXT],
                     char ret_previous[DEV_GENERATION_TEXT]);

/* Makes the link `current` anew where it is missing or leads nowhere: to the newest set that was current, or
 * the one before it where that was rolled back to. 0 also when none ever was. PC_EREFUSED "state-damaged"
 * when it cannot be told. The caller holds the lock. */
int dev_current_restore(const char *dir);
/* That choice alone: "" when the link stands, or no set was ever current. */
int dev_current_lost(const char *dir, char ret[DEV_GENERATION_TEXT]);

/* Finds the key that `leaf` is for among our handles, where the key file of `installed` is lost, and puts it
 * and its file there; fine when there is none. */
int dev_salvage_key(struct dev *dev, X509 *leaf, struct dev_installed *installed);

#endif
