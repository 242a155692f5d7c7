/* The plant's UUID and distinguished names. Subject alternative names live in san.c. */
#include "src/pki/name.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/pki/names.h"
#include "src/pki/openssl.h"

#define NIL_UUID "00000000-0000-0000-0000-000000000000"

static bool uuid_shape(const char *text)
{
    for (size_t i = 0; i < PKI_UUID_TEXT - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (text[i] == '\0')
            return false;
        if (dash ? text[i] != '-' : !strchr("0123456789abcdef", text[i]))
            return false;
    }
    return text[PKI_UUID_TEXT - 1] == '\0';
}

bool pki_uuid_is_canonical(const char *text)
{
    return uuid_shape(text) && strcmp(text, NIL_UUID) != 0;
}

int pki_uuid_check(const char *text)
{
    if (!uuid_shape(text))
        return pc_fail(PC_EUSAGE, "'%s' is no canonical UUID (lower-case hex, 8-4-4-4-12)", text);
    if (strcmp(text, NIL_UUID) == 0)
        return pc_fail(PC_EUSAGE, "the nil UUID names no plant");
    return 0;
}

/* Attribute types of a DN: RFC 4519's short names, X.520's upper bounds (RFC 5280 Appendix A.1). */
static const struct name_type {
    const char *name;
    int nid;
    unsigned long kinds; /* B_ASN1_… */
    long min, max;       /* characters */
} name_types[] = {
    {"C", NID_countryName, B_ASN1_PRINTABLESTRING, 2, 2},
    {"ST", NID_stateOrProvinceName, B_ASN1_PRINTABLESTRING | B_ASN1_UTF8STRING, 1, 128},
    {"L", NID_localityName, B_ASN1_PRINTABLESTRING | B_ASN1_UTF8STRING, 1, 128},
    {"O", NID_organizationName, B_ASN1_PRINTABLESTRING | B_ASN1_UTF8STRING, 1, 64},
    {"OU", NID_organizationalUnitName, B_ASN1_PRINTABLESTRING | B_ASN1_UTF8STRING, 1, 64},
    {"CN", NID_commonName, B_ASN1_PRINTABLESTRING | B_ASN1_UTF8STRING, 1, 64},
    {"serialNumber", NID_serialNumber, B_ASN1_PRINTABLESTRING, 1, 64},
    {"emailAddress", NID_pkcs9_emailAddress, B_ASN1_IA5STRING, 1, 255},
    {"DC", NID_domainComponent, B_ASN1_IA5STRING, 1, 63},
};

static int name_append(X509_NAME *name, const char *type, const unsigned char *value, size_t len)
{
    const struct name_type *row = NULL;
    ASN1_STRING *string = NULL;
    PC_CLEANUP(ASN1_STRING_free_ref) ASN1_STRING *owned = NULL;

    for (size_t i = 0; i < sizeof name_types / sizeof name_types[0]; i++) {
        if (strcmp(type, name_types[i].name) == 0)
            row = &name_types[i];
    }
    if (!row)
        return pc_fail(PC_EUSAGE, "distinguished name: unknown attribute type '%s'", type);
    if (len == 0 || len > INT_MAX)
        return pc_fail(PC_EUSAGE, "distinguished name: %s has no value", type);
    for (size_t i = 0; i < len; i++) {
        if (value[i] < 0x20 || value[i] == 0x7f)
            return pc_fail(PC_EUSAGE, "distinguished name: %s holds a control character", type);
    }
    if (ASN1_mbstring_ncopy(&string, value, (int)len, MBSTRING_UTF8, row->kinds, row->min, row->max) < 0)
        return pc_fail_openssl(
            PC_EUSAGE, "distinguished name: %s does not hold %ld to %ld characters that may stand there",
            type, row->min, row->max);
    owned = string;
    if (X509_NAME_add_entry_by_NID(name, row->nid, ASN1_STRING_type(owned), ASN1_STRING_get0_data(owned),
                                   ASN1_STRING_length(owned), -1, 0) != 1)
        return pc_fail_openssl(PC_EFAIL, "distinguished name: %s", type);
    return 0;
}

/* Reads "TYPE=value" up to the next unescaped '/' or the end; *at is moved behind it. `buffer` has room for
 * the whole text. */
static int name_take(X509_NAME *name, const char **at, char *buffer)
{
    const char *equals = strchr(*at, '='), *next;
    char *type = buffer, *value;
    size_t len = 0;

    if (!equals || memchr(*at, '/', (size_t)(equals - *at)))
        return pc_fail(PC_EUSAGE, "distinguished name: no '=' in '%s'", *at);
    memcpy(type, *at, (size_t)(equals - *at));
    type[equals - *at] = '\0';
    value = type + (equals - *at) + 1;
    for (next = equals + 1; *next != '\0' && *next != '/'; next++) {
        if (*next == '\\') {
            next++;
            if (*next != '/' && *next != '\\')
                return pc_fail(PC_EUSAGE, "distinguished name: '\\' stands only before '/' or '\\'");
        }
        value[len++] = *next;
    }
    *at = next;
    return name_append(name, type, (const unsigned char *)value, len);
}

