/* What the tables and the queries on them say in the same words: a partial index is taken only for a
 * condition that implies the index's own. */
#ifndef CA_POSTGRES_SCHEMA_H
#define CA_POSTGRES_SCHEMA_H

#include "src/ca/postgres/postgres.h"

#define PG_CURRENT "state = 'current'"
#define PG_UNFINISHED "state IN ('reserved', 'signing')"
#define PG_FINISHED "state NOT IN ('reserved', 'signing')"
#define PG_PAST "state NOT IN ('reserved', 'signing') AND state <> 'current'"

/* A script in which "@" stands for the schema. */
int pg_script_in(struct pg *pg, const char *schema, const char *sql);
int pg_make_rules(struct pg *pg, const char *schema); /* rules.c */

#endif
