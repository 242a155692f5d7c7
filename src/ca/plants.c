/* Plants as operators see them: put together from admissions, certificates and keys that wait. */
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/ca/admission.h"
#include "src/ca/internal.h"

/* One row of any of the three; sorted by plant, those of one plant are joined in the order in which they were
 * read. */
struct part {
    struct ca_plant plant;
    size_t at;
};
struct gathering {
    struct part *parts; /* owned */
    size_t count, room;
    const char *plant; /* NULL: all */
};

static void gathering_clear(struct gathering *g)
{
    free(g->parts);
}

static int add(struct gathering *g, const struct ca_plant *plant)
{
    if (g->plant && strcmp(g->plant, plant->plant) != 0)
        return 0;
    if (g->count == g->room) {
        size_t room = g->room ? 2 * g->room : 64;
        struct part *grown = reallocarray(g->parts, room, sizeof *grown);
        if (!grown)
            return pc_fail(PC_EFAIL, "out of memory");
        g->parts = grown;
        g->room = room;
    }
    g->parts[g->count] = (struct part){.plant = *plant, .at = g->count};
    g->count++;
    return 0;
}

static int add_admission(void *context, const struct ca_admission *a)
{
    struct ca_plant plant = {
        .kind = a->kind, .bound = *a->key_sha256 != '\0', .admitted_until = a->expires_at};
    memcpy(plant.plant, a->plant, sizeof plant.plant);
    memcpy(plant.admission, a->state, sizeof plant.admission);
    memcpy(plant.by, a->by, sizeof plant.by);
    return add(context, &plant);
}

static int add_waiting(void *context, const struct ca_waiting *w)
{
    struct ca_plant plant = {.waiting = 1};
    memcpy(plant.plant, w->plant, sizeof plant.plant);
    return add(context, &plant);
}

static int add_certificate(void *context, const struct ledger_certificate *row)
{
    struct ca_plant plant = {.held = row->state == LEDGER_HELD, .not_after = row->record.not_after};
    if (!pki_uuid_is_canonical(row->record.cn))
        return 0;
    memcpy(plant.plant, row->record.cn, sizeof plant.plant);
    memcpy(plant.serial, row->record.serial, sizeof plant.serial);
    return add(context, &plant);
}

static int compare(const void *a, const void *b)
{
    const struct part *left = a, *right = b;
    int order = strcmp(left->plant.plant, right->plant.plant);
    return order ? order : (left->at > right->at) - (left->at < right->at);
}

static void join(struct ca_plant *whole, const struct ca_plant *part)
{
    whole->waiting += part->waiting;
    if (*part->serial) {
        memcpy(whole->serial, part->serial, sizeof whole->serial);
        whole->held = part->held;
        whole->not_after = part->not_after;
    }
    if (*part->admission) {
        memcpy(whole->admission, part->admission, sizeof whole->admission);
        memcpy(whole->by, part->by, sizeof whole->by);
        whole->kind = part->kind;
        whole->bound = part->bound;
        whole->admitted_until = part->admitted_until;
    }
}

static int tell(struct gathering *g, int (*row)(void *context, const struct ca_plant *plant), void *context)
{
    int r = 0;
    if (g->count)
        qsort(g->parts, g->count, sizeof *g->parts, compare);
    for (size_t i = 0; r == 0 && i < g->count;) {
        struct ca_plant whole = {0};
        memcpy(whole.plant, g->parts[i].plant.plant, sizeof whole.plant);
        for (; i < g->count && strcmp(g->parts[i].plant.plant, whole.plant) == 0; i++)
            join(&whole, &g->parts[i].plant);
        r = row(context, &whole);
    }
    return r;
}

static int gather(struct ca *ca, const char *plant, struct gathering *g)
{
    const struct ledger_query query = {.subject = plant,
                                       .profile = pki_profile_device.name,
                                       .issuer = ca->issuer.id,
                                       .states = LEDGER_BIT(LEDGER_CURRENT) | LEDGER_BIT(LEDGER_HELD)};
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca->ledger->ops->begin(ca->ledger, false);
    if (r < 0)
        return r;
    open = ca->ledger;
    r = ca_admission_each(ca, plant, add_admission, g);
    if (r == 0)
        r = ca->ledger->ops->find(ca->ledger, &query, add_certificate, g);
    return r < 0 ? r : ca_waiting_each(ca, add_waiting, g);
}

int ca_plants_each(struct ca *ca, const char *plant, int (*row)(void *context, const struct ca_plant *plant),
                   void *context)
{
    struct gathering PC_CLEANUP(gathering_clear) g = {.plant = plant};
    int r = gather(ca, plant, &g);
    return r < 0 ? r : tell(&g, row, context);
}
