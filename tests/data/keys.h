/* Keys for tests: sound ones, made once a process, and ones with a known weakness, whose private half works
 * all the same. */
#ifndef DATA_KEYS_H
#define DATA_KEYS_H

#include <openssl/evp.h>

enum data_key {
    DATA_RSA_2048,
    DATA_RSA_3072,
    DATA_RSA_4096,
    DATA_EC_P256,
    DATA_EC_P384,
    DATA_RSA_1024,
    DATA_RSA_2047,
    DATA_RSA_4484,
    DATA_RSA_8676,
    DATA_RSA_EXPONENT_3,
    DATA_RSA_EXPONENT_257, /* 257 */
    DATA_RSA_EXPONENT_LONG,
    DATA_RSA_ROCA,
    DATA_RSA_NEXT_PRIMES,
    DATA_RSA_CLOSE_PRIMES,
    DATA_RSA_SMALL_FACTOR,
    DATA_RSA_PSS,
    DATA_EC_EXPLICIT,
    DATA_EC_COMPRESSED,
    DATA_EC_P224,
    DATA_EC_P521,
    DATA_EC_SECP256K1,
    DATA_ED25519,
    DATA_KEYS,
};

/* Borrowed, made when first asked for; ends the program when it cannot be made. */
EVP_PKEY *data_key(enum data_key kind);
void data_keys_free(void);

#endif
