/* Admission: which plants may enrol over the network, by which proof. Default: none. Operators admit; the
 * signer judges each request inside the transaction that reserves its certificate. */
#ifndef CA_ADMISSION_H
#define CA_ADMISSION_H

#include "src/base/code.h"
#include "src/ca/authority.h"

#define CA_CODE_TEXT PC_CODE_TEXT
#define CA_APPROVE_MIN 16 /* characters of a fingerprint that are enough to name a key that waits */

enum ca_admission_kind { CA_ADMIT_CODE, CA_ADMIT_PENDING };

/* What an operator orders. Borrowed. */
struct ca_admission_order {
    const char *plant; /* canonical UUID */
    enum ca_admission_kind kind;
    int64_t valid;       /* seconds from now until it expires */
    const char *replace; /* serial of the current certificate that the new key may replace, or NULL */
    int revoke_old;      /* CRLReason for what is replaced; -1: its overlap is granted */
    const char *note;    /* or NULL */
    bool leave_enrolled; /* a plant that has its certificate is no error: nothing is done */
};
/* One row, as it is on record; what is derived is derived now. */
struct ca_admission {
    int64_t id;
    char plant[PKI_UUID_TEXT];
    enum ca_admission_kind kind;
    char state[12];                        /* "open", "used", "denied", "withdrawn", "expired" (derived) */
    char key_sha256[PKI_FINGERPRINT_TEXT]; /* bound to this key; "" while it is not */
    char replace[PKI_SERIAL_TEXT];
    int revoke_old;
    int64_t made_at, expires_at, decided_at; /* decided_at: used, denied or withdrawn; 0: not yet */
    char by[160];                            /* who admitted: user (and login name) on which host */
    char note[256];
    bool voids_code; /* as ca_admit tells it: a code handed out before was good until now */
    /* As ca_admit tells it: serial of the certificate for which the plant was left as it is (leave_enrolled),
     * and not admitted; `id` is 0. */
    char enrolled[PKI_SERIAL_TEXT];
};
/* A request that waits for an operator: of one key. */
struct ca_waiting {
    int64_t id, admission;
    char plant[PKI_UUID_TEXT];
    char key_sha256[PKI_FINGERPRINT_TEXT]; /* as `plantcert request` shows it on the PLC */
    char key_type[16], from[64];           /* address that it last came from */
    char state[12];                        /* "waiting", "approved", "denied" */
    int64_t first_at, last_at, decided_at;
    int64_t times; /* that it was asked */
    char by[160];  /* who decided, "" */
};

/* Admits, in place of an admission of the same plant that is open (which is withdrawn; both on record). For a
 * code, `ret_code` is its only copy: the ledger keeps its hash. PC_EREFUSED "admission-current" when the
 * plant has a current certificate and `replace` does not name it, "identity-replace" when it names another
 * one, "identity-held". `ret` may be NULL. */
int ca_admit(struct ca *ca, const struct ca_admission_order *order, struct ca_admission *ret,
             char ret_code[CA_CODE_TEXT]);
/* Several at once: all of them, or none when one is refused; then `refused` (may be NULL) is told of each
 * that is, with its place and this thread's error. `ret` and `ret_codes` have `count` places; a code is ""
 * where the order is for none. */
int ca_admit_all(struct ca *ca, const struct ca_admission_order *orders, size_t count,
                 void (*refused)(void *context, size_t index), void *context, struct ca_admission *ret,
                 char (*ret_codes)[CA_CODE_TEXT]);
/* The judgement alone; nothing is written. */
int ca_admit_judge(struct ca *ca, const struct ca_admission_order *orders, size_t count,
                   void (*refused)(void *context, size_t index), void *context);
/* Of the plant's newest admission. `key_sha256` may be shortened to at least CA_APPROVE_MIN characters as
 * long as one key is meant: PC_EREFUSED "approve-unknown", "approve-ambiguous". Approving one key denies none
 * of the others: they go on waiting, but the admission is bound to this one (another one then:
 * "admission-key"). "admission-denied", "admission-expired". Done before: 0. */
int ca_approve(struct ca *ca, const char *plant, const char *key_sha256, struct ca_waiting *ret);
/* Denies one key (NULL: all that wait, and the admission with them; so does denying the key that it is bound
 * to). What was issued stays: revoke it. PC_EREFUSED "approve-unknown", "approve-ambiguous",
 * "admission-none". `ret_count` says how many keys are denied now. Done before: 0. */
int ca_deny(struct ca *ca, const char *plant, const char *key_sha256, const char *note, size_t *ret_count);
/* What waits for an operator now: under open admissions that have not expired. Oldest first. */
int ca_waiting_each(struct ca *ca, int (*row)(void *context, const struct ca_waiting *waiting),
                    void *context);
/* `plant` NULL: all, oldest first. */
int ca_admission_each(struct ca *ca, const char *plant,
                      int (*row)(void *context, const struct ca_admission *admission), void *context);

/* A plant as operators see it. */
struct ca_plant {
    char plant[PKI_UUID_TEXT];
    char admission[12]; /* state of its newest admission; "" when there is none */
    enum ca_admission_kind kind;
    bool bound; /* to a key */
    int64_t admitted_until;
    char by[160];                 /* who admitted */
    size_t waiting;               /* keys that wait under it */
    char serial[PKI_SERIAL_TEXT]; /* of its current certificate, or of one that is on hold; "": none */
    bool held;
    int64_t not_after; /* of that certificate */
};
/* Every plant that has an admission or a certificate, by UUID; `plant` NULL: all. */
int ca_plants_each(struct ca *ca, const char *plant, int (*row)(void *context, const struct ca_plant *plant),
                   void *context);

/* What the signer asks, within a write transaction of its own (ca_begin): */
struct admission_claim {
    const char *plant, *key_sha256, *key_type, *request_sha256;
    const struct pc_secret *code; /* or NULL */
    const char *from;
    unsigned waiting_keys; /* at most, for one plant */
};
struct admission_grant {
    int64_t admission;
    char replace[PKI_SERIAL_TEXT]; /* "" */
    int revoke_old;
};
/* 0: admitted; the admission is bound to this key from now on. PC_EPENDING "admission-waiting": on record as
 * waiting (commit it). PC_EREFUSED, nothing written: "admission-none" (default; the text does not tell
 * whether the plant is known), "admission-code" (none given where one is needed), "admission-code-wrong",
 * "admission-expired", "admission-key" (bound to another key), "admission-denied", "admission-full" (too many
 * keys wait). The code is compared in constant time. */
int admission_judge(struct ca *ca, const struct admission_claim *claim, struct admission_grant *ret);
/* After the certificate is issued, in that transaction. A later retry with the same key is still admitted
 * until the admission expires. PC_EPENDING, nothing written, while another station is at the plant. */
int admission_use(struct ca *ca, int64_t admission);

#endif
