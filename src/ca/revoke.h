/* Revocation and the CRL. */
#ifndef CA_REVOKE_H
#define CA_REVOKE_H

#include "src/ca/issue.h"

/* Exactly one of these is set. */
struct ca_selector {
    const char *plant;                  /* every valid certificate of this UUID */
    const char *serial;                 /* hex */
    const struct pc_bytes *certificate; /* PEM or DER, on record (byte for byte) */
};

struct ca_crl_report {
    uint64_t number;
    int64_t this_update, next_update;
    size_t entries;
    char *path; /* in the state folder, owned */
};
void ca_crl_report_clear(struct ca_crl_report *report);

struct ca_revoke_report {
    size_t revoked, already;   /* certificates */
    struct ca_record *records; /* those revoked now, owned */
    struct ca_crl_report crl;
};
void ca_revoke_report_clear(struct ca_revoke_report *report);

/* Records the revocation durably, then makes a new CRL. All done before: 0, with already > 0; a CRL is then
 * made only if the last one lacks the entry. PC_EREFUSED "revoke-unknown" when nothing matches. */
int ca_revoke(struct ca *ca, const struct ca_selector *selector, int reason, struct ca_revoke_report *ret);

/* A new CRL with every unexpired revoked serial (and superseded ones whose overlap is over, which are revoked
 * by this); in the state folder. `ret_pem` may be NULL. */
int ca_crl(struct ca *ca, struct ca_crl_report *ret, struct pc_bytes *ret_pem);

#endif
