/* Making and removing the ledger that each test starts with. */
#include "tests/unit/ca/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/error.h"

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    strcpy(f->dir, "/tmp/plantcert-ledger.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/ledger.db", f->dir);
    f->url = getenv("PC_POSTGRES") ? getenv("PC_POSTGRES") : "sqlite";
    if (strcmp(f->url, "sqlite") != 0) {
        f->outside = PQconnectdb(f->url);
        assert_int_equal(direct(f, "SET client_min_messages = error; DROP SCHEMA IF EXISTS plantcert CASCADE;"
                                   "SET search_path = plantcert"),
                         0);
    }
    assert_int_equal(ledger_open(f->url, f->dir, LEDGER_CREATE, &f->ledger), 0);
    struct ledger_issuer plan = {.subject = "/CN=Test",
                                 .key_type = "ec:P-256",
                                 .key_label = "x",
                                 .token_serial = "1",
                                 .key_id = {.octets = {7}, .len = 20},
                                 .days = 10,
                                 .planned_at = 1};
    assert_int_equal(IN_TRANSACTION(f, f->ledger->ops->issuer_plan(f->ledger, &plan, &f->issuer)), 0);
    if (!f->outside)
        assert_int_equal(sqlite3_open(f->path, &f->direct), SQLITE_OK);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    static const char *const names[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-owners",
                                        "chain"};
    struct fixture *f = *state;
    sqlite3_close(f->direct);
    PQfinish(f->outside);
    ledger_close(f->ledger);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
        unlink(path);
    }
    int r = rmdir(f->dir);
    free(f);
    return r;
}

const char *key_of(char digit)
{
    static char keys[128][65];
    memset(keys[(int)digit], digit, 64);
    return keys[(int)digit];
}

int64_t reserve(struct fixture *f, const char *uuid, const char *profile, char key, const char *serial,
                int64_t predecessor)
{
    struct ledger_certificate row = {
        .issuer = f->issuer,
        .predecessor = predecessor,
        .record = {.not_before = 100, .not_after = 10000000000, .issued_at = 100}};
    int64_t id = 0;
    strcpy(row.record.cn, uuid);
    strcpy(row.record.profile, profile);
    strcpy(row.record.key_sha256, key_of(key));
    strcpy(row.record.serial, serial);
    return IN_TRANSACTION(f, f->ledger->ops->reserve(f->ledger, &row, &id)) == 0 ? id : 0;
}

int sign_row(struct fixture *f, int64_t id)
{
    struct pc_bytes tbs = {(unsigned char[]){'t', 'b', 's'}, 3};
    return IN_TRANSACTION(f, f->ledger->ops->signing(f->ledger, id, &tbs));
}

int issue_row(struct fixture *f, int64_t id)
{
    struct pc_bytes der = {(unsigned char[]){'d', 'e', 'r'}, 3};
    return IN_TRANSACTION(f, f->ledger->ops->issue(f->ledger, id, &der, key_of('e'), 200));
}

int64_t issued(struct fixture *f, const char *uuid, char key, const char *serial)
{
    int64_t id = reserve(f, uuid, "device", key, serial, 0);
    assert_true(id > 0);
    assert_int_equal(sign_row(f, id), 0);
    assert_int_equal(issue_row(f, id), 0);
    return id;
}

int direct(struct fixture *f, const char *sql)
{
    if (!f->outside)
        return sqlite3_exec(f->direct, sql, NULL, NULL, NULL) & 0xff;
    PGresult *result = PQexec(f->outside, sql);
    ExecStatusType status = PQresultStatus(result);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    int r = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0
            : state && strncmp(state, "23", 2) == 0                 ? SQLITE_CONSTRAINT
                                                                    : SQLITE_ERROR;
    PQclear(result);
    return r;
}

int64_t number(struct fixture *f, const char *sql)
{
    sqlite3_stmt *s = NULL;
    if (f->outside) {
        PGresult *result = PQexec(f->outside, sql);
        assert_int_equal(PQntuples(result), 1);
        int64_t told = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        PQclear(result);
        return told;
    }
    assert_int_equal(sqlite3_prepare_v2(f->direct, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t result = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return result;
}
