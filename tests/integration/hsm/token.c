/* Tokens: which one a place means, what a URI may say, and the one login. Against SoftHSM, some of it through
 * the shim. */
#include "tests/integration/hsm/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/error.h"

static char serial_a[17], serial_b[17], serial_c[17]; /* "voke-ca"; twice "twin" */

static int open_place(const struct hsm_place *place, struct hsm_token **ret)
{
    *ret = NULL;
    return hsm_token_open(place, ret);
}

/* Opens, compares the serial of what was found, closes. */
static void assert_finds(const struct hsm_place *place, const char *serial)
{
    struct hsm_token *token;
    const struct hsm_token_info *info;
    assert_ok(open_place(place, &token));
    assert_ok(hsm_token_info(token, &info));
    assert_string_equal(info->serial, serial);
    hsm_token_close(token);
}

static void assert_refuses(const struct hsm_place *place, int code, const char *words)
{
    struct hsm_token *token;
    assert_failed(open_place(place, &token), code, "", words);
    assert_null(token);
}

static void test_label_and_serial(void **state)
{
    (void)state;
    const char *module = fixture_module();
    assert_finds(&(struct hsm_place){.module = module, .label = "voke-ca"}, serial_a);
    assert_finds(&(struct hsm_place){.module = module, .serial = serial_a}, serial_a);
    assert_finds(&(struct hsm_place){.module = module, .label = "voke-ca", .serial = serial_a}, serial_a);
    assert_finds(&(struct hsm_place){.module = module, .label = "voke-ca", .serial = "", .uri = ""},
                 serial_a);
    assert_finds(&(struct hsm_place){.module = module, .label = "twin", .serial = serial_b}, serial_b);
    assert_finds(&(struct hsm_place){.module = module, .label = "twin", .serial = serial_c}, serial_c);
}

static void test_info(void **state)
{
    (void)state;
    struct hsm_token *token = open_serial(serial_a);
    const struct hsm_token_info *info;
    assert_ok(hsm_token_info(token, &info));
    assert_string_equal(info->label, "voke-ca");
    assert_string_equal(info->serial, serial_a);
    assert_string_equal(info->model, "SoftHSM v2");
    assert_string_equal(info->manufacturer, "SoftHSM project");
    assert_string_equal(info->module, fixture_shim());
    assert_true(info->firmware[0] >= '0' && info->firmware[0] <= '9' && strchr(info->firmware, '.'));
    assert_false(info->pin_final_try || info->pin_locked || info->pin_count_low || info->write_protected);
    assert_int_equal(shim_calls("C_OpenSession"), 0);
    hsm_token_close(token);
    assert_int_equal(shim_calls("C_Initialize"), 1);
    assert_int_equal(shim_calls("C_Finalize"), 1);

    shim_tell("SHIM_FLAGS_SET", "0x70002"); /* COUNT_LOW, FINAL_TRY, LOCKED, WRITE_PROTECTED */
    token = open_serial(serial_a);
    assert_ok(hsm_token_info(token, &info));
    assert_true(info->pin_final_try && info->pin_locked && info->pin_count_low && info->write_protected);
    hsm_token_close(token);
}

static void test_none_or_several(void **state)
{
    (void)state;
    const char *module = fixture_module();
    assert_refuses(&(struct hsm_place){.module = module, .label = "voke"}, PC_EUNREACH,
                   "label 'voke-ca' serial");
    assert_refuses(&(struct hsm_place){.module = module, .label = "voke"}, PC_EUNREACH, serial_a);
    assert_refuses(&(struct hsm_place){.module = module, .label = "voke-ca", .serial = serial_b}, PC_EUNREACH,
                   "no token");
    assert_refuses(&(struct hsm_place){.module = module, .serial = "0"}, PC_EUNREACH, serial_c);
    assert_refuses(&(struct hsm_place){.module = module, .label = "twin"}, PC_EUNREACH, "2 tokens match");
    assert_refuses(&(struct hsm_place){.module = module, .label = "twin"}, PC_EUNREACH, serial_b);
    assert_refuses(&(struct hsm_place){.module = module, .label = "twin"}, PC_EUNREACH, serial_c);
    assert_refuses(&(struct hsm_place){.module = module}, PC_EUNREACH, "3 tokens match");
    assert_refuses(&(struct hsm_place){.module = module, .label = "a label of more than thirty-two bytes"},
                   PC_EUSAGE, "label");
    assert_refuses(&(struct hsm_place){.module = module, .serial = "01234567890123456"}, PC_EUSAGE, "serial");
}

