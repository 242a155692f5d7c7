/* The audit key: a pair of its own in the token that signs checkpoints and receipts, never certificates. */
#ifndef CA_AUDIT_KEY_H
#define CA_AUDIT_KEY_H

#include "src/ca/internal.h"

#define AUDIT_KEY_ROLE "audit"          /* in the ledger */
#define AUDIT_KEY_LABEL "plantca-audit" /* in the token; also the CN of its certificate */

/* Needs ca_signing_key before it. Afterwards the audit key and its certificate exist, found or made, and
 * `ca->audit_key` and `ca->audit_certificate` are set. Each step is written down before it is taken, so that
 * an interrupted run is finished by the next with the same key. Certificate: profile "audit", valid as long
 * as the CA's; where it was revoked, key and certificate are followed by others. Fine when called again. */
int audit_key_ensure(struct ca *ca);

/* Where the token no longer holds the key that was certified: it is retired, and its certificate revoked
 * (cessationOfOperation); the next audit_key_ensure makes another. `why` goes on record. Needs ca_signing_key
 * before it. */
int audit_key_retire_lost(struct ca *ca, const char *why, bool *ret_retired);

/* Whether `signer`, a certificate of ours, is an audit key's, and may have signed at `at`: on record as it
 * is, and not revoked before. PC_EREFUSED "cms-signer". `ca` NULL: there is no record to ask. */
int audit_signer_check(struct ca *ca, X509 *signer, int64_t at);

/* Signs a file (of any length; read piece by piece) with the audit key: detached CMS (RFC 5652) as DER, the
 * audit certificate in it, time now. audit_key_ensure is called by it. Errors of hsm_key_work. */
int audit_sign_file(struct ca *ca, const char *path, struct pc_bytes *ret_cms);
/* The same for bytes. */
int audit_sign_bytes(struct ca *ca, const struct pc_bytes *content, struct pc_bytes *ret_cms);

/* The one on record that was not retired; id 0 when there is none. */
int audit_key_on_record(struct ca *ca, struct ledger_key *ret);
/* Who makes the audit key or a checkpoint holds this lock. Taken after ca_lock, where both are. */
struct audit_turn {
    struct ledger *ledger; /* NULL while the turn is another's */
    int lock;              /* -1 */
};
int audit_turn_take(struct ca *ca, struct audit_turn *turn);
void audit_turn_end(struct audit_turn *turn);

#endif
