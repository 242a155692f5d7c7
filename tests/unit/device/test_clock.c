/* The clock and its floor: 1970 and before, the ends of 32-bit time, 9999, files that are no floor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "provision/device/clock.h"
#include "provision/device/folder.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/time.h"

#define IN_2026 INT64_C(1795000000)
#define IN_2036 INT64_C(2095000000)
#define END_2038 INT64_C(0x7fffffff)
#define END_2106 INT64_C(0xffffffff)

static char dir[] = "/tmp/plantcert-clock.XXXXXX";
static unsigned warnings;

static void count_warnings(enum pc_level level, const char *text)
{
    (void)text;
    warnings += level == PC_LOG_WARNING;
}

static int set_up(void **state)
{
    (void)state;
    memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
    warnings = 0;
    pc_log_to(count_warnings);
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[64];
    pc_time_fix(INT64_MIN);
    pc_log_to(NULL);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static struct dev_clock read_at(int64_t now, int64_t anchors_end)
{
    struct dev_clock clock;
    pc_time_fix(now);
    assert_return_code(dev_clock_read(dir, anchors_end, &clock), 0);
    assert_int_equal(clock.now, now);
    return clock;
}

static void raise_to(int64_t proven)
{
    assert_return_code(dev_clock_raise(dir, proven), 0);
}

static void write_floor(const char *text, size_t len)
{
    char path[DEV_PATH_MAX];
    const struct pc_file_options options = {.behind = true};
    dev_path(path, "%s/clock", dir);
    assert_return_code(pc_file_write(path, text, len, &options), 0);
}

static void test_no_floor(void **state)
{
    (void)state;
    static const int64_t times[] = {-INT64_C(86400), 0, IN_2026, END_2038 + 1, END_2106 + 1, PC_TIME_MAX};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct dev_clock clock = read_at(times[i], 0);
        assert_int_equal(clock.floor, 0);
        assert_int_equal(clock.at, times[i] < 0 ? 0 : times[i]);
        assert_int_equal(clock.behind, times[i] < 0);
        assert_false(clock.implausible);
    }
    assert_int_equal(warnings, 0);
}

/* A folder that does not exist has no floor, either. */
static void test_no_folder(void **state)
{
    (void)state;
    struct dev_clock clock;
    pc_time_fix(IN_2026);
    assert_return_code(dev_clock_read("/nonexistent/plantcert", 0, &clock), 0);
    assert_int_equal(clock.at, IN_2026);
    assert_int_equal(dev_clock_raise("/nonexistent/plantcert", IN_2026), PC_EFAIL);
}

static void test_behind(void **state)
{
    (void)state;
    static const int64_t times[] = {INT64_MIN + 1, -1, 0, 1, IN_2026 - 1};
    raise_to(IN_2026);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct dev_clock clock = read_at(times[i], IN_2036);
        assert_true(clock.behind);
        assert_false(clock.implausible);
        assert_int_equal(clock.at, IN_2026);
    }
    assert_false(read_at(IN_2026, IN_2036).behind);
    assert_int_equal(read_at(IN_2026 + 1, IN_2036).at, IN_2026 + 1);
}

static void test_implausible(void **state)
{
    (void)state;
    static const int64_t times[] = {IN_2036 + 1, END_2106, END_2106 + 1, PC_TIME_MAX, INT64_MAX};
    for (int raised = 0; raised < 2; raised++) {
        for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
            struct dev_clock clock = read_at(times[i], IN_2036);
            assert_true(clock.implausible);
            assert_false(clock.behind);
            assert_int_equal(clock.at, raised ? IN_2026 : 0);
            assert_false(read_at(times[i], 0).implausible); /* no anchor is known: nothing to doubt it by */
        }
        assert_false(read_at(IN_2036, IN_2036).implausible);
        raise_to(IN_2026);
    }
}

static void test_never_lowered(void **state)
{
    (void)state;
    static const int64_t lower[] = {IN_2026 - 1, IN_2026, 1, 0, -1, INT64_MIN, PC_TIME_MAX + 1, INT64_MAX};
    raise_to(IN_2026);
    for (size_t i = 0; i < sizeof lower / sizeof lower[0]; i++) {
        raise_to(lower[i]);
        assert_int_equal(read_at(0, 0).floor, IN_2026);
    }
}

