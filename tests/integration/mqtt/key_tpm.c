/* A key in the TPM that PLANTCERT_TCTI names, as the programs open theirs: in a library context of its own.
 */
#include <stdlib.h>

#include "provision/provider/provider.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "tests/integration/mqtt/driver.h"

int driver_key_load(const char *path, struct driver_key *ret)
{
    const struct tpm_place place = {.tcti = getenv("PLANTCERT_TCTI"), .allow_simulator = true};
    pc_autobytes pem = {0};
    int r = pc_file_read(path, 65536, &pem);
    if (r == 0)
        r = prov_open(&place, &ret->session);
    if (r == 0)
        r = prov_key_load(ret->session, pem.data, pem.len, &ret->key);
    if (r == 0)
        ret->libctx = prov_libctx(ret->session);
    return r;
}

void driver_key_clear(struct driver_key *key)
{
    EVP_PKEY_free(key->key);
    prov_close(key->session);
}
