/* Opening and closing the PostgreSQL ledger, its transactions, and making its tables. */
#include "src/ca/postgres/postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"

/* A subject and its key are two locks of the server's, which has 6,400 for all by default: room for forty
 * stations at once. */
#define CLAIMS 64
#define PATIENCE 10000 /* ms that another writer is waited for */

/* The lock that every write transaction takes: issuing ones share it, all others exclude everyone. Locks of
 * two numbers are a space of their own beside those of one. */
#define LOCK_CLASS "1885555761" /* "pcL1" */
#define LOCK_LEDGER "1"

static struct pg *pg_of(struct ledger *ledger)
{
    return (struct pg *)ledger;
}

static void pg_close(struct ledger *ledger)
{
    struct pg *pg = pg_of(ledger);
    PQfinish(pg->connection);
    pg_forget(pg);
    free(pg->url);
    free(pg->name);
    free(pg->chain_path);
    free(pg);
}

static const char *pg_path(struct ledger *ledger)
{
    (void)ledger;
    return NULL;
}

static void pg_patience(struct ledger *ledger, int ms)
{
    pg_of(ledger)->patience = ms;
}

/* `lock` is the function that takes the ledger's lock, NULL to read. A writer that was stopped in the middle
 * gives way after a minute. */
static int begin(struct pg *pg, const char *lock)
{
    char script[512];
    if (pg->in_transaction)
        return pc_fail(PC_EFAIL, "ledger: a transaction inside another");
    if (lock && pg->reading)
        return pc_fail_named(PC_EUNREACH, "ledger-readonly", "ledger %s: it was opened to be read", pg->name);
    if (lock)
        snprintf(script, sizeof script,
                 "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
                 "SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL lock_timeout = %d;"
                 "SELECT %s(" LOCK_CLASS ", " LOCK_LEDGER ")",
                 pg->patience > 0 ? pg->patience : 1, lock);
    else
        snprintf(script, sizeof script, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    int r = pg_script(pg, lock ? "waiting for its other writers" : "reading", script);
    pg->in_transaction = true;
    if (r < 0) {
        pg_rollback(&pg->base);
        return r;
    }
    pg->writing = lock != NULL;
    return 0;
}

int pg_begin(struct ledger *ledger, bool write)
{
    return begin(pg_of(ledger), write ? "pg_advisory_xact_lock" : NULL);
}

int pg_begin_shared(struct ledger *ledger)
{
    int r = begin(pg_of(ledger), "pg_advisory_xact_lock_shared");
    pg_of(ledger)->shared = r == 0;
    if (r == 0) {
        pg_of(ledger)->deferring = !pg_of(ledger)->careful;
        pg_of(ledger)->careful = false;
    }
    return r;
}

static void end(struct pg *pg)
{
    pg->in_transaction = pg->writing = pg->shared = pg->deferring = pg->head_known = false;
    pg->key[0] = '\0';
    pg->admission.record.id = 0;
}

void pg_rollback(struct ledger *ledger)
{
    struct pg *pg = pg_of(ledger);
    pg_discard(pg);
    if (pg->in_transaction && PQstatus(pg->connection) == CONNECTION_OK &&
        PQtransactionStatus(pg->connection) != PQTRANS_IDLE)
        PQclear(PQexec(pg->connection, "ROLLBACK"));
    end(pg);
}

/* A transaction that an error has broken is rolled back by its COMMIT, and that is no error to the server. */
int pg_commit(struct ledger *ledger)
{
    struct pg *pg = pg_of(ledger);
    int r = pg_settle(pg);
    if (r < 0) {
        pg_rollback(ledger);
        return r;
    }
    PGresult *result PC_CLEANUP(pg_done) = PQexec(pg->connection, "COMMIT");
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        r = pg_fail(pg, "committing", result);
    else if (strcmp(PQcmdStatus(result), "COMMIT") != 0)
        r = pc_fail(PC_EFAIL, "ledger %s: the transaction was rolled back", pg->name);
    if (r < 0 && PQstatus(pg->connection) == CONNECTION_BAD)
        (void)pc_fail_in("whether this is on record is not known; the same again finds out");
    pg_rollback(ledger);
    return r;
}

static int make_schema(struct pg *pg)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query(pg, "opening", &found, "SELECT 1 FROM pg_namespace WHERE nspname = '" PG_SCHEMA "'", "");
    if (r == 0 && PQntuples(found) == 0)
        r = pg_script(pg, PG_MAKING, "CREATE SCHEMA " PG_SCHEMA);
    if (r == 0)
        r = pg_make_tables(pg, PG_SCHEMA);
    return r < 0 ? r
                 : pg_change(pg, "making its tables",
                             "INSERT INTO ledger (one, version, made_at) VALUES (1, $1, $2)", "ii",
                             (int64_t)LEDGER_SCHEMA, pc_now());
}

/* What stands in our schema: nothing, something else, or a ledger. */
static int look(struct pg *pg, bool *ret_ledger, bool *ret_other)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query(pg, "opening", &found,
                     "SELECT count(*) FILTER (WHERE relname = 'ledger' AND relkind = 'r'), count(*)"
                     " FROM pg_class WHERE relnamespace ="
                     " (SELECT oid FROM pg_namespace WHERE nspname = '" PG_SCHEMA "')",
                     "");
    if (r < 0)
        return r;
    *ret_ledger = pg_number(found, 0, 0) != 0;
    *ret_other = !*ret_ledger && pg_number(found, 0, 1) != 0;
    return 0;
}

