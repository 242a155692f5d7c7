/* Revocation and the CRL. */
#ifndef CA_REVOKE_H
#define CA_REVOKE_H

#include "src/ca/issue.h"

/* What is meant: exactly one of the first three is set. */
struct ca_selector {
    const char *plant;                  /* every device certificate of this UUID */
    const char *serial;                 /* hex; with it every other certificate of its key */
    const struct pc_bytes *certificate; /* PEM or DER, byte for byte; likewise */
    int64_t invalid_since;              /* revoke: since when the key is no longer trusted; 0: not stated */
    bool dry_run;                       /* tell what would be done, and do nothing */
};

struct ca_crl_report {
    uint64_t number;
    int64_t this_update, next_update;
    size_t entries;
    char *path; /* in the state folder, owned */
};
void ca_crl_report_clear(struct ca_crl_report *report);

struct ca_revoke_report {
    bool lost; /* and may have been, before somebody accepted that the ledger had lost something */
    size_t revoked, already;   /* certificates (held, released) now, and before */
    size_t foreign;            /* valid ones of an imported CA, which only that CA can revoke */
    bool incident;             /* the certificate was not on record */
    bool recorded;             /* durably; also where the CRL that was to follow failed */
    struct ca_record *records; /* those of `revoked`, owned */
    struct ca_crl_report crl;  /* path NULL when none was made nor needed */
};
void ca_revoke_report_clear(struct ca_revoke_report *report);

/* Records the revocation durably, then makes a new CRL. All done before: 0, with already > 0; a CRL is then
 * made only if the last one lacks the entry. A certificate that our key signed and that is not on record is
 * recorded as an incident. PC_EREFUSED "revoke-unknown" when nothing matches; "revoke-foreign" when only
 * certificates of an imported CA do; "revoke-twin" for a certificate of ours that shares its serial with
 * another; "revoke-root". Where no CRL can be made the record stands, and `ret` is set all the same. */
int ca_revoke(struct ca *ca, const struct ca_selector *selector, int reason, struct ca_revoke_report *ret);
/* As ca_revoke, but it can be taken back: reason certificateHold (RFC 5280 §5.3.1). PC_EREFUSED
 * "hold-revoked" when all that is meant is revoked. */
int ca_hold(struct ca *ca, const struct ca_selector *selector, struct ca_revoke_report *ret);
/* Nothing is recorded before guard and token agree, as whoever is released is let in by any later CRL. Held
 * certificates are what they were before; the new CRL leaves them out (removeFromCRL belongs to delta
 * CRLs). None is held: 0, with `already` counting the valid ones; PC_EREFUSED "release-revoked" when all are
 * revoked. */
int ca_release(struct ca *ca, const struct ca_selector *selector, struct ca_revoke_report *ret);

/* A new CRL with every unexpired revoked serial (and superseded ones whose overlap is over, which are revoked
 * by this); in the state folder. `ret_pem` may be NULL. */
int ca_crl(struct ca *ca, struct ca_crl_report *ret, struct pc_bytes *ret_pem);
/* The same where one is due: crl_renewal_due() in src/ca/internal.h. Else the last one, *ret_made false, and
 * no token is touched. */
int ca_crl_if_due(struct ca *ca, struct ca_crl_report *ret, struct pc_bytes *ret_pem, bool *ret_made);

#endif
