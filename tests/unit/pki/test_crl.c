/* src/pki/crl: order, numbers, reasons, dates, large lists; and what the lint finds. */
#include "tests/unit/pki/fixture.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/crl.h"
#include "src/pki/sign.h"
#include "tests/data/keys.h"

static struct pki_crl_entry entry(const char *serial, int reason)
{
    struct pki_crl_entry one = {.revoked_at = NOON_2026, .reason = reason};

    assert_int_equal(pki_serial_parse(serial, &one.serial), 0);
    return one;
}

static struct pki_crl_plan plan_of(X509 *issuer, EVP_PKEY *key, const struct pki_crl_entry *entries,
                                   size_t count)
{
    return (struct pki_crl_plan){.issuer = issuer,
                                 .issuer_key = key,
                                 .number = 7,
                                 .this_update = NOON_2026,
                                 .next_update = NOON_2026 + 30 * PC_DAY,
                                 .entries = entries,
                                 .count = count};
}

static X509_CRL *signed_crl(const struct pki_crl_plan *plan, EVP_PKEY *key)
{
    struct pc_bytes tbs = {0}, der = {0};
    X509_CRL *crl = NULL;

    assert_int_equal(pki_crl_tbs(plan, &tbs), 0);
    assert_int_equal(pki_tbs_sign(SIGNER(key), key, &tbs, &der), 0);
    assert_int_equal(pki_crl_parse(der.data, der.len, &crl), 0);
    pc_bytes_clear(&tbs);
    pc_bytes_clear(&der);
    return crl;
}

static void reasons(void **state)
{
    static const char *const good[] = {"unspecified",     "keyCompromise",      "cACompromise",
                                       "superseded",      "affiliationChanged", "cessationOfOperation",
                                       "certificateHold", "privilegeWithdrawn", "aACompromise"};
    static const char *const bad[] = {"", "removeFromCRL", "key-compromise", "1", "other"};
    int reason = -1;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(pki_reason_parse(good[i], &reason), 0);
        assert_string_equal(pki_reason_name(reason), good[i]);
    }
    assert_int_equal(pki_reason_parse("KeyCOMPROMISE", &reason), 0);
    assert_int_equal(reason, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(pki_reason_parse(bad[i], &reason), PC_EUSAGE);
    assert_int_equal(reason, 1);
    assert_string_equal(pki_reason_name(7), "unspecified");
    assert_string_equal(pki_reason_name(-1), "unspecified");
    assert_string_equal(pki_reason_name(99), "unspecified");
}

static void empty(void **state)
{
    EVP_PKEY *key = data_key(DATA_RSA_2048);
    X509 *root = root_of("Root", key);
    struct pki_crl_plan plan = plan_of(root, key, NULL, 0);
    X509_CRL *crl = signed_crl(&plan, key);
    uint64_t number = 0;

    (void)state;
    assert_int_equal(pki_crl_lint(crl, &plan), 0);
    assert_null(X509_CRL_get_REVOKED(crl)); /* absent, not empty: RFC 5280 §5.1.2.6 */
    assert_int_equal(pki_crl_number(crl, &number), 0);
    assert_true(number == 7);
    X509_CRL_free(crl);
    X509_free(root);
}

/* Written in order of their numbers, shorter ones first; the reason "unspecified" is left out. */
static void order(void **state)
{
    EVP_PKEY *key = data_key(DATA_EC_P384);
    X509 *root = root_of("Root", key);
    const struct pki_crl_entry entries[] = {entry("ff00", 4), entry("7f", 0), entry("0100", 1),
                                            entry("ff", 6)};
    static const char *const expected[] = {"7F", "FF", "0100", "FF00"};
    struct pki_crl_plan plan = plan_of(root, key, entries, 4);
    X509_CRL *crl = signed_crl(&plan, key);
    STACK_OF(X509_REVOKED) *revoked = X509_CRL_get_REVOKED(crl);

    (void)state;
    assert_int_equal(pki_crl_lint(crl, &plan), 0);
    assert_int_equal(sk_X509_REVOKED_num(revoked), 4);
    for (int i = 0; i < 4; i++) {
        const X509_REVOKED *one = sk_X509_REVOKED_value(revoked, i);
        BIGNUM *number = ASN1_INTEGER_to_BN(X509_REVOKED_get0_serialNumber(one), NULL);
        char *hex = BN_bn2hex(number);

        assert_string_equal(hex, expected[i]);
        assert_int_equal(X509_REVOKED_get_ext_count(one), i == 0 ? 0 : 1);
        OPENSSL_free(hex);
        BN_free(number);
    }
    X509_CRL_free(crl);
    X509_free(root);
}

