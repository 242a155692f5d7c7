/* cmd/checks: what a setting's value may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/cmd/checks.h"
#include "src/cmd/command.h"

struct row {
    int (*check)(const char *value);
    const char *value;
};

static const struct row good[] = {
    {cmd_check_handles, "0x81020000-0x8102000f"},
    {cmd_check_handles, "0x81000002-0x81000003"},
    {cmd_check_listen, "0.0.0.0:8443"},
    {cmd_check_listen, "[::1]:1"},
    {cmd_check_listen, "station.example:65535"},
    {cmd_check_host, "mqtt.voke.lovinka.com"},
    {cmd_check_host, "10.0.0.1"},
    {cmd_check_broker, "mqtt.voke.lovinka.com"},
    {cmd_check_broker, "localhost:8886"},
    {cmd_check_broker, "10.0.0.1:1"},
    {cmd_check_broker, "[fe80::1]"},
    {cmd_check_broker, "[::1]:65535"},
    {cmd_check_https, "https://station:8443"},
    {cmd_check_group, "root"},
    {cmd_check_command, "systemctl reload mosquitto"},
};

static const struct row bad[] = {
    {cmd_check_handles, ""},
    {cmd_check_handles, "0x81020000"},
    {cmd_check_handles, "0x81020000-"},
    {cmd_check_handles, "81020000-8102000f"},
    {cmd_check_handles, "0x81020000-0x81020000"},
    {cmd_check_handles, "0x8102000f-0x81020000"},
    {cmd_check_handles, "0x80ffffff-0x81000010"},
    {cmd_check_handles, "0x817fffff-0x81800000"},
    {cmd_check_handles, "0x81000000-0x8100000f"},
    {cmd_check_handles, "0x181020000-0x18102000f"},
    {cmd_check_handles, "0x81020000-0x8102000f "},
    {cmd_check_handles, "0x81020000--0x8102000f"},
    {cmd_check_handles, "0xffffffffffffffffff-0x8102000f"},
    {cmd_check_listen, "8443"},
    {cmd_check_listen, ":8443"},
    {cmd_check_listen, "host:0"},
    {cmd_check_listen, "host:65536"},
    {cmd_check_listen, "host:8443x"},
    {cmd_check_listen, "host: 8443"},
    {cmd_check_host, "a b"},
    {cmd_check_host, "*.example"},
    {cmd_check_host, "-a.example"},
    {cmd_check_broker, ""},
    {cmd_check_broker, ":8883"},
    {cmd_check_broker, "host:"},
    {cmd_check_broker, "host:0"},
    {cmd_check_broker, "host:65536"},
    {cmd_check_broker, "host:88x"},
    {cmd_check_broker, "host: 88"},
    {cmd_check_broker, "::1"},
    {cmd_check_broker, "::1:8883"},
    {cmd_check_broker, "[::1"},
    {cmd_check_broker, "[::1]8883"},
    {cmd_check_broker, "[host]:8883"},
    {cmd_check_broker, "[10.0.0.1]"},
    {cmd_check_broker, "[]:8883"},
    {cmd_check_broker, "mqtts://host"},
    {cmd_check_broker, "*.example:8883"},
    {cmd_check_https, "http://station"},
    {cmd_check_https, "https://"},
    {cmd_check_https, "https://user:secret@station"},
    {cmd_check_https, "https://a b"},
    {cmd_check_group, "no-such-group-here"},
    {cmd_check_command, "a\nb"},
};

static void good_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < CMD_LENGTH(good); i++)
        if (good[i].check(good[i].value) != 0)
            fail_msg("'%s' is refused: %s", good[i].value, pc_error_text());
}

static void bad_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < CMD_LENGTH(bad); i++) {
        pc_error_clear();
        if (bad[i].check(bad[i].value) != PC_EUSAGE)
            fail_msg("'%s' is accepted", bad[i].value);
        assert_string_not_equal(pc_error_text(), "");
    }
}

static void handles(void **state)
{
    uint32_t first = 1, last = 2;

    (void)state;
    assert_int_equal(cmd_handles_parse("nonsense", &first, &last), PC_EUSAGE);
    assert_int_equal(first, 1);
    assert_int_equal(last, 2);
    assert_int_equal(cmd_handles_parse("0x81020000-0x8102000F", &first, &last), 0);
    assert_true(first == UINT32_C(0x81020000));
    assert_true(last == UINT32_C(0x8102000f));
}

static void broker(void **state)
{
    static const struct {
        const char *value, *host;
        uint16_t port;
    } rows[] = {
        {"broker.example", "broker.example", 8883},
        {"broker.example:8886", "broker.example", 8886},
        {"[::1]", "::1", 8883},
        {"[::1]:1883", "::1", 1883},
    };
    char host[64];
    uint16_t port;
    (void)state;
    for (size_t i = 0; i < CMD_LENGTH(rows); i++) {
        assert_int_equal(cmd_broker_parse(rows[i].value, host, sizeof host, &port), 0);
        assert_string_equal(host, rows[i].host);
        assert_int_equal(port, rows[i].port);
    }
    assert_int_equal(cmd_broker_parse("12345678", host, 8, &port), PC_EUSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_values),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(handles),
        cmocka_unit_test(broker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
