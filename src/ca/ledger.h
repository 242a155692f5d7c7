/* The ledger: what the authority has on record, and the one interface to the databases that can hold it.
 * Everything that must never happen (two certificates with one serial, two current ones for a plant, a key
 * that changes its plant, a state that goes backwards, an edited audit row) is refused by the database
 * itself, not only by its callers. */
#ifndef CA_LEDGER_H
#define CA_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "hsm/key.h"
#include "src/ca/admission.h"
#include "src/ca/issue.h"

#define LEDGER_SCHEMA                                                                                        \
    3 /* version of the tables; a newer one is refused, an older one migrated in one transaction */

/* reserved → signing → current → superseded → revoked; held on the way; void when it was given up. */
enum ledger_state {
    LEDGER_RESERVED,   /* serial and slot are taken */
    LEDGER_SIGNING,    /* the to-be-signed bytes are on record: a signature may exist */
    LEDGER_CURRENT,    /* the one certificate of its subject and profile */
    LEDGER_SUPERSEDED, /* still valid until revoke_after */
    LEDGER_HELD,
    LEDGER_REVOKED,
    LEDGER_VOID,    /* given up; on the CRL when a signature may exist */
    LEDGER_FOREIGN, /* valid, of an imported issuer: on record, not ours to renew or to revoke */
    LEDGER_STATES,
};
#define LEDGER_BIT(state) (1U << (state))
#define LEDGER_UNFINISHED (LEDGER_BIT(LEDGER_RESERVED) | LEDGER_BIT(LEDGER_SIGNING))
const char *ledger_state_name(enum ledger_state state);
int ledger_state_parse(const char *name, enum ledger_state *ret); /* PC_EFAIL: the record is damaged */

/* A CA key and its certificate. `planned` is the journal of an init: what was decided before the token was
 * asked for a key. A foreign one came by `import`: its key is elsewhere (key and token fields empty), and its
 * certificate and CRLs are kept to be published beside ours. */
struct ledger_issuer {
    int64_t id;
    bool active; /* ours, and made; neither active nor foreign: planned */
    bool foreign;
    char subject[1024], key_type[16], key_label[64], token_serial[17];
    struct hsm_id key_id; /* CKA_ID */
    int64_t days, planned_at;
    int64_t certificate; /* row of its own certificate; 0 while planned */
};

struct ledger_certificate {
    int64_t id, issuer;
    int64_t predecessor;   /* row that this one supersedes, or 0 */
    int64_t owner;         /* who works on an unfinished row, or 0 */
    int64_t listed_from;   /* number of the first CRL that can list it, or 0 when none has to */
    int64_t unlisted_from; /* after a hold: number of the first CRL without it; 0: never held */
    bool condemned;        /* void because it was revoked, not because it was given up */
    enum ledger_state state;
    struct ca_record record; /* `state` and `expired` are derived */
};

/* All given conditions hold at once; zero and NULL: any. */
struct ledger_query {
    int64_t id, issuer;
    const char *serial, *subject, *profile, *key_sha256;
    const char *profile_not; /* any but this one */
    unsigned states;         /* LEDGER_BIT()s */
    int64_t ends_after;      /* not_after >= this */
    int64_t ends_before;     /* not_after < this */
    int64_t overlap_over;    /* superseded, and revoke_after <= this */
    int64_t after;           /* rows behind this one, in the order asked for: the next page */
    int64_t limit;           /* at most so many rows */
    bool newest_first;
};
typedef int ledger_row(void *context,
                       const struct ledger_certificate *row); /* non-zero stops, and is returned */

struct ledger_crl {
    uint64_t number; /* 0: there is none */
    bool issued;     /* else its number is taken and it may have been signed */
    int64_t this_update, next_update;
    size_t entries;
    bool pardoned;                     /* the next one's thisUpdate may lie before this one's */
    char sha256[PKI_FINGERPRINT_TEXT]; /* of its DER; "" while it is not issued */
};
/* What a CRL says of one certificate. */
struct ledger_entry {
    char serial[PKI_SERIAL_TEXT];
    int64_t revoked_at, invalid_since; /* invalid_since 0: not stated */
    int reason;                        /* CRLReason */
};
typedef int ledger_entry_row(void *context, const struct ledger_entry *entry);
typedef int ledger_issuer_row(void *context, const struct ledger_issuer *issuer);

