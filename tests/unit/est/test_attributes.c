/* src/est/attributes: what the station asks for, RFC 8951's own example, and lists that are none. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <string.h>

#include "src/base/error.h"
#include "src/est/body.h"
#include "tests/data/der.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define CHALLENGE "0609 2a864886f70d010907"

/* What each order is written as: the whole of it. */
static const struct {
    struct est_attributes asked;
    const char *hex;
} written[] = {
    {{false, false, false}, "3000"},
    {{true, false, false}, "300b" CHALLENGE},
    {{false, true, false}, "3013 3011 0609 2a864886f70d010101 3104 0202 0800"},
    {{false, false, true}, "3017 3015 0607 2a8648ce3d0201 310a 0608 2a8648ce3d030107"},
    {{true, false, true}, "3022" CHALLENGE "3015 0607 2a8648ce3d0201 310a 0608 2a8648ce3d030107"},
    {{true, true, true}, "300b" CHALLENGE},
    {{false, true, true}, "3000"},
};

static void build(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(written); i++) {
        pc_autobytes der = {0}, expected = der_hex(written[i].hex);
        struct est_attributes read = {0};
        bool both = written[i].asked.rsa_2048 && written[i].asked.ec_p256;

        assert_int_equal(est_attributes_build(&written[i].asked, &der), 0);
        assert_int_equal(der.len, expected.len);
        assert_memory_equal(der.data, expected.data, der.len);
        assert_int_equal(est_attributes_read(&der, &read), 0);
        assert_int_equal(read.binding, written[i].asked.binding);
        assert_int_equal(read.rsa_2048, written[i].asked.rsa_2048 && !both);
        assert_int_equal(read.ec_p256, written[i].asked.ec_p256 && !both);
    }
}

/* RFC 8951 §4: challengePassword, a key on P-384, an extension request with a macAddress, ecdsa-with-SHA384.
 */
static void example(void **state)
{
    static const char text[] = "MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJ\n"
                               "BgcrBgEBAQEWBggqhkjOPQQDAw==\n";
    struct est_attributes read = {.rsa_2048 = true, .ec_p256 = true};
    pc_autobytes der = {0}, again = {0};

    (void)state;
    assert_int_equal(est_body_decode(text, strlen(text), &der), 0);
    assert_int_equal(der.len, 67);
    assert_int_equal(est_attributes_read(&der, &read), 0);
    assert_true(read.binding);
    assert_false(read.rsa_2048);
    assert_false(read.ec_p256); /* another curve */
    assert_int_equal(est_body_encode(&der, true, &again), 0);
    assert_string_equal((const char *)again.data, text);
}

/* Lists of others: what is not known is passed over (RFC 7030 §4.5.2). */
static const struct {
    const char *hex;
    struct est_attributes read;
} others[] = {
    {"3008 0606 2b0601010116", {false, false, false}},
    {"3013 0606 2b0601010116" CHALLENGE, {true, false, false}},
    {"3016" CHALLENGE CHALLENGE, {true, false, false}},
    {"300f 300d 0609 2a864886f70d010907 3100", {true, false, false}},  /* as an attribute, without a value */
    {"300f 300d 0609 2a864886f70d010101 3100", {false, false, false}}, /* RSA of whatever size */
    {"3013 3011 0609 2a864886f70d010101 3104 0202 1000", {false, false, false}}, /* RSA-4096 */
    {"3011 300f 0609 2a864886f70d010101 3102 0500", {false, false, false}},
    {"300b 0609 2a864886f70d010101", {false, false, false}},
    {"300d 300b 0607 2a8648ce3d0201 3100", {false, false, false}},
    {"3009 0607 2a8648ce3d0201", {false, false, false}},
    /* RFC 9908 §3.4: a template, with version 0 and nothing else */
    {"3016 3014 060b 2a864886f70d010910023d 3105 3003 020100", {false, false, false}},
};

static void passed_over(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(others); i++) {
        struct est_attributes read = {0};
        pc_autobytes der = der_hex(others[i].hex);

        if (est_attributes_read(&der, &read))
            fail_msg("case %zu: %s", i, pc_error_text());
        assert_int_equal(read.binding, others[i].read.binding);
        assert_int_equal(read.rsa_2048, others[i].read.rsa_2048);
        assert_int_equal(read.ec_p256, others[i].read.ec_p256);
    }
}

static const char *const none[] = {
    "",
    "30",
    "3001",
    "0500",
    CHALLENGE,                                          /* an OID without its list */
    "3100",                                             /* a SET */
    "3080 0000",                                        /* indefinite length */
    "308100",                                           /* a length longer than needed */
    "3000 00",                                          /* trailing octets */
    "300b 0609 2a864886f70d010907 00",                  /* the same */
    "300c 0609 2a864886f70d010907",                     /* broken off */
    "300a 0609 2a864886f70d0109",                       /* an OID broken off */
    "3002 0600",                                        /* an OID of nothing */
    "3003 0601 80",                                     /* an OID that does not end */
    "3002 0500",                                        /* NULL for an OID */
    "3003 020107",                                      /* an INTEGER */
    "3003 0c0161",                                      /* a text */
    "3002 3000",                                        /* an attribute of nothing */
    "300d 300b 0609 2a864886f70d010907",                /* an attribute without its SET */
    "300f 300d 0609 2a864886f70d010907 3000",           /* SEQUENCE for a SET */
    "3011 300f 0609 2a864886f70d010907 3100 0500",      /* more than an attribute */
    "3004 3002 3100",                                   /* an attribute without its type */
    "300d 310b 0609 2a864886f70d010907",                /* a SET for an attribute */
    "3004 a002 3000",                                   /* a context tag */
    "3013 3011 0609 2a864886f70d010101 3104 0202 0008", /* an INTEGER with a zero too many */
};

static void refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(none); i++) {
        struct est_attributes read = {true, true, true};
        pc_autobytes der = der_hex(none[i]);

        if (est_attributes_read(&der, &read) != PC_EREFUSED)
            fail_msg("case %zu is taken for CSR attributes: %s", i, none[i]);
        assert_string_equal(pc_error_name(), "est-attributes");
        assert_true(read.binding && read.rsa_2048 && read.ec_p256); /* untouched */
    }
}

static void cut_anywhere(void **state)
{
    pc_autobytes der = {0};
    struct est_attributes read;

    (void)state;
    assert_int_equal(est_attributes_build(&(struct est_attributes){true, false, true}, &der), 0);
    for (size_t len = 0; len < der.len; len++) {
        pc_autobytes part = der_copy(der.data, len);

        assert_int_equal(est_attributes_read(&part, &read), PC_EREFUSED);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(build),   cmocka_unit_test(example),      cmocka_unit_test(passed_over),
        cmocka_unit_test(refused), cmocka_unit_test(cut_anywhere),
    };

    return cmocka_run_group_tests_name("est attributes", tests, NULL, NULL);
}
