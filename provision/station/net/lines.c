/* So many lines a minute, and a count of the others. */
#include "provision/station/net/lines.h"

#include "src/base/log.h"

#define MINUTE UINT64_C(60000)
#define LINES_MAX 600 /* a shift's PLCs that are all refused have room, and a journal holds weeks of it */

void net_lines_tell(struct net_lines *lines)
{
    if (lines->left_out > 0)
        pc_log(PC_LOG_WARNING, "enrolments were answered without a line: %u, beyond %u a minute",
               lines->left_out, LINES_MAX);
    lines->left_out = 0;
}

bool net_lines_take(struct net_lines *lines)
{
    uint64_t now = net_clock();
    if (now - lines->since >= MINUTE) {
        net_lines_tell(lines);
        *lines = (struct net_lines){.since = now};
    }
    if (lines->written < LINES_MAX) {
        lines->written++;
        return true;
    }
    lines->left_out++;
    return false;
}
