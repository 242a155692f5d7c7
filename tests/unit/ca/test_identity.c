/* The identity rules as a table: what is on record, what is asked, what must come of it. No database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/identity.h"

#define NOW INT64_C(1000000000)
#define WINDOW (60 * PC_DAY)
#define FAR (NOW + 700 * PC_DAY)
#define NEAR (NOW + 30 * PC_DAY)
#define OVER (NOW - 1)

/* A row on record in few words. `id` is its place in the table, from 1; the serial is "0<id>". */
struct row {
    enum ledger_state state;
    char key;
    int64_t ends;
    int reason;          /* of a revoked one */
    int predecessor;     /* id */
    int issuer;          /* 0: the one that signs now */
    int64_t reserved;    /* 0: just now */
    const char *profile; /* NULL: device */
};

struct asked {
    char key;
    bool renew, due, replace_any, names_differ, live;
    const char *replace, *key_subject;
    int revoke_old; /* 0: none asked */
};

enum { GIVE = IDENTITY_GIVE, FINISH = IDENTITY_FINISH, ISSUE = IDENTITY_ISSUE, REFUSED = 10, PENDING };

static const struct {
    const char *what;
    struct row rows[4];
    struct asked asked;
    int outcome;
    const char *name;     /* of the refusal */
    int row, predecessor; /* ids in the verdict */
} cases[] = {
#define CURRENT(k, end)                                                                                      \
    {                                                                                                        \
        .state = LEDGER_CURRENT, .key = (k), .ends = (end)                                                   \
    }
    {"a first request", {{0}}, {.key = 'a'}, ISSUE, NULL, 0, 0},
    {"asked again", {CURRENT('a', FAR)}, {.key = 'a'}, GIVE, NULL, 1, 0},
    {"asked again, last second before the window",
     {CURRENT('a', NOW + WINDOW)},
     {.key = 'a'},
     GIVE,
     NULL,
     1,
     0},
    {"first second of the window",
     {CURRENT('a', NOW + WINDOW - 1)},
     {.key = 'a'},
     REFUSED,
     "identity-window",
     0,
     0},
    {"inside the window", {CURRENT('a', NEAR)}, {.key = 'a'}, REFUSED, "identity-window", 0, 0},
    {"expired", {CURRENT('a', OVER)}, {.key = 'a'}, REFUSED, "identity-window", 0, 0},
    {"renewed inside the window", {CURRENT('a', NEAR)}, {.key = 'a', .renew = true}, ISSUE, NULL, 0, 1},
    {"renewed when expired", {CURRENT('a', OVER)}, {.key = 'a', .renew = true}, ISSUE, NULL, 0, 1},
    {"renewed too early", {CURRENT('a', FAR)}, {.key = 'a', .renew = true}, REFUSED, "identity-window", 0, 0},
    {"renewed, nothing on record", {{0}}, {.key = 'a', .renew = true}, ISSUE, NULL, 0, 0},
    {"renewed where due, inside the window",
     {CURRENT('a', NEAR)},
     {.key = 'a', .due = true},
     ISSUE,
     NULL,
     0,
     1},
    {"renewed where due, expired", {CURRENT('a', OVER)}, {.key = 'a', .due = true}, ISSUE, NULL, 0, 1},
    {"renewed where due, and it is not", {CURRENT('a', FAR)}, {.key = 'a', .due = true}, GIVE, NULL, 1, 0},
    {"renewed where due, nothing on record", {{0}}, {.key = 'a', .due = true}, ISSUE, NULL, 0, 0},
    {"renewed where due, by another key",
     {CURRENT('a', NEAR)},
     {.key = 'b', .due = true},
     REFUSED,
     "identity-current",
     0,
     0},
    {"renewed, old one revoked as superseded",
     {CURRENT('a', NEAR)},
     {.key = 'a', .renew = true, .revoke_old = 4},
     ISSUE,
     NULL,
     0,
     1},
    {"renewed, old one revoked as compromised",
     {CURRENT('a', NEAR)},
     {.key = 'a', .renew = true, .revoke_old = 1},
     REFUSED,
     "identity-revoked",
     0,
     0},
    {"another key", {CURRENT('a', FAR)}, {.key = 'b'}, REFUSED, "identity-current", 0, 0},
    {"another key, expired", {CURRENT('a', OVER)}, {.key = 'b'}, REFUSED, "identity-current", 0, 0},
    {"another key with --renew",
     {CURRENT('a', NEAR)},
     {.key = 'b', .renew = true},
     REFUSED,
     "identity-current",
     0,
     0},
    {"another key replaces", {CURRENT('a', FAR)}, {.key = 'b', .replace = "01"}, ISSUE, NULL, 0, 1},
    {"another key replaces, stolen",
     {CURRENT('a', FAR)},
     {.key = 'b', .replace = "01", .revoke_old = 1},
     ISSUE,
     NULL,
     0,
     1},
    {"replaces what is not current",
     {CURRENT('a', FAR)},
     {.key = 'b', .replace = "02"},
     REFUSED,
     "identity-replace",
     0,
     0},
    {"replaces where nothing is", {{0}}, {.key = 'b', .replace = "01"}, REFUSED, "identity-replace", 0, 0},
    {"replaces the superseded one",
     {{.state = LEDGER_SUPERSEDED, .key = 'a', .ends = FAR},
      {.state = LEDGER_CURRENT, .key = 'b', .ends = FAR, .predecessor = 1}},
     {.key = 'c', .replace = "01"},
     REFUSED,
     "identity-replace",
     0,
     0},
    {"the same replacement again",
     {{.state = LEDGER_SUPERSEDED, .key = 'a', .ends = FAR},
      {.state = LEDGER_CURRENT, .key = 'b', .ends = FAR, .predecessor = 1}},
     {.key = 'b', .replace = "01"},
     GIVE,
     NULL,
     2,
     0},
    {"replaces itself",
     {CURRENT('a', FAR)},
     {.key = 'a', .replace = "01"},
     REFUSED,
     "identity-replace",
     0,
     0},
    {"the replaced key comes back alone",
     {{.state = LEDGER_SUPERSEDED, .key = 'a', .ends = FAR},
      {.state = LEDGER_CURRENT, .key = 'b', .ends = FAR, .predecessor = 1}},
     {.key = 'a'},
     REFUSED,
     "identity-current",
     0,
     0},
    {"the replaced key comes back by order",
     {{.state = LEDGER_SUPERSEDED, .key = 'a', .ends = FAR},
      {.state = LEDGER_CURRENT, .key = 'b', .ends = FAR, .predecessor = 1}},
     {.key = 'a', .replace = "02"},
     ISSUE,
     NULL,
     0,
     2},
    {"the replaced key comes back after its overlap",
     {{.state = LEDGER_REVOKED, .key = 'a', .ends = FAR, .reason = 4},
      {.state = LEDGER_CURRENT, .key = 'b', .ends = FAR, .predecessor = 1}},
     {.key = 'a', .replace = "02"},
     REFUSED,
     "identity-revoked",
     0,
     0},
    {"a key of another plant", {{0}}, {.key = 'a', .key_subject = "other"}, REFUSED, "identity-key", 0, 0},
    {"a key of another plant with --replace",
     {CURRENT('b', FAR)},
     {.key = 'a', .key_subject = "other", .replace = "01"},
     REFUSED,
     "identity-key",
     0,
     0},
    {"a revoked key",
     {{.state = LEDGER_REVOKED, .key = 'a', .ends = FAR, .reason = 1}},
     {.key = 'a'},
     REFUSED,
     "identity-revoked",
     0,
     0},
    {"a revoked key with --renew",
     {{.state = LEDGER_REVOKED, .key = 'a', .ends = OVER, .reason = 0}},
     {.key = 'a', .renew = true},
     REFUSED,
     "identity-revoked",
     0,
     0},
    {"a key revoked as superseded",
     {{.state = LEDGER_REVOKED, .key = 'a', .ends = FAR, .reason = 4}},
     {.key = 'a'},
     REFUSED,
     "identity-revoked",
     0,
     0},
    {"a key revoked under another profile",
     {{.state = LEDGER_REVOKED, .key = 'a', .ends = FAR, .reason = 1, .profile = "server"}},
     {.key = 'a'},
     REFUSED,
     "identity-revoked",
     0,
     0},
    {"a renewed key whose first overlap is over",
     {{.state = LEDGER_REVOKED, .key = 'a', .ends = FAR, .reason = 4},
      {.state = LEDGER_CURRENT, .key = 'a', .ends = FAR, .predecessor = 1}},
     {.key = 'a'},
     GIVE,
     NULL,
     2,
     0},
    {"a renewed key of which an old certificate was revoked for cause",
     {{.state = LEDGER_REVOKED, .key = 'a', .ends = FAR, .reason = 1},
      {.state = LEDGER_CURRENT, .key = 'a', .ends = FAR, .predecessor = 1}},
     {.key = 'a'},
     REFUSED,
     "identity-revoked",
     0,
     0},
    {"another key after a revocation",
     {{.state = LEDGER_REVOKED, .key = 'a', .ends = FAR, .reason = 1}},
     {.key = 'b'},
     ISSUE,
     NULL,
     0,
     0},
    {"on hold",
     {{.state = LEDGER_HELD, .key = 'a', .ends = FAR}},
     {.key = 'a'},
     REFUSED,
     "identity-held",
     0,
     0},
    {"another key while on hold",
     {{.state = LEDGER_HELD, .key = 'a', .ends = FAR}},
     {.key = 'b'},
     REFUSED,
     "identity-held",
     0,
     0},
    {"the same key, another profile",
     {{.state = LEDGER_CURRENT, .key = 'a', .ends = FAR, .profile = "server"}},
     {.key = 'a'},
     ISSUE,
     NULL,
     0,
     0},
    {"of an earlier CA",
     {{.state = LEDGER_CURRENT, .key = 'a', .ends = FAR, .issuer = 9}},
     {.key = 'a'},
     REFUSED,
     "identity-window",
     0,
     0},
    /* Unfinished rows. */
    {"a live process signs",
     {{.state = LEDGER_SIGNING, .key = 'a', .ends = FAR}},
     {.key = 'a', .live = true},
     PENDING,
     NULL,
     0,
     0},
    {"a live process has reserved for another key",
     {{.state = LEDGER_RESERVED, .key = 'b', .ends = FAR}},
     {.key = 'a', .live = true},
     PENDING,
     NULL,
     0,
     0},
    {"a live process renews: the current one is given all the same",
     {CURRENT('a', FAR), {.state = LEDGER_SIGNING, .key = 'b', .ends = FAR, .predecessor = 1}},
     {.key = 'a', .live = true},
     GIVE,
     NULL,
     1,
     0},
    {"a dead one was signing",
     {{.state = LEDGER_SIGNING, .key = 'a', .ends = FAR}},
     {.key = 'a'},
     FINISH,
     NULL,
     1,
     0},
    {"a dead one had reserved",
     {{.state = LEDGER_RESERVED, .key = 'a', .ends = FAR}},
     {.key = 'a'},
     ISSUE,
     NULL,
     1,
     0},
    {"a dead one was signing for another key",
     {{.state = LEDGER_SIGNING, .key = 'b', .ends = FAR}},
     {.key = 'a'},
     ISSUE,
     NULL,
     1,
     0},
    {"a dead one was signing by another CA",
     {{.state = LEDGER_SIGNING, .key = 'a', .ends = FAR, .issuer = 9}},
     {.key = 'a'},
     ISSUE,
     NULL,
     1,
     0},
    {"a dead one was signing long ago",
     {{.state = LEDGER_SIGNING, .key = 'a', .ends = FAR, .reserved = NOW - 2 * PC_DAY}},
     {.key = 'a'},
     ISSUE,
     NULL,
     1,
     0},
    {"a dead one was replacing, asked likewise",
     {CURRENT('a', FAR), {.state = LEDGER_SIGNING, .key = 'b', .ends = FAR, .predecessor = 1}},
     {.key = 'b', .replace = "01"},
     FINISH,
     NULL,
     2,
     1},
    {"a dead one was replacing, asked without authority",
     {CURRENT('a', FAR), {.state = LEDGER_SIGNING, .key = 'b', .ends = FAR, .predecessor = 1}},
     {.key = 'b'},
     REFUSED,
     "identity-current",
     0,
     0},
    {"a dead one was replacing what is gone",
     {{.state = LEDGER_REVOKED, .key = 'a', .ends = FAR, .reason = 1},
      {.state = LEDGER_SIGNING, .key = 'b', .ends = FAR, .predecessor = 1}},
     {.key = 'b'},
     ISSUE,
     NULL,
     2,
     0},
    {"void rows do not count",
     {{.state = LEDGER_VOID, .key = 'a', .ends = FAR}},
     {.key = 'a'},
     ISSUE,
     NULL,
     0,
     0},
    /* The broker: whatever is current gives way. */
    {"broker again", {CURRENT('a', FAR)}, {.key = 'a', .replace_any = true}, GIVE, NULL, 1, 0},
    {"broker with another key", {CURRENT('a', FAR)}, {.key = 'b', .replace_any = true}, ISSUE, NULL, 0, 1},
    {"broker with other names",
     {CURRENT('a', FAR)},
     {.key = 'a', .replace_any = true, .names_differ = true},
     ISSUE,
     NULL,
     0,
     1},
    {"broker inside the window", {CURRENT('a', NEAR)}, {.key = 'a', .replace_any = true}, ISSUE, NULL, 0, 1},
    {"broker with a revoked key",
     {{.state = LEDGER_REVOKED, .key = 'a', .ends = FAR, .reason = 1}},
     {.key = 'a', .replace_any = true},
     REFUSED,
     "identity-revoked",
     0,
     0},
};

