/* What the network service reads by itself: the head of a request, HTTP Basic, addresses. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "provision/station/net/address.h"
#include "provision/station/net/basic.h"
#include "provision/station/net/screen.h"
#include "src/base/error.h"

#define PLANT "a1b2c3d4-0000-0000-0000-000000000001"
#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* The fault found in one piece, and in pieces of one octet: the same. */
static const char *fault_in(const char *text, size_t len)
{
    struct net_screen whole = {0}, pieces = {0};
    net_screen_read(&whole, text, len);
    for (size_t i = 0; i < len; i++)
        net_screen_read(&pieces, text + i, 1);
    assert_ptr_equal(whole.fault, pieces.fault);
    assert_int_equal(whole.at, pieces.at);
    return whole.fault;
}

static void test_heads(void **state)
{
    static const char *const good[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Y_z!: \t \xc3\xa9\r\nEmpty:\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost:a:b\r\n\r\n\x01\x02 a body is not looked at \n\r\r",
    };
    static const struct {
        const char *text, *fault;
    } bad[] = {
        {"GET / HTTP/1.1\n\r\n", "a line that ends in a bare LF"},
        {"GET / HTTP/1.1\r\nA: b\n\r\n", "a line that ends in a bare LF"},
        {"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", "a CR that ends no line"},
        {"GET / HTTP/1.1\r\r\n", "a CR that ends no line"},
        {"GET / HTTP/1.1\r\nA b: c\r\n\r\n", "a header whose name is no token"},
        {"GET / HTTP/1.1\r\nA : c\r\n\r\n", "a header whose name is no token"},
        {"GET / HTTP/1.1\r\n: c\r\n\r\n", "a header whose name is no token"},
        {"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "a folded header"},
        {"GET / HTTP/1.1\r\n\tA: b\r\n\r\n", "a folded header"},
        {"GET / HTTP/1.1\r\nnonsense\r\n\r\n", "a header without a colon"},
        {"GET /\x01 HTTP/1.1\r\n\r\n", "a control character"},
        {"GET /\t HTTP/1.1\r\n\r\n", "a control character"},
        {"GET /\xc3\xa9 HTTP/1.1\r\n\r\n", "an octet beyond ASCII"},
        {"GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", "a control character"},
    };
    struct net_screen many = {0};
    (void)state;
    for (size_t i = 0; i < LENGTH(good); i++)
        assert_null(fault_in(good[i], strlen(good[i])));
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_string_equal(fault_in(bad[i].text, strlen(bad[i].text)), bad[i].fault);
    assert_string_equal(fault_in("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", 26), "a control character");
    assert_string_equal(fault_in("GET /\0 HTTP/1.1\r\n\r\n", 19), "a control character");
    net_screen_read(&many, "GET / HTTP/1.1\r\n", 16);
    for (size_t i = 0; i < NET_HEADERS_MAX; i++)
        net_screen_read(&many, "A: b\r\n", 6);
    assert_null(many.fault);
    net_screen_read(&many, "A: b\r\n", 6);
    assert_string_equal(many.fault, "too many headers");
}

static void test_basic(void **state)
{
    static const struct {
        const char *value, *name;
    } bad[] = {
        {"", "basic-form"},
        {"Basic", "basic-form"},
        {"Basic ", "basic-form"},
        {"Bearer YTpi", "basic-form"},
        {"Basic YTpi=", "basic-form"},
        {"Basic YTp", "basic-form"},
        {"Basic =YTp", "basic-form"},
        {"Basic YT=p", "basic-form"},
        {"Basic YTpi YTpi", "basic-form"},
        {"Basic YTpi\t", "basic-form"},
        {"Basic YWI-", "basic-form"},
        {"Basic YWFh", "basic-form"},                                                 /* aaa */
        {"Basic YTpi", "basic-user"},                                                 /* a:b */
        {"Basic YTFiMmMzZDQtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAxOg==", "basic-user"}, /* PLANT: */
        {"Basic QTFCMkMzRDQtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAxOmI=", "basic-user"}, /* upper case */
        {"Basic YTFiMmMzZDQtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAxADpi", "basic-user"}, /* a NUL */
    };
    char user[PKI_UUID_TEXT], longest[1000] = "Basic ";
    struct pc_secret *code = NULL;
    (void)state;
    for (size_t i = 0; i < LENGTH(bad); i++) {
        assert_int_equal(net_basic_parse(bad[i].value, user, &code), PC_EREFUSED);
        assert_string_equal(pc_error_name(), bad[i].name);
        assert_null(code);
    }
    memset(longest + 6, 'A', 600);
    assert_int_equal(net_basic_parse(longest, user, &code), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "basic-user");
    /* PLANT:b:c */
    assert_int_equal(
        net_basic_parse("basic  YTFiMmMzZDQtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAxOmI6Yw==", user, &code), 0);
    assert_string_equal(user, PLANT);
    assert_int_equal(code->len, 3);
    assert_memory_equal(code->data, "b:c", 3);
    pc_secret_free(code);
}

static struct net_address *take(void **root, const char *text)
{
    struct sockaddr_storage from = {.ss_family = AF_INET6};
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)&from;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1)
        from.ss_family = AF_INET;
    else
        assert_int_equal(inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)(void *)&from)->sin6_addr), 1);
    return net_address_take(root, &from);
}

static void test_addresses(void **state)
{
    void *root = NULL;
    (void)state;
    struct net_address *a = take(&root, "10.0.0.1"), *b = take(&root, "::ffff:10.0.0.1");
    struct net_address *c = take(&root, "10.0.0.2"), *d = take(&root, "2001:db8::1");
    struct net_address *e = take(&root, "2001:db8::ffff:1"), *f = take(&root, "2001:db8:0:1::1");
    assert_ptr_equal(a, b);
    assert_int_equal(a->count, 2);
    assert_ptr_not_equal(a, c);
    assert_ptr_equal(d, e);
    assert_ptr_not_equal(d, f);
    struct net_address *const all[] = {a, a, c, d, d, f};
    for (size_t i = 0; i < LENGTH(all); i++)
        net_address_drop(&root, all[i]);
    assert_null(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_basic),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
