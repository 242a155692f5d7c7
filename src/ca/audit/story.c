/* Each row of the ledger against what the chain tells of it: the acts, one after the other, must lead to the
 * state that the row is in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/ca/audit/verify.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

#define CLOCK_SLACK 300               /* seconds between an act and its audit row */
#define NOTHING (1U << LEDGER_STATES) /* before the first act */

/* From which states an act leads where. */
static const struct {
    const char *act;
    unsigned from;
    enum ledger_state to;
} acts[] = {
    {"reserve", NOTHING, LEDGER_SIGNING},
    {"finish", LEDGER_UNFINISHED, LEDGER_SIGNING},
    {"issue", LEDGER_UNFINISHED, LEDGER_CURRENT},
    {"void", LEDGER_UNFINISHED, LEDGER_VOID},
    {"supersede", LEDGER_BIT(LEDGER_CURRENT), LEDGER_SUPERSEDED},
    {"revoke",
     LEDGER_BIT(LEDGER_CURRENT) | LEDGER_BIT(LEDGER_SUPERSEDED) | LEDGER_BIT(LEDGER_HELD) |
         LEDGER_BIT(LEDGER_FOREIGN) | LEDGER_BIT(LEDGER_REVOKED),
     LEDGER_REVOKED}, /* again: it was undone in the file, and accepted back */
    {"hold", LEDGER_BIT(LEDGER_CURRENT) | LEDGER_BIT(LEDGER_SUPERSEDED) | LEDGER_BIT(LEDGER_HELD),
     LEDGER_HELD},
    {"release", LEDGER_BIT(LEDGER_HELD), LEDGER_CURRENT},
    {"import", NOTHING, LEDGER_FOREIGN},
    {"incident", NOTHING, LEDGER_REVOKED},
};

struct story {
    struct verification *v;
    const struct ledger_certificate *row;
    unsigned state; /* LEDGER_BIT, or NOTHING */
    unsigned held_from;
    int64_t last;    /* audit row of the last act */
    int64_t revoked; /* time of the row that says so, or 0 */
    int64_t until;
    char reason[32], tbs_sha256[PKI_FINGERPRINT_TEXT];
    bool found;
};

static void fault(const struct story *s, const char *rule, const char *what, const char *is, const char *said)
{
    verify_fault(s->v, rule, "ledger row %lld (%s, %s): %s is %s on record, and %s by audit row %lld",
                 (long long)s->row->id, s->row->record.serial, s->row->record.cn, what, *is ? is : "missing",
                 *said ? said : "missing", (long long)s->last);
}

