/* A receipt held against its signature, and against the ledger where there is one. */
#ifndef CA_BATCH_PROOF_H
#define CA_BATCH_PROOF_H

#include "src/ca/batch/batch.h"

struct ca_receipt_options {
    const char *receipt;     /* path */
    const char *signature;   /* path; NULL: beside the receipt, .p7s in the place of .jsonl */
    const char *certificate; /* path of the CA certificate as the auditor has it; NULL: the ledger's */
    /* An item that did not come through; texts borrowed for the call. Called once everything has held. */
    void (*item)(void *context, const char *input, const char *outcome, const char *text);
    void *context;
};

struct ca_receipt_report {
    struct ca_batch_counts counts;
    bool complete;                        /* nothing stopped the batch */
    bool recorded;                        /* the ledger was asked */
    char ca_sha256[PKI_FINGERPRINT_TEXT]; /* of the CA certificate that all was judged by */
    char signer[PKI_SERIAL_TEXT];         /* serial number of the audit key's certificate */
    int64_t signed_at, head;              /* head: row of the audit log that the receipt names */
};

/* `ca` may be NULL: then options->certificate must be given, and nobody can say whether the ledger agrees.
 * PC_EREFUSED: "receipt-line" (no receipt's line, or in the wrong place), "receipt-trailer" (missing),
 * "receipt-counts" (its counts are not those of its lines), "receipt-unsigned" (no signature there),
 * "receipt-ca" (of another CA), the names of pki_cms_verify, "ca-certificate"; by the ledger: "cms-signer",
 * "receipt-head" (the audit row is not on record), "receipt-record" (a certificate is not). */
int ca_receipt_verify(struct ca *ca, const struct ca_receipt_options *options, struct ca_receipt_report *ret);

#endif
