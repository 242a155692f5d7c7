/* The provider's context: what the core gave it, and where the TPM is. Private to this folder. */
#ifndef PROV_CORE_H
#define PROV_CORE_H

#include <stdatomic.h>
#include <stdbool.h>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/types.h>

#include "provision/provider/provider.h"

#define PROV_PROPERTIES "provider=" PROV_NAME

/* The names that OpenSSL's own providers use, so that libssl recognises the keys. */
#define PROV_NAMES_RSA "RSA:rsaEncryption:1.2.840.113549.1.1.1"
#define PROV_NAMES_EC "EC:id-ecPublicKey:1.2.840.10045.2.1"

/* Set once by prov_init and read by any thread from then on. */
struct prov_context {
    const OSSL_CORE_HANDLE *core;
    OSSL_FUNC_core_new_error_fn *new_error;
    OSSL_FUNC_core_set_error_debug_fn *set_error_debug;
    OSSL_FUNC_core_vset_error_fn *vset_error;
    OSSL_LIB_CTX *application; /* borrowed; NULL when the core belongs to another copy of libcrypto */
    OSSL_LIB_CTX *child;       /* owned: digests of the application's own providers */
    char *tcti;                /* owned */
    bool allow_simulator;
    char *srk_auth_file; /* owned; of the stanza: read for each signature that needs it, by whoever signs */
    struct pc_secret *srk_auth; /* owned; a program's own */
    atomic_ullong refused;      /* which key and auth value the TPM has refused last (apart.c); 0: none */
    bool silent;                /* tpm2-tss is not to write to the program's stderr */
    int timeout_ms;
    bool thorough; /* as in struct tpm_place; not for clients */
    struct prov_fault
        *fault; /* borrowed, of a program's own session; NULL in the module, where any thread signs */
};

/* Why the last signature failed, in the words of base/error.h, which what OpenSSL's callers say of it covers
 * up. */
struct prov_fault {
    int code; /* 0: none failed */
    const char *name;
    char text[512];
};

struct tpm_place prov_place(const struct prov_context *context); /* borrows from `context` */
int prov_place_set(struct prov_context *context, const struct tpm_place *place);

/* Reasons, as OpenSSL's error queue knows them. */
enum prov_reason {
    PROV_REASON_TPM = 1,
    PROV_REASON_TPM_SETTINGS,
    PROV_REASON_TPM_LOCKED,
    PROV_REASON_TPM_UNREACHABLE,
    PROV_REASON_TPM_REFUSED,
    PROV_REASON_KEY_FILE,
    PROV_REASON_DIGEST,
    PROV_REASON_PARAMETER,
};
extern const OSSL_ITEM prov_reason_strings[];

/* Puts an error onto the application's queue. Always 0, the "failed" of provider functions. */
#define prov_raise(context, reason, ...)                                                                     \
    prov_raise_at((context), (reason), __FILE_NAME__, __LINE__, __func__, __VA_ARGS__)
int prov_raise_at(const struct prov_context *context, enum prov_reason reason, const char *file, int line,
                  const char *function, const char *format, ...) __attribute__((format(printf, 6, 7)));

extern const OSSL_DISPATCH prov_keymgmt_rsa[], prov_keymgmt_ec[];
extern const OSSL_DISPATCH prov_signature_rsa[], prov_signature_ecdsa[];
extern const OSSL_DISPATCH prov_decoder_pem[], prov_decoder_rsa[], prov_decoder_ec[];
extern const OSSL_DISPATCH prov_store[];

/* What marks the DER that our PEM decoder and our store hand on: no other provider's decoder takes it. */
#define PROV_STRUCTURE "plantcert-key"

#endif
