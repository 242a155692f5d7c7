/* Signing (provider-signature(7)): digests are made by the application's own provider, the TPM is opened for
 * one signature and closed again. */
#include "provision/provider/signature.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "provision/provider/apart.h"
#include "src/base/error.h"

static void *signature_new(void *context, const char *propq, bool rsa)
{
    struct prov_signature *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->context = context;
    s->rsa = rsa;
    s->padding = RSA_PKCS1_PADDING;
    s->salt = RSA_PSS_SALTLEN_DIGEST;
    if (propq != NULL && (s->propq = strdup(propq)) == NULL) {
        free(s);
        return NULL;
    }
    return s;
}

static void *rsa_new(void *context, const char *propq)
{
    return signature_new(context, propq, true);
}

static void *ecdsa_new(void *context, const char *propq)
{
    return signature_new(context, propq, false);
}

static void signature_free(void *signature)
{
    struct prov_signature *s = signature;

    if (s == NULL)
        return;
    EVP_MD_CTX_free(s->digest);
    EVP_PKEY_CTX_free(s->software);
    EVP_MD_free(s->md);
    prov_key_free(s->key);
    free(s->propq);
    free(s);
}

static int copy_digest(struct prov_signature *to, const struct prov_signature *from)
{
    to->digest = EVP_MD_CTX_new();
    return to->digest != NULL && EVP_MD_CTX_copy_ex(to->digest, from->digest);
}

static void *signature_dup(void *signature)
{
    const struct prov_signature *from = signature;
    struct prov_signature *to = signature_new(from->context, from->propq, from->rsa);

    if (to == NULL)
        return NULL;
    to->padding = from->padding;
    to->salt = from->salt;
    memcpy(to->mgf1, from->mgf1, sizeof(to->mgf1));
    if (from->key != NULL)
        to->key = prov_key_share(from->key);
    if (from->md != NULL && EVP_MD_up_ref(from->md))
        to->md = from->md;
    if ((from->digest != NULL && !copy_digest(to, from)) ||
        (from->software != NULL && (to->software = EVP_PKEY_CTX_dup(from->software)) == NULL)) {
        signature_free(to);
        return NULL;
    }
    return to;
}

int prov_signature_begin(struct prov_signature *s, struct prov_key *key)
{
    EVP_MD_CTX_free(pc_steal(s->digest));
    EVP_PKEY_CTX_free(pc_steal(s->software));
    if (key != NULL) {
        if (key->public == NULL || key->rsa != s->rsa)
            return prov_raise(s->context, PROV_REASON_PARAMETER, "the key is of another kind");
        prov_key_free(s->key);
        s->key = prov_key_share(key);
    }
    if (s->key == NULL)
        return prov_raise(s->context, PROV_REASON_PARAMETER, "no key set");
    return 1;
}

int prov_signature_set_digest(struct prov_signature *s, const char *name)
{
    EVP_MD *md = EVP_MD_fetch(s->context->child, name, s->propq);

    if (md == NULL)
        return prov_raise(s->context, PROV_REASON_DIGEST, "no digest %s", name);
    if (!prov_digest_known(md)) {
        EVP_MD_free(md);
        return prov_raise(s->context, PROV_REASON_DIGEST,
                          "a TPM key signs SHA-256, SHA-384 and SHA-512 digests, not %s", name);
    }
    EVP_MD_free(s->md);
    s->md = md;
    return 1;
}

enum tpm_scheme prov_signature_scheme(const struct prov_signature *s)
{
    if (!s->rsa)
        return TPM_SCHEME_ECDSA;
    return s->padding == RSA_PKCS1_PSS_PADDING ? TPM_SCHEME_RSAPSS : TPM_SCHEME_RSASSA;
}

int prov_signature_check(const struct prov_signature *s)
{
    if (prov_signature_scheme(s) != TPM_SCHEME_RSAPSS)
        return 1;
    if (s->salt >= 0 && s->salt != EVP_MD_get_size(s->md))
        return prov_raise(s->context, PROV_REASON_PARAMETER,
                          "salt of %d octets: a TPM salts with as many as the digest has", s->salt);
    if (s->salt == RSA_PSS_SALTLEN_MAX)
        return prov_raise(s->context, PROV_REASON_PARAMETER,
                          "salt of the greatest length: a TPM salts with as many octets as the digest has");
    if (s->mgf1[0] != '\0' && !EVP_MD_is_a(s->md, s->mgf1))
        return prov_raise(s->context, PROV_REASON_PARAMETER,
                          "MGF1 with %s: a TPM takes the signature's digest, %s", s->mgf1,
                          EVP_MD_get0_name(s->md));
    return 1;
}

/* A raw ECDSA signature does not name its digest, but the TPM wants to know one of that length. */
static const char *digest_by_length(size_t len)
{
    switch (len) {
    case 32:
        return "SHA256";
    case 48:
        return "SHA384";
    case 64:
        return "SHA512";
    default:
        return NULL;
    }
}

/* Many programs print the reason only, not what belongs to it. */
static enum prov_reason reason_of(const struct prov_fault *fault)
{
    switch (fault->code) {
    case PC_EUSAGE:
        return PROV_REASON_TPM_SETTINGS;
    case PC_EAUTH: /* the TPM's own word, or a secret that cannot be read */
        return strncmp(fault->name, "tpm-", 4) == 0 ? PROV_REASON_TPM_LOCKED : PROV_REASON_TPM_SETTINGS;
    case PC_EUNREACH:
        return PROV_REASON_TPM_UNREACHABLE;
    case PC_EREFUSED:
        return PROV_REASON_TPM_REFUSED;
    default:
        return PROV_REASON_TPM;
    }
}

