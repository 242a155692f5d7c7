/* Judging who asks to enrol: by code, or by an operator's word for one key. What operators order: admit.c,
 * approve.c. */
#include "src/ca/admit.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "src/base/code.h"
#include "src/base/error.h"
#include "src/base/time.h"

#define SEEN_LATELY 600 /* seconds: whoever asked since then holds one of the plant's places */
#define PLACES_EVER 8   /* times `waiting_keys`: so many keys are put on record under one admission */

/* A code is random, of 125 bits: nobody finds it from its hash, however quickly hashes are made, so that a
 * slow one (for passwords that people choose) would only cost the station. The plant makes two hashes of one
 * code differ. */
int admission_code_hash(const char *plant, const void *code, size_t len, char ret[PKI_FINGERPRINT_TEXT])
{
    static const char purpose[] = "plantca admission code";
    char text[sizeof purpose + PKI_UUID_TEXT + PC_CODE_TEXT] = "";
    memcpy(text, purpose, sizeof purpose);
    size_t at = sizeof purpose;
    at += (size_t)snprintf(text + at, PKI_UUID_TEXT, "%s", plant) + 1;
    if (at > sizeof purpose + PKI_UUID_TEXT)
        return pc_fail(PC_EUSAGE, "no plant: %s", plant);
    int r = pc_code_read(code, len, text + at);
    if (r == 0)
        r = pki_digest_hex(text, at + PC_CODE_DIGITS, ret);
    OPENSSL_cleanse(text, sizeof text);
    return r;
}

static int judge_code(const struct ledger_admission *row, const struct admission_claim *claim)
{
    char hash[PKI_FINGERPRINT_TEXT] = "";
    int r = claim->code ? admission_code_hash(claim->plant, claim->code->data, claim->code->len, hash) : 0;
    /* One that can be no code is a wrong one, and no more is said to whoever sent it. */
    if (r < 0 && strcmp(pc_error_name(), "code-form") != 0)
        return r;
    if (!claim->code)
        return pc_refuse("admission-code", "%s: needs a code", claim->plant);
    if (!*hash || CRYPTO_memcmp(hash, row->code_sha256, sizeof hash) != 0)
        return pc_refuse("admission-code-wrong", "%s: the code is wrong", claim->plant);
    return 0;
}

static int judge_term(const struct ca_admission *a)
{
    char end[PC_TIME_TEXT];
    pc_time_format(a->expires_at, end);
    if (strcmp(a->state, "denied") == 0)
        return pc_refuse("admission-denied", "%s: its admission was denied", a->plant);
    if (pc_now() >= a->expires_at)
        return pc_refuse("admission-expired", "%s: its admission expired %s", a->plant, end);
    return 0;
}

static int bind(struct ca *ca, struct ca_admission *a, const struct admission_claim *claim)
{
    snprintf(a->key_sha256, sizeof a->key_sha256, "%s", claim->key_sha256);
    int r = ca->ledger->ops->admission_step(ca->ledger, a, "open");
    return r < 0 ? r
                 : ca_audit(ca, &(struct audit_act){.act = "bind",
                                                    .outcome = "done",
                                                    .admission = a->id,
                                                    .subject = a->plant,
                                                    .key_sha256 = claim->key_sha256,
                                                    .request_sha256 = claim->request_sha256,
                                                    .address = claim->from});
}

static int wrong_key(const struct admission_claim *claim)
{
    return pc_refuse("admission-key", "%s: its admission is bound to another key", claim->plant);
}

struct places {
    const struct admission_claim *claim;
    int64_t now;
    size_t lately, ever;
    struct ca_waiting own; /* id 0: it has not asked before */
};

static int see_place(void *context, const struct ca_waiting *row)
{
    struct places *p = context;
    bool waits = strcmp(row->state, "waiting") == 0;
    p->ever++;
    p->lately += waits && row->last_at > p->now - SEEN_LATELY;
    if (strcmp(row->key_sha256, p->claim->key_sha256) == 0)
        p->own = *row;
    return 0;
}

static int still_waiting(const struct admission_claim *claim)
{
    return pc_fail_named(PC_EPENDING, "admission-waiting", "%s: waits until an operator approves its key %s",
                         claim->plant, claim->key_sha256);
}

/* Asked again: told at most once a second, so that asking faster writes nothing more. */
static int ask_again(struct ca *ca, struct places *p)
{
    if (strcmp(p->own.state, "denied") == 0)
        return pc_refuse("admission-denied", "%s: this key was denied", p->claim->plant);
    if (p->own.last_at != p->now) {
        p->own.last_at = p->now;
        p->own.times++;
        snprintf(p->own.from, sizeof p->own.from, "%s", p->claim->from);
        int r = ca->ledger->ops->waiting_step(ca->ledger, &p->own);
        if (r < 0)
            return r;
    }
    return still_waiting(p->claim);
}

