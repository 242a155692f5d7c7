/* The ledger in PostgreSQL: what its files share. Nothing outside this folder includes it but
 * src/ca/ledger.c. */
#ifndef CA_POSTGRES_POSTGRES_H
#define CA_POSTGRES_POSTGRES_H

#include <libpq-fe.h>

#include "src/ca/ledger.h"

#define PG_SCHEMA "plantcert" /* the schema that holds the tables: one ledger a database */
#define PG_MAKING "making its schema"
#define PG_STATEMENTS 128 /* prepared ones; what comes after them is planned at each use */
#define PG_KEY_SUBJECT "SELECT subject FROM key WHERE sha256 = $1"
#define PG_PAGE INT64_C(1000) /* rows that are read at once, where there may be many */
#define PG_PARAMETERS 24
#define PG_QUEUE 64 /* statements that are on their way; what the server says of so many fits any socket */

/* A statement as it is sent; all is borrowed. */
struct pg_statement {
    const char *sql, *name; /* name "": not prepared */
    const Oid *types;
    const char *const *values;
    const int *lengths, *formats;
    int count;
};

/* One that was sent. */
struct pg_sent {
    const char *what;
    PGresult **ret; /* NULL: a change of one row */
};

struct pg {
    struct ledger base;
    PGconn *connection;
    char *url, *name; /* `name` is for messages: host and database */
    char *chain_path; /* file in the state folder that holds the name of this station's audit chain */
    char chain[33];   /* "" until needed */
    char key[PKI_FINGERPRINT_TEXT], key_subject[256]; /* what facts found of its key; "" when not known */
    int64_t self; /* our owner number, whose lock this session holds; 0 until needed */
    int patience; /* ms that another writer is waited for */
    bool reading; /* opened to be read */
    bool in_transaction, writing, shared;
    bool deferring; /* changes of this transaction are not waited for */
    bool careful;   /* those of the next shared one are: one was refused */
    struct pg_sent queue[PG_QUEUE];
    size_t queued;
    bool head_known; /* of our chain, while a write transaction lasts */
    struct ledger_audit head;
    struct ledger_admission admission; /* newest of the plant that was claimed last; id 0: none, or written */
    char *prepared[PG_STATEMENTS];     /* texts, in the order of their numbers; owned */
    size_t prepared_count;
};

/* `state` is the station's folder. */
int postgres_ledger_open(const char *url, const char *state, enum ledger_open how, struct ledger **ret);
/* PC_EUSAGE: no address, or one that carries a password. */
int postgres_url_check(const char *url);

/* connect.c: a session with everything set that the ledger relies on. PC_EUSAGE where trying again cannot
 * help: "ledger-login", "ledger-database", "ledger-tls" of the only host; PC_EUNREACH otherwise. */
int pg_connect(struct pg *pg, bool write);

/* Translates what the server or the connection said. Lost, away or locked is PC_EUNREACH, what the
 * role may not do PC_EUSAGE "ledger-denied", a row that a rule refuses PC_EFAIL "ledger-rule". */
int pg_fail(const struct pg *pg, const char *what, const PGresult *result);

/* A statement with its parameters ($1 …) bound, by `format`: i int64_t, o int64_t that is NULL when 0, t text
 * (NULL allowed), h hex text stored as octets (NULL and "": NULL), b struct pc_bytes * (empty: NULL). Texts
 * are kept and prepared. Every number in a result is a bigint. */
int pg_query(struct pg *pg, const char *what, PGresult **ret, const char *sql, const char *format, ...);
/* The same for parameters at hand; a kind of 0 is a parameter that is not used. */
int pg_query_with(struct pg *pg, const char *what, PGresult **ret, const char *sql, const char *kinds,
                  const void *const *values, size_t count);
int pg_run(struct pg *pg, const char *what, const char *sql, const char *format, ...);
/* As pg_run, and PC_EFAIL unless it changed exactly one row. Only within a write transaction. */
int pg_change(struct pg *pg, const char *what, const char *sql, const char *format, ...);
/* As pg_change. In a shared transaction what becomes of it is only seen later, at the latest at the commit:
 * then as "ledger-conflict", and the transaction that follows waits for each of its changes. */
int pg_later(struct pg *pg, const char *what, const char *sql, const char *format, ...);
/* As pg_query, but its result is there only after pg_settle: several together are one round trip. `ret` must
 * stay until then. */
