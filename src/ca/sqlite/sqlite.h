/* The ledger in SQLite: what its files share. Nothing outside this folder includes it but src/ca/ledger.c. */
#ifndef CA_SQLITE_SQLITE_H
#define CA_SQLITE_SQLITE_H

#include <sqlite3.h>

#include "src/ca/ledger.h"

#define DB_STATEMENTS 80 /* prepared ones that are kept */
#define DB_SEARCHES 8    /* of those whose text is put together, the last few */

struct db_search {
    sqlite3_stmt *statement;
    bool lent;
    uint64_t used;
};
struct db_loan {
    sqlite3_stmt *statement;
    struct db_search *slot; /* NULL: not kept */
};

struct db {
    struct ledger base;
    sqlite3 *handle;
    char *path;
    char chain[33];
    int owners_fd; /* file whose byte locks say which owners live; -1 until needed */
    int64_t self;  /* our owner number; 0 until needed */
    bool in_transaction, writing;
    bool head_known; /* of our chain, while a write transaction lasts */
    struct ledger_audit head;
    struct db_search searches[DB_SEARCHES];
    uint64_t searched;
    struct {
        const char *sql; /* a literal: compared by address */
        sqlite3_stmt *statement;
    } kept[DB_STATEMENTS];
};

int sqlite_ledger_open(const char *path, enum ledger_open how, struct ledger **ret);

/* What every connection is set to; `more` comes first. */
int db_configure(struct db *db, const char *more);
void db_disconnect(struct db *db); /* with all statements; fine where there is no connection */
/* LEDGER_READONLY. */
int db_open_to_read(struct db *db);

/* Translates SQLite's last error: away, locked or no ledger any more is PC_EUNREACH, all else PC_EFAIL. */
int db_fail(struct db *db, const char *what);

/* A statement with its parameters bound, by `format`: i int64_t, o int64_t that is NULL when 0, t text (NULL
 * allowed), h hex text stored as octets (NULL allowed), b struct pc_bytes * (empty: NULL). `sql` is a
 * literal; the statement is kept and lent: give it back with db_done before the next use of the same text. */
int db_prepare(struct db *db, const char *sql, sqlite3_stmt **ret, const char *format, ...);
int db_bind(struct db *db, sqlite3_stmt *statement, int column, char kind, const void *value);
/* The same for a text that is put together: kept as long as it is among the last used, and a second one of
 * the same text while the first is lent. Nothing is bound yet. */
int db_borrow(struct db *db, const char *sql, struct db_loan *ret);
void db_return(struct db_loan *loan);
void db_done(sqlite3_stmt *statement);
PC_DEFINE_CLEANUP(sqlite3_stmt, db_done);
/* 1: a row; 0: no more; else an error. */
int db_step(struct db *db, sqlite3_stmt *statement);
/* Runs a statement that gives no rows. */
int db_run(struct db *db, const char *sql, const char *format, ...);
/* As db_run, and PC_EFAIL unless it changed exactly one row. */
int db_change(struct db *db, const char *what, const char *sql, const char *format, ...);

/* Columns. */
void db_text(sqlite3_stmt *statement, int column, char *ret, size_t size);
void db_hex(sqlite3_stmt *statement, int column, char *ret, size_t size);
int db_blob(sqlite3_stmt *statement, int column, struct pc_bytes *ret);
/* Every row of a statement that gives serial, revoked_at, reason, invalid_since. */
int db_entries_each(struct db *db, sqlite3_stmt *s, ledger_entry_row *entry, void *context);

/* Makes the tables, or brings them up to LEDGER_SCHEMA, in one transaction. `chain` is the new ledger's name.
 */
int db_schema_ensure(struct db *db, const char *chain);
/* The version that it is of, at most LEDGER_SCHEMA; 0: an empty file. PC_EREFUSED "ledger-foreign",
 * "ledger-version". */
int db_schema_version(struct db *db, int64_t *ret);

/* The interface's functions, by file. */
int db_reserve(struct ledger *ledger, const struct ledger_certificate *row, int64_t *ret_id);
int db_signing(struct ledger *ledger, int64_t id, const struct pc_bytes *tbs);
int db_issue(struct ledger *ledger, int64_t id, const struct pc_bytes *der, const char *sha256, int64_t at);
int db_supersede(struct ledger *ledger, int64_t id, int64_t revoke_after);
int db_revoke(struct ledger *ledger, int64_t id, int64_t at, int reason, int64_t invalid_since);
int db_hold(struct ledger *ledger, int64_t id, int64_t at);
int db_release(struct ledger *ledger, int64_t id);
int db_record(struct ledger *ledger, const struct ledger_certificate *row, const struct pc_bytes *der,
              int64_t *ret_id);
