/* Publication: the layout that brokers mount, written so that a broker reading at any moment never fails
 * open. */
#ifndef CA_PUBLISH_H
#define CA_PUBLISH_H

#include "src/ca/authority.h"

struct ca_publish_report {
    size_t written, unchanged, removed; /* files */
    bool reloaded;                      /* the reload command ran and exited 0 */
    uint64_t crl_number;
};

/* Installs ca/ca.crl, then ca/ca.crt, devices/<UUID>/device.crt (current ones, leaf then chain),
 * broker/broker.crt under `dir` (NULL: the configured one), each 0644 and replaced in place by rename; what
 * was written is read again and parsed. A device.crt of ours is removed when its certificate is revoked and
 * no other is current; files that are not ours are left alone. A CRL past its nextUpdate is renewed first.
 * Then runs the reload command; its failure is PC_EFAIL with everything published. PC_EUSAGE when no folder
 * is configured. */
int ca_publish(struct ca *ca, const char *dir, struct ca_publish_report *ret);

#endif
