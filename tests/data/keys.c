/* Sound and weak keys. The weak ones are built from primes of known shape, so that the requests made with
 * them are signed properly and have no fault but the one. */
#include "tests/data/keys.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

static void need(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "test key: %s\n", what);
    exit(1);
}

static EVP_PKEY *rsa_with_exponent(const char *algorithm, int bits, BN_ULONG exponent)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
    BIGNUM *e = BN_new();
    EVP_PKEY *key = NULL;

    need(BN_set_word(e, exponent) == 1 && EVP_PKEY_keygen_init(context) == 1 &&
             EVP_PKEY_CTX_set_rsa_keygen_bits(context, bits) == 1 &&
             EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, e) == 1 && EVP_PKEY_generate(context, &key) == 1,
         "RSA generation");
    BN_free(e);
    EVP_PKEY_CTX_free(context);
    return key;
}

static BIGNUM *prime(int bits)
{
    BIGNUM *p = BN_new();

    need(BN_generate_prime_ex(p, bits, 0, NULL, NULL, NULL) == 1, "prime");
    return p;
}

/* 2^exponent - 1 */
static BIGNUM *mersenne(int exponent)
{
    BIGNUM *p = BN_new();

    need(BN_set_bit(p, exponent) == 1 && BN_sub_word(p, 1) == 1, "Mersenne prime");
    return p;
}

/* The first prime above `p`, which is replaced by it. */
static void next_prime(BIGNUM *p, BN_CTX *numbers)
{
    BN_add_word(p, BN_is_odd(p) ? 2 : 1);
    while (BN_check_prime(p, numbers, NULL) != 1)
        BN_add_word(p, 2);
}

/* A private key out of n, e and d; takes all over. */
static EVP_PKEY *rsa_from(BIGNUM *n, BIGNUM *e, BIGNUM *d)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM *parameters;
    EVP_PKEY *key = NULL;

    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_D, d);
    parameters = OSSL_PARAM_BLD_to_param(builder);
    need(EVP_PKEY_fromdata_init(context) == 1 &&
             EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, parameters) == 1,
         "RSA key from its numbers");
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    BN_free(n);
    BN_free(e);
    BN_free(d);
    return key;
}

/* From two or three primes (r may be NULL) and an exponent; takes all over. */
static EVP_PKEY *rsa_of_primes(BIGNUM *p, BIGNUM *q, BIGNUM *r, BIGNUM *e)
{
    BN_CTX *numbers = BN_CTX_new();
    BIGNUM *n = BN_new(), *phi = BN_new(), *d;

    BN_mul(n, p, q, numbers);
    BN_sub_word(p, 1);
    BN_sub_word(q, 1);
    BN_mul(phi, p, q, numbers);
    if (r) {
        BN_mul(n, n, r, numbers);
        BN_sub_word(r, 1);
        BN_mul(phi, phi, r, numbers);
    }
    d = BN_mod_inverse(NULL, e, phi, numbers);
    need(d != NULL, "the exponent has no inverse");
    BN_free(p);
    BN_free(q);
    BN_free(r);
    BN_free(phi);
    BN_CTX_free(numbers);
    return rsa_from(n, e, d);
}

static BIGNUM *word(BN_ULONG value)
{
    BIGNUM *number = BN_new();

    need(BN_set_word(number, value) == 1, "out of memory");
    return number;
}

/* k*M + (65537^a mod M), M the product of the first 126 primes, as Infineon's library made its 1024-bit
 * primes. */
static BIGNUM *roca_prime(BN_CTX *numbers)
{
    BIGNUM *m = word(1), *p = BN_new(), *k = BN_new(), *a = BN_new(), *residue = BN_new(),
           *generator = word(65537);
    BN_ULONG candidate = 2;

    for (int found = 0; found < 126; candidate++) {
        bool composite = false;

        for (BN_ULONG i = 2; i * i <= candidate; i++)
            composite = composite || candidate % i == 0;
        if (composite)
            continue;
        BN_mul_word(m, candidate);
        found++;
    }
    BN_rand(a, 250, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY);
    need(BN_mod_exp(residue, generator, a, m, numbers) == 1, "power");
    do {
        BN_rand(k, 1024 - BN_num_bits(m) + 1, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
        BN_mul(p, k, m, numbers);
        BN_add(p, p, residue);
    } while (BN_num_bits(p) != 1024 || BN_check_prime(p, numbers, NULL) != 1);
    BN_free(residue);
    BN_free(m);
    BN_free(k);
    BN_free(a);
    BN_free(generator);
    return p;
}

static EVP_PKEY *rsa_roca(void)
{
    BN_CTX *numbers = BN_CTX_new();
    EVP_PKEY *key;

    do {
        key = rsa_of_primes(roca_prime(numbers), roca_prime(numbers), NULL, word(65537));
        if (EVP_PKEY_get_bits(key) == 2048)
            break;
        EVP_PKEY_free(key);
    } while (true);
    BN_CTX_free(numbers);
    return key;
}

/* Two primes of 1024 bits, `distance_bits` apart (0: neighbours). */
static EVP_PKEY *rsa_close(int distance_bits)
{
    BN_CTX *numbers = BN_CTX_new();
    BIGNUM *p = BN_new(), *q, *distance = BN_new();

    BN_rand(p, 1024, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD);
    next_prime(p, numbers);
    q = BN_dup(p);
    if (distance_bits) {
        BN_set_bit(distance, distance_bits);
        BN_add(q, q, distance);
    }
    next_prime(q, numbers);
    BN_free(distance);
    BN_CTX_free(numbers);
    return rsa_of_primes(p, q, NULL, word(65537));
}

static EVP_PKEY *rsa_small_factor(void)
{
    BIGNUM *p, *q, *n = BN_new();
    BN_CTX *numbers = BN_CTX_new();

    do {
        p = prime(1024);
        q = prime(1009);
        BN_mul(n, p, q, numbers);
        BN_mul_word(n, 31337);
        if (BN_num_bits(n) == 2048)
            break;
        BN_free(p);
        BN_free(q);
    } while (true);
    BN_free(n);
    BN_CTX_free(numbers);
    return rsa_of_primes(p, q, word(31337), word(65537));
}

static EVP_PKEY *rsa_long_exponent(void)
{
    BIGNUM *e = word(1);

    BN_lshift(e, e, 80);
    BN_add_word(e, 13);
    while (BN_check_prime(e, NULL, NULL) != 1)
        BN_add_word(e, 2);
    return rsa_of_primes(prime(1024), prime(1024), NULL, e);
}

static EVP_PKEY *ec(const char *curve, const char *encoding, const char *format)
{
    EVP_PKEY *key = EVP_EC_gen(curve);

    need(key != NULL, curve);
    if (encoding)
        need(EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding) == 1, encoding);
    if (format)
        need(EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, format) == 1,
             format);
    return key;
}