int db_condemn(struct ledger *ledger, int64_t id);
int db_annul(struct ledger *ledger, int64_t id, int64_t at);
int db_own(struct ledger *ledger, int64_t id, int64_t owner);
int db_find(struct ledger *ledger, const struct ledger_query *query, ledger_row *row, void *context);
int db_facts(struct ledger *ledger, const char *subject, const char *profile, const char *key_sha256,
             ledger_row *row, void *context);
int db_body(struct ledger *ledger, int64_t id, struct pc_bytes *ret_tbs, struct pc_bytes *ret_der);
int db_key_subject(struct ledger *ledger, const char *key_sha256, char ret[256]);
int db_count(struct ledger *ledger, int64_t now, int64_t renew_window, struct ledger_counts *ret);

int db_issuer_plan(struct ledger *ledger, const struct ledger_issuer *plan, int64_t *ret_id);
int db_issuer_replan(struct ledger *ledger, const struct ledger_issuer *plan);
int db_issuer_activate(struct ledger *ledger, int64_t id, int64_t certificate);
int db_issuer_get(struct ledger *ledger, struct ledger_issuer *ret);
int db_issuer_each(struct ledger *ledger, ledger_issuer_row *row, void *context);
int db_issuer_import(struct ledger *ledger, const struct ledger_issuer *issuer, int64_t *ret_id);
int db_issuer_certificate(struct ledger *ledger, int64_t id, int64_t certificate);
int db_key_plan(struct ledger *ledger, const struct ledger_key *plan, int64_t *ret_id);
int db_key_activate(struct ledger *ledger, int64_t id, const char *sha256, int64_t certificate);
int db_key_retire(struct ledger *ledger, int64_t id);
int db_key_each(struct ledger *ledger, const char *role, ledger_key_row *row, void *context);

int db_crl_last(struct ledger *ledger, int64_t issuer, bool issued_only, struct ledger_crl *ret);
int db_crl_reserve(struct ledger *ledger, int64_t issuer, const struct ledger_crl *crl,
                   const struct pc_bytes *tbs);
int db_crl_issue(struct ledger *ledger, int64_t issuer, uint64_t number, const struct pc_bytes *der);
int db_crl_adopt(struct ledger *ledger, int64_t issuer, const struct ledger_crl *crl,
                 const struct pc_bytes *der);
int db_crl_pardon(struct ledger *ledger, int64_t issuer, uint64_t number, int64_t at);
int db_crl_body(struct ledger *ledger, int64_t issuer, uint64_t number, struct pc_bytes *ret_der);
int db_crl_entries(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last,
                   ledger_entry_row *entry, void *context);
int db_orphan_each(struct ledger *ledger, int64_t issuer, ledger_entry_row *row, void *context);
int db_publication_each(struct ledger *ledger, ledger_publication_row *row, void *context);
int db_schema_fault(struct ledger *ledger, char ret[256]);
int db_crl_short(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last, bool *ret);
int db_crl_behind(struct ledger *ledger, int64_t issuer, const struct ledger_crl *last, int64_t now,
                  bool *ret);
int db_orphan_add(struct ledger *ledger, int64_t issuer, const struct ledger_entry *entry);
int db_publication_add(struct ledger *ledger, const struct ledger_publication *publication);
int db_publication_last(struct ledger *ledger, const char *dir, struct ledger_publication *ret);

int db_audit_head(struct ledger *ledger, struct ledger_audit *ret);
int db_audit_append(struct ledger *ledger, const struct ledger_audit *row);
int db_audit_heads(struct ledger *ledger, ledger_audit_row *row, void *context);
int db_audit_each(struct ledger *ledger, const char *chain, int64_t from, ledger_audit_row *row,
                  void *context);
int db_audit_of(struct ledger *ledger, int64_t certificate, ledger_audit_row *row, void *context);
int db_checkpoint_add(struct ledger *ledger, const struct ledger_checkpoint *checkpoint, int64_t *ret_id);
int db_checkpoint_shipped(struct ledger *ledger, int64_t id, int64_t at);
int db_checkpoint_each(struct ledger *ledger, bool newest_only, ledger_checkpoint_row *row, void *context);

int db_admission_add(struct ledger *ledger, const struct ledger_admission *row, int64_t *ret_id);
int db_admission_step(struct ledger *ledger, const struct ca_admission *row, const char *from);
int db_admission_get(struct ledger *ledger, const char *plant, int64_t id, struct ledger_admission *ret);
int db_admission_each(struct ledger *ledger, const char *plant, ledger_admission_row *row, void *context);
int db_waiting_add(struct ledger *ledger, const struct ca_waiting *row);
int db_waiting_step(struct ledger *ledger, const struct ca_waiting *row);
int db_waiting_each(struct ledger *ledger, int64_t admission, int64_t now, ledger_waiting_row *row,
                    void *context);

/* Where a write happens outside a write transaction, the program is wrong. */
int db_writing(struct db *db);

#endif
