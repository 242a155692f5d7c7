/* Secrets that are given to the programs: PINs and auth values, one line each. Never from a command line or
 * an environment variable. */
#ifndef PC_SECRET_H
#define PC_SECRET_H

#include "src/base/memory.h"

#define PC_SECRET_MAX 255 /* bytes */

/* `what` names the secret in messages ("PIN"). One line; its line end is removed; more lines, NUL, over
 * PC_SECRET_MAX bytes, or empty: PC_EAUTH. A file that others can read (mode & 077 beyond group read: 0007 or
 * group write) is refused with PC_EAUTH. A descriptor is read to its end, and stays the caller's. */
int pc_secret_from_file(const char *what, const char *path, struct pc_secret **ret);
int pc_secret_from_fd(const char *what, int fd, struct pc_secret **ret);
/* The same of bytes that came from elsewhere. */
int pc_secret_from_line(const char *what, const unsigned char *text, size_t len, struct pc_secret **ret);

#endif
