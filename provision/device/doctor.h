/* The doctor: down the path that a connection takes, one finding a step, up to the cause. Changes nothing. */
#ifndef DEV_DOCTOR_H
#define DEV_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "provision/device/enrol.h"

enum dev_verdict {
    DEV_FINE,
    DEV_WARNING, /* works, but not for ever or not for everybody */
    DEV_FAULT,   /* the cause: the way ends here */
    DEV_SKIPPED, /* not asked, or nothing to ask */
};

struct dev_finding {
    const char *step; /* "tpm", "lockout", "station", "key", "files", "clock", "chain", "provider", "broker",
                         "tls", "broker-certificate", "certificate", "connack", "puback"; a literal */
    enum dev_verdict verdict;
    int code;         /* PC_E… of a fault, else 0 */
    const char *name; /* stable name of a fault, "" otherwise; a literal */
    char text[512];   /* what was found */
    char advice[512]; /* what to do; "" when nothing */
};

#define DEV_FINDINGS_MAX 24

struct dev_diagnosis {
    struct dev_finding findings[DEV_FINDINGS_MAX];
    size_t count;
};

struct dev_doctor_order {
    const struct dev_broker *broker;       /* NULL: up to the provider only */
    const char *openssl_conf;              /* the file that the MQTT client is given; NULL: none known */
    const struct dev_enrol_order *station; /* NULL: none is configured, and the step is left out */
    bool publish;                          /* one message to cpi/UUID/status, QoS 1, and its PUBACK */
};
/* 0 whenever a diagnosis could be made, sound or not. */
int dev_doctor(struct dev *dev, const struct dev_doctor_order *order, struct dev_diagnosis *ret);

#endif
