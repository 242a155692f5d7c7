/* The provider itself: its context, its settings, and what it offers to the core (provider-base(7)). Loading
 * it opens no TPM. The operations live in keymgmt.c, signature.c, decoder.c and store.c. */
#include "provision/provider/core.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "config.h"
#include "src/base/error.h"

static const OSSL_ALGORITHM keymgmts[] = {
    {PROV_NAMES_RSA, PROV_PROPERTIES, prov_keymgmt_rsa, "RSA key in a TPM"},
    {PROV_NAMES_EC, PROV_PROPERTIES, prov_keymgmt_ec, "EC key in a TPM"},
    {NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM signatures[] = {
    {PROV_NAMES_RSA, PROV_PROPERTIES, prov_signature_rsa, "RSA signature by a TPM"},
    {"ECDSA", PROV_PROPERTIES, prov_signature_ecdsa, "ECDSA signature by a TPM"},
    {NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM decoders[] = {
    {"DER", PROV_PROPERTIES ",input=pem", prov_decoder_pem, "PEM of a TPM key file"},
    {PROV_NAMES_RSA, PROV_PROPERTIES ",input=der,structure=" PROV_STRUCTURE, prov_decoder_rsa,
     "RSA key in a TPM"},
    {PROV_NAMES_EC, PROV_PROPERTIES ",input=der,structure=" PROV_STRUCTURE, prov_decoder_ec,
     "EC key in a TPM"},
    {NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM stores[] = {
    {PROV_NAME, PROV_PROPERTIES, prov_store, "TPM key file by URI"},
    {NULL, NULL, NULL, NULL},
};

/* A fetch without a property query gets the implementation that was registered first. Listed before the
 * default provider, ours would be given to everyone who asks for "EC" or "RSA": for the ephemeral keys of a
 * handshake, for a peer's public key. So our key management and signatures enter the application's method
 * store only after those of all other providers: asked for them, we first let the core ask everyone else,
 * then once more for ours, and answer the original question with nothing: what was asked for is in the store
 * by then. (Contexts derived from the application's, where no TPM key can come up, see none of ours.) */
enum turn { TURN_NONE, TURN_OTHERS, TURN_OURS };
static _Thread_local struct {
    const struct prov_context *context;
    int operation;
    enum turn turn;
} listing;

static void ignore_keymgmt(EVP_KEYMGMT *keymgmt, void *argument)
{
    (void)keymgmt, (void)argument;
}

static void ignore_signature(EVP_SIGNATURE *signature, void *argument)
{
    (void)signature, (void)argument;
}

static void list_all(const struct prov_context *context, int operation)
{
    if (operation == OSSL_OP_KEYMGMT)
        EVP_KEYMGMT_do_all_provided(context->application, ignore_keymgmt, NULL);
    else
        EVP_SIGNATURE_do_all_provided(context->application, ignore_signature, NULL);
}

/* OpenSSL keeps answers, and takes one that was given to somebody who asked for our provider for that to
 * everyone who asks for any (query_cmp in its property.c), unless it has met another before. A key that signs
 * outside of its context asks for our provider only. So everyone's answer is found before ours can be kept:
 * ours is asked for each time that OpenSSL has not kept it. */
static void keep_others(const struct prov_context *context, int operation)
{
    static const char *const keys[] = {"RSA", "EC"}, *const algorithms[] = {"RSA", "ECDSA"};

    ERR_set_mark();
    for (size_t i = 0; i < 2; i++) {
        if (operation == OSSL_OP_KEYMGMT)
            EVP_KEYMGMT_free(EVP_KEYMGMT_fetch(context->application, keys[i], NULL));
        else
            EVP_SIGNATURE_free(EVP_SIGNATURE_fetch(context->application, algorithms[i], NULL));
    }
    ERR_pop_to_mark();
}

static const OSSL_ALGORITHM *list_last(const struct prov_context *context, int operation,
                                       const OSSL_ALGORITHM *ours, int *no_store)
{
    const __typeof__(listing) outer = listing;

    *no_store = 0;
    if (context->application == NULL)
        return ours;
    if (outer.context == context && outer.operation == operation && outer.turn == TURN_OURS)
        return ours;
    *no_store = 1;
    if (outer.context == context && outer.operation == operation)
        return NULL;

    listing = (__typeof__(listing)){.context = context, .operation = operation, .turn = TURN_OTHERS};
    list_all(context, operation);
    listing.turn = TURN_OURS;
    list_all(context, operation);
    keep_others(context, operation);
    listing = outer;
    return NULL;
}

static const OSSL_ALGORITHM *query(void *context, int operation, int *no_store)
{
    *no_store = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return list_last(context, operation, keymgmts, no_store);
    case OSSL_OP_SIGNATURE:
        return list_last(context, operation, signatures, no_store);
    case OSSL_OP_DECODER:
        return decoders;
    case OSSL_OP_STORE:
        return stores;
    default:
        return NULL;
    }
}

static const OSSL_PARAM *gettable_params(void *context)
{
    static const OSSL_PARAM list[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, NULL, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, NULL, 0),
        OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
        OSSL_PARAM_END,
    };
    (void)context;
    return list;
}

static int get_params(void *context, OSSL_PARAM params[])
{
    static const struct {
        const char *key, *value;
    } texts[] = {
        {OSSL_PROV_PARAM_NAME, "plantcert TPM keys"},
        {OSSL_PROV_PARAM_VERSION, PLANTCERT_VERSION},
        {OSSL_PROV_PARAM_BUILDINFO, PLANTCERT_VERSION},
    };
    OSSL_PARAM *p;

    (void)context;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        p = OSSL_PARAM_locate(params, texts[i].key);
        if (p != NULL && !OSSL_PARAM_set_utf8_ptr(p, texts[i].value))
            return 0;
    }
    p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
    return p == NULL || OSSL_PARAM_set_int(p, 1);
}

static const OSSL_ITEM *get_reason_strings(void *context)
{
    (void)context;
    return prov_reason_strings;
}

static void teardown(void *context)
{
    struct prov_context *c = context;

    if (c == NULL)
        return;
    OSSL_LIB_CTX_free(c->child);
    pc_secret_free(c->srk_auth);
    free(c->srk_auth_file);
    free(c->tcti);
    free(c);
}

static const OSSL_DISPATCH functions[] = {
    {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))teardown},
    {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))gettable_params},
    {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))get_params},
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
    {OSSL_FUNC_PROVIDER_GET_REASON_STRINGS, (void (*)(void))get_reason_strings},
    {0, NULL},
};

