/* A session with the server: where it is, what is set in it, and which servers are no place for a ledger. */
#include "src/ca/postgres/postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/error.h"

#define SERVER_MIN 120000 /* version 12: tcp_user_timeout */
#define QUICK 1           /* s in which a server that is there has refused us */

static void free_options(PQconninfoOption **options)
{
    PQconninfoFree(*options);
}

int postgres_url_check(const char *url)
{
    static const char *const secrets[] = {"password", "sslpassword"};
    char *fault = NULL;
    PQconninfoOption *options PC_CLEANUP(free_options) = PQconninfoParse(url, &fault);
    if (!options) {
        /* What it says may show the address, and a password within it. */
        PQfreemem(fault);
        return pc_fail(PC_EUSAGE,
                       "the ledger's address is none that PostgreSQL's client library understands; "
                       "postgresql://USER@HOST/DATABASE?sslmode=verify-full");
    }
    for (const PQconninfoOption *o = options; o->keyword; o++)
        for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
            if (o->val && strcmp(o->keyword, secrets[i]) == 0)
                return pc_fail(PC_EUSAGE, "a password in the ledger's address; use a password file "
                                          "(~/.pgpass, or passfile=) or a service file");
    return 0;
}

/* Silence: notices of the server are for its own log. */
static void ignore_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

static int name_it(struct pg *pg)
{
    const char *host = PQhost(pg->connection), *database = PQdb(pg->connection);
    free(pc_steal(pg->name));
    if (asprintf(&pg->name, "postgresql://%s/%s", host ? host : "", database ? database : "") < 0) {
        pg->name = NULL;
        return pc_fail(PC_EFAIL, "out of memory");
    }
    return 0;
}

/* What is wrong with the address, the role or the server's certificate, and will be the next time: by the
 * server's SQLSTATE (PostgreSQL, Appendix A), or by libpq's words. */
static const struct {
    const char *sign, *name, *hint;
} misfits[] = {
    {" 28P01: ", "ledger-login", "the password file (~/.pgpass, or passfile=) has another password"},
    {" 28000: ", "ledger-login", "the server knows no such role, or its pg_hba.conf lets it in by no way"},
    {" 3D000: ", "ledger-database", "the database has to be made first (docs: stations.md)"},
    {" 42501: ", "ledger-login", "the role may not connect: GRANT CONNECT ON DATABASE"},
    {"certificate verify failed", "ledger-tls", "sslrootcert= names the CA that the server's is from"},
    {"does not match host name", "ledger-tls",
     "the server's certificate names another host than the address"},
    {"root certificate file", "ledger-tls",
     "sslrootcert= names the CA that the server's certificate is from"},
    {"certificate revoked", "ledger-tls", "it needs a new one"},
    {"does not support SSL", "ledger-tls", "the server has to have ssl = on, with a certificate"},
};

/* libpq says a line for each host of the address, and more lines of details. */
static const char *line_at(const char *said, const char *at, char *buffer, size_t size)
{
    while (at > said && at[-1] != '\n')
        at--;
    snprintf(buffer, size, "%.*s", (int)strcspn(at, "\n"), at);
    return buffer;
}

/* One that cannot be right says nothing of another that is away, and comes back. */
static bool several_hosts(const struct pg *pg)
{
    PQconninfoOption *options PC_CLEANUP(free_options) = PQconninfo(pg->connection);
    bool several = false;
    for (const PQconninfoOption *o = options; o && o->keyword; o++)
        if (strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "hostaddr") == 0)
            several = several || (o->val && strchr(o->val, ','));
    return several;
}

static int refuse_connection(const struct pg *pg)
{
    char text[512];
    const char *said = PQerrorMessage(pg->connection), *at = NULL;
    if (PQconnectionNeedsPassword(pg->connection))
        return pc_fail_named(PC_EUSAGE, "ledger-password",
                             "ledger: %s; the password file (~/.pgpass, or passfile=) has none for it",
                             line_at(said, said, text, sizeof text));
    for (size_t i = 0; i < sizeof misfits / sizeof *misfits; i++)
        if ((at = strstr(said, misfits[i].sign)))
            return pc_fail_named(several_hosts(pg) ? PC_EUNREACH : PC_EUSAGE, misfits[i].name,
                                 "ledger: %s; %s", line_at(said, at, text, sizeof text), misfits[i].hint);
    return pc_fail_named(PC_EUNREACH, "ledger-away", "ledger: %s", line_at(said, said, text, sizeof text));
}

