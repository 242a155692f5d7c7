/* The life of a key object, and what of it may leave the provider. */
#include "provision/provider/key.h"

#include <stdlib.h>

#include "src/base/error.h"

int prov_key_new(struct tpm_key *tpm, struct prov_key **ret)
{
    struct prov_key *key = calloc(1, sizeof(*key));
    int r;

    if (key == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    r = tpm_key_public(tpm, &key->public);
    if (r < 0) {
        free(key);
        return r;
    }
    atomic_init(&key->references, 1);
    key->rsa = EVP_PKEY_is_a(key->public, "RSA");
    key->tpm = tpm;
    *ret = key;
    return 0;
}

struct prov_key *prov_key_share(struct prov_key *key)
{
    atomic_fetch_add_explicit(&key->references, 1, memory_order_relaxed);
    return key;
}

void prov_key_free(struct prov_key *key)
{
    if (key == NULL || atomic_fetch_sub_explicit(&key->references, 1, memory_order_acq_rel) != 1)
        return;
    EVP_PKEY_free(key->public);
    tpm_key_free(key->tpm);
    free(key);
}

int prov_key_export(const struct prov_key *key, int selection, OSSL_CALLBACK *callback, void *argument)
{
    /* Signing begins with an attempt to export the whole key to the preferred provider and comes back here
     * only when that fails: a public key given out in its place would be taken for the whole. */
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 || key->public == NULL)
        return 0;
    return EVP_PKEY_export(key->public, selection, callback, argument);
}
