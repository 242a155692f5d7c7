/* Keys in a token: made, read back, found by exactly one id, compared, removed. Against SoftHSM through the
 * shim. */
#include "tests/integration/hsm/fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <openssl/x509.h>

#include "src/base/error.h"

static char serial_a[17], serial_b[17]; /* two tokens, both labelled "twin" */
static char serial_c[17];               /* one that holds a single key, with the id `shared` */

/* Made once, for the tests that only need some key: P-256, labelled "shared", in tokens a and c. */
static struct hsm_id shared;

static void test_every_type(void **state)
{
    (void)state;
    static const unsigned long mechanisms[] = {[PKI_KEY_RSA_2048] = CKM_RSA_PKCS_KEY_PAIR_GEN,
                                               [PKI_KEY_RSA_3072] = CKM_RSA_PKCS_KEY_PAIR_GEN,
                                               [PKI_KEY_RSA_4096] = CKM_RSA_PKCS_KEY_PAIR_GEN,
                                               [PKI_KEY_EC_P256] = CKM_EC_KEY_PAIR_GEN,
                                               [PKI_KEY_EC_P384] = CKM_EC_KEY_PAIR_GEN};
    for (int type = 0; type < PKI_KEY_TYPES; type++) {
        const char *label = pki_key_type_name((enum pki_key_type)type);
        struct hsm_id id = id_random();
        struct hsm_token *token = open_logged_in(serial_a);
        struct hsm_key *key = key_make(token, (enum pki_key_type)type, label, &id);
        assert_true(key_signs_for(hsm_key_signer(key), hsm_key_public(key)));
        EVP_PKEY *before = EVP_PKEY_dup(hsm_key_public(key));
        hsm_key_free(key);
        hsm_token_close(token);

        shim_reset();
        token = open_logged_in(serial_a);
        key = key_find(token, &id);
        struct hsm_key_attributes attributes;
        assert_ok(hsm_key_check(key, &attributes));
        assert_true(attributes.token && attributes.private_ && attributes.sensitive &&
                    attributes.always_sensitive && attributes.never_extractable && attributes.local &&
                    attributes.sign);
        assert_false(attributes.extractable || attributes.decrypt || attributes.unwrap || attributes.derive ||
                     attributes.sign_recover || attributes.modifiable || attributes.always_authenticate);
        assert_true(attributes.has_mechanism);
        assert_int_equal(attributes.mechanism, mechanisms[type]);
        enum pki_key_type found;
        assert_ok(pki_key_type_of(hsm_key_public(key), &found));
        assert_int_equal(found, type);
        assert_ok(hsm_key_equals(key, before));
        for (size_t i = 1; i <= 3; i++) {
            assert_true(key_signs_for(hsm_key_signer(key), before));
            assert_int_equal(shim_calls("C_Sign"), i);
        }
        EVP_PKEY_free(before);
        hsm_key_free(key);
        hsm_token_close(token);
        assert_int_equal(shim_calls("C_Login"), 1);
    }
}

