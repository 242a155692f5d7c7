/* Key management (provider-keymgmt(7)): keys come in by reference from our decoders and from nowhere else;
 * only the public half goes out. Nothing is generated or imported here. */
#include "provision/provider/key.h"

#include <stdint.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

/* An empty key, only because the core makes one to learn that nothing can be imported into it; without this
 * function it leaves an error on the queue each time a certificate is compared with our key. */
static void *new_key(void *context)
{
    struct prov_key *key = calloc(1, sizeof(*key));

    (void)context;
    if (key != NULL)
        atomic_init(&key->references, 1);
    return key;
}

static void *load(const void *reference, size_t size)
{
    struct prov_key **slot = (struct prov_key **)(uintptr_t)reference;

    if (slot == NULL || size != sizeof(*slot))
        return NULL;
    /* Taken: the decoder, whose variable this is, must not free it. */
    return pc_steal(*slot);
}

static void key_free(void *key)
{
    prov_key_free(key);
}

static int has(const void *key, int selection)
{
    const struct prov_key *k = key;

    /* Both halves and the parameters, or nothing: the private one in the TPM. */
    (void)selection;
    return k != NULL && k->public != NULL;
}

static int match(const void *a, const void *b, int selection)
{
    const struct prov_key *one = a, *other = b;

    (void)selection;
    return one->public != NULL && other->public != NULL && EVP_PKEY_eq(one->public, other->public) == 1;
}

static int validate(const void *key, int selection, int check_type)
{
    /* The key file's reader has checked the public area; the private part is the TPM's. */
    (void)check_type;
    return has(key, selection);
}

static int get_params(void *key, OSSL_PARAM params[])
{
    const struct prov_key *k = key;

    return k->public != NULL && EVP_PKEY_get_params(k->public, params);
}

static int export(void *key, int selection, OSSL_CALLBACK *callback, void *argument)
{
    return prov_key_export(key, selection, callback, argument);
}

static const char *ec_operation_name(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

#define COMMON_PARAMS                                                                                        \
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL), OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),         \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),                                                      \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0)
#define RSA_PARAMS                                                                                           \
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0), OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0)
#define EC_PARAMS                                                                                            \
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),                                             \
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0)

static const OSSL_PARAM *rsa_gettable(void *context)
{
    static const OSSL_PARAM list[] = {COMMON_PARAMS, RSA_PARAMS, OSSL_PARAM_END};

    (void)context;
    return list;
}

static const OSSL_PARAM *ec_gettable(void *context)
{
    static const OSSL_PARAM list[] = {
        COMMON_PARAMS,
        EC_PARAMS,
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_X, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_Y, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)context;
    return list;
}

static const OSSL_PARAM *rsa_export_types(int selection)
{
    static const OSSL_PARAM list[] = {RSA_PARAMS, OSSL_PARAM_END};

    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ? NULL : list;
}

static const OSSL_PARAM *ec_export_types(int selection)
{
    static const OSSL_PARAM list[] = {EC_PARAMS, OSSL_PARAM_END};

    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ? NULL : list;
}

#define COMMON_FUNCTIONS                                                                                     \
    {OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))new_key}, {OSSL_FUNC_KEYMGMT_LOAD, (void (*)(void))load},        \
        {OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))key_free}, {OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))has},    \
        {OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void))match},                                                    \
        {OSSL_FUNC_KEYMGMT_VALIDATE, (void (*)(void))validate},                                              \
        {OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))get_params},                                          \
    {                                                                                                        \
        OSSL_FUNC_KEYMGMT_EXPORT, (void (*)(void)) export                                                    \
    }

const OSSL_DISPATCH prov_keymgmt_rsa[] = {
    COMMON_FUNCTIONS,
    {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))rsa_gettable},
    {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))rsa_export_types},
    {0, NULL},
};

const OSSL_DISPATCH prov_keymgmt_ec[] = {
    COMMON_FUNCTIONS,
    {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))ec_gettable},
    {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))ec_export_types},
    {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))ec_operation_name},
    {0, NULL},
};
