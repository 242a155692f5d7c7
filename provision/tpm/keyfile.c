/* The two PEM forms of a key, read and written strictly (DER, one block, nothing over). What a public area is
 * worth: public.c. */
#include <limits.h>
#include <string.h>

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <tss2/tss2_mu.h>

#include "provision/tpm/esys.h"
#include "provision/tpm/keyfile.h"

#define OID_LOADABLE "2.23.133.10.1.3" /* TPM loadable key, draft-bottomley-tpm2-keys §3.1 */
#define REFERENCE_VERSION 1

/* draft-bottomley-tpm2-keys §3. What we cannot honour (policy, secret, RSA parent) is read, so that it is
 * refused and not overlooked. */
typedef struct {
    ASN1_OBJECT *type;
    ASN1_BOOLEAN empty_auth;
    ASN1_TYPE *policy, *secret, *auth_policy;
    ASN1_UTF8STRING *description;
    ASN1_BOOLEAN rsa_parent;
    ASN1_INTEGER *parent;
    ASN1_OCTET_STRING *public_area, *private_area;
} TPM_BLOB;

ASN1_SEQUENCE(TPM_BLOB) =
    {
        ASN1_SIMPLE(TPM_BLOB, type, ASN1_OBJECT),
        ASN1_EXP_OPT(TPM_BLOB, empty_auth, ASN1_BOOLEAN, 0),
        ASN1_EXP_OPT(TPM_BLOB, policy, ASN1_ANY, 1),
        ASN1_EXP_OPT(TPM_BLOB, secret, ASN1_ANY, 2),
        ASN1_EXP_OPT(TPM_BLOB, auth_policy, ASN1_ANY, 3),
        ASN1_EXP_OPT(TPM_BLOB, description, ASN1_UTF8STRING, 4),
        ASN1_EXP_OPT(TPM_BLOB, rsa_parent, ASN1_BOOLEAN, 5),
        ASN1_SIMPLE(TPM_BLOB, parent, ASN1_INTEGER),
        ASN1_SIMPLE(TPM_BLOB, public_area, ASN1_OCTET_STRING),
        ASN1_SIMPLE(TPM_BLOB, private_area, ASN1_OCTET_STRING),
} static_ASN1_SEQUENCE_END(TPM_BLOB)

    /* Ours: where the key is, which it is, and nothing that is private. */
    typedef struct {
    ASN1_INTEGER *version, *handle;
    ASN1_OCTET_STRING *name, *public_area;
} TPM_REFERENCE;

ASN1_SEQUENCE(TPM_REFERENCE) =
    {
        ASN1_SIMPLE(TPM_REFERENCE, version, ASN1_INTEGER),
        ASN1_SIMPLE(TPM_REFERENCE, handle, ASN1_INTEGER),
        ASN1_SIMPLE(TPM_REFERENCE, name, ASN1_OCTET_STRING),
        ASN1_SIMPLE(TPM_REFERENCE, public_area, ASN1_OCTET_STRING),
} static_ASN1_SEQUENCE_END(TPM_REFERENCE)

        static int parse_fault(const char *what)
{
    ERR_clear_error();
    return pc_refuse("keyfile-parse", "TPM key file: %s", what);
}

static int unsupported(const char *what)
{
    return pc_refuse("keyfile-unsupported", "TPM key file: %s is not supported", what);
}

/* --- DER: all of it, and exactly as we would write it --- */

static ASN1_VALUE *decode(const ASN1_ITEM *item, const unsigned char *der, size_t len)
{
    if (len == 0 || len > TPM_KEYFILE_MAX)
        return NULL;
    const unsigned char *at = der;
    ASN1_VALUE *value = ASN1_item_d2i(NULL, &at, (long)len, item);
    unsigned char *again = NULL;
    int again_len = value == NULL ? -1 : ASN1_item_i2d(value, &again, item);
    bool same = again_len > 0 && (size_t)again_len == len && memcmp(again, der, len) == 0;
    OPENSSL_free(again);
    if (!same) {
        ASN1_item_free(value, item);
        value = NULL;
    }
    return value;
}

static int read_public(const ASN1_OCTET_STRING *from, TPM2B_PUBLIC *ret)
{
    size_t offset = 0, len = (size_t)ASN1_STRING_length(from);
    TPM2B_PUBLIC area = {0};
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(ASN1_STRING_get0_data(from), len, &offset, &area) != TSS2_RC_SUCCESS ||
        offset != len)
        return parse_fault("the public area is no TPM2B_PUBLIC");
    /* The size inside must be the size of what was read, or the Name would not be that of these bytes. */
    unsigned char again[sizeof(TPM2B_PUBLIC)];
    size_t again_len = 0;
    if (Tss2_MU_TPM2B_PUBLIC_Marshal(&area, again, sizeof(again), &again_len) != TSS2_RC_SUCCESS ||
        again_len != len || memcmp(again, ASN1_STRING_get0_data(from), len) != 0)
        return parse_fault("the public area is not encoded as a TPM would");
    *ret = area;
    return 0;
}

