/* Names that plans and requests are made of. Within src/pki only. */
#ifndef PKI_NAMES_H
#define PKI_NAMES_H

#include "src/pki/certificate.h"
#include "src/pki/name.h"

/* A name of one CN; PC_EUSAGE when it is empty or longer than X.520's 64 characters. Owned by the caller. */
int pki_name_of_cn(const char *cn, X509_NAME **ret);
/* The subject that the plan's profile asks for. Owned by the caller. */
int pki_plan_subject(const struct pki_certificate_plan *plan, X509_NAME **ret);

#endif
