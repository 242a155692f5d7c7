/* Whether the tables and their rules are those that this program makes: a fresh set is made of temporary
 * ones, in a session of its own that leaves nothing behind, and both are held against each other as the
 * server tells of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/log.h"
#include "src/ca/postgres/schema.h"

/* What stands in a schema, in the server's words without the schema's name. */
#define OBJECTS(schema)                                                                                      \
    "(SELECT name, regexp_replace(told, '\\m(" PG_SCHEMA "|pg_temp(_[0-9]+)?)\\.', '', 'g') AS told FROM ("  \
    "SELECT 'column ' || c.relname || '.' || attname AS name, format_type(atttypid, atttypmod) || ' '"       \
    "   || attnotnull || ' ' || attidentity::text || ' ' || attcollation::text || ' '"                       \
    "   || coalesce(pg_get_expr(adbin, adrelid), '') AS told"                                                \
    " FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid"                                               \
    " LEFT JOIN pg_attrdef d ON adrelid = c.oid AND adnum = attnum"                                          \
    " WHERE c.relnamespace = " schema " AND relkind = 'r' AND attnum > 0 AND NOT attisdropped"               \
    " UNION ALL SELECT 'table ' || relname, relkind::text || replace(relpersistence::text, 't', 'p')"        \
    "   || relrowsecurity || relhasrules FROM pg_class"                                                      \
    " WHERE relnamespace = " schema " AND relkind IN ('r', 'v', 'm', 'p', 'f')"                              \
    " UNION ALL SELECT 'constraint ' || c.relname || '.' || conname, pg_get_constraintdef(n.oid)"            \
    "   || convalidated FROM pg_constraint n JOIN pg_class c ON c.oid = conrelid"                            \
    " WHERE c.relnamespace = " schema                                                                        \
    " UNION ALL SELECT 'index ' || c.relname, pg_get_indexdef(c.oid) || indisvalid FROM pg_class c"          \
    " JOIN pg_index i ON indexrelid = c.oid WHERE c.relnamespace = " schema                                  \
    " UNION ALL SELECT 'trigger ' || c.relname || '.' || tgname, pg_get_triggerdef(t.oid)"                   \
    "   || tgenabled::text FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid"                             \
    " WHERE c.relnamespace = " schema " AND NOT tgisinternal"                                                \
    " UNION ALL SELECT 'function ' || proname, prosrc || coalesce(proconfig::text, '') || prosecdef"         \
    " FROM pg_proc WHERE pronamespace = " schema ") AS objects)"

/* Foreign keys are triggers of the server's own: whether they are switched on is not in their definition. */
#define SWITCHED_OFF                                                                                         \
    "SELECT 'trigger ' || c.relname || '.' || tgname, false, false FROM pg_trigger t"                        \
    " JOIN pg_class c ON c.oid = tgrelid WHERE c.relnamespace = to_regnamespace('" PG_SCHEMA "')"            \
    " AND tgisinternal AND tgenabled <> 'O'"

/* A dump that was restored holds CHECKs as the server reads its own words for them, whose parentheses may
 * then be others: what such a one is called stands beside each of ours, under its name and AGAIN. */
#define AGAIN " again"
#define SAY_AGAIN                                                                                            \
    "DO $$ DECLARE c record; BEGIN FOR c IN"                                                                 \
    " SELECT conrelid::pg_catalog.regclass AS made, conname, pg_catalog.pg_get_constraintdef(oid) AS told"   \
    " FROM pg_catalog.pg_constraint WHERE contype = 'c' AND connamespace = pg_catalog.pg_my_temp_schema()"   \
    " LOOP EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.made, c.conname || '" AGAIN    \
    "', c.told); END LOOP; END $$"

#define OURS OBJECTS("pg_my_temp_schema()")
#define THERE OBJECTS("to_regnamespace('" PG_SCHEMA "')")
#define DIFFERENCE                                                                                           \
    "WITH made AS (SELECT * FROM " OURS " AS ours)"                                                          \
    " (SELECT coalesce(found.name, wanted.name), found.told IS NULL, wanted.told IS NULL"                    \
    " FROM " THERE " AS found"                                                                               \
    " FULL JOIN (SELECT * FROM made WHERE name NOT LIKE '%" AGAIN "') AS wanted USING (name)"                \
    " LEFT JOIN made AS restored ON restored.name = wanted.name || '" AGAIN "'"                              \
    " WHERE found.told IS DISTINCT FROM wanted.told"                                                         \
    " AND (restored.told IS NULL OR found.told IS DISTINCT FROM restored.told))"                             \
    " UNION ALL (" SWITCHED_OFF ") ORDER BY 1 LIMIT 1"

static int compare(struct pg *fresh, char ret[256])
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    char name[160];
    int r = pg_script(fresh, "judging its tables", "SET search_path = ''; BEGIN");
    if (r == 0)
        r = pg_make_tables(fresh, "pg_temp");
    if (r == 0)
        r = pg_script(fresh, "judging its tables", SAY_AGAIN);
    if (r == 0)
        r = pg_query(fresh, "judging its tables", &found, DIFFERENCE, "");
    if (r < 0)
        return r;
    *ret = '\0';
    if (PQntuples(found) == 0)
        return 0;
    pg_text(found, 0, 0, name, sizeof name);
    snprintf(ret, 256, "%s %s", name,
             pg_flag(found, 0, 1)   ? "is missing"
             : pg_flag(found, 0, 2) ? "is none of ours"
                                    : "is not as we make it");
    return 0;
}

static void close_session(struct pg *session)
{
    PQfinish(session->connection);
    pg_forget(session);
    free(session->name);
}

/* Rows that tell of certificates, in a chain that nobody would walk: the tables' rules do not let them in. */
static int find_stray(struct pg *pg, char ret[256])
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    char chain[40];
    int r = pg_query(pg, "looking for strays", &found,
                     "SELECT chain FROM audit WHERE NOT EXISTS"
                     " (SELECT 1 FROM chain WHERE chain.id = audit.chain) LIMIT 1",
                     "");
    if (r < 0 || PQntuples(found) == 0)
        return r;
    pg_text(found, 0, 0, chain, sizeof chain);
    snprintf(ret, 256, "audit rows of a chain that no station has: %s", chain);
    return 0;
}

/* A standby takes no temporary tables, and a role may not make any: then this is looked at elsewhere. */
int pg_schema_fault(struct ledger *ledger, char ret[256])
{
    struct pg *pg = (struct pg *)ledger;
    struct pg PC_CLEANUP(close_session) fresh = {.url = pg->url, .name = strdup(pg->name)};
    *ret = '\0';
    if (!fresh.name)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = find_stray(pg, ret);
    if (r < 0 || *ret)
        return r;
    r = pg_connect(&fresh, true);
    if (r == 0)
        r = compare(&fresh, ret);
    if (r < 0 &&
        (strcmp(pc_error_name(), "ledger-readonly") == 0 || strcmp(pc_error_name(), "ledger-denied") == 0)) {
        pc_log(PC_LOG_WARNING, "the tables' rules could not be judged: %s", pc_error_text());
        return 0;
    }
    return r;
}
