/* A signature in the TPM, made apart from the program that asked for it. Private to this folder. */
#ifndef PROV_APART_H
#define PROV_APART_H

#include "provision/provider/core.h"

/* What to sign, borrowed, and what became of it. */
struct prov_job {
    struct prov_context *context;
    const struct tpm_key *key;
    enum tpm_scheme scheme;
    const EVP_MD *md;
    const unsigned char *digest;
    size_t digest_len; /* octets */
    unsigned char signature[TPM_SIGNATURE_MAX];
    size_t len; /* octets */
    struct prov_fault fault;
};

/* Opens the TPM, signs, closes it, in a thread with descriptors of its own: no fork(2) of the program copies
 * the TPM's, nothing that tpm2-tss writes to stderr is seen (unless TSS2_LOG asks for it), and no signal
 * handler of the program runs in between. An auth value that the TPM has refused is not tried again with that
 * key, as long as nothing else is. 0, or what tpm_open and tpm_key_sign give, as the last error of
 * this thread and in `fault`. */
int prov_job_run(struct prov_job *job);

#endif
