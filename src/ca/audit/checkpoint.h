/* Checkpoints: the heads of all audit chains, signed by the audit key, on record and handed off the host. */
#ifndef CA_AUDIT_CHECKPOINT_H
#define CA_AUDIT_CHECKPOINT_H

#include "src/ca/audit.h"
#include "src/ca/internal.h"

/* Signs the heads as they are now and records it, then hands it (and those that were never taken) to [audit]
 * ship; a shipment that fails is a warning and is tried again by the next checkpoint. `crl_number`: the CRL
 * that was just issued; 0: none, the last one on record is stated. Needs ca_signing_key before it, and no
 * open transaction. */
int checkpoint_make(struct ca *ca, uint64_t crl_number);

/* Whether the last checkpoint is older than [audit] interval and rows were written since. No token needed. */
int checkpoint_due(struct ca *ca, bool *ret);

/* How far the chain is vouched for. */
struct checkpoint_standing {
    struct ledger_checkpoint last; /* without its bytes; id 0: none */
    int64_t rows_after;            /* rows after it, the one that records it not counted */
    bool unshipped;                /* [audit] ship is set, and the last one was not handed over */
};
int checkpoint_standing(struct ca *ca, struct checkpoint_standing *ret);

/* What a checkpoint states. Texts are "" where it says nothing. */
struct checkpoint_head {
    char chain[33], sha256[PKI_FINGERPRINT_TEXT]; /* of the chain's last row */
    int64_t seq;
};
struct checkpoint_statement {
    char ca[PKI_FINGERPRINT_TEXT]; /* of the CA certificate */
    int64_t time;
    struct checkpoint_head *heads; /* of every chain, in the order of their names: one a station; owned */
    size_t head_count;
    uint64_t crl_number; /* 0: there was none */
    char crl_sha256[PKI_FINGERPRINT_TEXT];
    int64_t highest;                     /* row of the newest certificate */
    char previous[PKI_FINGERPRINT_TEXT]; /* of the statement before it; zeros in the first */
};
void checkpoint_statement_clear(struct checkpoint_statement *statement);
/* The head of that chain, borrowed, or NULL. */
const struct checkpoint_head *checkpoint_head_of(const struct checkpoint_statement *statement,
                                                 const char *chain);
int checkpoint_head_add(struct checkpoint_statement *statement, const char *chain, int64_t seq,
                        const char *sha256);
int checkpoint_statement_format(const struct checkpoint_statement *statement, struct pc_bytes *ret);
/* PC_EREFUSED "checkpoint-parse". */
int checkpoint_statement_parse(const struct pc_bytes *text, struct checkpoint_statement *ret);

/* text.c: one checkpoint as text: a line for people, then two PEM blocks (RFC 7468): the statement and its
 * CMS. */
int checkpoint_text_append(const struct checkpoint_statement *statement, const struct pc_bytes *json,
                           const struct pc_bytes *cms, struct pc_bytes *text);
/* Every checkpoint in such a text, in its order; PC_EREFUSED "checkpoint-parse" when a block is damaged, or
 * there is none. */
typedef int checkpoint_text_row(void *context, const struct pc_bytes *json, const struct pc_bytes *cms);
int checkpoint_text_each(const struct pc_bytes *text, checkpoint_text_row *row, void *context);

/* ship.c: hands everything that was never taken to `command`, oldest first, in one run. */
int checkpoint_ship(struct ca *ca, const char *command, size_t *ret_shipped);

#endif