/* Another key of ours in the token, with its own label: written down before it is made, as a CA key is. */
struct ledger_key {
    int64_t id;
    char role[8];  /* "audit", "jwt" */
    char state[8]; /* "planned", "active", "retired" */
    char key_type[16], label[64];
    struct hsm_id key_id;              /* CKA_ID */
    char sha256[PKI_FINGERPRINT_TEXT]; /* of its SubjectPublicKeyInfo; "" while planned */
    int64_t certificate;               /* row of its certificate, or 0 */
    int64_t planned_at;
};
typedef int ledger_key_row(void *context, const struct ledger_key *key);

/* A publication that took place: what brokers were given, by which the next is judged. */
struct ledger_publication {
    int64_t id, at;
    char dir[4096];
    uint64_t crl_number;
    char crl_sha256[PKI_FINGERPRINT_TEXT], ca_sha256[PKI_FINGERPRINT_TEXT]; /* of the files */
};

typedef int ledger_publication_row(void *context, const struct ledger_publication *publication);

/* The head of a chain, signed by the audit key. */
struct ledger_checkpoint {
    int64_t id, seq, at;
    char chain[33], sha256[PKI_FINGERPRINT_TEXT]; /* of the row `seq` */
    int64_t shipped_at;                           /* 0: not yet */
    struct pc_bytes statement, cms;               /* JSON, and its detached signature (DER); borrowed */
};
typedef int ledger_checkpoint_row(void *context, const struct ledger_checkpoint *checkpoint);

struct ledger_audit {
    char chain[33];      /* whose chain: one a station; in SQLite one a ledger */
    int64_t seq;         /* from 1 */
    int64_t certificate; /* row that the act is about, or 0 */
    const char *line;
    char sha256[PKI_FINGERPRINT_TEXT]; /* of the line */
};
typedef int ledger_audit_row(void *context, const struct ledger_audit *row);

struct ledger_counts {
    size_t current, valid, expiring, superseded, held, revoked, foreign, unfinished, audit;
    size_t admissions; /* open, and not expired */
    size_t waiting;    /* keys that wait under these, as waiting_each tells them */
};

/* An admission and the hash of its code; of the record's state, "expired" is never on record. */
struct ledger_admission {
    struct ca_admission record;
    char code_sha256[PKI_FINGERPRINT_TEXT]; /* "" where its proof is no code */
};
typedef int ledger_admission_row(void *context, const struct ledger_admission *admission);
typedef int ledger_waiting_row(void *context, const struct ca_waiting *waiting);

struct ledger;

/* What one station does at a time: a CRL; what the audit key signs, and that key itself. */
enum ledger_turn { LEDGER_TURN_CRL, LEDGER_TURN_AUDIT };

/* What a database has to offer. Errors: PC_EUNREACH when it is locked or away, PC_EFAIL when it fails or
 * refuses a row. Unless said otherwise a function that writes needs an open write transaction, and after its
 * failure the transaction can only be rolled back. */
struct ledger_ops {
    void (*close)(struct ledger *ledger);
    const char *(*path)(struct ledger *ledger); /* of its file, borrowed; NULL when it is none */

    void (*patience)(struct ledger *ledger, int ms); /* how long another writer is waited for */

    /* A write transaction shuts out every other writer from its first moment; a read transaction sees one
     * state. */
    int (*begin)(struct ledger *ledger, bool write);
    /* A write transaction for issuing alone: in a ledger that several stations share, those of others run
     * beside it (never beside one of begin(true)). `facts` then takes its subject and its key for this
     * transaction; while another's has one of them it is PC_EPENDING. Whatever fails with "ledger-conflict"
     * is to be rolled back and done again from its beginning: ledger_conflict. Where one writer writes at a
     * time it is begin(true). */
    int (*begin_shared)(struct ledger *ledger);
    /* In it, what is read from here on about a subject's certificates of a profile, or (profile NULL) about a
     * plant's admission, stays so until its end, but for what it writes itself. PC_EPENDING while another
     * station has it: nobody waits, so that two who want several in another order do not wait for each other.
     */
    int (*claim)(struct ledger *ledger, const char *profile, const char *subject);
    int (*commit)(struct ledger *ledger);    /* durable when it returns 0; rolled back when it fails */
    void (*rollback)(struct ledger *ledger); /* fine when there is nothing to roll back */
    /* Takes, or gives back, what stations do one after the other and what lasts longer than a transaction.
     * The state folder's lock, which the caller holds as well, keeps this station's processes apart: a ledger
     * of one station needs no more. PC_EUNREACH "ledger-busy" when another holds it for half a minute. */
    int (*turn)(struct ledger *ledger, enum ledger_turn turn, bool take);

