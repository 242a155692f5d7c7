/* src/pki/cms: statements signed piece by piece; what was changed, comes from elsewhere, or says more, is
 * refused. */
#include "tests/unit/pki/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/cms.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/cms.h"
#include "src/pki/name.h"
#include "src/pki/openssl.h"
#include "tests/data/keys.h"

PC_DEFINE_CLEANUP(CMS_ContentInfo, CMS_ContentInfo_free);

static const char statement[] = "{\"seq\":41}\n";

static struct {
    EVP_PKEY *root_key;
    X509 *root, *signer;
} ca;

static X509 *audit_certificate(const struct pki_profile *profile, const char *cn, EVP_PKEY *key)
{
    struct pki_certificate_plan plan = plan_device(key, ca.root, ca.root_key);
    X509 *certificate;

    plan.profile = profile;
    plan.cn = cn;
    certificate = signed_certificate(&plan, ca.root_key);
    assert_int_equal(pki_certificate_lint(certificate, &plan), 0);
    return certificate;
}

static int set_up(void **state)
{
    (void)state;
    ca.root_key = data_key(DATA_EC_P384);
    ca.root = root_of("Root", ca.root_key);
    ca.signer = audit_certificate(&pki_profile_audit, "plantca-audit", data_key(DATA_EC_P256));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    X509_free(ca.root);
    X509_free(ca.signer);
    data_keys_free();
    return 0;
}

static int verify(const struct pc_bytes *der, const char *content, const char *key_sha256)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *in = BIO_new_mem_buf(content, -1);

    return pki_cms_verify(der->data, der->len, in, ca.root, key_sha256, NULL, NULL);
}

static struct pc_bytes signed_statement(X509 *signer, EVP_PKEY *key, const char *content, int64_t at)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *in = BIO_new_mem_buf(content, -1);
    struct pc_bytes der = {0};

    assert_int_equal(pki_cms_sign(key, signer, in, at, &der), 0);
    return der;
}

static void refused(const struct pc_bytes *der, const char *content, const char *name)
{
    assert_int_equal(verify(der, content, NULL), PC_EREFUSED);
    assert_string_equal(pc_error_name(), name);
}

static void made_and_verified(void **state)
{
    static const enum data_key kinds[] = {DATA_EC_P256, DATA_EC_P384, DATA_RSA_2048};

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        EVP_PKEY *key = data_key(kinds[i]);
        PC_CLEANUP(X509_free_ref) X509 *signer = audit_certificate(&pki_profile_audit, "audit", key);
        PC_CLEANUP(X509_free_ref) X509 *found = NULL;
        PC_CLEANUP(BIO_free_all_ref) BIO *in = BIO_new_mem_buf(statement, -1);
        pc_autobytes der = signed_statement(signer, key, statement, NOON_2026);
        char fingerprint[PKI_FINGERPRINT_TEXT];
        int64_t at = 0;

        assert_int_equal(pki_key_fingerprint(key, fingerprint), 0);
        assert_int_equal(pki_cms_verify(der.data, der.len, in, ca.root, fingerprint, &found, &at), 0);
        assert_true(at == NOON_2026);
        assert_int_equal(X509_cmp(found, signer), 0);
        refused(&der, "{\"seq\":42}\n", "cms-signature");
        refused(&der, "", "cms-signature");
        fingerprint[0] = fingerprint[0] == '0' ? '1' : '0';
        assert_int_equal(verify(&der, statement, fingerprint), PC_EREFUSED);
        assert_string_equal(pc_error_name(), "cms-signer");
    }
}

/* Line ends are not touched, and a content longer than any buffer goes through. */
static void long_content(void **state)
{
    const size_t len = getenv("PC_SLOW") ? 100000 : 3000000;
    PC_CLEANUP(BIO_free_all_ref) BIO *in = NULL;
    PC_CLEANUP(BIO_free_all_ref) BIO *again = NULL;
    pc_autobytes der = {0};
    pc_autofree char *content = malloc(len);
    FILE *file = tmpfile();

    (void)state;
    assert_non_null(content);
    assert_non_null(file);
    for (size_t i = 0; i < len; i++)
        content[i] = "\r\n\n\0\x1a x"[i % 7];
    assert_int_equal(fwrite(content, 1, len, file), len);
    rewind(file);
    in = BIO_new_fp(file, BIO_NOCLOSE);
    assert_int_equal(pki_cms_sign(data_key(DATA_EC_P256), ca.signer, in, NOON_2026, &der), 0);
    assert_true(der.len < 2000); /* the content is not in it */
    rewind(file);
    assert_int_equal(pki_cms_verify(der.data, der.len, in, ca.root, NULL, NULL, NULL), 0);
    again = BIO_new_mem_buf(content, (int)len - 1);
    assert_int_equal(pki_cms_verify(der.data, der.len, again, ca.root, NULL, NULL, NULL), PC_EREFUSED);
    fclose(file);
}

