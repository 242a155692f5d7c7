/* base/code: codes as they are made, as people type them, and what can be none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/code.h"
#include "src/base/error.h"

#define CODE "0123456789ABCDEFGHJKMNPQR"

static void made_ones_are_read(void **state)
{
    char text[PC_CODE_TEXT], again[PC_CODE_TEXT], digits[PC_CODE_DIGITS + 1];
    (void)state;
    assert_int_equal(pc_code_new(text), 0);
    assert_int_equal(strlen(text), PC_CODE_TEXT - 1);
    assert_int_equal(pc_code_read(text, strlen(text), digits), 0);
    assert_int_equal(strlen(digits), PC_CODE_DIGITS);
    assert_int_equal(pc_code_new(again), 0);
    assert_string_not_equal(text, again);
}

static void typed_ones_are_read(void **state)
{
    static const char *const typed[] = {
        CODE,
        "01234-56789-ABCDE-FGHJK-MNPQR",
        "0123456789abcdefghjkmnpqr",
        "oi234 56789 abcde fghjk mnpqr",
        "-Ol23456789--ABCDE FGHJKMNPQR ",
    };
    char digits[PC_CODE_DIGITS + 1];
    (void)state;
    for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++) {
        assert_int_equal(pc_code_read(typed[i], strlen(typed[i]), digits), 0);
        assert_string_equal(digits, CODE);
    }
}

static void others_are_refused(void **state)
{
    static const struct {
        const char *typed, *says;
    } rows[] = {
        {"", "0 letters"},
        {"-----", "0 letters"},
        {"01234-56789-ABCDE-FGHJK-MNPQ", "24 letters"},
        {CODE "S", "26 letters"},
        {CODE CODE CODE, "75 letters"},
        {"U123456789ABCDEFGHJKMNPQR", "character 1 "},
        {"01234-5678u-ABCDE-FGHJK-MNPQR", "character 11 "},
        {"01234\xe2\x80\x93"
         "56789ABCDEFGHJKMNPQR",
         "character 6 "},
        {"01234_56789", "character 6 "},
        {CODE "\t", "character 26 "},
    };
    char digits[PC_CODE_DIGITS + 1] = "kept";
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(pc_code_read(rows[i].typed, strlen(rows[i].typed), digits), PC_EUSAGE);
        assert_string_equal(pc_error_name(), "code-form");
        assert_non_null(strstr(pc_error_text(), rows[i].says));
    }
    assert_int_equal(pc_code_read("0123456789ABCDEFGHJKMNPQ", 25, digits), PC_EUSAGE); /* a NUL in it */
    assert_string_equal(digits, "kept");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_ones_are_read),
        cmocka_unit_test(typed_ones_are_read),
        cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
