/* From identity's verdict to a certificate on record: judged once before the token is opened, and again
 * inside the transaction that makes the reservation. */
#include "src/ca/enrol.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/log.h"
#include "src/base/time.h"

/* What identity judges by, read in one transaction. */
struct facts {
    struct ledger_rows rows;
    char key_subject[256];
    struct identity_facts facts;
};

static void facts_clear(struct facts *facts)
{
    ledger_rows_clear(&facts->rows);
}

static int read_facts(struct ca *ca, const struct identity_request *request, struct facts *ret)
{
    struct facts PC_CLEANUP(facts_clear) facts = {0};
    int r = ledger_facts(ca->ledger, request->subject, request->profile, request->key_sha256, &facts.rows);
    if (r == 0)
        r = ca->ledger->ops->key_subject(ca->ledger, request->key_sha256, facts.key_subject);
    for (size_t i = 0; r == 0 && i < facts.rows.count; i++) {
        const struct ledger_certificate *row = &facts.rows.rows[i];
        bool lives = false;
        if (!(LEDGER_UNFINISHED & LEDGER_BIT(row->state)) ||
            strcmp(row->record.profile, request->profile) != 0)
            continue;
        r = ca->ledger->ops->owner_lives(ca->ledger, row->owner, &lives);
        facts.facts.unfinished_live = facts.facts.unfinished_live || lives;
    }
    if (r < 0)
        return r;
    *ret = facts;
    facts = (struct facts){0};
    ret->facts.rows = ret->rows.rows;
    ret->facts.count = ret->rows.count;
    ret->facts.key_subject = ret->key_subject;
    return 0;
}

static int decide(struct ca *ca, struct enrolment *e, struct enrol_decision *ret)
{
    struct facts PC_CLEANUP(facts_clear) facts = {0};
    struct identity_verdict verdict;
    e->asked.now = pc_now();
    int r = read_facts(ca, &e->asked, &facts);
    if (r == 0)
        r = identity_judge(&e->asked, &facts.facts, &verdict);
    if (r < 0)
        return r;
    *ret = (struct enrol_decision){.act = verdict.act,
                                   .predecessor = verdict.predecessor ? verdict.predecessor->id : 0};
    if (verdict.row)
        ret->row = *verdict.row;
    return 0;
}

static int refused(struct ca *ca, const struct enrolment *e)
{
    return ca_audit_refusal(ca, &(struct audit_act){
                                    .act = "sign",
                                    .profile = e->asked.profile,
                                    .subject = e->asked.subject,
                                    .key_sha256 = e->asked.key_sha256,
                                    .request_sha256 = e->issuance.request_sha256,
                                });
}

/* Decided before anything is opened. */
static int first_decision(struct ca *ca, struct enrolment *e, struct enrol_decision *ret)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca->ledger->ops->begin(ca->ledger, false);
    if (r < 0)
        return r;
    open = ca->ledger;
    return decide(ca, e, ret);
}

int enrol_record(struct ca *ca, struct enrolment *e, struct enrol_decision *ret)
{
    struct issuance *issuance = &e->issuance;
    const struct pki_certificate_plan fresh = issuance->plan;
    struct enrol_decision d;
    bool taken = false;
    int r = decide(ca, e, &d);
    if (r < 0)
        return r;
    *ret = d;
    if (d.act == IDENTITY_GIVE)
        return 0;
    issuance->predecessor = d.predecessor;
    if (d.act == IDENTITY_FINISH)
        r = issuance_take(ca, issuance, &d.row, &taken);
    else if (d.row.id)
        r = issuance_void(ca, &d.row);
    if (r < 0 || taken)
        return r;
    issuance->plan = fresh;
    return issuance_record(ca, issuance);
}

/* Judged again, while nobody else can write about this subject or key. */
static int record_once(struct ca *ca, struct enrolment *e, struct enrol_decision *ret)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin_shared(ca, &open);
    if (r == 0)
        r = enrol_record(ca, e, ret);
    if (r < 0 || ret->act == IDENTITY_GIVE)
        return r;
    return ca_commit(ca, &open);
}