    int (*issuer_plan)(struct ledger *ledger, const struct ledger_issuer *plan, int64_t *ret_id);
    int (*issuer_replan)(struct ledger *ledger,
                         const struct ledger_issuer *plan); /* subject, days, key type of a planned one */
    int (*issuer_activate)(struct ledger *ledger, int64_t id, int64_t certificate);
    int (*issuer_get)(struct ledger *ledger,
                      struct ledger_issuer *ret); /* active, else planned; id 0 when there is none */
    /* The active one first, then the foreign ones, in the order in which they came. */
    int (*issuer_each)(struct ledger *ledger, ledger_issuer_row *row, void *context);
    /* A foreign one; its certificate is recorded next, with `record`, and told by `issuer_certificate`. */
    int (*issuer_import)(struct ledger *ledger, const struct ledger_issuer *issuer, int64_t *ret_id);
    int (*issuer_certificate)(struct ledger *ledger, int64_t id, int64_t certificate);

    /* A new row, reserved and ours: issuer, predecessor and of record serial, profile, cn, key, dates,
     * issued_at (the time of reservation) are taken. The key becomes the subject's. */
    int (*reserve)(struct ledger *ledger, const struct ledger_certificate *row, int64_t *ret_id);
    int (*signing)(struct ledger *ledger, int64_t id, const struct pc_bytes *tbs);
    int (*issue)(struct ledger *ledger, int64_t id, const struct pc_bytes *der, const char *sha256,
                 int64_t at);
    int (*supersede)(struct ledger *ledger, int64_t id, int64_t revoke_after);
    /* `invalid_since` 0: not known. A foreign row is revoked by what its issuer's own CRL says. */
    int (*revoke)(struct ledger *ledger, int64_t id, int64_t at, int reason, int64_t invalid_since);
    int (*hold)(struct ledger *ledger, int64_t id, int64_t at);
    int (*release)(struct ledger *ledger, int64_t id); /* current or superseded again, as before */
    /* A certificate that no reservation of ours led to: of a foreign issuer (state foreign, or revoked), or
     * of our key and not on record (state revoked: an incident). Of the row the same is taken as by
     * `reserve`, and state, sha256, revoked_at, invalid_since, reason. The key becomes the subject's unless
     * it is another's already. */
    int (*record)(struct ledger *ledger, const struct ledger_certificate *row, const struct pc_bytes *der,
                  int64_t *ret_id);
    /* An unfinished row that is revoked: its key is never certified again, though no certificate was
     * released. */
    int (*condemn)(struct ledger *ledger, int64_t id);
    int (*annul)(struct ledger *ledger, int64_t id, int64_t at); /* void; from signing also onto the CRL */

    /* Unfinished rows belong to the process that made them, for as long as it lives. */
    int64_t (*self)(struct ledger *ledger);
    int (*owner_lives)(struct ledger *ledger, int64_t owner, bool *ret); /* true for this process too */
    int (*own)(struct ledger *ledger, int64_t id, int64_t owner);        /* owner 0: nobody's */

    int (*find)(struct ledger *ledger, const struct ledger_query *query, ledger_row *row, void *context);
    /* What identity judges by, in one look: all rows of this subject and profile and all of this key, each
     * once. */
    int (*facts)(struct ledger *ledger, const char *subject, const char *profile, const char *key_sha256,
                 ledger_row *row, void *context);
    /* Either may be NULL; what is not on record comes back empty. */
    int (*body)(struct ledger *ledger, int64_t id, struct pc_bytes *ret_tbs, struct pc_bytes *ret_der);
    int (*key_subject)(struct ledger *ledger, const char *key_sha256,
                       char ret[256]); /* "" when the key is new */
    int (*count)(struct ledger *ledger, int64_t now, int64_t renew_window, struct ledger_counts *ret);

