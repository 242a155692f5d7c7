/* The receipt as a stream: lines as items end, a trailer, then durable, signed, and in its place. */
#include "src/ca/batch/receipt.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/build.h"
#include "src/base/draft.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/random.h"
#include "src/base/time.h"
#include "src/ca/audit/key.h"

struct receipt {
    struct pc_draft *draft;
    FILE *file; /* around a descriptor of its own */
    char *path;
    EVP_MD_CTX *digest; /* of what was written so far */
};

void receipt_free(struct receipt *receipt)
{
    if (!receipt)
        return;
    if (receipt->file)
        fclose(receipt->file);
    pc_draft_free(receipt->draft);
    free(receipt->path);
    EVP_MD_CTX_free(receipt->digest);
    free(receipt);
}

/* Paths may be of any encoding: what is no UTF-8 is told by its octets. */
static json_t *text_of(const char *text)
{
    json_t *value = json_string(text);
    pc_autofree char *hex = value ? NULL : malloc(2 * strlen(text) + 5);
    if (!hex)
        return value;
    memcpy(hex, "hex:", 4);
    pc_hex(text, strlen(text), hex + 4);
    return json_string(hex);
}

static void put(json_t *line, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(line, key, text_of(text));
}

static void put_time(json_t *line, const char *key)
{
    char time[PC_TIME_TEXT];
    pc_time_format(pc_now(), time);
    put(line, key, time);
}

static json_t *new_line(const char *kind)
{
    json_t *line = json_object();
    json_object_set_new(line, "schema", json_integer(1));
    put(line, "kind", kind);
    return line;
}

/* Takes the line over. */
static int write_line(struct receipt *receipt, json_t *line)
{
    pc_autofree char *text = json_dumps(line, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(line);
    if (!text)
        return pc_fail(PC_EFAIL, "receipt: out of memory");
    if (fprintf(receipt->file, "%s\n", text) < 0)
        return pc_fail_errno(PC_EFAIL, "%s", receipt->path);
    if (EVP_DigestUpdate(receipt->digest, text, strlen(text)) != 1 ||
        EVP_DigestUpdate(receipt->digest, "\n", 1) != 1)
        return pc_fail_openssl(PC_EFAIL, "%s: its hash", receipt->path);
    return 0;
}

static int write_header(struct receipt *receipt, struct ca *ca, const char *input,
                        const struct source *source)
{
    struct ca_summary PC_CLEANUP(ca_summary_clear) summary = {0};
    int r = ca_summarise(ca, &summary);
    if (r < 0)
        return r;
    json_t *line = new_line("batch");
    put(line, "ca_sha256", summary.certificate_sha256);
    put(line, "ca_subject", summary.subject);
    put(line, "program", ca->settings->program);
    put(line, "build", pc_build_id());
    put(line, "input", input);
    put(line, "input_sha256", source->sha256);
    json_object_set_new(line, "items", json_integer((json_int_t)source->count));
    put_time(line, "started_at");
    return write_line(receipt, line);
}

static int name_receipt(const char *out, char **ret)
{
    unsigned char random[4];
    char hex[2 * sizeof random + 1], time[PC_TIME_TEXT], compact[PC_TIME_TEXT];
    size_t at = 0;
    int r = pc_random(random, sizeof random);
    if (r < 0)
        return r;
    pc_hex(random, sizeof random, hex);
    pc_time_format(pc_now(), time);
    for (const char *c = time; *c; c++) /* some file systems know no colon */
        if (*c != ':' && *c != '-')
            compact[at++] = *c;
    compact[at] = '\0';
    if (asprintf(ret, "%s%sreceipt-%s-%s.jsonl", out, out[strlen(out) - 1] == '/' ? "" : "/", compact, hex) <
        0) {
        *ret = NULL;
        return pc_fail(PC_EFAIL, "out of memory");
    }
    return 0;
}

int receipt_open(struct ca *ca, const struct ca_batch_options *options, const struct source *source,
                 struct receipt **ret)
{
    struct receipt *receipt PC_CLEANUP(receipt_free_ref) = calloc(1, sizeof *receipt);
    if (!receipt)
        return pc_fail(PC_EFAIL, "out of memory");
    int swept = pc_draft_sweep(options->out, "receipt-");
    if (swept < 0)
        return swept;
    receipt->digest = EVP_MD_CTX_new();
    if (!receipt->digest || EVP_DigestInit_ex(receipt->digest, EVP_sha256(), NULL) != 1)
        return pc_fail_openssl(PC_EFAIL, "receipt");
    int r = name_receipt(options->out, &receipt->path);
    if (r == 0)
        r = pc_draft_new(receipt->path, 0644, &receipt->draft);
    if (r < 0)
        return r;
    int fd = dup(pc_draft_fd(receipt->draft));
    receipt->file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!receipt->file)
        return pc_fail_errno(PC_EFAIL, "%s", receipt->path);
    r = write_header(receipt, ca, options->input, source);
    if (r < 0)
        return r;
    *ret = pc_steal(receipt);
    return 0;
}

