/* Seeing what is on record. Nothing here touches the token unless it says so. */
#ifndef CA_LIST_H
#define CA_LIST_H

#include "src/ca/issue.h"

enum ca_filter { CA_ALL, CA_CURRENT, CA_VALID, CA_EXPIRING, CA_REVOKED };

/* Calls `row` for each certificate, oldest first, until it returns non-zero (which is returned). `within` is
 * seconds, for CA_EXPIRING: current, ends before now + within. */
int ca_list(struct ca *ca, enum ca_filter filter, int64_t within,
            int (*row)(void *context, const struct ca_record *record), void *context);
/* By UUID (all of its certificates, newest first, through `row`) or by serial. PC_EREFUSED "record-unknown"
 * when there is none. */
int ca_show(struct ca *ca, const char *uuid_or_serial,
            int (*row)(void *context, const struct ca_record *record), void *context);
/* The PEM of one certificate on record. */
int ca_certificate_pem(struct ca *ca, const char *serial, struct pc_bytes *ret);

struct ca_health {
    struct ca_summary ca;
    size_t current, valid, expiring, superseded, held, revoked,
        unfinished; /* certificates; expiring: inside the renewal window; unfinished: reserved or signing */
    uint64_t crl_number;
    int64_t crl_this_update, crl_next_update;
    size_t crl_entries;
    bool crl_due;             /* it has lapsed, or lacks a revocation or an ended overlap that is on record */
    int64_t issuance_horizon; /* the last second at which a device certificate of full term can be issued */
    size_t audit_rows;
    char audit_head[PKI_FINGERPRINT_TEXT];
    bool audit_sound;     /* the hash chain holds */
    int token_error;      /* 0, or PC_E… */
    char token_text[512]; /* what it said */
};
/* Opens the token, without a login, to tell its health. */
int ca_status(struct ca *ca, struct ca_health *ret);
void ca_health_clear(struct ca_health *health);

#endif
