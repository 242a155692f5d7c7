/* What a batch does at the two ends of the pipeline, and what it keeps while that runs. Within src/ca/batch
 * only. */
#ifndef CA_BATCH_STAGES_H
#define CA_BATCH_STAGES_H

#include "src/ca/batch/batch.h"
#include "src/ca/batch/receipt.h"
#include "src/ca/batch/source.h"
#include "src/ca/pipeline/pipeline.h"

struct item {
    struct work work; /* first: the pipeline's */
    size_t number;    /* in the order of the source */
    struct source_entry entry;
    char output[PKI_UUID_TEXT + 4]; /* name of its chain, "" while it has none */
};
static inline struct item *item_of(struct work *work)
{
    return (struct item *)(void *)work;
}
static inline const struct item *item_of_const(const struct work *work)
{
    return (const struct item *)(const void *)work;
}

struct batch {
    struct ca *ca;
    const struct ca_batch_options *options;
    int out; /* folder */
    struct receipt *receipt;

    struct source *source; /* one thread at a time reads it */
    size_t read;           /* items of the source */
    bool exhausted;        /* the source is */

    /* The caller's thread alone. */
    struct ca_batch_counts counts;
    size_t first_failed; /* number of the first item that failed; 0: none did */
    struct ca_failure first_failure;
    size_t unsynced; /* chains written behind */
    int64_t told;    /* when progress was last told, ms */
};

/* run.c: all items of the source through the pipeline; returns when each has ended. Only what stopped the
 * batch is an error. */
int batch_run(struct batch *batch);
/* judge.c: pipeline_hooks.judge. */
int batch_judge(void *batch, struct work *work);
/* output.c, all on the caller's thread: writes chain and receipt line of an item that has ended, and tells
 * the caller. An error is the receipt's. */
int output_item(struct batch *batch, struct item *item);
int output_sync(struct batch *batch); /* makes the chains durable */
void output_progress(struct batch *batch);

#endif
