/* Certificates for tests, right and wrong in every way: any subject, any extensions, any dates, made with
 * software keys and without the product's profiles. A failure ends the test program. */
#ifndef TEST_FORGE_H
#define TEST_FORGE_H

#include <stdint.h>

#include <openssl/x509v3.h>

#include "src/base/memory.h"
#include "src/pki/openssl.h"

#define FORGE_PLANT "a1b2c3d4-0000-0000-0000-000000000001"
#define FORGE_OTHER "a1b2c3d4-0000-0000-0000-000000000002"

struct forge_plan {
    const char *subject;           /* as pki_name_parse takes it */
    const char *const *extensions; /* "name=value" as in openssl.cnf(5), ended by NULL */
    X509 *issuer;                  /* NULL: self-signed */
    EVP_PKEY *issuer_key;
    const EVP_PKEY *key;
    int64_t from, until;
    int64_t serial; /* 0: random */
};
X509 *forge_certificate(const struct forge_plan *plan);

EVP_PKEY *forge_key(void); /* P-256 */

/* A root and a device certificate as the product's own CA would make them, valid for two years around `now`.
 */
extern const char *const forge_root_extensions[], *const forge_device_extensions[];
X509 *forge_root(const char *subject, EVP_PKEY *key, int64_t now);
X509 *forge_device(const char *plant, const EVP_PKEY *key, X509 *root, EVP_PKEY *root_key, int64_t now);

/* Appends one PEM block. */
void forge_pem(const X509 *certificate, struct pc_bytes *pem);

#endif
