/* JSON Web Tokens for the broker's separate listener: RSA pairs of their own in the token, never the CA's. */
#ifndef CA_JWT_H
#define CA_JWT_H

#include "src/ca/authority.h"

#define CA_JWT_TTL_MAX (INT64_C(366) * 86400) /* seconds */

struct ca_jwt_key {
    bool made;            /* in this run */
    char kid[44];         /* of the key that signs: its thumbprint (RFC 7638), base64url */
    struct pc_bytes pem;  /* its SubjectPublicKeyInfo */
    struct pc_bytes jwks; /* all keys that were not retired (RFC 7517 §5), the one that signs last */
};
void ca_jwt_key_clear(struct ca_jwt_key *key);

enum ca_jwt_act {
    CA_JWT_ENSURE,
    CA_JWT_ROTATE, /* a new key signs from now on */
    CA_JWT_ADOPT,  /* the one key of the next label that the token holds, and the ledger does not know */
};
/* The key that signs: found, finished where a run was interrupted, made where there is none. `retire`: takes
 * the key with this kid out of the set, and makes none; NULL: none. PC_EREFUSED "jwt-key-unknown", or
 * "jwt-key-current" for the one that signs; "jwt-key-adopt" where not exactly one key can be adopted. */
int ca_jwt_key(struct ca *ca, enum ca_jwt_act act, const char *retire, struct ca_jwt_key *ret);

/* One claim besides the registered ones (RFC 7519 §4.1). */
struct ca_jwt_claim {
    const char *name, *value;
    bool json; /* `value` is JSON, not a text */
};
struct ca_jwt_plan {
    const char *subject;           /* a plant's UUID */
    const char *audience, *issuer; /* NULL: left out */
    bool any;                      /* also for a plant that the ledger does not know */
    int64_t ttl;                   /* seconds, 1 to CA_JWT_TTL_MAX */
    const struct ca_jwt_claim *claims;
    size_t claim_count;
};
/* header.payload.signature with RS256 (RFC 7515 §3.1, RFC 7518 §3.3); typ, kid; iat, nbf, exp, jti. PC_EUSAGE
 * for claims that are registered, given twice or no JSON; PC_EREFUSED "jwt-key-missing" where no key was
 * made; "jwt-plant" for a plant of which the newest certificate is revoked or held, or (without `any`) that
 * has none on record. On record in the audit log before it is signed. */
int ca_jwt_sign(struct ca *ca, const struct ca_jwt_plan *plan, struct pc_bytes *ret_token);

#endif
