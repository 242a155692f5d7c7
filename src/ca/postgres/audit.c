/* Audit rows and checkpoints on record: one chain a station, named by a file in its state folder. */
#include "src/ca/postgres/postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/random.h"
#include "src/base/time.h"

#define CHAIN_LEN 32

static int take_name(struct pg *pg, const struct pc_bytes *file)
{
    if (file->len != CHAIN_LEN + 1 || file->data[CHAIN_LEN] != '\n' ||
        strspn((const char *)file->data, "0123456789abcdef") != CHAIN_LEN)
        return pc_refuse("chain-name", "%s: does not name an audit chain", pg->chain_path);
    memcpy(pg->chain, file->data, CHAIN_LEN);
    return 0;
}

/* "" where this station has written nothing yet. */
static int read_chain(struct pg *pg)
{
    pc_autobytes file = {0};
    if (*pg->chain || !pc_file_exists(pg->chain_path))
        return 0;
    int r = pc_file_read(pg->chain_path, 64, &file);
    return r < 0 ? r : take_name(pg, &file);
}

/* Another process of this station may be at it: the file that was first counts. */
static int make_chain(struct pg *pg)
{
    unsigned char random[CHAIN_LEN / 2];
    char name[CHAIN_LEN + 2];
    int r = pc_random(random, sizeof random);
    if (r < 0)
        return r;
    pc_hex(random, sizeof random, name);
    memcpy(name + CHAIN_LEN, "\n", 2);
    r = pc_file_write(pg->chain_path, name, CHAIN_LEN + 1,
                      &(struct pc_file_options){.mode = 0600, .fresh = true});
    if (r < 0 && strcmp(pc_error_name(), "file-exists") != 0)
        return r;
    return read_chain(pg);
}

static int ask_head(struct pg *pg, PGresult **ret)
{
    return pg_ask(pg, "reading the audit chain", ret,
                  "SELECT seq, sha256 FROM audit WHERE chain = $1 ORDER BY seq DESC LIMIT 1", "t", pg->chain);
}

/* The chain's row stands for its head: whoever holds it appends, until its transaction ends. */
static int lock_head(struct pg *pg, PGresult **ret)
{
    PGresult *held PC_CLEANUP(pg_done) = NULL;
    char host[256] = "";
    int r = *pg->chain ? 0 : make_chain(pg);
    if (r == 0)
        r = pg_ask(pg, "waiting for the audit chain", &held, "SELECT 1 FROM chain WHERE id = $1 FOR UPDATE",
                   "t", pg->chain);
    if (r == 0)
        r = ask_head(pg, ret);
    int settled = pg_settle(pg);
    if (r == 0)
        r = settled;
    if (r < 0 || PQntuples(held) > 0)
        return r;
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    return pg_run(pg, "beginning an audit chain",
                  "INSERT INTO chain (id, host, made_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
                  "tti", pg->chain, host, pc_now());
}

/* Nobody else appends to our chain while our write transaction lasts: its head is read once. */
int pg_audit_head(struct ledger *ledger, struct ledger_audit *ret)
{
    struct pg *pg = (struct pg *)ledger;
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    struct ledger_audit head = {.seq = 0};
    if (pg->head_known) {
        *ret = pg->head;
        return 0;
    }
    int r = read_chain(pg);
    if (r == 0)
        r = pg->writing ? lock_head(pg, &found) : ask_head(pg, &found);
    int settled = pg_settle(pg);
    if (r == 0)
        r = settled;
    if (r < 0)
        return r;
    memcpy(head.chain, pg->chain, sizeof head.chain);
    memset(head.sha256, '0', sizeof head.sha256 - 1);
    if (PQntuples(found) > 0) {
        head.seq = pg_number(found, 0, 0);
        pg_hex(found, 0, 1, head.sha256, sizeof head.sha256);
    }
    pg->head = head;
    pg->head_known = pg->writing;
    *ret = head;
    return 0;
}

int pg_audit_append(struct ledger *ledger, const struct ledger_audit *row)
{
    struct pg *pg = (struct pg *)ledger;
    int r = pg_later(pg, "auditing",
                     "INSERT INTO audit (chain, seq, certificate, line, sha256) VALUES ($1, $2, $3, $4, $5)",
                     "tioth", row->chain, row->seq, row->certificate, row->line, row->sha256);
    pg->head_known = false;
    if (r == 0 && strcmp(row->chain, pg->chain) == 0) {
        pg->head = *row;
        pg->head.certificate = 0;
        pg->head.line = NULL;
        pg->head_known = true;
    }
    return r;
}

#define AUDIT_COLUMNS "chain, seq, line, sha256, certificate"

static void read_audit(const PGresult *s, int i, struct ledger_audit *ret)
{
    *ret = (struct ledger_audit){
        .seq = pg_number(s, i, 1), .line = PQgetvalue(s, i, 2), .certificate = pg_number(s, i, 4)};
    pg_text(s, i, 0, ret->chain, sizeof ret->chain);
    pg_hex(s, i, 3, ret->sha256, sizeof ret->sha256);
}

