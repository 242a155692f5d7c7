/* What real tokens do and SoftHSM never does: vanish, sign wrong, lock a PIN, run out of sessions. Against
 * SoftHSM through the shim. */
#include "tests/integration/hsm/fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <openssl/x509.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/pki/sign.h"

static char serial[17];
static struct hsm_id ec, rsa; /* of a pair each */
static const struct pc_bytes text = {(unsigned char[]){"to be signed"}, 12};

static int sign_once(struct hsm_key *key)
{
    pc_autobytes signature = {0};
    int r = hsm_key_sign(key, EVP_sha256(), &text, &signature);
    if (r < 0) {
        assert_null(signature.data);
        return r;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, hsm_key_public(key)), 1);
    assert_int_equal(EVP_DigestVerify(context, signature.data, signature.len, text.data, text.len), 1);
    EVP_MD_CTX_free(context);
    return 0;
}

static void test_signatures(void **state)
{
    (void)state;
    struct hsm_token *token = open_logged_in(serial);
    struct hsm_key *keys[] = {key_find(token, &ec), key_find(token, &rsa)};
    for (size_t i = 0; i < 2; i++) {
        assert_ok(sign_once(keys[i]));
        assert_ok(sign_once(keys[i]));
        assert_int_equal(shim_calls("C_Sign"), 2 * (i + 1));
        hsm_key_free(keys[i]);
    }
    hsm_token_close(token);
}

static void test_codes(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        int error;
        const char *name, *words;
    } rows[] = {
        {"0x32", PC_EUNREACH, "token-lost", "CKR_DEVICE_REMOVED"},
        {"0xe0", PC_EUNREACH, "token-lost", "CKR_TOKEN_NOT_PRESENT"},
        {"0xb0", PC_EUNREACH, "token-lost", "CKR_SESSION_CLOSED"},
        {"0xb3", PC_EUNREACH, "token-lost", "CKR_SESSION_HANDLE_INVALID"},
        {"0x101", PC_EUNREACH, "token-lost", "CKR_USER_NOT_LOGGED_IN"},
        {"0x30", PC_EUNREACH, "token-lost", "CKR_DEVICE_ERROR"},
        {"0x5", PC_EUNREACH, "unreachable", "CKR_GENERAL_ERROR"},
        {"0x2", PC_EFAIL, "failure", "CKR_HOST_MEMORY"},
        {"0x63", PC_EREFUSED, "refused", "CKR_KEY_TYPE_INCONSISTENT"},
        {"0xa4", PC_EAUTH, "authentication", "CKR_PIN_LOCKED"},
        {"0x7abcd", PC_EUNREACH, "unreachable", "CKR_0x7abcd"},
    };
    static const char *const calls[] = {"C_Sign:1", "C_Sign:2", "C_SignInit:2"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t j = 0; j < 3; j++) {
            char fail[64];
            snprintf(fail, sizeof fail, "%s:%s", calls[j], rows[i].code);
            shim_tell("SHIM_FAIL", fail);
            struct hsm_token *token = open_logged_in(serial);
            struct hsm_key *key = key_find(token, j == 2 ? &rsa : &ec);
            if (j > 0)
                assert_ok(sign_once(key));
            assert_failed(sign_once(key), rows[i].error, rows[i].name, rows[i].words);
            assert_ok(sign_once(key)); /* nothing of the failure is left behind */
            hsm_key_free(key);
            hsm_token_close(token);
        }
    }
}

static void test_reopen(void **state)
{
    (void)state;
    static const char *const rules[] = {"C_Sign:1:0x32", "C_Sign:2:0xb3", "C_SignInit:2:0x101"};
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        shim_reset();
        shim_tell("SHIM_GONE", rules[i]);
        struct hsm_token *token = open_logged_in(serial);
        struct hsm_key *key = key_find(token, &ec);
        if (i > 0)
            assert_ok(sign_once(key));
        assert_failed(sign_once(key), PC_EUNREACH, "token-lost", "CKR_");
        assert_failed(sign_once(key), PC_EUNREACH, "token-lost", "CKR_");
        assert_failed(hsm_key_check(key, NULL), PC_EUNREACH, "token-lost", "CKR_");
        hsm_key_free(key);
        hsm_token_close(token);
        token = open_logged_in(serial);
        key = key_find(token, &ec);
        for (int n = 0; n < 3; n++)
            assert_ok(sign_once(key));
        hsm_key_free(key);
        hsm_token_close(token);
        assert_int_equal(shim_calls("C_Login"), 2);
    }
}

