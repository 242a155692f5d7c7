/* Who may have what, inside the transaction that reserves it: admission for who enrols, what is on record of
 * its certificate for who does so again. Nothing here rests on the network service's word. */
#include <string.h>

#include "provision/station/signer/station.h"
#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/admission.h"

#define FOR_EVER (400 * 365 * PC_DAY)

static int find_one(struct ca *ca, const struct ledger_query *query, struct ledger_certificate *ret)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    int r = ledger_collect(ca->ledger, query, &rows);
    if (r == 0)
        *ret = rows.count ? rows.rows[0] : (struct ledger_certificate){0};
    return r;
}

/* The plant's, until the end of the transaction: what is decided by it here is carried out by identity. */
static int find_current(struct ca *ca, const char *plant, struct ledger_certificate *ret)
{
    const struct ledger_query query = {
        .subject = plant, .profile = pki_profile_device.name, .states = LEDGER_BIT(LEDGER_CURRENT)};
    int r = ca->ledger->ops->claim(ca->ledger, query.profile, plant);
    return r < 0 ? r : find_one(ca, &query, ret);
}

static bool in_window(const struct station *s, const struct ledger_certificate *row, int64_t now)
{
    return now > row->record.not_after - s->ca->settings->renew_window;
}

/* An operator's word that the current certificate may be replaced also serves the PLC that kept its key: it
 * gets a successor where one is due. Not where the old key is to be revoked: identity refuses that one. */
static int order_replacement(struct station *s, struct ask *ask)
{
    struct identity_request *asked = &ask->work.enrolment.asked;
    struct ledger_certificate current;
    int r = find_current(s->ca, asked->subject, &current);
    if (r < 0)
        return r;
    bool same = current.id && strcmp(current.record.key_sha256, asked->key_sha256) == 0;
    if (same && asked->revoke_old < 0)
        asked->renew = in_window(s, &current, pc_now());
    else
        asked->replace = ask->replace;
    return 0;
}

static int admit_enrol(struct station *s, struct ask *ask)
{
    const struct wire_question *q = &ask->asked->question;
    struct enrolment *e = &ask->work.enrolment;
    enum pki_key_type type;
    struct admission_grant grant;
    int r = pki_key_type_of(ask->work.request->key, &type);
    if (r < 0)
        return r;
    const struct admission_claim claim = {
        .plant = e->asked.subject,
        .key_sha256 = e->asked.key_sha256,
        .key_type = pki_key_type_name(type),
        .request_sha256 = ask->work.request_sha256,
        .code = q->code,
        .from = q->from,
        .waiting_keys = s->options->waiting_keys,
    };
    r = admission_judge(s->ca, &claim, &grant);
    if (r < 0)
        return r;
    ask->admission = grant.admission;
    memcpy(ask->replace, grant.replace, sizeof ask->replace);
    e->asked.revoke_old = e->issuance.revoke_old = grant.revoke_old;
    return *ask->replace ? order_replacement(s, ask) : 0;
}

/* Whether `row` came by a change of keys within the interval. */
static int changed_lately(struct station *s, const struct ledger_certificate *row, bool *ret)
{
    struct ledger_certificate before;
    *ret = false;
    if (row->predecessor == 0 || pc_now() - row->record.issued_at >= s->options->rekey_interval)
        return 0;
    int r = ledger_row_get(s->ca->ledger, row->predecessor, &before);
    if (r == 0)
        *ret = strcmp(before.record.key_sha256, row->record.key_sha256) != 0;
    return r;
}

static int admit_rekey(struct station *s, struct ask *ask, const struct ledger_certificate *row)
{
    bool lately;
    int r = changed_lately(s, row, &lately);
    if (r == 0 && lately)
        return pc_refuse("reenrol-rekey", "its key was changed within the last %lld seconds",
                         (long long)s->options->rekey_interval);
    memcpy(ask->replace, row->record.serial, sizeof ask->replace);
    ask->work.enrolment.asked.replace = ask->replace;
    return r;
}

/* Outside the window, one that was renewed a short while ago is given again: whoever replays a request makes
 * no heap of certificates. */
