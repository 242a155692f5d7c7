/* The command that tells clients of a new set. */
#ifndef DEV_RELOAD_H
#define DEV_RELOAD_H

#define DEV_RELOAD_WAIT 60000 /* ms */

/* Runs `command` by /bin/sh -c in a process group of its own, its stdout on our stderr, and waits; what takes
 * longer than `wait_ms` is ended. PC_EFAIL unless it exits with 0. */
int dev_reload(const char *command, int wait_ms);

#endif