static void test_reopen_too_early(void **state)
{
    (void)state;
    struct hsm_token *token = open_logged_in(serial), *early = NULL;
    hsm_token_close(token);
    shim_reset();
    shim_tell("SHIM_GONE", "C_Sign:1:0x32:1");
    token = open_logged_in(serial);
    struct hsm_key *key = key_find(token, &ec);
    assert_failed(sign_once(key), PC_EUNREACH, "token-lost", "CKR_DEVICE_REMOVED");
    hsm_key_free(key);
    hsm_token_close(token);
    struct hsm_place place = {.module = fixture_shim(), .serial = serial};
    assert_failed(hsm_token_open(&place, &early), PC_EUNREACH, "", "CKR_DEVICE_REMOVED");
    assert_null(early);
    token = open_logged_in(serial);
    hsm_token_close(token);
}

static void test_vanished_before_login(void **state)
{
    (void)state;
    pc_autosecret *pin = secret_of(PIN);
    shim_tell("SHIM_GONE", "C_OpenSession:1:0xe0");
    struct hsm_token *token = open_serial(serial);
    assert_failed(hsm_token_login(token, pin), PC_EUNREACH, "token-lost", "CKR_TOKEN_NOT_PRESENT");
    assert_int_equal(shim_calls("C_Login"), 0);
    hsm_token_close(token);
}

static int refuse_work(EVP_PKEY *signer, void *context)
{
    (void)signer;
    (void)context;
    return pc_refuse("of-its-own", "a reason");
}

static int sign_in_work(EVP_PKEY *signer, void *context)
{
    bool *verified = context;
    unsigned char signature[1024];
    size_t len = sizeof signature;
    EVP_MD_CTX *sign = EVP_MD_CTX_new();
    *verified = EVP_DigestSignInit(sign, NULL, EVP_sha256(), NULL, signer) == 1 &&
                EVP_DigestSign(sign, signature, &len, text.data, text.len) == 1;
    EVP_MD_CTX_free(sign);
    return *verified ? 0 : pc_fail_openssl(PC_EFAIL, "OpenSSL does not sign");
}

static void test_work(void **state)
{
    (void)state;
    bool signed_ = false;
    shim_tell("SHIM_GONE", "C_Sign:2:0x32");
    struct hsm_token *token = open_logged_in(serial);
    struct hsm_key *key = key_find(token, &rsa);
    assert_failed(hsm_key_work(key, refuse_work, NULL), PC_EREFUSED, "of-its-own", "a reason");
    assert_ok(hsm_key_work(key, sign_in_work, &signed_));
    assert_true(signed_);
    assert_failed(hsm_key_work(key, sign_in_work, &signed_), PC_EUNREACH, "token-lost", "CKR_DEVICE_REMOVED");
    assert_false(signed_);
    hsm_key_free(key);
    hsm_token_close(token);
}

/* To-be-signed bytes of a certificate, made with one signature of the key. */
static struct pc_bytes some_tbs(struct hsm_key *key)
{
    X509 *certificate = X509_new();
    struct pc_bytes tbs = {0};
    unsigned char *der = NULL;
    assert_true(certificate && X509_set_version(certificate, X509_VERSION_3) &&
                X509_set_pubkey(certificate, hsm_key_public(key)) &&
                X509_gmtime_adj(X509_getm_notBefore(certificate), 0) &&
                X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) &&
                X509_sign(certificate, hsm_key_signer(key), EVP_sha256()) > 0);
    int len = i2d_re_X509_tbs(certificate, &der);
    assert_true(len > 0);
    assert_ok(pc_bytes_copy(der, (size_t)len, &tbs));
    OPENSSL_free(der);
    X509_free(certificate);
    return tbs;
}

static void test_wrong_signature(void **state)
{
    (void)state;
    shim_tell("SHIM_WRONG", "C_Sign:2,C_Sign:5");
    struct hsm_token *token = open_logged_in(serial);
    struct hsm_key *keys[] = {key_find(token, &ec), key_find(token, &rsa)};
    for (size_t i = 0; i < 2; i++) {
        pc_autobytes tbs = some_tbs(keys[i]), der = {0};
        const struct pki_signer signer = hsm_key_pki_signer(keys[i]);
        assert_failed(pki_tbs_sign(&signer, hsm_key_public(keys[i]), &tbs, &der), PC_EFAIL, "",
                      "does not verify");
        assert_null(der.data);
        assert_ok(pki_tbs_sign(&signer, hsm_key_public(keys[i]), &tbs, &der));
        hsm_key_free(keys[i]);
    }
    assert_int_equal(shim_calls("C_Sign"), 6);
    hsm_token_close(token);
}

/* What the token has counted of wrong PINs. */
static unsigned tries(const char *file)
{
    unsigned count = 0;
    FILE *in = fopen(file, "r");
    assert_true(!in || fscanf(in, "%u", &count) == 1);
    if (in)
        fclose(in);
    return count;
}

static void try_pin(const char *pin_text, int code, const char *words)
{
    pc_autosecret *pin = secret_of(pin_text);
    struct hsm_token *token = open_serial(serial);
    for (int i = 0; i < 3; i++) {
        int r = hsm_token_login(token, pin);
        if (code == 0)
            assert_ok(r);
        else
            assert_failed(r, code, "", i == 0 ? words : "");
    }
    hsm_token_close(token);
}

