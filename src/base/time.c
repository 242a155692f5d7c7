/* The clock, and the calendar in 64 bits: libc's is no help where time_t has 32. */
#include "src/base/time.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/base/error.h"

static int64_t fixed = INT64_MIN;

int64_t pc_now(void)
{
    if (fixed != INT64_MIN)
        return fixed;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec;
}

void pc_time_fix(int64_t seconds)
{
    fixed = seconds;
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar; years are counted from March, so that the leap
 * day is the last. */
static int64_t days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void pc_time_to_civil(int64_t seconds, struct pc_civil *ret)
{
    int64_t days = seconds / PC_DAY;
    int64_t rest = seconds % PC_DAY;
    if (rest < 0) {
        rest += PC_DAY;
        days--;
    }
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    ret->day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    ret->month = (int)(month < 10 ? month + 3 : month - 9);
    ret->year = year_of_era + era * 400 + (ret->month <= 2);
    ret->hour = (int)(rest / 3600);
    ret->minute = (int)(rest % 3600 / 60);
    ret->second = (int)(rest % 60);
}

int64_t pc_time_from_civil(const struct pc_civil *civil)
{
    return days_from_civil(civil->year, civil->month, civil->day) * PC_DAY + civil->hour * 3600 +
           civil->minute * 60 + civil->second;
}

void pc_time_format(int64_t seconds, char ret[PC_TIME_TEXT])
{
    static const int64_t year_zero = INT64_C(-62167219200);
    if (seconds < year_zero)
        seconds = year_zero;
    if (seconds > PC_TIME_MAX)
        seconds = PC_TIME_MAX;
    struct pc_civil c;
    pc_time_to_civil(seconds, &c);
    snprintf(ret, PC_TIME_TEXT, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)c.year % 10000,
             (unsigned)c.month % 100, (unsigned)c.day % 100, (unsigned)c.hour % 100, (unsigned)c.minute % 100,
             (unsigned)c.second % 100);
}

int pc_time_parse(const char *text, int64_t *ret)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
    bool fits = strlen(text) == sizeof shape - 1;
    for (size_t i = 0; fits && shape[i]; i++)
        fits = shape[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == shape[i];
    if (fits) {
        int f[6];
        static const unsigned char at[6] = {0, 5, 8, 11, 14, 17};
        for (size_t i = 0; i < 6; i++) {
            f[i] = 0;
            for (size_t k = at[i]; shape[k] == 'd'; k++)
                f[i] = f[i] * 10 + (text[k] - '0');
        }
        struct pc_civil c = {f[0], f[1], f[2], f[3], f[4], f[5]}, back;
        if (f[1] >= 1 && f[1] <= 12 && f[2] >= 1) {
            int64_t seconds = pc_time_from_civil(&c);
            pc_time_to_civil(seconds, &back);
            /* A day that its month has not got comes back as another. */
            if (back.month == c.month && back.day == c.day && back.hour == c.hour &&
                back.minute == c.minute && back.second == c.second) {
                *ret = seconds;
                return 0;
            }
        }
    }
    return pc_fail(PC_EUSAGE, "'%.40s' is no time of the form 2026-01-31T12:00:00Z", text);
}

int pc_duration_parse(const char *text, int64_t *ret)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'d', PC_DAY}, {'h', 3600}, {'m', 60}, {'s', 1}, {'\0', PC_DAY}};
    int64_t number = 0;
    const char *c = text;
    for (; *c >= '0' && *c <= '9' && number < INT64_C(100000000000); c++)
        number = number * 10 + (*c - '0');
    for (size_t i = 0; c > text && i < sizeof units / sizeof *units; i++)
        if (*c == units[i].unit && (*c == '\0' || c[1] == '\0') &&
            number <= 36525 * PC_DAY / units[i].seconds) {
            *ret = number * units[i].seconds;
            return 0;
        }
    return pc_fail(PC_EUSAGE, "'%.40s' is no duration such as 30d, 12h, 5m, 90s (at most 100 years)", text);
}
