/* Keys in a token: made inside with a strict template, read back, found again, and used to sign through
 * OpenSSL. */
#ifndef HSM_KEY_H
#define HSM_KEY_H

#include <stdbool.h>

#include <openssl/evp.h>

#include "hsm/token.h"
#include "src/pki/key.h"
#include "src/pki/sign.h"

#define HSM_ID_LEN 20 /* octets of CKA_ID for keys that we make (random) */

struct hsm_id {
    unsigned char octets[64];
    size_t len;
};

/* What the token says of a private key (PKCS#11 v2.40 §4.9). */
struct hsm_key_attributes {
    bool token, private_, sensitive, always_sensitive, extractable, never_extractable, local, sign, decrypt,
        unwrap, derive, sign_recover, modifiable, always_authenticate;
    bool has_mechanism; /* CKA_KEY_GEN_MECHANISM known */
    unsigned long mechanism;
};

struct hsm_key;

/* C_GenerateKeyPair with TOKEN, PRIVATE, SENSITIVE, SIGN true and EXTRACTABLE, DECRYPT, UNWRAP, DERIVE,
 * SIGN_RECOVER, MODIFIABLE false; then reads everything back (as hsm_key_check). Needs a login. Refused
 * (PC_EREFUSED, "key-exists") when an object with that id or a private key with that label is there. A pair
 * of which the check fails, or that is of another type, is destroyed again. */
int hsm_key_generate(struct hsm_token *token, enum pki_key_type type, const char *label,
                     const struct hsm_id *id, struct hsm_key **ret);

/* The private key with that CKA_ID, and its public half (from the public object). 0 keys: PC_EREFUSED
 * "key-missing"; several: PC_EREFUSED "key-ambiguous"; neither RSA nor EC on a named curve: "key-type";
 * halves that are no pair: "key-mismatch" (of an EC pair only a signature can tell). Needs a login. The
 * functions of one token and its keys are for one thread at a time; hsm_key_signer's EVP_PKEY may be used by
 * several. */
int hsm_key_find(struct hsm_token *token, const struct hsm_id *id, struct hsm_key **ret);
void hsm_key_free(struct hsm_key *key); /* before hsm_token_close */
PC_DEFINE_CLEANUP(struct hsm_key, hsm_key_free);

/* How many private keys with this label the token holds, and the id of the first; `ret_first` may be NULL.
 * PC_EREFUSED ("key-id") when that one has none that fits. Needs a login. */
int hsm_key_count(struct hsm_token *token, const char *label, size_t *ret_count, struct hsm_id *ret_first);

/* Removes the pair with this CKA_ID, both halves, or the one half that is left. For a key that was made and
 * never used. PC_EREFUSED "key-missing", or "key-ambiguous" (and nothing is removed). Needs a login. */
int hsm_key_destroy(struct hsm_token *token, const struct hsm_id *id);

/* The pair of a plan, with which nothing was signed yet: found and sound, or made. What an interrupted run
 * left of it (one half, or objects that the token was writing when it was cut off, which the search or the
 * check refuses) is destroyed first. */
int hsm_key_ensure(struct hsm_token *token, enum pki_key_type type, const char *label,
                   const struct hsm_id *id, struct hsm_key **ret, bool *ret_made);

/* Reads the attributes afresh and refuses (PC_EREFUSED, "key-attributes") unless TOKEN, PRIVATE, SENSITIVE,
 * ALWAYS_SENSITIVE, NEVER_EXTRACTABLE, LOCAL, SIGN hold and EXTRACTABLE, DECRYPT, UNWRAP, ALWAYS_AUTHENTICATE
 * (a PIN for each signature) do not. `ret` may be NULL. Called before every signing run. */
int hsm_key_check(struct hsm_key *key, struct hsm_key_attributes *ret);

/* Refuses (PC_EREFUSED, "key-mismatch") unless the token's public half is `expected` (the CA certificate's
 * key). */
int hsm_key_equals(struct hsm_key *key, const EVP_PKEY *expected);

/* One signature (struct pki_signer's contract) by one C_Sign, within the token's time limit. PC_EUNREACH
 * "token-lost" when the token, its session or the login is gone: hsm_token_close, hsm_token_open and one
 * login bring a new one. PC_EUNREACH "token-timeout" when the module did not come back in time: it never may,
 * so the token can only be closed (hsm_token_close then leaves the module alone). Several threads may sign at
 * once. */
int hsm_key_sign(struct hsm_key *key, const EVP_MD *digest, const struct pc_bytes *data,
                 struct pc_bytes *ret_signature);
/* The same over several, each by one C_Sign and within the limit, with one change of threads for all. After
 * an error the first `ret_done` signatures are there, and the one behind them failed. */
#define HSM_SIGN_MAX 16
int hsm_key_sign_each(struct hsm_key *key, const EVP_MD *digest, const struct pc_bytes *const *data,
                      size_t count, struct pc_bytes *ret_signatures, size_t *ret_done);
/* hsm_key_sign as X.509's signer; borrows the key. */
struct pki_signer hsm_key_pki_signer(struct hsm_key *key);
/* Anything else that signs with the key, through OpenSSL (CMS): `work` runs under the same limit, on a thread
 * of the token's. Its own error is given back, or PC_EUNREACH "token-lost" where the token is found gone
 * after it failed. After "token-timeout" it may come back at any time: `context`, and what that points to,
 * must then be left as they are until the process ends. */
int hsm_key_work(struct hsm_key *key, int (*work)(EVP_PKEY *signer, void *context), void *context);
/* Whether the module says that it signs on this machine's own processors: more threads than these are then of
 * no use (CKF_HW, PKCS#11 v2.40 §3.5). */
bool hsm_key_in_software(const struct hsm_key *key);
/* The key as libp11 gives it, for EVP_DigestSign and X509_sign. Borrowed, valid until hsm_key_free. Each
 * signature is one C_Sign. */
EVP_PKEY *hsm_key_signer(struct hsm_key *key);
/* The public half, free of the token. Borrowed. */
EVP_PKEY *hsm_key_public(struct hsm_key *key);

#endif
