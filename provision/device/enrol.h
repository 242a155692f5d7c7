/* Enrolment: whatever the PLC needs, got from the station, or carried to it and back on a stick. */
#ifndef DEV_ENROL_H
#define DEV_ENROL_H

#include "provision/device/device.h"

enum dev_enrol_way {
    DEV_ENROL_NEEDED, /* in an order: what the installed set needs. In a report: nothing was needed */
    DEV_ENROL_FIRST,  /* simpleenroll: nothing is installed; no certificate is shown */
    DEV_ENROL_RENEW,  /* simplereenroll with the installed certificate, for its key */
    DEV_ENROL_REKEY,  /* simplereenroll with the installed certificate, for the pending key */
    DEV_ENROL_ANEW,   /* simpleenroll for the pending key, although a certificate is installed */
    DEV_ENROL_WAYS
};
const char *dev_enrol_way_name(enum dev_enrol_way way); /* "needed", "first", "renew", "rekey", "anew" */

/* All borrowed. */
struct dev_enrol_order {
    enum dev_enrol_way way;
    const char *url, *label;
    const struct pc_bytes
        *trust;                /* anchors of the station's own certificate, PEM; NULL: the installed ones */
    const char *trust_name;    /* its file, for messages */
    const char *unfit;         /* why `trust` could not be read; NULL: it was, or none is configured */
    const struct pc_bytes *ca; /* anchors for the set, PEM; NULL: the installed ones, else `trust` */
    const struct pc_secret *code; /* for simpleenroll; NULL: none */
    unsigned timeout;             /* seconds for the whole */
    bool wait;                    /* poll while the station has not decided */
};

struct dev_enrol_report {
    enum dev_enrol_way way;   /* what was done, or tried */
    struct dev_status status; /* as dev_check found it */
    bool unasked;             /* due, but the station could not be asked: the certificate is valid */
    bool early;     /* asked, but the station's time for it has not come: the certificate is valid */
    bool installed; /* `install` is set */
    struct dev_install_report install;
    char key_sha256[PKI_FINGERPRINT_TEXT]; /* that was asked for; "" when none was */
    int64_t retry_after;                   /* seconds, with PC_EPENDING; clamped */
};
void dev_enrol_report_clear(struct dev_enrol_report *report);

/* dev_check first: a valid set that is not due, and no key that waits, is 0 without the network. Then
 * cacerts, csrattrs, the request, and dev_install with all of its checks. A trust anchor that came over the
 * network is taken only where one that is held already has signed it; the first is one of `ca` or `trust`
 * that cacerts names, too. Between its steps neither lock nor TPM is held; each can be repeated, and a run
 * that was cut off ends, run again, at the same certificate.
 *
 * 0; PC_EUSAGE "station-url" (none) or "station-trust" (none, or `unfit`), which while the certificate is
 * valid are a warning, too; PC_EPENDING "station-pending", or "set-changed" when another run has installed a
 * certificate meanwhile (DEV_ENROL_NEEDED begins again then); PC_EUNREACH "station-unreachable" after trying
 * for `timeout` (but 0, with `unasked`, when the order is DEV_ENROL_NEEDED and the certificate is valid, or
 * with `early` when the station says that it is too early); PC_EREFUSED as est/client and dev_install have
 * it, and "enrol-anchor"; what dev_check says of a set that enrolment cannot mend. `ret` is set in
 * any case, and cleared by the caller. */
int dev_enrol(struct dev *dev, const struct dev_enrol_order *order, struct dev_enrol_report *ret);

/* The same by the files UUID.csr, which is written, and UUID.crt, which is read and installed, in `folder`:
 * PC_EPENDING "usb-pending" while no certificate of the key that is asked for is there. Of the order only
 * `way` and `ca` (or `trust`) count; the request is removed when the reply is found good, before the switch.
 * PC_EREFUSED as dev_install when UUID.crt is not for this PLC. */
int dev_enrol_files(struct dev *dev, const char *folder, const struct dev_enrol_order *order,
                    struct dev_enrol_report *ret);

#endif
