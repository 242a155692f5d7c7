/* What the two ways of enrolment share: which way it is, and what is asked for and with which key. */
#ifndef DEV_ENROL_STEPS_H
#define DEV_ENROL_STEPS_H

#include <openssl/x509.h>

#include "provision/device/enrol.h"
#include "provision/device/installed.h"
#include "provision/device/operation.h"

/* dev_check, and what follows from it: `ret->status` and `ret->way`. DEV_ENROL_NEEDED is all there is to do.
 */
int dev_enrol_begin(struct dev *dev, enum dev_enrol_way wanted, struct dev_enrol_report *ret);
/* The request of this way, PEM; `challenge` may be NULL. */
int dev_enrol_request(struct dev *dev, const char *challenge, struct dev_enrol_report *report,
                      struct pc_bytes *ret_pem);

/* rollover.c. Certificates byte for byte. */
bool dev_anchors_hold(const STACK_OF(X509) * certificates, const X509 *certificate);
/* Adds to `anchors` those self-signed CA certificates of `offered` that a certificate among `offered` proves:
 * same name, same key, and it leads to one of `anchors` (RFC 4210 §4.4). Notices what is taken and what is
 * left. */
int dev_anchors_extend(STACK_OF(X509) * anchors, const STACK_OF(X509) * offered, int64_t at);
/* `leaf` and, from `offered`, what leads from it to one of `anchors`, PEM. What is missing dev_install says.
 */
int dev_chain_complete(X509 *leaf, const STACK_OF(X509) * offered, const STACK_OF(X509) * anchors,
                       struct pc_bytes *ret_pem);
int dev_certificates_pem(const STACK_OF(X509) * certificates, struct pc_bytes *ret_pem);

#endif
