/* plantca audit: the log judged, vouched for, written out. */
#include "src/cmd/plantca/plantca.h"

#include <string.h>

#include "src/base/error.h"
#include "src/ca/audit.h"
#include "src/ca/batch/proof.h"
#include "src/cmd/output.h"

#define FAULTS_SHOWN 100

struct faults {
    struct cmd *cmd;
    json_t *list;
};

static void show_fault(void *context, const char *rule, const char *text)
{
    struct faults *faults = context;

    json_array_append_new(faults->list, json_pack("{s:s,s:o}", "rule", rule, "text", cmd_json_text(text)));
    cmd_say(faults->cmd, "%s: %s\n", rule, text);
}

/* What nobody can know from what was given. */
static void say_unknown(struct cmd *cmd, const struct ca_verify_report *report)
{
    json_t *unknown = json_array();
    char since[PC_TIME_TEXT], text[256];

    if (report->rows_after > 0) {
        pc_time_format(report->rows_since, since);
        snprintf(text, sizeof text,
                 "whether the %zu audit rows after the last checkpoint (since %s) are all: no signature "
                 "vouches for "
                 "them",
                 report->rows_after, since);
        json_array_append_new(unknown, json_string(text));
    }
    if (report->heads == 0)
        json_array_append_new(unknown,
                              json_string("whether rows were cut off behind a checkpoint that is gone, too: "
                                          "no shipped head was given (--head)"));
    if (report->witnesses == 0)
        json_array_append_new(
            unknown,
            json_string("whether this is an older copy: no published CRL was there to compare (--crl)"));
    json_array_append_new(unknown,
                          json_string("what someone with the PIN could sign: the audit key lives in the same "
                                      "token as the CA's"));
    for (size_t i = 0; i < json_array_size(unknown); i++)
        cmd_field(cmd, i == 0 ? "Not known" : "", "%s", json_string_value(json_array_get(unknown, i)));
    cmd_set(cmd, "{s:o}", "unknown", unknown);
}

static void tell_verdict(struct cmd *cmd, const struct ca_verify_report *report, json_t *faults)
{
    char at[PC_TIME_TEXT] = "";

    if (report->checkpoint_at > 0)
        pc_time_format(report->checkpoint_at, at);
    cmd_set(cmd, "{s:b,s:o,s:I,s:I,s:I,s:I,s:I}", "sound", report->faults == 0, "faults", faults,
            "fault_count", (json_int_t)report->faults, "rows", (json_int_t)report->rows, "certificates",
            (json_int_t)report->certificates, "crls", (json_int_t)report->crls, "checkpoints",
            (json_int_t)report->checkpoints);
    cmd_set(cmd, "{s:I,s:I,s:s,s:o,s:I,s:I}", "heads", (json_int_t)report->heads, "witnesses",
            (json_int_t)report->witnesses, "head", report->head, "checkpoint_at",
            report->checkpoint_at > 0 ? cmd_json_time(report->checkpoint_at) : json_null(), "checkpoint_row",
            (json_int_t)report->checkpoint_seq, "rows_after", (json_int_t)report->rows_after);
    cmd_field(cmd, "Audit log", "%zu row%s, head %.16s", report->rows, CMD_S(report->rows), report->head);
    cmd_field(cmd, "On record", "%zu certificate%s, %zu CRL%s", report->certificates,
              CMD_S(report->certificates), report->crls, CMD_S(report->crls));
    if (report->checkpoint_at > 0)
        cmd_field(cmd, "Checkpoints", "%zu; the last of %s vouches for row %lld", report->checkpoints, at,
                  (long long)report->checkpoint_seq);
    else
        cmd_field(cmd, "Checkpoints", "none");
    cmd_field(cmd, "Witnesses", "%zu CRL%s, %zu head%s from outside", report->witnesses,
              CMD_S(report->witnesses), report->heads, CMD_S(report->heads));
    say_unknown(cmd, report);
    cmd_field(cmd, "Verdict", "%s", report->faults == 0 ? "sound" : "BROKEN");
}

static size_t values_of(const struct cmd *cmd, const char *option, const char *ret[CMD_MANY_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < cmd->many_count; i++)
        if (strcmp(cmd->many[i].option, option) == 0)
            ret[count++] = cmd->many[i].value;
    return count;
}

