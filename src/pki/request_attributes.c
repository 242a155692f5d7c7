/* The attributes of a request (RFC 2986 §4.1): each must stand in the profile's table, once, and an extension
 * request may say only what the profile sets anyway. */
#include "src/pki/request_attributes.h"

#include <string.h>

#include "src/base/error.h"
#include "src/pki/extensions.h"
#include "src/pki/openssl.h"

/* challengePassword (RFC 2985 §5.4.1): a DirectoryString of printable ASCII. What it says is for the station
 * to judge. */
static int judge_challenge(const ASN1_TYPE *value, char ret[PKI_CHALLENGE_TEXT])
{
    const unsigned char *data;
    int len;

    if (value->type != V_ASN1_PRINTABLESTRING && value->type != V_ASN1_UTF8STRING)
        return pc_refuse("request-attribute",
                         "challengePassword is neither PrintableString nor UTF8String (RFC 2985 §5.4.1)");
    data = ASN1_STRING_get0_data(value->value.asn1_string);
    len = ASN1_STRING_length(value->value.asn1_string);
    if (len < 1 || len >= PKI_CHALLENGE_TEXT)
        return pc_refuse("request-attribute", "challengePassword of %d characters, not 1 to %d", len,
                         PKI_CHALLENGE_TEXT - 1);
    for (int i = 0; i < len; i++) {
        if (data[i] < 0x20 || data[i] > 0x7e)
            return pc_refuse("request-attribute", "challengePassword holds the octet 0x%02x", data[i]);
    }
    memcpy(ret, data, (size_t)len);
    ret[len] = '\0';
    return 0;
}

/* The same names, whatever their order. */
static bool same_names(const GENERAL_NAMES *asked, const GENERAL_NAMES *set)
{
    int count = sk_GENERAL_NAME_num(set), found = 0;

    if (sk_GENERAL_NAME_num(asked) != count)
        return false;
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < count; k++) {
            if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(set, i), sk_GENERAL_NAME_value(asked, k)) == 0) {
                found++;
                break;
            }
        }
    }
    return found == count;
}

static int judge_san(X509_EXTENSION *asked, const struct pki_request_rules *rules, const char *cn)
{
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(asked);
    const unsigned char *at = ASN1_STRING_get0_data(value);
    int len = ASN1_STRING_length(value), rc;
    PC_CLEANUP(GENERAL_NAMES_free_ref) GENERAL_NAMES *set = NULL;
    PC_CLEANUP(GENERAL_NAMES_free_ref) GENERAL_NAMES *names = NULL;

    rc = pki_extensions_san(rules->profile, cn, rules->hosts, &set);
    if (rc)
        return rc;
    names = d2i_GENERAL_NAMES(NULL, &at, len);
    if (!names || at != ASN1_STRING_get0_data(value) + len)
        return pc_refuse("request-san", "subjectAltName asked for cannot be parsed (RFC 5280 §4.2.1.6)");
    if (!set || X509_EXTENSION_get_critical(asked) || !same_names(names, set))
        return pc_refuse("request-san",
                         "subjectAltName asked for is not what the profile %s sets, not critical",
                         rules->profile->name);
    return 0;
}

/* What every certificate of this issuer gets beside its profile: a client that copies its old certificate's
 * extensions into the request for the next one asks for it. */
static int add_authority(const struct pki_request_rules *rules, STACK_OF(X509_EXTENSION) * *set)
{
    int rc;
    PC_CLEANUP(AUTHORITY_KEYID_free_ref) AUTHORITY_KEYID *authority = NULL;

    if (!rules->issuer)
        return 0;
    rc = pki_authority_key_id(rules->issuer, rules->issuer_key, &authority);
    if (!rc && X509V3_add1_i2d(set, NID_authority_key_identifier, authority, 0, X509V3_ADD_APPEND) != 1)
        rc = pc_fail_openssl(PC_EFAIL, "authorityKeyIdentifier");
    return rc;
}

