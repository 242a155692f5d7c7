/* What the files of this room share: the authority's insides, its session with the token, the way from a plan
 * to a certificate on record. */
#ifndef CA_INTERNAL_H
#define CA_INTERNAL_H

#include "src/ca/audit/audit.h"
#include "src/ca/authority.h"
#include "src/ca/ledger.h"
#include "src/ca/revoke.h"

#define CA_FILE_MAX (512U << 20) /* bytes of a file that we read back; no CRL is longer */

struct ca {
    const struct ca_settings *settings;
    struct ledger *ledger;
    struct ledger_issuer issuer;
    X509 *certificate;    /* NULL until init has made it */
    EVP_PKEY *public_key; /* of the certificate, borrowed from it; in init, of the key in the token */
    struct hsm_token *token;
    struct hsm_token_info token_info;
    bool logged_in;
    struct pc_secret *pin; /* kept from the login on while `keep_pin` is set, for one login more */
    bool keep_pin;
    bool lasting; /* a process that serves: the PIN is kept until it is refused */
    bool guarded; /* guard_check found nothing, in this run */
    struct hsm_key *key;
    struct hsm_key *audit_key; /* NULL until audit_key_ensure */
    X509 *audit_certificate;
    struct audit_writer *audit_writer;   /* NULL until the first row */
    const struct hsm_token *audit_token; /* what the writer was made for */
    const EVP_PKEY *audit_public_key;
};

/* authority.c */
/* An authority around an open ledger (taken over), without its certificate. */
int ca_new(const struct ca_settings *settings, struct ledger **ledger, struct ca **ret);
int ca_load_certificate(struct ca *ca); /* from the ledger: issuer must be active */
/* What `init` and `status` tell, but `token`. */
int ca_summarise(struct ca *ca, struct ca_summary *ret);
int ca_state_path(const struct ca_settings *settings, const char *name, char **ret);
/* The lock of the state folder: who makes a CA or a CRL, or publishes, holds it. */
int ca_lock(const struct ca_settings *settings, int *ret_fd);

/* session.c */
int ca_token_open(struct ca *ca);  /* no login */
int ca_token_login(struct ca *ca); /* asks for the PIN, once */
/* Before every signing run: token, login, the CA's key with its attributes read afresh, equal to the
 * certificate's; before all that guard_check, so that no PIN goes to the token of a ledger that may not sign.
 */
int ca_signing_key(struct ca *ca);
void ca_token_close(struct ca *ca);
/* Whether `r` is a loss after which ca_token_reopen can be tried: not before ca_signing_key, once a login. */
bool ca_token_lost(const struct ca *ca, int r);
/* After PC_EUNREACH "token-lost", once: closes the token, opens it, logs in with the PIN that was kept, finds
 * the key again. PC_EAUTH when that PIN is refused now: it is then forgotten, and never tried a second time.
 * With `lasting` it may be called again, after success and after a failure. */
int ca_token_reopen(struct ca *ca);
/* Another connection to the ledger in the place of one that failed: rows that were left in work under that
 * one are nobody's from then on. What was there stays when it fails. No transaction is open. */
int ca_ledger_reopen(struct ca *ca);

/* act.c */
/* Before certificates are signed: ca_signing_key, the audit key, and a checkpoint where one is due. */
int ca_signing_run(struct ca *ca);
/* A write transaction, and its audit rows. Use: ca_begin; … PC_CLEANUP(ledger_rollback_ref); ca_commit. */
int ca_begin(struct ca *ca, struct ledger **ret_open);
/* The same for issuing alone, beside other stations (ledger_ops.begin_shared). Where ledger_conflict says so,
 * all is done again, at most CA_CONFLICTS times. */
int ca_begin_shared(struct ca *ca, struct ledger **ret_open);
#define CA_CONFLICTS 20
int ca_commit(struct ca *ca, struct ledger **open);
int ca_audit(struct ca *ca, const struct audit_act *act);
/* Records a refusal that was just made in a transaction of its own, and returns it again. */
int ca_audit_refusal(struct ca *ca, const struct audit_act *act);

/* A failure kept while something else is done that may fail, too. */
struct ca_failure {
    int code;
    const char *name;
    char text[1024];
};
void ca_failure_keep(int code, struct ca_failure *ret);
int ca_failure_again(const struct ca_failure *failure);

/* issuance.c: record, then sign. */
struct issuance {
    struct pki_certificate_plan plan; /* what it points to is borrowed */
    const char *cn;
    const char *request_sha256; /* NULL: there was no request */
    char key_sha256[PKI_FINGERPRINT_TEXT], tbs_sha256[PKI_FINGERPRINT_TEXT],
        certificate_sha256[PKI_FINGERPRINT_TEXT];
    int64_t row;         /* in the ledger */
    int64_t predecessor; /* its row, or 0 */
    int revoke_old;      /* CRLReason, or -1 */
    int64_t at_most;     /* seconds from now on that it may be valid, if that is less; 0: no such bound */
    struct pc_bytes tbs, der; /* owned */
};
void issuance_clear(struct issuance *issuance);
/* Serial, dates, to-be-signed bytes; profile, key and names are set. Needs neither ledger nor token; several
 * threads may plan at once. */
