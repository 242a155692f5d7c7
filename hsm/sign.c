/* Signatures by a key in a token, within the token's time limit. */
#include <assert.h>

#include <openssl/evp.h>

#include "hsm/internal.h"
#include "hsm/key.h"
#include "hsm/result.h"
#include "hsm/signer.h"
#include "src/base/error.h"

#define SIGNATURE_MAX 1024 /* bytes; RSA-8192 */

PC_DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free);

/* All of it lies in here, so that a signature that comes too late meets nothing of its caller's. */
struct sign_arguments {
    struct hsm_key *key;
    const EVP_MD *digest;
    unsigned hash_len;
    size_t len;
    unsigned char hash[EVP_MAX_MD_SIZE], signature[SIGNATURE_MAX];
};
static_assert(sizeof(struct sign_arguments) <= HSM_ARGUMENTS_MAX, "fits a worker's letter box");

static int sign_on_worker(void *arguments)
{
    struct sign_arguments *a = arguments;
    PC_CLEANUP(EVP_PKEY_CTX_free_ref) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(a->key->signer, NULL);
    a->len = sizeof a->signature;
    if (!context || EVP_PKEY_sign_init(context) != 1 ||
        EVP_PKEY_CTX_set_signature_md(context, a->digest) != 1 ||
        EVP_PKEY_sign(context, a->signature, &a->len, a->hash, a->hash_len) != 1)
        return hsm_signer_fail("token '%s': it does not sign", a->key->token->info.label);
    return 0;
}

int hsm_key_sign(struct hsm_key *key, const EVP_MD *digest, const struct pc_bytes *data,
                 struct pc_bytes *ret_signature)
{
    struct sign_arguments a = {.key = key, .digest = digest};
    if (EVP_Digest(data->data, data->len, a.hash, &a.hash_len, digest, NULL) != 1)
        return pc_fail_openssl(PC_EFAIL, "hashing what is to be signed");
    int r = hsm_run(key->token->workers, "a signature", sign_on_worker, &a, sizeof a);
    return r < 0 ? r : pc_bytes_copy(a.signature, a.len, ret_signature);
}

static int sign_with(void *context, const EVP_MD *digest, const struct pc_bytes *data, struct pc_bytes *ret)
{
    return hsm_key_sign(context, digest, data, ret);
}

struct pki_signer hsm_key_pki_signer(struct hsm_key *key)
{
    return (struct pki_signer){.sign = sign_with, .context = key};
}

struct work_arguments {
    struct hsm_key *key;
    int (*work)(EVP_PKEY *signer, void *context);
    void *context;
};

/* What went wrong inside OpenSSL does not tell whether the token is still there: its session does. */
static int work_on_worker(void *arguments)
{
    const struct work_arguments *a = arguments;
    const struct hsm_token *token = a->key->token;
    CK_SESSION_INFO info;
    int r = a->work(a->key->signer, a->context);
    if (r == 0)
        return 0;
    CK_RV rv = token->module->C_GetSessionInfo(token->session, &info);
    return rv == CKR_OK ? r : hsm_fail(rv, "token '%s': it does not sign", token->info.label);
}

int hsm_key_work(struct hsm_key *key, int (*work)(EVP_PKEY *signer, void *context), void *context)
{
    struct work_arguments a = {.key = key, .work = work, .context = context};
    return hsm_run(key->token->workers, "a signature", work_on_worker, &a, sizeof a);
}