static X509 *certificate_of(struct hsm_key *key)
{
    X509 *certificate = X509_new();
    assert_true(certificate && X509_set_version(certificate, X509_VERSION_3) &&
                X509_set_pubkey(certificate, hsm_key_public(key)) &&
                X509_gmtime_adj(X509_getm_notBefore(certificate), 0) &&
                X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
    assert_true(X509_sign(certificate, hsm_key_signer(key), EVP_sha256()) > 0);
    return certificate;
}

static void test_certificates(void **state)
{
    (void)state;
    struct hsm_id one = id_random(), two = id_random();
    struct hsm_token *token = open_logged_in(serial_a);
    struct hsm_key *ec = key_make(token, PKI_KEY_EC_P256, "ca-ec", &one);
    struct hsm_key *rsa = key_make(token, PKI_KEY_RSA_2048, "ca-rsa", &two);
    X509 *ec_certificate = certificate_of(ec), *rsa_certificate = certificate_of(rsa);
    assert_int_equal(X509_verify(ec_certificate, hsm_key_public(ec)), 1);
    assert_int_equal(X509_verify(rsa_certificate, hsm_key_public(rsa)), 1);
    assert_ok(hsm_key_equals(ec, X509_get0_pubkey(ec_certificate)));
    assert_ok(hsm_key_equals(rsa, X509_get0_pubkey(rsa_certificate)));
    assert_failed(hsm_key_equals(ec, X509_get0_pubkey(rsa_certificate)), PC_EREFUSED, "key-mismatch",
                  "CA certificate");
    assert_failed(hsm_key_equals(rsa, X509_get0_pubkey(ec_certificate)), PC_EREFUSED, "key-mismatch",
                  "CA certificate");
    EVP_PKEY *other = EVP_EC_gen("P-256");
    assert_failed(hsm_key_equals(ec, other), PC_EREFUSED, "key-mismatch", "CA certificate");
    EVP_PKEY_free(other);
    X509_free(ec_certificate);
    X509_free(rsa_certificate);
    hsm_key_free(ec);
    hsm_key_free(rsa);
    hsm_token_close(token);
}

/* The same id and label in two tokens of the same label: each token signs with its own. */
static void test_twins(void **state)
{
    (void)state;
    struct hsm_id id = id_random();
    EVP_PKEY *public_keys[2];
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 2; i++) {
            struct hsm_token *token = open_logged_in(i ? serial_b : serial_a);
            struct hsm_key *key =
                pass ? key_find(token, &id) : key_make(token, PKI_KEY_EC_P256, "twin-key", &id);
            if (!pass)
                public_keys[i] = EVP_PKEY_dup(hsm_key_public(key));
            assert_true(key_signs_for(hsm_key_signer(key), public_keys[i]));
            if (pass)
                assert_false(key_signs_for(hsm_key_signer(key), public_keys[!i]));
            hsm_key_free(key);
            hsm_token_close(token);
        }
    }
    EVP_PKEY_free(public_keys[0]);
    EVP_PKEY_free(public_keys[1]);
}

static void test_no_login(void **state)
{
    (void)state;
    struct hsm_token *token = open_serial(serial_a);
    struct hsm_key *key = NULL;
    struct hsm_id id = id_random();
    size_t count = 99;
    assert_failed(hsm_key_find(token, &shared, &key), PC_EAUTH, "", "not logged in");
    assert_failed(hsm_key_generate(token, PKI_KEY_EC_P256, "x", &id, &key), PC_EAUTH, "", "not logged in");
    assert_failed(hsm_key_count(token, "shared", &count, NULL), PC_EAUTH, "", "not logged in");
    assert_failed(hsm_key_destroy(token, &shared), PC_EAUTH, "", "not logged in");
    assert_null(key);
    assert_int_equal(count, 99);
    hsm_token_close(token);
}

static void test_missing_and_bad_ids(void **state)
{
    (void)state;
    struct hsm_token *token = open_logged_in(serial_a);
    struct hsm_key *key = NULL;
    struct hsm_id none = id_random(), empty = {.len = 0}, huge = {.len = 65}, part = shared;
    part.len--;
    assert_failed(hsm_key_find(token, &none, &key), PC_EREFUSED, "key-missing", "no private key");
    assert_failed(hsm_key_find(token, &part, &key), PC_EREFUSED, "key-missing", "no private key");
    assert_failed(hsm_key_destroy(token, &none), PC_EREFUSED, "key-missing", "");
    assert_failed(hsm_key_find(token, &empty, &key), PC_EUSAGE, "", "CKA_ID");
    assert_failed(hsm_key_find(token, &huge, &key), PC_EUSAGE, "", "CKA_ID");
    assert_failed(hsm_key_destroy(token, &empty), PC_EUSAGE, "", "CKA_ID");
    assert_failed(hsm_key_generate(token, PKI_KEY_EC_P256, "x", &huge, &key), PC_EUSAGE, "", "CKA_ID");
    assert_failed(hsm_key_generate(token, PKI_KEY_TYPES, "x", &none, &key), PC_EUSAGE, "", "kind of key");
    assert_null(key);
    hsm_token_close(token);
}

static void test_exists(void **state)
{
    (void)state;
    struct hsm_token *token = open_logged_in(serial_a);
    struct hsm_key *key = NULL;
    struct hsm_id fresh = id_random();
    assert_failed(hsm_key_generate(token, PKI_KEY_EC_P256, "new", &shared, &key), PC_EREFUSED, "key-exists",
                  "id");
    assert_failed(hsm_key_generate(token, PKI_KEY_EC_P256, "shared", &fresh, &key), PC_EREFUSED, "key-exists",
                  "'shared'");
    assert_null(key);
    assert_int_equal(shim_calls("C_GenerateKeyPair"), 0);
    hsm_token_close(token);
}

