/* Writes one certificate request of the table to a file, for tests that feed a program:
 *   csr_maker --list                 each case that must be refused, with the name of its refusal
 *   csr_maker --list-good            each case that must be accepted
 *   csr_maker [--plant UUID] [--ca-cert FILE] NAME OUTFILE   (--ca-cert for the case issuer-key) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>

#include "tests/data/csr_cases.h"
#include "tests/data/keys.h"

static int list(bool good)
{
    const struct csr_case *one;

    for (size_t i = 0; (one = csr_case_at(i)); i++) {
        const char *refusal = csr_case_refusal(one);

        if (good && !refusal)
            puts(csr_case_name(one));
        if (!good && refusal)
            printf("%s %s\n", csr_case_name(one), refusal);
    }
    return 0;
}

static EVP_PKEY *key_of(const char *path)
{
    FILE *in = fopen(path, "re");
    X509 *certificate = in ? PEM_read_X509(in, NULL, NULL, NULL) : NULL;
    EVP_PKEY *key = certificate ? X509_get_pubkey(certificate) : NULL;

    if (in)
        fclose(in);
    X509_free(certificate);
    return key;
}

static int write_case(const struct csr_case *one, const struct csr_context *context, const char *path)
{
    struct pc_bytes request = csr_case_make(one, context);
    FILE *out = fopen(path, "we");
    bool written = out && fwrite(request.data, 1, request.len, out) == request.len;

    if (out && fclose(out) != 0)
        written = false;
    if (!written)
        perror(path);
    pc_bytes_clear(&request);
    data_keys_free();
    return written ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct csr_context context = {.plant = "a1b2c3d4-0000-4000-8000-000000000001"};
    const struct csr_case *one;
    EVP_PKEY *issuer = NULL;
    int at = 1, status;

    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list(false);
    if (argc == 2 && strcmp(argv[1], "--list-good") == 0)
        return list(true);
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--plant") == 0 && strlen(argv[at + 1]) == 36)
            context.plant = argv[at + 1];
        else if (strcmp(argv[at], "--ca-cert") == 0 && !issuer)
            context.issuer_key = issuer = key_of(argv[at + 1]);
        else
            break;
    }
    one = argc - at == 2 ? csr_case_find(argv[at]) : NULL;
    if (!one || (csr_case_needs_issuer(one) && !issuer)) {
        fputs("usage: csr_maker --list | --list-good | [--plant UUID] [--ca-cert FILE] NAME OUTFILE\n",
              stderr);
        EVP_PKEY_free(issuer);
        return 2;
    }
    status = write_case(one, &context, argv[at + 1]);
    EVP_PKEY_free(issuer);
    return status;
}
