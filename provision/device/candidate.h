/* A set on its way in: all that is known about it, and whether it may. Changes nothing. */
#ifndef DEV_CANDIDATE_H
#define DEV_CANDIDATE_H

#include "provision/device/installed.h"
#include "provision/device/operation.h"
#include "provision/device/pending.h"

struct dev_candidate {
    STACK_OF(X509) * chain, *anchors;
    STACK_OF(X509_CRL) * crls;
    struct dev_installed installed; /* what stands now, perhaps plain files of before */
    struct dev_installed previous;  /* what stood before it; empty when that is not kept */
    struct dev_installed found;     /* only a key: of a set whose key file is lost, found in the TPM */
    struct dev_pending pending;
    const struct dev_installed *source; /* whose key the certificate is for; NULL: the pending one */
    struct dev_set set;                 /* what will be written */
    struct dev_leaf leaf;
    int64_t proven; /* the latest time that the set's signatures prove */
};
void dev_candidate_clear(struct dev_candidate *candidate);
#define dev_autocandidate PC_CLEANUP(dev_candidate_clear) struct dev_candidate

/* Gathers and judges; `ret` is empty before, cleared by the caller whatever the result, and not moved. What
 * is left to be proven is the key's signature. PC_EREFUSED as dev_install. */
int dev_candidate_judge(struct dev *dev, const struct dev_delivery *delivery, struct dev_candidate *ret);

#endif
