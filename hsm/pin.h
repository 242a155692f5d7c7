/* PINs: where one may come from. Never from a command line, an environment variable or a URI. */
#ifndef HSM_PIN_H
#define HSM_PIN_H

#include "src/base/memory.h"

/* One line; its line end is removed; more lines, NUL, over 255 bytes, or empty: PC_EAUTH. A file that others
 * can read (mode & 077 beyond group read: 0007 or group write) is refused with PC_EAUTH. */
int hsm_pin_from_file(const char *path, struct pc_secret **ret);
int hsm_pin_from_fd(int fd, struct pc_secret **ret);
/* Asks on /dev/tty without echo; PC_EAUTH when there is no terminal. `label` names the token in the prompt.
 */
int hsm_pin_from_terminal(const char *label, struct pc_secret **ret);

#endif