static int read_private(const ASN1_OCTET_STRING *from, TPM2B_PRIVATE *ret)
{
    size_t offset = 0, len = (size_t)ASN1_STRING_length(from);
    TPM2B_PRIVATE area = {0};
    if (Tss2_MU_TPM2B_PRIVATE_Unmarshal(ASN1_STRING_get0_data(from), len, &offset, &area) !=
            TSS2_RC_SUCCESS ||
        offset != len || area.size == 0)
        return parse_fault("the private area is no TPM2B_PRIVATE");
    *ret = area;
    return 0;
}

static int read_handle(const ASN1_INTEGER *from, uint32_t *ret)
{
    uint64_t value = 0;
    if (ASN1_INTEGER_get_uint64(&value, from) != 1 || value > UINT32_MAX)
        return parse_fault("the handle is no handle");
    *ret = (uint32_t)value;
    return 0;
}

static bool is_persistent(uint32_t handle)
{
    return handle >> TPM2_HR_SHIFT == TPM2_HT_PERSISTENT;
}

/* --- TSS2 PRIVATE KEY --- */

static int judge_blob(const TPM_BLOB *blob)
{
    char oid[64];
    if (OBJ_obj2txt(oid, sizeof(oid), blob->type, 1) < 0 || strcmp(oid, OID_LOADABLE) != 0)
        return unsupported("any but a loadable key");
    if (blob->policy != NULL || blob->auth_policy != NULL)
        return unsupported("a policy");
    if (blob->secret != NULL)
        return unsupported("a key to be imported");
    if (blob->rsa_parent > 0)
        return unsupported("an RSA parent");
    if (blob->empty_auth <= 0)
        return unsupported("an auth value");
    return 0;
}

static int key_from_blob(const TPM_BLOB *blob, struct tpm_key **ret)
{
    uint32_t parent = 0;
    TPM2B_PUBLIC public_area;
    TPM2B_PRIVATE private_area;
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    int result = judge_blob(blob);
    if (result == 0)
        result = read_handle(blob->parent, &parent);
    if (result == 0 && parent != TPM2_RH_OWNER && !is_persistent(parent))
        result = unsupported("a parent other than the owner's or a persistent one");
    if (result == 0)
        result = read_public(blob->public_area, &public_area);
    if (result == 0)
        result = read_private(blob->private_area, &private_area);
    if (result == 0)
        result = tpm_key_from_public(&public_area, &key);
    if (result < 0)
        return result;
    key->parent = parent;
    key->private_area = private_area;
    *ret = pc_steal(key);
    return 0;
}

static bool fill_blob(const struct tpm_key *key, TPM_BLOB *blob)
{
    unsigned char public_area[sizeof(TPM2B_PUBLIC)], private_area[sizeof(TPM2B_PRIVATE)];
    size_t public_len = 0, private_len = 0;
    ASN1_OBJECT_free(blob->type);
    blob->type = OBJ_txt2obj(OID_LOADABLE, 1);
    blob->empty_auth = 0xff;
    return blob->type != NULL && ASN1_INTEGER_set_uint64(blob->parent, key->parent) == 1 &&
           Tss2_MU_TPM2B_PUBLIC_Marshal(&key->public_area, public_area, sizeof(public_area), &public_len) ==
               TSS2_RC_SUCCESS &&
           Tss2_MU_TPM2B_PRIVATE_Marshal(&key->private_area, private_area, sizeof(private_area),
                                         &private_len) == TSS2_RC_SUCCESS &&
           ASN1_OCTET_STRING_set(blob->public_area, public_area, (int)public_len) == 1 &&
           ASN1_OCTET_STRING_set(blob->private_area, private_area, (int)private_len) == 1;
}

/* --- PLANTCERT TPM KEY --- */

static int key_from_reference(const TPM_REFERENCE *reference, struct tpm_key **ret)
{
    uint64_t version = 0;
    if (ASN1_INTEGER_get_uint64(&version, reference->version) != 1 || version != REFERENCE_VERSION)
        return unsupported("this version of the file");
    uint32_t handle = 0;
    TPM2B_PUBLIC public_area;
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    int result = read_handle(reference->handle, &handle);
    if (result == 0 && !is_persistent(handle))
        result = parse_fault("the handle is no persistent one");
    if (result == 0)
        result = read_public(reference->public_area, &public_area);
    if (result == 0)
        result = tpm_key_from_public(&public_area, &key);
    if (result < 0)
        return result;
    if ((size_t)ASN1_STRING_length(reference->name) != key->name.len ||
        memcmp(ASN1_STRING_get0_data(reference->name), key->name.octets, key->name.len) != 0)
        return pc_refuse("keyfile-name", "TPM key file: the Name is not that of the public area");
    key->handle = handle;
    *ret = pc_steal(key);
    return 0;
}

