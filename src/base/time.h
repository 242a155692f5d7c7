/* Time: seconds since 1970 UTC in 64 bits, everywhere and on every machine. The only place that reads the
 * clock. */
#ifndef PC_TIME_H
#define PC_TIME_H

#include <stdint.h>

#define PC_DAY INT64_C(86400)             /* seconds */
#define PC_TIME_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

int64_t pc_now(void); /* seconds */
void pc_time_fix(
    int64_t seconds); /* from here on pc_now() gives this; for tests. INT64_MIN: the real clock again */

/* "2026-11-22T10:45:14Z": room for PC_TIME_TEXT bytes. Clamped to the years 0000–9999. */
#define PC_TIME_TEXT 21
void pc_time_format(int64_t seconds, char ret[PC_TIME_TEXT]);
int pc_time_parse(const char *text, int64_t *ret); /* exactly that form, or PC_EUSAGE */

struct pc_civil {
    int64_t year;
    int month, day, hour, minute, second; /* month and day from 1 */
};
void pc_time_to_civil(int64_t seconds, struct pc_civil *ret);
int64_t pc_time_from_civil(const struct pc_civil *civil);

/* "30d", "12h", "5m", "90s" or a bare number of days; in seconds. PC_EUSAGE when not such a text, negative or
 * past 100 years. */
int pc_duration_parse(const char *text, int64_t *ret);

#endif
