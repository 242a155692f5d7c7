/* From the attributes of a public key object to an EVP_PKEY. Nothing here judges the key's strength. */
#include "hsm/public.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "hsm/object.h"
#include "src/base/error.h"

PC_DEFINE_CLEANUP(BIGNUM, BN_free);
PC_DEFINE_CLEANUP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free);
PC_DEFINE_CLEANUP(OSSL_PARAM, OSSL_PARAM_free);
PC_DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free);
PC_DEFINE_CLEANUP(EC_GROUP, EC_GROUP_free);
PC_DEFINE_CLEANUP(ASN1_OBJECT, ASN1_OBJECT_free);
PC_DEFINE_CLEANUP(ASN1_OCTET_STRING, ASN1_OCTET_STRING_free);

static int build(const char *kind, OSSL_PARAM_BLD *builder, EVP_PKEY **ret)
{
    PC_CLEANUP(OSSL_PARAM_free_ref) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    PC_CLEANUP(EVP_PKEY_CTX_free_ref) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    EVP_PKEY *key = NULL;
    if (!params || !context || EVP_PKEY_fromdata_init(context) <= 0 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        return pc_fail_openssl(PC_EREFUSED, "the token's public key is no %s key", kind);
    *ret = key;
    return 0;
}

static int read_rsa(struct hsm_token *token, CK_OBJECT_HANDLE object, EVP_PKEY **ret)
{
    pc_autobytes modulus = {0}, exponent = {0};
    int r = hsm_attribute_need(token, object, CKA_MODULUS, "CKA_MODULUS", &modulus);
    if (r < 0)
        return r;
    r = hsm_attribute_need(token, object, CKA_PUBLIC_EXPONENT, "CKA_PUBLIC_EXPONENT", &exponent);
    if (r < 0)
        return r;
    PC_CLEANUP(BN_free_ref) BIGNUM *n = BN_bin2bn(modulus.data, (int)modulus.len, NULL);
    PC_CLEANUP(BN_free_ref) BIGNUM *e = BN_bin2bn(exponent.data, (int)exponent.len, NULL);
    PC_CLEANUP(OSSL_PARAM_BLD_free_ref) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (!n || !e || !builder || !OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) ||
        !OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e))
        return pc_fail_openssl(PC_EFAIL, "RSA public key");
    return build("RSA", builder, ret);
}

/* CKA_EC_PARAMS: a named curve only; explicit parameters are refused. */
static int read_curve(const struct pc_bytes *params, EC_GROUP **ret)
{
    const unsigned char *at = params->data;
    PC_CLEANUP(ASN1_OBJECT_free_ref) ASN1_OBJECT *oid = d2i_ASN1_OBJECT(NULL, &at, (long)params->len);
    EC_GROUP *group = NULL;
    if (oid && at == params->data + params->len)
        group = EC_GROUP_new_by_curve_name(OBJ_obj2nid(oid));
    ERR_clear_error();
    if (!group)
        return pc_refuse("key-type", "CKA_EC_PARAMS of the token's key is no named curve that is known");
    *ret = group;
    return 0;
}

/* CKA_EC_POINT is an OCTET STRING around the uncompressed point (PKCS#11 v2.40 §2.3.3); some tokens give the
 * bare point, which its length tells apart. */
static int unwrap_point(const EC_GROUP *group, struct pc_bytes *point)
{
    size_t bare = 1 + 2 * (((size_t)EC_GROUP_get_degree(group) + 7) / 8);
    if (point->len == bare)
        return 0;
    const unsigned char *at = point->data;
    PC_CLEANUP(ASN1_OCTET_STRING_free_ref)
    ASN1_OCTET_STRING *inner = d2i_ASN1_OCTET_STRING(NULL, &at, (long)point->len);
    ERR_clear_error();
    if (!inner || at != point->data + point->len || (size_t)ASN1_STRING_length(inner) != bare)
        return pc_refuse("key-type", "CKA_EC_POINT of the token's key is no point of its curve");
    struct pc_bytes copy;
    int r = pc_bytes_copy(ASN1_STRING_get0_data(inner), bare, &copy);
    if (r < 0)
        return r;
    pc_bytes_clear(point);
    *point = copy;
    return 0;
}

static int read_ec(struct hsm_token *token, CK_OBJECT_HANDLE object, EVP_PKEY **ret)
{
    pc_autobytes params = {0}, point = {0};
    PC_CLEANUP(EC_GROUP_free_ref) EC_GROUP *group = NULL;
    int r = hsm_attribute_need(token, object, CKA_EC_PARAMS, "CKA_EC_PARAMS", &params);
    if (r < 0)
        return r;
    r = hsm_attribute_need(token, object, CKA_EC_POINT, "CKA_EC_POINT", &point);
    if (r < 0)
        return r;
    r = read_curve(&params, &group);
    if (r < 0)
        return r;
    r = unwrap_point(group, &point);
    if (r < 0)
        return r;
    const char *curve = OBJ_nid2sn(EC_GROUP_get_curve_name(group));
    PC_CLEANUP(OSSL_PARAM_BLD_free_ref) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (!builder || !OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, curve, 0) ||
        !OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.len))
        return pc_fail_openssl(PC_EFAIL, "EC public key");
    return build("EC", builder, ret);
}

int hsm_public_read(struct hsm_token *token, CK_OBJECT_HANDLE object, EVP_PKEY **ret)
{
    unsigned long type = 0;
    bool present;
    int r = hsm_attribute_ulong(token, object, CKA_KEY_TYPE, "CKA_KEY_TYPE", &type, &present);
    if (r < 0)
        return r;
    if (present && type == CKK_RSA)
        return read_rsa(token, object, ret);
    if (present && type == CKK_EC)
        return read_ec(token, object, ret);
    return pc_refuse("key-type", "token '%s': the key is neither RSA nor EC (CKA_KEY_TYPE 0x%lx)",
                     token->info.label, type);
}
