/* A TPM that is wrong, broken or hostile: no signature that does not verify gets out, and no answer does
 * harm. The TPM is a script. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

#include "provision/tpm/keyfile.h"
#include "src/base/error.h"
#include "tests/data/keys.h"
#include "tests/unit/tpm/material.h"

#define HANDLE 0x81000010u
#define READ_PUBLIC "173"
#define SIGN "15d"
#define GET_CAPABILITY "17a"

/* A device key whose TPM is the test itself. */
static struct device {
    EVP_PKEY *software;
    TPM2B_PUBLIC area;
    struct tpm_key *key;
} rsa, ec;
static char folder[] = "/tmp/plantcert-script.XXXXXX";
static char tcti[512];
static unsigned char digest[32];

static void make_device(EVP_PKEY *software, struct device *ret)
{
    ret->software = software;
    material_area(ret->software, &ret->area);
    struct octets body = {.len = 0}, area, name, der = {.len = 0};
    octets_add_hex(&body, "020101"
                          "02050081000010");
    material_name(&ret->area, &name);
    octets_add_tlv(&body, 0x04, &name);
    material_marshal(&ret->area, &area);
    octets_add_tlv(&body, 0x04, &area);
    octets_add_tlv(&der, 0x30, &body);
    assert_int_equal(tpm_keyfile_parse_der(TPM_PEM_REFERENCE, der.data, der.len, &ret->key), 0);
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL || getenv("PC_BUILD") == NULL)
        return -1;
    snprintf(tcti, sizeof(tcti), "%s/tests/unit/tpm/tcti_scripted.so:%s", getenv("PC_BUILD"), folder);
    make_device(data_key(DATA_RSA_2048), &rsa);
    make_device(data_key(DATA_EC_P256), &ec);
    memset(digest, 0x5a, sizeof(digest));
    return 0;
}

static void forget(const char *code)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/%s", folder, code);
    unlink(path);
}

static int tear_down(void **state)
{
    (void)state;
    tpm_key_free(rsa.key);
    tpm_key_free(ec.key);
    data_keys_free();
    forget(READ_PUBLIC);
    forget(SIGN);
    forget(GET_CAPABILITY);
    return rmdir(folder);
}

/* --- the script --- */

static void script(const char *code, const void *bytes, size_t len)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/%s", folder, code);
    FILE *out = fopen(path, "wbe");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

static void put16(struct octets *to, size_t value)
{
    const unsigned char octets[2] = {(unsigned char)(value >> 8), (unsigned char)value};
    octets_add(to, octets, 2);
}

/* Header, and for a command with a session the size of the parameters and an empty password answer. */
static void respond(const struct octets *parameters, bool session, struct octets *ret)
{
    size_t len = 10 + parameters->len + (session ? 4 + 5 : 0);
    ret->len = 0;
    octets_add_hex(ret, session ? "80020000" : "80010000");
    put16(ret, len);
    octets_add_hex(ret, "00000000");
    if (session) {
        put16(ret, 0);
        put16(ret, parameters->len);
    }
    octets_add(ret, parameters->data, parameters->len);
    if (session)
        octets_add_hex(ret, "0000010000");
}

static void read_public_response(const struct device *device, struct octets *ret)
{
    struct octets parameters, name;
    material_marshal(&device->area, &parameters);
    material_name(&device->area, &name);
    for (int i = 0; i < 2; i++) { /* Name and, as far as anybody looks, qualified Name */
        put16(&parameters, name.len);
        octets_add(&parameters, name.data, name.len);
    }
    respond(&parameters, false, ret);
}

/* A real signature by the device's software half. `salt` as EVP_PKEY_CTX_set_rsa_pss_saltlen; padding 0 for
 * EC. */
static void sign_in_software(EVP_PKEY *key, int padding, int salt, struct octets *ret)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    assert_int_equal(EVP_PKEY_sign_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()), 1);
    if (padding)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, padding), 1);
    if (padding == RSA_PKCS1_PSS_PADDING)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt), 1);
    ret->len = sizeof(ret->data);
    assert_int_equal(EVP_PKEY_sign(context, ret->data, &ret->len, digest, sizeof(digest)), 1);
    EVP_PKEY_CTX_free(context);
}

