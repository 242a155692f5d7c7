/* The programs' own way to their TPM key: a library context with the default provider and this one, built in,
 * which needs no configuration file. */
#include "provision/provider/core.h"

#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "provision/tpm/keyfile.h"
#include "src/base/error.h"

struct prov_session {
    OSSL_LIB_CTX *libctx;
    OSSL_PROVIDER *software, *tpm;
    struct prov_fault fault;
};

static int load_providers(struct prov_session *session, const struct tpm_place *place)
{
    session->libctx = OSSL_LIB_CTX_new();
    if (session->libctx == NULL || !OSSL_PROVIDER_add_builtin(session->libctx, PROV_NAME, prov_init))
        return pc_fail_openssl(PC_EFAIL, "cannot make a library context");
    session->software = OSSL_PROVIDER_load(session->libctx, "default");
    if (session->software == NULL)
        return pc_fail_openssl(PC_EFAIL, "cannot load OpenSSL's default provider");
    session->tpm = OSSL_PROVIDER_load(session->libctx, PROV_NAME);
    if (session->tpm == NULL)
        return pc_fail_openssl(PC_EFAIL, "cannot load the TPM key provider");
    struct prov_context *context = OSSL_PROVIDER_get0_provider_ctx(session->tpm);
    context->fault = &session->fault;
    /* The program has weighed its options, environment and file by itself: its word counts. */
    return prov_place_set(context, place);
}

int prov_open(const struct tpm_place *place, struct prov_session **ret)
{
    PC_CLEANUP(prov_close_ref) struct prov_session *session = calloc(1, sizeof(*session));
    int r;

    if (session == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    r = load_providers(session, place);
    if (r < 0)
        return r;
    *ret = pc_steal(session);
    return 0;
}

void prov_close(struct prov_session *session)
{
    if (session == NULL)
        return;
    if (session->tpm != NULL)
        OSSL_PROVIDER_unload(session->tpm);
    if (session->software != NULL)
        OSSL_PROVIDER_unload(session->software);
    OSSL_LIB_CTX_free(session->libctx);
    free(session);
}

OSSL_LIB_CTX *prov_libctx(const struct prov_session *session)
{
    return session->libctx;
}

int prov_fault_take(struct prov_session *session)
{
    const struct prov_fault fault = session->fault;

    session->fault.code = 0;
    return fault.code ? pc_fail_named(fault.code, fault.name, "%s", fault.text) : 0;
}

int prov_key_load(struct prov_session *session, const void *pem, size_t len, EVP_PKEY **ret)
{
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *checked = NULL;
    const unsigned char *data = pem;
    OSSL_DECODER_CTX *decoder;
    EVP_PKEY *key = NULL;
    int r = tpm_keyfile_parse(pem, len,
                              &checked); /* for its precise refusals; and no other kind of key gets in */

    if (r < 0)
        return r;
    decoder = OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", NULL, NULL, EVP_PKEY_KEYPAIR, session->libctx, NULL);
    if (decoder == NULL || !OSSL_DECODER_from_data(decoder, &data, &len) || key == NULL)
        r = pc_fail_openssl(PC_EFAIL, "cannot load the TPM key");
    OSSL_DECODER_CTX_free(decoder);
    if (r < 0)
        EVP_PKEY_free(key);
    else
        *ret = key;
    return r;
}
