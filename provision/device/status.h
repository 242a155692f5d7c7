/* What a status is made of, for those who ask the TPM themselves. */
#ifndef DEV_STATUS_H
#define DEV_STATUS_H

#include "provision/device/device.h"

/* Where the configured plant is not the installed one. */
#define DEV_ADVICE_PLANT                                                                                     \
    "Correct [device] plant; or, where this PLC is to be another plant: plantcert forget --force, then "     \
    "plantcert request."

/* Sets `next`, once the other fields are set. */
void dev_status_advise(struct dev_status *status);

#endif