static void rsa_sign_response(uint16_t algorithm, EVP_PKEY *key, int padding, int salt, struct octets *ret)
{
    struct octets signature, parameters = {.len = 0};
    sign_in_software(key, padding, salt, &signature);
    put16(&parameters, algorithm);
    put16(&parameters, TPM2_ALG_SHA256);
    put16(&parameters, signature.len);
    octets_add(&parameters, signature.data, signature.len);
    respond(&parameters, true, ret);
}

static void ec_sign_response(struct octets *ret)
{
    struct octets signature, parameters = {.len = 0};
    sign_in_software(ec.software, 0, 0, &signature);
    const unsigned char *at = signature.data;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)signature.len);
    assert_non_null(pair);
    put16(&parameters, TPM2_ALG_ECDSA);
    put16(&parameters, TPM2_ALG_SHA256);
    const BIGNUM *const numbers[] = {ECDSA_SIG_get0_r(pair), ECDSA_SIG_get0_s(pair)};
    for (int i = 0; i < 2; i++) {
        unsigned char octets[32];
        assert_int_equal(BN_bn2binpad(numbers[i], octets, 32), 32);
        put16(&parameters, 32);
        octets_add(&parameters, octets, 32);
    }
    ECDSA_SIG_free(pair);
    respond(&parameters, true, ret);
}

/* --- the question --- */

static int ask(const struct device *device, enum tpm_scheme scheme)
{
    const struct tpm_place place = {.tcti = tcti, .allow_simulator = true, .timeout_ms = 2000};
    unsigned char signature[TPM_SIGNATURE_MAX];
    size_t len = 12345;
    PC_CLEANUP(tpm_close_ref) struct tpm *tpm = NULL;
    assert_int_equal(tpm_open(&place, &tpm), 0);
    int result =
        tpm_key_sign(tpm, device->key, scheme, EVP_sha256(), digest, sizeof(digest), signature, &len);
    if (result < 0)
        assert_int_equal(len, 12345);
    return result;
}

static void assert_answer(const struct device *device, enum tpm_scheme scheme, const struct octets *sign,
                          int code, const char *name)
{
    script(SIGN, sign->data, sign->len);
    pc_error_clear();
    int result = ask(device, scheme);
    if (result != code || (code != 0 && strcmp(pc_error_name(), name) != 0))
        fail_msg("%d, %s (%s); not %d, %s", result, pc_error_name(), pc_error_text(), code, name);
}

static void test_true_answers(void **state)
{
    (void)state;
    struct octets public, sign;
    read_public_response(&rsa, &public);
    script(READ_PUBLIC, public.data, public.len);
    rsa_sign_response(TPM2_ALG_RSASSA, rsa.software, RSA_PKCS1_PADDING, 0, &sign);
    assert_answer(&rsa, TPM_SCHEME_RSASSA, &sign, 0, "");
    rsa_sign_response(TPM2_ALG_RSAPSS, rsa.software, RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_DIGEST, &sign);
    assert_answer(&rsa, TPM_SCHEME_RSAPSS, &sign, 0, "");
    read_public_response(&ec, &public);
    script(READ_PUBLIC, public.data, public.len);
    ec_sign_response(&sign);
    assert_answer(&ec, TPM_SCHEME_ECDSA, &sign, 0, "");
}

/* --- ECDSA-Sig-Value (RFC 3279 §2.2.3) from what a TPM gives --- */

/* DER INTEGER, written by hand: no leading zeros, but one before a set high bit (X.690 §8.3). */
static void add_integer(const unsigned char number[32], struct octets *to)
{
    struct octets content = {.len = 0};
    size_t skip = 0;
    while (skip < 31 && number[skip] == 0)
        skip++;
    if (number[skip] & 0x80)
        octets_add_hex(&content, "00");
    octets_add(&content, number + skip, 32 - skip);
    octets_add_tlv(to, 0x02, &content);
}

