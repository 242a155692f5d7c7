/* Seeing what is on record. Nothing here touches the token unless it says so. */
#ifndef CA_LIST_H
#define CA_LIST_H

#include "src/ca/issue.h"

enum ca_filter {
    CA_ALL,
    CA_CURRENT,
    CA_VALID, /* what a broker accepts: foreign ones, too */
    CA_EXPIRING,
    CA_SUPERSEDED,
    CA_HELD,
    CA_REVOKED,
    CA_FOREIGN,
};
struct ca_list_options {
    enum ca_filter filter;
    int64_t within;      /* seconds, for CA_EXPIRING: current, ends before now + within */
    int64_t limit;       /* at most so many; 0: all */
    const char *after;   /* serial (hex) behind which to go on; NULL: from the start */
    bool all;            /* those made for a probe, too */
    const char *profile; /* of this one alone; NULL: any */
};

/* Calls `row` for each certificate, oldest first, as it is read, until it returns non-zero (which is
 * returned). PC_EREFUSED "record-unknown" when `after` is not on record. */
int ca_list(struct ca *ca, const struct ca_list_options *options,
            int (*row)(void *context, const struct ca_record *record), void *context);

/* A certificate with what it is related to. */
struct ca_detail {
    struct ca_record record;
    char predecessor[PKI_SERIAL_TEXT], successor[PKI_SERIAL_TEXT]; /* "": none */
    char issuer[1024];                                             /* subject of a foreign issuer; "": we */
};
/* By UUID (all of its certificates, newest first, through `row`) or by serial. PC_EREFUSED "record-unknown"
 * when there is none. */
int ca_show(struct ca *ca, const char *uuid_or_serial,
            int (*row)(void *context, const struct ca_detail *detail), void *context);
/* The PEM of one certificate on record. */
int ca_certificate_pem(struct ca *ca, const char *serial, struct pc_bytes *ret);

struct ca_health {
    struct ca_summary ca;
    size_t current, valid, expiring, superseded, held, revoked, foreign, admissions,
        waiting,    /* open admissions, and keys that wait to be approved */
        unfinished; /* certificates of the fleet, none of our own; expiring: inside the renewal window;
              unfinished: reserved or signing */
    uint64_t crl_number;
    int64_t crl_this_update, crl_next_update;
    size_t crl_entries;
    int64_t crl_renew_at;     /* when the next CRL is to be made */
    bool crl_due;             /* it has lapsed, or lacks a revocation or an ended overlap that is on record */
    int64_t issuance_horizon; /* the last second at which a device certificate of full term can be issued */
    size_t audit_rows;
    char audit_head[PKI_FINGERPRINT_TEXT];
    bool audit_sound; /* the hash chain holds from row audit_from on */
    int64_t audit_from;
    int64_t checkpoint_seq, checkpoint_at; /* of the last checkpoint; 0: there is none */
    int64_t rows_after;                    /* audit rows that no checkpoint vouches for yet */
    bool unshipped;                        /* [audit] ship is set, and checkpoints wait to be handed over */
    size_t to_reconcile;                   /* things that `reconcile` would do */
    int record_error;                      /* 0, or PC_EREFUSED: what it cannot see to */
    char record_text[512];
    /* The newest certificates on record, up to a thousand, were read back and have the hash on record: what
     * was written last can be read. It says nothing of older ones. */
    bool ledger_sound;
    size_t ledger_checked;
    const char
        *guard_name; /* why nothing would be signed on this ledger: the refusal's name; NULL: it would */
    char guard_text[1024];
    int token_error;      /* 0, or PC_E… */
    char token_text[512]; /* what it said */
};
/* Opens the token, without a login, to tell its health. */
int ca_status(struct ca *ca, struct ca_health *ret);
void ca_health_clear(struct ca_health *health);

#endif
