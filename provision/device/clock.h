/* The PLC's clock, which may stand at 1970 after a boot, or far ahead: what can be believed of it. The floor
 * (file `clock` in the folder) is the latest time that a verified signature has proven, and only such a time
 * raises it. Asks no TPM. */
#ifndef DEV_CLOCK_H
#define DEV_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define DEV_CLOCK "clock"

struct dev_clock {
    int64_t now;      /* what the machine says, seconds since 1970 */
    int64_t floor;    /* 0 when nothing is known yet */
    int64_t at;       /* by which dates are judged: `now` where it can be believed, else `floor` */
    bool behind;      /* now < floor */
    bool implausible; /* `now` lies past the end of every trust anchor known: no time to live in */
};
/* `anchors_end`: the latest notAfter of the anchors installed and given; 0 when there are none. A floor that
 * is missing or damaged is 0. */
int dev_clock_read(const char *dir, int64_t anchors_end, struct dev_clock *ret);
/* Raises the floor to `proven`, a notBefore or thisUpdate whose signature was verified up to the pinned
 * anchor; never lowers it, and takes no time past 9999. Durable. The caller holds the lock. */
int dev_clock_raise(const char *dir, int64_t proven);
/* Removes the floor, with everything else that the program made: the way out after an authority whose own
 * clock was ahead. Adds to `count`. The caller holds the lock. */
int dev_clock_forget(const char *dir, unsigned *count);

#endif