/* What a number looks like at its front. */
enum front { FRONT_HIGH, FRONT_LOW, FRONT_ZERO_HIGH, FRONT_ZERO_LOW, FRONTS };

static enum front front_of(const unsigned char number[32])
{
    if (number[0] != 0)
        return number[0] & 0x80 ? FRONT_HIGH : FRONT_LOW;
    return number[1] & 0x80 ? FRONT_ZERO_HIGH : FRONT_ZERO_LOW;
}

/* Signs until r (`which` 0) or s (1) looks like that. */
static void sign_until(int which, enum front front, unsigned char numbers[2][32])
{
    do {
        struct octets signature;
        sign_in_software(ec.software, 0, 0, &signature);
        const unsigned char *at = signature.data;
        ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)signature.len);
        assert_non_null(pair);
        assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(pair), numbers[0], 32), 32);
        assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(pair), numbers[1], 32), 32);
        ECDSA_SIG_free(pair);
    } while (front_of(numbers[which]) != front);
}

/* The TPM gives both numbers, padded to the field's length or without leading zeros. */
static void script_numbers(unsigned char numbers[2][32], bool padded)
{
    struct octets parameters = {.len = 0}, sign;
    put16(&parameters, TPM2_ALG_ECDSA);
    put16(&parameters, TPM2_ALG_SHA256);
    for (int i = 0; i < 2; i++) {
        size_t skip = 0;
        while (!padded && numbers[i][skip] == 0)
            skip++;
        put16(&parameters, 32 - skip);
        octets_add(&parameters, numbers[i] + skip, 32 - skip);
    }
    respond(&parameters, true, &sign);
    script(SIGN, sign.data, sign.len);
}

static void assert_encoded(unsigned char numbers[2][32])
{
    const struct tpm_place place = {.tcti = tcti, .allow_simulator = true, .timeout_ms = 2000};
    struct octets body = {.len = 0}, want = {.len = 0};
    for (int i = 0; i < 2; i++)
        add_integer(numbers[i], &body);
    octets_add_tlv(&want, 0x30, &body);
    unsigned char signature[TPM_SIGNATURE_MAX];
    size_t len = 0;
    PC_CLEANUP(tpm_close_ref) struct tpm *tpm = NULL;
    assert_int_equal(tpm_open(&place, &tpm), 0);
    assert_int_equal(
        tpm_key_sign(tpm, ec.key, TPM_SCHEME_ECDSA, EVP_sha256(), digest, sizeof(digest), signature, &len),
        0);
    assert_int_equal(len, want.len);
    assert_memory_equal(signature, want.data, len);
}

static void test_ecdsa_encodings(void **state)
{
    (void)state;
    struct octets public;
    read_public_response(&ec, &public);
    script(READ_PUBLIC, public.data, public.len);
    for (int which = 0; which < 2; which++) {
        for (enum front front = FRONT_HIGH; front < FRONTS; front++) {
            unsigned char numbers[2][32];
            sign_until(which, front, numbers);
            for (int padded = 0; padded < 2; padded++) {
                script_numbers(numbers, padded);
                assert_encoded(numbers);
            }
        }
    }
}