static void fill_row(const struct row *from, int id, struct ledger_certificate *to)
{
    *to = (struct ledger_certificate){.id = id,
                                      .issuer = from->issuer ? from->issuer : 1,
                                      .predecessor = from->predecessor,
                                      .state = from->state};
    snprintf(to->record.serial, sizeof to->record.serial, "0%d", id);
    strcpy(to->record.profile, from->profile ? from->profile : "device");
    strcpy(to->record.cn, "plant");
    to->record.key_sha256[0] = from->key;
    to->record.not_before = NOW - 3 * PC_DAY;
    to->record.not_after = from->ends;
    to->record.issued_at = from->reserved ? from->reserved : NOW;
    to->record.reason = from->state == LEDGER_REVOKED ? from->reason : -1;
}

static int judge(size_t i, struct ledger_certificate rows[4], struct identity_verdict *verdict)
{
    const struct asked *asked = &cases[i].asked;
    const char key[2] = {asked->key, '\0'};
    size_t count = 0;
    while (count < 4 && cases[i].rows[count].key) {
        fill_row(&cases[i].rows[count], (int)count + 1, &rows[count]);
        count++;
    }
    const struct identity_request request = {
        .profile = "device",
        .subject = "plant",
        .key_sha256 = key,
        .issuer = 1,
        .renew = asked->renew,
        .renew_due = asked->due,
        .replace = asked->replace,
        .replace_any = asked->replace_any,
        .names_differ = asked->names_differ,
        .revoke_old = asked->revoke_old ? asked->revoke_old : -1,
        .now = NOW,
        .renew_window = WINDOW,
    };
    const struct identity_facts facts = {
        .rows = rows,
        .count = count,
        .key_subject = asked->key_subject ? asked->key_subject : "",
        .unfinished_live = asked->live,
    };
    return identity_judge(&request, &facts, verdict);
}

