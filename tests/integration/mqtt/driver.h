/* Where the driver's key comes from: key_file.c reads a software key, key_tpm.c opens one in the TPM that
 * PLANTCERT_TCTI names. */
#ifndef TESTS_MQTT_DRIVER_H
#define TESTS_MQTT_DRIVER_H

#include <openssl/evp.h>

struct prov_session;

struct driver_key {
    EVP_PKEY *key;
    OSSL_LIB_CTX *libctx; /* NULL: the default one */
    struct prov_session *session;
};
int driver_key_load(const char *path, struct driver_key *ret);
void driver_key_clear(struct driver_key *key);

#endif