/* A read that fails is not the end of the content. */
static void content_cut_off(void **state)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *in = BIO_new_file("/", "r"); /* EISDIR at the first read */
    pc_autobytes der = {0};

    (void)state;
    assert_non_null(in);
    assert_int_equal(pki_cms_sign(data_key(DATA_EC_P256), ca.signer, in, NOON_2026, &der), PC_EFAIL);
    assert_null(der.data);
}

static void other_signers(void **state)
{
    EVP_PKEY *key = data_key(DATA_EC_P256), *other_key = data_key(DATA_RSA_3072);
    PC_CLEANUP(X509_free_ref) X509 *probe = audit_certificate(&pki_profile_probe, "probe", key);
    PC_CLEANUP(X509_free_ref) X509 *other_root = root_of("Root", other_key);
    X509 *root = ca.root;
    EVP_PKEY *root_key = ca.root_key;
    pc_autobytes sound = signed_statement(ca.signer, key, statement, NOON_2026);
    pc_autobytes by_probe = signed_statement(probe, key, statement, NOON_2026);
    pc_autobytes by_root = signed_statement(ca.root, ca.root_key, statement, NOON_2026);
    pc_autobytes late = signed_statement(ca.signer, key, statement, NOON_2026 + 731 * PC_DAY);
    pc_autobytes early = signed_statement(ca.signer, key, statement, NOON_2026 - 301);
    pc_autobytes nothing = {0};
    PC_CLEANUP(BIO_free_all_ref) BIO *in = BIO_new_mem_buf(statement, -1);

    (void)state;
    assert_int_equal(verify(&sound, statement, NULL), 0);
    refused(&by_probe, statement, "cms-signer");
    refused(&by_root, statement, "cms-signer");
    refused(&late, statement, "cms-signer");
    refused(&early, statement, "cms-signer");
    ca.root = other_root; /* the same name, another key */
    refused(&sound, statement, "cms-signer");
    ca.root_key = other_key;
    {
        PC_CLEANUP(X509_free_ref) X509 *foreign = audit_certificate(&pki_profile_audit, "plantca-audit", key);
        pc_autobytes by_foreign = signed_statement(foreign, key, statement, NOON_2026);

        assert_int_equal(verify(&by_foreign, statement, NULL), 0);
        ca.root = root;
        ca.root_key = root_key;
        refused(&by_foreign, statement, "cms-signer");
    }
    /* The key is not the certificate's. */
    assert_int_equal(pki_cms_sign(other_key, ca.signer, in, NOON_2026, &nothing), PC_EFAIL);
    assert_null(nothing.data);
}

/* Signed by OpenSSL with other flags than ours. */
static void signed_with(unsigned int flags, const char *name)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *in = BIO_new_mem_buf(statement, -1);
    PC_CLEANUP(CMS_ContentInfo_free_ref)
    CMS_ContentInfo *cms = CMS_sign(ca.signer, data_key(DATA_EC_P256), NULL, in, flags | CMS_BINARY);
    unsigned char *der = NULL;
    int len = i2d_CMS_ContentInfo(cms, &der);
    struct pc_bytes bytes = {.data = der, .len = (size_t)len};

    assert_true(len > 0);
    refused(&bytes, statement, name);
    OPENSSL_free(der);
}

static void other_forms(void **state)
{
    EVP_PKEY *key = data_key(DATA_EC_P256);
    pc_autobytes der = signed_statement(ca.signer, key, statement, NOON_2026);
    pc_autobytes longer = {0};
    int unminded = 0;

    (void)state;
    signed_with(CMS_DETACHED | CMS_NOATTR, "cms-attributes");
    signed_with(CMS_DETACHED, "cms-attributes"); /* S/MIME capabilities */
    signed_with(CMS_DETACHED | CMS_NOCERTS | CMS_NOSMIMECAP, "cms-signer");
    signed_with(CMS_NOSMIMECAP, "cms-parse"); /* the content inside */
    assert_int_equal(pc_bytes_copy(der.data, der.len, &longer), 0);
    longer.len++; /* the NUL behind it */
    refused(&longer, statement, "cms-parse");
    der.len--;
    refused(&der, statement, "cms-parse");
    der.len = 0;
    refused(&der, statement, "cms-parse");
    der.len = longer.len - 1;
    /* Only the two version numbers are neither signed nor looked at. */
    for (size_t i = 0; i < der.len; i++) {
        der.data[i] ^= 1;
        unminded += verify(&der, statement, NULL) == 0;
        der.data[i] ^= 1;
    }
    assert_int_equal(unminded, 2);
    assert_int_equal(verify(&der, statement, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_and_verified), cmocka_unit_test(long_content),
        cmocka_unit_test(content_cut_off),   cmocka_unit_test(other_signers),
        cmocka_unit_test(other_forms),
    };

    return cmocka_run_group_tests_name("pki cms", tests, set_up, tear_down);
}
