/* Lines of the log about enrolments that gave nothing: whoever is on the network causes them, so that there
 * are so many a minute, and then a count. The metrics count them all. */
#ifndef NET_LINES_H
#define NET_LINES_H

#include "provision/station/net/service.h"

/* Whether there is room for another line in this minute. */
bool net_lines_take(struct net_lines *lines);
/* Says how many were left out since it was said last. */
void net_lines_tell(struct net_lines *lines);

#endif
