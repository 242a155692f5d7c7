/* A batch from its beginning to its end: judged as a whole, then the token, then the pipeline, then the
 * receipt. */
#include "src/ca/batch/batch.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/audit/checkpoint.h"
#include "src/ca/batch/stages.h"

static const char *const outcome_names[] = {
    [CA_BATCH_ISSUED] = "issued", [CA_BATCH_ALREADY] = "already", [CA_BATCH_REFUSED] = "refused",
    [CA_BATCH_FAILED] = "failed", [CA_BATCH_PENDING] = "pending",
};
static_assert(sizeof outcome_names / sizeof *outcome_names == CA_BATCH_OUTCOMES, "a name for each outcome");

const char *ca_batch_outcome_name(enum ca_batch_outcome outcome)
{
    return outcome_names[outcome];
}

void ca_batch_report_clear(struct ca_batch_report *report)
{
    free(report->receipt);
    free(report->signature);
    *report = (struct ca_batch_report){0};
}

static int open_out(const char *path, int *ret_fd)
{
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
        return pc_refuse("file-kind", "%s: not a folder", path);
    int r = pc_dir_make(path, 0755);
    if (r < 0)
        return r;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    *ret_fd = fd;
    /* Before anything is signed. */
    return faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == 0 ? 0 : pc_fail_errno(PC_EFAIL, "%s", path);
}

/* What a batch that was not stopped says of its items that did not come through. */
static int first_problem(const struct batch *b)
{
    const struct ca_failure *first = &b->first_failure;
    size_t good = b->counts.outcome[CA_BATCH_ISSUED] + b->counts.outcome[CA_BATCH_ALREADY];
    return pc_fail_named(first->code, first->name, "%zu of %zu items did not come through; the first: %s",
                         b->counts.ended - good, b->counts.total, first->text);
}

static int run(struct batch *b, struct ca_batch_report *report)
{
    int r = receipt_open(b->ca, b->options, b->source, &b->receipt);
    if (r < 0)
        return r;
    struct ca_failure failure = {0};
    int stopped = batch_run(b);
    report->counts = b->counts;
    ca_failure_keep(stopped, &failure);
    r = output_sync(b);
    if (r == 0 || stopped < 0)
        r = receipt_close(b->receipt, b->ca, stopped, report);
    /* So that what was just done cannot be cut off unnoticed. The token is not asked where it is what stopped
     * us. */
    if (r == 0 && stopped != PC_EUNREACH && b->counts.outcome[CA_BATCH_ISSUED] > 0)
        r = checkpoint_make(b->ca, 0);
    if (stopped < 0)
        return ca_failure_again(&failure);
    return r == 0 && b->first_failed ? first_problem(b) : r;
}

int ca_batch(struct ca *ca, const struct ca_batch_options *options, struct ca_batch_report *ret)
{
    struct source *source PC_CLEANUP(source_close_ref) = NULL;
    pc_autoclose int out = -1;
    *ret = (struct ca_batch_report){0};
    int r = source_open(options->input, &source);
    if (r == 0)
        r = open_out(options->out, &out);
    if (r == 0)
        r = ca_signing_run(ca);
    if (r < 0)
        return r;
    struct batch batch = {
        .ca = ca, .options = options, .source = source, .out = out, .counts.total = source->count};
    ret->ignored = source->ignored;
    if (options->begin)
        options->begin(options->context);
    r = run(&batch, ret);
    receipt_free(batch.receipt);
    return r;
}
