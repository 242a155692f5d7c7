/* Running the reload command outside the lock, and remembering that it ran. When a switch owes it is decided
 * by whoever switches. */
#include "provision/device/reload.h"

#include <string.h>

#include "provision/device/generation.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/run.h"

bool dev_reload_wanted(const struct dev *dev)
{
    return dev->settings.reload && *dev->settings.reload;
}

/* Remembers that clients know of the set, unless another run has replaced it meanwhile. */
static int settle(struct dev *dev, const char *generation)
{
    int r = dev_begin(dev, false);
    if (r < 0)
        return r;
    struct dev *PC_CLEANUP(dev_end_ref) busy = dev;
    char current[DEV_GENERATION_TEXT];
    struct dev_record record;
    r = dev_generation_current(busy->settings.dir, current);
    if (r < 0 || strcmp(current, generation) != 0)
        return r;
    r = dev_generation_record(busy->settings.dir, current, &record);
    if (r < 0 || record.reloaded)
        return r;
    record.reloaded = true;
    return dev_generation_record_write(busy->settings.dir, current, &record);
}

int dev_reload_run(struct dev *dev, const char *generation, unsigned timeout)
{
    if (dev->settings.defer_reload)
        return 0;
    int r = dev_reload_wanted(dev) ? pc_run("reload", dev->settings.reload, NULL, timeout) : 0;
    return r < 0 ? r : settle(dev, generation);
}

void dev_reload_after(struct dev *dev, struct dev_install_report *report)
{
    if (dev_reload_run(dev, report->generation, DEV_RELOAD_WAIT) < 0) {
        pc_log(PC_LOG_WARNING, "%s", pc_error_text());
        report->reload_failed = true;
    }
    report->reload_owed = report->reload_failed || dev->settings.defer_reload;
}

/* The current generation, if its switch still owes the command; "" otherwise. */
static int find_owed(struct dev *dev, char ret[DEV_GENERATION_TEXT])
{
    int r = dev_begin(dev, false);
    if (r < 0)
        return r;
    struct dev *PC_CLEANUP(dev_end_ref) busy = dev;
    struct dev_record record = {.reloaded = true};
    r = dev_generation_current(busy->settings.dir, ret);
    if (r == 0 && ret[0])
        r = dev_generation_record(busy->settings.dir, ret, &record);
    if (record.reloaded)
        ret[0] = '\0';
    return r;
}

int dev_reload(struct dev *dev, bool *ret_ran)
{
    char generation[DEV_GENERATION_TEXT] = "";
    int r = pc_file_exists(dev->settings.dir) ? find_owed(dev, generation) : 0;
    if (r == 0 && generation[0])
        r = dev_reload_run(dev, generation, DEV_RELOAD_WAIT);
    if (r == 0)
        *ret_ran = generation[0] != '\0' && dev_reload_wanted(dev);
    return r;
}
