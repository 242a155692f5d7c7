/* Which token is meant: the configuration's words made into one set of conditions, and slots held against it.
 */
#ifndef HSM_PLACE_H
#define HSM_PLACE_H

#include <stdbool.h>

#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>

#include "hsm/token.h"
#include "src/base/memory.h"

PC_DEFINE_CLEANUP(P11KitUri, p11_kit_uri_free);

/* The conditions as a p11-kit URI (owned by the caller, p11_kit_uri_free), whatever form the place had; and
 * the module's path (owned). PC_EUSAGE when the place contradicts itself, is no RFC 7512 URI, carries a PIN,
 * or names more than a token. No text that this records repeats the URI, which may hold a PIN. */
int hsm_place_resolve(const struct hsm_place *place, P11KitUri **ret_wanted, char **ret_module);

/* The one slot whose initialised token meets the conditions. PC_EUNREACH when none or several do: the text
 * lists the candidates. */
int hsm_slot_find(CK_FUNCTION_LIST *module, P11KitUri *wanted, CK_SLOT_ID *ret);

/* Reads the token's description, with fields padded by NUL made to end in blanks as PKCS#11 (v2.40 §3.2) has
 * them. */
CK_RV hsm_slot_token_info(CK_FUNCTION_LIST *module, CK_SLOT_ID slot, CK_TOKEN_INFO *ret);

/* A blank-padded field as a string: `ret` has room for `len` + 1 bytes. What is no UTF-8 and control
 * characters become '?', so that a token cannot speak to the terminal, nor spoil JSON. */
void hsm_field_copy(const unsigned char *field, size_t len, char *ret);

#endif