/* Numbers that are none of a signature: zero, nothing at all, the group's order and more. */
static void test_ecdsa_impossible_numbers(void **state)
{
    static const char order[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    static const char *const numbers[] = {"", "00", order, "ff", NULL};
    (void)state;
    struct octets public;
    read_public_response(&ec, &public);
    script(READ_PUBLIC, public.data, public.len);
    for (size_t i = 0; numbers[i] != NULL; i++) {
        for (int which = 0; which < 2; which++) {
            struct octets parameters = {.len = 0}, sign;
            put16(&parameters, TPM2_ALG_ECDSA);
            put16(&parameters, TPM2_ALG_SHA256);
            for (int n = 0; n < 2; n++) {
                struct octets number = {.len = 0};
                octets_add_hex(&number, n == which ? numbers[i] : "01");
                put16(&parameters, number.len);
                octets_add(&parameters, number.data, number.len);
            }
            respond(&parameters, true, &sign);
            assert_answer(&ec, TPM_SCHEME_ECDSA, &sign, PC_EFAIL, "tpm-signature");
        }
    }
}

static void test_pss_salt(void **state)
{
    (void)state;
    struct octets public, sign;
    read_public_response(&rsa, &public);
    script(READ_PUBLIC, public.data, public.len);
    static const int salts[] = {RSA_PSS_SALTLEN_MAX, 0, 20, 31, 33, 64};
    for (size_t i = 0; i < sizeof(salts) / sizeof(salts[0]); i++) {
        rsa_sign_response(TPM2_ALG_RSAPSS, rsa.software, RSA_PKCS1_PSS_PADDING, salts[i], &sign);
        assert_answer(&rsa, TPM_SCHEME_RSAPSS, &sign, PC_EREFUSED, "tpm-pss-salt");
    }
}

static void test_wrong_signatures(void **state)
{
    (void)state;
    struct octets public, sign;
    read_public_response(&rsa, &public);
    script(READ_PUBLIC, public.data, public.len);
    EVP_PKEY *other = data_key(DATA_RSA_EXPONENT_257);
    rsa_sign_response(TPM2_ALG_RSASSA, other, RSA_PKCS1_PADDING, 0, &sign);
    assert_answer(&rsa, TPM_SCHEME_RSASSA, &sign, PC_EFAIL, "tpm-signature");
    rsa_sign_response(TPM2_ALG_RSAPSS, other, RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_DIGEST, &sign);
    assert_answer(&rsa, TPM_SCHEME_RSAPSS, &sign, PC_EFAIL, "tpm-signature");
    /* the other scheme than the one that was asked for, said truly and falsely */
    rsa_sign_response(TPM2_ALG_RSASSA, rsa.software, RSA_PKCS1_PADDING, 0, &sign);
    assert_answer(&rsa, TPM_SCHEME_RSAPSS, &sign, PC_EFAIL, "failure");
    rsa_sign_response(TPM2_ALG_RSAPSS, rsa.software, RSA_PKCS1_PADDING, 0, &sign);
    assert_answer(&rsa, TPM_SCHEME_RSAPSS, &sign, PC_EFAIL, "tpm-signature");
    /* of another digest */
    digest[0] ^= 1;
    rsa_sign_response(TPM2_ALG_RSASSA, rsa.software, RSA_PKCS1_PADDING, 0, &sign);
    digest[0] ^= 1;
    assert_answer(&rsa, TPM_SCHEME_RSASSA, &sign, PC_EFAIL, "tpm-signature");
}

static void test_other_key_at_handle(void **state)
{
    (void)state;
    struct octets public, sign;
    read_public_response(&ec, &public);
    script(READ_PUBLIC, public.data, public.len);
    rsa_sign_response(TPM2_ALG_RSASSA, rsa.software, RSA_PKCS1_PADDING, 0, &sign);
    assert_answer(&rsa, TPM_SCHEME_RSASSA, &sign, PC_EREFUSED, "key-name");
}

/* Every cut and every turned octet of the answers: an error or, where the octet does not matter, the same
 * true signature. */
static void test_broken_answers(void **state)
{
    (void)state;
    struct octets public, sign;
    read_public_response(&ec, &public);
    ec_sign_response(&sign);
    script(SIGN, sign.data, sign.len);
    for (size_t len = 0; len < public.len; len += len < 40 ? 1 : 7) {
        script(READ_PUBLIC, public.data, len);
        assert_true(ask(&ec, TPM_SCHEME_ECDSA) < 0);
    }
    for (size_t i = 0; i < public.len; i++) {
        struct octets turned = public;
        turned.data[i] ^= 0xff;
        script(READ_PUBLIC, turned.data, turned.len);
        (void)ask(&ec, TPM_SCHEME_ECDSA);
    }
    script(READ_PUBLIC, public.data, public.len);
    for (size_t len = 0; len < sign.len; len++) {
        script(SIGN, sign.data, len);
        assert_true(ask(&ec, TPM_SCHEME_ECDSA) < 0);
    }
    for (size_t i = 18; i < sign.len - 5; i++) { /* from the size of r on */
        struct octets turned = sign;
        turned.data[i] ^= 0xff;
        script(SIGN, turned.data, turned.len);
        assert_true(ask(&ec, TPM_SCHEME_ECDSA) < 0);
    }
    script(SIGN, sign.data, sign.len);
    assert_int_equal(ask(&ec, TPM_SCHEME_ECDSA), 0);
}

/* A TPM that lists handles without end, or the same ones again, is not followed for ever. */
static void test_endless_lists(void **state)
{
    (void)state;
    struct octets answer, parameters = {.len = 0};
    octets_add_hex(&parameters, "01"
                                "00000001"
                                "00000002"
                                "80ffffff"
                                "80000000");
    respond(&parameters, false, &answer);
    script(GET_CAPABILITY, answer.data, answer.len);
    const struct tpm_place place = {.tcti = tcti, .allow_simulator = true, .timeout_ms = 2000};
    PC_CLEANUP(tpm_close_ref) struct tpm *tpm = NULL;
    assert_int_equal(tpm_open(&place, &tpm), 0);
    struct tpm_description description;
    assert_true(tpm_describe(tpm, &description) < 0);
    forget(GET_CAPABILITY);
}

static void test_arguments(void **state)
{
    (void)state;
    const struct tpm_place place = {.tcti = tcti, .allow_simulator = true};
    unsigned char signature[TPM_SIGNATURE_MAX];
    size_t len = 0;
    PC_CLEANUP(tpm_close_ref) struct tpm *tpm = NULL;
    assert_int_equal(tpm_open(&place, &tpm), 0);
    assert_int_equal(tpm_key_sign(tpm, rsa.key, TPM_SCHEME_RSASSA, EVP_sha256(), digest, 31, signature, &len),
                     PC_EREFUSED);
    assert_int_equal(tpm_key_sign(tpm, rsa.key, TPM_SCHEME_RSASSA, EVP_sha384(), digest, 32, signature, &len),
                     PC_EREFUSED);
    assert_int_equal(tpm_key_sign(tpm, rsa.key, TPM_SCHEME_RSASSA, EVP_sha1(), digest, 20, signature, &len),
                     PC_EREFUSED);
    assert_int_equal(tpm_key_sign(tpm, rsa.key, TPM_SCHEME_RSASSA, NULL, digest, 32, signature, &len),
                     PC_EREFUSED);
    assert_int_equal(tpm_key_sign(tpm, rsa.key, TPM_SCHEME_ECDSA, EVP_sha256(), digest, 32, signature, &len),
                     PC_EREFUSED);
    assert_int_equal(tpm_key_sign(tpm, ec.key, TPM_SCHEME_RSAPSS, EVP_sha256(), digest, 32, signature, &len),
                     PC_EREFUSED);
    assert_int_equal(tpm_key_sign(tpm, ec.key, (enum tpm_scheme)7, EVP_sha256(), digest, 32, signature, &len),
                     PC_EREFUSED);
    tpm_close(NULL);
    tpm_key_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_true_answers),
        cmocka_unit_test(test_ecdsa_encodings),
        cmocka_unit_test(test_ecdsa_impossible_numbers),
        cmocka_unit_test(test_pss_salt),
        cmocka_unit_test(test_wrong_signatures),
        cmocka_unit_test(test_other_key_at_handle),
        cmocka_unit_test(test_broken_answers),
        cmocka_unit_test(test_endless_lists),
        cmocka_unit_test(test_arguments),
    };
    setenv("TSS2_LOG", "all+NONE", 1);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
