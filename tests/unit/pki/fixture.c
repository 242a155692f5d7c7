/* An authority in a few lines. */
#include "tests/unit/pki/fixture.h"

#include <string.h>

#include "src/base/time.h"
#include "src/pki/name.h"
#include "src/pki/sign.h"

struct pki_certificate_plan plan_root(const char *name, EVP_PKEY *key, X509_NAME **ret_name)
{
    struct pki_certificate_plan plan = {
        .profile = &pki_profile_root, .subject_key = key, .issuer_key = key, .serial = {{0x41, 0x42}, 2}};
    char text[80] = "/O=CPI/CN=";

    assert_int_equal(pki_name_parse(strncat(text, name, 40), ret_name), 0);
    plan.subject = *ret_name;
    plan.not_before = NOON_2026 - 300;
    plan.not_after = plan.not_before + 3650 * PC_DAY - 1;
    return plan;
}

struct pki_certificate_plan plan_device(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    struct pki_certificate_plan plan = {.profile = &pki_profile_device,
                                        .subject_key = key,
                                        .cn = PLANT,
                                        .issuer = issuer,
                                        .issuer_key = issuer_key,
                                        .not_before = NOON_2026 - 300};

    plan.not_after = plan.not_before + 730 * PC_DAY - 1;
    assert_int_equal(pki_serial_random(&plan.serial), 0);
    return plan;
}

X509 *signed_certificate(const struct pki_certificate_plan *plan, EVP_PKEY *issuer_key)
{
    struct pc_bytes tbs = {0}, der = {0};
    X509 *certificate = NULL;

    assert_int_equal(pki_certificate_tbs(plan, &tbs), 0);
    assert_int_equal(pki_tbs_sign(SIGNER(issuer_key), issuer_key, &tbs, &der), 0);
    assert_int_equal(pki_certificate_parse(der.data, der.len, &certificate), 0);
    pc_bytes_clear(&tbs);
    pc_bytes_clear(&der);
    return certificate;
}

void sign_again(X509 *certificate, EVP_PKEY *issuer_key, const EVP_MD *digest)
{
    assert_true(X509_sign(certificate, issuer_key, digest) > 0);
}

X509 *root_of(const char *name, EVP_PKEY *key)
{
    X509_NAME *subject = NULL;
    struct pki_certificate_plan plan = plan_root(name, key, &subject);
    X509 *root = signed_certificate(&plan, key);

    X509_NAME_free(subject);
    return root;
}