static int verify(struct cmd *cmd, struct ca *ca)
{
    struct faults faults = {.cmd = cmd, .list = json_array()};
    const char *heads[CMD_MANY_MAX], *crls[CMD_MANY_MAX];
    const struct ca_verify_options options = {
        .heads = heads,
        .head_count = values_of(cmd, "head", heads),
        .crls = crls,
        .crl_count = values_of(cmd, "crl", crls),
        .certificate = cmd_value(cmd, "ca"),
        .fault = show_fault,
        .context = &faults,
        .most = FAULTS_SHOWN,
    };
    struct ca_verify_report report;
    int rc = ca_audit_verify(ca, &options, &report);

    if (rc != 0) {
        json_decref(faults.list);
        return rc;
    }
    tell_verdict(cmd, &report, faults.list);
    if (report.faults > 0)
        return pc_refuse("audit-broken", "the record does not hold: %zu fault%s", report.faults,
                         report.faults == 1 ? "" : "s");
    return 0;
}

static int checkpoint(struct cmd *cmd, struct ca *ca)
{
    struct ca_checkpoint_report report;
    int rc = ca_audit_checkpoint(ca, cmd_value(cmd, "ship"), &report);

    if (rc != 0)
        return rc;
    cmd_set(cmd, "{s:I,s:o,s:s,s:I,s:s,s:I,s:I}", "checkpoint", (json_int_t)report.id, "time",
            cmd_json_time(report.at), "chain", report.chain, "row", (json_int_t)report.seq, "sha256",
            report.sha256, "crl_number", (json_int_t)report.crl_number, "shipped",
            (json_int_t)report.shipped);
    cmd_field(cmd, "Checkpoint", "row %lld of chain %s", (long long)report.seq, report.chain);
    cmd_field(cmd, "Head", "%s", report.sha256);
    cmd_field(cmd, "Handed over", "%zu", report.shipped);
    return 0;
}

static int append_line(void *context, const char *line)
{
    return fprintf(context, "%s\n", line) < 0 ? pc_fail_errno(PC_EFAIL, "export") : 0;
}

static int export_to(struct cmd *cmd, struct ca *ca, const char *out)
{
    pc_autobytes text = {0};
    char *memory = NULL;
    size_t size = 0;

    if (cmd_is_stdout(out))
        return ca_audit_each(ca, append_line, stdout);
    FILE *file = open_memstream(&memory, &size);
    if (file == NULL)
        return pc_fail_errno(PC_EFAIL, "%s", out);
    int rc = ca_audit_each(ca, append_line, file);
    if (fclose(file) != 0 && rc == 0)
        rc = pc_fail_errno(PC_EFAIL, "%s", out);
    text = (struct pc_bytes){(unsigned char *)memory, size};
    if (rc == 0)
        rc = cmd_write(cmd, out, &text, NULL);
    if (rc == 0)
        cmd_field(cmd, "Written", "%s", out);
    return rc;
}

static int write_out(struct cmd *cmd, struct ca *ca)
{
    const char *out = cmd_value(cmd, "out");
    int rc = plantca_check_output(cmd, out);

    if (rc == 0 && cmd_is_stdout(out) && cmd->json)
        rc = pc_fail(PC_EUSAGE, "the log is JSON lines already: leave out --json, or give --out FILE");
    return rc != 0 ? rc : export_to(cmd, ca, out);
}

static void show_item(void *context, const char *input, const char *outcome, const char *text)
{
    struct faults *items = context;

    json_array_append_new(items->list, json_pack("{s:o,s:s,s:o}", "input", cmd_json_text(input), "outcome",
                                                 outcome, "message", cmd_json_text(text)));
    cmd_say(items->cmd, "%s: %s\n", outcome, *text != '\0' ? text : input);
}

