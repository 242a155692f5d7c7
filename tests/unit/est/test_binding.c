/* src/est/binding: both ends of a real handshake find the same value, TLS 1.2 and 1.3, and no other session
 * has it. */
#include "tests/unit/pki/fixture.h"

#include <string.h>

#include <openssl/ssl.h>

#include "src/base/error.h"
#include "src/est/binding.h"
#include "src/pki/openssl.h"
#include "tests/data/keys.h"

PC_DEFINE_CLEANUP(SSL_SESSION, SSL_SESSION_free);

static SSL_CTX *server_ctx, *client_ctx;

struct pair {
    SSL *server, *client;
};

static int set_up(void **state)
{
    EVP_PKEY *key = data_key(DATA_EC_P256);
    X509 *root = root_of("Root", data_key(DATA_EC_P384));
    struct pki_certificate_plan plan = plan_device(key, root, data_key(DATA_EC_P384)); /* it may sign */
    X509 *certificate = signed_certificate(&plan, data_key(DATA_EC_P384));

    (void)state;
    server_ctx = SSL_CTX_new(TLS_server_method());
    client_ctx = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_use_certificate(server_ctx, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server_ctx, key), 1);
    X509_free(certificate);
    X509_free(root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    SSL_CTX_free(server_ctx);
    SSL_CTX_free(client_ctx);
    data_keys_free();
    return 0;
}

static struct pair opened(int version, SSL_SESSION *session)
{
    struct pair pair = {SSL_new(server_ctx), SSL_new(client_ctx)};
    BIO *one = NULL, *other = NULL;

    assert_int_equal(BIO_new_bio_pair(&one, 0, &other, 0), 1);
    SSL_set_bio(pair.server, one, one);
    SSL_set_bio(pair.client, other, other);
    SSL_set_accept_state(pair.server);
    SSL_set_connect_state(pair.client);
    assert_int_equal(SSL_set_min_proto_version(pair.client, version), 1);
    assert_int_equal(SSL_set_max_proto_version(pair.client, version), 1);
    if (session)
        assert_int_equal(SSL_set_session(pair.client, session), 1);
    return pair;
}

static void shake(struct pair *pair)
{
    for (int i = 0; i < 10; i++) {
        SSL_do_handshake(pair->client);
        SSL_do_handshake(pair->server);
    }
    assert_true(SSL_is_init_finished(pair->client) && SSL_is_init_finished(pair->server));
}

/* One byte there and back, so that tickets are read. */
static void exchange(struct pair *pair)
{
    char octet = 'x';

    assert_int_equal(SSL_write(pair->server, &octet, 1), 1);
    assert_int_equal(SSL_read(pair->client, &octet, 1), 1);
}

static void closed(struct pair *pair)
{
    SSL_shutdown(pair->client);
    SSL_free(pair->client);
    SSL_free(pair->server);
}

static void same_at_both_ends(int version, size_t length)
{
    char first[EST_BINDING_TEXT];

    for (int round = 0; round < 2; round++) {
        struct pair pair = opened(version, NULL);
        char at_client[EST_BINDING_TEXT], at_server[EST_BINDING_TEXT], later[EST_BINDING_TEXT];

        shake(&pair);
        assert_int_equal(est_binding(pair.client, at_client), 0);
        assert_int_equal(est_binding(pair.server, at_server), 0);
        assert_string_equal(at_client, at_server);
        assert_int_equal(strlen(at_client), length);
        exchange(&pair);
        assert_int_equal(est_binding(pair.server, later), 0);
        assert_string_equal(later, at_server);
        if (round == 0)
            memcpy(first, at_client, sizeof first);
        else
            assert_string_not_equal(first, at_client);
        closed(&pair);
    }
}

static void tls_1_3(void **state)
{
    (void)state;
    same_at_both_ends(TLS1_3_VERSION, 44); /* 32 bytes */
}

static void tls_1_2(void **state)
{
    (void)state;
    same_at_both_ends(TLS1_2_VERSION, 16); /* 12 bytes */
}

/* By hand from what RFC 5929 and RFC 9266 say. */
static void by_the_book(void **state)
{
    struct pair new = opened(TLS1_3_VERSION, NULL), old = opened(TLS1_2_VERSION, NULL);
    unsigned char octets[64], text[EST_BINDING_TEXT + 64];
    char value[EST_BINDING_TEXT];

    (void)state;
    shake(&new);
    shake(&old);
    assert_int_equal(SSL_export_keying_material(new.client, octets, 32, "EXPORTER-Channel-Binding", 24,
                                                (const unsigned char *)"", 0, 1),
                     1);
    EVP_EncodeBlock(text, octets, 32);
    assert_int_equal(est_binding(new.server, value), 0);
    assert_string_equal((const char *)text, value);

    assert_int_equal(SSL_get_finished(old.client, octets, sizeof octets), 12);
    EVP_EncodeBlock(text, octets, 12);
    assert_int_equal(est_binding(old.server, value), 0);
    assert_string_equal((const char *)text, value);
    assert_int_equal(SSL_get_finished(old.server, octets, sizeof octets), 12);
    EVP_EncodeBlock(text, octets, 12);
    assert_string_not_equal((const char *)text, value); /* the server's is not the one */
    closed(&new);
    closed(&old);
}

static void not_before_its_end(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = opened(versions[i], NULL);
        char value[EST_BINDING_TEXT] = "untouched";

        assert_int_equal(est_binding(pair.client, value), PC_EFAIL);
        SSL_do_handshake(pair.client);
        assert_int_equal(est_binding(pair.client, value), PC_EFAIL);
        SSL_do_handshake(pair.server); /* its part is sent, the client's Finished is not there */
        assert_int_equal(est_binding(pair.server, value), PC_EFAIL);
        assert_string_equal(value, "untouched");
        closed(&pair);
    }
}

/* On a resumed session TLS 1.2's first Finished is the server's; the station resumes none in any case. */
static void not_resumed(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pair first = opened(versions[i], NULL), second;
        PC_CLEANUP(SSL_SESSION_free_ref) SSL_SESSION *session = NULL;
        char value[EST_BINDING_TEXT];

        shake(&first);
        exchange(&first);
        session = SSL_get1_session(first.client);
        closed(&first);
        second = opened(versions[i], session);
        shake(&second);
        assert_true(SSL_session_reused(second.client) && SSL_session_reused(second.server));
        assert_int_equal(est_binding(second.client, value), PC_EFAIL);
        assert_int_equal(est_binding(second.server, value), PC_EFAIL);
        closed(&second);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_1_3),     cmocka_unit_test(tls_1_2),
        cmocka_unit_test(by_the_book), cmocka_unit_test(not_before_its_end),
        cmocka_unit_test(not_resumed),
    };

    return cmocka_run_group_tests_name("est binding", tests, set_up, tear_down);
}
