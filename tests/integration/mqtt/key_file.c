/* A software key, from PEM. */
#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/pki/openssl.h"
#include "tests/integration/mqtt/driver.h"

int driver_key_load(const char *path, struct driver_key *ret)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *file = BIO_new_file(path, "r");
    ret->key = file ? PEM_read_bio_PrivateKey(file, NULL, NULL, NULL) : NULL;
    return ret->key ? 0 : pc_fail_openssl(PC_EFAIL, "%s", path);
}

void driver_key_clear(struct driver_key *key)
{
    EVP_PKEY_free(key->key);
}
