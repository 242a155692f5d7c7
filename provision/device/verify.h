/* An installed set, held against its own trust anchor and the clock: what a check at boot and a roll-back ask
 * of a set that stands. Asks no TPM, changes nothing. */
#ifndef DEV_VERIFY_H
#define DEV_VERIFY_H

#include "provision/device/clock.h"
#include "provision/device/installed.h"
#include "provision/device/operation.h"

/* The clock, judged by the anchors of `installed` and, unless NULL, by those given. */
int dev_verify_clock(const struct dev *dev, const struct dev_installed *installed,
                     const STACK_OF(X509) * given, struct dev_clock *ret);
/* Chain up to the set's own anchor, dates by `at`, CN (the configured plant's, if one is configured),
 * profile; of a legacy generation the end alone, and that device.key is there. PC_EREFUSED as
 * dev_check_chain, "key-absent". */
int dev_verify_set(const struct dev *dev, const struct dev_installed *installed, int64_t at);

#endif
