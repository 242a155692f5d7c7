/* A batch as the owner of a pipeline: its items come from the source, and what has ended is written out by
 * the caller's thread, which alone is interrupted. */
#include <assert.h>

#include "src/base/error.h"
#include "src/ca/batch/stages.h"

#define OUTPUT_AT_ONCE 64
#define BREATH 200 /* ms after which signals and progress are looked at again */

static_assert((int)WORK_ISSUED == (int)CA_BATCH_ISSUED && (int)WORK_GIVEN == (int)CA_BATCH_ALREADY &&
                  (int)WORK_REFUSED == (int)CA_BATCH_REFUSED && (int)WORK_FAILED == (int)CA_BATCH_FAILED &&
                  (int)WORK_PENDING == (int)CA_BATCH_PENDING,
              "items end as the pipeline's work does");

static int next(void *context, struct work *work)
{
    struct batch *b = context;
    struct item *item = item_of(work);
    int r = b->exhausted ? 0 : b->source->next(b->source, &item->entry);
    b->exhausted = r <= 0;
    if (r > 0)
        item->number = ++b->read;
    return r;
}

static int refused(void *context, struct work *work, const char *act)
{
    const struct batch *b = context;
    return ca_audit(b->ca, &(struct audit_act){
                               .act = act,
                               .outcome = "refused",
                               .rule = work->failure.name,
                               .profile = pki_profile_device.name,
                               .subject = item_of(work)->entry.plant,
                               .key_sha256 = work->enrolment.issuance.key_sha256,
                               .request_sha256 = work->request_sha256,
                           });
}

static const char *name(const struct work *work)
{
    return item_of_const(work)->entry.path;
}

static void clear(struct work *work)
{
    source_entry_clear(&item_of(work)->entry);
}

static int put_out(struct batch *b, struct queue *ended)
{
    int r = 0;
    for (struct work *work = ended->first; work; work = work->next) {
        int written = output_item(b, item_of(work));
        r = r < 0 ? r : written;
    }
    output_progress(b);
    return r;
}

/* Writes what has ended, until everything has. */
static void run_output(struct batch *b, struct pipeline *p)
{
    struct queue ended;
    while (pipeline_collect(p, OUTPUT_AT_ONCE, BREATH, &ended)) {
        if (b->options->stop && *b->options->stop)
            pipeline_interrupt(p);
        int r = put_out(b, &ended);
        if (r < 0)
            pipeline_break(p, r);
        pipeline_give_back(p, &ended);
    }
}

/* What a stopped batch did not come to is named in the receipt all the same. */
static int tell_rest(struct batch *b)
{
    struct item item = {0};
    int r = 0;
    while (r == 0 && next(b, &item.work) > 0) {
        work_fail(&item.work, pc_fail_named(PC_EPENDING, "stopped",
                                            "%s: the batch was stopped before its turn", item.entry.path));
        r = output_item(b, &item);
        clear(&item.work);
    }
    return r;
}

int batch_run(struct batch *b)
{
    const struct pipeline_hooks hooks = {
        .context = b,
        .size = sizeof(struct item),
        .next = next,
        .judge = batch_judge,
        .refused = refused,
        .name = name,
        .clear = clear,
    };
    struct pipeline *p;
    bool interrupted = false;
    int r = pipeline_start(b->ca, &hooks, &p);
    if (r < 0)
        return r;
    run_output(b, p);
    r = pipeline_end(p, &interrupted);
    struct ca_failure failure;
    ca_failure_keep(r, &failure);
    int rest = tell_rest(b);
    if (r < 0 || rest < 0)
        return r < 0 ? ca_failure_again(&failure) : rest;
    if (interrupted)
        return pc_fail_named(
            PC_EPENDING, "interrupted", "stopped by a signal: %zu of %zu are done; run it again for the rest",
            b->counts.outcome[CA_BATCH_ISSUED] + b->counts.outcome[CA_BATCH_ALREADY], b->counts.total);
    return 0;
}