    /* Numbers never go back, nor does thisUpdate. */
    int (*crl_last)(struct ledger *ledger, int64_t issuer, bool issued_only, struct ledger_crl *ret);
    int (*crl_reserve)(struct ledger *ledger, int64_t issuer, const struct ledger_crl *crl,
                       const struct pc_bytes *tbs);
    int (*crl_issue)(struct ledger *ledger, int64_t issuer, uint64_t number, const struct pc_bytes *der);
    int (*crl_body)(struct ledger *ledger, int64_t issuer, uint64_t number, struct pc_bytes *ret_der);
    /* What the CRL after `last` (the last one issued) must list: everything with listed_from that had not
     * expired by last's thisUpdate, and what last could not list yet (RFC 5280 §3.3). */
    int (*crl_entries)(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last,
                       ledger_entry_row *entry, void *context);
    /* Whether the CRL `last` keeps silent about something on record, or an overlap has ended by `now`: told
     * without reading every revocation. */
    int (*crl_behind)(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last, int64_t now,
                      bool *ret);
    /* Whether the ledger lists less than the CRL `last` did, and releases since do not make up for it: by
     * numbers alone, to be asked before each signature. */
    int (*crl_short)(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last, bool *ret);
    /* A CRL made elsewhere: of a foreign issuer (number: how many were imported), or a published one of ours
     * that a restored ledger does not know. */
    int (*crl_adopt)(struct ledger *ledger, int64_t issuer, const struct ledger_crl *crl,
                     const struct pc_bytes *der);
    /* Revocations that only an adopted CRL tells of: serial numbers without a certificate on record. They
     * stay on every CRL. */
    int (*orphan_add)(struct ledger *ledger, int64_t issuer, const struct ledger_entry *entry);
    /* From here on thisUpdate may go back once, to before the CRL with this number: someone took that upon
     * them. */
    int (*crl_pardon)(struct ledger *ledger, int64_t issuer, uint64_t number, int64_t at);

    int (*key_plan)(struct ledger *ledger, const struct ledger_key *plan, int64_t *ret_id);
    int (*key_activate)(struct ledger *ledger, int64_t id, const char *sha256, int64_t certificate);
    int (*key_retire)(struct ledger *ledger, int64_t id);
    int (*key_each)(struct ledger *ledger, const char *role, ledger_key_row *row,
                    void *context); /* oldest first */

    int (*publication_add)(struct ledger *ledger, const struct ledger_publication *publication);
    int (*publication_last)(struct ledger *ledger, const char *dir,
                            struct ledger_publication *ret); /* NULL: any folder; id 0 when there is none */

    int (*orphan_each)(struct ledger *ledger, int64_t issuer, ledger_entry_row *row, void *context);
    int (*publication_each)(struct ledger *ledger, ledger_publication_row *row,
                            void *context); /* oldest first */
    /* What makes the tables and their rules another set than a new ledger's: text, or "" when nothing does.
     */
    int (*schema_fault)(struct ledger *ledger, char ret[256]);

    int (*audit_head)(
        struct ledger *ledger,
        struct ledger_audit *ret); /* of our chain, `line` NULL; seq 0 and sha256 of zeros when empty */
    int (*audit_append)(struct ledger *ledger, const struct ledger_audit *row);
    /* The last row of each chain, by chain. */
    int (*audit_heads)(struct ledger *ledger, ledger_audit_row *row, void *context);
    /* From row `from` on; `chain` NULL: of each chain, by chain, then seq. */
    int (*audit_each)(struct ledger *ledger, const char *chain, int64_t from, ledger_audit_row *row,
                      void *context);
    /* The rows about one certificate, in the order of their writing. */
    int (*audit_of)(struct ledger *ledger, int64_t certificate, ledger_audit_row *row, void *context);
    int (*checkpoint_add)(struct ledger *ledger, const struct ledger_checkpoint *checkpoint, int64_t *ret_id);
    int (*checkpoint_shipped)(struct ledger *ledger, int64_t id, int64_t at);
    int (*checkpoint_each)(struct ledger *ledger, bool newest_only, ledger_checkpoint_row *row,
                           void *context); /* oldest first */

