/* One visit to the station: from the pinned anchors to an installed set, or to the reason why not. */
#ifndef DEV_ENROL_VISIT_H
#define DEV_ENROL_VISIT_H

#include "provision/device/enrol_steps.h"
#include "src/est/client/client.h"

/* What stays the same from visit to visit. */
struct dev_visit {
    struct dev *dev; /* borrowed, as is the order */
    const struct dev_enrol_order *order;
    STACK_OF(X509) * trust;        /* for the station's certificate */
    char trust_name[DEV_PATH_MAX]; /* its file */
    STACK_OF(X509) * anchors; /* held already, for the set; those of the first install are not chosen yet */
    bool pinned;              /* `anchors` are installed ones */
    X509 *shown;              /* the installed certificate; NULL: none is shown */
    STACK_OF(X509) * behind;  /* what stands behind that in its chain */
    struct pc_bytes key;      /* of that certificate: the key file */
    struct dev_clock clock;
    int64_t at; /* time by which the station is judged */
    bool clock_unknown;
};
/* Whether it names a station, and has what is configured to trust it by: PC_EUSAGE "station-url",
 * "station-trust". */
int dev_visit_fit(const struct dev_enrol_order *order);
/* Reads what stands in the folder. PC_EUSAGE as dev_visit_fit, and "station-trust" when nothing is pinned. */
int dev_visit_open(struct dev *dev, const struct dev_enrol_order *order, enum dev_enrol_way way,
                   struct dev_visit *ret);
void dev_visit_close(struct dev_visit *visit);

/* A conversation with the station, of at most `timeout` seconds. The EVP_PKEY is the caller's to
 * free, after the client. */
int dev_visit_connect(const struct dev_visit *visit, unsigned timeout, EVP_PKEY **ret_key,
                      struct est_client **ret);
/* The whole of it. `report->install` is set when the result is 0, `report->retry_after` whenever the station
 * said something of it. */
int dev_visit_make(struct dev_visit *visit, unsigned timeout, struct dev_enrol_report *report);

#endif
