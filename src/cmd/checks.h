/* Checks of settings that the tables of both programs name, and readers for values that have passed them. */
#ifndef CMD_CHECKS_H
#define CMD_CHECKS_H

#include <stddef.h>
#include <stdint.h>

int cmd_check_command(const char *value); /* not longer than 1,000 bytes, no control characters */
int cmd_check_listen(const char *value);  /* HOST:PORT or [IPv6]:PORT */
int cmd_check_bind(const char *value);    /* the same; port 0: any that is free */
int cmd_check_host(const char *value);    /* one DNS name or IP address */
int cmd_check_broker(const char *value);  /* HOST, HOST:PORT, [IPv6] or [IPv6]:PORT */
int cmd_check_https(const char *value);   /* https://… without user or password */
int cmd_check_count(const char *value);   /* a whole number, 0 … 1000000 */
int cmd_check_group(const char *value);   /* a group that this system knows */

/* "0x81020000-0x8102000f": persistent handles of the owner (TPM 2.0 Part 2 §7.5.1), at least two, the SRK's
 * not among them. */
int cmd_check_handles(const char *value);
int cmd_handles_parse(const char *value, uint32_t *ret_first, uint32_t *ret_last);

#define CMD_BROKER_PORT 8883 /* MQTT over TLS, where none is given (IANA: secure-mqtt) */
/* The host, without brackets, into `ret_host` of `size` bytes, and the port. PC_EUSAGE as cmd_check_broker.
 */
int cmd_broker_parse(const char *value, char *ret_host, size_t size, uint16_t *ret_port);

#endif
