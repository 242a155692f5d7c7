/* Checkpoints, on record and from outside: whether the audit key signed them, and whether the chain is still
 * the one that they vouch for. */
#include <dirent.h>
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/audit/key.h"
#include "src/ca/audit/verify.h"
#include "src/pki/cms.h"
#include "src/pki/openssl.h"

#define HEADS_MAX (256U << 20) /* bytes of a file of checkpoints */

/* Our key signs certificates for plants and brokers, too: none of them vouches for the record. */
static bool is_audit_certificate(X509 *certificate)
{
    pc_autofree char *cn = NULL;
    return pki_name_cn(X509_get_subject_name(certificate), &cn) == 0 && strcmp(cn, AUDIT_KEY_LABEL) == 0 &&
           X509_get_extended_key_usage(certificate) == UINT32_MAX &&
           X509_get_key_usage(certificate) == KU_DIGITAL_SIGNATURE;
}

/* The certificate must be on record as it is: whoever can use our key behind the ledger's back makes others.
 */
static int judge_signer(struct ca *ca, X509 *signer, int64_t at)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    struct pki_serial serial;
    char text[PKI_SERIAL_TEXT], sha256[PKI_FINGERPRINT_TEXT];
    int r = pki_serial_of(signer, &serial);
    if (r == 0)
        r = pki_certificate_fingerprint(signer, sha256);
    if (r < 0)
        return r;
    pki_serial_format(&serial, text);
    r = ledger_collect(ca->ledger, &(struct ledger_query){.issuer = ca->issuer.id, .serial = text}, &rows);
    if (r < 0)
        return r;
    if (rows.count == 0 || strcmp(rows.rows[0].record.certificate_sha256, sha256) != 0)
        return pc_refuse("cms-signer", "signed by a certificate (serial %s) that is not on record", text);
    if (at && rows.rows[0].state == LEDGER_REVOKED && at > rows.rows[0].record.revoked_at)
        return pc_refuse("cms-signer", "signed when its certificate (serial %s) was revoked already", text);
    return 0;
}

int audit_signer_check(struct ca *ca, X509 *signer, int64_t at)
{
    if (!is_audit_certificate(signer))
        return pc_refuse("cms-signer", "signed by a certificate that is no audit key's");
    return ca ? judge_signer(ca, signer, at) : 0;
}

/* One mark for each chain that the statement speaks of. */
static int add_marks(struct verification *v, const struct mark *common,
                     const struct checkpoint_statement *said)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < said->head_count; i++) {
        struct mark mark = *common;
        mark.said = said->heads[i];
        mark.first = i == 0;
        r = list_add(&v->marks, &mark, sizeof mark);
    }
    return r;
}

/* `what` names it in a fault. The statement counts only when its signature holds; empty when it does not. */
static int judge(struct verification *v, const char *from, const char *what, const struct pc_bytes *json,
                 const struct pc_bytes *cms, struct checkpoint_statement *ret_said)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *content = BIO_new_mem_buf(json->data, (int)json->len);
    struct checkpoint_statement said PC_CLEANUP(checkpoint_statement_clear) = {0};
    PC_CLEANUP(X509_free_ref) X509 *signer = NULL;
    struct mark mark = {.from = from};
    char ca[PKI_FINGERPRINT_TEXT];
    int r = pki_digest_hex(json->data, json->len, mark.sha256);
    if (r == 0)
        r = pki_certificate_fingerprint(v->ca->certificate, ca);
    if (r < 0 || !content)
        return r < 0 ? r : pc_fail_openssl(PC_EFAIL, "%s", what);
    r = pki_cms_verify(cms->data, cms->len, content, v->ca->certificate, NULL, &signer, NULL);
    if (r == 0 && !is_audit_certificate(signer))
        r = pc_refuse("cms-signer", "signed by a certificate that is no audit key's");
    if (r == 0)
        r = pki_key_fingerprint(X509_get0_pubkey(signer), mark.signer);
    if (r == 0)
        r = checkpoint_statement_parse(json, &said);
    if (r == 0)
        r = judge_signer(v->ca, signer, 0);
    if (r == 0 && strcmp(said.ca, ca) != 0)
        r = pc_refuse("checkpoint-ca", "it vouches for another CA (certificate %s)", said.ca);
    if (r == PC_EREFUSED) {
        verify_fault(v, pc_error_name(), "%s: %s", what, pc_error_text());
        return 0;
    }
    if (r == 0)
        r = add_marks(v, &mark, &said);
    if (r < 0)
        return r;
    *ret_said = said;
    said = (struct checkpoint_statement){0};
    return 0;
}

