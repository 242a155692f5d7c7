/* src/pki/key and weak: kinds, fingerprints, and the edges of what counts as weak. The requests' test has
 * whole weak keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/objects.h>

#include "src/base/error.h"
#include "src/pki/key.h"
#include "src/pki/weak.h"
#include "tests/data/der.h"
#include "tests/data/keys.h"

static void types(void **state)
{
    static const struct {
        const char *name;
        enum data_key key;
        int digest;
    } rows[PKI_KEY_TYPES] = {
        [PKI_KEY_RSA_2048] = {"rsa:2048", DATA_RSA_2048, NID_sha256},
        [PKI_KEY_RSA_3072] = {"rsa:3072", DATA_RSA_3072, NID_sha256},
        [PKI_KEY_RSA_4096] = {"rsa:4096", DATA_RSA_4096, NID_sha256},
        [PKI_KEY_EC_P256] = {"ec:P-256", DATA_EC_P256, NID_sha256},
        [PKI_KEY_EC_P384] = {"ec:P-384", DATA_EC_P384, NID_sha384},
    };

    (void)state;
    for (size_t i = 0; i < PKI_KEY_TYPES; i++) {
        enum pki_key_type type = PKI_KEY_TYPES;

        assert_int_equal(pki_key_type_parse(rows[i].name, &type), 0);
        assert_int_equal(type, i);
        assert_string_equal(pki_key_type_name(type), rows[i].name);
        type = PKI_KEY_TYPES;
        assert_int_equal(pki_key_type_of(data_key(rows[i].key), &type), 0);
        assert_int_equal(type, i);
        assert_int_equal(EVP_MD_get_type(pki_key_digest(type)), rows[i].digest);
    }
}

static void types_refused(void **state)
{
    static const char *const bad[] = {"",         "rsa",      "rsa:1024",  "RSA:2048",
                                      "ec:p-256", "ec:P-521", "rsa:2048 ", "ed25519"};
    static const enum data_key keys[] = {DATA_RSA_1024, DATA_RSA_2047, DATA_RSA_PSS,      DATA_EC_P224,
                                         DATA_EC_P521,  DATA_ED25519,  DATA_EC_SECP256K1, DATA_RSA_4484};
    enum pki_key_type type = PKI_KEY_TYPES;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(pki_key_type_parse(bad[i], &type), PC_EUSAGE);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_int_equal(pki_key_type_of(data_key(keys[i]), &type), PC_EREFUSED);
        assert_string_equal(pc_error_name(), "key-type");
    }
    assert_int_equal(type, PKI_KEY_TYPES);
}

static void fingerprint(void **state)
{
    struct pc_bytes spki = der_spki(data_key(DATA_EC_P256));
    char of_key[PKI_FINGERPRINT_TEXT], of_bytes[PKI_FINGERPRINT_TEXT];

    (void)state;
    assert_int_equal(pki_key_fingerprint(data_key(DATA_EC_P256), of_key), 0);
    assert_int_equal(pki_digest_hex(spki.data, spki.len, of_bytes), 0);
    assert_string_equal(of_key, of_bytes);
    assert_int_equal(pki_digest_hex("abc", 3, of_bytes), 0);
    assert_string_equal(
        of_bytes, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* FIPS 180-2 §B.1 */
    pc_bytes_clear(&spki);
}

static int judge(EVP_PKEY *key, struct pc_bytes spki)
{
    EVP_PKEY *read = NULL;
    int rc = pki_key_judge(spki.data, spki.len, &read);

    if (rc == 0)
        assert_int_equal(EVP_PKEY_eq(read, key), 1);
    else
        assert_null(read);
    EVP_PKEY_free(read);
    pc_bytes_clear(&spki);
    return rc;
}

static void judged(void **state)
{
    EVP_PKEY *key = data_key(DATA_EC_P256);
    struct pc_bytes longer = der_spki(key);

    (void)state;
    assert_int_equal(judge(key, der_spki(key)), 0);
    assert_int_equal(judge(data_key(DATA_RSA_2048), der_spki(data_key(DATA_RSA_2048))), 0);
    /* bytes that are none, and bytes with more behind them */
    assert_int_equal(judge(key, der_copy("", 0)), PC_EREFUSED);
    assert_int_equal(judge(key, der_hex("3003020100")), PC_EREFUSED);
    longer.len++;
    assert_int_equal(judge(key, longer), PC_EREFUSED);
}

/* A large prime times `factor`. */
static int judge_factor(BN_ULONG factor)
{
    static BIGNUM *prime; /* the same one each time: finding it takes long */
    BIGNUM *n;
    int rc;

    if (!prime) {
        prime = BN_new();
        BN_set_bit(prime, 1500);
        BN_add_word(prime, 1);
        while (BN_check_prime(prime, NULL, NULL) != 1)
            BN_add_word(prime, 2);
    }
    n = BN_dup(prime);
    BN_mul_word(n, factor);
    rc = pki_weak_modulus(n);
    BN_free(n);
    return rc;
}

static void factors(void **state)
{
    static const BN_ULONG found[] = {2, 3, 5, 7, 167, 257, 16411, 32749};

    (void)state;
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        assert_int_equal(judge_factor(found[i]), PC_EREFUSED);
        assert_string_equal(pc_error_name(), "key-factor");
    }
    /* Every prime below the bound, and no other number's doing. */
    for (BN_ULONG factor = 3; factor < 32768; factor += 2) {
        BN_ULONG divisor = 3;

        while (divisor * divisor <= factor && factor % divisor)
            divisor += 2;
        if (divisor * divisor > factor && judge_factor(factor) != PC_EREFUSED)
            fail_msg("the factor %lu is not found", (unsigned long)factor);
    }
    assert_int_equal(judge_factor(1), 0);
    assert_int_equal(judge_factor(32771), 0); /* the first prime past the bound */
}

static void square(void **state)
{
    BIGNUM *p = BN_new(), *n = BN_new();
    BN_CTX *numbers = BN_CTX_new();

    (void)state;
    BN_generate_prime_ex(p, 1024, 0, NULL, NULL, NULL);
    BN_sqr(n, p, numbers);
    assert_int_equal(pki_weak_modulus(n), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "key-fermat");
    BN_free(p);
    BN_free(n);
    BN_CTX_free(numbers);
}

static int teardown(void **state)
{
    (void)state;
    data_keys_free();
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(types),  cmocka_unit_test(types_refused), cmocka_unit_test(fingerprint),
        cmocka_unit_test(judged), cmocka_unit_test(factors),       cmocka_unit_test(square),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