static void test_modules(void **state)
{
    (void)state;
    assert_refuses(&(struct hsm_place){.label = "voke-ca"}, PC_EUSAGE, "no PKCS#11 module");
    assert_refuses(&(struct hsm_place){.module = "libsofthsm2.so"}, PC_EUSAGE, "absolute");
    assert_refuses(&(struct hsm_place){.module = "/nowhere/module.so"}, PC_EUNREACH, "/nowhere/module.so");
    assert_refuses(&(struct hsm_place){.module = "/etc/passwd"}, PC_EUNREACH, "does not load");
    assert_refuses(&(struct hsm_place){.module = "/"}, PC_EUNREACH, "does not load");
    assert_refuses(&(struct hsm_place){.module = "/lib/x86_64-linux-gnu/libc.so.6"}, PC_EUNREACH,
                   "does not load");
}

static void test_no_configuration(void **state)
{
    (void)state;
    char *conf = strdup(getenv("SOFTHSM2_CONF"));
    setenv("SOFTHSM2_CONF", "/nowhere/softhsm2.conf", 1);
    assert_refuses(&(struct hsm_place){.module = fixture_module()}, PC_EUNREACH, "CKR_GENERAL_ERROR");
    setenv("SOFTHSM2_CONF", conf, 1);
    free(conf);
}

static void test_only_blank_tokens(void **state)
{
    (void)state;
    char empty[128], text[200], *conf = strdup(getenv("SOFTHSM2_CONF"));
    snprintf(empty, sizeof empty, "%s/empty.conf", fixture_folder());
    snprintf(text, sizeof text, "%s/none", fixture_folder());
    assert_int_equal(mkdir(text, 0700), 0);
    FILE *file = fopen(empty, "w");
    fprintf(file, "directories.tokendir = %s\n", text);
    fclose(file);
    setenv("SOFTHSM2_CONF", empty, 1);
    assert_refuses(&(struct hsm_place){.module = fixture_module()}, PC_EUNREACH,
                   "no initialised token (and 1 not");
    setenv("SOFTHSM2_CONF", conf, 1);
    free(conf);
}

static void test_uri_finds(void **state)
{
    (void)state;
    char uri[512];
    const char *module = fixture_module();
    assert_finds(&(struct hsm_place){.module = module, .uri = "pkcs11:token=voke-ca"}, serial_a);
    assert_finds(&(struct hsm_place){.module = module, .uri = "pkcs11:token=v%6fke%2Dca;model=SoftHSM%20v2"},
                 serial_a);
    assert_finds(
        &(struct hsm_place){.module = module, .uri = "pkcs11:manufacturer=SoftHSM%20project;token=voke-ca"},
        serial_a);
    snprintf(uri, sizeof uri, "pkcs11:serial=%s", serial_c);
    assert_finds(&(struct hsm_place){.module = module, .uri = uri}, serial_c);
    snprintf(uri, sizeof uri, "pkcs11:token=twin;serial=%s?module-path=%s", serial_b, module);
    assert_finds(&(struct hsm_place){.uri = uri}, serial_b);
    assert_finds(&(struct hsm_place){.uri = uri, .module = module}, serial_b);
}

static void test_uri_slot(void **state)
{
    (void)state;
    char uri[128];
    struct hsm_token *token;
    unsigned long slot = 0;
    assert_failed(open_place(&(struct hsm_place){.module = fixture_module(), .label = "twin"}, &token),
                  PC_EUNREACH, "", "slot ");
    const char *at = strstr(pc_error_text(), serial_b);
    assert_non_null(at);
    assert_int_equal(sscanf(strstr(at, "slot "), "slot %lu", &slot), 1);
    snprintf(uri, sizeof uri, "pkcs11:slot-id=%lu", slot);
    assert_finds(&(struct hsm_place){.module = fixture_module(), .uri = uri}, serial_b);
    snprintf(uri, sizeof uri, "pkcs11:token=voke-ca;slot-id=%lu", slot);
    assert_refuses(&(struct hsm_place){.module = fixture_module(), .uri = uri}, PC_EUNREACH,
                   "no token matches");
}

