/* The receipt of a batch: JSON lines, one an item between a header and a trailer, so that a missing one is
 * provable. Within src/ca/batch only. */
#ifndef CA_BATCH_RECEIPT_H
#define CA_BATCH_RECEIPT_H

#include "src/ca/batch/batch.h"
#include "src/ca/batch/source.h"

struct receipt;

/* Begins OUT/receipt-TIME-RANDOM.jsonl under a temporary name, with its header. What runs that were killed
 * left of theirs is taken away. */
int receipt_open(struct ca *ca, const struct ca_batch_options *options, const struct source *source,
                 struct receipt **ret);
int receipt_add(struct receipt *receipt, const struct ca_batch_item *item);
/* The trailer; then the file is durable, signed, and stands in its place with its signature beside it.
 * `code`: what stopped the batch, or 0. Where the audit key cannot sign (after PC_EUNREACH it is not asked),
 * report->signature is NULL and report->unsigned_because tells why. Its hash gets an audit row. */
int receipt_close(struct receipt *receipt, struct ca *ca, int code, struct ca_batch_report *report);
void receipt_free(struct receipt *receipt); /* one that was not closed leaves nothing behind */
PC_DEFINE_CLEANUP(struct receipt, receipt_free);

#endif
