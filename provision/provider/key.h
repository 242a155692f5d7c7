/* A TPM key as the core holds it: shared by reference, its public half also as a software key. Private to
 * this folder. */
#ifndef PROV_KEY_H
#define PROV_KEY_H

#include <stdatomic.h>
#include <stdbool.h>

#include "provision/provider/core.h"

/* Immutable once made: any thread may read it. An empty key (keymgmt.c says why there are some) has no
 * `public`. */
struct prov_key {
    atomic_uint references;
    struct tpm_key *tpm;
    EVP_PKEY *public; /* of a software provider */
    bool rsa;         /* else EC */
};

/* Takes over `tpm` when it succeeds. */
int prov_key_new(struct tpm_key *tpm, struct prov_key **ret);
struct prov_key *prov_key_share(struct prov_key *key);
void prov_key_free(struct prov_key *key);
PC_DEFINE_CLEANUP(struct prov_key, prov_key_free);

/* Exports the public half; refuses a selection that asks for the private one. 1 or 0. */
int prov_key_export(const struct prov_key *key, int selection, OSSL_CALLBACK *callback, void *argument);

#endif
