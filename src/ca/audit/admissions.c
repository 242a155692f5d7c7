/* Admissions, and keys that wait, against what the chains tell of them. Stations share admissions, and each
 * writes a chain of its own, so that the acts about one are a set here, without an order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/ca/audit/verify.h"

enum act { ALLOW = 1, WITHDRAW = 2, WAIT = 4, APPROVE = 8, BIND = 16, ADMIT = 32, DENY = 64, DENY_ALL = 128 };

static const struct {
    const char *name;
    enum act act;
} acts[] = {
    {"allow", ALLOW}, {"withdraw", WITHDRAW}, {"wait", WAIT}, {"approve", APPROVE},
    {"bind", BIND},   {"admit", ADMIT},       {"deny", DENY},
};

int verify_admissions_keep(struct verification *v, const struct audit_line *line)
{
    struct told_admission told = {.admission = line->admission, .seq = line->seq, .until = line->until};
    size_t i = 0;
    while (i < sizeof acts / sizeof *acts && strcmp(acts[i].name, line->act) != 0)
        i++;
    if (i == sizeof acts / sizeof *acts || strcmp(line->outcome, "done") != 0)
        return 0;
    told.act = acts[i].act == DENY && !*line->key_sha256 ? DENY_ALL : acts[i].act;
    memcpy(told.key_sha256, line->key_sha256, sizeof told.key_sha256);
    memcpy(told.proof, line->proof, sizeof told.proof);
    snprintf(told.plant, sizeof told.plant, "%s", line->subject);
    return list_add(&v->admissions, &told, sizeof told);
}

static int by_admission(const void *a, const void *b)
{
    const struct told_admission *left = a, *right = b;
    return (left->admission > right->admission) - (left->admission < right->admission);
}

/* What is told of one admission. */
struct story {
    struct verification *v;
    struct told_admission *told;
    size_t count;
    unsigned acts;
};

static struct story story_of(struct verification *v, int64_t admission)
{
    struct told_admission *told = v->admissions.rows;
    struct story s = {.v = v};
    size_t low = 0, high = v->admissions.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (told[middle].admission < admission)
            low = middle + 1;
        else
            high = middle;
    }
    for (s.told = told + low; low < v->admissions.count && told[low].admission == admission; low++) {
        s.count++;
        s.acts |= told[low].act;
    }
    return s;
}

/* Meets the acts of these kinds about a key (NULL: whatever it says of one). */
static bool meet(const struct story *s, unsigned kinds, const char *key_sha256)
{
    bool found = false;
    for (size_t i = 0; i < s->count; i++)
        if ((s->told[i].act & kinds) && (!key_sha256 || strcmp(s->told[i].key_sha256, key_sha256) == 0))
            s->told[i].met = found = true;
    return found;
}

static void fault(const struct story *s, const char *rule, const struct ca_admission *a, const char *what)
{
    verify_fault(s->v, rule, "admission %lld (%s, %s) %s", (long long)a->id, a->plant, a->state, what);
}

static const char *state_of(unsigned told)
{
    return told & DENY_ALL ? "denied" : told & WITHDRAW ? "withdrawn" : told & ADMIT ? "used" : "open";
}

static void compare(const struct story *s, const struct ca_admission *a)
{
    const char *proof = a->kind == CA_ADMIT_CODE ? "code" : "pending";
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->told[i].plant, a->plant) != 0 ||
            (s->told[i].act == ALLOW &&
             (s->told[i].until != a->expires_at || strcmp(s->told[i].proof, proof) != 0)))
            fault(s, "admission-differs", a, "is told of otherwise by the audit log");
}

struct keys {
    const struct story *s;
    const struct ca_admission *a;
};

static int meet_waiting(void *context, const struct ca_waiting *w)
{
    const struct keys *k = context;
    bool denied = strcmp(w->state, "denied") == 0, approved = strcmp(w->state, "approved") == 0;
    char text[128];
    snprintf(text, sizeof text, "has key %s that is %s, with no audit row", w->key_sha256, w->state);
    if (!meet(k->s, WAIT, w->key_sha256))
        fault(k->s, "waiting-untold", k->a, text);
    if (meet(k->s, APPROVE, w->key_sha256) != approved)
        fault(k->s, "approval-untold", k->a, text);
    if (meet(k->s, DENY, w->key_sha256) ? !denied : denied && !(k->s->acts & DENY_ALL))
        fault(k->s, "denial-untold", k->a, text);
    return 0;
}

static int meet_admission(void *context, const struct ledger_admission *row)
{
    struct verification *v = context;
    const struct ca_admission *a = &row->record;
    struct story s = story_of(v, a->id);
    struct keys keys = {&s, a};
    meet(&s, ALLOW | WITHDRAW | DENY_ALL, NULL);
    if (!(s.acts & ALLOW))
        fault(&s, "admission-untold", a, "has no audit row");
    if (strcmp(state_of(s.acts), a->state) != 0)
        fault(&s, "admission-state", a, "is in another state by the audit log");
    if (*a->key_sha256 && !meet(&s, a->kind == CA_ADMIT_CODE ? BIND : APPROVE, a->key_sha256))
        fault(&s, "admission-key", a, "is bound to a key without an audit row");
    if (*a->key_sha256)
        meet(&s, ADMIT, a->key_sha256);
    compare(&s, a);
    return v->ca->ledger->ops->waiting_each(v->ca->ledger, a->id, 0, meet_waiting, &keys);
}

int verify_admissions(struct verification *v)
{
    const struct told_admission *told = v->admissions.rows;
    if (v->admissions.count)
        qsort(v->admissions.rows, v->admissions.count, sizeof *told, by_admission);
    int r = v->ca->ledger->ops->admission_each(v->ca->ledger, NULL, meet_admission, v);
    for (size_t i = 0; r == 0 && i < v->admissions.count; i++)
        if (!told[i].met)
            verify_fault(v, "admission-missing",
                         "audit row %lld tells of admission %lld (%s), which is not on record so",
                         (long long)told[i].seq, (long long)told[i].admission, told[i].plant);
    return r;
}
