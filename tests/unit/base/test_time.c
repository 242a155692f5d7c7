/* base/time: the calendar against known instants, and texts that are no times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/base/time.h"

static void known_instants(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00Z"},
        {-1, "1969-12-31T23:59:59Z"},
        {951782400, "2000-02-29T00:00:00Z"},
        {INT64_C(2147483648), "2038-01-19T03:14:08Z"},
        {INT64_C(2524608000), "2050-01-01T00:00:00Z"},
        {INT64_C(4294967296), "2106-02-07T06:28:16Z"},
        {INT64_C(4107542400), "2100-03-01T00:00:00Z"},
        {PC_TIME_MAX, "9999-12-31T23:59:59Z"},
        {INT64_C(-62135596800), "0001-01-01T00:00:00Z"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[PC_TIME_TEXT];
        pc_time_format(rows[i].seconds, text);
        assert_string_equal(text, rows[i].text);
        int64_t back;
        assert_int_equal(pc_time_parse(rows[i].text, &back), 0);
        assert_true(back == rows[i].seconds);
    }
}

/* Every day of 800 years, against libc. */
static void agrees_with_libc(void **state)
{
    (void)state;
    for (int64_t day = -146097; day < 146097; day++) {
        struct pc_civil c;
        pc_time_to_civil(day * PC_DAY + 86399, &c);
        time_t t = (time_t)(day * PC_DAY + 86399);
        struct tm tm;
        assert_non_null(gmtime_r(&t, &tm));
        assert_true(c.year == tm.tm_year + 1900 && c.month == tm.tm_mon + 1 && c.day == tm.tm_mday &&
                    c.hour == 23 && c.minute == 59 && c.second == 59);
        assert_true(pc_time_from_civil(&c) == day * PC_DAY + 86399);
    }
}

static void clamps(void **state)
{
    (void)state;
    char text[PC_TIME_TEXT];
    pc_time_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
    pc_time_format(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00Z");
}

static void no_times(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "2026-11-22",
        "2026-11-22T10:45:14",
        "2026-11-22 10:45:14Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00Zx",
        "2026-01-01T00:00:00+",
        "-026-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t seconds = 42;
        assert_int_equal(pc_time_parse(rows[i], &seconds), PC_EUSAGE);
        assert_true(seconds == 42);
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds; /* -1: refused */
    } rows[] = {
        {"30d", 30 * PC_DAY},
        {"12h", 43200},
        {"5m", 300},
        {"90s", 90},
        {"7", 7 * PC_DAY},
        {"0s", 0},
        {"36525d", 36525 * PC_DAY},
        {"36526d", -1},
        {"", -1},
        {"d", -1},
        {"-1d", -1},
        {"1w", -1},
        {"1dd", -1},
        {"1 d", -1},
        {"0x10", -1},
        {"1.5h", -1},
        {"99999999999999999999s", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t seconds = -1;
        int r = pc_duration_parse(rows[i].text, &seconds);
        assert_int_equal(r, rows[i].seconds < 0 ? PC_EUSAGE : 0);
        assert_true(seconds == rows[i].seconds);
    }
}

static void fixed_clock(void **state)
{
    (void)state;
    pc_time_fix(INT64_C(4294967296));
    assert_true(pc_now() == INT64_C(4294967296));
    pc_time_fix(INT64_MIN);
    assert_true(pc_now() > INT64_C(1600000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_instants), cmocka_unit_test(agrees_with_libc), cmocka_unit_test(clamps),
        cmocka_unit_test(no_times),       cmocka_unit_test(durations),        cmocka_unit_test(fixed_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