static void test_count(void **state)
{
    (void)state;
    struct hsm_id first = {.len = 7}, imported = id_random();
    size_t count = 99;
    struct hsm_token *token = open_logged_in(serial_a);
    assert_ok(hsm_key_count(token, "nobody", &count, &first));
    assert_int_equal(count, 0);
    assert_int_equal(first.len, 7);
    assert_ok(hsm_key_count(token, "shared", &count, &first));
    assert_int_equal(count, 1);
    assert_int_equal(first.len, shared.len);
    assert_memory_equal(first.octets, shared.octets, shared.len);
    hsm_token_close(token);

    fixture_import(serial_a, "many", &imported);
    fixture_import(serial_a, "many", &imported);
    token = open_logged_in(serial_a);
    assert_int_equal(key_count(token, "many"), 2);
    hsm_token_close(token);
}

static void test_ambiguous(void **state)
{
    (void)state;
    struct hsm_id id = id_random();
    struct hsm_key *key = NULL;
    fixture_import(serial_a, "double", &id);
    fixture_import(serial_a, "double", &id);
    struct hsm_token *token = open_logged_in(serial_a);
    assert_failed(hsm_key_find(token, &id, &key), PC_EREFUSED, "key-ambiguous", "2 private keys");
    assert_failed(hsm_key_destroy(token, &id), PC_EREFUSED, "key-ambiguous", "none removed");
    assert_null(key);
    assert_int_equal(key_count(token, "double"), 2);
    hsm_token_close(token);
}

static void test_destroy(void **state)
{
    (void)state;
    struct hsm_id id = id_random();
    struct hsm_key *key = NULL;
    struct hsm_token *token = open_logged_in(serial_a);
    for (int i = 0; i < 2; i++) { /* the same id again: nothing remembers the first key */
        hsm_key_free(key_make(token, PKI_KEY_EC_P256, "short-lived", &id));
        key = key_find(token, &id);
        assert_true(key_signs_for(hsm_key_signer(key), hsm_key_public(key)));
        hsm_key_free(key);
        key = NULL;
        assert_ok(hsm_key_destroy(token, &id));
        assert_int_equal(key_count(token, "short-lived"), 0);
        assert_failed(hsm_key_find(token, &id, &key), PC_EREFUSED, "key-missing", "private");
        assert_failed(hsm_key_destroy(token, &id), PC_EREFUSED, "key-missing", "");
    }
    hsm_token_close(token);
}

/* Removes one half of the pair; with `replace`, a public key of another pair takes the place. */
struct tamper {
    struct hsm_id id;
    CK_OBJECT_CLASS class;
    bool replace;
};

static void tamper(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, void *argument)
{
    struct tamper *how = argument;
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &how->class, sizeof how->class},
                             {CKA_ID, how->id.octets, how->id.len}};
    CK_OBJECT_HANDLE object;
    CK_ULONG count = 0;
    assert_int_equal(f->C_FindObjectsInit(session, wanted, 2), CKR_OK);
    assert_int_equal(f->C_FindObjects(session, &object, 1, &count), CKR_OK);
    assert_int_equal(f->C_FindObjectsFinal(session), CKR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(f->C_DestroyObject(session, object), CKR_OK);
    if (!how->replace)
        return;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_KEY_TYPE rsa = CKK_RSA;
    unsigned char modulus[256], exponent[] = {1, 0, 1};
    memset(modulus, 0xc5, sizeof modulus);
    CK_ATTRIBUTE other[] = {
        {CKA_CLASS, &how->class, sizeof how->class},
        {CKA_ID, how->id.octets, how->id.len},
        {CKA_TOKEN, &yes, sizeof yes},
        {CKA_PRIVATE, &no, sizeof no},
        {CKA_KEY_TYPE, &rsa, sizeof rsa},
        {CKA_MODULUS, modulus, sizeof modulus},
        {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent},
    };
    assert_int_equal(f->C_CreateObject(session, other, 7, &object), CKR_OK);
}

