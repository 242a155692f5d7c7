/* The extensions that a profile sets, encoded (RFC 5280 §4.2.1). */
#include "src/pki/extensions.h"

#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/pki/name.h"
#include "src/pki/openssl.h"

int pki_key_id(const EVP_PKEY *key, unsigned char ret[PKI_KEY_ID_LEN])
{
    struct pki_spki spki;
    int rc = pki_spki_of(key, &spki);

    if (!rc)
        memcpy(ret, spki.id, PKI_KEY_ID_LEN);
    return rc;
}

/* Appends the extension `nid` with `value` (of the type that OpenSSL knows for it). */
static int append(STACK_OF(X509_EXTENSION) * *stack, int nid, void *value, bool critical)
{
    if (X509V3_add1_i2d(stack, nid, value, critical, X509V3_ADD_APPEND) != 1)
        return pc_fail_openssl(PC_EFAIL, "extension %s", OBJ_nid2sn(nid));
    return 0;
}

static int append_basic_constraints(STACK_OF(X509_EXTENSION) * *stack, const struct pki_profile *profile)
{
    PC_CLEANUP(BASIC_CONSTRAINTS_free_ref) BASIC_CONSTRAINTS *value = BASIC_CONSTRAINTS_new();

    if (!value)
        return pc_fail(PC_EFAIL, "out of memory");
    value->ca = profile->ca ? 0xff : 0;
    if (profile->path_length >= 0 && (!(value->pathlen = ASN1_INTEGER_new()) ||
                                      ASN1_INTEGER_set(value->pathlen, profile->path_length) != 1))
        return pc_fail(PC_EFAIL, "out of memory");
    return append(stack, NID_basic_constraints, value, true);
}

/* KU_… holds the bits of the first octet in its low byte, those of the second in its high byte (RFC 5280
 * §4.2.1.3). */
static int append_key_usage(STACK_OF(X509_EXTENSION) * *stack, const struct pki_profile *profile)
{
    PC_CLEANUP(ASN1_BIT_STRING_free_ref) ASN1_BIT_STRING *value = ASN1_BIT_STRING_new();

    if (!value)
        return pc_fail(PC_EFAIL, "out of memory");
    for (int bit = 0; bit < 9; bit++) {
        uint32_t mask = bit < 8 ? UINT32_C(0x80) >> bit : KU_DECIPHER_ONLY;

        if ((profile->key_usage & mask) && ASN1_BIT_STRING_set_bit(value, bit, 1) != 1)
            return pc_fail(PC_EFAIL, "out of memory");
    }
    return append(stack, NID_key_usage, value, true);
}

static int append_extended_key_usage(STACK_OF(X509_EXTENSION) * *stack, const struct pki_profile *profile)
{
    PC_CLEANUP(EXTENDED_KEY_USAGE_free_ref) EXTENDED_KEY_USAGE *value = NULL;

    if (profile->extended_key_usage == NID_undef)
        return 0;
    value = EXTENDED_KEY_USAGE_new();
    if (!value || sk_ASN1_OBJECT_push(value, OBJ_nid2obj(profile->extended_key_usage)) <= 0)
        return pc_fail(PC_EFAIL, "out of memory");
    return append(stack, NID_ext_key_usage, value, false);
}

static int append_key_id(STACK_OF(X509_EXTENSION) * *stack, const EVP_PKEY *key)
{
    unsigned char id[PKI_KEY_ID_LEN];
    int rc = pki_key_id(key, id);
    PC_CLEANUP(ASN1_OCTET_STRING_free_ref) ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();

    if (rc)
        return rc;
    if (!value || ASN1_OCTET_STRING_set(value, id, sizeof id) != 1)
        return pc_fail(PC_EFAIL, "out of memory");
    return append(stack, NID_subject_key_identifier, value, false);
}

