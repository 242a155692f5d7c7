/* What a PKCS#11 module answers (CK_RV), put into this tree's errors. The only place that translates CKR_
 * codes. */
#ifndef HSM_RESULT_H
#define HSM_RESULT_H

#include <p11-kit/pkcs11.h>

#define HSM_RESULT_TEXT 40

/* "CKR_PIN_INCORRECT"; a code that PKCS#11 does not name as "CKR_0x80000001". */
void hsm_result_name(CK_RV rv, char ret[HSM_RESULT_TEXT]);

/* As pc_fail, with the code that suits `rv`, and its native name behind the text. PC_EUNREACH "token-lost"
 * for those codes after which the token can be opened anew. */
int hsm_fail(CK_RV rv, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