static void test_wide(void **state)
{
    (void)state;
    static const int64_t times[] = {1,        END_2038,     END_2038 + 1, INT64_C(0x80000000) + 5,
                                    END_2106, END_2106 + 1, PC_TIME_MAX};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        raise_to(times[i]);
        assert_int_equal(read_at(0, 0).floor, times[i]);
        assert_true(read_at(times[i] - 1, PC_TIME_MAX).behind);
        assert_false(read_at(times[i], PC_TIME_MAX).behind);
    }
}

static void test_damaged(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[clock]\n",
        "[clock]\nfloor = 2026-11-18T11:06:40Z\n",
        "[clock]\nseconds = 1795000000\n",
        "[clock]\nfloor = 2126-11-18T11:06:40Z\nseconds = 1795000000\n",
        "[clock]\nfloor = 2026-11-18T11:06:40Z\nseconds = 9795000000\n",
        "[clock]\nfloor = 2026-02-30T11:06:40Z\nseconds = 1795000000\n",
        "[clock]\nfloor = 1960-01-01T00:00:00Z\nseconds = -315619200\n",
        "[clock]\nfloor = 2026-11-18T11:06:40Z\nfloor = 2026-11-18T11:06:40Z\nseconds = 1795000000\n",
        "[floor]\nfloor = 2026-11-18T11:06:40Z\nseconds = 1795000000\n",
        "\x80\xff\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_floor(texts[i], strlen(texts[i]));
        warnings = 0;
        struct dev_clock clock = read_at(IN_2036, 0);
        assert_int_equal(clock.floor, 0);
        assert_int_equal(clock.at, IN_2036);
        assert_int_equal(warnings, 1);
        raise_to(IN_2026);
        assert_int_equal(read_at(IN_2036, 0).floor, IN_2026);
    }
    write_floor("[clock]\n\0floor", 14);
    assert_int_equal(read_at(IN_2036, 0).floor, 0);
}

/* What the power left: every beginning of the file, and every bit of it flipped. */
static void test_bits(void **state)
{
    (void)state;
    char path[DEV_PATH_MAX];
    pc_autobytes whole = {0};
    dev_path(path, "%s/clock", dir);
    raise_to(IN_2026);
    assert_return_code(pc_file_read(path, 1024, &whole), 0);
    for (size_t len = 0; len + 1 < whole.len; len++) {
        write_floor((const char *)whole.data, len);
        assert_int_equal(read_at(0, 0).floor, 0);
    }
    for (size_t bit = 0; bit < 8 * whole.len; bit++) {
        whole.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        write_floor((const char *)whole.data, whole.len);
        int64_t floor = read_at(0, 0).floor;
        assert_true(floor == 0 || floor == IN_2026);
        whole.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

/* Something else under the name: no floor, and it is not replaced. */
static void test_no_file(void **state)
{
    (void)state;
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/clock", dir);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(read_at(IN_2026, 0).floor, 0);
    assert_int_equal(dev_clock_raise(dir, IN_2026), PC_EREFUSED);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(read_at(IN_2026, 0).floor, 0);
    assert_int_equal(dev_clock_raise(dir, IN_2026), PC_EREFUSED);
}

static void test_forget(void **state)
{
    (void)state;
    unsigned count = 0;
    assert_return_code(dev_clock_forget(dir, &count), 0);
    assert_int_equal(count, 0);
    raise_to(IN_2036);
    assert_return_code(dev_clock_forget(dir, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(read_at(IN_2026, 0).floor, 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_no_floor), TEST(test_no_folder),     TEST(test_behind), TEST(test_implausible),
        TEST(test_damaged),  TEST(test_never_lowered), TEST(test_wide),   TEST(test_bits),
        TEST(test_no_file),  TEST(test_forget),
    };
    return cmocka_run_group_tests_name("device clock", tests, NULL, NULL);
}
