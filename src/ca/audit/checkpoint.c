/* Making a checkpoint: the head is read, stated, signed, and recorded with an audit row of its own. */
#include "src/ca/audit/checkpoint.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/log.h"
#include "src/base/time.h"
#include "src/ca/audit/key.h"

/* The newest one on record, without its bytes. */
struct newest {
    struct ledger_checkpoint row;
    struct checkpoint_statement said;  /* empty where it is damaged */
    char sha256[PKI_FINGERPRINT_TEXT]; /* of its statement */
};

static void newest_clear(struct newest *newest)
{
    checkpoint_statement_clear(&newest->said);
}

static int keep_newest(void *context, const struct ledger_checkpoint *checkpoint)
{
    struct newest *newest = context;
    newest->row = *checkpoint;
    newest->row.statement = newest->row.cms = (struct pc_bytes){0};
    (void)checkpoint_statement_parse(&checkpoint->statement, &newest->said);
    return pki_digest_hex(checkpoint->statement.data, checkpoint->statement.len, newest->sha256);
}

static int read_newest(struct ca *ca, struct newest *ret)
{
    struct newest newest PC_CLEANUP(newest_clear) = {0};
    memset(newest.sha256, '0', sizeof newest.sha256 - 1);
    int r = ca->ledger->ops->checkpoint_each(ca->ledger, true, keep_newest, &newest);
    if (r < 0)
        return r;
    *ret = newest;
    newest = (struct newest){0};
    return 0;
}

static int keep_id(void *context, const struct ledger_certificate *row)
{
    *(int64_t *)context = row->id;
    return 0;
}

static int add_head(void *context, const struct ledger_audit *row)
{
    return checkpoint_head_add(context, row->chain, row->seq, row->sha256);
}

/* All of it as one moment saw it. */
static int state(struct ca *ca, struct checkpoint_statement *ret, char ret_chain[33])
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    const struct ledger_query newest_row = {.newest_first = true, .limit = 1};
    struct checkpoint_statement s PC_CLEANUP(checkpoint_statement_clear) = {.time = pc_now()};
    struct newest newest PC_CLEANUP(newest_clear) = {0};
    struct ledger_audit head;
    struct ledger_crl crl;
    int r = ca->ledger->ops->begin(ca->ledger, false);
    if (r < 0)
        return r;
    open = ca->ledger;
    r = ca->ledger->ops->audit_head(ca->ledger, &head);
    if (r == 0)
        r = ca->ledger->ops->audit_heads(ca->ledger, add_head, &s);
    if (r == 0)
        r = read_newest(ca, &newest);
    if (r == 0)
        r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &crl);
    if (r == 0)
        r = ca->ledger->ops->find(ca->ledger, &newest_row, keep_id, &s.highest);
    if (r == 0)
        r = pki_certificate_fingerprint(ca->certificate, s.ca);
    if (r == 0 && s.head_count == 0)
        r = pc_fail(PC_EFAIL, "checkpoint: there is no audit row to vouch for");
    if (r < 0)
        return r;
    memcpy(ret_chain, head.seq > 0 ? head.chain : s.heads[0].chain, sizeof head.chain);
    s.crl_number = crl.number;
    memcpy(s.crl_sha256, crl.sha256, sizeof s.crl_sha256);
    memcpy(s.previous, newest.sha256, sizeof s.previous);
    *ret = s;
    s = (struct checkpoint_statement){0};
    return 0;
}

static int record(struct ca *ca, const struct ledger_checkpoint *row, int64_t *ret_id)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    char sha256[PKI_FINGERPRINT_TEXT];
    int r = pki_digest_hex(row->statement.data, row->statement.len, sha256);
    if (r == 0)
        r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->checkpoint_add(ca->ledger, row, ret_id);
    if (r == 0)
        r = ca_audit(
            ca, &(struct audit_act){.act = "checkpoint", .outcome = "done", .checkpoint_sha256 = sha256});
    return r < 0 ? r : ca_commit(ca, &open);
}