/* What an act says about the certificate must be what its row says. */
static void compare(const struct story *s, const struct audit_line *line)
{
    const struct ca_record *r = &s->row->record;
    const struct {
        const char *what, *is, *said;
    } texts[] = {
        {"the serial", r->serial, line->serial},
        {"the subject", r->cn, line->subject},
        {"the profile", r->profile, line->profile},
        {"the key", r->key_sha256, line->key_sha256},
        {"the certificate's hash", r->certificate_sha256, line->certificate_sha256},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (*texts[i].said && strcmp(texts[i].is, texts[i].said) != 0)
            fault(s, "row-differs", texts[i].what, texts[i].is, texts[i].said);
}

static void step(struct story *s, const struct audit_line *line)
{
    size_t i = 0;
    while (i < sizeof acts / sizeof *acts && strcmp(acts[i].act, line->act) != 0)
        i++;
    if (i == sizeof acts / sizeof *acts)
        return;
    if (!(acts[i].from & s->state))
        verify_fault(s->v, "row-story",
                     "audit row %lld: \"%s\" of ledger row %lld (%s) does not follow from what "
                     "the rows before tell of it",
                     (long long)line->seq, line->act, (long long)s->row->id, s->row->record.serial);
    if (acts[i].to == LEDGER_HELD && s->state != LEDGER_BIT(LEDGER_HELD))
        s->held_from = s->state;
    s->state = LEDGER_BIT(acts[i].to);
    if (strcmp(line->act, "release") == 0 && s->held_from)
        s->state = s->held_from;
    if (strcmp(line->act, "import") == 0 && *line->reason)
        s->state = LEDGER_BIT(LEDGER_REVOKED);
    if (s->state & (LEDGER_BIT(LEDGER_REVOKED) | LEDGER_BIT(LEDGER_HELD))) {
        s->revoked = line->at ? line->at : line->time;
        memcpy(s->reason, line->reason, sizeof s->reason);
    }
    if (line->until)
        s->until = line->until;
    if (*line->tbs_sha256)
        memcpy(s->tbs_sha256, line->tbs_sha256, sizeof s->tbs_sha256);
}

static int read_line(void *context, const struct ledger_audit *row)
{
    struct story *s = context;
    struct audit_line line;
    s->v->met++;
    s->found = true;
    if (audit_line_read(row->line, &line) < 0) /* told of with the chain */
        return 0;
    s->last = row->seq;
    if (strcmp(line.outcome, "done") == 0) {
        step(s, &line);
        compare(s, &line);
    }
    return 0;
}

/* The dates and the reason of a revocation, the end of an overlap. */
static void compare_end(const struct story *s)
{
    const struct ca_record *r = &s->row->record;
    bool listed = s->row->state == LEDGER_REVOKED || s->row->state == LEDGER_HELD;
    if (listed && *s->reason && strcmp(s->reason, pki_reason_name(r->reason)) != 0 &&
        s->row->state == LEDGER_REVOKED)
        fault(s, "row-differs", "the reason", pki_reason_name(r->reason), s->reason);
    if (listed && strcmp(r->origin, "imported") != 0 &&
        (r->revoked_at > s->revoked + CLOCK_SLACK || r->revoked_at < s->revoked - CLOCK_SLACK))
        verify_fault(s->v, "row-differs",
                     "ledger row %lld (%s): its revocation is dated otherwise than by audit row "
                     "%lld",
                     (long long)s->row->id, r->serial, (long long)s->last);
    if (s->row->state == LEDGER_SUPERSEDED && s->until && s->until != r->revoke_after)
        verify_fault(s->v, "row-differs",
                     "ledger row %lld (%s): its overlap ends otherwise than by audit row %lld",
                     (long long)s->row->id, r->serial, (long long)s->last);
}

static const char *state_name(unsigned state)
{
    for (unsigned i = 0; i < LEDGER_STATES; i++)
        if (state == LEDGER_BIT(i))
            return ledger_state_name((enum ledger_state)i);
    return "unknown";
}

static int verify_key(struct verification *v, const struct ledger_certificate *row)
{
    char subject[256];
    int r = v->ca->ledger->ops->key_subject(v->ca->ledger, row->record.key_sha256, subject);
    /* What came from elsewhere may share its key: it was not ours to refuse. */
    if (r == 0 && strcmp(subject, row->record.cn) != 0 && strcmp(row->record.origin, "issued") == 0)
        verify_fault(v, "key-subject", "ledger row %lld (%s): its key %s belongs to %s", (long long)row->id,
                     row->record.serial, row->record.key_sha256, *subject ? subject : "nobody");
    return r;
}

/* A revocation that was on record when the last CRL was made is on it. */
static void verify_listed(struct verification *v, const struct ledger_certificate *row)
{
    PC_CLEANUP(ASN1_INTEGER_free_ref) ASN1_INTEGER *number = NULL;
    PC_CLEANUP(BN_free_ref) BIGNUM *big = NULL;
    X509_REVOKED *entry;
    if (!v->last || row->issuer != v->ca->issuer.id || row->listed_from == 0 ||
        (uint64_t)row->listed_from > v->last_number ||
        row->record.not_after < pki_time_of(X509_CRL_get0_lastUpdate(v->last)))
        return;
    if (BN_hex2bn(&big, row->record.serial) > 0 && (number = BN_to_ASN1_INTEGER(big, NULL)) &&
        X509_CRL_get0_by_serial(v->last, &entry, number) == 0)
        verify_fault(v, "crl-lacks",
                     "ledger row %lld (%s, %s) is %s since before CRL number %llu, which does not list it",
                     (long long)row->id, row->record.serial, row->record.cn, row->record.state,
                     (unsigned long long)v->last_number);
}

static int verify_row(void *context, const struct ledger_certificate *row)
{
    struct verification *v = context;
    struct story s = {.v = v, .row = row, .state = NOTHING};
    v->report.certificates++;
    int r = v->ca->ledger->ops->audit_of(v->ca->ledger, row->id, read_line, &s);
    if (r < 0)
        return r;
    if (!s.found)
        verify_fault(v, "row-untold", "ledger row %lld (%s, %s) has no audit row", (long long)row->id,
                     row->record.serial, row->record.cn);
    else if (s.state != LEDGER_BIT(row->state) &&
             !(row->state == LEDGER_RESERVED && s.state == LEDGER_BIT(LEDGER_SIGNING)))
        fault(&s, "row-state", "the state", row->record.state, state_name(s.state));
    else
        compare_end(&s);
    verify_listed(v, row);
    r = verify_key(v, row);
    return r < 0 ? r : verify_certificate(v, row, s.tbs_sha256);
}

/* Which audit rows are about a ledger row that is not there. */
static int find_orphan(void *context, const struct ledger_audit *row)
{
    struct verification *v = context;
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    if (row->certificate == 0)
        return 0;
    int r = ledger_collect(v->ca->ledger, &(struct ledger_query){.id = row->certificate}, &rows);
    if (r == 0 && rows.count == 0)
        verify_fault(v, "row-missing", "audit row %lld tells of ledger row %lld, which is not there",
                     (long long)row->seq, (long long)row->certificate);
    return r;
}

int verify_rows(struct verification *v)
{
    int r = v->ca->ledger->ops->find(v->ca->ledger, &(struct ledger_query){0}, verify_row, v);
    if (r == 0 && v->met != v->about)
        r = v->ca->ledger->ops->audit_each(v->ca->ledger, NULL, 1, find_orphan, v);
    return r;
}
