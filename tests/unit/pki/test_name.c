/* src/pki/name: UUIDs, distinguished names and alternative names, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/pki/name.h"

static void uuids(void **state)
{
    static const char *const bad[] = {
        "",
        "00000000-0000-0000-0000-000000000000",
        "A1b2c3d4-0000-4000-8000-000000000001",
        "a1b2c3d4-0000-4000-8000-00000000000",
        "a1b2c3d4-0000-4000-8000-0000000000011",
        "a1b2c3d4-0000-4000-8000-000000000001 ",
        "a1b2c3d400004000-8000-0000-00000000001",
        "{a1b2c3d4-0000-4000-8000-000000000001}",
        "g1b2c3d4-0000-4000-8000-000000000001",
        "a1b2c3d4_0000_4000_8000_000000000001",
    };

    (void)state;
    assert_true(pki_uuid_is_canonical("a1b2c3d4-0000-0000-0000-000000000001"));
    assert_int_equal(pki_uuid_check("ffffffff-ffff-ffff-ffff-ffffffffffff"), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(pki_uuid_is_canonical(bad[i]));
        assert_int_equal(pki_uuid_check(bad[i]), PC_EUSAGE);
    }
}

static void names_there_and_back(void **state)
{
    static const char *const good[] = {
        "/C=CZ/ST=Prague/O=CPI IoT Platform/CN=CPI Root CA",
        "/CN=CPI Root CA G2",
        "/O=A\\/S Výroba/OU=back\\\\slash/CN=a=b",
        "/DC=example/DC=com/emailAddress=ca@example.com/serialNumber=7",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        X509_NAME *name = NULL;
        char *text = NULL;

        assert_int_equal(pki_name_parse(good[i], &name), 0);
        assert_int_equal(pki_name_format(name, &text), 0);
        assert_string_equal(text, good[i]);
        free(text);
        X509_NAME_free(name);
    }
}

static void string_types(void **state)
{
    X509_NAME *name = NULL;

    (void)state;
    assert_int_equal(pki_name_parse("/C=CZ/O=Plain/CN=Výroba", &name), 0);
    assert_int_equal(ASN1_STRING_type(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, 0))),
                     V_ASN1_PRINTABLESTRING);
    assert_int_equal(ASN1_STRING_type(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, 1))),
                     V_ASN1_PRINTABLESTRING);
    assert_int_equal(ASN1_STRING_type(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, 2))),
                     V_ASN1_UTF8STRING);
    X509_NAME_free(name);
}

static void names_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "/",
        "CN=x",
        "/CN",
        "/CN=",
        "/CN=a/",
        "//CN=a",
        "/XX=a",
        "/C=CZE",
        "/C=C",
        "/C=č1",
        "/CN=a\nb",
        "/CN=a\\",
        "/CN=a\\n",
        "/CN=\xff\xfe",
        "/cn=a",
        "/=a",
        "/CN=a/O",
        "/CN=a/O=",
        "/DC=ž",
        "/CN=a\x7f",
        "/CN=12345678901234567890123456789012345678901234567890123456789012345",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        X509_NAME *name = NULL;

        assert_int_equal(pki_name_parse(bad[i], &name), PC_EUSAGE);
        assert_null(name);
    }
}

/* A foreign name may hold anything: what is shown holds no control character. */
static void foreign_name_is_shown_safely(void **state)
{
    X509_NAME *name = X509_NAME_new();
    char *text = NULL, *cn = NULL;

    (void)state;
    X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING, (const unsigned char *)"a\033[2J\0b",
                               7, -1, 0);
    assert_int_equal(pki_name_format(name, &text), 0);
    assert_string_equal(text, "/CN=a\\x1b[2J\\x00b");
    assert_int_equal(pki_name_cn(name, &cn), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "name-cn");
    free(text);
    X509_NAME_free(name);
}

static void cn(void **state)
{
    X509_NAME *name = NULL;
    char *text = NULL;

    (void)state;
    assert_int_equal(pki_name_parse("/O=x/CN=one", &name), 0);
    assert_int_equal(pki_name_cn(name, &text), 0);
    assert_string_equal(text, "one");
    free(text);
    text = NULL;
    X509_NAME_free(name);
    assert_int_equal(pki_name_parse("/CN=one/CN=two", &name), 0);
    assert_int_equal(pki_name_cn(name, &text), PC_EREFUSED);
    X509_NAME_free(name);
    assert_int_equal(pki_name_parse("/O=x", &name), 0);
    assert_int_equal(pki_name_cn(name, &text), PC_EREFUSED);
    assert_null(text);
    X509_NAME_free(name);
}

static void alternative_names(void **state)
{
    GENERAL_NAMES *names = NULL;
    char *text = NULL;

    (void)state;
    assert_int_equal(
        pki_san_parse("DNS:mqtt.example,IP:127.0.0.1 ,\tIP:::1, DNS:*.example, DNS:cpi-mosquitto", &names),
        0);
    assert_int_equal(pki_san_add(names, "MQTT.example"), 0);
    assert_int_equal(pki_san_add(names, "127.0.0.1"), 0);
    assert_int_equal(pki_san_add(names, "10.0.0.1"), 0);
    assert_int_equal(pki_san_add(names, "localhost"), 0);
    assert_int_equal(pki_san_format(names, &text), 0);
    assert_string_equal(
        text, "DNS:mqtt.example, IP:127.0.0.1, IP:::1, DNS:*.example, DNS:cpi-mosquitto, IP:10.0.0.1, "
              "DNS:localhost");
    assert_int_equal(pki_san_add(names, "not a host"), PC_EUSAGE);
    assert_int_equal(sk_GENERAL_NAME_num(names), 7);
    free(text);
    GENERAL_NAMES_free(names);
}

static void alternative_names_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "DNS:",
        "IP:",
        "mqtt.example",
        "DNS:a,",
        "DNS:-a",
        "DNS:a-.b",
        "DNS:a..b",
        "DNS:a.",
        "DNS:a_b",
        "DNS:1.2.3.4",
        "IP:1.2.3",
        "IP:a.b",
        "URI:urn:x",
        "IP:1.2.3.4 5",
        "DNS:a b",
        "DNS:*",
        "DNS:a.*.b",
        "DNS:\xc3\xa9",
        "dns:a",
        "email:a@b",
        "DNS:abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        GENERAL_NAMES *names = NULL;

        assert_int_equal(pki_san_parse(bad[i], &names), PC_EUSAGE);
        assert_null(names);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(uuids),
        cmocka_unit_test(names_there_and_back),
        cmocka_unit_test(string_types),
        cmocka_unit_test(names_refused),
        cmocka_unit_test(foreign_name_is_shown_safely),
        cmocka_unit_test(cn),
        cmocka_unit_test(alternative_names),
        cmocka_unit_test(alternative_names_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
