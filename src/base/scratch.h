/* A folder of our own, for copies that are needed for a moment and are nobody else's to see. */
#ifndef PC_SCRATCH_H
#define PC_SCRATCH_H

#include "src/base/memory.h"

struct pc_scratch;

/* A new folder (0700) in $TMPDIR, or else in /var/tmp. */
int pc_scratch_new(struct pc_scratch **ret);
const char *pc_scratch_path(const struct pc_scratch *scratch); /* borrowed */
/* Copies a regular file into it, under this name (0600, never over anything). One that is written to
 * meanwhile comes out as nobody wrote it: that is for the caller to find out. PC_EFAIL. */
int pc_scratch_copy(struct pc_scratch *scratch, const char *from, const char *name);
/* Removes the folder and every file in it; who has one open goes on with it. */
void pc_scratch_free(struct pc_scratch *scratch);
PC_DEFINE_CLEANUP(struct pc_scratch, pc_scratch_free);

#endif
