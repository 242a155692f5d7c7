/* Every kind of certificate request that must be refused, and every kind that must not, by name. Device
 * profile. */
#ifndef DATA_CSR_CASES_H
#define DATA_CSR_CASES_H

#include <stdbool.h>

#include <openssl/evp.h>

#include "src/base/memory.h"

struct csr_context {
    const char *plant;          /* the UUID that a good request bears */
    const EVP_PKEY *issuer_key; /* the CA's public key; needed by the case "issuer-key" alone */
};

struct csr_case;

/* Case `i`, or NULL past the end. */
const struct csr_case *csr_case_at(size_t i);
const struct csr_case *csr_case_find(const char *name);
const char *csr_case_name(const struct csr_case *one);
/* The name with which it must be refused; NULL when it must be accepted. */
const char *csr_case_refusal(const struct csr_case *one);
bool csr_case_needs_issuer(const struct csr_case *one);
/* The bytes of the file; owned by the caller. */
struct pc_bytes csr_case_make(const struct csr_case *one, const struct csr_context *context);

#endif