static int64_t monotonic_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* What the user's address and service file say goes before all but the encoding. */
static int dial(struct pg *pg)
{
    static const char *const words[] = {"connect_timeout",  "keepalives",
                                        "keepalives_idle",  "keepalives_interval",
                                        "keepalives_count", "tcp_user_timeout",
                                        "dbname",           "fallback_application_name",
                                        "client_encoding",  NULL};
    const char *const values[] = {"10", "1", "30", "10", "3", "30000", pg->url, "plantca", "UTF8", NULL};
    int64_t began = monotonic_s();
    pg->connection = PQconnectdbParams(words, values, 1);
    if (!pg->connection)
        return pc_fail(PC_EFAIL, "out of memory");
    if (PQstatus(pg->connection) != CONNECTION_OK && monotonic_s() - began <= QUICK) {
        /* A server that answered says why by its SQLSTATE, too, if it is asked to before the connection. */
        PQsetErrorVerbosity(pg->connection, PQERRORS_VERBOSE);
        PQreset(pg->connection);
    }
    if (PQstatus(pg->connection) != CONNECTION_OK)
        return refuse_connection(pg);
    PQsetErrorVerbosity(pg->connection, PQERRORS_DEFAULT);
    PQsetNoticeReceiver(pg->connection, ignore_notice, NULL);
    return name_it(pg);
}

/* Each statement is planned once, by its indexes: tables that were empty then have grown since, and planning
 * at each use costs more than running (docs/performance.md). None is compiled: a small table that has to be
 * read as a whole seems dear where that is switched off, and its plan would be compiled at each start of a
 * program. A session that is left behind by a host that vanished lets its locks go within a minute. What a
 * transaction waits for is bounded; how long it may pause is said when it begins. */
#define SETTINGS                                                                                             \
    "SET client_min_messages = error; SET search_path = " PG_SCHEMA ", pg_temp;"                             \
    "SET standard_conforming_strings = on; SET statement_timeout = '10min';"                                 \
    "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;"          \
    "SET tcp_user_timeout = 30000; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;"      \
    "SET jit = off;"

static int judge_server(const struct pg *pg, const PGresult *facts, bool write)
{
    char encoding[32], role[32];
    pg_text(facts, 0, 0, encoding, sizeof encoding);
    pg_text(facts, 0, 4, role, sizeof role);
    if (PQserverVersion(pg->connection) < SERVER_MIN)
        return pc_refuse("ledger-server", "ledger %s: the server's version is before 12", pg->name);
    if (strcmp(encoding, "UTF8") != 0)
        return pc_refuse("ledger-server", "ledger %s: the database's encoding is %s, not UTF8", pg->name,
                         encoding);
    if (strcmp(role, "origin") != 0)
        return pc_refuse("ledger-server",
                         "ledger %s: session_replication_role is %s: the tables' rules would not apply",
                         pg->name, role);
    if (!write)
        return 0;
    if (pg_flag(facts, 0, 2))
        return pc_fail_named(PC_EUNREACH, "ledger-readonly",
                             "ledger %s: the server is a standby, which takes no writes", pg->name);
    if (pg_flag(facts, 0, 3))
        return pc_fail_named(PC_EUNREACH, "ledger-readonly",
                             "ledger %s: default_transaction_read_only is on: it takes no writes", pg->name);
    if (!pg_flag(facts, 0, 1))
        return pc_refuse("ledger-server",
                         "ledger %s: fsync is off on the server: what it says it has written is lost with "
                         "its power",
                         pg->name);
    return 0;
}

/* A certificate that was released must be on record after any crash. Stronger settings stay. */
#define DURABLE                                                                                              \
    "SELECT set_config('synchronous_commit', 'on', false)"                                                   \
    " WHERE current_setting('synchronous_commit') IN ('off', 'local')"

int pg_connect(struct pg *pg, bool write)
{
    PGresult *facts PC_CLEANUP(pg_done) = NULL;
    int r = dial(pg);
    if (r == 0)
        r = pg_query(pg, "opening", &facts,
                     "SELECT current_setting('server_encoding'), current_setting('fsync') = 'on',"
                     " pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on',"
                     " current_setting('session_replication_role')",
                     "");
    if (r == 0)
        r = judge_server(pg, facts, write);
    if (r == 0)
        r = pg_script(pg, "opening", SETTINGS);
    if (r == 0)
        r = pg_script(pg, "opening", write ? DURABLE : "SET default_transaction_read_only = on");
    return r;
}
