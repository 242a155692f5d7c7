/* The private key as OpenSSL sees it, through libp11. The only place that sees libp11. */
#ifndef HSM_SIGNER_H
#define HSM_SIGNER_H

#include "hsm/internal.h"

struct hsm_signer; /* libp11's context and its list of slots; one a token */

/* The EVP_PKEY of the private key with this CKA_ID, of which the caller knows that there is one, in exactly
 * this token (by slot id, whatever its label). The caller owns it and frees it before hsm_signer_free. Needs
 * a login. */
int hsm_signer_key(struct hsm_token *token, const struct hsm_id *id, EVP_PKEY **ret);

/* Closes all sessions with every token of the module and finalises it: nothing can follow but unloading. */
void hsm_signer_free(struct hsm_signer *signer);

#endif
