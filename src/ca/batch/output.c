/* The last stage: chains as files, lines of the receipt, and the count of how items ended. The ledger is what
 * is durable: files are written behind, and can be written again. */
#include <fcntl.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/batch/stages.h"

#define SYNC_AFTER 16384 /* chains */
#define TELL_AFTER 200   /* ms */
#define CHAIN_MAX 65536

static bool stands(const struct batch *b, const char *name, const struct pc_bytes *pem)
{
    pc_autobytes found = {0};
    pc_autoclose int fd = openat(b->out, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd >= 0 && pc_fd_read(fd, name, CHAIN_MAX, &found) == 0 && found.len == pem->len &&
           memcmp(found.data, pem->data, pem->len) == 0;
}

static int write_chain(struct batch *b, const struct item *item)
{
    pc_autobytes pem = {0};
    int r = ca_chain_of(&item->work.enrolment.issuance.der, &pem);
    if (r < 0 || (item->work.outcome == WORK_GIVEN && stands(b, item->output, &pem)))
        return r;
    r = pc_file_write_at(b->out, item->output, pem.data, pem.len, &(struct pc_file_options){.behind = true});
    if (r < 0)
        return pc_fail_in("%s", b->options->out);
    return ++b->unsynced < SYNC_AFTER ? 0 : output_sync(b);
}

int output_sync(struct batch *b)
{
    b->unsynced = 0;
    return pc_dir_syncfs(b->options->out);
}

void output_progress(struct batch *b)
{
    int64_t now = pipeline_clock();
    if (!b->options->progress || now - b->told < TELL_AFTER)
        return;
    b->told = now;
    b->options->progress(b->options->context, &b->counts);
}

static void count(struct batch *b, const struct item *item)
{
    b->counts.ended++;
    b->counts.outcome[item->work.outcome]++;
    if (item->work.failure.code == 0 || strcmp(item->work.failure.name, "stopped") == 0)
        return;
    if (b->first_failed == 0 || item->number < b->first_failed) {
        b->first_failed = item->number;
        b->first_failure = item->work.failure;
    }
}

int output_item(struct batch *b, struct item *item)
{
    bool given = item->work.outcome == WORK_ISSUED || item->work.outcome == WORK_GIVEN;
    pc_autofree char *path = NULL;
    if (given) {
        int r = write_chain(b, item);
        if (r < 0)
            work_fail(&item->work, r);
        path = pc_path_join(b->options->out, item->output);
    }
    const struct ca_batch_item ended = {
        .number = item->number,
        .input = item->entry.path,
        .line = item->entry.line,
        .plant = item->entry.plant,
        .output = path && item->work.failure.code == 0 ? path : "",
        .outcome = (enum ca_batch_outcome)item->work.outcome,
        .code = item->work.failure.code,
        .rule = item->work.failure.code ? item->work.failure.name : "",
        .text = item->work.failure.code ? item->work.failure.text : "",
        .request_sha256 = item->work.request_sha256,
        .key_sha256 = item->work.enrolment.issuance.key_sha256,
        .serial = item->work.serial,
        .certificate_sha256 = item->work.certificate_sha256,
    };
    count(b, item);
    if (b->options->item)
        b->options->item(b->options->context, &ended);
    return receipt_add(b->receipt, &ended);
}
