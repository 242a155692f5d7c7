/* base/config: what a strict INI file may say, and which source of a setting wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/config.h"
#include "src/base/error.h"
#include "src/base/file.h"

static const struct pc_setting table[] = {
    {"ca", "days", "TEST_CA_DAYS", "3650", pc_check_days}, {"ca", "state", NULL, "/var/lib/x", pc_check_path},
    {"tpm", "allow-simulator", NULL, "no", pc_check_flag}, {"publish", "reload", NULL, NULL, NULL},
    {"device", "overlap", NULL, "14d", pc_check_duration},
};
#define ROWS (sizeof table / sizeof *table)

static char path[] = "/tmp/pc-config-XXXXXX";

static int load_bytes(const void *text, size_t len, struct pc_config **ret)
{
    assert_int_equal(pc_file_write(path, text, len, NULL), 0);
    return pc_config_load(table, ROWS, path, ret);
}

static int load(const char *text, struct pc_config **ret)
{
    return load_bytes(text, strlen(text), ret);
}

static void precedence(void **state)
{
    (void)state;
    struct pc_config *config;
    assert_int_equal(load("# ours\n[ca]\n days = 100 # short\n\n[publish]\nreload = a; b ; c\r\n", &config),
                     0);
    assert_int_equal(pc_config_number(config, "ca", "days"), 100);
    assert_non_null(strstr(pc_config_origin(config, "ca", "days"), ":3"));
    assert_string_equal(pc_config_get(config, "publish", "reload"), "a; b ; c");
    assert_string_equal(pc_config_get(config, "ca", "state"), "/var/lib/x");
    assert_string_equal(pc_config_origin(config, "ca", "state"), "default");
    assert_true(pc_config_duration(config, "device", "overlap") == 14 * 86400);
    pc_config_free(config);

    setenv("TEST_CA_DAYS", "200", 1);
    assert_int_equal(load("[ca]\ndays = 100\n", &config), 0);
    assert_int_equal(pc_config_number(config, "ca", "days"), 200);
    assert_string_equal(pc_config_origin(config, "ca", "days"), "environment TEST_CA_DAYS");
    assert_int_equal(pc_config_override(config, "ca", "days", "300", "--days"), 0);
    assert_int_equal(pc_config_number(config, "ca", "days"), 300);
    assert_int_equal(pc_config_override(config, "ca", "days", "0", "--days"), PC_EUSAGE);
    assert_int_equal(pc_config_number(config, "ca", "days"), 300);
    pc_config_free(config);
    setenv("TEST_CA_DAYS", "many", 1);
    assert_int_equal(load("", &config), PC_EUSAGE);
    assert_non_null(strstr(pc_error_text(), "TEST_CA_DAYS"));
    unsetenv("TEST_CA_DAYS");
}

static void empty_means_unset(void **state)
{
    (void)state;
    struct pc_config *config;
    assert_int_equal(load("[publish]\nreload =\n[ca]\nstate=\n", &config), 0);
    assert_null(pc_config_get(config, "publish", "reload"));
    assert_null(pc_config_get(config, "ca", "state"));
    pc_config_free(config);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"[ca]\nday = 1\n", ":2: no key 'day'"},
        {"[cat]\n", ":1: no section 'cat'"},
        {"days = 1\n", ":1: 'days' stands before any [section]"},
        {"[ca]\ndays = 1\ndays = 2\n", ":3: 'days' stands at"},
        {"[ca]\ndays = 1\n[publish]\n[ca]\ndays = 1\n", ":5: 'days' stands at"},
        {"[ca]\ndays\n", ":2: neither"},
        {"[ca\n", ":1: '[' without"},
        {"[ca]\ndays = 0\n", ":2: days: '0'"},
        {"[ca]\ndays = 36501\n", ":2: days"},
        {"[ca]\ndays = 1e3\n", ":2: days"},
        {"[ca]\nstate = relative\n", ":2: state"},
        {"[tpm]\nallow-simulator = true\n", ":2: allow-simulator"},
        {"[device]\noverlap = -3d\n", ":2: overlap"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pc_config *config = NULL;
        assert_int_equal(load(rows[i].text, &config), PC_EUSAGE);
        assert_null(config);
        if (!strstr(pc_error_text(), rows[i].says) || !strstr(pc_error_text(), path))
            fail_msg("'%s' is not in '%s'", rows[i].says, pc_error_text());
    }
    struct pc_config *config = NULL;
    assert_int_equal(load_bytes("[ca]\n\0days=1\n", 13, &config), PC_EUSAGE);
    assert_int_equal(pc_config_load(table, ROWS, "/nonexistent/file", &config), PC_EUSAGE);
    assert_int_equal(pc_config_load(table, ROWS, "/dev", &config), PC_EUSAGE);
    assert_null(config);
}

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(precedence),
        cmocka_unit_test(empty_means_unset),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
