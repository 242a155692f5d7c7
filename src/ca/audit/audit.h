/* The audit log: a hash chain of canonical JSON lines, each in the transaction of the act that it tells of.
 */
#ifndef CA_AUDIT_H
#define CA_AUDIT_H

#include "src/ca/ledger.h"

/* Who acts with what: the same for all rows of a run. Borrowed; NULL where nothing is known. */
struct audit_actor {
    const char *program;                               /* name and version */
    const char *build;                                 /* build id of the program (base/build.h) */
    const char *module, *module_sha256, *token_serial; /* of the token that is open */
    const char *issuer_key_sha256;                     /* of the CA's key */
};

/* One act. Only `act` and `outcome` must be given. No text from a request gets in: only what was checked, and
 * hashes. */
struct audit_act {
    /* "plan", "key", "init"; "reserve", "finish", "issue", "void", "supersede", "revoke"; "crl-reserve",
     * "crl", "publish"; refused: "request", "sign" */
    const char *act;
    const char *outcome; /* "done", "found", "refused" */
    int64_t certificate; /* row in the ledger that it is about, or 0 */
    const char *rule;    /* name of the refusal */
    const char *profile, *subject, *serial, *key_sha256, *request_sha256, *tbs_sha256, *certificate_sha256;
    int reason;          /* CRLReason; used by "revoke" alone */
    uint64_t crl_number; /* 0: none */
};

/* Appends a row to the writer's chain. Inside the write transaction of the act: without the row there is no
 * act. */
int audit_append(struct ledger *ledger, const struct audit_actor *actor, const struct audit_act *act);

struct audit_verdict {
    bool sound;
    size_t rows;
    char head[PKI_FINGERPRINT_TEXT]; /* of the last chain read; "" when there are no rows */
    char text[256];                  /* where and how it breaks */
};
/* Reads every row. A broken chain is a verdict, not an error. */
int audit_verify(struct ledger *ledger, struct audit_verdict *ret);

#endif
