/* The broker's judgement over an issuer as a whole, by real certificates of its, under the old files and the
 * new. */
#include "src/ca/publish/judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/openssl.h"

#define TRIES 5 /* newest certificates of an issuer: one of them may be odd by itself (a key too short) */
#define STANDING (LEDGER_BIT(LEDGER_CURRENT) | LEDGER_BIT(LEDGER_SUPERSEDED) | LEDGER_BIT(LEDGER_FOREIGN))

void judge_clear(struct judge *judge)
{
    pki_verifier_free(judge->before);
    pki_verifier_free(judge->after);
    pki_verifier_free(judge->path);
    for (size_t i = 0; i < judge->count; i++)
        X509_free(judge->issuers[i].certificate);
    free(judge->issuers);
    *judge = (struct judge){0};
}

const struct issuer_view *judge_issuer(const struct judge *judge, int64_t id)
{
    for (size_t i = 0; i < judge->count; i++)
        if (judge->issuers[i].id == id)
            return &judge->issuers[i];
    return NULL;
}

int judge_certificate(struct ca *ca, int64_t row, X509 **ret)
{
    pc_autobytes der = {0};
    int r = ca->ledger->ops->body(ca->ledger, row, NULL, &der);
    return r < 0 ? r : pki_certificate_parse(der.data, der.len, ret);
}

/* 0 with *ret_accepted; the reason in `why` when it is not. */
static int ask(const struct pki_verifier *verifier, X509 *certificate, int64_t now, bool *ret_accepted,
               bool *ret_revoked, char why[192])
{
    int r = verifier ? pki_verifier_judge(verifier, certificate, now) : 0;
    if (r < 0 && r != PC_EREFUSED)
        return r;
    *ret_accepted = r == 0;
    *ret_revoked = r < 0 && strcmp(pc_error_name(), "chain-revoked") == 0;
    if (r < 0)
        snprintf(why, sizeof((struct standing *)NULL)->why, "%s", pc_error_text());
    return 0;
}

static int judge_by(const struct judge *judge, const struct pki_verifier *new,
                    const struct issuer_view *issuer, X509 *certificate, int64_t now, enum judge_verdict *ret,
                    char why[192])
{
    char before[sizeof((struct standing *)NULL)->why];
    bool accepted_before = false, accepted = false, revoked;
    int r = ask(new, certificate, now, &accepted, &revoked, why);
    if (r == 0 && !accepted && !issuer->comes) /* asking the old files takes as long again */
        r = ask(judge->before, certificate, now, &accepted_before, &revoked, before);
    if (r < 0)
        return r;
    if (!accepted && issuer->namesake && !X509_get0_authority_key_id(certificate))
        snprintf(why, sizeof((struct standing *)NULL)->why,
                 "no authorityKeyIdentifier tells which of two CAs of one name issued it, and brokers take "
                 "the wrong one");
    *ret = accepted                           ? JUDGE_ACCEPTED
           : accepted_before || issuer->comes ? JUDGE_NEWLY_REFUSED
                                              : JUDGE_REFUSED_AS_BEFORE;
    return 0;
}

int judge_in_full(const struct judge *judge, const struct issuer_view *issuer, X509 *certificate, int64_t now,
                  enum judge_verdict *ret, char ret_why[192])
{
    return judge_by(judge, judge->after, issuer, certificate, now, ret, ret_why);
}

int judge_path(const struct judge *judge, const struct issuer_view *issuer, X509 *certificate, int64_t now,
               enum judge_verdict *ret, char ret_why[192])
{
    /* Where none of those tried stands, this one may be another kind, and its CRL has its say. */
    return judge_by(judge, issuer->after.sound ? judge->path : judge->after, issuer, certificate, now, ret,
                    ret_why);
}

struct trial {
    struct ca *ca;
    const struct judge *judge;
    struct issuer_view *issuer;
    int64_t now;
    size_t tried;
};

/* Stops as soon as one was accepted by the new files. A revoked one says as much for its issuer. */
static int try_one(void *context, const struct ledger_certificate *row)
{
    struct trial *t = context;
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    struct standing *before = &t->issuer->before, *after = &t->issuer->after;
    bool accepted = false, revoked = false;
    int r = judge_certificate(t->ca, row->id, &certificate);
    if (r == 0)
        r = ask(t->judge->before, certificate, t->now, &accepted, &revoked, before->why);
    if (r < 0)
        return r;
    before->sound = before->sound || accepted || revoked;
    r = ask(t->judge->after, certificate, t->now, &accepted, &revoked, after->why);
    if (r < 0)
        return r;
    after->sound = accepted || revoked;
    return after->sound || ++t->tried == TRIES ? 1 : 0;
}

