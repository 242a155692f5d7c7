/* After a crash, or after a restored backup: what is unfinished is finished or voided, and what was lost is
 * accepted, by somebody who says so. */
#ifndef CA_RECONCILE_H
#define CA_RECONCILE_H

#include "src/ca/authority.h"

/* One thing that was found, and what was done about it (with dry_run: what would be). Borrowed. */
struct ca_reconcile_step {
    const char *what;    /* "certificate", "key", "crl", "file", "checkpoint", "revocation", "clock" */
    const char *name;    /* serial, label, number, path */
    const char *subject; /* or ""; a file's path where `did` is "missing" */
    const char
        *did; /* "finished", "voided", "left", "made", "retired", "written", "adopted", "revoked",
                 "held",     "recorded", "accepted"; "missing": published, and not on record: no step */
};

struct ca_reconcile_options {
    bool dry_run;            /* nothing is touched: neither token nor record */
    const char *accept_loss; /* why what the ledger has lost is accepted; NULL: it is not */
    void (*step)(void *context, const struct ca_reconcile_step *step);
    void *context;
};

struct ca_reconcile_report {
    size_t steps, left;  /* left: a process that lives works on it */
    uint64_t crl_number; /* of the CRL that was made; 0: none was needed */
    int64_t lost_from,
        lost_until; /* what was issued between these may not be on record; 0: no such loss was met */
};

/* Unfinished rows whose owner is gone: signed again where today's settings give the same bytes and no other
 * key is replaced; else void, and on the next CRL. Planned keys, CRL numbers that were taken and never
 * issued, overlaps that have ended, files behind the record, a missing checkpoint. Does nothing, without a
 * login, when there is nothing to do. Refused by the restore guard unless accept_loss is given: then the
 * published CRL is adopted, what it lists is revoked or held, the clock is believed, and an audit key that
 * the token no longer holds is retired and replaced. With `dry_run` the steps are told, then that refusal. */
int ca_reconcile(struct ca *ca, const struct ca_reconcile_options *options, struct ca_reconcile_report *ret);
/* How many things there are to do, for `status`; no token. */
int ca_reconcile_count(struct ca *ca, size_t *ret);

#endif
