/* The smaller books against the chain: the issuer's row, other keys of ours, orphans, publications; and the
 * tables and rules that hold them all. */
#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/audit/key.h"
#include "src/ca/audit/verify.h"
#include "src/pki/openssl.h"

static const struct {
    const char *act;
    enum book book;
} acts[] = {
    {"orphan", BOOK_ORPHAN}, {"publish", BOOK_PUBLICATION}, {"activate", BOOK_KEY},
    {"retire", BOOK_KEY},    {"jwt-key", BOOK_KEY},
};

int verify_books_keep(struct verification *v, const struct audit_line *line)
{
    size_t i = 0;
    while (i < sizeof acts / sizeof *acts && strcmp(acts[i].act, line->act) != 0)
        i++;
    if (i == sizeof acts / sizeof *acts || line->schema == 1 || strcmp(line->outcome, "done") != 0)
        return 0;
    struct told_book told = {.book = acts[i].book, .seq = line->seq, .number = line->crl_number};
    const char *const names[] = {
        [BOOK_ORPHAN] = line->serial, [BOOK_PUBLICATION] = line->file_sha256, [BOOK_KEY] = line->key_sha256};
    snprintf(told.name, sizeof told.name, "%s", names[told.book]);
    return *told.name ? list_add(&v->books, &told, sizeof told) : 0;
}

/* Meets what the chain tells of this; each publication has a row of its own. */
static bool meet(struct verification *v, enum book book, const char *name, uint64_t number)
{
    struct told_book *told = v->books.rows;
    bool found = false;
    for (size_t i = 0; i < v->books.count && !(found && book == BOOK_PUBLICATION); i++)
        if (told[i].book == book && told[i].number == number && strcmp(told[i].name, name) == 0 &&
            !(told[i].met && book == BOOK_PUBLICATION)) {
            told[i].met = true;
            found = true;
        }
    return found;
}

static int meet_orphan(void *context, const struct ledger_entry *row)
{
    if (!meet(context, BOOK_ORPHAN, row->serial, 0))
        verify_fault(context, "orphan-untold",
                     "the revocation of %s, without a certificate, has no audit row", row->serial);
    return 0;
}

static int meet_publication(void *context, const struct ledger_publication *row)
{
    if (!meet(context, BOOK_PUBLICATION, row->crl_sha256, row->crl_number))
        verify_fault(context, "publication-untold", "publication %lld (CRL number %llu) has no audit row",
                     (long long)row->id, (unsigned long long)row->crl_number);
    return 0;
}

/* What a key's certificate is: ours, of that key and of that name. */
static int judge_certificate(struct verification *v, const struct ledger_key *row)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    int r = ledger_collect(v->ca->ledger, &(struct ledger_query){.id = row->certificate}, &rows);
    if (r == 0 && (rows.count == 0 || strcmp(rows.rows[0].record.key_sha256, row->sha256) != 0 ||
                   strcmp(rows.rows[0].record.profile, pki_profile_audit.name) != 0))
        verify_fault(v, "key-differs", "key %s (%s): the certificate of its row is not of this key",
                     row->label, row->sha256);
    return r;
}

static int meet_key(void *context, const struct ledger_key *row)
{
    struct verification *v = context;
    if (!*row->sha256)
        return 0;
    if (!meet(v, BOOK_KEY, row->sha256, 0))
        verify_fault(v, "key-untold", "key %s (%s) has no audit row", row->label, row->sha256);
    if (strcmp(row->role, AUDIT_KEY_ROLE) == 0 &&
        strncmp(row->label, AUDIT_KEY_LABEL, sizeof AUDIT_KEY_LABEL - 1) != 0)
        verify_fault(v, "key-differs", "key %s (%s): an audit key has another label", row->label,
                     row->sha256);
    return row->certificate ? judge_certificate(v, row) : 0;
}

static void tell_unmet(struct verification *v)
{
    static const char *const rules[] = {[BOOK_ORPHAN] = "orphan-missing",
                                        [BOOK_PUBLICATION] = "publication-missing",
                                        [BOOK_KEY] = "key-missing"};
    const struct told_book *told = v->books.rows;
    for (size_t i = 0; i < v->books.count; i++)
        if (!told[i].met)
            verify_fault(v, rules[told[i].book], "audit row %lld tells of %s, which is not on record so",
                         (long long)told[i].seq, told[i].name);
}

/* What is wrong with the issuer's row, or NULL. */
static const char *fault_of_issuer(const struct ca *ca)
{
    PC_CLEANUP(X509_NAME_free_ref) X509_NAME *subject = NULL;
    enum pki_key_type type;
    int64_t from, until;
    if (pki_name_parse(ca->issuer.subject, &subject) < 0 ||
        X509_NAME_cmp(subject, X509_get_subject_name(ca->certificate)) != 0)
        return "its subject";
    if (pki_certificate_dates(ca->certificate, &from, &until) < 0 ||
        (until < PC_TIME_MAX - PC_DAY && (until - from) / PC_DAY + 1 != ca->issuer.days))
        return "its days";
    if (pki_key_type_of(ca->public_key, &type) < 0 ||
        strcmp(pki_key_type_name(type), ca->issuer.key_type) != 0)
        return "its key type";
    return strcmp(ca->issuer.key_label, CA_KEY_LABEL) == 0 ? NULL : "its key's label";
}

int verify_books(struct verification *v)
{
    struct ledger *ledger = v->ca->ledger;
    const char *fault = v->ca->issuer.active ? fault_of_issuer(v->ca) : NULL;
    char text[256];
    if (fault)
        verify_fault(v, "issuer-differs", "the issuer's row does not fit the CA certificate: %s", fault);
    int r = ledger->ops->schema_fault(ledger, text);
    if (r == 0 && *text)
        verify_fault(v, "ledger-rules", "the tables and their rules are not those of a ledger: %s", text);
    if (r == 0)
        r = ledger->ops->orphan_each(ledger, v->ca->issuer.id, meet_orphan, v);
    if (r == 0)
        r = ledger->ops->publication_each(ledger, meet_publication, v);
    if (r == 0)
        r = ledger->ops->key_each(ledger, NULL, meet_key, v);
    if (r == 0)
        tell_unmet(v);
    return r;
}