/* The invalidity date is GeneralizedTime whatever the year, behind the reason or alone. */
static void invalidity(void **state)
{
    EVP_PKEY *key = data_key(DATA_EC_P256);
    X509 *root = root_of("Root", key);
    struct pki_crl_entry entries[] = {entry("01", 1), entry("02", 0), entry("03", 6), entry("04", 0)};
    static const int expected[] = {2, 1, 1, 0};
    struct pki_crl_plan plan = plan_of(root, key, entries, 4);
    STACK_OF(X509_REVOKED) * revoked;
    ASN1_GENERALIZEDTIME *since;
    X509_CRL *crl;

    (void)state;
    entries[0].invalid_since = NOON_2026 - PC_DAY;
    entries[1].invalid_since = 1; /* 1970 */
    crl = signed_crl(&plan, key);
    assert_int_equal(pki_crl_lint(crl, &plan), 0);
    revoked = X509_CRL_get_REVOKED(crl);
    for (int i = 0; i < 4; i++)
        assert_int_equal(X509_REVOKED_get_ext_count(sk_X509_REVOKED_value(revoked, i)), expected[i]);
    since = X509_REVOKED_get_ext_d2i(sk_X509_REVOKED_value(revoked, 0), NID_invalidity_date, NULL, NULL);
    assert_non_null(since);
    assert_int_equal(ASN1_STRING_type(since), V_ASN1_GENERALIZEDTIME);
    assert_string_equal((const char *)ASN1_STRING_get0_data(since), "20261121120000Z");
    ASN1_GENERALIZEDTIME_free(since);
    entries[3].invalid_since = NOON_2026;
    assert_int_equal(pki_crl_lint(crl, &plan), PC_EFAIL);
    entries[3].invalid_since = entries[1].invalid_since = 0;
    assert_int_equal(pki_crl_lint(crl, &plan), PC_EFAIL);
    entries[1].invalid_since = 2;
    assert_int_equal(pki_crl_lint(crl, &plan), PC_EFAIL);
    X509_CRL_free(crl);
    X509_free(root);
}

static void plan_refused(void **state)
{
    EVP_PKEY *key = data_key(DATA_EC_P256);
    X509 *root = root_of("Root", key);
    struct pki_crl_entry entries[] = {entry("0100", 1), entry("0200", 1), entry("0100", 4)};
    struct pki_crl_plan plan = plan_of(root, key, entries, 3);
    struct pc_bytes tbs = {0};

    (void)state;
    assert_int_equal(pki_crl_tbs(&plan, &tbs), PC_EFAIL); /* a serial twice */
    plan.count = 2;
    entries[0].reason = 8;
    assert_int_equal(pki_crl_tbs(&plan, &tbs), PC_EFAIL); /* removeFromCRL */
    entries[0].reason = 7;
    assert_int_equal(pki_crl_tbs(&plan, &tbs), PC_EFAIL);
    entries[0].reason = 1;
    entries[0].invalid_since = -1;
    assert_int_equal(pki_crl_tbs(&plan, &tbs), PC_EFAIL);
    entries[0].invalid_since = 0;
    entries[0].serial.len = 0;
    assert_int_equal(pki_crl_tbs(&plan, &tbs), PC_EFAIL);
    plan.count = 0;
    plan.number = 0;
    assert_int_equal(pki_crl_tbs(&plan, &tbs), PC_EFAIL);
    plan.number = 1;
    plan.next_update = plan.this_update;
    assert_int_equal(pki_crl_tbs(&plan, &tbs), PC_EFAIL);
    plan.next_update = plan.this_update + 1;
    plan.issuer_key = data_key(DATA_EC_P384);
    assert_int_equal(pki_crl_tbs(&plan, &tbs), PC_EFAIL);
    assert_null(tbs.data);
    X509_free(root);
}

static void change_date(X509_CRL *crl)
{
    ASN1_TIME *later = ASN1_TIME_new();

    ASN1_TIME_set_string(later, "291122120000Z");
    X509_CRL_set1_nextUpdate(crl, later);
    ASN1_TIME_free(later);
}
static void change_number(X509_CRL *crl)
{
    ASN1_INTEGER *number = ASN1_INTEGER_new();

    ASN1_INTEGER_set(number, 8);
    assert_int_equal(X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, X509V3_ADD_REPLACE), 1);
    ASN1_INTEGER_free(number);
}
static void change_no_number(X509_CRL *crl)
{
    X509_EXTENSION_free(X509_CRL_delete_ext(crl, X509_CRL_get_ext_by_NID(crl, NID_crl_number, -1)));
}
static void change_more(X509_CRL *crl)
{
    ISSUING_DIST_POINT *point = ISSUING_DIST_POINT_new();

    point->onlyuser = 0xff;
    assert_int_equal(X509_CRL_add1_ext_i2d(crl, NID_issuing_distribution_point, point, 1, X509V3_ADD_DEFAULT),
                     1);
    ISSUING_DIST_POINT_free(point);
}
static void change_version(X509_CRL *crl)
{
    X509_CRL_set_version(crl, X509_CRL_VERSION_1);
}
static void change_entry(X509_CRL *crl)
{
    ASN1_INTEGER *serial = ASN1_INTEGER_new();

    ASN1_INTEGER_set(serial, 0x300);
    X509_REVOKED_set_serialNumber(sk_X509_REVOKED_value(X509_CRL_get_REVOKED(crl), 1), serial);
    ASN1_INTEGER_free(serial);
}
static void change_reason(X509_CRL *crl)
{
    X509_REVOKED *first = sk_X509_REVOKED_value(X509_CRL_get_REVOKED(crl), 0);

    X509_EXTENSION_free(X509_REVOKED_delete_ext(first, 0));
}
static void change_invalidity(X509_CRL *crl)
{
    X509_REVOKED *second = sk_X509_REVOKED_value(X509_CRL_get_REVOKED(crl), 1);
    ASN1_GENERALIZEDTIME *since = ASN1_GENERALIZEDTIME_set(NULL, 86400);

    assert_int_equal(X509_REVOKED_add1_ext_i2d(second, NID_invalidity_date, since, 0, X509V3_ADD_APPEND), 1);
    ASN1_GENERALIZEDTIME_free(since);
}
static void change_entry_more(X509_CRL *crl)
{
    X509_REVOKED *second = sk_X509_REVOKED_value(X509_CRL_get_REVOKED(crl), 1);

    assert_int_equal(X509_REVOKED_add1_ext_i2d(second, NID_hold_instruction_code,
                                               OBJ_nid2obj(NID_hold_instruction_none), 0, X509V3_ADD_APPEND),
                     1);
}
static void change_count(X509_CRL *crl)
{
    X509_REVOKED_free(sk_X509_REVOKED_pop(X509_CRL_get_REVOKED(crl)));
}

