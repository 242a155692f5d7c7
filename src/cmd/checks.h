/* Checks of settings that the tables of both programs name, and readers for values that have passed them. */
#ifndef CMD_CHECKS_H
#define CMD_CHECKS_H

#include <stdint.h>

int cmd_check_command(const char *value); /* not longer than 1,000 bytes, no control characters */
int cmd_check_listen(const char *value);  /* HOST:PORT or [IPv6]:PORT */
int cmd_check_host(const char *value);    /* one DNS name or IP address */
int cmd_check_https(const char *value);   /* https://… without user or password */
int cmd_check_group(const char *value);   /* a group that this system knows */

/* "0x81020000-0x8102000f": persistent handles of the owner (TPM 2.0 Part 2 §7.5.1), at least two, the SRK's
 * not among them. */
int cmd_check_handles(const char *value);
int cmd_handles_parse(const char *value, uint32_t *ret_first, uint32_t *ret_last);

#endif
