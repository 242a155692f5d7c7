/* What all ledgers share: state names, choosing the implementation by URL, collecting rows. No SQL here. */
#include "src/ca/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/postgres/postgres.h"
#include "src/ca/sqlite/sqlite.h"

static const char *const state_names[] = {
    [LEDGER_RESERVED] = "reserved", [LEDGER_SIGNING] = "signing",
    [LEDGER_CURRENT] = "current",   [LEDGER_SUPERSEDED] = "superseded",
    [LEDGER_HELD] = "held",         [LEDGER_REVOKED] = "revoked",
    [LEDGER_VOID] = "void",         [LEDGER_FOREIGN] = "foreign",
};
static_assert(sizeof state_names / sizeof *state_names == LEDGER_STATES, "a name for each state");

const char *ledger_state_name(enum ledger_state state)
{
    return state_names[state];
}

int ledger_state_parse(const char *name, enum ledger_state *ret)
{
    for (size_t i = 0; name && i < LEDGER_STATES; i++)
        if (strcmp(name, state_names[i]) == 0) {
            *ret = (enum ledger_state)i;
            return 0;
        }
    return pc_fail(PC_EFAIL, "ledger: unknown state \"%s\"", name ? name : "");
}

static bool is_postgres(const char *url)
{
    return strncmp(url, "postgresql://", 13) == 0;
}

int ledger_url_check(const char *url)
{
    if (strcmp(url, "sqlite") == 0 || strncmp(url, "sqlite:/", 8) == 0)
        return 0;
    if (is_postgres(url))
        return postgres_url_check(url);
    return pc_fail(PC_EUSAGE, "'%.100s' is none of sqlite, sqlite:/PATH, postgresql://…", url);
}

/* What root writes into another's state folder that other could not read: its next run would find a CA in
 * pieces. Looking harms nothing. */
static int judge_owner(const char *state, enum ledger_open how)
{
    struct stat status;
    if (how == LEDGER_READONLY || geteuid() != 0 || stat(state, &status) != 0 || status.st_uid == 0)
        return 0;
    return pc_fail_named(
        PC_EUSAGE, "state-owner",
        "%s belongs to user %ld, who could not read what root writes there: run this as that "
        "user (runuser -u NAME -- …), or give the folder to root",
        state, (long)status.st_uid);
}

int ledger_open(const char *url, const char *state, enum ledger_open how, struct ledger **ret)
{
    int r = judge_owner(state, how);
    if (r < 0)
        return r;
    if (is_postgres(url))
        return postgres_ledger_open(url, state, how, ret);
    if (strncmp(url, "sqlite:/", 8) == 0)
        return sqlite_ledger_open(url + 7, how, ret);
    if (strcmp(url, "sqlite") != 0)
        return ledger_url_check(url);
    pc_autofree char *path = pc_path_join(state, "ledger.db");
    if (!path)
        return pc_fail(PC_EFAIL, "out of memory");
    return sqlite_ledger_open(path, how, ret);
}

void ledger_close(struct ledger *ledger)
{
    if (ledger)
        ledger->ops->close(ledger);
}

bool ledger_conflict(int r)
{
    return r == PC_EUNREACH && strcmp(pc_error_name(), "ledger-conflict") == 0;
}

void ledger_rollback(struct ledger *ledger)
{
    if (ledger)
        ledger->ops->rollback(ledger);
}

struct collection {
    struct ledger_rows rows;
    size_t room;
};

static int collect_row(void *context, const struct ledger_certificate *row)
{
    struct collection *c = context;
    if (c->rows.count == c->room) {
        size_t room = c->room ? 2 * c->room : 8;
        struct ledger_certificate *grown = reallocarray(c->rows.rows, room, sizeof *grown);
        if (!grown)
            return pc_fail(PC_EFAIL, "out of memory");
        c->rows.rows = grown;
        c->room = room;
    }
    c->rows.rows[c->rows.count++] = *row;
    return 0;
}

int ledger_collect(struct ledger *ledger, const struct ledger_query *query, struct ledger_rows *ret)
{
    struct collection c = {0};
    int r = ledger->ops->find(ledger, query, collect_row, &c);
    if (r != 0) {
        ledger_rows_clear(&c.rows);
        return r;
    }
    *ret = c.rows;
    return 0;
}

int ledger_facts(struct ledger *ledger, const char *subject, const char *profile, const char *key_sha256,
                 struct ledger_rows *ret)
{
    struct collection c = {0};
    int r = ledger->ops->facts(ledger, subject, profile, key_sha256, collect_row, &c);
    if (r != 0) {
        ledger_rows_clear(&c.rows);
        return r;
    }
    *ret = c.rows;
    return 0;
}

void ledger_rows_clear(struct ledger_rows *rows)
{
    free(rows->rows);
    *rows = (struct ledger_rows){0};
}

int ledger_row_get(struct ledger *ledger, int64_t id, struct ledger_certificate *ret)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    int r = ledger_collect(ledger, &(struct ledger_query){.id = id}, &rows);
    if (r < 0)
        return r;
    if (id == 0 || rows.count != 1)
        return pc_fail(PC_EFAIL, "ledger: no row %lld", (long long)id);
    *ret = rows.rows[0];
    return 0;
}
