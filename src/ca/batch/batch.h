/* Many certificates at once: a folder of requests or a manifest goes in, chains and a receipt come out. */
#ifndef CA_BATCH_BATCH_H
#define CA_BATCH_BATCH_H

#include <signal.h>

#include "src/ca/authority.h"

/* How an item ended. */
enum ca_batch_outcome {
    CA_BATCH_ISSUED,
    CA_BATCH_ALREADY, /* the current certificate, given again */
    CA_BATCH_REFUSED, /* by policy or verification */
    CA_BATCH_FAILED,
    CA_BATCH_PENDING, /* the batch was stopped before it was its turn, or another process signs for it */
    CA_BATCH_OUTCOMES,
};
const char *ca_batch_outcome_name(enum ca_batch_outcome outcome);

/* One item that has ended. All text borrowed for the call; "" where nothing is known. */
struct ca_batch_item {
    size_t number;      /* in the order of the input, from 1 */
    const char *input;  /* path of the request */
    size_t line;        /* of the manifest; 0: there is none */
    const char *plant;  /* as the input names it */
    const char *output; /* path of the chain, "" when none was written */
    enum ca_batch_outcome outcome;
    int code; /* 0, or PC_E… with the name of the rule and what was found */
    const char *rule, *text;
    const char *request_sha256, *key_sha256, *serial, *certificate_sha256;
};

struct ca_batch_counts {
    size_t total; /* items of the input */
    size_t ended; /* of them have an outcome */
    size_t outcome[CA_BATCH_OUTCOMES];
};

struct ca_batch_options {
    const char *input;                 /* folder or manifest */
    const char *out;                   /* folder, made when it is not there */
    bool renew;                        /* a key whose certificate is due or has expired gets a successor */
    const volatile sig_atomic_t *stop; /* set by a signal: what was begun is finished, the rest is left */
    void (*begin)(void *context);      /* once the token is ready, before anything is signed; may be NULL */
    /* Called by the caller's own thread: five times a second at most, and as each item ends. May be NULL. */
    void (*progress)(void *context, const struct ca_batch_counts *counts);
    void (*item)(void *context, const struct ca_batch_item *item);
    void *context;
};

struct ca_batch_report {
    struct ca_batch_counts counts;
    size_t ignored;  /* files in the folder that are no requests by their names */
    char *receipt;   /* path, owned; NULL when there is none */
    char *signature; /* of the receipt, owned; NULL when it could not be signed */
    char unsigned_because[256];
};
void ca_batch_report_clear(struct ca_batch_report *report);

/* A folder holds UUID.csr or UUID.pem (also .CSR, .PEM); a manifest lines `uuid,path` (RFC 4180; a first line
 * that begins with "uuid" or "plant" is a header; paths are relative to the manifest's folder). Judged as a
 * whole before the PIN is asked for: a manifest that cannot be read is PC_EUSAGE "manifest-syntax", one that
 * names a plant twice PC_EREFUSED "manifest-twice", with both lines. Then each item by itself; a bad one
 * never stops the others. Each is judged as by ca_sign, without replacement, and
 * without renewal unless `renew` says so.
 *
 * Recorded, signed and recorded as a single certificate is, but many share one transaction. The chain goes to
 * OUT/UUID.crt, a receipt to OUT/receipt-TIME-RANDOM.jsonl with its signature (CMS, detached, by the audit
 * key) beside it in .p7s. What stands in the place of a chain and is none of this plant is refused before
 * anything is signed. Stopped anywhere and called again, only what is left is done.
 *
 * 0, or the error of the first item that failed (its text names it); or what stopped the batch:
 * PC_EPENDING "interrupted" by `stop`, PC_EUNREACH when the token was lost twice or did not come back in
 * time, PC_EFAIL when it twice gave a wrong signature, or the ledger or the receipt cannot be written. `ret`
 * is set in any case; its counts are 0 when nothing was begun. */
int ca_batch(struct ca *ca, const struct ca_batch_options *options, struct ca_batch_report *ret);

#endif