/* One at a time: each states the hash of the one before. */
static int make(struct ca *ca, struct ca_checkpoint_report *ret)
{
    struct checkpoint_statement s PC_CLEANUP(checkpoint_statement_clear) = {0};
    struct audit_turn turn PC_CLEANUP(audit_turn_end) = {.lock = -1};
    pc_autobytes json = {0}, cms = {0};
    int64_t id = 0;
    char chain[33];
    int r = audit_key_ensure(ca);
    if (r == 0)
        r = audit_turn_take(ca, &turn);
    if (r == 0)
        r = state(ca, &s, chain);
    if (r == 0)
        r = checkpoint_statement_format(&s, &json);
    if (r == 0)
        r = audit_sign_bytes(ca, &json, &cms);
    if (r < 0)
        return r;
    const struct checkpoint_head *own = checkpoint_head_of(&s, chain);
    struct ledger_checkpoint row = {.seq = own->seq, .at = s.time, .statement = json, .cms = cms};
    memcpy(row.chain, own->chain, sizeof row.chain);
    memcpy(row.sha256, own->sha256, sizeof row.sha256);
    r = record(ca, &row, &id);
    if (r < 0)
        return r;
    *ret = (struct ca_checkpoint_report){.id = id, .at = s.time, .seq = own->seq, .crl_number = s.crl_number};
    memcpy(ret->chain, own->chain, sizeof ret->chain);
    memcpy(ret->sha256, own->sha256, sizeof ret->sha256);
    return 0;
}

int checkpoint_make(struct ca *ca, uint64_t crl_number)
{
    struct ca_checkpoint_report report;
    int r = make(ca, &report);
    if (r < 0)
        return pc_fail_in("checkpoint of the audit chain");
    if (crl_number && report.crl_number != crl_number)
        return pc_fail(PC_EFAIL, "checkpoint: states CRL %llu, not %llu",
                       (unsigned long long)report.crl_number, (unsigned long long)crl_number);
    const char *command = ca->settings->audit_ship;
    if (command && checkpoint_ship(ca, command, &report.shipped) < 0)
        pc_log(PC_LOG_WARNING, "the checkpoint is on record, but was not handed over: %s", pc_error_text());
    return 0;
}

int ca_audit_checkpoint(struct ca *ca, const char *ship, struct ca_checkpoint_report *ret)
{
    struct ca_checkpoint_report report;
    const char *command = ship ? ship : ca->settings->audit_ship;
    int r = ca_signing_key(ca);
    if (r == 0)
        r = make(ca, &report);
    if (r == 0 && command)
        r = checkpoint_ship(ca, command, &report.shipped);
    if (r == 0)
        *ret = report;
    return r;
}

/* Rows of each chain behind what the newest checkpoint says of it. */
struct behind {
    const struct newest *newest;
    int64_t rows;
};

static int count_behind(void *context, const struct ledger_audit *head)
{
    struct behind *behind = context;
    const struct ledger_checkpoint *row = &behind->newest->row;
    const struct checkpoint_head *said = checkpoint_head_of(&behind->newest->said, head->chain);
    int64_t seq = said ? said->seq : strcmp(row->chain, head->chain) == 0 ? row->seq : 0;
    behind->rows += head->seq - seq;
    return 0;
}

int checkpoint_standing(struct ca *ca, struct checkpoint_standing *ret)
{
    struct checkpoint_standing standing = {0};
    struct newest newest PC_CLEANUP(newest_clear) = {0};
    struct behind behind = {.newest = &newest};
    int r = read_newest(ca, &newest);
    if (r == 0)
        r = ca->ledger->ops->audit_heads(ca->ledger, count_behind, &behind);
    if (r < 0)
        return r;
    standing.last = newest.row;
    standing.rows_after = behind.rows - (newest.row.id ? 1 : 0);
    standing.unshipped = newest.row.id && !newest.row.shipped_at && ca->settings->audit_ship != NULL;
    *ret = standing;
    return 0;
}

int checkpoint_due(struct ca *ca, bool *ret)
{
    struct checkpoint_standing standing;
    int r = checkpoint_standing(ca, &standing);
    if (r == 0)
        *ret = standing.rows_after > 0 && standing.last.at + ca->settings->audit_interval <= pc_now();
    return r;
}

struct reader {
    int (*line)(void *context, const char *line);
    void *context;
};

static int tell_line(void *context, const struct ledger_audit *row)
{
    const struct reader *reader = context;
    return reader->line(reader->context, row->line);
}

int ca_audit_each(struct ca *ca, int (*line)(void *context, const char *line), void *context)
{
    struct reader reader = {.line = line, .context = context};
    return ca->ledger->ops->audit_each(ca->ledger, NULL, 1, tell_line, &reader);
}
