/* Device keys: born in the TPM under the SRK, kept at a persistent handle or as a wrapped blob, used to sign.
 */
#ifndef TPM_KEY_H
#define TPM_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "provision/tpm/context.h"
#include "src/base/memory.h"
#include "src/pki/key.h"

#define TPM_SRK_HANDLE 0x81000001u /* TCG TPM v2.0 Provisioning Guidance §7.8 */
#define TPM_NAME_MAX 66            /* octets: nameAlg and a digest of up to 64 */

/* A Name (Part 1 §16): nameAlg and the digest of the public area. */
struct tpm_name {
    unsigned char octets[TPM_NAME_MAX];
    size_t len;
};
bool tpm_name_equal(const struct tpm_name *a, const struct tpm_name *b);

/* A key's description, apart from any open TPM: public area, Name, and where the private part is. Immutable
 * but for tpm_key_persist; safe to read from many threads. */
struct tpm_key;
void tpm_key_free(struct tpm_key *key);
PC_DEFINE_CLEANUP(struct tpm_key, tpm_key_free);

/* Finds the SRK at TPM_SRK_HANDLE, or makes it there when that handle is free (ECC P-256, AES-128-CFB, noDA:
 * Part 2 §8.3); an object of another template there is left alone and a parent of our own is used, made anew
 * as a transient primary each time. Then TPM2_Create in a session salted to the parent with parameter
 * encryption, attributes 0x00040472. Only PKI_KEY_RSA_2048 and PKI_KEY_EC_P256; others PC_EUSAGE. The result
 * is a blob key (wrapped by the TPM); nothing but the SRK persists. */
int tpm_key_create(struct tpm *tpm, enum pki_key_type type, struct tpm_key **ret);

/* Makes a blob key persistent at `handle` (Load, EvictControl, Flush) and turns `key` into a handle key. The
 * caller has written handle and Name down durably before. PC_EREFUSED "handle-occupied" when something else
 * is there; 0 when this very key (by Name) is there already. PC_EUNREACH "tpm-full" when no slot is left (the
 * text lists what occupies them). */
int tpm_key_persist(struct tpm *tpm, struct tpm_key *key, uint32_t handle);

/* The Name of what persists at `handle`. PC_EREFUSED "handle-free" when nothing does. */
int tpm_handle_name(struct tpm *tpm, uint32_t handle, struct tpm_name *ret);
/* The device key that persists at `handle`, as a handle key: only one of our own template (fixedTPM,
 * fixedParent, sensitiveDataOrigin, sign, not restricted, not decrypt). PC_EREFUSED "handle-free" when
 * nothing is there, "handle-foreign" when it is no such key. */
int tpm_handle_key(struct tpm *tpm, uint32_t handle, struct tpm_key **ret);
/* What persists in [first, last]: the first `max` handles, ascending. */
int tpm_handle_list(struct tpm *tpm, uint32_t first, uint32_t last, uint32_t *ret, size_t max,
                    size_t *ret_count);
/* The device key of this public half within [first, last], as tpm_handle_key; 0 and NULL when there is none.
 */
int tpm_handle_find(struct tpm *tpm, uint32_t first, uint32_t last, const EVP_PKEY *public,
                    struct tpm_key **ret);
/* Removes what persists at `handle` only when its Name is `name`; PC_EREFUSED "handle-foreign" otherwise, 0
 * when nothing is there. */
int tpm_handle_evict(struct tpm *tpm, uint32_t handle, const struct tpm_name *name);
/* The first free persistent handle in [first, last], both owner hierarchy (0x81000000–0x817fffff).
 * PC_EUNREACH "tpm-full" when all are taken. */
int tpm_handle_free(struct tpm *tpm, uint32_t first, uint32_t last, uint32_t *ret);

/* Whether the key is usable in this TPM: a handle's Name is the one recorded (1 command), a blob loads.
 * PC_EREFUSED "key-absent" (handle empty, blob of another or cleared TPM) or "key-name". */
int tpm_key_probe(struct tpm *tpm, const struct tpm_key *key);

enum tpm_scheme { TPM_SCHEME_RSASSA, TPM_SCHEME_RSAPSS, TPM_SCHEME_ECDSA }; /* Part 2 §11.2.1 */

#define TPM_SIGNATURE_MAX 512 /* octets */
/* Signs `digest` (of `md`: SHA-1 refused, SHA-256, SHA-384, SHA-512). ECDSA is returned as DER
 * ECDSA-Sig-Value (RFC 3279 §2.2.3). `ret_signature` has room for TPM_SIGNATURE_MAX. The signature is
 * verified in software before it is given out (RSAPSS: also that the salt is as long as the digest; else
 * PC_EREFUSED "tpm-pss-salt"). A handle's Name is checked by ReadPublic (2 commands in all); a blob costs
 * Load, Sign, Flush and ReadPublic of the parent. */
int tpm_key_sign(struct tpm *tpm, const struct tpm_key *key, enum tpm_scheme scheme, const EVP_MD *md,
                 const unsigned char *digest, size_t digest_len, unsigned char *ret_signature,
                 size_t *ret_len);

/* Signs a fixed text with each scheme that TLS needs of this kind (RSA: RSASSA and RSAPSS with SHA-256; EC:
 * ECDSA) and verifies. Looks for leftovers first, as all operations but tpm_key_sign do. */
int tpm_key_test(struct tpm *tpm, const struct tpm_key *key);

/* The public half as a software key of the default provider: up-ref'd, owned by the caller. */
int tpm_key_public(const struct tpm_key *key, EVP_PKEY **ret);
enum pki_key_type tpm_key_type(const struct tpm_key *key);
const struct tpm_name *tpm_key_name(const struct tpm_key *key); /* borrowed */
uint32_t tpm_key_handle(const struct tpm_key *key);             /* 0 for a blob */

#endif
