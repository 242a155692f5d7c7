/* Verification of receipts: the lines against each other, the signature, the ledger; in this order, and what
 * is told comes last. */
#include "src/ca/batch/proof.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/audit/key.h"
#include "src/pki/cms.h"
#include "src/pki/openssl.h"

#define SIGNATURE_MAX 65536 /* bytes */

static void json_free_ref(json_t **value)
{
    json_decref(*value);
}
#define AUTO_JSON PC_CLEANUP(json_free_ref) json_t

struct proof {
    struct ca *ca; /* NULL: no ledger */
    const struct ca_receipt_options *options;
    struct pc_bytes text;
    X509 *issuer;
    json_t *header, *trailer;
    struct ca_receipt_report report;
};

static void proof_clear(struct proof *proof)
{
    pc_bytes_clear(&proof->text);
    X509_free(proof->issuer);
    json_decref(proof->header);
    json_decref(proof->trailer);
}

static const char *text_of(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    return text ? text : "";
}

static int outcome_of(const json_t *line)
{
    for (int i = 0; i < CA_BATCH_OUTCOMES; i++)
        if (strcmp(text_of(line, "outcome"), ca_batch_outcome_name((enum ca_batch_outcome)i)) == 0)
            return i;
    return -1;
}

/* Each line with its number, from 1; each ends with a line feed. */
static int each_line(struct proof *p, int (*take)(struct proof *p, size_t number, json_t *line))
{
    const char *at = (const char *)p->text.data, *end = at + p->text.len;
    int r = 0;
    for (size_t number = 1; r == 0 && at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        AUTO_JSON *line = stop ? json_loadb(at, (size_t)(stop - at), JSON_REJECT_DUPLICATES, NULL) : NULL;
        if (!json_is_object(line) || json_integer_value(json_object_get(line, "schema")) != 1)
            return pc_refuse("receipt-line", "%s:%zu: no line of a receipt", p->options->receipt, number);
        r = take(p, number, line);
        at = stop + 1;
    }
    return r;
}

static int count_line(struct proof *p, size_t number, json_t *line)
{
    const char *kind = text_of(line, "kind");
    int outcome = outcome_of(line);
    if (!p->trailer && number == 1 && strcmp(kind, "batch") == 0)
        p->header = json_incref(line);
    else if (!p->trailer && p->header && strcmp(kind, "end") == 0)
        p->trailer = json_incref(line);
    else if (!p->trailer && p->header && strcmp(kind, "item") == 0 && outcome >= 0) {
        p->report.counts.ended++;
        p->report.counts.outcome[outcome]++;
    } else
        return pc_refuse("receipt-line", "%s:%zu: such a line does not stand here in a receipt",
                         p->options->receipt, number);
    return 0;
}

static int same_count(const struct proof *p, const json_t *line, const char *name, size_t counted)
{
    const json_t *said = json_object_get(line, name);
    if (json_is_integer(said) && json_integer_value(said) == (json_int_t)counted)
        return 0;
    return pc_refuse("receipt-counts", "%s: its %s tells of %lld (%s), but %zu are in it",
                     p->options->receipt, line == p->header ? "header" : "trailer",
                     (long long)json_integer_value(said), name, counted);
}

/* What the receipt says of itself; no signature is needed to see that something is missing. */
static int judge_lines(struct proof *p)
{
    struct ca_batch_counts *counts = &p->report.counts;
    int r = pc_file_read(p->options->receipt, CA_FILE_MAX, &p->text);
    if (r == 0)
        r = each_line(p, count_line);
    if (r < 0)
        return r;
    if (!p->trailer)
        return pc_refuse("receipt-trailer", "%s: its last line, with the counts, is missing",
                         p->options->receipt);
    r = same_count(p, p->trailer, "items", counts->ended);
    for (int i = 0; r == 0 && i < CA_BATCH_OUTCOMES; i++)
        r = same_count(p, p->trailer, ca_batch_outcome_name((enum ca_batch_outcome)i), counts->outcome[i]);
    counts->total = counts->ended;
    p->report.complete = json_is_true(json_object_get(p->trailer, "complete"));
    /* The header is written first: of a batch that broke off it tells of more. */
    return r == 0 && p->report.complete ? same_count(p, p->header, "items", counts->ended) : r;
}

static int load_issuer(struct proof *p)
{
    pc_autobytes file = {0};
    int r = 0;
    if (p->options->certificate) {
        r = pc_file_read(p->options->certificate, CA_FILE_MAX, &file);
        if (r == 0 && pki_certificate_parse(file.data, file.len, &p->issuer) < 0)
            r = pc_fail_in("%s", p->options->certificate);
    } else {
        X509_up_ref(p->ca->certificate);
        p->issuer = p->ca->certificate;
    }
    if (r == 0 && p->ca && X509_cmp(p->issuer, p->ca->certificate) != 0)
        r = pc_refuse("ca-certificate", "%s is not the CA certificate that the ledger holds",
                      p->options->certificate);
    if (r == 0)
        r = pki_certificate_fingerprint(p->issuer, p->report.ca_sha256);
    if (r == 0 && strcmp(text_of(p->header, "ca_sha256"), p->report.ca_sha256) != 0)
        r = pc_refuse("receipt-ca", "%s: of the CA with the certificate %.64s, not %s", p->options->receipt,
                      text_of(p->header, "ca_sha256"), p->report.ca_sha256);
    return r;
}

