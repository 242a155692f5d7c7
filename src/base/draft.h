/* A file that is written as a stream, and appears whole or not at all. */
#ifndef PC_DRAFT_H
#define PC_DRAFT_H

#include <sys/types.h>

#include "src/base/memory.h"

struct pc_draft;

/* A temporary file in the folder of `path` (O_EXCL, O_NOFOLLOW), with exactly this mode, locked while it is
 * one. PC_EREFUSED "file-exists" when something of that name is there. */
int pc_draft_new(const char *path, mode_t mode, struct pc_draft **ret);
int pc_draft_fd(const struct pc_draft *draft);           /* to write to; borrowed */
const char *pc_draft_path(const struct pc_draft *draft); /* of the temporary file; borrowed */
/* Durable, and in its place: fsync, rename (never over anything), fsync of the folder. */
int pc_draft_keep(struct pc_draft *draft);
/* Removes what drafts of files in `folder`, whose names begin with `prefix`, left when their processes were
 * killed: those that nobody has locked. */
int pc_draft_sweep(const char *folder, const char *prefix);
void pc_draft_free(struct pc_draft *draft); /* what was not kept is removed */
PC_DEFINE_CLEANUP(struct pc_draft, pc_draft_free);

#endif
