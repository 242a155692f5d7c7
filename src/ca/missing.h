/* Certificates of ours that are published and that the ledger does not know. Within src/ca. */
#ifndef CA_MISSING_H
#define CA_MISSING_H

#include "src/ca/internal.h"
#include "src/ca/reconcile.h"

/* Tells of each [publish] dir/devices/<name>/device.crt that our key signed and that is not on record: what
 * "certificate", its serial, its path, did "missing". Files that hold no certificate of ours are passed over.
 */
int missing_each(struct ca *ca, const struct ca_reconcile_options *options);

/* Whether somebody accepted, at `since` or after it, that the ledger had lost something. */
int missing_accepted(struct ca *ca, int64_t since, bool *ret);

#endif
