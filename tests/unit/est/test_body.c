/* src/est/body: base64 bodies as clients write them, and everything that is none. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/est/body.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

struct text {
    const char *text;
    size_t len; /* 0: strlen */
    const char *octets;
};

static const struct text good[] = {
    {"Zg==", 0, "f"},
    {"Zm8=", 0, "fo"},
    {"Zm9v", 0, "foo"},
    {"Zm9vYmFy", 0, "foobar"},
    {"Zm9v\nYmFy\n", 0, "foobar"},
    {"Zm9v\r\nYmFy\r\n", 0, "foobar"},
    {"\r\n \tZm9vYmFy", 0, "foobar"},
    {"Z m\t9\rv\nY m F y", 0, "foobar"},
    {"Zm9vYg =\n=\r\n", 0, "foob"},
    {"+/+/", 0, "\xfb\xff\xbf"},
};

static const struct text bad[] = {
    {"", 0, NULL},
    {" \t\r\n", 0, NULL},
    {"=", 0, NULL},
    {"====", 0, NULL},
    {"Z", 0, NULL},
    {"Zg", 0, NULL}, /* without its padding */
    {"Zg=", 0, NULL},
    {"Zm8", 0, NULL},
    {"Zm9v=", 0, NULL},
    {"Zm9v====", 0, NULL},
    {"Z===", 0, NULL},
    {"Zg==Zg==", 0, NULL}, /* two, one behind the other */
    {"Zg==\nZg==", 0, NULL},
    {"=Zm9", 0, NULL},
    {"Z=9v", 0, NULL},
    {"Zh==", 0, NULL}, /* bits behind the last octet */
    {"Zm9=", 0, NULL},
    {"Zm_v", 0, NULL}, /* the alphabet for URLs */
    {"Zm-v", 0, NULL},
    {"Zm9v.", 0, NULL},
    {"-----BEGIN CERTIFICATE REQUEST-----\nZm9v\n-----END CERTIFICATE REQUEST-----\n", 0, NULL},
    {"Zm9v\v", 0, NULL}, /* white space, but not of RFC 8951 */
    {"Zm9v\f", 0, NULL},
    {"Zm9v\xc2\xa0", 0, NULL},
    {"Zm9\0", 4, NULL},
    {"Zm9v\0", 5, NULL},
    {"\0Zm9v", 5, NULL},
    {"Zm9v\x7f", 0, NULL},
    {"Zm9v\xff", 0, NULL},
    {"\xef\xbb\xbfZm9v", 0, NULL},
    {"%5Am9v", 0, NULL},
    {"\"Zm9v\"", 0, NULL},
};

static size_t length_of(const struct text *one)
{
    return one->len ? one->len : strlen(one->text);
}

static void decoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(good); i++) {
        pc_autobytes der = {0};

        assert_int_equal(est_body_decode(good[i].text, length_of(&good[i]), &der), 0);
        assert_int_equal(der.len, strlen(good[i].octets));
        assert_memory_equal(der.data, good[i].octets, der.len);
    }
}

static void refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(bad); i++) {
        struct pc_bytes der = {0};

        if (est_body_decode(bad[i].text, length_of(&bad[i]), &der) != PC_EREFUSED)
            fail_msg("not refused: case %zu, '%s'", i, bad[i].text);
        assert_string_equal(pc_error_name(), "est-base64");
        assert_null(der.data);
    }
}

/* Any octet but white space and the alphabet's spoils it; no two of the alphabet mean the same. */
static void each_octet(void **state)
{
    size_t accepted = 0, passed_over = 0;

    (void)state;
    for (int octet = 0; octet < 256; octet++) {
        char text[5] = {'Z', 'm', (char)octet, 'v', '\0'};
        pc_autobytes der = {0};

        if (est_body_decode(text, 4, &der) == 0)
            accepted++;
        memcpy(text, "Zm9v", 4);
        text[4] = (char)octet;
        pc_bytes_clear(&der);
        if (est_body_decode(text, 5, &der) == 0)
            passed_over++;
    }
    assert_int_equal(accepted, 64);
    assert_int_equal(passed_over, 4);
}

static void size_limit(void **state)
{
    char *text = malloc(EST_BODY_MAX + 1);
    pc_autobytes der = {0};

    (void)state;
    assert_non_null(text);
    memset(text, 'A', EST_BODY_MAX + 1);
    assert_int_equal(est_body_decode(text, EST_BODY_MAX + 1, &der), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "est-base64");
    memset(text, ' ', EST_BODY_MAX - 4); /* blanks count, too */
    assert_int_equal(est_body_decode(text, EST_BODY_MAX + 1, &der), PC_EREFUSED);
    assert_null(der.data);
    assert_int_equal(est_body_decode(text, EST_BODY_MAX, &der), 0);
    assert_int_equal(der.len, 3);
    free(text);
}

/* Every length around the ends of lines comes back, wrapped and not. */
static void there_and_back(void **state)
{
    unsigned char octets[200];

    (void)state;
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (unsigned char)(i * 37 + 11);
    for (size_t len = 1; len <= sizeof octets; len++) {
        struct pc_bytes plain = {octets, len};
        pc_autobytes line = {0}, lines = {0}, der = {0}, again = {0};

        assert_int_equal(est_body_encode(&plain, false, &line), 0);
        assert_int_equal(line.len, (len + 2) / 3 * 4);
        assert_null(memchr(line.data, '\n', line.len));
        assert_int_equal(est_body_decode(line.data, line.len, &der), 0);
        assert_int_equal(der.len, len);
        assert_memory_equal(der.data, octets, len);

        assert_int_equal(est_body_encode(&plain, true, &lines), 0);
        assert_int_equal(lines.len, line.len + (line.len + 63) / 64);
        assert_int_equal(lines.data[lines.len - 1], '\n');
        for (size_t at = 64; at < lines.len; at += 65)
            assert_int_equal(lines.data[at], '\n');
        assert_int_equal(est_body_decode(lines.data, lines.len, &again), 0);
        assert_int_equal(again.len, len);
        assert_memory_equal(again.data, octets, len);
    }
}

static void nothing_to_encode(void **state)
{
    struct pc_bytes text = {0}, huge = {(unsigned char *)state, EST_BODY_MAX};

    assert_int_equal(est_body_encode(&(struct pc_bytes){0}, false, &text), PC_EFAIL);
    assert_int_equal(est_body_encode(&(struct pc_bytes){0}, true, &text), PC_EFAIL);
    assert_int_equal(est_body_encode(&huge, true, &text), PC_EFAIL); /* refused by its length alone */
    assert_null(text.data);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoded),    cmocka_unit_test(refused),        cmocka_unit_test(each_octet),
        cmocka_unit_test(size_limit), cmocka_unit_test(there_and_back), cmocka_unit_test(nothing_to_encode),
    };

    return cmocka_run_group_tests_name("est body", tests, NULL, NULL);
}