int issuance_plan(const struct ca *ca, struct issuance *issuance, int64_t days);
int issuance_record(struct ca *ca, struct issuance *issuance); /* inside a transaction */
/* Inside a transaction: takes over an unfinished row, if its bytes are those that its plan gives today and
 * its audit row tells of them; else voids it and sets ret_taken to false. */
int issuance_take(struct ca *ca, struct issuance *issuance, const struct ledger_certificate *row,
                  bool *ret_taken);
/* Signs the recorded bytes and judges the outcome. Needs no ledger; several threads may sign at once, as long
 * as nobody touches ca->key. */
int issuance_sign(struct ca *ca, struct issuance *issuance);
/* The steps of it for several, at most HSM_SIGN_MAX: signatures over their recorded bytes, of which the first
 * `ret_done` were made and the next one failed (with 0: none did, and the rest is for another call); */
int issuance_sign_each(struct ca *ca, struct issuance *const *issuances, size_t count,
                       struct pc_bytes *ret_signatures, size_t *ret_done);
/* and what became of one: put together, verified, judged. */
int issuance_seal(const struct ca *ca, struct issuance *issuance, const struct pc_bytes *signature);
/* Inside a transaction: what was signed is issued, and its predecessor steps back. PC_EREFUSED
 * "identity-revoked", with nothing written, when the row was voided meanwhile. */
int issuance_finish(struct ca *ca, const struct issuance *issuance);
/* Inside a transaction: the row is nobody's, for the next run to finish. */
int issuance_let_go(struct ca *ca, const struct issuance *issuance);
/* issuance_sign and issuance_finish; on failure the row is let go. */
int issuance_complete(struct ca *ca, struct issuance *issuance);
/* Inside a transaction: takes over the unfinished `row` of a run that died (id 0: there is none), or begins
 * anew. PC_EPENDING with the text `busy` while its owner lives. */
int issuance_resume(struct ca *ca, struct issuance *issuance, const struct ledger_certificate *row,
                    const char *busy);
int issuance_void(struct ca *ca, const struct ledger_certificate *row); /* inside a transaction */
/* Inside a transaction. */
int issuance_revoke(struct ca *ca, const struct ledger_certificate *row, int reason, int64_t invalid_since);
/* The same, dated `at`, not now: another record tells of it. */
int issuance_revoke_at(struct ca *ca, const struct ledger_certificate *row, int64_t at, int reason,
                       int64_t invalid_since);
/* Inside a transaction: ends every overlap of `current`'s subject at once, since a thief of the predecessor's
 * key may hold an earlier certificate of it, too. The key of `current` is spared, unless nothing is said
 * against it. */
int issuance_revoke_old(struct ca *ca, const struct ledger_certificate *current, int reason);

/* issue.c */
/* A certificate on record as its answer: record, chain, what it superseded. */
int ca_issued_fill(struct ca *ca, int64_t row, bool already, struct ca_issued *ret);

/* list.c: leaf, then what stands between it and the root. */
int ca_chain_pem(struct ca *ca, int64_t row, struct pc_bytes *ret);
/* The same of a certificate (DER) that is at hand; needs no ledger. */
int ca_chain_of(const struct pc_bytes *der, struct pc_bytes *ret);

/* crl.c: the lock is held by the caller. */
int crl_make(struct ca *ca, struct ca_crl_report *ret, struct pc_bytes *ret_pem);
/* Whether the last CRL is not what it should be: it was never made, has lapsed, or a revocation or a release
 * is on record that it does not know of (the token was away, or its PIN wrong), or an overlap has ended
 * since. Needs no lock. */
int crl_due(struct ca *ca, bool *ret);
/* The same, or [ca] crl-renew before its nextUpdate is reached (but never before half of its life is over).
 */
int crl_renewal_due(struct ca *ca, bool *ret);
int64_t crl_renew_at(struct ca *ca, const struct ledger_crl *crl);
/* The last CRL on record, told of as if it had just been made; ca.crl is brought up to it where it lags. */
int crl_report_last(struct ca *ca, struct ca_crl_report *ret);
/* The last CRL on record as PEM; refused "crl-missing" when there is none. */
int crl_last_pem(struct ca *ca, struct ledger_crl *ret, struct pc_bytes *ret_pem);
int crl_write(struct ca *ca, const struct pc_bytes *pem); /* to the state folder */

/* standing.c: what there is, before anything is touched. */
enum ca_standing {
    CA_NOTHING, /* no CA, nor the beginning of one */
    CA_BEGUN,   /* an init left its journal */
    CA_ACTIVE,
    CA_HALF, /* files without a ledger that knows them */
};
/* `ret_empty`: the state folder holds nothing but what an interrupted init leaves. */
int ca_standing(const struct ca_settings *settings, enum ca_standing *ret, bool *ret_empty);
int ca_refuse_half(const struct ca_settings *settings);

/* init.c */
int ca_state_make(const struct ca_settings *settings); /* the folder, for nobody else to look into */
#define CA_KEY_LABEL "plantca-root" /* of the CA's key in the token, by which CA keys are counted */

#endif
