/* Admissions on record, and the keys that wait under them. */
#include "src/ca/postgres/postgres.h"

#include <string.h>

#include "src/base/error.h"

static const char *const proofs[] = {[CA_ADMIT_CODE] = "code", [CA_ADMIT_PENDING] = "pending"};

int pg_admission_add(struct ledger *ledger, const struct ledger_admission *row, int64_t *ret_id)
{
    const struct ca_admission *a = &row->record;
    ((struct pg *)ledger)->admission.record.id = 0;
    /* NULL where nothing is revoked: 0 is a reason, too. */
    return pg_insert((struct pg *)ledger, "admitting", ret_id,
                     "INSERT INTO admission (plant, proof, state, code, replaces, revoke_old, made_at,"
                     " expires_at, made_by, note)"
                     " VALUES ($1, $2, 'open', $3, $4, nullif($5, -1), $6, $7, $8, nullif($9, ''))"
                     " RETURNING id",
                     "tthhiiitt", a->plant, proofs[a->kind], row->code_sha256, a->replace,
                     (int64_t)a->revoke_old, a->made_at, a->expires_at, a->by, a->note);
}

int pg_admission_step(struct ledger *ledger, const struct ca_admission *row, const char *from)
{
    struct pg *pg = (struct pg *)ledger;
    pg->admission.record.id = 0;
    return pg_change(pg, "deciding on an admission",
                     "UPDATE admission SET state = $1, key = $2, decided_at = $3"
                     " WHERE id = $4 AND state = $5 AND (key IS NULL OR key = $2)",
                     "thoit", row->state, row->key_sha256, row->decided_at, row->id, from);
}

#define ADMISSION_COLUMNS                                                                                    \
    "id, proof, state, code, key, replaces, coalesce(revoke_old, -1), made_at, expires_at, decided_at,"      \
    " plant, made_by, note"

static void read_admission(const PGresult *s, int i, struct ledger_admission *ret)
{
    struct ledger_admission row = {.record = {
                                       .id = pg_number(s, i, 0),
                                       .revoke_old = (int)pg_number(s, i, 6),
                                       .made_at = pg_number(s, i, 7),
                                       .expires_at = pg_number(s, i, 8),
                                       .decided_at = pg_number(s, i, 9),
                                   }};
    char proof[8];
    pg_text(s, i, 1, proof, sizeof proof);
    row.record.kind = strcmp(proof, proofs[CA_ADMIT_CODE]) == 0 ? CA_ADMIT_CODE : CA_ADMIT_PENDING;
    pg_text(s, i, 2, row.record.state, sizeof row.record.state);
    pg_hex(s, i, 3, row.code_sha256, sizeof row.code_sha256);
    pg_hex(s, i, 4, row.record.key_sha256, sizeof row.record.key_sha256);
    pg_hex(s, i, 5, row.record.replace, sizeof row.record.replace);
    pg_text(s, i, 10, row.record.plant, sizeof row.record.plant);
    pg_text(s, i, 11, row.record.by, sizeof row.record.by);
    pg_text(s, i, 12, row.record.note, sizeof row.record.note);
    *ret = row;
}

#define NEWEST_OF_PLANT                                                                                      \
    "SELECT " ADMISSION_COLUMNS " FROM admission WHERE plant = $1 ORDER BY id DESC LIMIT 1"

/* Of a plant that is claimed by now, its newest admission stays what it is: it is asked for along with the
 * claim. */
int pg_admission_ask(struct pg *pg, const char *plant, PGresult **ret)
{
    return pg_ask(pg, "looking for an admission", ret, NEWEST_OF_PLANT, "t", plant);
}

void pg_admission_keep(struct pg *pg, const PGresult *found)
{
    pg->admission.record.id = 0;
    if (PQntuples(found) > 0)
        read_admission(found, 0, &pg->admission);
}

static bool is_kept(const struct pg *pg, const char *plant, int64_t id)
{
    const struct ca_admission *kept = &pg->admission.record;
    return kept->id != 0 && (plant ? strcmp(plant, kept->plant) == 0 : id == kept->id);
}

