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

/* The part of every line that stays the same, made once: the actor, user, login, terminal, host, process. */
struct audit_writer;
int audit_writer_new(const struct audit_actor *actor, struct audit_writer **ret);
void audit_writer_free(struct audit_writer *writer);
PC_DEFINE_CLEANUP(struct audit_writer, audit_writer_free);

/* Whoever runs this program, as people are told: "anna (login petr) on hsm1", or the numbers of whom nobody
 * has a name for. */
void audit_who(char ret[160]);

/* One act. Only `act` and `outcome` must be given. No text from a request gets in: only what was checked, and
 * hashes.
 *
 * Acts about one certificate (`certificate` is its row) bring it to a state, and verification derives the
 * state of each row from them: "reserve" (signing), "finish" (an unfinished row was taken over), "issue"
 * (current), "void", "supersede", "revoke", "hold", "release"; "import" (foreign, or revoked: then with a
 * reason), "incident" (revoked). Others: "plan", "key", "activate", "retire", "init"; "crl-reserve", "crl",
 * "crl-adopt", "crl-pardon", "crl-import", "orphan"; "checkpoint", "publish", "batch", "accept-loss",
 * "reconcile"; refused: "request", "sign", "guard".
 *
 * Acts about an admission (`admission` is its row, `subject` the plant), from which verification derives its
 * state: "allow" (open; proof, until), "withdraw", "wait" (a key asks for the first time), "approve" (bound
 * to this key), "bind" (its code was used by this key), "admit" (a certificate was issued under it: used),
 * "deny" (one key, or without a key the admission and all that wait). */
struct audit_act {
    const char *act;
    const char *outcome; /* "done", "found", "refused" */
    int64_t certificate; /* row in the ledger that it is about, or 0 */
    int64_t admission;   /* the same of an admission */
    const char *proof;   /* "code", "pending" */
    const char *address; /* from which the network asked */
    const char *rule;    /* name of the refusal */
    const char *profile, *subject, *serial, *key_sha256, *request_sha256, *tbs_sha256, *certificate_sha256;
    int reason; /* CRLReason; used by "revoke", "hold", "incident", "import", "orphan" and "allow" (-1: none)
                 */
    uint64_t crl_number;                                      /* 0: none */
    const char *crl_sha256, *checkpoint_sha256, *file_sha256; /* of the DER, the statement, a file */
    int64_t until;    /* seconds: end of a superseded certificate's overlap; 0: none */
    int64_t since;    /* seconds: invalidityDate of a revocation; 0: none */
    int64_t at;       /* seconds: revocation date, where it is not now; 0: not said */
    int64_t count;    /* how many things the act was about; 0: not said */
    const char *note; /* what an operator wrote, or what was accepted */
};

/* Appends a row to the writer's chain. Inside the write transaction of the act: without the row there is no
 * act. */
int audit_append(struct ledger *ledger, const struct audit_writer *writer, const struct audit_act *act);

struct audit_verdict {
    bool sound;
    size_t rows;
    char head[PKI_FINGERPRINT_TEXT]; /* of the last chain read; "" when there are no rows */
    char text[256];                  /* where and how it breaks */
};
/* Reads every row. A broken chain is a verdict, not an error. */
int audit_verify(struct ledger *ledger, struct audit_verdict *ret);
/* The same of one chain (NULL: of each) from row `from` on; that row itself is taken on trust, unless it is
 * the first. */
int audit_verify_from(struct ledger *ledger, const char *chain, int64_t from, struct audit_verdict *ret);

#endif
