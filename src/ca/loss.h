/* Accepting what a restored ledger has lost. Within src/ca. */
#ifndef CA_LOSS_H
#define CA_LOSS_H

#include "src/ca/internal.h"
#include "src/ca/reconcile.h"

/* What the guard would refuse is recorded as known: published CRLs, revocations that only they tell of, a
 * clock that went back, a CRL of the future. One transaction. With `dry_run` it is only told. */
int loss_accept(struct ca *ca, const struct ca_reconcile_options *options,
                struct ca_reconcile_report *report);

#endif