int receipt_add(struct receipt *receipt, const struct ca_batch_item *item)
{
    json_t *line = new_line("item");
    put(line, "input", item->input);
    if (item->line)
        json_object_set_new(line, "line", json_integer((json_int_t)item->line));
    put(line, "plant", item->plant);
    put(line, "outcome", ca_batch_outcome_name(item->outcome));
    if (item->code) {
        put(line, "rule", item->rule);
        put(line, "message", item->text);
    }
    put(line, "request_sha256", item->request_sha256);
    put(line, "key_sha256", item->key_sha256);
    put(line, "serial", item->serial);
    put(line, "certificate_sha256", item->certificate_sha256);
    return write_line(receipt, line);
}

static int write_trailer(struct receipt *receipt, struct ca *ca, int code,
                         const struct ca_batch_counts *counts)
{
    struct ledger_audit head;
    int r = ca->ledger->ops->audit_head(ca->ledger, &head);
    if (r < 0)
        return r;
    json_t *line = new_line("end");
    json_object_set_new(line, "items", json_integer((json_int_t)counts->total));
    for (int i = 0; i < CA_BATCH_OUTCOMES; i++)
        json_object_set_new(line, ca_batch_outcome_name((enum ca_batch_outcome)i),
                            json_integer((json_int_t)counts->outcome[i]));
    json_object_set_new(line, "complete", json_boolean(code == 0));
    put_time(line, "ended_at");
    json_object_set_new(
        line, "audit",
        json_pack("{s:s,s:I,s:s}", "chain", head.chain, "seq", (json_int_t)head.seq, "sha256", head.sha256));
    return write_line(receipt, line);
}

static int write_signature(struct receipt *receipt, struct ca *ca, char **ret_path)
{
    pc_autobytes cms = {0};
    pc_autofree char *path = NULL;
    int r = audit_sign_file(ca, pc_draft_path(receipt->draft), &cms);
    if (r < 0)
        return r;
    size_t stem = strlen(receipt->path) - strlen(".jsonl");
    if (asprintf(&path, "%.*s.p7s", (int)stem, receipt->path) < 0) {
        path = NULL;
        return pc_fail(PC_EFAIL, "out of memory");
    }
    r = pc_file_write(path, cms.data, cms.len, &(struct pc_file_options){.fresh = true});
    if (r == 0)
        *ret_path = pc_steal(path);
    return r;
}

/* The audit log names the receipt, so that it cannot be exchanged for another. */
static int record(struct receipt *receipt, struct ca *ca, const struct ca_batch_counts *counts)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char sha256[PKI_FINGERPRINT_TEXT];
    if (EVP_DigestFinal_ex(receipt->digest, digest, &len) != 1 || 2 * len + 1 != sizeof sha256)
        return pc_fail_openssl(PC_EFAIL, "receipt: its hash");
    pc_hex(digest, len, sha256);
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){.act = "batch",
                                             .outcome = "done",
                                             .file_sha256 = sha256,
                                             .count = (int64_t)counts->total});
    return r < 0 ? r : ca_commit(ca, &open);
}

int receipt_close(struct receipt *receipt, struct ca *ca, int code, struct ca_batch_report *report)
{
    int r = write_trailer(receipt, ca, code, &report->counts);
    if (r == 0 && fflush(receipt->file) != 0)
        r = pc_fail_errno(PC_EFAIL, "%s", receipt->path);
    if (r < 0)
        return r;
    /* What stopped the batch may be the token: it is not asked again then. */
    int signing = code == PC_EUNREACH ? code : write_signature(receipt, ca, &report->signature);
    if (signing < 0)
        snprintf(report->unsigned_because, sizeof report->unsigned_because, "%s",
                 code == PC_EUNREACH ? "the token is away" : pc_error_text());
    r = pc_draft_keep(receipt->draft);
    if (r < 0)
        return r;
    report->receipt = pc_steal(receipt->path);
    return record(receipt, ca, &report->counts);
}
