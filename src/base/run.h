/* Commands of the configuration (reload, ship): run by the shell, with nothing of ours open in them. */
#ifndef PC_RUN_H
#define PC_RUN_H

#include "src/base/memory.h"

/* Runs `command` with /bin/sh -c and waits for it. Its standard input is `input` (NULL: /dev/null), its
 * standard output goes to our standard error, and no other descriptor of ours is open in it. A command that
 * does not read its input is no failure. PC_EFAIL with its exit code or signal unless it exits 0; `what`
 * names it in the text ("reload"). `timeout`, seconds: it is then killed, PC_EFAIL; 0: it may take for ever.
 */
int pc_run(const char *what, const char *command, const struct pc_bytes *input, unsigned timeout);

#endif