static void admit_renewal(struct station *s, struct ask *ask, const struct ledger_certificate *row)
{
    struct identity_request *asked = &ask->work.enrolment.asked;
    int64_t now = pc_now();
    if (in_window(s, row, now)) {
        asked->renew = true;
        return;
    }
    asked->renew = row->predecessor == 0 || now - row->record.issued_at >= s->options->rekey_interval;
    asked->renew_window = asked->renew ? FOR_EVER : 0;
}

static int admit_current(struct station *s, struct ask *ask, const struct ledger_certificate *row)
{
    if (!s->options->early_renewal && !in_window(s, row, pc_now()))
        return pc_refuse("identity-window", "certificate %s is outside its renewal window",
                         row->record.serial);
    if (strcmp(row->record.key_sha256, ask->work.enrolment.asked.key_sha256) != 0)
        return admit_rekey(s, ask, row);
    admit_renewal(s, ask, row);
    return 0;
}

/* It has a successor: that one is given, to whoever has its key, since the reply may have been lost. */
static int admit_superseded(struct station *s, struct ask *ask)
{
    struct identity_request *asked = &ask->work.enrolment.asked;
    struct ledger_certificate current;
    int r = find_current(s->ca, asked->subject, &current);
    if (r == 0 && (current.id == 0 || strcmp(current.record.key_sha256, asked->key_sha256) != 0))
        r = pc_refuse("reenrol-superseded",
                      "certificate %s is superseded: with it, only its successor's key may re-enrol",
                      ask->presented);
    asked->renew_window = 0;
    return r;
}

static int admit_reenrol(struct station *s, struct ask *ask)
{
    struct ledger_certificate row;
    struct ledger *ledger = s->ca->ledger;
    int r = ledger->ops->claim(ledger, pki_profile_device.name, ask->work.enrolment.asked.subject);
    if (r == 0)
        r = find_one(s->ca, &(struct ledger_query){.issuer = s->ca->issuer.id, .serial = ask->presented},
                     &row);
    if (r < 0)
        return r;
    if (row.id == 0 || strcmp(row.record.certificate_sha256, ask->presented_sha256) != 0 ||
        strcmp(row.record.profile, pki_profile_device.name) != 0 ||
        strcmp(row.record.cn, ask->work.enrolment.asked.subject) != 0)
        return pc_refuse("reenrol-unknown", "certificate %s is not on record as a plant's", ask->presented);
    if (row.state == LEDGER_HELD)
        return pc_refuse("identity-held", "certificate %s is on hold", ask->presented);
    if (row.state != LEDGER_CURRENT && row.state != LEDGER_SUPERSEDED)
        return pc_refuse("identity-revoked", "certificate %s is revoked", ask->presented);
    if (pc_now() < row.record.not_before || pc_now() > row.record.not_after + s->options->grace)
        return pc_refuse("reenrol-expired", "certificate %s is outside its validity", ask->presented);
    return row.state == LEDGER_CURRENT ? admit_current(s, ask, &row) : admit_superseded(s, ask);
}

int ask_admit(void *context, struct work *work)
{
    struct station *s = context;
    struct ask *ask = ask_of(work);
    struct identity_request *asked = &work->enrolment.asked;
    enum wire_kind kind = ask->asked->question.kind;
    if (kind == WIRE_SERVER)
        return 0;
    /* What an earlier try of this transaction has left. */
    asked->renew = false;
    asked->replace = NULL;
    asked->renew_window = s->ca->settings->renew_window;
    ask->admission = 0;
    return kind == WIRE_ENROL ? admit_enrol(s, ask) : admit_reenrol(s, ask);
}

int ask_issued(void *context, struct work *work)
{
    struct station *s = context;
    const struct ask *ask = ask_of(work);
    if (work->outcome == WORK_ISSUED && work->enrolment.issuance.revoke_old >= 0) {
        pthread_mutex_lock(&s->lock);
        s->crl_wanted = true;
        pthread_mutex_unlock(&s->lock);
    }
    return ask->admission ? admission_use(s->ca, ask->admission) : 0;
}
