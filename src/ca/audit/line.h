/* The one form of an audit line. Within src/ca/audit only. */
#ifndef CA_AUDIT_LINE_H
#define CA_AUDIT_LINE_H

#include "src/ca/audit/audit.h"

/* The line that follows `head`, owned by the caller; NULL when out of memory. */
char *audit_line(const struct ledger_audit *head, const struct audit_actor *actor,
                 const struct audit_act *act);

#endif
