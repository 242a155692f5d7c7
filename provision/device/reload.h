/* Telling clients of a switch: the reload command, owed from the switch until it has succeeded once. */
#ifndef DEV_RELOAD_H
#define DEV_RELOAD_H

#include <stdbool.h>

#include "provision/device/operation.h"

/* Whether a reload command is configured: a new or returning generation's record then says `reloaded = no`.
 */
bool dev_reload_wanted(const struct dev *dev);
/* After a switch to `generation`, or when its record still owes the command: runs it and writes that down,
 * unless settings.defer_reload leaves it to dev_reload. Without the lock, since the command may well run this
 * program again. `timeout`, seconds. PC_EFAIL when the command failed: it stays owed. */
int dev_reload_run(struct dev *dev, const char *generation, unsigned timeout);
#define DEV_RELOAD_WAIT 60 /* seconds, where nothing presses */
/* The same at the end of a switch, which stands whatever the command does: `report` says what became of it,
 * and a failure is logged. */
void dev_reload_after(struct dev *dev, struct dev_install_report *report);

#endif