static int plant_names(const char *plant, GENERAL_NAMES **ret)
{
    char uri[sizeof "urn:uuid:" + PKI_UUID_TEXT];
    PC_CLEANUP(GENERAL_NAMES_free_ref) GENERAL_NAMES *names = GENERAL_NAMES_new();
    PC_CLEANUP(GENERAL_NAME_free_ref) GENERAL_NAME *name = GENERAL_NAME_new();
    PC_CLEANUP(ASN1_STRING_free_ref) ASN1_STRING *value = ASN1_STRING_type_new(V_ASN1_IA5STRING);

    snprintf(uri, sizeof uri, "urn:uuid:%s", plant);
    if (!names || !name || !value || ASN1_STRING_set(value, uri, -1) != 1)
        return pc_fail(PC_EFAIL, "out of memory");
    GENERAL_NAME_set0_value(name, GEN_URI, pc_steal(value));
    if (sk_GENERAL_NAME_push(names, name) <= 0)
        return pc_fail(PC_EFAIL, "out of memory");
    name = NULL;
    *ret = pc_steal(names);
    return 0;
}

static int copy_names(const GENERAL_NAMES *from, GENERAL_NAMES **ret)
{
    PC_CLEANUP(GENERAL_NAMES_free_ref) GENERAL_NAMES *names = GENERAL_NAMES_new();

    if (!names)
        return pc_fail(PC_EFAIL, "out of memory");
    for (int i = 0; i < sk_GENERAL_NAME_num(from); i++) {
        GENERAL_NAME *copy = GENERAL_NAME_dup(sk_GENERAL_NAME_value(from, i));

        if (!copy || sk_GENERAL_NAME_push(names, copy) <= 0) {
            GENERAL_NAME_free(copy);
            return pc_fail(PC_EFAIL, "out of memory");
        }
    }
    *ret = pc_steal(names);
    return 0;
}

int pki_extensions_san(const struct pki_profile *profile, const char *cn, const GENERAL_NAMES *hosts,
                       GENERAL_NAMES **ret)
{
    switch (profile->san) {
    case PKI_SAN_PLANT:
        if (!cn || !pki_uuid_is_canonical(cn))
            return pc_fail(PC_EFAIL, "profile %s needs a plant's UUID", profile->name);
        return plant_names(cn, ret);
    case PKI_SAN_HOSTS:
        if (!hosts || sk_GENERAL_NAME_num(hosts) <= 0)
            return pc_fail(PC_EFAIL, "profile %s needs a subject alternative name", profile->name);
        return copy_names(hosts, ret);
    case PKI_SAN_NONE:
        break;
    }
    *ret = NULL;
    return 0;
}

int pki_extensions_new(const struct pki_profile *profile, const EVP_PKEY *key, const char *cn,
                       const GENERAL_NAMES *hosts, STACK_OF(X509_EXTENSION) * *ret)
{
    int rc;
    PC_CLEANUP(GENERAL_NAMES_free_ref) GENERAL_NAMES *names = NULL;
    PC_CLEANUP(pki_extensions_free_ref) STACK_OF(X509_EXTENSION) *stack = sk_X509_EXTENSION_new_null();

    if (!stack)
        return pc_fail(PC_EFAIL, "out of memory");
    rc = append_basic_constraints(&stack, profile);
    if (!rc)
        rc = append_key_usage(&stack, profile);
    if (!rc)
        rc = append_extended_key_usage(&stack, profile);
    if (!rc)
        rc = pki_extensions_san(profile, cn, hosts, &names);
    if (!rc && names)
        rc = append(&stack, NID_subject_alt_name, names, false);
    if (!rc)
        rc = append_key_id(&stack, key);
    if (rc)
        return rc;
    *ret = pc_steal(stack);
    return 0;
}

int pki_authority_key_id(const X509 *issuer, const EVP_PKEY *key, AUTHORITY_KEYID **ret)
{
    unsigned char id[PKI_KEY_ID_LEN];
    int rc;
    PC_CLEANUP(AUTHORITY_KEYID_free_ref) AUTHORITY_KEYID *value = AUTHORITY_KEYID_new();

    if (!value)
        return pc_fail(PC_EFAIL, "out of memory");
    if (issuer)
        value->keyid = X509_get_ext_d2i(issuer, NID_subject_key_identifier, NULL, NULL);
    if (!value->keyid) {
        rc = pki_key_id(key, id);
        if (rc)
            return rc;
        value->keyid = ASN1_OCTET_STRING_new();
        if (!value->keyid || ASN1_OCTET_STRING_set(value->keyid, id, sizeof id) != 1)
            return pc_fail(PC_EFAIL, "out of memory");
    }
    *ret = pc_steal(value);
    return 0;
}
