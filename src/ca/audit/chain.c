/* How audit rows are chained, each to the one before, and whether a chain still holds. What a line says is in
 * line.c. */
#include "src/ca/audit/audit.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/ca/audit/line.h"

int audit_append(struct ledger *ledger, const struct audit_writer *writer, const struct audit_act *act)
{
    struct ledger_audit row;
    pc_autofree char *line = NULL;
    int r = ledger->ops->audit_head(ledger, &row);
    if (r == 0)
        r = audit_line_write(writer, &row, act, &line);
    if (r < 0)
        return r;
    row.seq++;
    row.certificate = act->certificate;
    row.line = line;
    r = pki_digest_hex(line, strlen(line), row.sha256);
    return r < 0 ? r : ledger->ops->audit_append(ledger, &row);
}

struct verification {
    struct audit_verdict verdict;
    char chain[33], previous[PKI_FINGERPRINT_TEXT];
    int64_t seq, from;
};

/* What is wrong with this row, or NULL. */
static const char *fault_of(const struct verification *v, const struct ledger_audit *row)
{
    char digest[PKI_FINGERPRINT_TEXT];
    const char *chain = "", *previous = "";
    json_int_t seq = 0;
    if (!row->line || pki_digest_hex(row->line, strlen(row->line), digest) < 0 ||
        strcmp(digest, row->sha256) != 0)
        return "the line does not have the hash on record";
    json_t *line = json_loads(row->line, JSON_REJECT_DUPLICATES, NULL);
    bool read = line && json_unpack(line, "{s:s, s:s, s:I}", "chain", &chain, "previous", &previous, "seq",
                                    &seq) == 0;
    const char *fault = NULL;
    if (!read)
        fault = "the line is no audit line";
    else if (row->seq != v->seq + 1)
        fault = "rows before it are missing";
    else if (strcmp(chain, row->chain) != 0 || seq != row->seq)
        fault = "the line belongs elsewhere";
    else if (strcmp(previous, v->previous) != 0)
        fault = "it does not follow from the row before";
    json_decref(line);
    return fault;
}

static int verify_row(void *context, const struct ledger_audit *row)
{
    struct verification *v = context;
    if (strcmp(v->chain, row->chain) != 0) {
        memcpy(v->chain, row->chain, sizeof v->chain);
        memset(v->previous, '0', sizeof v->previous - 1);
        v->seq = 0;
    }
    bool trusted = v->seq == 0 && v->from > 1 && row->seq == v->from;
    const char *fault = trusted ? NULL : fault_of(v, row);
    if (fault && v->verdict.sound) {
        v->verdict.sound = false;
        snprintf(v->verdict.text, sizeof v->verdict.text, "audit row %lld of chain %s: %s",
                 (long long)row->seq, row->chain, fault);
    }
    v->verdict.rows++;
    v->seq = row->seq;
    memcpy(v->previous, row->sha256, sizeof v->previous);
    memcpy(v->verdict.head, row->sha256, sizeof v->verdict.head);
    return 0;
}

int audit_verify_from(struct ledger *ledger, const char *chain, int64_t from, struct audit_verdict *ret)
{
    struct verification v = {.verdict.sound = true, .from = from};
    int r = ledger->ops->audit_each(ledger, chain, from, verify_row, &v);
    if (r < 0)
        return r;
    *ret = v.verdict;
    return 0;
}

int audit_verify(struct ledger *ledger, struct audit_verdict *ret)
{
    return audit_verify_from(ledger, NULL, 1, ret);
}
