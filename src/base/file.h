/* Files: bounded reads, durable writes, locks. The only place that creates or replaces files. */
#ifndef PC_FILE_H
#define PC_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "src/base/memory.h"

/* Reads a whole regular file (or a pipe) of at most `max` bytes; "-" is standard input. PC_EFAIL when it
 * cannot be read, PC_EREFUSED ("file-size") when it is longer. Never blocks on a FIFO that nobody writes: a
 * path must name a regular file. */
int pc_file_read(const char *path, size_t max, struct pc_bytes *ret);
int pc_fd_read(int fd, const char *name, size_t max, struct pc_bytes *ret); /* `name` is for messages */

struct pc_file_options {
    mode_t mode; /* exact, whatever the umask; 0 means 0644 */
    bool behind; /* no fsync: whole after the rename all the same, but durable only after pc_dir_syncfs */
    bool fresh;  /* refuse (PC_EREFUSED, "file-exists") to replace anything */
    bool group;  /* give it to group `gid` */
    gid_t gid;
};
/* Writes a whole file durably: temporary in the same folder (O_EXCL, O_NOFOLLOW), fsync, rename, fsync of the
 * folder. Afterwards the file holds either the old or the new bytes, whatever moment power is lost. Where
 * there is nothing to replace, the temporary file has no name (O_TMPFILE), if the file system knows such
 * files: a run that is killed leaves nothing of it. Anything but a regular file in its place is refused
 * (PC_EREFUSED, "file-kind"). `options` may be NULL. */
int pc_file_write(const char *path, const void *data, size_t len, const struct pc_file_options *options);
int pc_file_write_at(int dirfd, const char *name, const void *data, size_t len,
                     const struct pc_file_options *options);

/* fchmod(2): 0 or -1 and errno. A stick's file system may know no modes: what everyone may read needs none
 * there. */
int pc_file_set_mode(int fd, mode_t mode);
/* Gives the whole file `temporary` its name, never over anything of that name (EEXIST): 0 or -1 and errno. A
 * file system that cannot refuse to replace (FUSE and exFAT, as of sticks) has the name taken first. */
int pc_file_name(int dirfd, const char *temporary, const char *name);
bool pc_file_exists(const char *path);          /* anything of that name, a dangling link included */
int pc_dir_make(const char *path, mode_t mode); /* with parents (0755), each durable; fine when it is there */
int pc_dir_sync(const char *path);              /* makes what was renamed in it durable */
int pc_dir_syncfs(const char *path); /* makes all that was written to its file system durable: syncfs(2) */

/* Takes the exclusive lock that `path` (created 0600) stands for, waiting at most `wait_ms`; PC_EPENDING when
 * another holds it. Closing the descriptor lets it go, as does the end of the process. */
int pc_lock_take(const char *path, int wait_ms, int *ret_fd);

/* "<a>/<b>", owned by the caller; NULL when out of memory. */
char *pc_path_join(const char *a, const char *b);

#endif