static int tell_rows(const PGresult *s, ledger_audit_row *row, void *context, int64_t *ret_last)
{
    int r = 0;
    for (int i = 0; r == 0 && i < PQntuples(s); i++) {
        struct ledger_audit found;
        read_audit(s, i, &found);
        *ret_last = found.seq;
        r = row(context, &found);
    }
    return r;
}

int pg_audit_heads(struct ledger *ledger, ledger_audit_row *row, void *context)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int64_t last;
    int r = pg_query((struct pg *)ledger, "reading the audit chains", &found,
                     "SELECT " AUDIT_COLUMNS " FROM chain JOIN LATERAL (SELECT * FROM audit"
                     " WHERE audit.chain = chain.id ORDER BY seq DESC LIMIT 1) AS head ON true"
                     " ORDER BY chain.id",
                     "");
    return r < 0 ? r : tell_rows(found, row, context, &last);
}

static int each_of(struct pg *pg, const char *chain, int64_t from, ledger_audit_row *row, void *context)
{
    int r = 0;
    for (bool more = true; r == 0 && more; from++) {
        PGresult *found PC_CLEANUP(pg_done) = NULL;
        r = pg_query(pg, "reading the audit chain", &found,
                     "SELECT " AUDIT_COLUMNS " FROM audit WHERE chain = $1 AND seq >= $2"
                     " ORDER BY seq LIMIT $3",
                     "tii", chain, from, PG_PAGE);
        if (r == 0)
            r = tell_rows(found, row, context, &from);
        more = found && PQntuples(found) == PG_PAGE;
    }
    return r;
}

int pg_audit_each(struct ledger *ledger, const char *chain, int64_t from, ledger_audit_row *row,
                  void *context)
{
    struct pg *pg = (struct pg *)ledger;
    PGresult *chains PC_CLEANUP(pg_done) = NULL;
    if (chain)
        return each_of(pg, chain, from, row, context);
    int r = pg_query(pg, "reading the audit chains", &chains, "SELECT id FROM chain ORDER BY id", "");
    for (int i = 0; r == 0 && i < PQntuples(chains); i++)
        r = each_of(pg, PQgetvalue(chains, i, 0), from, row, context);
    return r;
}

int pg_audit_of(struct ledger *ledger, int64_t certificate, ledger_audit_row *row, void *context)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int64_t last;
    int r =
        pg_query((struct pg *)ledger, "reading audit rows", &found,
                 "SELECT " AUDIT_COLUMNS " FROM audit WHERE certificate = $1 ORDER BY id", "i", certificate);
    return r < 0 ? r : tell_rows(found, row, context, &last);
}

int pg_checkpoint_add(struct ledger *ledger, const struct ledger_checkpoint *checkpoint, int64_t *ret_id)
{
    return pg_insert((struct pg *)ledger, "recording a checkpoint", ret_id,
                     "INSERT INTO checkpoint (chain, seq, sha256, at, statement, cms)"
                     " VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
                     "tihibb", checkpoint->chain, checkpoint->seq, checkpoint->sha256, checkpoint->at,
                     &checkpoint->statement, &checkpoint->cms);
}

int pg_checkpoint_shipped(struct ledger *ledger, int64_t id, int64_t at)
{
    return pg_change((struct pg *)ledger, "shipping a checkpoint",
                     "UPDATE checkpoint SET shipped_at = $1 WHERE id = $2 AND shipped_at IS NULL", "ii", at,
                     id);
}

static int tell_checkpoint(const PGresult *s, int i, ledger_checkpoint_row *row, void *context)
{
    pc_autobytes statement = {0}, cms = {0};
    struct ledger_checkpoint found = {
        .id = pg_number(s, i, 0),
        .seq = pg_number(s, i, 1),
        .at = pg_number(s, i, 2),
        .shipped_at = pg_number(s, i, 3),
    };
    pg_text(s, i, 4, found.chain, sizeof found.chain);
    pg_hex(s, i, 5, found.sha256, sizeof found.sha256);
    int r = pg_blob(s, i, 6, &statement);
    if (r == 0)
        r = pg_blob(s, i, 7, &cms);
    found.statement = statement;
    found.cms = cms;
    return r < 0 ? r : row(context, &found);
}

int pg_checkpoint_each(struct ledger *ledger, bool newest_only, ledger_checkpoint_row *row, void *context)
{
    PGresult *found PC_CLEANUP(pg_done) = NULL;
    int r = pg_query((struct pg *)ledger, "reading checkpoints", &found,
                     "SELECT id, seq, at, shipped_at, chain, sha256, statement, cms FROM checkpoint"
                     " WHERE $1 = 0 OR id = (SELECT max(id) FROM checkpoint) ORDER BY id",
                     "i", (int64_t)newest_only);
    for (int i = 0; r == 0 && i < PQntuples(found); i++)
        r = tell_checkpoint(found, i, row, context);
    return r;
}