static void test_half_pairs(void **state)
{
    (void)state;
    static const struct {
        CK_OBJECT_CLASS class;
        bool replace;
        const char *name, *words;
    } rows[] = {
        {CKO_PRIVATE_KEY, false, "key-missing", "no private key"},
        {CKO_PUBLIC_KEY, false, "key-missing", "no public key"},
        {CKO_PUBLIC_KEY, true, "key-mismatch", "no pair"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tamper how = {.id = id_random(), .class = rows[i].class, .replace = rows[i].replace};
        struct hsm_token *token = open_logged_in(serial_a);
        hsm_key_free(key_make(token, how.replace ? PKI_KEY_RSA_2048 : PKI_KEY_EC_P256, "half", &how.id));
        hsm_token_close(token);
        fixture_raw(serial_a, tamper, &how);

        struct hsm_key *key = NULL;
        token = open_logged_in(serial_a);
        assert_failed(hsm_key_find(token, &how.id, &key), PC_EREFUSED, rows[i].name, rows[i].words);
        assert_failed(hsm_key_generate(token, PKI_KEY_EC_P256, "other", &how.id, &key), PC_EREFUSED,
                      "key-exists", "");
        assert_null(key);
        assert_ok(hsm_key_destroy(token, &how.id)); /* what is left of it */
        assert_failed(hsm_key_destroy(token, &how.id), PC_EREFUSED, "key-missing", "");
        hsm_token_close(token);
    }
}

static void test_signing_that_fails(void **state)
{
    (void)state;
    shim_tell("SHIM_FAIL", "C_Sign:1:0x32,C_SignInit:3:0xb3"); /* device removed, session handle invalid */
    struct hsm_token *token = open_logged_in(serial_a);
    struct hsm_key *key = key_find(token, &shared);
    assert_false(key_signs_for(hsm_key_signer(key), hsm_key_public(key)));
    assert_true(key_signs_for(hsm_key_signer(key), hsm_key_public(key)));
    assert_false(key_signs_for(hsm_key_signer(key), hsm_key_public(key)));
    assert_true(key_signs_for(hsm_key_signer(key), hsm_key_public(key)));
    assert_int_equal(shim_calls("C_Login"), 1);
    hsm_key_free(key);
    hsm_token_close(token);
}

static void *sign_often(void *argument)
{
    struct hsm_key *key = argument;
    size_t good = 0;
    for (int i = 0; i < 50; i++)
        good += key_signs_for(hsm_key_signer(key), hsm_key_public(key));
    return (void *)(uintptr_t)good;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct hsm_token *token = open_logged_in(serial_a);
    struct hsm_key *key = key_find(token, &shared);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_often, key), 0);
    for (size_t i = 0; i < 4; i++) {
        void *good;
        assert_int_equal(pthread_join(threads[i], &good), 0);
        assert_int_equal((uintptr_t)good, 50);
    }
    assert_int_equal(shim_calls("C_Sign"), 200);
    assert_int_equal(shim_calls("C_Login"), 1);
    hsm_key_free(key);
    hsm_token_close(token);
}

