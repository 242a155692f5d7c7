/* The table of requests: what each is made of, and its refusal. */
#include "tests/data/csr_cases.h"

#include <string.h>

#include "tests/data/csr_parts.h"
#include "tests/data/der.h"
#include "tests/data/keys.h"

struct csr_case {
    const char *name;
    const char *refusal; /* NULL: accepted */
    enum data_key key;
    /* What is not named is as in a good request. */
    int version;
    csr_name *subject;
    csr_attributes *attributes;
    csr_spki *spki;
    const EVP_MD *(*digest)(void);
    csr_finish *finish;
    bool noise; /* no key could sign this: the signature is made of noise */
};

static const EVP_MD *no_digest(void)
{
    return NULL; /* Ed25519 signs as it is */
}

#define RSA .key = DATA_RSA_2048
#define EC .key = DATA_EC_P256

static const struct csr_case cases[] = {
    {"good-rsa-2048", NULL, RSA},
    {"good-rsa-3072", NULL, .key = DATA_RSA_3072},
    {"good-rsa-4096", NULL, .key = DATA_RSA_4096},
    {"good-ec-p256", NULL, EC},
    {"good-ec-p384", NULL, .key = DATA_EC_P384, .digest = EVP_sha384},
    {"good-sha512", NULL, EC, .digest = EVP_sha512},
    {"good-der", NULL, EC, .finish = finish_der},
    {"good-pem-new", NULL, EC, .finish = finish_pem_new},
    {"good-pem-blanks", NULL, EC, .finish = finish_pem_blanks},
    {"good-pem-crlf", NULL, EC, .finish = finish_pem_carriage_returns},
    {"good-cn-utf8", NULL, EC, .subject = name_utf8},
    {"good-extensions", NULL, EC, .attributes = attributes_exact},
    {"good-extensions-microsoft", NULL, RSA, .attributes = attributes_exact_microsoft},
    {"good-san", NULL, EC, .attributes = attributes_san},
    {"good-challenge", NULL, EC, .attributes = attributes_challenge},
    {"good-attributes-unsorted", NULL, EC, .attributes = attributes_unsorted},
    {"good-null-parameters", NULL, EC, .finish = finish_null_parameters},

    {"over-64k", "request-size", EC, .finish = finish_over_size},
    {"nothing", "request-size", EC, .finish = finish_nothing},
    {"pem-text-before", "request-pem", EC, .finish = finish_text_before},
    {"pem-wrong-label", "request-pem", EC, .finish = finish_wrong_label},
    {"pem-headers", "request-pem", EC, .finish = finish_pem_headers},
    {"pem-truncated", "request-pem", EC, .finish = finish_pem_truncated},
    {"pem-two-blocks", "request-trailing", EC, .finish = finish_two_blocks},
    {"pem-text-after", "request-trailing", EC, .finish = finish_text_after},
    {"pem-nul-after", "request-trailing", EC, .finish = finish_nul_after},
    {"der-trailing", "request-trailing", EC, .finish = finish_trailing},
    {"der-two", "request-trailing", EC, .finish = finish_two_ders},
    {"der-truncated", "request-der", EC, .finish = finish_truncated},
    {"der-one-octet", "request-der", EC, .finish = finish_one_octet},
    {"der-no-request", "request-der", EC, .finish = finish_no_request},
    {"der-fourth-element", "request-der", EC, .finish = finish_fourth_element},
    {"der-deep", "request-der", EC, .attributes = attributes_deep},
    {"ber-indefinite", "request-der", EC, .finish = finish_indefinite},
    {"ber-long-length", "request-der", EC, .finish = finish_long_length},
    {"ber-cn", "request-der", EC, .subject = name_indefinite_string},
    {"version-1", "request-version", EC, .version = 1},
    {"version-2", "request-version", EC, .version = 2},

    {"bad-signature", "request-signature", EC, .finish = finish_bad_signature},
    {"bad-signature-rsa", "request-signature", RSA, .finish = finish_bad_signature},
    {"changed-after-signing", "request-signature", EC, .finish = finish_changed_name},
    {"signed-by-noise", "request-signature", RSA, .noise = true},
    {"signature-md5", "request-algorithm", RSA, .digest = EVP_md5},
    {"signature-sha1", "request-algorithm", RSA, .digest = EVP_sha1},
    {"signature-sha1-ec", "request-algorithm", EC, .digest = EVP_sha1},
    {"signature-sha224", "request-algorithm", EC, .digest = EVP_sha224},
    {"signature-pss", "request-algorithm", RSA, .finish = finish_pss},
    {"signature-parameters", "request-algorithm", EC, .finish = finish_stray_parameters},
    {"issuer-key", "request-issuer-key", EC, .spki = spki_issuer, .noise = true},

    {"cn-missing", "request-cn-missing", EC, .subject = name_empty},
    {"cn-missing-organization", "request-cn-missing", EC, .subject = name_organization},
    {"cn-twice", "request-cn-twice", EC, .subject = name_two_cns},
    {"cn-twice-one-rdn", "request-rdn-multi", EC, .subject = name_two_cns_one_rdn},
    {"rdn-multi", "request-rdn-multi", EC, .subject = name_cn_and_organization_one_rdn},
    {"rdn-extra", "request-rdn", EC, .subject = name_cn_and_organization},
    {"rdn-empty", "request-rdn", EC, .subject = name_empty_rdn},
    {"cn-nul", "request-cn-charset", EC, .subject = name_nul},
    {"cn-latin", "request-cn-charset", EC, .subject = name_latin},
    {"cn-bmp", "request-cn-charset", EC, .subject = name_bmp},
    {"cn-teletex", "request-cn-charset", EC, .subject = name_teletex},
    {"cn-control", "request-cn-charset", EC, .subject = name_control},
    {"cn-empty", "request-cn-charset", EC, .subject = name_no_text},
    {"cn-upper-case", "request-cn-uuid", EC, .subject = name_upper},
    {"cn-braces", "request-cn-uuid", EC, .subject = name_braces},
    {"cn-host", "request-cn-uuid", EC, .subject = name_host},
    {"cn-nil", "request-cn-nil", EC, .subject = name_nil},
    {"cn-other-plant", "request-plant", EC, .subject = name_other},

    {"attribute-unknown", "request-attribute", EC, .attributes = attributes_unknown},
    {"attribute-evidence", "request-attribute", EC, .attributes = attributes_evidence},
    {"challenge-nul", "request-attribute", EC, .attributes = attributes_challenge_nul},
    {"challenge-long", "request-attribute", EC, .attributes = attributes_challenge_long},
    {"challenge-octets", "request-attribute", EC, .attributes = attributes_challenge_octets},
    {"challenge-two-values", "request-attribute-twice", EC, .attributes = attributes_two_values},
    {"challenge-no-value", "request-attribute-twice", EC, .attributes = attributes_no_value},
    {"challenge-twice", "request-attribute-twice", EC, .attributes = attributes_two_challenges},
    {"extensions-twice", "request-attribute-twice", EC, .attributes = attributes_two_requests},
    {"extensions-both-kinds", "request-attribute-twice", EC, .attributes = attributes_both_kinds},
    {"extension-ca-true", "request-extension", EC, .attributes = attributes_ca_true},
    {"extension-path-length", "request-extension", EC, .attributes = attributes_path_length},
    {"extension-explicit-false", "request-extension", EC, .attributes = attributes_explicit_false},
    {"extension-key-cert-sign", "request-extension", EC, .attributes = attributes_cert_sign},
    {"extension-more-key-usage", "request-extension", EC, .attributes = attributes_more_usage},
    {"extension-not-critical", "request-extension", EC, .attributes = attributes_usage_not_critical},
    {"extension-server-auth", "request-extension", EC, .attributes = attributes_server_auth},
    {"extension-any-usage", "request-extension", EC, .attributes = attributes_any_usage},
    {"extension-two-usages", "request-extension", EC, .attributes = attributes_two_usages},
    {"extension-other-key-id", "request-extension", EC, .attributes = attributes_other_key_id},
    {"extension-authority", "request-extension", EC, .attributes = attributes_authority},
    {"extension-policy", "request-extension", EC, .attributes = attributes_policy},
    {"extension-twice", "request-extension", EC, .attributes = attributes_twice},
    {"extension-none", "request-extension", EC, .attributes = attributes_empty_request},
    {"extension-text", "request-extension", EC, .attributes = attributes_text},
    {"san-other-plant", "request-san", EC, .attributes = attributes_other_san},
    {"san-dns", "request-san", EC, .attributes = attributes_dns_san},
    {"san-two", "request-san", EC, .attributes = attributes_two_sans},
    {"san-critical", "request-san", EC, .attributes = attributes_critical_san},
    {"san-broken", "request-san", EC, .attributes = attributes_broken_san},

    {"rsa-1024", "key-size", .key = DATA_RSA_1024},
    {"rsa-2047", "key-size", .key = DATA_RSA_2047},
    {"rsa-4484", "key-size", .key = DATA_RSA_4484},
    {"rsa-8676", "key-size", .key = DATA_RSA_8676},
    {"rsa-exponent-1", "key-exponent", RSA, .spki = spki_rsa_exponent_one, .noise = true},
    {"rsa-exponent-3", "key-exponent", .key = DATA_RSA_EXPONENT_3},
    {"rsa-exponent-257", "key-exponent", .key = DATA_RSA_EXPONENT_257},
    {"rsa-exponent-even", "key-exponent", RSA, .spki = spki_rsa_even_exponent, .noise = true},
    {"rsa-exponent-long", "key-exponent", .key = DATA_RSA_EXPONENT_LONG},
    {"rsa-roca", "key-roca", .key = DATA_RSA_ROCA},
    {"rsa-next-primes", "key-fermat", .key = DATA_RSA_NEXT_PRIMES},
    {"rsa-close-primes", "key-fermat", .key = DATA_RSA_CLOSE_PRIMES},
    {"rsa-small-factor", "key-factor", .key = DATA_RSA_SMALL_FACTOR},
    {"rsa-even-modulus", "key-factor", RSA, .spki = spki_rsa_even_modulus, .noise = true},
    {"rsa-negative-modulus", "key-parameters", RSA, .spki = spki_rsa_negative_modulus},
    {"rsa-no-parameters", "key-parameters", RSA, .spki = spki_rsa_no_parameters},
    {"rsa-broken", "key-type", RSA, .spki = spki_rsa_broken, .noise = true},
    {"rsa-pss-key", "key-type", .key = DATA_RSA_PSS, .noise = true},
    {"ec-explicit", "key-parameters", .key = DATA_EC_EXPLICIT},
    {"ec-no-curve", "key-parameters", EC, .spki = spki_ec_no_curve},
    {"ec-implicit-curve", "key-parameters", EC, .spki = spki_ec_implicit_curve},
    {"ec-compressed", "key-point", .key = DATA_EC_COMPRESSED},
    {"ec-hybrid", "key-point", EC, .spki = spki_ec_hybrid},
    {"ec-off-curve", "key-point", EC, .spki = spki_ec_off_curve},
    {"ec-infinity", "key-point", EC, .spki = spki_ec_infinity},
    {"ec-p224", "key-curve", .key = DATA_EC_P224},
    {"ec-p521", "key-curve", .key = DATA_EC_P521, .digest = EVP_sha512},
    {"ec-secp256k1", "key-curve", .key = DATA_EC_SECP256K1},
    {"ed25519", "key-type", .key = DATA_ED25519, .digest = no_digest},
};
#define CASES (sizeof cases / sizeof cases[0])

const struct csr_case *csr_case_at(size_t i)
{
    return i < CASES ? &cases[i] : NULL;
}

const struct csr_case *csr_case_find(const char *name)
{
    for (size_t i = 0; i < CASES; i++) {
        if (strcmp(cases[i].name, name) == 0)
            return &cases[i];
    }
    return NULL;
}

const char *csr_case_name(const struct csr_case *one)
{
    return one->name;
}

const char *csr_case_refusal(const struct csr_case *one)
{
    return one->refusal;
}

bool csr_case_needs_issuer(const struct csr_case *one)
{
    return one->spki == spki_issuer;
}

struct pc_bytes csr_case_make(const struct csr_case *one, const struct csr_context *context)
{
    EVP_PKEY *key = data_key(one->key);
    struct pc_bytes spki = der_spki(key), subject, attributes, info;

    if (one->spki)
        spki = one->spki(context, spki);
    subject = (one->subject ? one->subject : name_good)(context);
    attributes = (one->attributes ? one->attributes : attributes_none)(context, &spki);
    info = der_request_info(one->version, subject, spki, attributes);
    info = der_request(info, one->noise ? NULL : key, (one->digest ? one->digest : EVP_sha256)());
    return (one->finish ? one->finish : finish_pem)(context, info);
}
