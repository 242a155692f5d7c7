/* A ledger in a folder of its own, and rows to fill it with. */
#ifndef TESTS_UNIT_CA_FIXTURE_H
#define TESTS_UNIT_CA_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <sqlite3.h>

#include "src/ca/ledger.h"

#define UUID_A "a1b2c3d4-0000-0000-0000-000000000001"
#define UUID_B "a1b2c3d4-0000-0000-0000-000000000002"

struct fixture {
    char dir[64], path[96];
    const char
        *url; /* sqlite, or the address in PC_POSTGRES: that database's ledger is made anew for each test */
    struct ledger *ledger;
    sqlite3 *direct; /* the same file, without our code between; */
    PGconn *outside; /* or the same database */
    int64_t issuer;
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* 64 hex digits, all of them this one. */
const char *key_of(char digit);
/* A reservation, committed. Returns the row, or 0 when the ledger refused. */
int64_t reserve(struct fixture *f, const char *uuid, const char *profile, char key, const char *serial,
                int64_t predecessor);
int sign_row(struct fixture *f, int64_t id); /* to-be-signed bytes */
int issue_row(struct fixture *f, int64_t id);
/* reserve, sign, issue; asserts success. */
int64_t issued(struct fixture *f, const char *uuid, char key, const char *serial);
/* SQL from outside: 0, or SQLite's primary error code; PostgreSQL's refusals by a rule are SQLITE_CONSTRAINT.
 */
int direct(struct fixture *f, const char *sql);
int64_t number(struct fixture *f, const char *sql);
/* A step in a write transaction of its own. */
#define IN_TRANSACTION(f, call)                                                                              \
    __extension__({                                                                                          \
        assert_int_equal((f)->ledger->ops->begin((f)->ledger, true), 0);                                     \
        int step_ = (call);                                                                                  \
        if (step_ == 0)                                                                                      \
            step_ = (f)->ledger->ops->commit((f)->ledger);                                                   \
        else                                                                                                 \
            (f)->ledger->ops->rollback((f)->ledger);                                                         \
        step_;                                                                                               \
    })

#endif
