/* The identity rules, in the order in which they are judged. Rows in, an act or a refusal out. */
#include "src/ca/identity.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/crl.h"

#define REASON_SUPERSEDED 4 /* RFC 5280 §5.3.1 */
#define FRESH PC_DAY        /* seconds after which recorded dates are out of date */

static bool same_key(const struct ledger_certificate *row, const char *key_sha256)
{
    return strcmp(row->record.key_sha256, key_sha256) == 0;
}

static bool of_subject(const struct ledger_certificate *row, const struct identity_request *request)
{
    return strcmp(row->record.cn, request->subject) == 0 &&
           strcmp(row->record.profile, request->profile) == 0;
}

/* A revocation for no other reason than an ended overlap says nothing against the key while a later
 * certificate of the same key is current. */
bool identity_key_revoked(const struct identity_facts *facts, const char *key_sha256)
{
    bool superseded = false, current = false;
    for (size_t i = 0; i < facts->count; i++) {
        const struct ledger_certificate *row = &facts->rows[i];
        if (!same_key(row, key_sha256))
            continue;
        if (row->condemned || (row->state == LEDGER_REVOKED && row->record.reason != REASON_SUPERSEDED))
            return true;
        superseded = superseded || row->state == LEDGER_REVOKED;
        current = current || row->state == LEDGER_CURRENT;
    }
    return superseded && !current;
}

static int judge_key(const struct identity_request *request, const struct identity_facts *facts)
{
    if (*facts->key_subject && strcmp(facts->key_subject, request->subject) != 0)
        return pc_refuse("identity-key", "%s: this key belongs to %s, for ever", request->subject,
                         facts->key_subject);
    if (identity_key_revoked(facts, request->key_sha256))
        return pc_refuse("identity-revoked", "%s: this key was revoked; it is never certified again",
                         request->subject);
    for (size_t i = 0; i < facts->count; i++)
        if (facts->rows[i].state == LEDGER_HELD &&
            (of_subject(&facts->rows[i], request) || same_key(&facts->rows[i], request->key_sha256)))
            return pc_refuse("identity-held", "%s: certificate %s is on hold", request->subject,
                             facts->rows[i].record.serial);
    return 0;
}

static const struct ledger_certificate *find(const struct identity_request *request,
                                             const struct identity_facts *facts, unsigned states)
{
    for (size_t i = 0; i < facts->count; i++)
        if (of_subject(&facts->rows[i], request) && (states & LEDGER_BIT(facts->rows[i].state)))
            return &facts->rows[i];
    return NULL;
}

/* Whether `replace` names what `current` has replaced already: the same order, given again. */
static bool replaced_already(const struct identity_request *request, const struct identity_facts *facts,
                             const struct ledger_certificate *current)
{
    for (size_t i = 0; i < facts->count; i++)
        if (facts->rows[i].id == current->predecessor)
            return strcmp(facts->rows[i].record.serial, request->replace) == 0;
    return false;
}

static int judge_same_key(const struct identity_request *request, const struct identity_facts *facts,
                          const struct ledger_certificate *current, struct identity_verdict *verdict)
{
    const struct ca_record *c = &current->record;
    bool window = request->now > c->not_after - request->renew_window;
    bool renew = request->renew || (request->renew_due && window);
    char end[PC_TIME_TEXT];
    pc_time_format(c->not_after, end);
    if (request->replace && !replaced_already(request, facts, current))
        return pc_refuse("identity-replace",
                         "%s: certificate %s is of this very key; --replace is for another key",
                         request->subject, c->serial);
    if (request->renew && !window)
        return pc_refuse(
            "identity-window",
            "%s: certificate %s ends %s, outside the renewal window; without --renew it is given again",
            request->subject, c->serial, end);
    if (renew && request->revoke_old >= 0 && request->revoke_old != REASON_SUPERSEDED)
        return pc_refuse("identity-revoked",
                         "%s: revoking %s as %s would revoke the key that is to be renewed", request->subject,
                         c->serial, pki_reason_name(request->revoke_old));
    if (renew ||
        (request->replace_any && (window || request->names_differ || current->issuer != request->issuer))) {
        *verdict = (struct identity_verdict){.act = IDENTITY_ISSUE, .predecessor = current};
        return 0;
    }
    if (current->issuer != request->issuer)
        return pc_refuse("identity-window",
                         "%s: certificate %s is of an earlier CA; --renew makes its successor",
                         request->subject, c->serial);
    if (window)
        return pc_refuse("identity-window", "%s: certificate %s %s %s; --renew makes its successor",
                         request->subject, c->serial,
                         c->not_after < request->now ? "has expired:" : "is to be renewed, it ends", end);
    *verdict = (struct identity_verdict){.act = IDENTITY_GIVE, .row = current};
    return 0;
}

static int judge_current(const struct identity_request *request, const struct identity_facts *facts,
                         struct identity_verdict *verdict)
{
    const struct ledger_certificate *current = find(request, facts, LEDGER_BIT(LEDGER_CURRENT));
    if (current && same_key(current, request->key_sha256))
        return judge_same_key(request, facts, current, verdict);
    if (request->replace && (!current || strcmp(current->record.serial, request->replace) != 0))
        return pc_refuse("identity-replace", "%s: %s is not the current certificate%s%s", request->subject,
                         request->replace, current ? "; that is " : ", there is none",
                         current ? current->record.serial : "");
    if (current && !request->replace && !request->replace_any)
        return pc_refuse(
            "identity-current",
            "%s: certificate %s of another key is current; --replace %s lets this key take its place",
            request->subject, current->record.serial, current->record.serial);
    *verdict = (struct identity_verdict){.act = IDENTITY_ISSUE, .predecessor = current};
    return 0;
}

/* An unfinished row can be finished when it would be issued just so today; `issued_at` is when it was
 * reserved. */
static bool finishes(const struct identity_request *request, const struct ledger_certificate *row,
                     const struct ledger_certificate *predecessor)
{
    return row->state == LEDGER_SIGNING && row->issuer == request->issuer &&
           same_key(row, request->key_sha256) && row->predecessor == (predecessor ? predecessor->id : 0) &&
           row->record.not_before <= request->now && request->now <= row->record.not_after &&
           request->now - row->record.issued_at < FRESH;
}

int identity_judge(const struct identity_request *request, const struct identity_facts *facts,
                   struct identity_verdict *ret)
{
    struct identity_verdict verdict = {0};
    int r = judge_key(request, facts);
    if (r == 0)
        r = judge_current(request, facts, &verdict);
    if (r < 0)
        return r;
    const struct ledger_certificate *unfinished = find(request, facts, LEDGER_UNFINISHED);
    if (verdict.act == IDENTITY_ISSUE && unfinished) {
        if (facts->unfinished_live)
            return pc_fail(PC_EPENDING, "%s: another process is signing for it", request->subject);
        verdict.row = unfinished;
        if (finishes(request, unfinished, verdict.predecessor))
            verdict.act = IDENTITY_FINISH;
    }
    *ret = verdict;
    return 0;
}
