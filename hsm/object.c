/* Searches and attribute reads over the token's own session, with what a token answers checked for shape. */
#include "hsm/object.h"

#include <stdlib.h>
#include <string.h>

#include "hsm/result.h"
#include "src/base/error.h"

#define ATTRIBUTE_MAX 65536 /* bytes */

/* One step of a search; the caller ends it. */
static CK_RV collect(struct hsm_token *token, CK_OBJECT_HANDLE *handles, size_t room, size_t *ret_count)
{
    size_t total = 0;
    for (;;) {
        CK_OBJECT_HANDLE found[16];
        CK_ULONG count = 0;
        CK_RV rv = token->module->C_FindObjects(token->session, found, 16, &count);
        if (rv != CKR_OK)
            return rv;
        if (count > 16)
            return CKR_GENERAL_ERROR;
        if (count == 0)
            break;
        for (CK_ULONG i = 0; i < count; i++, total++)
            if (total < room)
                handles[total] = found[i];
    }
    *ret_count = total;
    return CKR_OK;
}

int hsm_objects_find(struct hsm_token *token, CK_ATTRIBUTE *template, CK_ULONG attributes,
                     CK_OBJECT_HANDLE *handles, size_t room, size_t *ret_count)
{
    int r = hsm_token_need_login(token);
    if (r < 0)
        return r;
    size_t count = 0;
    CK_RV rv = token->module->C_FindObjectsInit(token->session, template, attributes);
    if (rv == CKR_OK) {
        rv = collect(token, handles, room, &count);
        CK_RV end = token->module->C_FindObjectsFinal(token->session);
        if (rv == CKR_OK)
            rv = end;
    }
    if (rv != CKR_OK)
        return hsm_fail(rv, "token '%s': its objects cannot be listed", token->info.label);
    *ret_count = count;
    return 0;
}

/* CKA_TOKEN and one more attribute, and the class unless any will do. */
static int find_by(struct hsm_token *token, CK_OBJECT_CLASS class, CK_ATTRIBUTE wanted,
                   CK_OBJECT_HANDLE *handles, size_t room, size_t *ret_count)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[] = {
        wanted,
        {CKA_TOKEN, &yes, sizeof yes},
        {CKA_CLASS, &class, sizeof class},
    };
    return hsm_objects_find(token, template, class == HSM_ANY_CLASS ? 2 : 3, handles, room, ret_count);
}

int hsm_objects_with_id(struct hsm_token *token, CK_OBJECT_CLASS class, const struct hsm_id *id,
                        CK_OBJECT_HANDLE *handles, size_t room, size_t *ret_count)
{
    struct hsm_id copy = *id; /* PKCS#11 templates are not const */
    if (copy.len == 0 || copy.len > sizeof copy.octets)
        return pc_fail(PC_EUSAGE, "a CKA_ID of %zu bytes", copy.len);
    CK_ATTRIBUTE wanted = {CKA_ID, copy.octets, copy.len};
    return find_by(token, class, wanted, handles, room, ret_count);
}

int hsm_label_copy(const char *label, char *ret)
{
    size_t len = strlen(label);
    if (len > HSM_LABEL_MAX)
        return pc_fail(PC_EUSAGE, "key label '%.20s…': %zu bytes", label, len);
    memcpy(ret, label, len + 1);
    return 0;
}

int hsm_objects_with_label(struct hsm_token *token, CK_OBJECT_CLASS class, const char *label,
                           CK_OBJECT_HANDLE *handles, size_t room, size_t *ret_count)
{
    pc_autofree char *copy = strdup(label);
    if (!copy)
        return pc_fail(PC_EFAIL, "out of memory");
    CK_ATTRIBUTE wanted = {CKA_LABEL, copy, strlen(copy)};
    return find_by(token, class, wanted, handles, room, ret_count);
}

static int fail_read(const struct hsm_token *token, CK_RV rv, const char *name)
{
    return hsm_fail(rv, "token '%s': %s cannot be read", token->info.label, name);
}

int hsm_attribute_bytes(struct hsm_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                        const char *name, struct pc_bytes *ret, bool *ret_present)
{
    CK_ATTRIBUTE attribute = {type, NULL, 0};
    CK_RV rv = token->module->C_GetAttributeValue(token->session, object, &attribute, 1);
    if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE ||
        (rv == CKR_OK && attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION)) {
        *ret = (struct pc_bytes){0};
        *ret_present = false;
        return 0;
    }
    if (rv != CKR_OK)
        return fail_read(token, rv, name);
    CK_ULONG room = attribute.ulValueLen;
    if (room > ATTRIBUTE_MAX)
        return pc_fail(PC_EUNREACH, "token '%s': %s claims to have %lu bytes", token->info.label, name, room);
    pc_autobytes bytes = {.data = calloc(1, room + 1)};
    if (!bytes.data)
        return pc_fail(PC_EFAIL, "out of memory");
    attribute.pValue = bytes.data;
    rv = token->module->C_GetAttributeValue(token->session, object, &attribute, 1);
    if (rv != CKR_OK || attribute.ulValueLen > room)
        return fail_read(token, rv == CKR_OK ? CKR_GENERAL_ERROR : rv, name);
    bytes.len = attribute.ulValueLen;
    bytes.data[bytes.len] = '\0';
    *ret = bytes;
    bytes = (struct pc_bytes){0};
    *ret_present = true;
    return 0;
}

int hsm_attribute_need(struct hsm_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                       const char *name, struct pc_bytes *ret)
{
    pc_autobytes bytes = {0};
    bool present;
    int r = hsm_attribute_bytes(token, object, type, name, &bytes, &present);
    if (r < 0)
        return r;
    if (!present)
        return pc_refuse("key-attributes", "token '%s': the key has no %s", token->info.label, name);
    *ret = bytes;
    bytes = (struct pc_bytes){0};
    return 0;
}

int hsm_attribute_bool(struct hsm_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                       const char *name, bool *ret, bool *ret_present)
{
    pc_autobytes bytes = {0};
    bool present;
    int r = hsm_attribute_bytes(token, object, type, name, &bytes, &present);
    if (r < 0)
        return r;
    if (present && bytes.len != sizeof(CK_BBOOL))
        return pc_fail(PC_EUNREACH, "token '%s': %s has %zu bytes", token->info.label, name, bytes.len);
    if (present)
        *ret = bytes.data[0] != CK_FALSE;
    *ret_present = present;
    return 0;
}

int hsm_attribute_ulong(struct hsm_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                        const char *name, unsigned long *ret, bool *ret_present)
{
    pc_autobytes bytes = {0};
    bool present;
    int r = hsm_attribute_bytes(token, object, type, name, &bytes, &present);
    if (r < 0)
        return r;
    if (present && bytes.len != sizeof *ret)
        return pc_fail(PC_EUNREACH, "token '%s': %s has %zu bytes", token->info.label, name, bytes.len);
    if (present)
        memcpy(ret, bytes.data, sizeof *ret);
    *ret_present = present;
    return 0;
}
