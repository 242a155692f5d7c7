/* The JWT keys on record and in the token. */
#ifndef CA_JWT_KEY_H
#define CA_JWT_KEY_H

#include "hsm/key.h"
#include "src/ca/internal.h"

#define JWT_KEY_ROLE "jwt"          /* in the ledger */
#define JWT_KEY_LABEL "plantca-jwt" /* in the token; later ones: plantca-jwt-2, … */
#define JWT_KEYS_MAX 32             /* ever planned */

struct jwt_keys {
    struct ledger_key keys[JWT_KEYS_MAX];
    size_t count;
};
int jwt_keys_on_record(struct ca *ca, struct jwt_keys *ret);
/* The newest active one; NULL when there is none. Borrowed. */
const struct ledger_key *jwt_key_current(const struct jwt_keys *keys);
/* Finds it in the token, attributes read afresh, and refuses another ("key-mismatch"). */
int jwt_key_open(struct ca *ca, const struct ledger_key *record, struct hsm_key **ret);
/* A current key: what is planned is finished; a new one is planned, if there is none or `fresh`. */
int jwt_key_ensure(struct ca *ca, bool fresh, bool *ret_made);
/* Exactly one key of the token has the label of the planned key, else of the next one: it is put on record,
 * in the place of what was planned, and signs. PC_EREFUSED "jwt-key-adopt". */
int jwt_key_adopt(struct ca *ca);
int jwt_key_retire(struct ca *ca, const struct ledger_key *record);

#endif