static void test_uri_refused(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        int code;
        const char *words;
    } rows[] = {
        {"pkcs11:token=voke-ca?pin-value=hunter2", PC_EUSAGE, "pin-value"},
        {"pkcs11:token=voke-ca?pin-value=", PC_EUSAGE, "pin-value"},
        {"pkcs11:token=voke-ca?pin-source=file:/hunter2", PC_EUSAGE, "pin-source"},
        {"pkcs11:token=voke-ca?module-name=hunter2", PC_EUSAGE, "module-name"},
        {"pkcs11:token=voke-ca;object=hunter2", PC_EUSAGE, "object"},
        {"pkcs11:token=voke-ca;type=private", PC_EUSAGE, "object"},
        {"pkcs11:token=voke-ca;id=%01", PC_EUSAGE, "object"},
        {"pkcs11:token=voke-ca;colour=hunter2", PC_EUSAGE, "RFC 7512"},
        {"pkcs11:token=%zzhunter2", PC_EUSAGE, "PKCS#11 URI"},
        {"pkcs11:token", PC_EUSAGE, "PKCS#11 URI"},
        {"https://hunter2/", PC_EUSAGE, "PKCS#11 URI"},
        {"voke-ca", PC_EUSAGE, "PKCS#11 URI"},
        {"pkcs11:token=a%20label%20of%20more%20than%20thirty-two%20bytes", PC_EUSAGE, "PKCS#11 URI"},
        {"pkcs11:token=voke-ca?module-path=/other.so", PC_EUSAGE, "two PKCS#11 modules"},
        {"pkcs11:", PC_EUNREACH, "3 tokens match"},
        {"pkcs11:token=voke", PC_EUNREACH, "no token matches"},
        {"pkcs11:token=voke-ca;model=Other", PC_EUNREACH, "no token matches"},
        {"pkcs11:token=voke-ca;library-manufacturer=Other", PC_EUNREACH, "not the library"},
        {"pkcs11:token=voke-ca;slot-description=Other", PC_EUNREACH, "no token matches"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print_message("# %s\n", rows[i].uri);
        assert_refuses(&(struct hsm_place){.module = fixture_module(), .uri = rows[i].uri}, rows[i].code,
                       rows[i].words);
        assert_null(strstr(pc_error_text(), "hunter2"));
    }
    assert_refuses(&(struct hsm_place){.module = fixture_module(), .uri = "pkcs11:", .label = "x"}, PC_EUSAGE,
                   "twice");
    assert_refuses(&(struct hsm_place){.module = fixture_module(), .uri = "pkcs11:", .serial = "x"},
                   PC_EUSAGE, "twice");
}

static void test_in_use(void **state)
{
    (void)state;
    struct hsm_token *first = open_serial(serial_a), *second;
    const struct hsm_token_info *info;
    struct hsm_place place = {.module = fixture_shim(), .serial = serial_b};
    assert_failed(open_place(&place, &second), PC_EUNREACH, "", "in use already");
    assert_ok(hsm_token_info(first, &info));
    assert_string_equal(info->serial, serial_a);
    hsm_token_close(first);
    assert_finds(&place, serial_b);
}