/* A private key of a kind that libp11 does not know, beside ours. */
static void add_ed25519(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, void *argument)
{
    unsigned char curve[] = {0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9'},
                  id[] = "ed";
    CK_BBOOL yes = CK_TRUE;
    CK_MECHANISM mechanism = {.mechanism = CKM_EC_EDWARDS_KEY_PAIR_GEN};
    CK_ATTRIBUTE public_half[] = {
        {CKA_TOKEN, &yes, sizeof yes}, {CKA_ID, id, 2}, {CKA_EC_PARAMS, curve, sizeof curve}};
    CK_ATTRIBUTE private_half[] = {
        {CKA_TOKEN, &yes, sizeof yes}, {CKA_PRIVATE, &yes, sizeof yes}, {CKA_ID, id, 2}};
    CK_OBJECT_HANDLE halves[2];
    CK_RV *rv = argument;
    *rv = f->C_GenerateKeyPair(session, &mechanism, public_half, 3, private_half, 3, &halves[0], &halves[1]);
}

static void test_foreign_kind(void **state)
{
    (void)state;
    CK_RV rv = CKR_GENERAL_ERROR;
    struct hsm_key *key = NULL;
    struct hsm_id ed = id_of("ed"), id = id_random();
    fixture_raw(serial_b, add_ed25519, &rv);
    if (rv != CKR_OK)
        skip(); /* SoftHSM was built without it */
    struct hsm_token *token = open_logged_in(serial_b);
    assert_failed(hsm_key_find(token, &ed, &key), PC_EREFUSED, "key-type", "neither RSA nor EC");
    assert_failed(hsm_key_generate(token, PKI_KEY_EC_P256, "beside", &id, &key), PC_EUNREACH, "", "Ed25519");
    assert_null(key);
    assert_int_equal(key_count(token, "beside"), 0);
    hsm_token_close(token);
}

/* A whole run in token c, as far as it goes; what it answered last. */
static int whole_run(void)
{
    PC_CLEANUP(hsm_token_close_ref) struct hsm_token *token = NULL;
    PC_CLEANUP(hsm_key_free_ref) struct hsm_key *key = NULL;
    struct hsm_place place = {.module = fixture_shim(), .serial = serial_c};
    pc_autosecret *pin = secret_of(PIN);
    int r = hsm_token_open(&place, &token);
    if (r == 0)
        r = hsm_token_login(token, pin);
    if (r == 0)
        r = hsm_key_find(token, &shared, &key);
    if (r == 0)
        r = hsm_key_check(key, NULL);
    if (r == 0)
        assert_true(key_signs_for(hsm_key_signer(key), hsm_key_public(key)));
    return r;
}

/* libp11 0.4.12 loses a slot's memory when it cannot list one. What is asked of LeakSanitizer here holds for
 * this program alone; the others watch libp11, too. */
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:libp11.so\n";
}

/* Each call that a run makes fails once: an error with a text, never a crash, a leak, or a success that is
 * none. Only what is read of other slots, and what libp11 can do without, may fail without harm. */
static void test_each_call_failing(void **state)
{
    (void)state;
    static const struct {
        const char *function;
        bool some_harmless;
    } rows[] = {
        {.function = "C_GetInfo"},
        {.function = "C_GetSlotList"},
        {.function = "C_GetSlotInfo", .some_harmless = true},
        {.function = "C_GetTokenInfo", .some_harmless = true},
        {.function = "C_Login"},
        {.function = "C_FindObjectsInit"},
        {.function = "C_FindObjects"},
        {.function = "C_GetAttributeValue", .some_harmless = true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t harmless = 0, calls;
        shim_reset();
        assert_ok(whole_run());
        calls = shim_calls(rows[i].function);
        assert_true(calls > 0);
        for (size_t n = 1; n <= calls; n++) {
            char fail[80];
            snprintf(fail, sizeof fail, "%s:%zu:0x30", rows[i].function, n);
            shim_tell("SHIM_FAIL", fail);
            pc_error_clear();
            int r = whole_run();
            if (r == 0)
                harmless++;
            else
                assert_true(r == pc_error_code() && pc_error_text()[0]);
        }
        print_message("# %s: %zu calls, %zu of them may fail\n", rows[i].function, calls, harmless);
        assert_true(harmless == 0 || (rows[i].some_harmless && harmless < calls));
    }
}

static int reset(void **state)
{
    (void)state;
    shim_reset();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, reset)

static int make_shared(void **state)
{
    (void)state;
    shared = id_random();
    for (int i = 0; i < 2; i++) {
        struct hsm_token *token = open_logged_in(i ? serial_c : serial_a);
        hsm_key_free(key_make(token, PKI_KEY_EC_P256, "shared", &shared));
        hsm_token_close(token);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_type),
        TEST(test_certificates),
        TEST(test_twins),
        TEST(test_no_login),
        TEST(test_missing_and_bad_ids),
        TEST(test_exists),
        TEST(test_count),
        TEST(test_ambiguous),
        TEST(test_destroy),
        TEST(test_half_pairs),
        TEST(test_signing_that_fails),
        TEST(test_threads),
        TEST(test_each_call_failing),
        TEST(test_foreign_kind),
    };
    fixture_start(argc > 1 ? argv[1] : NULL);
    fixture_token("twin", serial_a);
    fixture_token("twin", serial_b);
    fixture_token("lone", serial_c);
    int failed = cmocka_run_group_tests_name("hsm key", tests, make_shared, NULL);
    fixture_end();
    return failed;
}
