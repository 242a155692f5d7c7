/* Statements that are sent without waiting for what became of the one before (libpq's pipeline mode): several
 * questions in one round trip, and, in shared transactions, changes that are only looked after later. */
#include "src/ca/postgres/postgres.h"

#include <string.h>

#include "src/base/error.h"

#define FLUSH_AFTER 8 /* statements that are given to the server to work on while we go on */

static int enter(struct pg *pg)
{
    if (pg->queued > 0)
        return 0;
    return PQenterPipelineMode(pg->connection) == 1 ? 0 : pg_fail(pg, "sending", NULL);
}

int pg_enqueue(struct pg *pg, const char *what, PGresult **ret, const struct pg_statement *s)
{
    int r = pg->queued == PG_QUEUE ? pg_settle(pg) : 0;
    if (r == 0)
        r = enter(pg);
    if (r < 0)
        return r;
    int sent = *s->name ? PQsendQueryPrepared(pg->connection, s->name, s->count, s->values, s->lengths,
                                              s->formats, 1)
                        : PQsendQueryParams(pg->connection, s->sql, s->count, s->types, s->values, s->lengths,
                                            s->formats, 1);
    if (!sent)
        return pg_fail(pg, what, NULL);
    pg->queue[pg->queued++] = (struct pg_sent){.what = what, .ret = ret};
    if (pg->queued % FLUSH_AFTER == 0 && PQflush(pg->connection) < 0)
        return pg_fail(pg, what, NULL);
    return 0;
}

/* Results come in the order of their statements, each with a NULL behind it; behind the first that failed
 * they only say so. */
static PGresult *next_result(struct pg *pg)
{
    PGresult *result = PQgetResult(pg->connection);
    if (result)
        PQclear(PQgetResult(pg->connection));
    return result;
}

/* Of a change that nobody waited for it cannot be said any more whose it was: the transaction is done again,
 * and waits for each. */
static int fail_late(struct pg *pg, const char *what, const PGresult *result)
{
    int r = pg_fail(pg, what, result);
    if (PQstatus(pg->connection) == CONNECTION_BAD)
        return r;
    pg->careful = true;
    return pc_fail_named(PC_EUNREACH, "ledger-conflict", "ledger %s: %s: refused; tried again one by one",
                         pg->name, what);
}

static int judge(struct pg *pg, const struct pg_sent *sent, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    bool good = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
    if (sent->ret && !good)
        return pg_fail(pg, sent->what, result);
    if (!sent->ret && (!good || strcmp(PQcmdTuples(result), "1") != 0))
        return fail_late(pg, sent->what, result);
    return 0;
}

static int read_results(struct pg *pg)
{
    int r = 0;
    for (size_t i = 0; i < pg->queued; i++) {
        PGresult *result PC_CLEANUP(pg_done) = next_result(pg);
        if (r == 0)
            r = judge(pg, &pg->queue[i], result);
        if (r == 0 && pg->queue[i].ret)
            *pg->queue[i].ret = pc_steal(result);
    }
    PQclear(PQgetResult(pg->connection)); /* of the synchronisation */
    return r;
}

int pg_settle(struct pg *pg)
{
    if (pg->queued == 0)
        return 0;
    int r = PQpipelineSync(pg->connection) == 1 ? read_results(pg) : pg_fail(pg, pg->queue[0].what, NULL);
    pg->queued = 0;
    if (PQexitPipelineMode(pg->connection) != 1 && r == 0)
        r = pg_fail(pg, "waiting for the server", NULL);
    return r;
}

void pg_discard(struct pg *pg)
{
    if (pg->queued == 0)
        return;
    if (PQpipelineSync(pg->connection) == 1)
        for (size_t i = 0; i <= pg->queued; i++)
            PQclear(i < pg->queued ? next_result(pg) : PQgetResult(pg->connection));
    pg->queued = 0;
    PQexitPipelineMode(pg->connection);
}
