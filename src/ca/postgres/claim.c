/* What a station takes for itself while others work beside it: its life as an owner of unfinished rows, a
 * subject and a key for a transaction, a turn that outlasts one. All of them are advisory locks, which end
 * with the session. */
#include "src/ca/postgres/postgres.h"

#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/random.h"

#define TURN_WAIT 30000 /* ms */

/* A lock has one number: an owner's is odd, a claim's is even. */
static int64_t claim_of(const char *sha256)
{
    unsigned char octets[8];
    size_t len = 0;
    uint64_t number = 0;
    char text[17];
    snprintf(text, sizeof text, "%.16s", sha256);
    if (pc_unhex(text, octets, sizeof octets, &len) == 0)
        for (size_t i = 0; i < len; i++)
            number = number << 8 | octets[i];
    return (int64_t)(number >> 2 << 1);
}

static int claim_text(const char *kind, const char *name, int64_t *ret)
{
    char text[300], sha256[PKI_FINGERPRINT_TEXT];
    int len = snprintf(text, sizeof text, "%s %s", kind, name);
    int r = pki_digest_hex(text, len < (int)sizeof text ? (size_t)len : sizeof text - 1, sha256);
    if (r == 0)
        *ret = claim_of(sha256);
    return r;
}

/* Nobody waits for a claim, so that two who want the same ones in another order do not wait for each other.
 */
static int ask(struct pg *pg, struct pg_claim *claim)
{
    return pg_ask(pg, "taking a subject", &claim->taken,
                  "SELECT pg_try_advisory_xact_lock($1) AND pg_try_advisory_xact_lock($2)", "ii",
                  claim->first, claim->second);
}

int pg_claim_told(const struct pg_claim *claim)
{
    if (pg_flag(claim->taken, 0, 0))
        return 0;
    return pc_fail_named(PC_EPENDING, "ledger-claimed",
                         "%s: another station is at it, or at this key; try again", claim->name);
}

void pg_claim_done(struct pg_claim *claim)
{
    PQclear(claim->taken);
}

int pg_claim_ask(struct pg *pg, const char *subject, const char *profile, const char *key_sha256,
                 struct pg_claim *ret)
{
    ret->name = subject;
    ret->second = claim_of(key_sha256);
    int r = claim_text(profile, subject, &ret->first);
    return r < 0 ? r : ask(pg, ret);
}

int pg_claim_subject(struct ledger *ledger, const char *profile, const char *subject)
{
    struct pg *pg = (struct pg *)ledger;
    struct pg_claim PC_CLEANUP(pg_claim_done) claim = {.name = subject};
    PGresult *admission PC_CLEANUP(pg_done) = NULL;
    int r = pg->shared ? claim_text(profile ? profile : "admission", subject, &claim.first) : 0;
    if (r < 0 || !pg->shared)
        return r;
    claim.second = claim.first;
    r = ask(pg, &claim);
    if (r == 0 && !profile)
        r = pg_admission_ask(pg, subject, &admission);
    int settled = pg_settle(pg);
    if (r == 0)
        r = settled;
    if (r == 0)
        r = pg_claim_told(&claim);
    if (r == 0 && !profile)
        pg_admission_keep(pg, admission);
    return r;
}

static int take_self(struct pg *pg)
{
    PGresult *taken PC_CLEANUP(pg_done) = NULL;
    uint64_t random = 0;
    if (pg->self != 0)
        return 0;
    int r = pc_random(&random, sizeof random);
    int64_t self = (int64_t)(random >> 2) | 1;
    if (r == 0)
        r = pg_query(pg, "taking a name", &taken, "SELECT pg_try_advisory_lock($1)", "i", self);
    if (r < 0)
        return r;
    if (!pg_flag(taken, 0, 0))
        return pc_fail(PC_EFAIL, "ledger %s: the lock of a new owner is taken", pg->name);
    pg->self = self;
    return 0;
}

int64_t pg_self(struct ledger *ledger)
{
    struct pg *pg = (struct pg *)ledger;
    return take_self(pg) == 0 ? pg->self : 0;
}

/* An owner who is gone has no lock: then it can be had, for a moment. */
int pg_owner_lives(struct ledger *ledger, int64_t owner, bool *ret)
{
    struct pg *pg = (struct pg *)ledger;
    PGresult *free_lock PC_CLEANUP(pg_done) = NULL;
    if (owner == 0 || owner == pg->self) {
        *ret = owner != 0;
        return 0;
    }
    int r = pg_query(pg, "looking for an owner", &free_lock, "SELECT pg_try_advisory_xact_lock_shared($1)",
                     "i", owner);
    if (r == 0)
        *ret = !pg_flag(free_lock, 0, 0);
    return r;
}

int pg_turn(struct ledger *ledger, enum ledger_turn turn, bool take)
{
    struct pg *pg = (struct pg *)ledger;
    char script[160];
    if (take)
        snprintf(script, sizeof script, "SET lock_timeout = %d; SELECT pg_advisory_lock(1885555761, %d)",
                 TURN_WAIT, 2 + (int)turn);
    else
        snprintf(script, sizeof script, "SELECT pg_advisory_unlock(1885555761, %d)", 2 + (int)turn);
    return pg_script(pg, "waiting for its other stations", script);
}
