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

#endif