int pg_ask(struct pg *pg, const char *what, PGresult **ret, const char *sql, const char *format, ...);
/* The same for "INSERT … RETURNING id". */
int pg_insert(struct pg *pg, const char *what, int64_t *ret_id, const char *sql, const char *format, ...);
/* Several statements in one text, without parameters. */
int pg_script(struct pg *pg, const char *what, const char *sql);
void pg_forget(struct pg *pg); /* the prepared texts */

static inline void pg_done(PGresult **result)
{
    PQclear(*result);
}

/* pipeline.c: sends one, to be looked after later; and reads what became of all that were sent. */
int pg_enqueue(struct pg *pg, const char *what, PGresult **ret, const struct pg_statement *statement);
int pg_settle(struct pg *pg);
void pg_discard(struct pg *pg); /* reads it and tells nobody: what was sent is rolled back */

/* Columns. NULL is 0, false, "" and empty. */
bool pg_null(const PGresult *result, int row, int column);
int64_t pg_number(const PGresult *result, int row, int column);
bool pg_flag(const PGresult *result, int row, int column);
void pg_text(const PGresult *result, int row, int column, char *ret, size_t size);
void pg_hex(const PGresult *result, int row, int column, char *ret, size_t size);
int pg_blob(const PGresult *result, int row, int column, struct pc_bytes *ret);

/* Where a write happens outside a write transaction, the program is wrong. */
int pg_writing(const struct pg *pg);

/* schema.c: the tables of LEDGER_SCHEMA and their rules, in the schema of that name. Inside a transaction. */
int pg_make_tables(struct pg *pg, const char *schema);
/* open.c: the schema is there, of this version, made where `create` says so. */
int pg_schema_ensure(struct pg *pg, bool create);

/* claim.c: what is taken for a transaction. */
struct pg_claim {
    const char *name; /* for messages */
    int64_t first, second;
    PGresult *taken; /* owned */
};
int pg_claim_ask(struct pg *pg, const char *subject, const char *profile, const char *key_sha256,
                 struct pg_claim *ret);
int pg_claim_told(const struct pg_claim *claim); /* after pg_settle */
void pg_claim_done(struct pg_claim *claim);
int pg_claim_subject(struct ledger *ledger, const char *profile, const char *subject);

/* The interface's functions, by file. */
int pg_begin(struct ledger *ledger, bool write);
int pg_begin_shared(struct ledger *ledger);
int pg_commit(struct ledger *ledger);
void pg_rollback(struct ledger *ledger);
int pg_turn(struct ledger *ledger, enum ledger_turn turn, bool take);
int64_t pg_self(struct ledger *ledger);
int pg_owner_lives(struct ledger *ledger, int64_t owner, bool *ret);

int pg_reserve(struct ledger *ledger, const struct ledger_certificate *row, int64_t *ret_id);
int pg_signing(struct ledger *ledger, int64_t id, const struct pc_bytes *tbs);
int pg_issue(struct ledger *ledger, int64_t id, const struct pc_bytes *der, const char *sha256, int64_t at);
int pg_supersede(struct ledger *ledger, int64_t id, int64_t revoke_after);
int pg_revoke(struct ledger *ledger, int64_t id, int64_t at, int reason, int64_t invalid_since);
int pg_hold(struct ledger *ledger, int64_t id, int64_t at);
int pg_release(struct ledger *ledger, int64_t id);
int pg_record(struct ledger *ledger, const struct ledger_certificate *row, const struct pc_bytes *der,
              int64_t *ret_id);
int pg_condemn(struct ledger *ledger, int64_t id);
int pg_annul(struct ledger *ledger, int64_t id, int64_t at);
int pg_own(struct ledger *ledger, int64_t id, int64_t owner);
int pg_find(struct ledger *ledger, const struct ledger_query *query, ledger_row *row, void *context);
int pg_facts(struct ledger *ledger, const char *subject, const char *profile, const char *key_sha256,
             ledger_row *row, void *context);
int pg_body(struct ledger *ledger, int64_t id, struct pc_bytes *ret_tbs, struct pc_bytes *ret_der);
int pg_key_subject(struct ledger *ledger, const char *key_sha256, char ret[256]);
int pg_count(struct ledger *ledger, int64_t now, int64_t renew_window, struct ledger_counts *ret);