    /* Open, bound to no key. One a plant is open at a time. */
    int (*admission_add)(struct ledger *ledger, const struct ledger_admission *row, int64_t *ret_id);
    /* Compare and swap: of `row` state, key and decided_at are taken, if the row is in state `from` and was
     * bound to no other key. open → used | denied | withdrawn, used → denied. */
    int (*admission_step)(struct ledger *ledger, const struct ca_admission *row, const char *from);
    /* The newest of a plant, or (plant NULL) the one with that id; id 0 when there is none. */
    int (*admission_get)(struct ledger *ledger, const char *plant, int64_t id, struct ledger_admission *ret);
    /* `plant` NULL: all. Oldest first. */
    int (*admission_each)(struct ledger *ledger, const char *plant, ledger_admission_row *row, void *context);
    /* A key that asks for the first time under an open admission. */
    int (*waiting_add)(struct ledger *ledger, const struct ca_waiting *row);
    /* Compare and swap, for a row that still waits: state, from, last_at, times, decided_at and by are taken.
     * Only the key that its admission is bound to can be approved. */
    int (*waiting_step)(struct ledger *ledger, const struct ca_waiting *row);
    /* All of one admission, or (0) those that wait under one that is open at `now` and bound to no key.
     * Oldest first. */
    int (*waiting_each)(struct ledger *ledger, int64_t admission, int64_t now, ledger_waiting_row *row,
                        void *context);
};

/* Whether `r`, just recorded as this thread's error, is a transaction's that lost against another's: nothing
 * of it is on record, and the same one may be tried again. */
bool ledger_conflict(int r);

/* The first member of every implementation. */
struct ledger {
    const struct ledger_ops *ops;
    size_t claims; /* how many subjects a transaction should take at most; 0: as many as it likes */
};

enum ledger_open { LEDGER_EXISTING, LEDGER_CREATE, LEDGER_READONLY };

/* What [ledger] url may say: PC_EUSAGE when it is no address, or carries a password. */
int ledger_url_check(const char *url);
/* "sqlite" (ledger.db in `state`), "sqlite:/path", or "postgresql://…" (libpq's connection URI; the file
 * `chain` in `state` names this station's audit chain). Without
 * LEDGER_CREATE and no ledger there: PC_EREFUSED "ledger-missing". A ledger of a newer schema: PC_EREFUSED
 * "ledger-version"; a database that is no ledger: PC_EREFUSED "ledger-foreign".
 * PC_EUSAGE "state-owner" when root would write into another user's state folder.
 *
 * LEDGER_READONLY needs leave to read the ledger's file, and no more, and leaves that file as it is. What
 * cannot be read where it is (a folder that others own, a read-only disk), or is of an older schema, is read
 * from a private copy in $TMPDIR, else /var/tmp; PC_EUNREACH "ledger-busy" when it changes while it is
 * copied. Whatever writes fails. In PostgreSQL a standby serves as well, and an older schema is refused.
 */
int ledger_open(const char *url, const char *state, enum ledger_open how, struct ledger **ret);
void ledger_close(struct ledger *ledger);
PC_DEFINE_CLEANUP(struct ledger, ledger_close);
/* Rolls back what was not committed. For a cleanup attribute: set to the ledger after begin, to NULL after
 * commit. */
void ledger_rollback(struct ledger *ledger);
PC_DEFINE_CLEANUP(struct ledger, ledger_rollback);

/* The rows of a query, owned. */
struct ledger_rows {
    struct ledger_certificate *rows;
    size_t count;
};
int ledger_collect(struct ledger *ledger, const struct ledger_query *query, struct ledger_rows *ret);
/* The op's rows, kept. */
int ledger_facts(struct ledger *ledger, const char *subject, const char *profile, const char *key_sha256,
                 struct ledger_rows *ret);
void ledger_rows_clear(struct ledger_rows *rows);
/* The one row with that id; PC_EFAIL when it is not there. */
int ledger_row_get(struct ledger *ledger, int64_t id, struct ledger_certificate *ret);

#endif