struct reading {
    struct verification *v;
    char previous[PKI_FINGERPRINT_TEXT];
    struct checkpoint_statement before; /* of the checkpoint before, where it counts */
    const char *path;
};

static void reading_clear(struct reading *reading)
{
    checkpoint_statement_clear(&reading->before);
}

/* No chain goes back from one checkpoint to the next, and none is left out. */
static void judge_order(struct reading *reading, const char *what, const struct checkpoint_statement *said)
{
    if (strcmp(said->previous, reading->previous) != 0)
        verify_fault(reading->v, "checkpoint-order", "%s: does not follow from the checkpoint before it",
                     what);
    for (size_t i = 0; i < reading->before.head_count; i++) {
        const struct checkpoint_head *before = &reading->before.heads[i];
        const struct checkpoint_head *now = checkpoint_head_of(said, before->chain);
        if (!now || now->seq < before->seq)
            verify_fault(reading->v, "checkpoint-order", "%s: stands behind one of row %lld of chain %s",
                         what, (long long)before->seq, before->chain);
    }
}

static int read_checkpoint(void *context, const struct ledger_checkpoint *row)
{
    struct reading *reading = context;
    struct verification *v = reading->v;
    struct checkpoint_statement said PC_CLEANUP(checkpoint_statement_clear) = {0};
    char what[96];
    snprintf(what, sizeof what, "checkpoint %lld (row %lld of the chain)", (long long)row->id,
             (long long)row->seq);
    int r = judge(v, "checkpoint", what, &row->statement, &row->cms, &said);
    v->report.checkpoints++;
    if (r == 0 && said.head_count) {
        const struct checkpoint_head *head = checkpoint_head_of(&said, row->chain);
        if (!head || head->seq != row->seq || strcmp(head->sha256, row->sha256) != 0 || said.time != row->at)
            verify_fault(v, "checkpoint-row", "%s: its row says something else than was signed", what);
        judge_order(reading, what, &said);
        v->report.checkpoint_at = said.time;
        v->report.checkpoint_seq = head ? head->seq : 0;
    }
    if (r == 0)
        r = pki_digest_hex(row->statement.data, row->statement.len, reading->previous);
    if (r == 0 && said.head_count) {
        memcpy(v->newest, reading->previous, sizeof v->newest);
        checkpoint_statement_clear(&reading->before);
        reading->before = said;
        said = (struct checkpoint_statement){0};
    }
    return r;
}

int verify_checkpoints(struct verification *v)
{
    struct reading reading PC_CLEANUP(reading_clear) = {.v = v};
    memset(reading.previous, '0', sizeof reading.previous - 1);
    return v->ca->ledger->ops->checkpoint_each(v->ca->ledger, false, read_checkpoint, &reading);
}

static int read_head(void *context, const struct pc_bytes *json, const struct pc_bytes *cms)
{
    struct reading *reading = context;
    struct checkpoint_statement said PC_CLEANUP(checkpoint_statement_clear) = {0};
    reading->v->report.heads++;
    return judge(reading->v, "head", reading->path, json, cms, &said);
}

static int read_heads(struct verification *v, const char *path)
{
    struct reading reading = {.v = v, .path = path};
    pc_autobytes text = {0};
    int r = pc_file_read(path, HEADS_MAX, &text);
    if (r == 0)
        r = checkpoint_text_each(&text, read_head, &reading);
    return r < 0 ? pc_fail_in("%s", path) : 0;
}

static void close_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static int read_place(struct verification *v, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return read_heads(v, path);
    DIR *dir PC_CLEANUP(close_dir) = opendir(path);
    if (!dir)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    int r = 0;
    for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
        pc_autofree char *file = entry->d_name[0] == '.' ? NULL : pc_path_join(path, entry->d_name);
        if (file)
            r = read_heads(v, file);
    }
    return r;
}

