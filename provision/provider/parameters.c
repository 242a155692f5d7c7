/* What can be set on a signature and asked of it: digest, padding, salt, MGF1 digest, AlgorithmIdentifier. */
#include "provision/provider/signature.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

struct named_number {
    const char *name;
    int number;
};
static const struct named_number paddings[] = {
    {OSSL_PKEY_RSA_PAD_MODE_PKCSV15, RSA_PKCS1_PADDING},
    {OSSL_PKEY_RSA_PAD_MODE_PSS, RSA_PKCS1_PSS_PADDING},
};
#define PADDINGS (sizeof(paddings) / sizeof(paddings[0]))
static const struct named_number salts[] = {
    {OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST, RSA_PSS_SALTLEN_DIGEST},
    {OSSL_PKEY_RSA_PSS_SALT_LEN_MAX, RSA_PSS_SALTLEN_MAX},
    {OSSL_PKEY_RSA_PSS_SALT_LEN_AUTO, RSA_PSS_SALTLEN_AUTO},
};
#define SALTS (sizeof(salts) / sizeof(salts[0]))

/* A parameter that is a number, the name of one, or a number in digits. */
static int get_number(const OSSL_PARAM *p, const struct named_number *table, size_t count, int *ret)
{
    char text[PROV_DIGEST_NAME], *out = text, *end;
    long number;

    if (p->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_get_int(p, ret);
    if (!OSSL_PARAM_get_utf8_string(p, &out, sizeof(text)))
        return 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, table[i].name) == 0) {
            *ret = table[i].number;
            return 1;
        }
    }
    number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < 0 || number > INT16_MAX)
        return 0;
    *ret = (int)number;
    return 1;
}

static int put_number(OSSL_PARAM *p, const struct named_number *table, size_t count, int number)
{
    char digits[12];

    if (p->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_set_int(p, number);
    for (size_t i = 0; i < count; i++)
        if (table[i].number == number)
            return OSSL_PARAM_set_utf8_string(p, table[i].name);
    snprintf(digits, sizeof(digits), "%d", number);
    return OSSL_PARAM_set_utf8_string(p, digits);
}

static int set_digest(struct prov_signature *s, const OSSL_PARAM *p)
{
    char name[PROV_DIGEST_NAME], *out = name;

    if (s->digest != NULL)
        return prov_raise(s->context, PROV_REASON_PARAMETER, "the digest was chosen when signing began");
    return OSSL_PARAM_get_utf8_string(p, &out, sizeof(name)) && prov_signature_set_digest(s, name);
}

static int set_padding(struct prov_signature *s, const OSSL_PARAM *p)
{
    int padding;

    if (!get_number(p, paddings, PADDINGS, &padding) ||
        (padding != RSA_PKCS1_PADDING && padding != RSA_PKCS1_PSS_PADDING))
        return prov_raise(s->context, PROV_REASON_PARAMETER, "the padding is neither pkcs1 nor pss");
    s->padding = padding;
    return 1;
}

static int set_salt(struct prov_signature *s, const OSSL_PARAM *p)
{
    int salt;

    if (!get_number(p, salts, SALTS, &salt) || salt < RSA_PSS_SALTLEN_MAX)
        return prov_raise(s->context, PROV_REASON_PARAMETER, "no such salt length");
    s->salt = salt;
    return 1;
}

static int set_mgf1(struct prov_signature *s, const OSSL_PARAM *p)
{
    char name[PROV_DIGEST_NAME], *out = name;

    if (!OSSL_PARAM_get_utf8_string(p, &out, sizeof(name)))
        return 0;
    memcpy(s->mgf1, name, sizeof(s->mgf1));
    return 1;
}

static int get_digest(const struct prov_signature *s, OSSL_PARAM *p)
{
    return OSSL_PARAM_set_utf8_string(p, s->md != NULL ? EVP_MD_get0_name(s->md) : "");
}

static int get_padding(const struct prov_signature *s, OSSL_PARAM *p)
{
    return put_number(p, paddings, PADDINGS, s->padding);
}

static int get_salt(const struct prov_signature *s, OSSL_PARAM *p)
{
    return put_number(p, salts, SALTS, s->salt);
}

static int get_mgf1(const struct prov_signature *s, OSSL_PARAM *p)
{
    return s->mgf1[0] != '\0' ? OSSL_PARAM_set_utf8_string(p, s->mgf1) : get_digest(s, p);
}

static int get_algorithm(const struct prov_signature *s, OSSL_PARAM *p)
{
    unsigned char *der = NULL;
    size_t len = 0;
    int ok = prov_signature_algorithm(s, &der, &len) && OSSL_PARAM_set_octet_string(p, der, len);

    OPENSSL_free(der);
    return ok;
}

static const struct {
    const char *key;
    bool rsa_only;
    int (*get)(const struct prov_signature *, OSSL_PARAM *);
    int (*set)(struct prov_signature *, const OSSL_PARAM *);
} table[] = {
    {OSSL_SIGNATURE_PARAM_ALGORITHM_ID, false, get_algorithm, NULL},
    {OSSL_SIGNATURE_PARAM_DIGEST, false, get_digest, set_digest},
    {OSSL_SIGNATURE_PARAM_PAD_MODE, true, get_padding, set_padding},
    {OSSL_SIGNATURE_PARAM_PSS_SALTLEN, true, get_salt, set_salt},
    {OSSL_SIGNATURE_PARAM_MGF1_DIGEST, true, get_mgf1, set_mgf1},
};
#define TABLE (sizeof(table) / sizeof(table[0]))

int prov_signature_get_params(void *signature, OSSL_PARAM params[])
{
    const struct prov_signature *s = signature;

    if (s->software != NULL)
        return EVP_PKEY_CTX_get_params(s->software, params) == 1;
    for (size_t i = 0; i < TABLE; i++) {
        OSSL_PARAM *p = OSSL_PARAM_locate(params, table[i].key);

        if (p != NULL && (s->rsa || !table[i].rsa_only) && !table[i].get(s, p))
            return 0;
    }
    return 1;
}

/* Verifying, every digest, padding and salt is the default provider's to take or refuse. */
static int set_software_params(const struct prov_signature *s, const OSSL_PARAM params[])
{
    if (s->digest != NULL && OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST) != NULL)
        return prov_raise(s->context, PROV_REASON_PARAMETER, "the digest was chosen when verifying began");
    return EVP_PKEY_CTX_set_params(s->software, params) == 1;
}

