/* Decoders (provider-decoder(7)): PEM of a TPM key file to its DER, and that DER to a key object. No TPM is
 * asked: whether the key is really there shows at the first signature. */
#include "provision/provider/key.h"

#include <stdint.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>

#include "provision/tpm/keyfile.h"
#include "src/base/error.h"

static const char *const labels[] = {TPM_PEM_REFERENCE, TPM_PEM_BLOB};
#define LABELS (sizeof(labels) / sizeof(labels[0]))

/* A decoder keeps nothing from one call to the next: its context is the provider's. */
static void *new_context(void *context)
{
    return context;
}

static void free_context(void *context)
{
    (void)context;
}

static int does_selection(void *context, int selection)
{
    (void)context;
    return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

static const char *known_label(const char *name)
{
    for (size_t i = 0; i < LABELS; i++)
        if (strcmp(name, labels[i]) == 0)
            return labels[i];
    return NULL;
}

/* A key file that cannot be right ends the decoding with an error; anything else is for other decoders. */
static int hand_on_der(const struct prov_context *context, const char *label, unsigned char *der, size_t len,
                       OSSL_CALLBACK *callback, void *argument)
{
    int type = OSSL_OBJECT_PKEY;
    char structure[] = PROV_STRUCTURE;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, structure, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, der, len),
        OSSL_PARAM_construct_end(),
    };
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;

    if (tpm_keyfile_parse_der(label, der, len, &key) < 0)
        return prov_raise(context, PROV_REASON_KEY_FILE, "%s", pc_error_text());
    return callback(params, argument);
}

static int decode_pem(void *context, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *callback,
                      void *argument, OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    const struct prov_context *c = context;
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    const char *label;
    long len = 0;
    BIO *bio = BIO_new_from_core_bio(c->child, in);
    int result = 1;

    (void)selection, (void)passphrase, (void)passphrase_argument;
    if (bio == NULL)
        return 0;
    ERR_set_mark();
    if (PEM_read_bio(bio, &name, &header, &der, &len) == 1 && (label = known_label(name)) != NULL && len > 0)
        result = hand_on_der(c, label, der, (size_t)len, callback, argument);
    if (result == 1)
        ERR_pop_to_mark();
    else
        ERR_clear_last_mark();
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    BIO_free(bio);
    return result;
}

/* Reads one DER SEQUENCE of at most TPM_KEYFILE_MAX bytes; 0 when what comes is something else. */
static size_t read_der(BIO *bio, unsigned char der[TPM_KEYFILE_MAX])
{
    const unsigned char *p = der;
    long content;
    int tag, class, got = BIO_read(bio, der, 6);
    size_t total;

    if (got < 2 || der[0] != (V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED))
        return 0;
    /* Given as much as could follow, this reads only the header. */
    if (ASN1_get_object(&p, &content, &tag, &class, TPM_KEYFILE_MAX) != V_ASN1_CONSTRUCTED)
        return 0;
    total = (size_t)(p - der) + (size_t)content;
    if (total < (size_t)got || total > TPM_KEYFILE_MAX)
        return 0;
    while ((size_t)got < total) {
        int more = BIO_read(bio, der + got, (int)(total - (size_t)got));

        if (more <= 0)
            return 0;
        got += more;
    }
    return total;
}

static struct tpm_key *parse_any(const unsigned char *der, size_t len)
{
    struct tpm_key *key = NULL;

    for (size_t i = 0; i < LABELS; i++)
        if (tpm_keyfile_parse_der(labels[i], der, len, &key) == 0)
            return key;
    return NULL;
}

static int hand_on_key(struct prov_key **key, OSSL_CALLBACK *callback, void *argument)
{
    int type = OSSL_OBJECT_PKEY;
    char rsa[] = "RSA", ec[] = "EC";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (*key)->rsa ? rsa : ec, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, key, sizeof(*key)),
        OSSL_PARAM_construct_end(),
    };

    return callback(params, argument);
}

static int decode_der(const struct prov_context *context, OSSL_CORE_BIO *in, bool rsa,
                      OSSL_CALLBACK *callback, void *argument)
{
    unsigned char der[TPM_KEYFILE_MAX] = {0};
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *tpm = NULL;
    PC_CLEANUP(prov_key_free_ref) struct prov_key *key = NULL;
    BIO *bio = BIO_new_from_core_bio(context->child, in);
    size_t len;

    if (bio == NULL)
        return 0;
    ERR_set_mark();
    len = read_der(bio, der);
    BIO_free(bio);
    if (len > 0)
        tpm = parse_any(der, len);
    ERR_pop_to_mark();
    if (tpm == NULL) /* not a key of ours: another decoder's */
        return 1;
    if (prov_key_new(tpm, &key) < 0)
        return prov_raise(context, PROV_REASON_KEY_FILE, "%s", pc_error_text());
    (void)pc_steal(tpm);
    return key->rsa == rsa ? hand_on_key(&key, callback, argument) : 1;
}

static int decode_rsa(void *context, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *callback,
                      void *argument, OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    (void)selection, (void)passphrase, (void)passphrase_argument;
    return decode_der(context, in, true, callback, argument);
}

static int decode_ec(void *context, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *callback, void *argument,
                     OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    (void)selection, (void)passphrase, (void)passphrase_argument;
    return decode_der(context, in, false, callback, argument);
}

/* For a core that would rather hold the key in another provider. It asked for the private half, and the
 * public one alone would be taken for that. (OpenSSL 3.0 calls this without asking whether it is there.) */
static int export_object(void *context, const void *reference, size_t size, OSSL_CALLBACK *callback,
                         void *argument)
{
    (void)context, (void)reference, (void)size, (void)callback, (void)argument;
    return 0;
}

#define DECODER(name, function)                                                                              \
    const OSSL_DISPATCH name[] = {                                                                           \
        {OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))new_context},                                             \
        {OSSL_FUNC_DECODER_FREECTX, (void (*)(void))free_context},                                           \
        {OSSL_FUNC_DECODER_DOES_SELECTION, (void (*)(void))does_selection},                                  \
        {OSSL_FUNC_DECODER_DECODE, (void (*)(void))(function)},                                              \
        {OSSL_FUNC_DECODER_EXPORT_OBJECT, (void (*)(void))export_object},                                    \
        {0, NULL},                                                                                           \
    }

DECODER(prov_decoder_pem, decode_pem);
DECODER(prov_decoder_rsa, decode_rsa);
DECODER(prov_decoder_ec, decode_ec);