/* Two that start at once: the second finds the ledger made. */
static int make_in_transaction(struct pg *pg)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    bool there = false, other = false;
    int r = pg_begin(&pg->base, true);
    if (r < 0)
        return r;
    open = &pg->base;
    r = look(pg, &there, &other);
    if (r == 0 && !there)
        r = make_schema(pg);
    if (r < 0)
        return r;
    open = NULL;
    return pg_commit(&pg->base);
}

static int check_version(struct pg *pg)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query(pg, "opening", &found, "SELECT version FROM " PG_SCHEMA ".ledger", "");
    if (r < 0)
        return r;
    int64_t version = PQntuples(found) == 1 ? pg_number(found, 0, 0) : 0;
    if (version == LEDGER_SCHEMA)
        return 0;
    return pc_refuse("ledger-version", "ledger %s: of version %lld; this program knows version %d", pg->name,
                     (long long)version, LEDGER_SCHEMA);
}

int pg_schema_ensure(struct pg *pg, bool create)
{
    bool there = false, other = false;
    int r = look(pg, &there, &other);
    if (r < 0)
        return r;
    if (other)
        return pc_refuse("ledger-foreign", "ledger %s: its schema " PG_SCHEMA " holds something else",
                         pg->name);
    if (!there && !create)
        return pc_refuse("ledger-missing", "ledger %s: there is no ledger", pg->name);
    if (!there)
        r = make_in_transaction(pg);
    return r < 0 ? r : check_version(pg);
}

static const struct ledger_ops postgres_ops = {
    .close = pg_close,
    .path = pg_path,
    .patience = pg_patience,
    .begin = pg_begin,
    .begin_shared = pg_begin_shared,
    .claim = pg_claim_subject,
    .commit = pg_commit,
    .rollback = pg_rollback,
    .turn = pg_turn,
    .issuer_plan = pg_issuer_plan,
    .issuer_replan = pg_issuer_replan,
    .issuer_activate = pg_issuer_activate,
    .issuer_get = pg_issuer_get,
    .issuer_each = pg_issuer_each,
    .issuer_import = pg_issuer_import,
    .issuer_certificate = pg_issuer_certificate,
    .reserve = pg_reserve,
    .signing = pg_signing,
    .issue = pg_issue,
    .supersede = pg_supersede,
    .revoke = pg_revoke,
    .hold = pg_hold,
    .release = pg_release,
    .record = pg_record,
    .condemn = pg_condemn,
    .annul = pg_annul,
    .self = pg_self,
    .owner_lives = pg_owner_lives,
    .own = pg_own,
    .find = pg_find,
    .facts = pg_facts,
    .body = pg_body,
    .key_subject = pg_key_subject,
    .count = pg_count,
    .crl_last = pg_crl_last,
    .crl_reserve = pg_crl_reserve,
    .crl_issue = pg_crl_issue,
    .crl_body = pg_crl_body,
    .crl_entries = pg_crl_entries,
    .crl_behind = pg_crl_behind,
    .crl_short = pg_crl_short,
    .crl_adopt = pg_crl_adopt,
    .crl_pardon = pg_crl_pardon,
    .orphan_add = pg_orphan_add,
    .orphan_each = pg_orphan_each,
    .publication_each = pg_publication_each,
    .schema_fault = pg_schema_fault,
    .key_plan = pg_key_plan,
    .key_activate = pg_key_activate,
    .key_retire = pg_key_retire,
    .key_each = pg_key_each,
    .publication_add = pg_publication_add,
    .publication_last = pg_publication_last,
    .audit_head = pg_audit_head,
    .audit_append = pg_audit_append,
    .audit_heads = pg_audit_heads,
    .audit_each = pg_audit_each,
    .audit_of = pg_audit_of,
    .checkpoint_add = pg_checkpoint_add,
    .checkpoint_shipped = pg_checkpoint_shipped,
    .checkpoint_each = pg_checkpoint_each,
    .admission_add = pg_admission_add,
    .admission_step = pg_admission_step,
    .admission_get = pg_admission_get,
    .admission_each = pg_admission_each,
    .waiting_add = pg_waiting_add,
    .waiting_step = pg_waiting_step,
    .waiting_each = pg_waiting_each,
};

int postgres_ledger_open(const char *url, const char *state, enum ledger_open how, struct ledger **ret)
{
    int r = postgres_url_check(url);
    if (r < 0)
        return r;
    struct pg *pg = calloc(1, sizeof *pg);
    if (!pg)
        return pc_fail(PC_EFAIL, "out of memory");
    pg->base.ops = &postgres_ops;
    pg->base.claims = CLAIMS;
    pg->patience = PATIENCE;
    pg->reading = how == LEDGER_READONLY;
    struct ledger *ledger PC_CLEANUP(ledger_close_ref) = &pg->base;
    pg->url = strdup(url);
    pg->name = strdup("postgresql");
    pg->chain_path = pc_path_join(state, "chain");
    if (!pg->url || !pg->name || !pg->chain_path)
        return pc_fail(PC_EFAIL, "out of memory");
    r = pg_connect(pg, !pg->reading);
    if (r == 0)
        r = pg_schema_ensure(pg, how == LEDGER_CREATE);
    if (r < 0)
        return r;
    *ret = pc_steal(ledger);
    return 0;
}