int prov_signature_set_params(void *signature, const OSSL_PARAM params[])
{
    struct prov_signature *s = signature;

    if (params == NULL)
        return 1;
    if (s->software != NULL)
        return set_software_params(s, params);
    for (size_t i = 0; i < TABLE; i++) {
        const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, table[i].key);

        if (p != NULL && table[i].set != NULL && (s->rsa || !table[i].rsa_only) && !table[i].set(s, p))
            return 0;
    }
    return 1;
}

#define TEXT(key) OSSL_PARAM_utf8_string(key, NULL, 0)
#define RSA_TEXTS                                                                                            \
    TEXT(OSSL_SIGNATURE_PARAM_PAD_MODE), TEXT(OSSL_SIGNATURE_PARAM_PSS_SALTLEN),                             \
        TEXT(OSSL_SIGNATURE_PARAM_MGF1_DIGEST)

const OSSL_PARAM *prov_rsa_gettable(void *signature, void *context)
{
    static const OSSL_PARAM list[] = {OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
                                      TEXT(OSSL_SIGNATURE_PARAM_DIGEST), RSA_TEXTS, OSSL_PARAM_END};

    (void)signature, (void)context;
    return list;
}

const OSSL_PARAM *prov_rsa_settable(void *signature, void *context)
{
    static const OSSL_PARAM list[] = {TEXT(OSSL_SIGNATURE_PARAM_DIGEST), RSA_TEXTS, OSSL_PARAM_END};

    (void)signature, (void)context;
    return list;
}

const OSSL_PARAM *prov_ecdsa_gettable(void *signature, void *context)
{
    static const OSSL_PARAM list[] = {OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
                                      TEXT(OSSL_SIGNATURE_PARAM_DIGEST), OSSL_PARAM_END};

    (void)signature, (void)context;
    return list;
}

const OSSL_PARAM *prov_ecdsa_settable(void *signature, void *context)
{
    static const OSSL_PARAM list[] = {TEXT(OSSL_SIGNATURE_PARAM_DIGEST), OSSL_PARAM_END};

    (void)signature, (void)context;
    return list;
}