static EVP_PKEY *make(enum data_key kind)
{
    switch (kind) {
    case DATA_RSA_2048:
        return EVP_RSA_gen(2048);
    case DATA_RSA_3072:
        return EVP_RSA_gen(3072);
    case DATA_RSA_4096:
        return EVP_RSA_gen(4096);
    case DATA_EC_P256:
        return ec("P-256", NULL, NULL);
    case DATA_EC_P384:
        return ec("P-384", NULL, NULL);
    case DATA_RSA_1024:
        return EVP_RSA_gen(1024);
    case DATA_RSA_2047:
        return rsa_with_exponent("RSA", 2047, 65537);
    case DATA_RSA_4484:
        return rsa_of_primes(mersenne(2203), mersenne(2281), NULL, word(65537));
    case DATA_RSA_8676:
        return rsa_of_primes(mersenne(4423), mersenne(4253), NULL, word(65537));
    case DATA_RSA_EXPONENT_3:
        return rsa_with_exponent("RSA", 2048, 3);
    case DATA_RSA_EXPONENT_257:
        return rsa_with_exponent("RSA", 2048, 257);
    case DATA_RSA_EXPONENT_LONG:
        return rsa_long_exponent();
    case DATA_RSA_ROCA:
        return rsa_roca();
    case DATA_RSA_NEXT_PRIMES:
        return rsa_close(0);
    case DATA_RSA_CLOSE_PRIMES:
        return rsa_close(516);
    case DATA_RSA_SMALL_FACTOR:
        return rsa_small_factor();
    case DATA_RSA_PSS:
        return rsa_with_exponent("RSA-PSS", 2048, 65537);
    case DATA_EC_EXPLICIT:
        return ec("P-256", "explicit", NULL);
    case DATA_EC_COMPRESSED:
        return ec("P-256", NULL, "compressed");
    case DATA_EC_P224:
        return ec("P-224", NULL, NULL);
    case DATA_EC_P521:
        return ec("P-521", NULL, NULL);
    case DATA_EC_SECP256K1:
        return ec("secp256k1", NULL, NULL);
    case DATA_ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case DATA_KEYS:
        break;
    }
    return NULL;
}

/* Making an RSA key takes long, under valgrind minutes: where PC_TEST_KEYS names a folder, those that come
 * back whole from a file are made once a build. */
static const bool kept[DATA_KEYS] = {
    [DATA_RSA_1024] = true,         [DATA_RSA_2047] = true, [DATA_RSA_2048] = true,
    [DATA_RSA_3072] = true,         [DATA_RSA_4096] = true, [DATA_RSA_EXPONENT_3] = true,
    [DATA_RSA_EXPONENT_257] = true, [DATA_RSA_PSS] = true,
};

static EVP_PKEY *load(const char *path)
{
    BIO *file = BIO_new_file(path, "r");
    EVP_PKEY *key = file ? PEM_read_bio_PrivateKey(file, NULL, NULL, NULL) : NULL;

    BIO_free(file);
    ERR_clear_error();
    return key;
}

/* Whole or not at all: other tests run at the same time. */
static void store(const char *path, EVP_PKEY *key)
{
    char temporary[4200];
    snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    BIO *file = BIO_new_file(temporary, "w");

    if (file && PEM_write_bio_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && BIO_flush(file) == 1)
        rename(temporary, path);
    BIO_free(file);
    ERR_clear_error();
}

static EVP_PKEY *load_or_make(enum data_key kind)
{
    const char *folder = kept[kind] ? getenv("PC_TEST_KEYS") : NULL;
    char path[4096];
    if (!folder)
        return make(kind);
    snprintf(path, sizeof path, "%s/key-%d.pem", folder, (int)kind);
    EVP_PKEY *key = load(path);
    if (!key) {
        key = make(kind);
        if (key)
            store(path, key);
    }
    return key;
}

static EVP_PKEY *keys[DATA_KEYS];

EVP_PKEY *data_key(enum data_key kind)
{
    if (!keys[kind])
        keys[kind] = load_or_make(kind);
    need(keys[kind] != NULL, "cannot be made");
    return keys[kind];
}

void data_keys_free(void)
{
    for (int i = 0; i < DATA_KEYS; i++) {
        EVP_PKEY_free(keys[i]);
        keys[i] = NULL;
    }
}
