/* What the doctor's steps share: what has been read so far, and how they say what they found. */
#ifndef DEV_DOCTOR_STEPS_H
#define DEV_DOCTOR_STEPS_H

#include <openssl/x509.h>

#include "provision/device/clock.h"
#include "provision/device/doctor.h"
#include "provision/device/installed.h"
#include "src/mqtt/visit.h"

struct doctor {
    struct dev *dev;
    const struct dev_doctor_order *order;
    const char *step; /* the one that is looked at now */
    bool ended;       /* at a fault: the steps behind it are skipped */
    struct dev_installed installed;
    struct dev_status status;         /* without the TPM; from the step "key" on */
    STACK_OF(X509) * anchors, *chain; /* owned; of the installed set */
    struct dev_clock clock;
    bool locked_out; /* the TPM, by its own word */
    bool visited;
    struct mqtt_report report;
    struct dev_diagnosis *out;
};

/* One finding of the current step. */
void doctor_find(struct doctor *doctor, enum dev_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What to do about the last finding. */
void doctor_advise(struct doctor *doctor, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The cause. `name` is a literal. */
void doctor_fault(struct doctor *doctor, int code, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The cause is the last error (base/error.h), with the advice that belongs to its name. */
void doctor_fault_error(struct doctor *doctor);

void doctor_files(struct doctor *doctor);
void doctor_clock(struct doctor *doctor);
void doctor_chain(struct doctor *doctor);
void doctor_provider(struct doctor *doctor);

void doctor_station(struct doctor *doctor); /* where one is configured */

/* doctor_broker.c: the first makes the visit, the others read its report. */
void doctor_broker(struct doctor *doctor);
void doctor_tls(struct doctor *doctor);
void doctor_broker_certificate(struct doctor *doctor);
void doctor_certificate(struct doctor *doctor);
void doctor_connack(struct doctor *doctor);
void doctor_puback(struct doctor *doctor);

#endif