static int ask_first(struct ca *ca, const struct ca_admission *a, struct places *p)
{
    const struct admission_claim *claim = p->claim;
    struct ca_waiting row = {.admission = a->id, .first_at = p->now};
    if (p->lately >= claim->waiting_keys || p->ever >= (size_t)PLACES_EVER * claim->waiting_keys)
        return pc_refuse("admission-full", "%s: too many keys wait for it already (%zu now, %zu in all)",
                         claim->plant, p->lately, p->ever);
    snprintf(row.key_sha256, sizeof row.key_sha256, "%s", claim->key_sha256);
    snprintf(row.key_type, sizeof row.key_type, "%s", claim->key_type);
    snprintf(row.from, sizeof row.from, "%s", claim->from);
    int r = ca->ledger->ops->waiting_add(ca->ledger, &row);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){.act = "wait",
                                             .outcome = "done",
                                             .admission = a->id,
                                             .subject = a->plant,
                                             .key_sha256 = claim->key_sha256,
                                             .request_sha256 = claim->request_sha256,
                                             .address = claim->from});
    return r < 0 ? r : still_waiting(claim);
}

/* Nobody loses a place to a newcomer: a key that is on record may ask again whenever it likes, and be
 * approved long after. What newcomers share is the number of places that were asked for lately, and a number
 * of keys in all, so that a stranger with ever new keys fills neither the ledger nor its audit log. A
 * stranger who holds all places keeps the plant's own key out: the operator then sees foreign fingerprints,
 * and admits the plant by a code, which takes the place of this admission and of all that wait under it. */
static int judge_pending(struct ca *ca, const struct ca_admission *a, const struct admission_claim *claim)
{
    struct places p = {.claim = claim, .now = pc_now()};
    if (strcmp(a->key_sha256, claim->key_sha256) == 0)
        return 0;
    int r = ca->ledger->ops->waiting_each(ca->ledger, a->id, 0, see_place, &p);
    if (r < 0)
        return r;
    if (strcmp(a->state, "open") != 0 || (*a->key_sha256 && !p.own.id))
        return wrong_key(claim);
    return p.own.id ? ask_again(ca, &p) : ask_first(ca, a, &p);
}

static int judge_proof(struct ca *ca, struct ledger_admission *row, const struct admission_claim *claim)
{
    struct ca_admission *a = &row->record;
    if (a->kind == CA_ADMIT_PENDING)
        return judge_pending(ca, a, claim);
    if (!*a->key_sha256)
        return bind(ca, a, claim);
    return strcmp(a->key_sha256, claim->key_sha256) == 0 ? 0 : wrong_key(claim);
}

static int find(struct ca *ca, const struct admission_claim *claim, struct ledger_admission *ret)
{
    int r = ca->ledger->ops->admission_get(ca->ledger, claim->plant, 0, ret);
    if (r < 0)
        return r;
    if (ret->record.id == 0 || strcmp(ret->record.state, "withdrawn") == 0)
        return pc_refuse("admission-none", "%s: not admitted", claim->plant);
    r = ret->record.kind == CA_ADMIT_CODE ? judge_code(ret, claim) : 0;
    return r < 0 ? r : judge_term(&ret->record);
}

/* Looked at before it is claimed, and again when it is: who has nothing to show for a plant neither keeps it
 * from being admitted at another station, nor learns that it is in work there. */
int admission_judge(struct ca *ca, const struct admission_claim *claim, struct admission_grant *ret)
{
    struct ledger_admission row;
    int r = find(ca, claim, &row);
    if (r == 0)
        r = ca->ledger->ops->claim(ca->ledger, NULL, claim->plant);
    if (r == 0)
        r = find(ca, claim, &row);
    if (r == 0)
        r = judge_proof(ca, &row, claim);
    if (r < 0)
        return r;
    struct admission_grant grant = {.admission = row.record.id, .revoke_old = row.record.revoke_old};
    memcpy(grant.replace, row.record.replace, sizeof grant.replace);
    *ret = grant;
    return 0;
}

/* Denied or withdrawn while the token was signing: the certificate exists, and is to be revoked by who wants
 * it gone; the admission stays what they made of it. */
int admission_use(struct ca *ca, int64_t admission)
{
    struct ledger_admission row;
    int r = ca->ledger->ops->admission_get(ca->ledger, NULL, admission, &row);
    if (r < 0 || strcmp(row.record.state, "open") != 0)
        return r;
    r = ca->ledger->ops->claim(ca->ledger, NULL, row.record.plant);
    if (r == 0)
        r = ca->ledger->ops->admission_get(ca->ledger, NULL, admission, &row);
    if (r < 0 || strcmp(row.record.state, "open") != 0)
        return r;
    strcpy(row.record.state, "used");
    row.record.decided_at = pc_now();
    r = ca->ledger->ops->admission_step(ca->ledger, &row.record, "open");
    return r < 0 ? r
                 : ca_audit(ca, &(struct audit_act){.act = "admit",
                                                    .outcome = "done",
                                                    .admission = admission,
                                                    .subject = row.record.plant,
                                                    .key_sha256 = row.record.key_sha256});
}
