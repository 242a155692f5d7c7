/* What the tests of certificates, CRLs and chains share: an authority in a few lines. */
#ifndef TEST_PKI_FIXTURE_H
#define TEST_PKI_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "src/pki/certificate.h"
#include "src/pki/sign.h"

/* A key of OpenSSL's own as the signer; lives to the end of the block. */
#define SIGNER(key) ((struct pki_signer[]){pki_signer_of(key)})
#define PLANT "a1b2c3d4-0000-4000-8000-000000000001"
#define NOON_2026 INT64_C(1795348800) /* 2026-11-22T12:00:00Z */

/* A plan for a root called /CN=<name>; `*ret_name` is owned by the caller and must outlive the plan. */
struct pki_certificate_plan plan_root(const char *name, EVP_PKEY *key, X509_NAME **ret_name);
struct pki_certificate_plan plan_device(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key);
/* Builds and signs; the test fails when that does. Owned by the caller. */
X509 *signed_certificate(const struct pki_certificate_plan *plan, EVP_PKEY *issuer_key);
/* A certificate whose content the test has changed by hand, signed anew. */
void sign_again(X509 *certificate, EVP_PKEY *issuer_key, const EVP_MD *digest);
X509 *root_of(const char *name, EVP_PKEY *key);

#endif
