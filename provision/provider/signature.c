/* Signing (provider-signature(7)): digests are made by the application's own provider, the TPM is opened for
 * one signature and closed again. Verification is left to others, who get the public key by export. */
#include "provision/provider/signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>

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
    EVP_MD_free(s->md);
    prov_key_free(s->key);
    free(s->propq);
    free(s);
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
    if (from->digest != NULL) {
        to->digest = EVP_MD_CTX_new();
        if (to->digest == NULL || !EVP_MD_CTX_copy_ex(to->digest, from->digest)) {
            signature_free(to);
            return NULL;
        }
    }
    return to;
}

static int take_key(struct prov_signature *s, struct prov_key *key)
{
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
static enum prov_reason reason_of(int code)
{
    switch (code) {
    case PC_EUSAGE:
        return PROV_REASON_TPM_SETTINGS;
    case PC_EAUTH:
        return PROV_REASON_TPM_LOCKED;
    case PC_EUNREACH:
        return PROV_REASON_TPM_UNREACHABLE;
    case PC_EREFUSED:
        return PROV_REASON_TPM_REFUSED;
    default:
        return PROV_REASON_TPM;
    }
}

static int raise_fault(const struct prov_context *context, int code)
{
    struct prov_fault *fault = context->fault;

    if (fault != NULL) {
        fault->code = code;
        fault->name = pc_error_name();
        snprintf(fault->text, sizeof(fault->text), "%s", pc_error_text());
    }
    return prov_raise(context, reason_of(code), "%s", pc_error_text());
}

static int sign_digest(struct prov_signature *s, const unsigned char *digest, size_t len, unsigned char *sig,
                       size_t *ret_len, size_t size)
{
    const struct tpm_place place = prov_place(s->context);
    PC_CLEANUP(tpm_close_ref) struct tpm *tpm = NULL;
    unsigned char made[TPM_SIGNATURE_MAX];
    size_t made_len = 0;
    int r;

    if (!prov_signature_check(s))
        return 0;
    r = tpm_open(&place, &tpm);
    if (r == 0)
        r = tpm_key_sign(tpm, s->key->tpm, prov_signature_scheme(s), s->md, digest, len, made, &made_len);
    if (r < 0)
        return raise_fault(s->context, r);
    if (made_len > size)
        return prov_raise(s->context, PROV_REASON_PARAMETER, "%zu octets of signature, room for %zu",
                          made_len, size);
    memcpy(sig, made, made_len);
    *ret_len = made_len;
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

    EVP_MD_CTX_free(pc_steal(s->digest));
    return take_key(s, key) && prov_signature_set_params(s, params);
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

    EVP_MD_CTX_free(pc_steal(s->digest));
    if (!take_key(s, key) || !prov_signature_set_params(s, params))
        return 0;
    if ((digest != NULL || s->md == NULL) &&
        !prov_signature_set_digest(s, digest != NULL ? digest : "SHA256"))
        return 0;
    s->digest = EVP_MD_CTX_new();
    return s->digest != NULL && EVP_DigestInit_ex2(s->digest, s->md, NULL);
}

static int digest_sign_update(void *signature, const unsigned char *data, size_t len)
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
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, (void (*)(void))digest_sign_update},                        \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, (void (*)(void))digest_sign_final},                          \
        {OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, (void (*)(void))prov_signature_get_params},                     \
    {                                                                                                        \
        OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))prov_signature_set_params                        \
    }

const OSSL_DISPATCH prov_signature_rsa[] = {
    {OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))rsa_new},
    COMMON_FUNCTIONS,
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
