/* Approving and denying what waits, and seeing what there is. */
#include "src/ca/admit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"

/* The one key under an admission whose fingerprint begins so. */
struct search {
    const char *key_sha256;
    size_t len, found;
    struct ca_waiting row;
};

static int see_key(void *context, const struct ca_waiting *row)
{
    struct search *s = context;
    if (strncmp(row->key_sha256, s->key_sha256, s->len) != 0)
        return 0;
    s->found++;
    s->row = *row;
    return 0;
}

static int find_key(struct ca *ca, const struct ca_admission *a, const char *key_sha256,
                    struct ca_waiting *ret)
{
    struct search s = {.key_sha256 = key_sha256, .len = strlen(key_sha256)};
    if (s.len < CA_APPROVE_MIN)
        return pc_fail(PC_EUSAGE, "%s: a key is named by at least %d characters of its fingerprint",
                       key_sha256, CA_APPROVE_MIN);
    int r = a->id ? ca->ledger->ops->waiting_each(ca->ledger, a->id, 0, see_key, &s) : 0;
    if (r < 0)
        return r;
    if (s.found == 0)
        return pc_refuse("approve-unknown", "%s: no key %s asked for it", a->plant, key_sha256);
    if (s.found > 1)
        return pc_refuse("approve-ambiguous", "%s: the fingerprints of %zu keys begin with %s", a->plant,
                         s.found, key_sha256);
    *ret = s.row;
    return 0;
}

static int load_newest(struct ca *ca, const char *plant, struct ca_admission *ret)
{
    struct ledger_admission row;
    int r = ca->ledger->ops->admission_get(ca->ledger, plant, 0, &row);
    if (r < 0)
        return r;
    *ret = row.record;
    snprintf(ret->plant, sizeof ret->plant, "%s", plant);
    return 0;
}

static int settle(struct ca *ca, struct ca_waiting *w, const char *state)
{
    snprintf(w->state, sizeof w->state, "%s", state);
    w->decided_at = pc_now();
    audit_who(w->by);
    return ca->ledger->ops->waiting_step(ca->ledger, w);
}

static int approve(struct ca *ca, struct ca_admission *a, struct ca_waiting *w)
{
    char end[PC_TIME_TEXT];
    pc_time_format(a->expires_at, end);
    if (strcmp(w->state, "approved") == 0 && strcmp(a->state, "denied") != 0)
        return 0;
    if (strcmp(w->state, "denied") == 0 || strcmp(a->state, "denied") == 0)
        return pc_refuse("admission-denied", "%s: key %s was denied; allow the plant again", a->plant,
                         w->key_sha256);
    if (*a->key_sha256)
        return pc_refuse("admission-key", "%s: its admission is bound to key %s", a->plant, a->key_sha256);
    if (pc_now() >= a->expires_at)
        return pc_refuse("admission-expired", "%s: its admission expired %s; allow the plant again", a->plant,
                         end);
    memcpy(a->key_sha256, w->key_sha256, sizeof a->key_sha256);
    int r = admission_decide(ca, a, "open", "open",
                             &(struct audit_act){.act = "approve", .key_sha256 = w->key_sha256});
    return r < 0 ? r : settle(ca, w, "approved");
}

int ca_approve(struct ca *ca, const char *plant, const char *key_sha256, struct ca_waiting *ret)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ca_admission a;
    struct ca_waiting w;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = load_newest(ca, plant, &a);
    if (r == 0)
        r = find_key(ca, &a, key_sha256, &w);
    if (r == 0)
        r = approve(ca, &a, &w);
    if (r == 0)
        r = ca_commit(ca, &open);
    if (r == 0)
        *ret = w;
    return r;
}

struct denial {
    struct ca_waiting *rows; /* owned */
    size_t count;
};

static void denial_clear(struct denial *denial)
{
    free(denial->rows);
}

static int see_waiting(void *context, const struct ca_waiting *row)
{
    struct denial *d = context;
    if (strcmp(row->state, "waiting") != 0)
        return 0;
    struct ca_waiting *grown = reallocarray(d->rows, d->count + 1, sizeof *grown);
    if (!grown)
        return pc_fail(PC_EFAIL, "out of memory");
    d->rows = grown;
    d->rows[d->count++] = *row;
    return 0;
}

static int deny_all(struct ca *ca, struct ca_admission *a, const char *note, size_t *ret_count)
{
    struct denial PC_CLEANUP(denial_clear) d = {0};
    const char *from = strcmp(a->state, "used") == 0 ? "used" : "open";
    if (a->id == 0 || strcmp(a->state, "withdrawn") == 0)
        return pc_refuse("admission-none", "%s: there is no admission to deny", a->plant);
    *ret_count = 0;
    if (strcmp(a->state, "denied") == 0)
        return 0;
    int r = ca->ledger->ops->waiting_each(ca->ledger, a->id, 0, see_waiting, &d);
    for (size_t i = 0; r == 0 && i < d.count; i++)
        r = settle(ca, &d.rows[i], "denied");
    if (r == 0)
        r = admission_decide(ca, a, from, "denied",
                             &(struct audit_act){.act = "deny", .count = (int64_t)d.count, .note = note});
    *ret_count = d.count;
    return r;
}

static int deny_key(struct ca *ca, struct ca_admission *a, const char *key_sha256, const char *note,
                    size_t *ret_count)
{
    struct ca_waiting w;
    int r = find_key(ca, a, key_sha256, &w);
    if (r < 0)
        return r;
    if (strcmp(w.state, "approved") == 0)
        return deny_all(ca, a, note, ret_count);
    *ret_count = 0;
    if (strcmp(w.state, "denied") == 0)
        return 0;
    r = settle(ca, &w, "denied");
    *ret_count = 1;
    return r < 0 ? r
                 : ca_audit(ca, &(struct audit_act){.act = "deny",
                                                    .outcome = "done",
                                                    .admission = a->id,
                                                    .subject = a->plant,
                                                    .key_sha256 = w.key_sha256,
                                                    .note = note});
}

int ca_deny(struct ca *ca, const char *plant, const char *key_sha256, const char *note, size_t *ret_count)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ca_admission a;
    size_t count = 0;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = load_newest(ca, plant, &a);
    if (r == 0)
        r = key_sha256 ? deny_key(ca, &a, key_sha256, note, &count) : deny_all(ca, &a, note, &count);
    if (r == 0)
        r = ca_commit(ca, &open);
    if (r == 0)
        *ret_count = count;
    return r;
}

int ca_waiting_each(struct ca *ca, int (*row)(void *context, const struct ca_waiting *waiting), void *context)
{
    return ca->ledger->ops->waiting_each(ca->ledger, 0, pc_now(), row, context);
}

struct listing {
    int (*row)(void *context, const struct ca_admission *admission);
    void *context;
    int64_t now;
};

static int list_row(void *context, const struct ledger_admission *found)
{
    const struct listing *l = context;
    struct ca_admission a = found->record;
    if (strcmp(a.state, "open") == 0 && a.expires_at <= l->now)
        strcpy(a.state, "expired");
    return l->row(l->context, &a);
}

int ca_admission_each(struct ca *ca, const char *plant,
                      int (*row)(void *context, const struct ca_admission *admission), void *context)
{
    struct listing listing = {row, context, pc_now()};
    return ca->ledger->ops->admission_each(ca->ledger, plant, list_row, &listing);
}
