/* Handing checkpoints to somewhere off the host. */
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/run.h"
#include "src/base/time.h"
#include "src/ca/audit/checkpoint.h"

#define SHIP_TIMEOUT 60 /* seconds */
#define SHIP_TIMEOUT_LASTING                                                                                 \
    5 /* where requests wait meanwhile: what is not handed over goes with the next                           \
       */

/* What is to be handed over, and which rows that are. */
struct shipment {
    struct pc_bytes text;
    int64_t *ids;
    size_t count, room;
};

static void shipment_clear(struct shipment *shipment)
{
    pc_bytes_clear(&shipment->text);
    free(shipment->ids);
}

static int add(void *context, const struct ledger_checkpoint *checkpoint)
{
    struct shipment *s = context;
    struct checkpoint_statement statement PC_CLEANUP(checkpoint_statement_clear) = {0};
    if (checkpoint->shipped_at)
        return 0;
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 8;
        int64_t *grown = reallocarray(s->ids, room, sizeof *grown);
        if (!grown)
            return pc_fail(PC_EFAIL, "out of memory");
        s->ids = grown;
        s->room = room;
    }
    int r = checkpoint_statement_parse(&checkpoint->statement, &statement);
    if (r == 0)
        r = checkpoint_text_append(&statement, &checkpoint->statement, &checkpoint->cms, &s->text);
    if (r == 0)
        s->ids[s->count++] = checkpoint->id;
    return r;
}

static int mark(struct ca *ca, const struct shipment *shipment)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin(ca, &open);
    for (size_t i = 0; r == 0 && i < shipment->count; i++)
        r = ca->ledger->ops->checkpoint_shipped(ca->ledger, shipment->ids[i], pc_now());
    return r < 0 ? r : ca_commit(ca, &open);
}

int checkpoint_ship(struct ca *ca, const char *command, size_t *ret_shipped)
{
    struct shipment PC_CLEANUP(shipment_clear) shipment = {0};
    int r = ca->ledger->ops->checkpoint_each(ca->ledger, false, add, &shipment);
    if (r == 0 && shipment.count)
        r = pc_run("ship", command, &shipment.text, ca->lasting ? SHIP_TIMEOUT_LASTING : SHIP_TIMEOUT);
    if (r == 0 && shipment.count)
        r = mark(ca, &shipment);
    if (r == 0)
        *ret_shipped = shipment.count;
    return r;
}
