/* What the tables and the queries on them say in the same words: SQLite takes a partial index only for a
 * condition that is written as the index's own. */
#ifndef CA_SQLITE_SCHEMA_H
#define CA_SQLITE_SCHEMA_H

#include "src/ca/sqlite/sqlite.h"

#define DB_CURRENT "state = 'current'"
#define DB_UNFINISHED "state IN ('reserved', 'signing')"
#define DB_FINISHED "state NOT IN ('reserved', 'signing')"
#define DB_PAST "state NOT IN ('reserved', 'signing') AND state <> 'current'"

/* The names of the chains, without reading every row. */
#define DB_CHAINS                                                                                            \
    "WITH RECURSIVE chains (name) AS (SELECT min(chain) FROM audit UNION ALL"                                \
    " SELECT (SELECT min(chain) FROM audit WHERE chain > name) FROM chains WHERE name IS NOT NULL) "

/* Triggers of a table whose rows are added and nothing else. */
#define DB_APPEND_ONLY(table)                                                                                \
    "CREATE TRIGGER " table "_fixed BEFORE UPDATE ON " table "  BEGIN SELECT RAISE(ABORT, '" table           \
    " rows never change'); END;"                                                                             \
    "CREATE TRIGGER " table "_kept BEFORE DELETE ON " table "  BEGIN SELECT RAISE(ABORT, '" table            \
    " rows are never deleted'); END;"

/* Inside a transaction. The rules come last: rows that are carried over from an older ledger are what they
 * are. */
int db_make_tables(struct db *db);
int db_make_rules(struct db *db);
/* What version 3 added, tables and rules; all else is as it was in version 2. */
int db_make_third(struct db *db);

#endif
