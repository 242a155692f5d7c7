/* The chain, row by row: that each follows from the one before, and what is kept of it for the other parts.
 */
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/ca/audit/verify.h"

struct walk {
    struct verification *v;
    bool shared; /* by stations, each with a chain of its own; else there is one: */
    char own[33];
    char chain[33], previous[PKI_FINGERPRINT_TEXT];
    int64_t seq, vouched;
};

/* Rule and text of what is wrong with this row; NULL when nothing is. */
static const char *fault_of(const struct walk *w, const struct ledger_audit *row,
                            const struct audit_line *line, bool read)
{
    char digest[PKI_FINGERPRINT_TEXT];
    if (!row->line || pki_digest_hex(row->line, strlen(row->line), digest) < 0 ||
        strcmp(digest, row->sha256) != 0)
        return "its line does not have the hash on record: it was edited";
    if (!read)
        return "its line is no audit line";
    if (!w->shared && strcmp(row->chain, w->own) != 0)
        return "it is of a chain that is not this ledger's";
    if (row->seq != w->seq + 1)
        return "rows before it are missing";
    if (strcmp(line->chain, row->chain) != 0 || line->seq != row->seq)
        return "its line belongs elsewhere in the chain";
    if (strcmp(line->previous, w->previous) != 0)
        return "it does not follow from the row before it";
    /* Lines of schema 1 name a serial number only, by which a migration has filed them. */
    if (line->schema > 1 ? line->row != row->certificate : row->certificate && !*line->serial)
        return "it is filed under another certificate than its line tells of";
    return NULL;
}

static int keep_crl(struct verification *v, const struct audit_line *line)
{
    bool issued = strcmp(line->act, "crl") == 0 || strcmp(line->act, "crl-adopt") == 0;
    struct told_crl crl = {.number = line->crl_number, .seq = line->seq, .issued = issued};
    if ((!issued && strcmp(line->act, "crl-reserve") != 0) || strcmp(line->outcome, "done") != 0)
        return 0;
    v->crls_after_key += issued && v->audit_certificates;
    memcpy(crl.sha256, line->crl_sha256, sizeof crl.sha256);
    memcpy(crl.tbs_sha256, line->tbs_sha256, sizeof crl.tbs_sha256);
    return list_add(&v->crls, &crl, sizeof crl);
}

/* What counts is the place in the chain: clocks go back. */
static int keep_retired(struct verification *v, const struct audit_line *line)
{
    struct retired retired = {.at.seq = line->seq};
    bool ends = strcmp(line->act, "retire") == 0 || strcmp(line->act, "revoke") == 0;
    if (!ends || strcmp(line->profile, pki_profile_audit.name) != 0)
        return 0;
    memcpy(retired.key_sha256, line->key_sha256, sizeof retired.key_sha256);
    memcpy(retired.at.chain, line->chain, sizeof retired.at.chain);
    return list_add(&v->retired, &retired, sizeof retired);
}

static void keep_checkpoint(struct verification *v, const struct audit_line *line)
{
    struct mark *marks = v->marks.rows;
    bool found = false;
    if (strcmp(line->act, "checkpoint") != 0)
        return;
    for (size_t i = 0; i < v->marks.count; i++)
        if (strcmp(marks[i].sha256, line->checkpoint_sha256) == 0) {
            marks[i].recorded = true;
            marks[i].told.seq = line->seq;
            memcpy(marks[i].told.chain, line->chain, sizeof marks[i].told.chain);
            found = found || strcmp(marks[i].from, "checkpoint") == 0;
        }
    if (!found)
        verify_fault(v, "checkpoint-missing",
                     "audit row %lld tells of checkpoint %s, which is not on record, or not as it was signed",
                     (long long)line->seq, line->checkpoint_sha256);
}

static int keep(struct verification *v, const struct ledger_audit *row, const struct audit_line *line,
                int64_t vouched)
{
    v->audit_certificates += strcmp(line->act, "activate") == 0;
    v->about += row->certificate != 0;
    keep_checkpoint(v, line);
    if (row->seq > vouched && strcmp(line->act, "checkpoint") != 0) {
        v->report.rows_after++;
        if (v->report.rows_since == 0)
            v->report.rows_since = line->time;
    }
    int r = keep_retired(v, line);
    if (r == 0)
        r = verify_books_keep(v, line);
    if (r == 0)
        r = verify_admissions_keep(v, line);
    return r < 0 ? r : keep_crl(v, line);
}

static int walk_row(void *context, const struct ledger_audit *row)
{
    struct walk *w = context;
    struct audit_line line;
    bool read = row->line && audit_line_read(row->line, &line) == 0;
    if (strcmp(w->chain, row->chain) != 0) {
        memcpy(w->chain, row->chain, sizeof w->chain);
        memset(w->previous, '0', sizeof w->previous - 1);
        w->seq = 0;
        w->vouched = verify_vouched(w->v, row->chain);
    }
    const char *fault = fault_of(w, row, &line, read);
    if (fault)
        verify_fault(w->v, "audit-chain", "audit row %lld of chain %s: %s", (long long)row->seq, row->chain,
                     fault);
    w->v->report.rows++;
    w->seq = row->seq;
    memcpy(w->previous, row->sha256, sizeof w->previous);
    memcpy(w->v->report.head, row->sha256, sizeof w->v->report.head);
    verify_marks_at(w->v, row);
    return read ? keep(w->v, row, &line, w->vouched) : 0;
}

int verify_chain(struct verification *v)
{
    struct walk walk = {.v = v, .shared = v->ca->ledger->ops->path(v->ca->ledger) == NULL};
    struct ledger_audit head;
    int r = v->ca->ledger->ops->audit_head(v->ca->ledger, &head);
    if (r < 0)
        return r;
    memcpy(walk.own, head.chain, sizeof walk.own);
    r = v->ca->ledger->ops->audit_each(v->ca->ledger, NULL, 1, walk_row, &walk);
    return r;
}
