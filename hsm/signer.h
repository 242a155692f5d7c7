/* The private key as OpenSSL sees it, through libp11. The only place that sees libp11. */
#ifndef HSM_SIGNER_H
#define HSM_SIGNER_H

#include "hsm/internal.h"

#define HSM_SIGNER_SESSIONS 16 /* in libp11's pool, at most */

struct hsm_signer; /* libp11's context and its list of slots; one a token */

/* The EVP_PKEY of the private key with this CKA_ID, of which the caller knows that there is one, in exactly
 * this token (by slot id, whatever its label). The caller owns it and frees it before hsm_signer_free. Needs
 * a login. */
int hsm_signer_key(struct hsm_token *token, const struct hsm_id *id, EVP_PKEY **ret);

/* As pc_fail_openssl(PC_EUNREACH, …), where libp11 left a CK_RV in OpenSSL's queue as hsm_fail; the queue is
 * emptied. */
int hsm_signer_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Closes all sessions with every token of the module and finalises it: nothing can follow but unloading. */
void hsm_signer_free(struct hsm_signer *signer);

#endif