/* The plan that lost may be that of a row which somebody else has finished by now: it is made anew. */
static int record_alone(struct ca *ca, struct enrolment *e, struct enrol_decision *ret)
{
    int r = record_once(ca, e, ret);
    for (int i = 0; i < CA_CONFLICTS && ledger_conflict(r); i++) {
        r = issuance_plan(ca, &e->issuance, e->days);
        if (r == 0)
            r = record_once(ca, e, ret);
    }
    return r;
}

static int issue(struct ca *ca, struct enrolment *e, struct enrol_decision *decision)
{
    int r = issuance_plan(ca, &e->issuance, e->days);
    if (r == 0)
        r = ca_signing_run(ca);
    if (r == 0)
        r = record_alone(ca, e, decision);
    if (r < 0 || decision->act == IDENTITY_GIVE)
        return r;
    r = issuance_complete(ca, &e->issuance);
    if (r == 0)
        decision->row.id = e->issuance.row;
    return r;
}

/* `revoke_old` on a certificate that was there already: an earlier run may have ended before its CRL. */
static int revoke_old(struct ca *ca, const struct enrolment *e, int64_t row)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_certificate given;
    bool due = false;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = ledger_row_get(ca->ledger, row, &given);
    if (r == 0)
        r = issuance_revoke_old(ca, &given, e->asked.revoke_old);
    if (r == 0)
        r = ca_commit(ca, &open);
    if (r == 0)
        r = crl_due(ca, &due);
    if (r < 0 || !due)
        return r;
    struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) report = {0};
    return ca_crl(ca, &report, NULL);
}

static int enrol_decided(struct ca *ca, struct enrolment *e, struct ca_issued *ret)
{
    struct enrol_decision decision;
    int r = first_decision(ca, e, &decision);
    if (r == 0 && decision.act != IDENTITY_GIVE)
        r = issue(ca, e, &decision);
    if (r == PC_EREFUSED)
        return refused(ca, e);
    if (r == 0 && e->asked.revoke_old >= 0)
        r = revoke_old(ca, e, decision.row.id);
    return r < 0 ? r : ca_issued_fill(ca, decision.row.id, decision.act == IDENTITY_GIVE, ret);
}

int enrol_prepare(const struct ca *ca, struct enrolment *e)
{
    struct issuance *i = &e->issuance;
    int r = pki_key_fingerprint(i->plan.subject_key, i->key_sha256);
    if (r < 0)
        return r;
    e->asked.profile = i->plan.profile->name;
    e->asked.subject = i->cn;
    e->asked.key_sha256 = i->key_sha256;
    e->asked.issuer = ca->issuer.id;
    e->asked.renew_window = ca->settings->renew_window;
    i->revoke_old = e->asked.revoke_old;
    return 0;
}

int enrol(struct ca *ca, struct enrolment *e, struct ca_issued *ret)
{
    int r = enrol_prepare(ca, e);
    if (r == 0)
        r = enrol_decided(ca, e, ret);
    issuance_clear(&e->issuance);
    return r;
}

static int fill_superseded(struct ca *ca, int64_t predecessor, struct ca_issued *issued)
{
    struct ledger_certificate old;
    if (predecessor == 0)
        return 0;
    int r = ledger_row_get(ca->ledger, predecessor, &old);
    if (r < 0)
        return r;
    memcpy(issued->superseded, old.record.serial, sizeof issued->superseded);
    issued->superseded_until = old.state == LEDGER_SUPERSEDED ? old.record.revoke_after : 0;
    return 0;
}

int ca_issued_fill(struct ca *ca, int64_t id, bool already, struct ca_issued *ret)
{
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {.already = already};
    struct ledger_certificate row;
    int r = ledger_row_get(ca->ledger, id, &row);
    if (r == 0)
        r = ca_chain_pem(ca, id, &issued.chain_pem);
    if (r == 0)
        r = fill_superseded(ca, row.predecessor, &issued);
    if (r < 0)
        return r;
    issued.record = row.record;
    *ret = issued;
    issued = (struct ca_issued){0};
    return 0;
}
