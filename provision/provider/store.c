/* The store (provider-storemgmt(7)) for the URI scheme "plantcert": plantcert:/etc/voke/device.tpm or
 * plantcert:///etc/voke/device.tpm. One object, the key; its DER goes through our own decoders. */
#include "provision/provider/core.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/store.h>

#include "provision/tpm/keyfile.h"
#include "src/base/error.h"
#include "src/base/file.h"

struct store {
    const struct prov_context *context;
    struct pc_bytes pem;
    bool done;
};

static int store_close(void *store)
{
    struct store *s = store;

    pc_bytes_clear(&s->pem);
    free(s);
    return 1;
}

static void *store_open(void *context, const char *uri)
{
    static const char scheme[] = PROV_NAME ":";
    struct store *store;
    const char *path;

    if (strncasecmp(uri, scheme, sizeof(scheme) - 1) != 0)
        return NULL;
    path = uri + sizeof(scheme) - 1;
    if (strncmp(path, "///", 3) == 0)
        path += 2;
    if (path[0] != '/' || path[1] == '/') {
        prov_raise(context, PROV_REASON_KEY_FILE, "%s: not an absolute path after '%s'", uri, scheme);
        return NULL;
    }
    store = calloc(1, sizeof(*store));
    if (store == NULL)
        return NULL;
    store->context = context;
    if (pc_file_read(path, TPM_KEYFILE_MAX, &store->pem) < 0) {
        prov_raise(context, PROV_REASON_KEY_FILE, "%s", pc_error_text());
        free(store);
        return NULL;
    }
    return store;
}

static const OSSL_PARAM *settable_params(void *context)
{
    static const OSSL_PARAM list[] = {
        OSSL_PARAM_utf8_string(OSSL_STORE_PARAM_PROPERTIES, NULL, 0),
        OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL),
        OSSL_PARAM_END,
    };

    (void)context;
    return list;
}

static int set_params(void *store, const OSSL_PARAM params[])
{
    struct store *s = store;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT);
    int expected = 0;

    if (p != NULL && !OSSL_PARAM_get_int(p, &expected))
        return 0;
    /* Someone who looks for certificates finds an empty store. */
    if (expected != 0 && expected != OSSL_STORE_INFO_PKEY)
        s->done = true;
    return 1;
}

static int hand_on(unsigned char *der, size_t len, OSSL_CALLBACK *callback, void *argument)
{
    int type = OSSL_OBJECT_PKEY;
    char structure[] = PROV_STRUCTURE;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, structure, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, der, len),
        OSSL_PARAM_construct_end(),
    };

    return callback(params, argument);
}

static int load(void *store, OSSL_CALLBACK *callback, void *argument, OSSL_PASSPHRASE_CALLBACK *passphrase,
                void *passphrase_argument)
{
    struct store *s = store;
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    BIO *bio;
    int result = 0;

    (void)passphrase, (void)passphrase_argument;
    s->done = true;
    if (tpm_keyfile_parse(s->pem.data, s->pem.len, &key) < 0)
        return prov_raise(s->context, PROV_REASON_KEY_FILE, "%s", pc_error_text());
    bio = BIO_new_mem_buf(s->pem.data, (int)s->pem.len);
    if (bio != NULL && PEM_read_bio(bio, &name, &header, &der, &len) == 1 && len > 0)
        result = hand_on(der, (size_t)len, callback, argument);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    BIO_free(bio);
    return result;
}

static int at_end(void *store)
{
    const struct store *s = store;

    return s->done;
}

const OSSL_DISPATCH prov_store[] = {
    {OSSL_FUNC_STORE_OPEN, (void (*)(void))store_open},
    {OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS, (void (*)(void))settable_params},
    {OSSL_FUNC_STORE_SET_CTX_PARAMS, (void (*)(void))set_params},
    {OSSL_FUNC_STORE_LOAD, (void (*)(void))load},
    {OSSL_FUNC_STORE_EOF, (void (*)(void))at_end},
    {OSSL_FUNC_STORE_CLOSE, (void (*)(void))store_close},
    {0, NULL},
};
