/* libp11: one context a token, made when the first key is wanted. It signs; it never logs in, so that it
 * never holds the PIN. */
#include "hsm/signer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libp11's header names two types that OpenSSL hides with its deprecated functions; none of them is called
 * here. */
typedef struct rsa_meth_st RSA_METHOD;
typedef struct ec_key_method_st EC_KEY_METHOD;
#include <libp11.h>

#include <openssl/err.h>

#include "hsm/result.h"
#include "src/base/error.h"

struct hsm_signer {
    PKCS11_CTX *context;
    PKCS11_SLOT *slots;
    unsigned int count;
    bool loaded;
};

void hsm_signer_free(struct hsm_signer *signer)
{
    if (!signer)
        return;
    if (signer->slots)
        PKCS11_release_all_slots(signer->context, signer->slots, signer->count);
    if (signer->loaded)
        PKCS11_CTX_unload(signer->context);
    if (signer->context)
        PKCS11_CTX_free(signer->context);
    free(signer);
}

/* libp11 0.4.12 waits for ever when its first session cannot be opened: so that one is tried here before. */
static int try_session(struct hsm_token *token)
{
    CK_SESSION_HANDLE session;
    CK_RV rv = token->module->C_OpenSession(token->slot, CKF_SERIAL_SESSION, NULL, NULL, &session);
    if (rv != CKR_OK)
        return hsm_fail(rv, "token '%s': no session left to sign with", token->info.label);
    (void)token->module->C_CloseSession(session);
    return 0;
}

int hsm_signer_fail(const char *format, ...)
{
    char text[1024], reason[256] = "no reason given by OpenSSL";
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    CK_RV rv = CKR_OK;
    unsigned long first = ERR_peek_error();
    if (first)
        ERR_error_string_n(first, reason, sizeof reason);
    for (unsigned long error; rv == CKR_OK && (error = ERR_get_error()) != 0;)
        if (ERR_GET_LIB(error) == ERR_get_CKR_code())
            rv = (CK_RV)ERR_GET_REASON(error);
    ERR_clear_error();
    if (rv != CKR_OK)
        return hsm_fail(rv, "%s", text);
    return pc_fail(PC_EUNREACH, "%s: %s", text, reason);
}

static int signer_load(struct hsm_token *token)
{
    struct hsm_signer *signer = calloc(1, sizeof *signer);
    if (!signer)
        return pc_fail(PC_EFAIL, "out of memory");
    signer->context = PKCS11_CTX_new();
    if (!signer->context || PKCS11_CTX_load(signer->context, token->path) != 0) {
        hsm_signer_free(signer);
        return hsm_signer_fail("libp11 does not load PKCS#11 module %s", token->path);
    }
    signer->loaded = true;
    token->signer = signer; /* from here on the module's end is libp11's to make */
    return 0;
}

static int signer_open(struct hsm_token *token)
{
    int r = token->signer ? 0 : signer_load(token);
    if (r < 0 || token->signer->slots)
        return r;
    r = try_session(token);
    if (r < 0)
        return r;
    struct hsm_signer *signer = token->signer;
    if (PKCS11_enumerate_slots(signer->context, &signer->slots, &signer->count) != 0) {
        signer->slots = NULL;
        signer->count = 0;
        return hsm_signer_fail("libp11 does not list the slots of %s", token->path);
    }
    return 0;
}

static PKCS11_TOKEN *token_in_slot(const struct hsm_signer *signer, CK_SLOT_ID slot)
{
    for (unsigned int i = 0; i < signer->count; i++)
        if (PKCS11_get_slotid_from_slot(&signer->slots[i]) == slot)
            return signer->slots[i].token;
    return NULL;
}

/* The caller has just counted exactly one. libp11 appends what is new and keeps what is gone: so the last one
 * is meant. */
static PKCS11_KEY *newest_with_id(PKCS11_KEY *keys, unsigned int count, const struct hsm_id *id)
{
    while (count-- > 0)
        if (keys[count].id_len == id->len && memcmp(keys[count].id, id->octets, id->len) == 0)
            return &keys[count];
    return NULL;
}

int hsm_signer_key(struct hsm_token *token, const struct hsm_id *id, EVP_PKEY **ret)
{
    int r = hsm_token_need_login(token);
    if (r < 0)
        return r;
    r = signer_open(token);
    if (r < 0)
        return r;
    PKCS11_TOKEN *place = token_in_slot(token->signer, token->slot);
    if (!place)
        return pc_fail(PC_EUNREACH, "token '%s': no longer in slot %lu", token->info.label, token->slot);
    PKCS11_KEY *keys = NULL;
    unsigned int count = 0;
    if (PKCS11_enumerate_keys(place, &keys, &count) != 0)
        return hsm_signer_fail("token '%s': libp11 does not list its private keys (it gives up at kinds that "
                               "it does not know, such as Ed25519)",
                               token->info.label);
    PKCS11_KEY *key = newest_with_id(keys, count, id);
    if (!key)
        return pc_refuse("key-missing", "token '%s': libp11 does not see the key with this id",
                         token->info.label);
    EVP_PKEY *signer = PKCS11_get_private_key(key);
    if (!signer)
        return hsm_signer_fail("token '%s': libp11 does not give the key", token->info.label);
    *ret = signer;
    return 0;
}
