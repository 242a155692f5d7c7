/* A CRL plan's entries in the order in which they are written. Within src/pki only. */
#ifndef PKI_REVOKED_H
#define PKI_REVOKED_H

#include "src/pki/crl.h"

/* Pointers to the plan's entries, ascending by serial number; owned by the caller (free). PC_EFAIL when a
 * serial number stands twice. */
int pki_crl_sorted(const struct pki_crl_plan *plan, const struct pki_crl_entry ***ret);

#endif
