/* Enrolment: an accepted key and name go in, a certificate on record comes out. Within src/ca only. */
#ifndef CA_ENROL_H
#define CA_ENROL_H

#include "src/ca/identity.h"
#include "src/ca/internal.h"

struct enrolment {
    struct identity_request asked; /* renew, replace…, revoke_old; the rest is filled in here */
    int64_t days;
    struct issuance issuance; /* profile, key, names and request hash; the rest is filled in here */
};

int enrol(struct ca *ca, struct enrolment *enrolment, struct ca_issued *ret);

/* The steps of it, for who enrols many at once. */

/* A verdict that outlives the rows it was made of. */
struct enrol_decision {
    enum identity_act act;
    struct ledger_certificate row; /* id 0: none */
    int64_t predecessor;
};

/* Fills in what the enrolment leaves open; it must not move in memory from here on. Needs no ledger, any
 * thread. */
int enrol_prepare(const struct ca *ca, struct enrolment *enrolment);
/* Inside a write transaction, after enrol_prepare and issuance_plan: judges by what is on record, and
 * reserves. With IDENTITY_GIVE `row` is the answer and nothing was written; else the issuance is on record,
 * to be signed. A refusal by identity (PC_EREFUSED, PC_EPENDING) has written nothing. */
int enrol_record(struct ca *ca, struct enrolment *enrolment, struct enrol_decision *ret);

#endif