static int read_signature(const struct proof *p, struct pc_bytes *ret)
{
    static const char ending[] = ".jsonl";
    const char *receipt = p->options->receipt, *path = p->options->signature;
    pc_autofree char *beside = NULL;
    size_t len = strlen(receipt), stem = len - (sizeof ending - 1);
    if (!path) {
        if (len < sizeof ending || strcmp(receipt + stem, ending) != 0)
            return pc_fail(PC_EUSAGE, "%s: does not end in .jsonl; name its signature, too", receipt);
        if (asprintf(&beside, "%.*s.p7s", (int)stem, receipt) < 0) {
            beside = NULL;
            return pc_fail(PC_EFAIL, "out of memory");
        }
        path = beside;
    }
    if (!pc_file_exists(path))
        return pc_refuse("receipt-unsigned", "%s: its signature is missing (%s)", receipt, path);
    return pc_file_read(path, SIGNATURE_MAX, ret);
}

static int judge_signature(struct proof *p)
{
    PC_CLEANUP(X509_free_ref) X509 *signer = NULL;
    PC_CLEANUP(BIO_free_all_ref) BIO *content = NULL;
    pc_autobytes cms = {0};
    struct pki_serial serial;
    int r = read_signature(p, &cms);
    if (r < 0)
        return r;
    content = BIO_new_mem_buf(p->text.data, (int)p->text.len);
    if (!content)
        return pc_fail_openssl(PC_EFAIL, "%s", p->options->receipt);
    r = pki_cms_verify(cms.data, cms.len, content, p->issuer, NULL, &signer, &p->report.signed_at);
    if (r == 0)
        r = audit_signer_check(p->ca, signer, p->report.signed_at);
    if (r < 0)
        return pc_fail_in("%s", p->options->receipt);
    r = pki_serial_of(signer, &serial);
    if (r == 0)
        pki_serial_format(&serial, p->report.signer);
    return r;
}

/* The row of the chain that the trailer names. */
struct head {
    const char *chain, *sha256;
    int64_t seq;
    bool met;
};

static int meet(void *context, const struct ledger_audit *row)
{
    struct head *head = context;
    if (strcmp(row->chain, head->chain) != 0)
        return 0;
    head->met = row->seq == head->seq && strcmp(row->sha256, head->sha256) == 0;
    return 1;
}

static int judge_head(struct proof *p)
{
    const json_t *said = json_object_get(p->trailer, "audit");
    struct head head = {.chain = text_of(said, "chain"),
                        .sha256 = text_of(said, "sha256"),
                        .seq = json_integer_value(json_object_get(said, "seq"))};
    p->report.head = head.seq;
    int r = p->ca && head.seq > 0
                ? p->ca->ledger->ops->audit_each(p->ca->ledger, head.chain, head.seq, meet, &head)
                : 0;
    if (r < 0 || !p->ca || head.met)
        return r;
    return pc_refuse("receipt-head",
                     "%s: names row %lld of the audit log, which is not on record so: rows were cut off, or "
                     "this is an older copy of the ledger",
                     p->options->receipt, (long long)head.seq);
}

static int judge_item(struct proof *p, size_t number, json_t *line)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const char *serial = text_of(line, "serial");
    int outcome = outcome_of(line);
    if (strcmp(text_of(line, "kind"), "item") != 0 ||
        (outcome != CA_BATCH_ISSUED && outcome != CA_BATCH_ALREADY))
        return 0;
    int r = *serial
                ? ledger_collect(p->ca->ledger,
                                 &(struct ledger_query){.issuer = p->ca->issuer.id, .serial = serial}, &rows)
                : 0;
    if (r < 0)
        return r;
    if (rows.count == 1 &&
        strcmp(rows.rows[0].record.certificate_sha256, text_of(line, "certificate_sha256")) == 0 &&
        strcmp(rows.rows[0].record.cn, text_of(line, "plant")) == 0)
        return 0;
    return pc_refuse("receipt-record", "%s:%zu: certificate %.64s for plant %.64s is not on record so",
                     p->options->receipt, number, serial, text_of(line, "plant"));
}

/* One state of the ledger. */
static int judge_record(struct proof *p)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = p->ca ? p->ca->ledger->ops->begin(p->ca->ledger, false) : 0;
    if (r == 0 && p->ca)
        open = p->ca->ledger;
    if (r == 0)
        r = judge_signature(p);
    if (r == 0)
        r = judge_head(p);
    return r < 0 || !p->ca ? r : each_line(p, judge_item);
}

static int tell_item(struct proof *p, size_t number, json_t *line)
{
    int outcome = outcome_of(line);
    (void)number;
    if (strcmp(text_of(line, "kind"), "item") == 0 && outcome != CA_BATCH_ISSUED &&
        outcome != CA_BATCH_ALREADY)
        p->options->item(p->options->context, text_of(line, "input"), text_of(line, "outcome"),
                         text_of(line, "message"));
    return 0;
}

int ca_receipt_verify(struct ca *ca, const struct ca_receipt_options *options, struct ca_receipt_report *ret)
{
    struct proof PC_CLEANUP(proof_clear) p = {.ca = ca, .options = options, .report.recorded = ca != NULL};
    int r = judge_lines(&p);
    if (r == 0)
        r = load_issuer(&p);
    if (r == 0)
        r = judge_record(&p);
    if (r == 0 && options->item)
        r = each_line(&p, tell_item);
    if (r == 0)
        *ret = p.report;
    return r;
}