/* `set` is what is put into the certificate. */
static int judge_extension(X509_EXTENSION *asked, const STACK_OF(X509_EXTENSION) * set,
                           const struct pki_request_rules *rules, const char *cn)
{
    const ASN1_OBJECT *type = X509_EXTENSION_get_object(asked);
    int nid = OBJ_obj2nid(type), at = X509v3_get_ext_by_OBJ(set, type, -1);
    X509_EXTENSION *expected;
    char name[80];

    if (nid == NID_subject_alt_name)
        return judge_san(asked, rules, cn);
    OBJ_obj2txt(name, sizeof name, type, 0);
    if (at < 0)
        return pc_refuse("request-extension", "extension %s is not one that the profile %s sets", name,
                         rules->profile->name);
    expected = X509v3_get_ext(set, at);
    if (X509_EXTENSION_get_critical(asked) != X509_EXTENSION_get_critical(expected) ||
        ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(asked), X509_EXTENSION_get_data(expected)) != 0)
        return pc_refuse("request-extension", "extension %s does not say exactly what the profile %s sets%s",
                         name, rules->profile->name,
                         X509_EXTENSION_get_critical(expected) ? " (critical)" : "");
    return 0;
}

static int judge_extensions(const ASN1_TYPE *value, const struct pki_request_rules *rules,
                            const EVP_PKEY *key, const char *cn)
{
    const unsigned char *at, *end;
    int rc;
    PC_CLEANUP(pki_extensions_free_ref) STACK_OF(X509_EXTENSION) *asked = NULL;
    PC_CLEANUP(pki_extensions_free_ref) STACK_OF(X509_EXTENSION) *set = NULL;

    if (value->type != V_ASN1_SEQUENCE)
        return pc_refuse("request-extension", "extension request is no SEQUENCE (RFC 2985 §5.4.2)");
    at = ASN1_STRING_get0_data(value->value.sequence);
    end = at + ASN1_STRING_length(value->value.sequence);
    asked = d2i_X509_EXTENSIONS(NULL, &at, end - at);
    if (!asked || at != end || sk_X509_EXTENSION_num(asked) < 1)
        return pc_refuse("request-extension", "extension request cannot be parsed (RFC 5280 §4.1)");
    rc = pki_extensions_new(rules->profile, key, cn, rules->hosts, &set);
    if (!rc)
        rc = add_authority(rules, &set);
    for (int i = 0; !rc && i < sk_X509_EXTENSION_num(asked); i++) {
        X509_EXTENSION *one = sk_X509_EXTENSION_value(asked, i);

        if (X509v3_get_ext_by_OBJ(asked, X509_EXTENSION_get_object(one), i) >= 0)
            return pc_refuse("request-extension", "an extension is asked for twice (RFC 5280 §4.2)");
        rc = judge_extension(one, set, rules, cn);
    }
    return rc;
}

int pki_request_judge_attributes(const X509_REQ *request, const struct pki_request_rules *rules,
                                 const EVP_PKEY *key, const char *cn, char ret_challenge[PKI_CHALLENGE_TEXT])
{
    const ASN1_TYPE *extensions = NULL, *challenge = NULL;
    int rc = 0;

    /* All of them: OpenSSL's own getter reads one extension request and passes over a second, of Microsoft's
     * type. */
    for (int i = 0; i < X509_REQ_get_attr_count(request); i++) {
        X509_ATTRIBUTE *attribute = X509_REQ_get_attr(request, i);
        const ASN1_OBJECT *type = X509_ATTRIBUTE_get0_object(attribute);
        int nid = OBJ_obj2nid(type);
        const ASN1_TYPE **place = NULL;
        char name[80];

        OBJ_obj2txt(name, sizeof name, type, 0);
        if ((nid == NID_ext_req || nid == NID_ms_ext_req) && rules->profile->request_extensions)
            place = &extensions;
        if (nid == NID_pkcs9_challengePassword && rules->profile->request_challenge)
            place = &challenge;
        if (!place)
            return pc_refuse("request-attribute", "attribute %s is not one that profile %s allows", name,
                             rules->profile->name);
        if (*place || X509_ATTRIBUTE_count(attribute) != 1)
            return pc_refuse("request-attribute-twice",
                             "attribute %s stands there twice or has %d values, not one", name,
                             X509_ATTRIBUTE_count(attribute));
        *place = X509_ATTRIBUTE_get0_type(attribute, 0);
    }
    if (challenge)
        rc = judge_challenge(challenge, ret_challenge);
    if (!rc && extensions)
        rc = judge_extensions(extensions, rules, key, cn);
    return rc;
}
