/* The clock's floor on disk, and what follows from it for the time of day. Who may raise it is decided where
 * signatures are verified. */
#include "provision/device/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "provision/device/folder.h"
#include "src/base/config.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/time.h"

#define SECTION "clock"
#define SECONDS_TEXT 24

static int check_time(const char *value)
{
    int64_t seconds;
    return pc_time_parse(value, &seconds);
}

/* The same moment twice: a flipped bit must not become a floor that no certificate reaches. */
static const struct pc_setting floor_table[] = {
    {.section = SECTION, .key = "floor", .check = check_time},
    {.section = SECTION, .key = "seconds"},
};

static int parse_floor(const struct pc_config *config, int64_t *ret)
{
    const char *time = pc_config_get(config, SECTION, "floor");
    const char *seconds = pc_config_get(config, SECTION, "seconds");
    char wanted[SECONDS_TEXT];
    int64_t floor;
    if (!time || !seconds || pc_time_parse(time, &floor) < 0 || floor < 0)
        return pc_fail(PC_EUSAGE, "no time is in it");
    snprintf(wanted, sizeof wanted, "%" PRId64, floor);
    if (strcmp(seconds, wanted) != 0)
        return pc_fail(PC_EUSAGE, "its two times differ");
    *ret = floor;
    return 0;
}

/* Nothing that stands there stops a PLC: without a floor dates are judged by the clock alone. */
static int64_t read_floor(const char *dir)
{
    char path[DEV_PATH_MAX];
    struct pc_config *config = NULL;
    int64_t floor = 0;
    dev_path(path, "%s/" DEV_CLOCK, dir);
    if (!pc_file_exists(path))
        return 0;
    int r = pc_config_load(floor_table, sizeof floor_table / sizeof floor_table[0], path, &config);
    if (r == 0)
        r = parse_floor(config, &floor);
    pc_config_free(config);
    if (r < 0)
        pc_log(PC_LOG_WARNING, "%s: %s: the floor of the clock is taken for lost", path, pc_error_text());
    return floor;
}

int dev_clock_read(const char *dir, int64_t anchors_end, struct dev_clock *ret)
{
    struct dev_clock clock = {.now = pc_now(), .floor = read_floor(dir)};
    clock.behind = clock.now < clock.floor;
    clock.implausible = anchors_end != 0 && clock.now > anchors_end;
    clock.at = clock.behind || clock.implausible ? clock.floor : clock.now;
    *ret = clock;
    return 0;
}

int dev_clock_raise(const char *dir, int64_t proven)
{
    char path[DEV_PATH_MAX], time[PC_TIME_TEXT], text[128];
    if (proven <= read_floor(dir) || proven > PC_TIME_MAX)
        return 0;
    dev_path(path, "%s/" DEV_CLOCK, dir);
    pc_time_format(proven, time);
    int len = snprintf(text, sizeof text, "[" SECTION "]\nfloor = %s\nseconds = %" PRId64 "\n", time, proven);
    return pc_file_write(path, text, (size_t)len, NULL);
}

int dev_clock_forget(const char *dir, unsigned *count)
{
    char path[DEV_PATH_MAX];
    int r = dev_folder_sweep_of(dir, DEV_CLOCK);
    dev_path(path, "%s/" DEV_CLOCK, dir);
    if (r < 0 || !pc_file_exists(path))
        return r;
    if (unlink(path) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    *count += 1;
    return pc_dir_sync(dir);
}