static void lint_finds(void **state)
{
    static void (*const changes[])(X509_CRL *) = {
        change_date,  change_number, change_no_number, change_more,       change_version,
        change_entry, change_reason, change_count,     change_invalidity, change_entry_more};
    EVP_PKEY *key = data_key(DATA_EC_P256);
    X509 *root = root_of("Root", key);
    const struct pki_crl_entry entries[] = {entry("0100", 1), entry("0200", 4)};
    struct pki_crl_plan plan = plan_of(root, key, entries, 2);
    X509_CRL *crl = signed_crl(&plan, key);

    (void)state;
    assert_int_equal(pki_crl_lint(crl, &plan), 0);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        X509_CRL *copy = X509_CRL_dup(crl);

        changes[i](copy);
        assert_true(X509_CRL_sign(copy, key, EVP_sha256()) > 0);
        if (pki_crl_lint(copy, &plan) != PC_EFAIL)
            fail_msg("change %zu was not found", i);
        X509_CRL_free(copy);
    }
    assert_true(X509_CRL_sign(crl, data_key(DATA_EC_COMPRESSED), EVP_sha256()) > 0);
    assert_int_equal(pki_crl_lint(crl, &plan), PC_EFAIL);
    X509_CRL_free(crl);
    X509_free(root);
}

static void parsing(void **state)
{
    EVP_PKEY *key = data_key(DATA_EC_P256);
    X509 *root = root_of("Root", key);
    struct pki_crl_plan plan = plan_of(root, key, NULL, 0);
    X509_CRL *crl = signed_crl(&plan, key), *again = NULL;
    struct pc_bytes pem = {0};

    (void)state;
    assert_int_equal(pki_crl_append_pem(crl, &pem), 0);
    assert_int_equal(pki_crl_parse(pem.data, pem.len, &again), 0);
    assert_int_equal(X509_CRL_match(crl, again), 0);
    X509_CRL_free(again);
    again = NULL;
    assert_int_equal(pki_crl_parse(pem.data, pem.len - 40, &again), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "crl-parse");
    assert_int_equal(pki_crl_append_pem(crl, &pem), 0);
    assert_int_equal(pki_crl_parse(pem.data, pem.len, &again), PC_EREFUSED);
    assert_int_equal(pki_crl_parse("", 0, &again), PC_EREFUSED);
    assert_int_equal(pki_crl_parse("0\x03\x02\x01\x00", 5, &again), PC_EREFUSED);
    assert_null(again);
    pc_bytes_clear(&pem);
    X509_CRL_free(crl);
    X509_free(root);
}

/* A fleet's worth of entries: the time-out of this test is its bar. Less of it where each instruction is
 * looked at. */
static void hundred_thousand(void **state)
{
    const size_t count = getenv("PC_SLOW") ? 2000 : 100000;
    EVP_PKEY *key = data_key(DATA_EC_P256);
    X509 *root = root_of("Root", key);
    struct pki_crl_entry *entries = calloc(count, sizeof *entries);
    struct pki_crl_plan plan = plan_of(root, key, entries, count);
    X509_CRL *crl;

    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pki_serial_random(&entries[i].serial), 0);
        entries[i].revoked_at = NOON_2026 - (int64_t)i;
        entries[i].reason = i % 3 ? 4 : 0;
    }
    crl = signed_crl(&plan, key);
    assert_int_equal(pki_crl_lint(crl, &plan), 0);
    X509_CRL_free(crl);
    free(entries);
    X509_free(root);
}

static int teardown(void **state)
{
    (void)state;
    data_keys_free();
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasons),      cmocka_unit_test(empty),
        cmocka_unit_test(order),        cmocka_unit_test(invalidity),
        cmocka_unit_test(plan_refused), cmocka_unit_test(lint_finds),
        cmocka_unit_test(parsing),      cmocka_unit_test(hundred_thousand),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