static int try_issuer(struct ca *ca, const struct judge *judge, struct issuer_view *issuer, int64_t now)
{
    struct trial trial = {.ca = ca, .judge = judge, .issuer = issuer, .now = now};
    const struct ledger_query newest = {.issuer = issuer->id,
                                        .profile = pki_profile_device.name,
                                        .states = STANDING,
                                        .ends_after = now,
                                        .newest_first = true,
                                        .limit = TRIES};
    int r = ca->ledger->ops->find(ca->ledger, &newest, try_one, &trial);
    return r < 0 ? r : 0;
}

/* What is wrong with a CRL whatever certificate is asked about. */
static void judge_crl(struct judge *judge, struct issuer_view *issuer, int64_t now)
{
    X509_CRL *crl = issuer->after.crl;
    char *fault = issuer->crl_fault, text[PC_TIME_TEXT];
    size_t size = sizeof issuer->crl_fault;
    if (!crl) {
        snprintf(fault, size, "is not on record");
        return;
    }
    int64_t from = pki_time_of(X509_CRL_get0_lastUpdate(crl));
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
    int64_t until = next ? pki_time_of(next) : PC_TIME_MAX;
    if (judge->next_update == 0 || until < judge->next_update)
        judge->next_update = until;
    if (from > now) {
        pc_time_format(from, text);
        snprintf(fault, size,
                 "is valid only from %s on, since a clock was ahead when it or one before it was made", text);
    } else if (until <= now) {
        pc_time_format(until, text);
        snprintf(fault, size, "lapsed at %s", text);
    }
}

static bool is_namesake(const struct judge *judge, const struct issuer_view *issuer)
{
    for (size_t i = 0; i < judge->count; i++)
        if (judge->issuers[i].id != issuer->id &&
            X509_NAME_cmp(X509_get_subject_name(judge->issuers[i].certificate),
                          X509_get_subject_name(issuer->certificate)) == 0)
            return true;
    return false;
}

static int look_at(struct ca *ca, struct judge *judge, const struct bundle *old, const struct bundle *new,
                   int64_t now)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < judge->count; i++) {
        struct issuer_view *issuer = &judge->issuers[i];
        issuer->before.crl = bundle_crl(old, issuer->certificate);
        issuer->after.crl = bundle_crl(new, issuer->certificate);
        issuer->comes = issuer->foreign && !bundle_has(old, issuer->certificate);
        issuer->namesake = issuer->foreign && is_namesake(judge, issuer);
        r = try_issuer(ca, judge, issuer, now);
        judge_crl(judge, issuer, now);
        if (issuer->crl_fault[0] && !issuer->after.sound)
            snprintf(issuer->after.why, sizeof issuer->after.why, "its CA's CRL %.160s", issuer->crl_fault);
    }
    return r;
}

struct collector {
    struct ca *ca;
    struct judge *judge;
};

static int add_issuer(void *context, const struct ledger_issuer *row)
{
    const struct collector *c = context;
    struct judge *judge = c->judge;
    pc_autofree char *cn = NULL;
    if (!row->active && !row->foreign)
        return 0;
    struct issuer_view *grown = reallocarray(judge->issuers, judge->count + 1, sizeof *grown);
    if (!grown)
        return pc_fail(PC_EFAIL, "out of memory");
    judge->issuers = grown;
    struct issuer_view *issuer = &grown[judge->count];
    *issuer = (struct issuer_view){.id = row->id, .foreign = row->foreign};
    int r = judge_certificate(c->ca, row->certificate, &issuer->certificate);
    if (r < 0)
        return r;
    judge->count++;
    if (pki_name_cn(X509_get_subject_name(issuer->certificate), &cn) < 0)
        pc_error_clear();
    snprintf(issuer->name, sizeof issuer->name, "%s", cn ? cn : row->subject);
    return 0;
}

int judge_new(struct ca *ca, const struct bundle *old, const struct bundle *new, int64_t now,
              struct judge *ret)
{
    struct judge PC_CLEANUP(judge_clear) judge = {0};
    struct collector collector = {.ca = ca, .judge = &judge};
    int r = ca->ledger->ops->issuer_each(ca->ledger, add_issuer, &collector);
    if (r == 0 && old->certificates)
        r = pki_verifier_new(old->certificates, old->crls, &judge.before);
    if (r == 0)
        r = pki_verifier_new(new->certificates, new->crls, &judge.after);
    if (r == 0)
        r = pki_verifier_new(new->certificates, NULL, &judge.path);
    if (r == 0)
        r = look_at(ca, &judge, old, new, now);
    if (r < 0)
        return r;
    *ret = judge;
    judge = (struct judge){0};
    return 0;
}
