/* What a status is made of, for those who ask the TPM themselves. */
#ifndef DEV_STATUS_H
#define DEV_STATUS_H

#include "provision/device/device.h"

/* The sentence for `next`, once the other fields are set. A literal. */
const char *dev_status_next(const struct dev_status *status);

#endif