static bool fill_reference(const struct tpm_key *key, TPM_REFERENCE *reference)
{
    unsigned char public_area[sizeof(TPM2B_PUBLIC)];
    size_t public_len = 0;
    return ASN1_INTEGER_set_uint64(reference->version, REFERENCE_VERSION) == 1 &&
           ASN1_INTEGER_set_uint64(reference->handle, key->handle) == 1 &&
           ASN1_OCTET_STRING_set(reference->name, key->name.octets, (int)key->name.len) == 1 &&
           Tss2_MU_TPM2B_PUBLIC_Marshal(&key->public_area, public_area, sizeof(public_area), &public_len) ==
               TSS2_RC_SUCCESS &&
           ASN1_OCTET_STRING_set(reference->public_area, public_area, (int)public_len) == 1;
}

/* --- PEM --- */

static int write_pem(const char *label, const ASN1_VALUE *value, const ASN1_ITEM *item, struct pc_bytes *ret)
{
    unsigned char *der = NULL;
    int len = ASN1_item_i2d(value, &der, item);
    BIO *out = BIO_new(BIO_s_mem());
    char *text = NULL;
    int result;
    if (len <= 0 || out == NULL || PEM_write_bio(out, label, "", der, len) <= 0) {
        result = pc_fail_openssl(PC_EFAIL, "cannot write a TPM key file");
    } else {
        long text_len = BIO_get_mem_data(out, &text);
        result = pc_bytes_copy(text, (size_t)text_len, ret);
    }
    BIO_free(out);
    OPENSSL_free(der);
    return result;
}

int tpm_keyfile_format(const struct tpm_key *key, struct pc_bytes *ret_pem)
{
    const ASN1_ITEM *item = key->handle != 0 ? ASN1_ITEM_rptr(TPM_REFERENCE) : ASN1_ITEM_rptr(TPM_BLOB);
    ASN1_VALUE *value = ASN1_item_new(item);
    bool filled = value != NULL && (key->handle != 0 ? fill_reference(key, (TPM_REFERENCE *)(void *)value)
                                                     : fill_blob(key, (TPM_BLOB *)(void *)value));
    int result = filled ? write_pem(key->handle != 0 ? TPM_PEM_REFERENCE : TPM_PEM_BLOB, value, item, ret_pem)
                        : pc_fail_openssl(PC_EFAIL, "cannot encode a TPM key");
    ASN1_item_free(value, item);
    return result;
}

int tpm_keyfile_parse_der(const char *label, const unsigned char *der, size_t len, struct tpm_key **ret)
{
    bool reference = strcmp(label, TPM_PEM_REFERENCE) == 0;
    if (!reference && strcmp(label, TPM_PEM_BLOB) != 0)
        return parse_fault("the PEM block is neither " TPM_PEM_REFERENCE " nor " TPM_PEM_BLOB);
    const ASN1_ITEM *item = reference ? ASN1_ITEM_rptr(TPM_REFERENCE) : ASN1_ITEM_rptr(TPM_BLOB);
    ASN1_VALUE *value = decode(item, der, len);
    if (value == NULL)
        return parse_fault("the PEM block does not hold the DER that belongs there");
    int result = reference ? key_from_reference((TPM_REFERENCE *)(void *)value, ret)
                           : key_from_blob((TPM_BLOB *)(void *)value, ret);
    ASN1_item_free(value, item);
    return result;
}

/* How many white-space octets stand at the front. */
static size_t blank(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && strchr(" \t\r\n", text[n]) != NULL && text[n] != '\0')
        n++;
    return n;
}

int tpm_keyfile_parse(const void *pem, size_t len, struct tpm_key **ret)
{
    static const char begin[] = "-----BEGIN ";
    const char *text = pem;
    if (len == 0 || len > TPM_KEYFILE_MAX)
        return parse_fault("empty or too long");
    size_t skip = blank(text, len);
    if (len - skip < sizeof(begin) || memcmp(text + skip, begin, sizeof(begin) - 1) != 0)
        return parse_fault("no PEM block");
    char *label = NULL, *header = NULL;
    unsigned char *der = NULL;
    long der_len = 0;
    BIO *in = BIO_new_mem_buf(text + skip, (int)(len - skip));
    int result;
    if (in == NULL) {
        result = pc_fail(PC_EFAIL, "out of memory");
    } else if (PEM_read_bio(in, &label, &header, &der, &der_len) != 1 || header[0] != '\0') {
        result = parse_fault("the PEM block is damaged");
    } else {
        char *rest = NULL;
        long rest_len = BIO_get_mem_data(in, &rest);
        result = rest_len > 0 && blank(rest, (size_t)rest_len) != (size_t)rest_len
                     ? parse_fault("something follows the PEM block")
                     : tpm_keyfile_parse_der(label, der, (size_t)der_len, ret);
    }
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_free(der);
    BIO_free(in);
    return result;
}