int pg_issuer_plan(struct ledger *ledger, const struct ledger_issuer *plan, int64_t *ret_id);
int pg_issuer_replan(struct ledger *ledger, const struct ledger_issuer *plan);
int pg_issuer_activate(struct ledger *ledger, int64_t id, int64_t certificate);
int pg_issuer_get(struct ledger *ledger, struct ledger_issuer *ret);
int pg_issuer_each(struct ledger *ledger, ledger_issuer_row *row, void *context);
int pg_issuer_import(struct ledger *ledger, const struct ledger_issuer *issuer, int64_t *ret_id);
int pg_issuer_certificate(struct ledger *ledger, int64_t id, int64_t certificate);
int pg_key_plan(struct ledger *ledger, const struct ledger_key *plan, int64_t *ret_id);
int pg_key_activate(struct ledger *ledger, int64_t id, const char *sha256, int64_t certificate);
int pg_key_retire(struct ledger *ledger, int64_t id);
int pg_key_each(struct ledger *ledger, const char *role, ledger_key_row *row, void *context);

int pg_crl_last(struct ledger *ledger, int64_t issuer, bool issued_only, struct ledger_crl *ret);
int pg_crl_reserve(struct ledger *ledger, int64_t issuer, const struct ledger_crl *crl,
                   const struct pc_bytes *tbs);
int pg_crl_issue(struct ledger *ledger, int64_t issuer, uint64_t number, const struct pc_bytes *der);
int pg_crl_adopt(struct ledger *ledger, int64_t issuer, const struct ledger_crl *crl,
                 const struct pc_bytes *der);
int pg_crl_pardon(struct ledger *ledger, int64_t issuer, uint64_t number, int64_t at);
int pg_crl_body(struct ledger *ledger, int64_t issuer, uint64_t number, struct pc_bytes *ret_der);
int pg_crl_entries(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last,
                   ledger_entry_row *entry, void *context);
int pg_crl_short(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last, bool *ret);
int pg_crl_behind(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last, int64_t now,
                  bool *ret);
int pg_orphan_add(struct ledger *ledger, int64_t issuer, const struct ledger_entry *entry);
int pg_orphan_each(struct ledger *ledger, int64_t issuer, ledger_entry_row *row, void *context);
int pg_publication_add(struct ledger *ledger, const struct ledger_publication *publication);
int pg_publication_last(struct ledger *ledger, const char *dir, struct ledger_publication *ret);
int pg_publication_each(struct ledger *ledger, ledger_publication_row *row, void *context);
int pg_schema_fault(struct ledger *ledger, char ret[256]);

int pg_audit_head(struct ledger *ledger, struct ledger_audit *ret);
int pg_audit_append(struct ledger *ledger, const struct ledger_audit *row);
int pg_audit_heads(struct ledger *ledger, ledger_audit_row *row, void *context);
int pg_audit_each(struct ledger *ledger, const char *chain, int64_t from, ledger_audit_row *row,
                  void *context);
int pg_audit_of(struct ledger *ledger, int64_t certificate, ledger_audit_row *row, void *context);
int pg_checkpoint_add(struct ledger *ledger, const struct ledger_checkpoint *checkpoint, int64_t *ret_id);
int pg_checkpoint_shipped(struct ledger *ledger, int64_t id, int64_t at);
int pg_checkpoint_each(struct ledger *ledger, bool newest_only, ledger_checkpoint_row *row, void *context);

/* For claim.c. */
int pg_admission_ask(struct pg *pg, const char *plant, PGresult **ret);
void pg_admission_keep(struct pg *pg, const PGresult *found);
int pg_admission_add(struct ledger *ledger, const struct ledger_admission *row, int64_t *ret_id);
int pg_admission_step(struct ledger *ledger, const struct ca_admission *row, const char *from);
int pg_admission_get(struct ledger *ledger, const char *plant, int64_t id, struct ledger_admission *ret);
int pg_admission_each(struct ledger *ledger, const char *plant, ledger_admission_row *row, void *context);
int pg_waiting_add(struct ledger *ledger, const struct ca_waiting *row);
int pg_waiting_step(struct ledger *ledger, const struct ca_waiting *row);
int pg_waiting_each(struct ledger *ledger, int64_t admission, int64_t now, ledger_waiting_row *row,
                    void *context);

#endif
