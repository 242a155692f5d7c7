/* CSR attributes: what the station wants to see in a request, as a list of OIDs and attributes (RFC 8951 §4).
 * RFC 9908's template is not written: it would say no more, and clients older than it pass it over. */
#include <openssl/err.h>

#include "src/base/error.h"
#include "src/est/body.h"
#include "src/pki/asn1.h"
#include "src/pki/openssl.h"

PC_DEFINE_CLEANUP(ASN1_TYPE, ASN1_TYPE_free);
PC_DEFINE_CLEANUP(X509_ATTRIBUTE, X509_ATTRIBUTE_free);

#define RSA_BITS 2048

static void list_free_ref(ASN1_SEQUENCE_ANY **list)
{
    sk_ASN1_TYPE_pop_free(*list, ASN1_TYPE_free);
}

static int append(ASN1_SEQUENCE_ANY *list, ASN1_TYPE **element)
{
    if (sk_ASN1_TYPE_push(list, *element) == 0)
        return pc_fail(PC_EFAIL, "out of memory");
    *element = NULL;
    return 0;
}

static int append_oid(ASN1_SEQUENCE_ANY *list, int nid)
{
    PC_CLEANUP(ASN1_TYPE_free_ref) ASN1_TYPE *element = ASN1_TYPE_new();

    if (!element || ASN1_TYPE_set1(element, V_ASN1_OBJECT, OBJ_nid2obj(nid)) != 1)
        return pc_fail_openssl(PC_EFAIL, "CSR attribute %s", OBJ_nid2sn(nid));
    return append(list, &element);
}

/* An attribute that names a kind of key, with the one value that narrows it (RFC 9908 §3.2). */
static int append_key(ASN1_SEQUENCE_ANY *list, int nid, int value_type, const void *value)
{
    PC_CLEANUP(ASN1_TYPE_free_ref) ASN1_TYPE *element = NULL;
    PC_CLEANUP(X509_ATTRIBUTE_free_ref)
    X509_ATTRIBUTE *attribute = X509_ATTRIBUTE_create_by_NID(NULL, nid, value_type, value, -1);

    if (!attribute || !ASN1_TYPE_pack_sequence(ASN1_ITEM_rptr(X509_ATTRIBUTE), attribute, &element))
        return pc_fail_openssl(PC_EFAIL, "CSR attribute %s", OBJ_nid2sn(nid));
    return append(list, &element);
}

static int append_rsa(ASN1_SEQUENCE_ANY *list)
{
    PC_CLEANUP(ASN1_INTEGER_free_ref) ASN1_INTEGER *bits = ASN1_INTEGER_new();

    if (!bits || ASN1_INTEGER_set(bits, RSA_BITS) != 1)
        return pc_fail_openssl(PC_EFAIL, "CSR attribute of an RSA key");
    return append_key(list, NID_rsaEncryption, V_ASN1_INTEGER, bits);
}

int est_attributes_build(const struct est_attributes *attributes, struct pc_bytes *ret_der)
{
    int rc = 0, len;
    pki_autoder *der = NULL;
    PC_CLEANUP(list_free_ref) ASN1_SEQUENCE_ANY *list = sk_ASN1_TYPE_new_null();

    if (!list)
        return pc_fail(PC_EFAIL, "out of memory");
    if (attributes->binding)
        rc = append_oid(list, NID_pkcs9_challengePassword);
    if (!rc && attributes->rsa_2048 && !attributes->ec_p256)
        rc = append_rsa(list);
    if (!rc && attributes->ec_p256 && !attributes->rsa_2048)
        rc = append_key(list, NID_X9_62_id_ecPublicKey, V_ASN1_OBJECT, OBJ_nid2obj(NID_X9_62_prime256v1));
    if (rc)
        return rc;
    len = i2d_ASN1_SEQUENCE_ANY(list, &der);
    if (len <= 0)
        return pc_fail_openssl(PC_EFAIL, "CSR attributes cannot be encoded");
    return pc_bytes_copy(der, (size_t)len, ret_der);
}

/* `value` NULL: the type stands alone. */
static void note(const ASN1_OBJECT *type, const ASN1_TYPE *value, struct est_attributes *attributes)
{
    switch (OBJ_obj2nid(type)) {
    case NID_pkcs9_challengePassword:
        attributes->binding = true;
        break;
    case NID_rsaEncryption:
        if (value && value->type == V_ASN1_INTEGER && ASN1_INTEGER_get(value->value.integer) == RSA_BITS)
            attributes->rsa_2048 = true;
        break;
    case NID_X9_62_id_ecPublicKey:
        if (value && value->type == V_ASN1_OBJECT && OBJ_obj2nid(value->value.object) == NID_X9_62_prime256v1)
            attributes->ec_p256 = true;
        break;
    default: /* RFC 7030 §4.5.2: what is not known is passed over */
        break;
    }
}

static int read_one(const ASN1_TYPE *element, struct est_attributes *attributes)
{
    const unsigned char *at, *end;
    PC_CLEANUP(X509_ATTRIBUTE_free_ref) X509_ATTRIBUTE *attribute = NULL;

    if (element->type == V_ASN1_OBJECT) {
        note(element->value.object, NULL, attributes);
        return 0;
    }
    if (element->type != V_ASN1_SEQUENCE)
        return pc_refuse("est-attributes",
                         "CSR attributes hold neither an OID nor an attribute but %s "
                         "(RFC 8951 §4)",
                         ASN1_tag2str(element->type));
    at = ASN1_STRING_get0_data(element->value.sequence);
    end = at + ASN1_STRING_length(element->value.sequence);
    attribute = d2i_X509_ATTRIBUTE(NULL, &at, end - at);
    if (!attribute || at != end)
        return pc_refuse("est-attributes", "CSR attribute cannot be parsed (RFC 8951 §4)");
    note(X509_ATTRIBUTE_get0_object(attribute), X509_ATTRIBUTE_get0_type(attribute, 0), attributes);
    return 0;
}

int est_attributes_read(const struct pc_bytes *der, struct est_attributes *ret)
{
    const unsigned char *at = der->data;
    struct est_attributes found = {0};
    int rc = 0;
    PC_CLEANUP(list_free_ref) ASN1_SEQUENCE_ANY *list = NULL;

    if (der->len == 0 || der->len > EST_BODY_MAX || !pki_der_is_strict(der->data, der->len) ||
        !(list = d2i_ASN1_SEQUENCE_ANY(NULL, &at, (long)der->len)) || at != der->data + der->len)
        rc = pc_refuse("est-attributes", "CSR attributes are no DER SEQUENCE (RFC 8951 §4)");
    for (int i = 0; !rc && i < sk_ASN1_TYPE_num(list); i++)
        rc = read_one(sk_ASN1_TYPE_value(list, i), &found);
    ERR_clear_error(); /* what hostile bytes left there is no news for the next caller */
    if (rc)
        return rc;
    *ret = found;
    return 0;
}
