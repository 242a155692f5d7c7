/* A PLC of before: plain ca.crt, device.crt and device.key in the folder. Taking it over, and what is left of
 * it. device.key is never read. The caller holds the lock. */
#ifndef DEV_LEGACY_H
#define DEV_LEGACY_H

#include <stdbool.h>

#include "provision/device/installed.h"

#define DEV_LEGACY_KEY "device.key"

/* Whether a device.key of before is in the folder. Needs no lock. */
bool dev_legacy_key(const char *dir);
/* Whether the generation is a legacy one that can be gone back to: with its certificate, and device.key still
 * in the folder. Such a one stays until dev_forget_legacy. */
bool dev_legacy_whole(const char *dir, const char *name);

/* Reads plain files: `ret->record.legacy` and its bytes when there are any, all empty otherwise; `leaf` and
 * `cn` as of an installed set. PC_EREFUSED "dir-legacy" for what is no regular file or no certificate. */
int dev_legacy_read(const char *dir, struct dev_installed *ret);
/* Makes what dev_legacy_read gave the current generation, and the plain files links into it, name by name: a
 * client finds the same bytes at every moment. Goes on from wherever a cut stopped it. */
int dev_legacy_take(const char *dir, const struct dev_installed *legacy, char ret_name[DEV_GENERATION_TEXT]);
/* Goes back to the generation that the plain files were made, if there is a whole one, and moves them where
 * they were: what was taken over was not ours to remove. Goes on from wherever a cut stopped it. */
int dev_legacy_give_back(const char *dir);

#endif