int pki_name_parse(const char *text, X509_NAME **ret)
{
    PC_CLEANUP(X509_NAME_free_ref) X509_NAME *name = X509_NAME_new();
    pc_autofree char *buffer = malloc(strlen(text) + 1);

    if (!name || !buffer)
        return pc_fail(PC_EFAIL, "out of memory");
    if (text[0] != '/' || text[1] == '\0')
        return pc_fail(PC_EUSAGE, "distinguished name '%s' is not of the form /C=…/O=…/CN=…", text);
    while (*text != '\0') {
        int rc;

        text++; /* the slash */
        rc = name_take(name, &text, buffer);
        if (rc)
            return rc;
    }
    *ret = pc_steal(name);
    return 0;
}

/* Control characters of a foreign name are shown as hex, so that no message carries them to a terminal. */
static bool write_value(BIO *out, const unsigned char *value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool control = value[i] < 0x20 || value[i] == 0x7f;
        int wrote = control                                 ? BIO_printf(out, "\\x%02x", value[i])
                    : (value[i] == '/' || value[i] == '\\') ? BIO_printf(out, "\\%c", value[i])
                                                            : BIO_write(out, &value[i], 1);
        if (wrote <= 0)
            return false;
    }
    return true;
}

static bool write_entry(BIO *out, const X509_NAME_ENTRY *entry, bool joined)
{
    const ASN1_OBJECT *type = X509_NAME_ENTRY_get_object(entry);
    int nid = OBJ_obj2nid(type), len;
    char dotted[128];
    pki_autoder *value = NULL;

    OBJ_obj2txt(dotted, sizeof dotted, type, 1);
    len = ASN1_STRING_to_UTF8(&value, X509_NAME_ENTRY_get_data(entry));
    return len >= 0 &&
           BIO_printf(out, "%c%s=", joined ? '+' : '/', nid == NID_undef ? dotted : OBJ_nid2sn(nid)) > 0 &&
           write_value(out, value, (size_t)len);
}

int pki_name_format(const X509_NAME *name, char **ret)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *out = BIO_new(BIO_s_mem());
    const char *text;
    long len;
    int set = -1;

    if (!out)
        return pc_fail(PC_EFAIL, "out of memory");
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);

        if (!write_entry(out, entry, X509_NAME_ENTRY_set(entry) == set))
            return pc_fail_openssl(PC_EFAIL, "distinguished name cannot be shown");
        set = X509_NAME_ENTRY_set(entry);
    }
    len = BIO_get_mem_data(out, &text);
    *ret = strndup(len > 0 ? text : "", (size_t)len);
    return *ret ? 0 : pc_fail(PC_EFAIL, "out of memory");
}

int pki_name_cn(const X509_NAME *name, char **ret)
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1), len;
    pki_autoder *value = NULL;

    if (at < 0)
        return pc_refuse("name-cn", "name without a CN");
    if (X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0)
        return pc_refuse("name-cn", "name with more than one CN");
    len = ASN1_STRING_to_UTF8(&value, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (len < 0)
        return pc_refuse("name-cn", "CN is no text");
    if (memchr(value, '\0', (size_t)len))
        return pc_refuse("name-cn", "CN holds a NUL");
    *ret = strndup((const char *)value, (size_t)len);
    return *ret ? 0 : pc_fail(PC_EFAIL, "out of memory");
}

void pki_name_disarm(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

int pki_name_of_cn(const char *cn, X509_NAME **ret)
{
    PC_CLEANUP(X509_NAME_free_ref) X509_NAME *name = X509_NAME_new();
    int rc;

    if (!name)
        return pc_fail(PC_EFAIL, "out of memory");
    rc = name_append(name, "CN", (const unsigned char *)cn, strlen(cn));
    if (rc)
        return rc;
    *ret = pc_steal(name);
    return 0;
}

int pki_plan_subject(const struct pki_certificate_plan *plan, X509_NAME **ret)
{
    X509_NAME *copy;

    switch (plan->profile->subject) {
    case PKI_SUBJECT_PLANT:
        if (!plan->cn || !pki_uuid_is_canonical(plan->cn))
            return pc_fail(PC_EFAIL, "profile %s needs a plant's UUID", plan->profile->name);
        return pki_name_of_cn(plan->cn, ret);
    case PKI_SUBJECT_HOST:
        if (!plan->cn)
            return pc_fail(PC_EFAIL, "profile %s needs a host name", plan->profile->name);
        return pki_name_of_cn(plan->cn, ret);
    case PKI_SUBJECT_CN:
        /* A CN is what a broker takes as the user name. */
        if (!plan->cn || pki_uuid_is_canonical(plan->cn))
            return pc_fail(PC_EFAIL, "profile %s needs a name that is no plant's", plan->profile->name);
        return pki_name_of_cn(plan->cn, ret);
    case PKI_SUBJECT_GIVEN:
        break;
    }
    if (!plan->subject || X509_NAME_entry_count(plan->subject) == 0)
        return pc_fail(PC_EFAIL, "profile %s needs a subject (RFC 5280 §4.1.2.6)", plan->profile->name);
    copy = X509_NAME_dup(plan->subject);
    if (!copy)
        return pc_fail(PC_EFAIL, "out of memory");
    *ret = copy;
    return 0;
}