int verify_heads(struct verification *v)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < v->options->head_count; i++)
        r = read_place(v, v->options->heads[i]);
    return r;
}

static int by_seq(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    return x->said.seq < y->said.seq ? -1 : x->said.seq > y->said.seq;
}

void verify_marks_sort(struct verification *v)
{
    if (v->marks.count)
        qsort(v->marks.rows, v->marks.count, sizeof(struct mark), by_seq);
}

void verify_marks_at(struct verification *v, const struct ledger_audit *row)
{
    struct mark *marks = v->marks.rows;
    size_t low = 0, high = v->marks.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (marks[middle].said.seq < row->seq)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low; i < v->marks.count && marks[i].said.seq == row->seq; i++) {
        struct mark *mark = &marks[i];
        if (strcmp(mark->said.chain, row->chain) != 0)
            continue;
        mark->met = true;
        if (strcmp(mark->said.sha256, row->sha256) != 0)
            verify_fault(
                v, "checkpoint-head",
                "audit row %lld: its hash is %s, but a %s of the audit key vouches for %s: the chain "
                "up to here is not the one that was signed",
                (long long)row->seq, row->sha256, mark->from, mark->said.sha256);
    }
}

int64_t verify_vouched(const struct verification *v, const char *chain)
{
    const struct mark *marks = v->marks.rows;
    for (size_t i = 0; i < v->marks.count; i++)
        if (strcmp(marks[i].sha256, v->newest) == 0 && strcmp(marks[i].said.chain, chain) == 0)
            return marks[i].said.seq;
    return 0;
}

/* Whether the key of `mark` had its end on record when it signed: its statement covers that row, or stands
 * behind it in the same chain. */
static bool signed_late(const struct verification *v, const struct mark *mark)
{
    const struct retired *retired = v->retired.rows;
    for (size_t i = 0; i < v->retired.count; i++) {
        bool same = strcmp(retired[i].at.chain, mark->told.chain) == 0;
        bool covered =
            strcmp(retired[i].at.chain, mark->said.chain) == 0 && mark->said.seq >= retired[i].at.seq;
        if (strcmp(retired[i].key_sha256, mark->signer) == 0 &&
            (covered || (mark->first && same && mark->told.seq > retired[i].at.seq)))
            return true;
    }
    return false;
}

static bool told(const struct verification *v, const struct mark *mark)
{
    const struct mark *marks = v->marks.rows;
    for (size_t i = 0; i < v->marks.count; i++)
        if (strcmp(marks[i].from, "checkpoint") == 0 && strcmp(marks[i].sha256, mark->sha256) == 0)
            return true;
    return false;
}

void verify_marks_end(struct verification *v)
{
    const struct mark *marks = v->marks.rows;
    for (size_t i = 0; i < v->marks.count; i++) {
        const struct mark *mark = &marks[i];
        bool head = strcmp(mark->from, "head") == 0;
        if (!mark->met && mark->said.seq > 0)
            verify_fault(
                v, "audit-truncated",
                "a %s of the audit key vouches for row %lld of chain %s, which is not there: rows were "
                "cut off, or this is an older copy of the ledger",
                mark->from, (long long)mark->said.seq, mark->said.chain);
        else if (mark->recorded && signed_late(v, mark))
            verify_fault(v, "cms-signer",
                         "audit row %lld: a %s is signed by the audit key %s, whose end was recorded before",
                         (long long)mark->told.seq, mark->from, mark->signer);
        else if (head && mark->first && !told(v, mark))
            verify_fault(v, "checkpoint-missing",
                         "the head of row %lld was handed over, but its checkpoint is not on record: it was "
                         "removed, or this is an older copy of the ledger",
                         (long long)mark->said.seq);
        else if (!head && mark->first && !mark->recorded)
            verify_fault(v, "checkpoint-untold", "the checkpoint of row %lld has no audit row",
                         (long long)mark->said.seq);
    }
    if (v->report.checkpoints == 0 && v->crls_after_key)
        verify_fault(v, "checkpoint-missing",
                     "there is an audit key, and %zu CRLs were issued since, but no checkpoint is on record",
                     v->crls_after_key);
}
