/* plantca sign --batch: many requests in, chains and a receipt out. Progress while it runs, a table at the
 * end.
 */
#include "src/cmd/plantca/plantca.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/ca/batch/batch.h"
#include "src/cmd/output.h"

#define KEEP_HEAP (4 << 20) /* bytes */
#define PROBLEMS 20         /* that are shown; the receipt has them all */

struct show {
    struct cmd *cmd;
    struct timespec begun;
    bool line; /* a progress line stands on the terminal */
    size_t problem_count;
    struct problem {
        size_t number; /* of the item */
        char *text;
    } problems[PROBLEMS]; /* the first ones in the order of the input */
};

static volatile sig_atomic_t stop_wanted;
static char stop_notice[160]; /* made before signals are heeded */

static void want_stop(int number)
{
    int saved = errno;

    stop_wanted = number;
    /* The pipeline may take seconds to come to rest: whoever pressed ^C is told at once. */
    if (write(STDERR_FILENO, stop_notice, strlen(stop_notice)) < 0)
        errno = 0;
    errno = saved;
}

/* The first signal lets what was begun be finished; the second one does what it always does. */
static void begin(void *context)
{
    struct show *show = context;
    struct sigaction action = {.sa_handler = want_stop, .sa_flags = (int)SA_RESETHAND};

    clock_gettime(CLOCK_MONOTONIC, &show->begun);
    if (!show->cmd->quiet)
        snprintf(stop_notice, sizeof stop_notice,
                 "%splantca sign: stopping; what was begun is finished first (again: ends at once)\n",
                 isatty(STDERR_FILENO) ? "\r\033[K" : "");
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void clear_line(struct show *show)
{
    if (show->line)
        fputs("\r\033[K", stderr);
    show->line = false;
}

static void progress(void *context, const struct ca_batch_counts *counts)
{
    struct show *show = context;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    double elapsed =
        (double)(now.tv_sec - show->begun.tv_sec) + (double)(now.tv_nsec - show->begun.tv_nsec) / 1e9;
    size_t done = counts->ended - counts->outcome[CA_BATCH_PENDING];
    double rate = elapsed > 0 ? (double)done / elapsed : 0;
    size_t left = counts->total > counts->ended ? counts->total - counts->ended : 0;
    clear_line(show);
    fprintf(stderr, "%zu of %zu done, %.0f/s", done, counts->total, rate);
    if (rate > 0 && !stop_wanted) {
        unsigned long seconds = (unsigned long)((double)left / rate + 0.5);
        fprintf(stderr, ", %lu:%02lu left", seconds / 60, seconds % 60);
    }
    fflush(stderr);
    show->line = true;
}

static json_t *text_or_null(const char *text)
{
    return *text != '\0' ? cmd_json_text(text) : json_null();
}

/* Items end in any order: the first ones of the input are kept. */
static void keep_problem(struct show *show, const struct ca_batch_item *item)
{
    size_t kept = show->problem_count < PROBLEMS ? show->problem_count : PROBLEMS, place = kept;

    show->problem_count++;
    while (place > 0 && show->problems[place - 1].number > item->number)
        place--;
    if (place == PROBLEMS)
        return;
    if (kept == PROBLEMS)
        free(show->problems[--kept].text);
    memmove(&show->problems[place + 1], &show->problems[place], (kept - place) * sizeof *show->problems);
    show->problems[place] = (struct problem){.number = item->number, .text = strdup(item->text)};
}

static void item(void *context, const struct ca_batch_item *item)
{
    struct show *show = context;
    struct cmd *cmd = show->cmd;

    if (cmd->json) {
        json_t *line = json_pack("{s:s,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:o}", "kind", "item", "input",
                                 cmd_json_text(item->input), "plant", cmd_json_text(item->plant), "outcome",
                                 ca_batch_outcome_name(item->outcome), "serial", text_or_null(item->serial),
                                 "key_sha256", text_or_null(item->key_sha256), "request_sha256",
                                 text_or_null(item->request_sha256), "certificate_sha256",
                                 text_or_null(item->certificate_sha256), "file", text_or_null(item->output));
        if (item->code != 0)
            json_object_set_new(line, "error",
                                json_pack("{s:i,s:s,s:o}", "code", -item->code, "name", item->rule, "message",
                                          cmd_json_text(item->text)));
        cmd_line(cmd, line);
    } else if (item->code != 0 && strcmp(item->rule, "stopped") != 0) {
        keep_problem(show, item);
    }
}

static void tell(struct cmd *cmd, struct show *show, const struct ca_batch_report *report)
{
    static const char *const labels[CA_BATCH_OUTCOMES] = {
        [CA_BATCH_ISSUED] = "Issued", [CA_BATCH_ALREADY] = "Issued before", [CA_BATCH_REFUSED] = "Refused",
        [CA_BATCH_FAILED] = "Failed", [CA_BATCH_PENDING] = "Pending",
    };

    cmd_set(cmd, "{s:s,s:I}", "kind", "end", "items", (json_int_t)report->counts.total);
    for (int i = 0; i < CA_BATCH_OUTCOMES; i++)
        cmd_set(cmd, "{s:I}", ca_batch_outcome_name((enum ca_batch_outcome)i),
                (json_int_t)report->counts.outcome[i]);
    cmd_set(cmd, "{s:I,s:o,s:o}", "ignored", (json_int_t)report->ignored, "receipt",
            cmd_json_text(report->receipt), "signature", cmd_json_text(report->signature));

    for (size_t i = 0; i < PROBLEMS; i++)
        if (show->problems[i].text != NULL)
            cmd_complain(cmd, "", show->problems[i].text);
    if (show->problem_count > PROBLEMS)
        cmd_warn(cmd, "%zu more did not come through; the receipt names them",
                 show->problem_count - PROBLEMS);
    for (int i = 0; i < CA_BATCH_OUTCOMES; i++)
        cmd_field(cmd, labels[i], "%zu", report->counts.outcome[i]);
    if (report->receipt != NULL)
        cmd_field(cmd, "Receipt", "%s", report->receipt);
    if (report->signature != NULL)
        cmd_field(cmd, "Signature", "%s", report->signature);
    if (report->ignored > 0)
        cmd_warn(cmd, "left alone: %zu file%s with a name that ends neither in .csr nor in .pem",
                 report->ignored, CMD_S(report->ignored));
    if (report->receipt != NULL && report->signature == NULL)
        cmd_warn(cmd, "the receipt is not signed: %s", report->unsigned_because);
}

static int check_options(const struct cmd *cmd)
{
    static const char *const single[] = {"plant", "replace", "revoke-old", "dry-run"};
    const char *profile = cmd_value(cmd, "profile");

    for (size_t i = 0; i < CMD_LENGTH(single); i++)
        if (cmd_given(cmd, single[i]))
            return pc_fail(PC_EUSAGE, "--%s is for a single request, not for --batch", single[i]);
    if (cmd->operand_count > 0)
        return pc_fail(PC_EUSAGE, "a request and --batch were both given");
    if (profile != NULL && strcmp(profile, "device") != 0)
        return pc_fail(PC_EUSAGE, "--profile: '%s' is not a profile that can be requested; there is 'device'",
                       profile);
    if (cmd_is_stdout(cmd_value(cmd, "out")))
        return pc_fail(PC_EUSAGE, "--batch needs a folder for its chains: -o DIR");
    return 0;
}

int plantca_sign_batch(struct cmd *cmd)
{
    struct ca_batch_report PC_CLEANUP(ca_batch_report_clear) report = {0};
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    struct ca_settings settings;
    struct show show = {.cmd = cmd};
    const struct ca_batch_options options = {
        .input = cmd_value(cmd, "batch"),
        .out = cmd_value(cmd, "out"),
        .renew = cmd_given(cmd, "renew"),
        .stop = &stop_wanted,
        .begin = begin,
        .progress = !cmd->quiet && isatty(STDERR_FILENO) ? progress : NULL,
        .item = item,
        .context = &show,
    };
    int rc = check_options(cmd);

    /* Each thread's heap shrinks and grows with every certificate otherwise. */
    mallopt(M_TRIM_THRESHOLD, KEEP_HEAP);
    mallopt(M_TOP_PAD, KEEP_HEAP / 16);
    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0)
        rc = ca_batch(ca, &options, &report);
    clear_line(&show);
    if (report.counts.ended > 0 || report.receipt != NULL)
        tell(cmd, &show, &report);
    for (size_t i = 0; i < PROBLEMS; i++)
        free(show.problems[i].text);
    return rc;
}
