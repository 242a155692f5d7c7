/* Verifying with the EVP_PKEY of a TPM key (provider-signature(7)): in software, by the default provider and
 * the public half. The TPM is never asked. */
#include "provision/provider/signature.h"

#include <stdint.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "src/base/error.h"

static int begin(struct prov_signature *s, void *key)
{
    if (!prov_signature_begin(s, key))
        return 0;
    s->software = EVP_PKEY_CTX_new_from_pkey(NULL, s->key->public, "provider=default");
    return s->software != NULL;
}

int prov_verify_init(void *signature, void *key, const OSSL_PARAM params[])
{
    struct prov_signature *s = signature;

    return begin(s, key) && EVP_PKEY_verify_init_ex(s->software, params) == 1;
}

int prov_verify(void *signature, const unsigned char *sig, size_t siglen, const unsigned char *tbs,
                size_t tbslen)
{
    const struct prov_signature *s = signature;

    return s->software != NULL && EVP_PKEY_verify(s->software, sig, siglen, tbs, tbslen) == 1;
}

int prov_recover_init(void *signature, void *key, const OSSL_PARAM params[])
{
    struct prov_signature *s = signature;

    return begin(s, key) && EVP_PKEY_verify_recover_init_ex(s->software, params) == 1;
}

int prov_recover(void *signature, unsigned char *out, size_t *outlen, size_t size, const unsigned char *sig,
                 size_t siglen)
{
    const struct prov_signature *s = signature;

    *outlen = size;
    return s->software != NULL && EVP_PKEY_verify_recover(s->software, out, outlen, sig, siglen) == 1;
}

/* Any digest that the application has: what was signed long ago can still be looked at. */
static int set_digest(struct prov_signature *s, const char *name)
{
    EVP_MD *md = EVP_MD_fetch(s->context->child, name, s->propq);

    if (md == NULL)
        return prov_raise(s->context, PROV_REASON_DIGEST, "no digest %s", name);
    EVP_MD_free(s->md);
    s->md = md;
    return 1;
}

static int hand_on_digest(const struct prov_signature *s)
{
    char name[PROV_DIGEST_NAME];
    OSSL_PARAM params[2];

    OPENSSL_strlcpy(name, EVP_MD_get0_name(s->md), sizeof(name));
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, name, 0);
    params[1] = OSSL_PARAM_construct_end();
    return EVP_PKEY_CTX_set_params(s->software, params) == 1;
}

int prov_digest_verify_init(void *signature, const char *digest, void *key, const OSSL_PARAM params[])
{
    struct prov_signature *s = signature;

    if (!prov_verify_init(s, key, NULL))
        return 0;
    if ((digest != NULL || s->md == NULL) && !set_digest(s, digest != NULL ? digest : "SHA256"))
        return 0;
    if (!hand_on_digest(s) || !prov_signature_set_params(s, params))
        return 0;
    s->digest = EVP_MD_CTX_new();
    return s->digest != NULL && EVP_DigestInit_ex2(s->digest, s->md, NULL);
}

int prov_digest_verify_final(void *signature, const unsigned char *sig, size_t siglen)
{
    struct prov_signature *s = signature;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;

    return s->digest != NULL && EVP_DigestFinal_ex(s->digest, digest, &len) &&
           prov_verify(s, sig, siglen, digest, len);
}