int pg_admission_get(struct ledger *ledger, const char *plant, int64_t id, struct ledger_admission *ret)
{
    static const char what[] = "looking for an admission";
    struct pg *pg = (struct pg *)ledger;
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    if (is_kept(pg, plant, id)) {
        *ret = pg->admission;
        return 0;
    }
    int r = plant ? pg_query(pg, what, &found, NEWEST_OF_PLANT, "t", plant)
                  : pg_query(pg, what, &found, "SELECT " ADMISSION_COLUMNS " FROM admission WHERE id = $1",
                             "i", id);
    if (r < 0)
        return r;
    if (PQntuples(found) > 0)
        read_admission(found, 0, ret);
    else
        *ret = (struct ledger_admission){0};
    return 0;
}

int pg_admission_each(struct ledger *ledger, const char *plant, ledger_admission_row *row, void *context)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query((struct pg *)ledger, "reading admissions", &found,
                     "SELECT " ADMISSION_COLUMNS " FROM admission WHERE plant = $1 OR $1 IS NULL ORDER BY id",
                     "t", plant);
    for (int i = 0; r == 0 && i < PQntuples(found); i++) {
        struct ledger_admission admission;
        read_admission(found, i, &admission);
        r = row(context, &admission);
    }
    return r;
}

int pg_waiting_add(struct ledger *ledger, const struct ca_waiting *row)
{
    return pg_change((struct pg *)ledger, "recording who waits",
                     "INSERT INTO waiting (admission, key, key_type, address, state, first_at, last_at,"
                     " times) VALUES ($1, $2, $3, $4, 'waiting', $5, $5, 1)",
                     "ihtti", row->admission, row->key_sha256, row->key_type, row->from, row->first_at);
}

int pg_waiting_step(struct ledger *ledger, const struct ca_waiting *row)
{
    return pg_change((struct pg *)ledger, "deciding on a key that waits",
                     "UPDATE waiting SET state = $1, address = $2, last_at = $3, times = $4,"
                     " decided_at = $5, decided_by = nullif($6, '') WHERE id = $7 AND state = 'waiting'",
                     "ttiioti", row->state, row->from, row->last_at, row->times, row->decided_at, row->by,
                     row->id);
}

#define WAITING_COLUMNS                                                                                      \
    "w.id, w.admission, w.first_at, w.last_at, w.times, w.decided_at, a.plant, w.key, w.key_type,"           \
    " w.address, w.state, w.decided_by"

static void read_waiting(const PGresult *s, int i, struct ca_waiting *ret)
{
    struct ca_waiting row = {
        .id = pg_number(s, i, 0),
        .admission = pg_number(s, i, 1),
        .first_at = pg_number(s, i, 2),
        .last_at = pg_number(s, i, 3),
        .times = pg_number(s, i, 4),
        .decided_at = pg_number(s, i, 5),
    };
    pg_text(s, i, 6, row.plant, sizeof row.plant);
    pg_hex(s, i, 7, row.key_sha256, sizeof row.key_sha256);
    pg_text(s, i, 8, row.key_type, sizeof row.key_type);
    pg_text(s, i, 9, row.from, sizeof row.from);
    pg_text(s, i, 10, row.state, sizeof row.state);
    pg_text(s, i, 11, row.by, sizeof row.by);
    *ret = row;
}

int pg_waiting_each(struct ledger *ledger, int64_t admission, int64_t now, ledger_waiting_row *row,
                    void *context)
{
    struct pg *pg = (struct pg *)ledger;
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = admission ? pg_query(pg, "reading who waits", &found,
                                 "SELECT " WAITING_COLUMNS " FROM waiting w JOIN admission a"
                                 " ON a.id = w.admission WHERE w.admission = $1 ORDER BY w.id",
                                 "i", admission)
                      : pg_query(pg, "reading who waits", &found,
                                 "SELECT " WAITING_COLUMNS " FROM admission a JOIN waiting w"
                                 " ON w.admission = a.id WHERE a.state = 'open' AND a.expires_at > $1"
                                 " AND a.key IS NULL AND w.state = 'waiting' ORDER BY w.id",
                                 "i", now);
    for (int i = 0; r == 0 && i < PQntuples(found); i++) {
        struct ca_waiting waiting;
        read_waiting(found, i, &waiting);
        r = row(context, &waiting);
    }
    return r;
}