static void tell_receipt(struct cmd *cmd, const struct ca_receipt_report *report, json_t *items)
{
    const struct ca_batch_counts *counts = &report->counts;
    char at[PC_TIME_TEXT];

    pc_time_format(report->signed_at, at);
    cmd_set(cmd, "{s:I,s:b,s:b,s:s,s:s,s:o,s:I,s:o}", "items", (json_int_t)counts->total, "complete",
            report->complete, "recorded", report->recorded, "ca_sha256", report->ca_sha256, "signer",
            report->signer, "signed_at", cmd_json_time(report->signed_at), "audit_row",
            (json_int_t)report->head, "not_through", items);
    for (int i = 0; i < CA_BATCH_OUTCOMES; i++)
        cmd_set(cmd, "{s:I}", ca_batch_outcome_name((enum ca_batch_outcome)i),
                (json_int_t)counts->outcome[i]);
    cmd_field(cmd, "Items", "%zu: %zu issued, %zu issued before, %zu refused, %zu failed, %zu pending",
              counts->total, counts->outcome[CA_BATCH_ISSUED], counts->outcome[CA_BATCH_ALREADY],
              counts->outcome[CA_BATCH_REFUSED], counts->outcome[CA_BATCH_FAILED],
              counts->outcome[CA_BATCH_PENDING]);
    cmd_field(cmd, "Signed", "%s, by the audit key with certificate %s", at, report->signer);
    cmd_field(cmd, "CA SHA-256", "%s", report->ca_sha256);
    if (report->recorded)
        cmd_field(cmd, "On record", "row %lld of the audit log, and every certificate",
                  (long long)report->head);
    else
        cmd_field(cmd, "Not known", "what the ledger says: none was asked");
    cmd_field(cmd, "Verdict", "%s", report->complete ? "sound" : "sound, of a batch that was stopped");
}

static int receipt(struct cmd *cmd, struct ca *ca)
{
    struct faults items = {.cmd = cmd, .list = json_array()};
    struct ca_receipt_report report;
    const struct ca_receipt_options options = {
        .receipt = cmd->operands[1],
        .signature = cmd->operand_count > 2 ? cmd->operands[2] : NULL,
        .certificate = cmd_value(cmd, "ca"),
        .item = show_item,
        .context = &items,
    };
    int rc = ca_receipt_verify(ca, &options, &report);

    if (rc != 0) {
        json_decref(items.list);
        return rc;
    }
    tell_receipt(cmd, &report, items.list);
    return 0;
}

int plantca_run_audit(struct cmd *cmd)
{
    static const struct {
        const char *name;
        int (*run)(struct cmd *cmd, struct ca *ca);
        int (*open)(const struct ca_settings *settings, struct ca **ret);
        const char *options[6];
        size_t files; /* operands behind its name, at most */
    } acts[] = {
        {"verify", verify, ca_open_to_read, {"head", "crl", "ca", "state"}, 0},
        {"checkpoint", checkpoint, ca_open, {"ship", "pin-file", "pin-fd"}, 0},
        {"export", write_out, ca_open_to_read, {"out", "state"}, 0},
        {"receipt", receipt, ca_open_to_read, {"ca", "state"}, 2},
    };
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    size_t act = 0;

    while (act < CMD_LENGTH(acts) && strcmp(acts[act].name, cmd->operands[0]) != 0)
        act++;
    if (act == CMD_LENGTH(acts))
        return pc_fail(PC_EUSAGE, "'%.40s' is none of verify, checkpoint, export, receipt", cmd->operands[0]);
    for (size_t i = 0; i < cmd->command->option_count; i++) {
        const char *name = cmd->command->options[i].name;
        bool known = false;
        for (size_t j = 0; j < CMD_LENGTH(acts[act].options) && acts[act].options[j] != NULL; j++)
            known = known || strcmp(name, acts[act].options[j]) == 0;
        if (!known && cmd_given(cmd, name))
            return pc_fail(PC_EUSAGE, "--%s does not go with %s", name, acts[act].name);
    }
    size_t files = cmd->operand_count - 1;
    if (files > acts[act].files || (files == 0 && acts[act].files > 0))
        return pc_fail(PC_EUSAGE, files > 0 ? "unexpected operand '%s'" : "the receipt must be named%s",
                       files > 0 ? cmd->operands[1] : "");
    int rc = plantca_read_settings(cmd, &settings);
    /* An auditor's machine has the CA certificate, and no ledger. */
    bool alone = acts[act].run == receipt && cmd_given(cmd, "ca") && !cmd_given(cmd, "state");
    if (rc == 0 && !alone)
        rc = acts[act].open(&settings, &ca);
    return rc != 0 ? rc : acts[act].run(cmd, ca);
}