/* The stanza of openssl.cnf, then the environment over it (never that of a set-user-ID program). */
static int read_settings(struct prov_context *context, OSSL_FUNC_core_get_params_fn *core_get_params)
{
    char *tcti = NULL, *allow = NULL, *srk_auth_file = NULL;
    const char *text;
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr("tcti", &tcti, 0),
        OSSL_PARAM_utf8_ptr("allow-simulator", &allow, 0),
        OSSL_PARAM_utf8_ptr("srk-auth-file", &srk_auth_file, 0),
        OSSL_PARAM_END,
    };

    if (core_get_params != NULL && !core_get_params(context->core, params))
        return 0;
    text = secure_getenv("PLANTCERT_TCTI");
    if (text == NULL || *text == '\0')
        text = tcti != NULL && *tcti != '\0' ? tcti : PROV_TCTI_DEFAULT;
    context->tcti = strdup(text);
    text = secure_getenv("PLANTCERT_ALLOW_SIMULATOR");
    if (text == NULL || *text == '\0')
        text = allow != NULL ? allow : "no";
    context->allow_simulator = strcmp(text, "yes") == 0;
    context->silent = secure_getenv("TSS2_LOG") == NULL;
    if (srk_auth_file != NULL && *srk_auth_file != '\0' &&
        (context->srk_auth_file = strdup(srk_auth_file)) == NULL)
        return 0;
    return context->tcti != NULL;
}

struct tpm_place prov_place(const struct prov_context *context)
{
    return (struct tpm_place){.tcti = context->tcti,
                              .srk_auth = context->srk_auth,
                              .allow_simulator = context->allow_simulator,
                              .timeout_ms = context->timeout_ms,
                              .thorough = context->thorough};
}

int prov_place_set(struct prov_context *context, const struct tpm_place *place)
{
    pc_autofree char *tcti = strdup(place->tcti != NULL ? place->tcti : "");
    pc_autosecret *srk_auth = NULL;

    if (tcti == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    if (place->srk_auth != NULL) {
        int r = pc_secret_new(place->srk_auth->len, &srk_auth);

        if (r < 0)
            return r;
        memcpy(srk_auth->data, place->srk_auth->data, srk_auth->len);
    }
    free(context->tcti);
    context->tcti = pc_steal(tcti);
    pc_secret_free(context->srk_auth);
    context->srk_auth = pc_steal(srk_auth);
    context->allow_simulator = place->allow_simulator;
    context->timeout_ms = place->timeout_ms;
    context->thorough = place->thorough;
    return 0;
}

int prov_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
              void **provider_context)
{
    OSSL_FUNC_core_get_params_fn *core_get_params = NULL;
    OSSL_FUNC_core_get_libctx_fn *get_libctx = NULL;
    bool same_libcrypto = false;
    struct prov_context *context = calloc(1, sizeof(*context));

    if (context == NULL)
        return 0;
    context->core = core;
    for (const OSSL_DISPATCH *d = in; d->function_id != 0; d++) {
        switch (d->function_id) {
        case OSSL_FUNC_CORE_GET_PARAMS:
            core_get_params = OSSL_FUNC_core_get_params(d);
            break;
        case OSSL_FUNC_CORE_GET_LIBCTX:
            get_libctx = OSSL_FUNC_core_get_libctx(d);
            break;
        case OSSL_FUNC_CORE_NEW_ERROR:
            context->new_error = OSSL_FUNC_core_new_error(d);
            break;
        case OSSL_FUNC_CORE_SET_ERROR_DEBUG:
            context->set_error_debug = OSSL_FUNC_core_set_error_debug(d);
            break;
        case OSSL_FUNC_CORE_VSET_ERROR:
            context->vset_error = OSSL_FUNC_core_vset_error(d);
            break;
        case OSSL_FUNC_CRYPTO_MALLOC:
            same_libcrypto = OSSL_FUNC_CRYPTO_malloc(d) == CRYPTO_malloc;
            break;
        default:
            break;
        }
    }
    /* provider-base(7): the core's library context is an OSSL_LIB_CTX of ours only where both use the same
     * libcrypto. */
    if (same_libcrypto && get_libctx != NULL)
        context->application = (OSSL_LIB_CTX *)get_libctx(core);

    context->child = OSSL_LIB_CTX_new_child(core, in);
    if (context->child == NULL || !read_settings(context, core_get_params)) {
        teardown(context);
        return 0;
    }
    *out = functions;
    *provider_context = context;
    return 1;
}