static int raise_fault(const struct prov_context *context, const struct prov_fault *fault)
{
    if (context->fault != NULL)
        *context->fault = *fault;
    return prov_raise(context, reason_of(fault), "%s", fault->text);
}

static int sign_digest(struct prov_signature *s, const unsigned char *digest, size_t len, unsigned char *sig,
                       size_t *ret_len, size_t size)
{
    struct prov_job job = {
        .context = s->context,
        .key = s->key->tpm,
        .scheme = prov_signature_scheme(s),
        .md = s->md,
        .digest = digest,
        .digest_len = len,
    };

    if (!prov_signature_check(s))
        return 0;
    if (prov_job_run(&job) < 0)
        return raise_fault(s->context, &job.fault);
    if (job.len > size)
        return prov_raise(s->context, PROV_REASON_PARAMETER, "%zu octets of signature, room for %zu", job.len,
                          size);
    memcpy(sig, job.signature, job.len);
    *ret_len = job.len;
    return 1;
}

/* The greatest length, for a caller that gives no room; 0 on failure. */
static size_t signature_size(const struct prov_signature *s)
{
    int size = s->key != NULL ? EVP_PKEY_get_size(s->key->public) : 0;

    return size > 0 ? (size_t)size : 0;
}

static int sign_init(void *signature, void *key, const OSSL_PARAM params[])
{
    struct prov_signature *s = signature;

    return prov_signature_begin(s, key) && prov_signature_set_params(s, params);
}

static int sign(void *signature, unsigned char *sig, size_t *siglen, size_t size, const unsigned char *tbs,
                size_t tbslen)
{
    struct prov_signature *s = signature;
    const char *name;

    if (sig == NULL) {
        *siglen = signature_size(s);
        return *siglen > 0;
    }
    if (s->md == NULL) {
        name = s->rsa ? NULL : digest_by_length(tbslen);
        if (name == NULL)
            return prov_raise(s->context, PROV_REASON_DIGEST,
                              "none set: a TPM signs digests, not bare bytes");
        if (!prov_signature_set_digest(s, name))
            return 0;
    }
    if (tbslen != (size_t)EVP_MD_get_size(s->md))
        return prov_raise(s->context, PROV_REASON_DIGEST, "%zu octets are no %s digest", tbslen,
                          EVP_MD_get0_name(s->md));
    return sign_digest(s, tbs, tbslen, sig, siglen, size);
}

static int digest_sign_init(void *signature, const char *digest, void *key, const OSSL_PARAM params[])
{
    struct prov_signature *s = signature;

    if (!prov_signature_begin(s, key) || !prov_signature_set_params(s, params))
        return 0;
    if ((digest != NULL || s->md == NULL) &&
        !prov_signature_set_digest(s, digest != NULL ? digest : "SHA256"))
        return 0;
    s->digest = EVP_MD_CTX_new();
    return s->digest != NULL && EVP_DigestInit_ex2(s->digest, s->md, NULL);
}

static int digest_update(void *signature, const unsigned char *data, size_t len)
{
    struct prov_signature *s = signature;

    return s->digest != NULL && EVP_DigestUpdate(s->digest, data, len);
}

static int digest_sign_final(void *signature, unsigned char *sig, size_t *siglen, size_t size)
{
    struct prov_signature *s = signature;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;

    if (s->digest == NULL)
        return 0;
    if (sig == NULL) {
        *siglen = signature_size(s);
        return *siglen > 0;
    }
    return EVP_DigestFinal_ex(s->digest, digest, &len) && sign_digest(s, digest, len, sig, siglen, size);
}

#define COMMON_FUNCTIONS                                                                                     \
    {OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))signature_free},                                           \
        {OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))signature_dup},                                         \
        {OSSL_FUNC_SIGNATURE_SIGN_INIT, (void (*)(void))sign_init},                                          \
        {OSSL_FUNC_SIGNATURE_SIGN, (void (*)(void))sign},                                                    \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))digest_sign_init},                            \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, (void (*)(void))digest_update},                             \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, (void (*)(void))digest_sign_final},                          \
        {OSSL_FUNC_SIGNATURE_VERIFY_INIT, (void (*)(void))prov_verify_init},                                 \
        {OSSL_FUNC_SIGNATURE_VERIFY, (void (*)(void))prov_verify},                                           \
        {OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, (void (*)(void))prov_digest_verify_init},                   \
        {OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE, (void (*)(void))digest_update},                           \
        {OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL, (void (*)(void))prov_digest_verify_final},                 \
        {OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, (void (*)(void))prov_signature_get_params},                     \
    {                                                                                                        \
        OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))prov_signature_set_params                        \
    }

const OSSL_DISPATCH prov_signature_rsa[] = {
    {OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))rsa_new},
    COMMON_FUNCTIONS,
    {OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT, (void (*)(void))prov_recover_init},
    {OSSL_FUNC_SIGNATURE_VERIFY_RECOVER, (void (*)(void))prov_recover},
    {OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, (void (*)(void))prov_rsa_gettable},
    {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))prov_rsa_settable},
    {0, NULL},
};

const OSSL_DISPATCH prov_signature_ecdsa[] = {
    {OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))ecdsa_new},
    COMMON_FUNCTIONS,
    {OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, (void (*)(void))prov_ecdsa_gettable},
    {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))prov_ecdsa_settable},
    {0, NULL},
};
