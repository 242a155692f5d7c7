/* The folder's building stones: paths, durable relative links, flat folders that are removed as a whole, and
 * the check that the visible names are ours. Knows nothing of what the files mean. */
#ifndef DEV_FOLDER_H
#define DEV_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#define DEV_DIR_MAX 512   /* bytes of settings.dir; what is put behind it always fits into DEV_PATH_MAX */
#define DEV_PATH_MAX 1024 /* bytes, with the NUL */
#define DEV_LINK_MAX 64   /* bytes of a link's target, with the NUL */

#define DEV_CA "ca.crt"
#define DEV_CERTIFICATE "device.crt"
#define DEV_KEY "device.tpm"

/* printf into `ret`. What does not fit is cut, which the bounds above rule out. */
void dev_path(char ret[DEV_PATH_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The target of the link `path`: 0, or 0 and "" when there is nothing; PC_EREFUSED "dir-legacy" when `path`
 * is no link, or its target is longer than any of ours. */
int dev_link_read(const char *path, char ret[DEV_LINK_MAX]);
/* Makes `dir`/`name` a link to `target`, in one rename and durably: before it the old link (or nothing),
 * after it the new one. */
int dev_link_switch(const char *dir, const char *name, const char *target);
/* Removes the link `dir`/`name` if its target is `target` (NULL: any target); counts it in `count`. */
int dev_link_remove(const char *dir, const char *name, const char *target, unsigned *count);

/* Removes the folder `path` with the files in it, durably; a folder inside is never entered (PC_EFAIL). Fine
 * when it is not there. Files removed are added to `count`, which may be NULL. */
int dev_folder_remove(const char *path, unsigned *count);

/* Removes the files in `path` whose names begin with '.': what a cut left of durable writes. Fine when the
 * folder is not there. */
int dev_folder_sweep(const char *path);
/* The same for what a cut left of writing `dir`/`name`, where others' files are, too. */
int dev_folder_sweep_of(const char *dir, const char *name);

/* That the folders we keep in `dir`, where they stand, are folders: through a link we would change what is
 * not ours. PC_EREFUSED "dir-legacy". */
int dev_folder_inner(const char *dir);

/* The names that clients open: links to current/…, nothing, or plain files of before in the place of ca.crt
 * and device.crt, `*ret_plain` of them. PC_EREFUSED "dir-legacy" names what else stands there. */
int dev_folder_check(const char *dir, unsigned *ret_plain);
bool dev_folder_plain(const char *dir, const char *name); /* a regular file, through no link */
/* That nobody but root and this user can put another anchor in the place of ours: owner and mode of the
 * folder and of what leads to the generation `current` ("": none). PC_EREFUSED "dir-owner". */
int dev_folder_owner(const char *dir, const char *current);
/* Makes those links where they are missing. They dangle until `current` stands. */
int dev_folder_link(const char *dir);
/* Removes those links, and only those that are ours. */
int dev_folder_unlink(const char *dir, unsigned *count);

#endif
