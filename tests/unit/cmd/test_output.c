/* cmd/output: JSON of any bytes, fingerprints for people, and output paths that are refused before anything
 * is done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/cmd/output.h"

static void json_text_is_utf8(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain", "plain"},
        {"", ""},
        {"\xc5\x99", "\xc5\x99"},                                                 /* ř */
        {"\xf0\x9f\x94\x91", "\xf0\x9f\x94\x91"},                                 /* four octets */
        {"a\xff", "a\xef\xbf\xbd"},                                               /* no lead byte */
        {"\xc5", "\xef\xbf\xbd"},                                                 /* cut short */
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                                 /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* past U+10FFFF */
        {"\xe2\x82z", "\xef\xbf\xbd\xef\xbf\xbdz"},                               /* third octet missing */
    };

    (void)state;
    for (size_t i = 0; i < CMD_LENGTH(rows); i++) {
        json_t *text = cmd_json_text(rows[i].in);
        assert_true(json_is_string(text));
        assert_string_equal(json_string_value(text), rows[i].out);
        json_decref(text);
    }
    json_t *nothing = cmd_json_text(NULL);
    assert_true(json_is_null(nothing));
    json_decref(nothing);
}

static void members_gather_only_for_json(void **state)
{
    struct cmd cmd = {.json = false};

    (void)state;
    cmd_set(&cmd, "{s:s,s:o}", "a", "b", "when", cmd_json_time(0));
    assert_null(cmd.result);
    cmd.json = true;
    cmd_set(&cmd, "{s:s}", "a", "b");
    cmd_set(&cmd, "{s:o}", "when", cmd_json_time(0));
    char *text = json_dumps(cmd.result, JSON_COMPACT | JSON_PRESERVE_ORDER);
    assert_string_equal(text, "{\"schema\":1,\"a\":\"b\",\"when\":\"1970-01-01T00:00:00Z\"}");
    free(text);
    json_decref(cmd.result);
}

static void colons(void **state)
{
    char text[CMD_COLONS_TEXT];

    (void)state;
    cmd_colons("00ff10abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123", text);
    assert_int_equal(strlen(text), 95);
    assert_memory_equal(text, "00:FF:10:AB:CD", 14);
    cmd_colons((char[PKI_FINGERPRINT_TEXT]){0}, text);
    assert_string_equal(text, "");
}

static void output_paths(void **state)
{
    char folder[] = "/tmp/pc-output-XXXXXX", path[64], link[64];

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(cmd_check_output(NULL), 0);
    assert_int_equal(cmd_check_output("-"), 0);
    assert_int_equal(cmd_check_output(path), 0);
    assert_int_equal(cmd_check_output(folder), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "file-kind");
    assert_int_equal(symlink(path, link), 0); /* dangling: what it points to is not there */
    assert_int_equal(cmd_check_output(link), PC_EREFUSED);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(cmd_check_output(path), PC_EREFUSED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cmd_check_output("/dev/null"), PC_EREFUSED);
    assert_int_equal(cmd_check_output("/no/such/folder/file"), PC_EFAIL);
    snprintf(path, sizeof path, "%s/", folder);
    assert_int_equal(cmd_check_output(path), PC_EREFUSED);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_text_is_utf8),
        cmocka_unit_test(members_gather_only_for_json),
        cmocka_unit_test(colons),
        cmocka_unit_test(output_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
