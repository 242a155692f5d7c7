/* Publication: the layout that brokers mount, written so that a broker reading at any moment never fails
 * open, and judged beforehand so that it locks nobody out. */
#ifndef CA_PUBLISH_H
#define CA_PUBLISH_H

#include "src/ca/authority.h"

struct ca_publish_options {
    const char *dir;     /* NULL: the configured one */
    const char *retired; /* serials, apart by white space or commas, that may be shut out; or NULL */
    bool dry_run;        /* judge only; no token is touched */
    bool new_broker_key; /* broker.crt may be for another key than before: the broker has it */
};

/* A certificate that the broker accepts today, and would refuse. */
struct ca_shut_out {
    char serial[PKI_SERIAL_TEXT];
    char cn[256]; /* "" when it is not on record */
    char why[192];
};

struct ca_publish_report {
    char dir[4096];
    size_t written, unchanged, removed; /* files; with dry_run `written` counts what differs in ca/ */
    size_t judged, sampled;             /* certificates: by the serial sets, and verified in full */
    size_t refused;                     /* of those judged: not accepted by the new files, nor by the old */
    size_t retired;                     /* of the list given: shut out as it says */
    size_t issuers;                     /* in ca.crt */
    bool published;                     /* all files are in place, whatever came after */
    bool broker_left;                   /* broker.crt is the old one: PC_EREFUSED "publish-broker-key" */
    bool reloaded;                      /* the reload command ran and exited 0 */
    bool probed;                        /* the broker accepts what is good and refuses the canary */
    uint64_t crl_number;
    int64_t crl_next_update;      /* the first of all CRLs to lapse */
    struct ca_shut_out *shut_out; /* owned; filled on PC_EREFUSED "publish-preflight", too */
    size_t shut_out_count;
};
void ca_publish_report_clear(struct ca_publish_report *report);

/* Installs ca/ca.crl and ca/ca.crt (ours, then every imported CA's), devices/<UUID>/device.crt (current ones,
 * leaf then chain), broker/broker.crt, each 0644 and replaced in place by rename; CA file and CRL are read
 * again and parsed. An issuer that is new gets its CRL before its certificate; one that goes, after. A
 * device.crt of ours is removed when its certificate is revoked and no other is current; files that are not
 * ours are left alone. A CRL that is due is made first.
 *
 * Before anything is replaced every valid certificate on record is judged by the broker's rules under the old
 * files and the new: PC_EREFUSED "publish-preflight" when one would newly be refused and is not on the list.
 * What an imported CA issued that the old CA file does not hold is judged by the new files alone.
 *
 * Then the reload command is run; its failure is PC_EFAIL with everything published. Then, with a probe set,
 * the broker is asked: PC_EREFUSED "publish-open" when it lets the revoked canary in, "publish-closed" when
 * it refuses a good certificate; PC_EUNREACH when it does not answer. Last, "publish-broker-key" when
 * broker.crt alone was left as it was, since its successor is for another key. The probe needs the token.
 * PC_EUSAGE when no folder is configured. `options` may be NULL. `ret` is to be cleared in any case. */
int ca_publish(struct ca *ca, const struct ca_publish_options *options, struct ca_publish_report *ret);

#endif
