/* The keys that setup.sh has made, loaded by the configuration in force, and what the provider's tests do
 * with each. */
#ifndef TEST_PROVIDER_KEYS_H
#define TEST_PROVIDER_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/evp.h>

#define KEYS 4
extern const struct key_file {
    const char *file;
    bool rsa;
} keys[KEYS];

#define MESSAGE "telemetry"

char *key_path(const char *name);        /* owned by the caller */
EVP_PKEY *load(const char *name);        /* by PEM_read_PrivateKey */
EVP_PKEY *public_half(const EVP_PKEY *); /* the same key without its private half, in the default provider */

/* 1 or 0, without assertions: threads and children call these. `md` NULL: the key's default. `pss`: RSA only,
 * salt as long as the digest. `len` is the room, then what was used. */
int sign(EVP_PKEY *key, const char *md, bool pss, unsigned char *signature, size_t *len);
int verify(EVP_PKEY *key, const char *md, bool pss, const unsigned char *signature, size_t len);
int sign_and_verify(EVP_PKEY *key, EVP_PKEY *verifier, const char *md, bool pss);

/* Whether something on OpenSSL's queue says `text`; the queue is left empty. */
bool was_said(const char *text);

size_t tpm_commands(void); /* how many the TPM has had, by $COMMANDS */

#endif