static void test_modules_that_fail(void **state)
{
    (void)state;
    static const struct {
        const char *fail, *words;
    } rows[] = {
        {"C_Initialize:1:0x30", "does not start: CKR_DEVICE_ERROR"},
        {"C_Initialize:1:0x80000123", "CKR_0x80000123"},
        {"C_GetInfo:1:0x5", "CKR_GENERAL_ERROR"},
        {"C_GetSlotList:1:0x30", "CKR_DEVICE_ERROR"},
        {"C_GetSlotList:2:0x30", "CKR_DEVICE_ERROR"},
        {"C_GetSlotList:0:0x150", "CKR_BUFFER_TOO_SMALL"},
        {"C_GetTokenInfo:0:0x32", "cannot be read: CKR_DEVICE_REMOVED"},
        {"C_GetTokenInfo:0:0xe0", "no initialised token"},
        {"C_GetSlotInfo:0:0x32", "no token matches"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print_message("# %s\n", rows[i].fail);
        shim_tell("SHIM_FAIL", rows[i].fail);
        assert_refuses(&(struct hsm_place){.module = fixture_shim(), .serial = serial_a}, PC_EUNREACH,
                       rows[i].words);
    }
}

static void test_odd_slots(void **state)
{
    (void)state;
    struct hsm_place place = {.module = fixture_shim(), .label = "voke-ca"};
    shim_tell("SHIM_SLOTS", "twice");
    assert_finds(&place, serial_a);
    shim_reset();
    shim_tell("SHIM_FAIL", "C_GetSlotList:2:0x150"); /* the list grew: asked again */
    assert_finds(&place, serial_a);
    shim_reset();
    shim_tell("SHIM_LABEL", "padded"); /* with NULs */
    assert_finds(&(struct hsm_place){.module = fixture_shim(), .label = "padded", .serial = serial_a},
                 serial_a);
    assert_refuses(&(struct hsm_place){.module = fixture_shim(), .label = "pad"}, PC_EUNREACH, "'padded'");
    shim_tell("SHIM_LABEL", "\033[2Jevil");
    assert_refuses(&(struct hsm_place){.module = fixture_shim(), .label = "voke-ca"}, PC_EUNREACH,
                   "'?[2Jevil'");
}

static void test_token_gone(void **state)
{
    (void)state;
    const struct hsm_token_info *info = NULL;
    shim_tell("SHIM_FAIL", "C_GetTokenInfo:5:0xe0"); /* after the four slots were surveyed */
    struct hsm_token *token = open_serial(serial_a);
    assert_failed(hsm_token_info(token, &info), PC_EUNREACH, "", "CKR_TOKEN_NOT_PRESENT");
    assert_null(info);
    hsm_token_close(token);
}

static void test_login(void **state)
{
    (void)state;
    struct hsm_token *token = open_serial(serial_a);
    pc_autosecret *pin = secret_of(PIN), *wrong = secret_of("wrong-pin");
    assert_ok(hsm_token_login(token, pin));
    assert_ok(hsm_token_login(token, pin));
    assert_ok(hsm_token_login(token, wrong)); /* done is done: nothing is tried */
    assert_int_equal(shim_calls("C_Login"), 1);
    hsm_token_close(token);
}

static void test_wrong_pin_is_tried_once(void **state)
{
    (void)state;
    struct hsm_token *token = open_serial(serial_a);
    pc_autosecret *pin = secret_of(PIN), *wrong = secret_of("wrong-pin");
    assert_failed(hsm_token_login(token, wrong), PC_EAUTH, "authentication", "CKR_PIN_INCORRECT");
    assert_null(strstr(pc_error_text(), "wrong-pin"));
    assert_failed(hsm_token_login(token, wrong), PC_EAUTH, "", "not tried again");
    assert_failed(hsm_token_login(token, pin), PC_EAUTH, "", "not tried again");
    assert_int_equal(shim_calls("C_Login"), 1);
    hsm_token_close(token);
}

static void test_pins_not_tried(void **state)
{
    (void)state;
    static const struct {
        const char *set, *clear, *words;
    } rows[] = {
        {"0x20000", "0", "CKF_USER_PIN_FINAL_TRY"}, {"0x40000", "0", "CKF_USER_PIN_LOCKED"},
        {"0x60000", "0", "CKF_USER_PIN_LOCKED"},    {"0x80000", "0", "CKF_USER_PIN_TO_BE_CHANGED"},
        {"0", "0x8", "CKF_USER_PIN_INITIALIZED"},
    };
    pc_autosecret *pin = secret_of(PIN);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        shim_tell("SHIM_FLAGS_SET", rows[i].set);
        shim_tell("SHIM_FLAGS_CLEAR", rows[i].clear);
        struct hsm_token *token = open_serial(serial_a);
        assert_failed(hsm_token_login(token, pin), PC_EAUTH, "", rows[i].words);
        hsm_token_close(token);
    }
    assert_int_equal(shim_calls("C_Login"), 0);
    assert_int_equal(shim_calls("C_OpenSession"), 0);
}

