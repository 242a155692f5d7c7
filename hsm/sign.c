/* Signatures by a key in a token, within the token's time limit. */
#include <assert.h>
#include <stddef.h>

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
    size_t count, done;
    struct {
        unsigned hash_len;
        size_t len;
        unsigned char hash[EVP_MAX_MD_SIZE], signature[SIGNATURE_MAX];
    } each[HSM_SIGN_MAX];
};
static_assert(sizeof(struct sign_arguments) <= HSM_ARGUMENTS_MAX, "fits a worker's letter box");

static int sign_on_worker(void *arguments)
{
    struct sign_arguments *a = arguments;
    PC_CLEANUP(EVP_PKEY_CTX_free_ref) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(a->key->signer, NULL);
    bool good =
        context && EVP_PKEY_sign_init(context) == 1 && EVP_PKEY_CTX_set_signature_md(context, a->digest) == 1;
    for (; good && a->done < a->count; a->done += good) {
        hsm_step();
        a->each[a->done].len = SIGNATURE_MAX;
        good = EVP_PKEY_sign(context, a->each[a->done].signature, &a->each[a->done].len,
                             a->each[a->done].hash, a->each[a->done].hash_len) == 1;
    }
    return good ? 0 : hsm_signer_fail("token '%s': it does not sign", a->key->token->info.label);
}

int hsm_key_sign_each(struct hsm_key *key, const EVP_MD *digest, const struct pc_bytes *const *data,
                      size_t count, struct pc_bytes *ret_signatures, size_t *ret_done)
{
    struct sign_arguments a;
    *ret_done = 0;
    if (count > HSM_SIGN_MAX)
        return pc_fail(PC_EFAIL, "more than %d signatures at once", HSM_SIGN_MAX);
    a.key = key;
    a.digest = digest;
    a.count = count;
    a.done = 0;
    for (size_t i = 0; i < count; i++)
        if (EVP_Digest(data[i]->data, data[i]->len, a.each[i].hash, &a.each[i].hash_len, digest, NULL) != 1)
            return pc_fail_openssl(PC_EFAIL, "hashing what is to be signed");
    int r = hsm_run(key->token->workers, "a signature", sign_on_worker, &a,
                    offsetof(struct sign_arguments, each) + count * sizeof a.each[0]);
    for (; *ret_done < a.done; ++*ret_done) {
        int copied =
            pc_bytes_copy(a.each[*ret_done].signature, a.each[*ret_done].len, &ret_signatures[*ret_done]);
        if (copied < 0)
            return copied;
    }
    return r;
}

int hsm_key_sign(struct hsm_key *key, const EVP_MD *digest, const struct pc_bytes *data,
                 struct pc_bytes *ret_signature)
{
    size_t done;
    return hsm_key_sign_each(key, digest, &data, 1, ret_signature, &done);
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
