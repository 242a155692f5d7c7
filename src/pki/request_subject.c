/* The subject of a request: one CN and nothing else, fit for the profile. */
#include "src/pki/request_attributes.h"

#include <string.h>

#include "src/base/error.h"
#include "src/pki/openssl.h"

#define NIL_UUID "00000000-0000-0000-0000-000000000000"

/* OpenSSL passes over an RDN that is an empty set: the one entry must encode to the very bytes of the whole
 * name. */
static int judge_bytes(const X509_NAME *subject)
{
    const unsigned char *found, *expected;
    size_t found_len, expected_len;
    PC_CLEANUP(X509_NAME_free_ref) X509_NAME *name = X509_NAME_new();

    if (!name || X509_NAME_add_entry(name, X509_NAME_get_entry(subject, 0), -1, 0) != 1 ||
        X509_NAME_get0_der(name, &expected, &expected_len) != 1 ||
        X509_NAME_get0_der(subject, &found, &found_len) != 1)
        return pc_fail_openssl(PC_EFAIL, "request subject");
    if (found_len != expected_len || memcmp(found, expected, found_len) != 0)
        return pc_refuse("request-rdn", "subject has more than the encoding of its CN (RFC 5280 §4.1.2.4)");
    return 0;
}

/* Exactly one RDN of exactly one CN. */
static int judge_shape(const X509_NAME *subject)
{
    int count = X509_NAME_entry_count(subject), cns = 0, other = NID_undef;
    bool foreign = false;

    for (int i = 0; i < count; i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);

        if (i > 0 && X509_NAME_ENTRY_set(entry) == X509_NAME_ENTRY_set(X509_NAME_get_entry(subject, i - 1)))
            return pc_refuse("request-rdn-multi",
                             "subject has a multi-valued RDN; only one CN may stand there");
        if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) == NID_commonName) {
            cns++;
        } else {
            foreign = true;
            other = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
        }
    }
    if (cns == 0)
        return pc_refuse("request-cn-missing", "subject has no CN (RFC 5280 Appendix A.1)");
    if (cns > 1)
        return pc_refuse("request-cn-twice", "subject has %d CNs; one may stand there", cns);
    if (foreign)
        return pc_refuse("request-rdn", "subject has %s beside its CN; nothing else may stand there",
                         OBJ_nid2ln(other));
    return judge_bytes(subject);
}

/* Printable ASCII in PrintableString or UTF8String; seen with its length, as a NUL would end a C string
 * early. */
static int judge_text(const X509_NAME *subject, char *ret_cn, size_t size)
{
    const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, 0));
    const unsigned char *data = ASN1_STRING_get0_data(value);
    int type = ASN1_STRING_type(value), len = ASN1_STRING_length(value);

    if (type != V_ASN1_PRINTABLESTRING && type != V_ASN1_UTF8STRING)
        return pc_refuse("request-cn-charset",
                         "CN is a %s, neither PrintableString nor UTF8String (RFC 5280 §4.1.2.4)",
                         ASN1_tag2str(type));
    for (int i = 0; i < len; i++) {
        if (data[i] < 0x20 || data[i] > 0x7e)
            return pc_refuse("request-cn-charset",
                             "CN holds the octet 0x%02x at %d; only printable ASCII may stand there", data[i],
                             i);
    }
    if (len == 0 || (size_t)len >= size)
        return pc_refuse("request-cn-charset", "CN of %d characters", len);
    memcpy(ret_cn, data, (size_t)len);
    ret_cn[len] = '\0';
    return 0;
}

static int judge_plant(const char *cn, const char *plant)
{
    if (strcmp(cn, NIL_UUID) == 0)
        return pc_refuse("request-cn-nil", "CN is the nil UUID, which names no plant (RFC 4122 §4.1.7)");
    if (!pki_uuid_is_canonical(cn))
        return pc_refuse("request-cn-uuid", "CN '%.64s' is no canonical lower-case UUID (RFC 4122 §3)", cn);
    if (plant && strcmp(cn, plant) != 0)
        return pc_refuse("request-plant", "CN is %s, not the plant %s", cn, plant);
    return 0;
}

static int judge_host(const char *cn, const char *host)
{
    if (!host || strcmp(cn, host) != 0)
        return pc_refuse("request-host", "CN '%.64s' is not the host '%s'", cn, host ? host : "");
    return 0;
}

int pki_request_judge_subject(const X509_NAME *subject, const struct pki_request_rules *rules, char *ret_cn,
                              size_t size)
{
    int rc = judge_shape(subject);

    if (!rc)
        rc = judge_text(subject, ret_cn, size);
    if (rc)
        return rc;
    switch (rules->profile->subject) {
    case PKI_SUBJECT_PLANT:
        return judge_plant(ret_cn, rules->plant);
    case PKI_SUBJECT_HOST:
        return judge_host(ret_cn, rules->host);
    case PKI_SUBJECT_CN:
        if (rules->host) /* whoever issues it names it */
            return judge_host(ret_cn, rules->host);
        break;
    case PKI_SUBJECT_GIVEN:
        break;
    }
    return pc_refuse("request-profile", "profile %s is not issued on request", rules->profile->name);
}