static void test_pins_of_wrong_length(void **state)
{
    (void)state;
    char longest[257];
    memset(longest, 'x', 256);
    longest[256] = '\0';
    pc_autosecret *empty = secret_of(""), *shorter = secret_of("123"), *longer = secret_of(longest),
                  *pin = secret_of(PIN);
    struct hsm_token *token = open_serial(serial_a);
    assert_failed(hsm_token_login(token, NULL), PC_EAUTH, "", "empty");
    assert_failed(hsm_token_login(token, empty), PC_EAUTH, "", "empty");
    assert_failed(hsm_token_login(token, shorter), PC_EAUTH, "", "not tried");
    assert_failed(hsm_token_login(token, longer), PC_EAUTH, "", "not tried");
    assert_int_equal(shim_calls("C_Login"), 0);
    assert_ok(hsm_token_login(token, pin)); /* no try was spent */
    hsm_token_close(token);
}

static void test_pin_pad(void **state)
{
    (void)state;
    pc_autosecret *empty = secret_of("");
    shim_tell("SHIM_FLAGS_SET", "0x100"); /* CKF_PROTECTED_AUTHENTICATION_PATH */
    shim_tell("SHIM_FAIL", "C_Login:1:0x0");
    struct hsm_token *token = open_serial(serial_a);
    assert_failed(hsm_token_login(token, empty), PC_EAUTH, "", "empty");
    assert_int_equal(shim_calls("C_Login"), 0);
    assert_ok(hsm_token_login(token, NULL));
    assert_int_equal(shim_calls("C_Login"), 1);
    hsm_token_close(token);
}

static void test_logins_that_fail(void **state)
{
    (void)state;
    static const struct {
        const char *fail;
        int code;
        const char *words;
        size_t logins;
    } rows[] = {
        {"C_Login:1:0xa4", PC_EAUTH, "CKR_PIN_LOCKED", 1},
        {"C_Login:1:0xa3", PC_EAUTH, "CKR_PIN_EXPIRED", 1},
        {"C_Login:1:0x102", PC_EAUTH, "CKR_USER_PIN_NOT_INITIALIZED", 1},
        {"C_Login:1:0x100", PC_EAUTH, "CKR_USER_ALREADY_LOGGED_IN", 1},
        {"C_Login:1:0x32", PC_EUNREACH, "CKR_DEVICE_REMOVED", 1},
        {"C_Login:1:0x2", PC_EFAIL, "CKR_HOST_MEMORY", 1},
        {"C_Login:1:0x8000abcd", PC_EUNREACH, "CKR_0x8000abcd", 1},
        {"C_OpenSession:1:0xb1", PC_EUNREACH, "CKR_SESSION_COUNT", 0},
    };
    pc_autosecret *pin = secret_of(PIN);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        shim_reset();
        shim_tell("SHIM_FAIL", rows[i].fail);
        struct hsm_token *token = open_serial(serial_a);
        assert_failed(hsm_token_login(token, pin), rows[i].code, "", rows[i].words);
        assert_int_equal(shim_calls("C_Login"), rows[i].logins);
        if (rows[i].logins)
            assert_failed(hsm_token_login(token, pin), PC_EAUTH, "", "not tried again");
        else
            assert_ok(hsm_token_login(token, pin)); /* the PIN was not tried before */
        assert_int_equal(shim_calls("C_Login"), 1);
        hsm_token_close(token);
    }
}

static int reset(void **state)
{
    (void)state;
    shim_reset();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, reset)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_label_and_serial),
        TEST(test_info),
        TEST(test_none_or_several),
        TEST(test_modules),
        TEST(test_no_configuration),
        TEST(test_only_blank_tokens),
        TEST(test_uri_finds),
        TEST(test_uri_slot),
        TEST(test_uri_refused),
        TEST(test_in_use),
        TEST(test_modules_that_fail),
        TEST(test_odd_slots),
        TEST(test_token_gone),
        TEST(test_login),
        TEST(test_wrong_pin_is_tried_once),
        TEST(test_pins_not_tried),
        TEST(test_pins_of_wrong_length),
        TEST(test_pin_pad),
        TEST(test_logins_that_fail),
    };
    fixture_start(argc > 1 ? argv[1] : NULL);
    fixture_token("voke-ca", serial_a);
    fixture_token("twin", serial_b);
    fixture_token("twin", serial_c);
    int failed = cmocka_run_group_tests_name("hsm token", tests, NULL, NULL);
    fixture_end();
    return failed;
}
