/* Objects in a token: finding their handles, reading their attributes. Knows nothing of what the attributes
 * mean. */
#ifndef HSM_OBJECT_H
#define HSM_OBJECT_H

#include <stdbool.h>

#include <p11-kit/pkcs11.h>

#include "hsm/internal.h"
#include "src/base/memory.h"

/* How many objects have these attributes (PKCS#11 v2.40 §5.7), and the first `room` handles of them. Needs a
 * login. */
int hsm_objects_find(struct hsm_token *token, CK_ATTRIBUTE *template, CK_ULONG attributes,
                     CK_OBJECT_HANDLE *handles, size_t room, size_t *ret_count);

/* The same for one class of objects that stay in the token, by their CKA_ID; `class` may be HSM_ANY_CLASS. */
#define HSM_ANY_CLASS CK_UNAVAILABLE_INFORMATION
int hsm_objects_with_id(struct hsm_token *token, CK_OBJECT_CLASS class, const struct hsm_id *id,
                        CK_OBJECT_HANDLE *handles, size_t room, size_t *ret_count);

/* And by CKA_LABEL. */
int hsm_objects_with_label(struct hsm_token *token, CK_OBJECT_CLASS class, const char *label,
                           CK_OBJECT_HANDLE *handles, size_t room, size_t *ret_count);

/* One attribute's bytes; `ret_present` is false where the object has no such attribute. `name` is for
 * messages. */
int hsm_attribute_bytes(struct hsm_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                        const char *name, struct pc_bytes *ret, bool *ret_present);
/* The same for one that must be there: PC_EREFUSED ("key-attributes") where it is not. */
int hsm_attribute_need(struct hsm_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                       const char *name, struct pc_bytes *ret);
int hsm_attribute_bool(struct hsm_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                       const char *name, bool *ret, bool *ret_present);
int hsm_attribute_ulong(struct hsm_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                        const char *name, unsigned long *ret, bool *ret_present);

#endif
