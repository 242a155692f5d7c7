/* The three requests of device.h, with a challengePassword that binds them to a TLS session (RFC 7030 §3.5),
 * or, with NULL, without. */
#ifndef DEV_REQUEST_H
#define DEV_REQUEST_H

#include "provision/device/operation.h"

int dev_request_bound(struct dev *dev, const char *plant, const char *challenge, struct pc_bytes *ret_pem,
                      struct dev_key_report *ret);
int dev_renew_bound(struct dev *dev, const char *challenge, struct pc_bytes *ret_pem,
                    struct dev_key_report *ret);
int dev_rekey_bound(struct dev *dev, const char *challenge, struct pc_bytes *ret_pem,
                    struct dev_key_report *ret);

#endif