static void table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ledger_certificate rows[4];
        struct identity_verdict verdict = {0};
        int r = judge(i, rows, &verdict);
        int outcome = r == PC_EREFUSED ? REFUSED : r == PC_EPENDING ? PENDING : (int)verdict.act;
        if (outcome != cases[i].outcome)
            print_message("# %s: %d, %s\n", cases[i].what, r, r ? pc_error_text() : "");
        assert_int_equal(outcome, cases[i].outcome);
        if (r == PC_EREFUSED) {
            if (strcmp(pc_error_name(), cases[i].name) != 0)
                print_message("# %s: %s\n", cases[i].what, pc_error_text());
            assert_string_equal(pc_error_name(), cases[i].name);
        }
        if (r == 0) {
            if ((verdict.row ? verdict.row->id : 0) != cases[i].row)
                print_message("# %s\n", cases[i].what);
            assert_int_equal(verdict.row ? verdict.row->id : 0, cases[i].row);
            assert_int_equal(verdict.predecessor ? verdict.predecessor->id : 0, cases[i].predecessor);
        }
    }
}

/* Whatever is on record and whatever is asked: a revoked key never gets anything. */
static void revoked_keys_get_nothing(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 64; bits++) {
        struct ledger_certificate rows[2];
        fill_row(&(struct row){.state = LEDGER_REVOKED, .key = 'a', .ends = FAR, .reason = 1}, 1, &rows[0]);
        fill_row(&(struct row){.state = LEDGER_CURRENT,
                               .key = bits & 1 ? 'a' : 'b',
                               .ends = bits & 2 ? FAR : NEAR},
                 2, &rows[1]);
        const struct identity_request request = {
            .profile = "device",
            .subject = "plant",
            .key_sha256 = "a",
            .issuer = 1,
            .renew = bits & 4,
            .replace = bits & 8 ? "02" : NULL,
            .replace_any = bits & 16,
            .renew_due = bits & 32,
            .revoke_old = -1,
            .now = NOW,
            .renew_window = WINDOW,
        };
        const struct identity_facts facts = {.rows = rows, .count = 2, .key_subject = "plant"};
        struct identity_verdict verdict;
        assert_int_equal(identity_judge(&request, &facts, &verdict), PC_EREFUSED);
        assert_string_equal(pc_error_name(), "identity-revoked");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(revoked_keys_get_nothing),
    };
    return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
