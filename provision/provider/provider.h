/* The OpenSSL 3 provider "plantcert": TPM keys as EVP_PKEYs. The module and the programs are built from the
 * same code. */
#ifndef PROV_PROVIDER_H
#define PROV_PROVIDER_H

#include <openssl/core.h>
#include <openssl/evp.h>

#include "provision/tpm/key.h"

#define PROV_NAME "plantcert"
#define PROV_TCTI_DEFAULT "device:/dev/tpmrm0" /* where neither stanza nor environment names one */

/* The entry of the module (provider-base(7)), under the name that OSSL_PROVIDER_add_builtin() needs too. */
int prov_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
              void **provider_context);

/* A library context with the default provider and, built in, this one, both active; for the programs' own use
 * of a TPM key. `place` is copied. Touches no TPM. */
struct prov_session;
int prov_open(const struct tpm_place *place, struct prov_session **ret);
void prov_close(struct prov_session *session);
PC_DEFINE_CLEANUP(struct prov_session, prov_close);

/* Where its keys can be used; borrowed, for as long as the session. */
OSSL_LIB_CTX *prov_libctx(const struct prov_session *session);

/* What the TPM or the way to it said when a signature of this session failed, as the last error once more:
 * its PC_E…; 0 when none failed since the last call. */
int prov_fault_take(struct prov_session *session);

/* An EVP_PKEY that signs in the TPM, from the PEM of a key file. Owned by the caller; freed before
 * prov_close. */
int prov_key_load(struct prov_session *session, const void *pem, size_t len, EVP_PKEY **ret);

#endif
