/* What a token says of its keys, and what is done when it says wrong or fails: nothing weak is used, nothing
 * half made stays. Against SoftHSM through the shim. */
#include "tests/integration/hsm/fixture.h"

#include "src/base/error.h"

static char serial[17];
static struct hsm_id shared; /* of a P-256 key, made once */

static void test_imported_key(void **state)
{
    (void)state;
    struct hsm_id id = id_random();
    fixture_import(serial, "imported", &id);
    struct hsm_token *token = open_logged_in(serial);
    struct hsm_key *key = key_find(token, &id);
    struct hsm_key_attributes attributes = {.mechanism = 77};
    assert_failed(hsm_key_check(key, &attributes), PC_EREFUSED, "key-attributes", "CKA_LOCAL is false");
    assert_failed(hsm_key_check(key, NULL), PC_EREFUSED, "key-attributes", "CKA_ALWAYS_SENSITIVE is false");
    assert_int_equal(attributes.mechanism, 77);
    hsm_key_free(key);
    hsm_token_close(token);
}

static const struct {
    const char *lie, *name;
} lies[] = {
    {"0x1=0", "CKA_TOKEN is false"},
    {"0x2=0", "CKA_PRIVATE is false"},
    {"0x103=0", "CKA_SENSITIVE is false"},
    {"0x103=-", "CKA_SENSITIVE is false"},
    {"0x165=0", "CKA_ALWAYS_SENSITIVE is false"},
    {"0x162=1", "CKA_EXTRACTABLE is true"},
    {"0x162=-", "CKA_EXTRACTABLE is true"},
    {"0x164=0", "CKA_NEVER_EXTRACTABLE is false"},
    {"0x164=-", "CKA_NEVER_EXTRACTABLE is false"},
    {"0x163=0", "CKA_LOCAL is false"},
    {"0x108=0", "CKA_SIGN is false"},
    {"0x105=1", "CKA_DECRYPT is true"},
    {"0x107=1", "CKA_UNWRAP is true"},
    {"0x202=1", "CKA_ALWAYS_AUTHENTICATE is true"},
};

static void test_wrong_attributes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct hsm_id id = id_random();
        struct hsm_key *made = NULL;
        shim_reset();
        shim_tell("SHIM_ATTRIBUTES", lies[i].lie);
        struct hsm_token *token = open_logged_in(serial);
        struct hsm_key *key = key_find(token, &shared);
        assert_failed(hsm_key_check(key, NULL), PC_EREFUSED, "key-attributes", lies[i].name);
        hsm_key_free(key);

        assert_failed(hsm_key_generate(token, PKI_KEY_EC_P256, "weak", &id, &made), PC_EREFUSED,
                      "key-attributes", lies[i].name);
        assert_null(made);
        assert_int_equal(shim_calls("C_GenerateKeyPair"), 1);
        assert_int_equal(key_count(token, "weak"), 0);
        assert_failed(hsm_key_destroy(token, &id), PC_EREFUSED, "key-missing", ""); /* neither half is left */
        assert_int_equal(shim_calls("C_Sign"), 0);
        hsm_token_close(token);
    }
}

static void test_attributes_that_may_be_missing(void **state)
{
    (void)state;
    struct hsm_key_attributes attributes;
    shim_tell("SHIM_ATTRIBUTES", "0x105=-,0x107=-,0x10c=-,0x109=-,0x202=-");
    struct hsm_token *token = open_logged_in(serial);
    struct hsm_key *key = key_find(token, &shared);
    assert_ok(hsm_key_check(key, &attributes));
    assert_false(attributes.decrypt || attributes.unwrap || attributes.derive || attributes.sign_recover);
    hsm_key_free(key);
    hsm_token_close(token);
}

static void test_generation_that_fails(void **state)
{
    (void)state;
    static const struct {
        const char *fail;
        int code;
        const char *words;
    } rows[] = {
        {"C_GenerateKeyPair:1:0x70", PC_EREFUSED, "CKR_MECHANISM_INVALID"},
        {"C_GenerateKeyPair:1:0xd1", PC_EREFUSED, "CKR_TEMPLATE_INCONSISTENT"},
        {"C_GenerateKeyPair:1:0x140", PC_EREFUSED, "CKR_CURVE_NOT_SUPPORTED"},
        {"C_GenerateKeyPair:1:0x31", PC_EUNREACH, "CKR_DEVICE_MEMORY"},
        {"C_GenerateKeyPair:1:0x101", PC_EUNREACH, "CKR_USER_NOT_LOGGED_IN"},
        {"C_OpenSession:2:0xe2", PC_EREFUSED, "CKR_TOKEN_WRITE_PROTECTED"},
        {"C_OpenSession:3:0xb1", PC_EUNREACH, "CKR_SESSION_COUNT"},
        {"C_GetAttributeValue:1:0x30", PC_EUNREACH, "CKR_DEVICE_ERROR"},
        {"C_FindObjects:3:0x30", PC_EUNREACH, "CKR_DEVICE_ERROR"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hsm_id id = id_random();
        struct hsm_key *key = NULL;
        shim_tell("SHIM_FAIL", rows[i].fail);
        struct hsm_token *token = open_logged_in(serial);
        print_message("# %s\n", rows[i].fail);
        assert_failed(hsm_key_generate(token, PKI_KEY_EC_P256, "failing", &id, &key), rows[i].code, "",
                      rows[i].words);
        assert_null(key);
        hsm_token_close(token);
        shim_reset();
        token = open_logged_in(serial);
        assert_int_equal(key_count(token, "failing"), 0);
        hsm_token_close(token);
    }
}

static void test_stranded_key_is_named(void **state)
{
    (void)state;
    struct hsm_id id = id_random();
    struct hsm_key *key = NULL;
    shim_tell("SHIM_ATTRIBUTES", "0x162=1");
    shim_tell("SHIM_FAIL", "C_DestroyObject:0:0x30");
    struct hsm_token *token = open_logged_in(serial);
    assert_failed(hsm_key_generate(token, PKI_KEY_EC_P256, "stranded", &id, &key), PC_EREFUSED,
                  "key-attributes", "'stranded' is left in the token");
    assert_failed(hsm_key_destroy(token, &id), PC_EUNREACH, "", "CKR_DEVICE_ERROR");
    hsm_token_close(token);
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
    struct hsm_token *token = open_logged_in(serial);
    hsm_key_free(key_make(token, PKI_KEY_EC_P256, "shared", &shared));
    hsm_token_close(token);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_imported_key),
        TEST(test_wrong_attributes),
        TEST(test_attributes_that_may_be_missing),
        TEST(test_generation_that_fails),
        TEST(test_stranded_key_is_named),
    };
    fixture_start(argc > 1 ? argv[1] : NULL);
    fixture_token("attributes", serial);
    int failed = cmocka_run_group_tests_name("hsm attributes", tests, make_shared, NULL);
    fixture_end();
    return failed;
}
