/* Makes one TPM key for the provider's tests and writes its key file: makekey TCTI rsa:2048|ec:P-256
 * HANDLE|blob FILE. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provision/tpm/keyfile.h"
#include "src/base/error.h"
#include "src/base/file.h"

static int make(const char *tcti, const char *kind, const char *where, const char *path)
{
    const struct tpm_place place = {.tcti = tcti, .allow_simulator = true};
    PC_CLEANUP(tpm_close_ref) struct tpm *tpm = NULL;
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    pc_autobytes pem = {NULL, 0};
    enum pki_key_type type;
    int r = pki_key_type_parse(kind, &type);

    if (r == 0)
        r = tpm_open(&place, &tpm);
    if (r == 0)
        r = tpm_key_create(tpm, type, &key);
    if (r == 0 && strcmp(where, "blob") != 0)
        r = tpm_key_persist(tpm, key, (uint32_t)strtoul(where, NULL, 16));
    if (r == 0)
        r = tpm_keyfile_format(key, &pem);
    if (r == 0)
        r = pc_file_write(path, pem.data, pem.len, NULL);
    return r;
}

int main(int argc, char **argv)
{
    int r;

    if (argc != 5)
        return 2;
    r = make(argv[1], argv[2], argv[3], argv[4]);
    if (r < 0)
        fprintf(stderr, "makekey: %s\n", pc_error_text());
    return -r;
}