static void test_pin_tries(void **state)
{
    (void)state;
    char file[128], rule[160];
    snprintf(file, sizeof file, "%s/tries", fixture_folder());
    snprintf(rule, sizeof rule, "3:%s", file);
    shim_tell("SHIM_PIN_TRIES", rule);
    try_pin("wrong-pin", PC_EAUTH, "CKR_PIN_INCORRECT");
    assert_int_equal(tries(file), 1);
    try_pin(PIN, 0, "");
    assert_int_equal(tries(file), 0);
    try_pin("wrong-pin", PC_EAUTH, "CKR_PIN_INCORRECT");
    try_pin("wrong-pin", PC_EAUTH, "CKR_PIN_INCORRECT");
    assert_int_equal(tries(file), 2);
    size_t logins = shim_calls("C_Login");
    try_pin("wrong-pin", PC_EAUTH, "CKF_USER_PIN_FINAL_TRY");
    try_pin(PIN, PC_EAUTH, "CKF_USER_PIN_FINAL_TRY");
    assert_int_equal(tries(file), 2);
    FILE *out = fopen(file, "w");
    assert_true(out && fputs("3\n", out) >= 0 && fclose(out) == 0);
    try_pin(PIN, PC_EAUTH, "CKF_USER_PIN_LOCKED");
    assert_int_equal(shim_calls("C_Login"), logins);

    shim_tell("SHIM_FLAGS_CLEAR", "0x70000"); /* a token that does not tell */
    try_pin(PIN, PC_EAUTH, "CKR_PIN_LOCKED");
    assert_int_equal(shim_calls("C_Login"), logins + 1);
}

static void *sign_often(void *key)
{
    uintptr_t good = 0;
    for (int i = 0; i < 25; i++)
        good += sign_once(key) == 0;
    return (void *)good;
}

static void test_sessions(void **state)
{
    (void)state;
    static const struct {
        const char *limit;
        unsigned sessions;
        bool signs;
    } rows[] = {{"0", 16, true}, {"-1", 16, true}, {"17", 16, true}, {"16", 15, true},
                {"3", 2, true},  {"2", 1, true},   {"1", 1, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct hsm_token_info *info;
        struct hsm_key *key = NULL;
        pthread_t threads[4];
        shim_tell("SHIM_SESSIONS", rows[i].limit);
        struct hsm_token *token = open_logged_in(serial);
        assert_ok(hsm_token_info(token, &info));
        assert_int_equal(info->sessions, rows[i].sessions);
        if (!rows[i].signs)
            assert_failed(hsm_key_find(token, &ec, &key), PC_EUNREACH, "",
                          "no session left to sign with: CKR_SESSION_COUNT");
        else
            key = key_find(token, &ec);
        for (size_t n = 0; key && n < 4; n++) /* more than there are sessions: they wait for each other */
            assert_int_equal(pthread_create(&threads[n], NULL, sign_often, key), 0);
        for (size_t n = 0; key && n < 4; n++) {
            void *good;
            assert_int_equal(pthread_join(threads[n], &good), 0);
            assert_int_equal((uintptr_t)good, 25);
        }
        hsm_key_free(key);
        hsm_token_close(token);
    }
}

static void test_module_hash(void **state)
{
    (void)state;
    const struct hsm_token_info *info;
    pc_autobytes file = {0};
    unsigned char hash[32];
    char hex[65];
    assert_ok(pc_file_read(fixture_shim(), 64U << 20, &file));
    assert_int_equal(EVP_Digest(file.data, file.len, hash, NULL, EVP_sha256(), NULL), 1);
    pc_hex(hash, sizeof hash, hex);
    struct hsm_token *token = open_serial(serial);
    assert_ok(hsm_token_info(token, &info));
    assert_string_equal(info->module_sha256, hex);
    hsm_token_close(token);
}

static int reset(void **state)
{
    (void)state;
    shim_reset();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, reset)

static int make_keys(void **state)
{
    (void)state;
    ec = id_random();
    rsa = id_random();
    struct hsm_token *token = open_logged_in(serial);
    hsm_key_free(key_make(token, PKI_KEY_EC_P256, "ec", &ec));
    hsm_key_free(key_make(token, PKI_KEY_RSA_2048, "rsa", &rsa));
    hsm_token_close(token);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_signatures),
        TEST(test_codes),
        TEST(test_reopen),
        TEST(test_reopen_too_early),
        TEST(test_vanished_before_login),
        TEST(test_work),
        TEST(test_wrong_signature),
        TEST(test_pin_tries),
        TEST(test_sessions),
        TEST(test_module_hash),
    };
    fixture_start(argc > 1 ? argv[1] : NULL);
    fixture_token("lost", serial);
    int failed = cmocka_run_group_tests_name("hsm lost", tests, make_keys, NULL);
    fixture_end();
    return failed;
}
