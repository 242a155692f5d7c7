/* The ledger's rules for what was not issued by us, for holds, own keys, publications and checkpoints; and
 * what it finds again. */
#include <string.h>

#include "src/base/error.h"
#include "tests/unit/ca/fixture.h"

#define DO(call) assert_int_equal(IN_TRANSACTION(f, call), 0)
#define REFUSED(call) assert_int_equal(IN_TRANSACTION(f, call), PC_EFAIL)

static struct pc_bytes der = {(unsigned char[]){'d', 'e', 'r'}, 3};

static struct ledger_certificate get(struct fixture *f, int64_t id)
{
    struct ledger_certificate row;
    assert_int_equal(ledger_row_get(f->ledger, id, &row), 0);
    return row;
}

static int record(struct fixture *f, int64_t issuer, const char *origin, enum ledger_state state, char key,
                  const char *subject, const char *serial, int64_t *ret)
{
    struct ledger_certificate row = {
        .issuer = issuer,
        .state = state,
        .record = {.not_before = 100, .not_after = 10000000000, .issued_at = 50, .reason = -1}};
    strcpy(row.record.origin, origin);
    strcpy(row.record.profile, "device");
    strcpy(row.record.cn, subject);
    strcpy(row.record.serial, serial);
    strcpy(row.record.key_sha256, key_of(key));
    strcpy(row.record.certificate_sha256, key_of('c'));
    if (state == LEDGER_REVOKED) {
        row.record.revoked_at = 77;
        row.record.invalid_since = 66;
        row.record.reason = 1;
    }
    return IN_TRANSACTION(f, f->ledger->ops->record(f->ledger, &row, &der, ret));
}

static int64_t import_issuer(struct fixture *f)
{
    const struct ledger_issuer foreign = {.subject = "/CN=Old", .planned_at = 5};
    int64_t id = 0, root = 0;
    DO(f->ledger->ops->issuer_import(f->ledger, &foreign, &id));
    assert_int_equal(record(f, id, "imported", LEDGER_FOREIGN, 'f', "Old", "f1", &root), 0);
    DO(f->ledger->ops->issuer_certificate(f->ledger, id, root));
    REFUSED(f->ledger->ops->issuer_certificate(f->ledger, id, root));
    return id;
}

static void make_crl(struct fixture *f, uint64_t number, int64_t this_update)
{
    const struct ledger_crl crl = {
        .number = number, .this_update = this_update, .next_update = INT64_C(1) << 40};
    DO(f->ledger->ops->crl_reserve(f->ledger, f->issuer, &crl, &der));
    DO(f->ledger->ops->crl_issue(f->ledger, f->issuer, number, &der));
}

static bool behind(struct fixture *f, int64_t now)
{
    struct ledger_crl last;
    bool found = false;
    assert_int_equal(f->ledger->ops->crl_last(f->ledger, f->issuer, true, &last), 0);
    assert_int_equal(f->ledger->ops->crl_behind(f->ledger, f->issuer, &last, now, &found), 0);
    return found;
}

static int count_entry(void *context, const struct ledger_entry *entry)
{
    (void)entry;
    (*(size_t *)context)++;
    return 0;
}

static size_t entries(struct fixture *f, int64_t issuer)
{
    struct ledger_crl last;
    size_t count = 0;
    assert_int_equal(f->ledger->ops->crl_last(f->ledger, issuer, true, &last), 0);
    assert_int_equal(f->ledger->ops->crl_entries(f->ledger, issuer, &last, count_entry, &count), 0);
    return count;
}

static void holds_are_taken_back(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    int64_t id = issued(f, UUID_A, '1', "01");
    REFUSED(ops->release(f->ledger, id));
    DO(ops->hold(f->ledger, id, 9));
    struct ledger_certificate row = get(f, id);
    assert_int_equal(row.state, LEDGER_HELD);
    assert_int_equal(row.record.reason, 6);
    assert_int_equal(row.record.revoked_at, 9);
    assert_int_equal(row.listed_from, 1);
    REFUSED(ops->hold(f->ledger, id, 10));
    REFUSED(ops->supersede(f->ledger, id, 10));
    make_crl(f, 1, 100);
    DO(ops->release(f->ledger, id));
    row = get(f, id);
    assert_int_equal(row.state, LEDGER_CURRENT);
    assert_int_equal(row.record.revoked_at, 0);
    assert_int_equal(row.record.reason, -1);
    assert_int_equal(row.listed_from, 0);
    assert_int_equal(row.unlisted_from, 2);
    assert_int_equal(entries(f, f->issuer), 0);
    DO(ops->supersede(f->ledger, id, 500));
    DO(ops->hold(f->ledger, id, 11));
    DO(ops->release(f->ledger, id));
    assert_int_equal(get(f, id).state, LEDGER_SUPERSEDED);
    assert_int_equal(get(f, id).record.revoke_after, 500);
}

static void a_hold_can_become_final(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    int64_t id = issued(f, UUID_A, '1', "01");
    DO(ops->hold(f->ledger, id, 9));
    make_crl(f, 1, 100);
    DO(ops->revoke(f->ledger, id, 12, 1, 8));
    struct ledger_certificate row = get(f, id);
    assert_int_equal(row.state, LEDGER_REVOKED);
    assert_int_equal(row.record.reason, 1);
    assert_int_equal(row.record.invalid_since, 8);
    assert_int_equal(row.listed_from, 2); /* the CRL that tells the reason */
    REFUSED(ops->release(f->ledger, id));
    REFUSED(ops->hold(f->ledger, id, 13));
}

/* Someone else became current while it was held: the slot is taken. */
static void a_release_takes_no_slot(void **state)
{
    struct fixture *f = *state;
    int64_t id = issued(f, UUID_A, '1', "01");
    DO(f->ledger->ops->hold(f->ledger, id, 9));
    issued(f, UUID_A, '2', "02");
    REFUSED(f->ledger->ops->release(f->ledger, id));
    assert_int_equal(get(f, id).state, LEDGER_HELD);
}

static void what_the_crl_lacks_is_told(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    int64_t a = issued(f, UUID_A, '1', "01"), b = issued(f, UUID_B, '2', "02");
    make_crl(f, 1, 100);
    assert_false(behind(f, 1000));
    DO(ops->hold(f->ledger, a, 9));
    assert_true(behind(f, 1000));
    make_crl(f, 2, 101);
    assert_false(behind(f, 1000));
    DO(ops->release(f->ledger, a));
    assert_true(behind(f, 1000));
    make_crl(f, 3, 102);
    assert_false(behind(f, 1000));
    DO(ops->supersede(f->ledger, b, 500));
    assert_false(behind(f, 499));
    assert_true(behind(f, 500));
    int64_t c = reserve(f, "c", "device", '3', "03", 0);
    assert_int_equal(sign_row(f, c), 0);
    assert_false(behind(f, 499));
    DO(ops->annul(f->ledger, c, 10));
    assert_true(behind(f, 499));
}

static void foreign_certificates_stand_beside_ours(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    int64_t ours = issued(f, UUID_A, '1', "01"), id = 0, other = 0;
    int64_t old = import_issuer(f);
    assert_int_equal(record(f, old, "imported", LEDGER_FOREIGN, '1', UUID_A, "01", &id), 0);
    struct ledger_certificate row = get(f, id);
    assert_string_equal(row.record.state, "foreign");
    assert_string_equal(row.record.origin, "imported");
    assert_int_equal(get(f, ours).state, LEDGER_CURRENT);
    /* A key of another plant: theirs to answer for, ours to know. */
    assert_int_equal(record(f, old, "imported", LEDGER_FOREIGN, '1', UUID_B, "02", &other), 0);
    char subject[256];
    assert_int_equal(ops->key_subject(f->ledger, key_of('1'), subject), 0);
    assert_string_equal(subject, UUID_A);
    assert_int_equal(record(f, old, "imported", LEDGER_FOREIGN, '5', UUID_B, "02", &other), PC_EFAIL);
    assert_int_equal(record(f, old, "imported", LEDGER_CURRENT, '5', UUID_B, "05", &other), PC_EFAIL);
    assert_int_equal(record(f, old, "incident", LEDGER_REVOKED, '5', UUID_B, "05", &other), PC_EFAIL);
    assert_int_equal(record(f, f->issuer, "imported", LEDGER_FOREIGN, '5', UUID_B, "05", &other), PC_EFAIL);
    f->issuer = old;
    assert_int_equal(reserve(f, UUID_B, "device", '6', "06", 0), 0);
    REFUSED(ops->supersede(f->ledger, id, 9));
    REFUSED(ops->annul(f->ledger, id, 9));
    struct ledger_counts counts;
    assert_int_equal(ops->count(f->ledger, 1000, 10, &counts), 0);
    assert_int_equal(counts.foreign, 2);
    assert_int_equal(counts.current, 1);
    assert_int_equal(counts.valid, 3);
    DO(ops->revoke(f->ledger, id, 10, 4, 0));
    assert_int_equal(get(f, id).state, LEDGER_REVOKED);
    assert_int_equal(ops->count(f->ledger, 1000, 10, &counts), 0);
    assert_int_equal(counts.foreign, 1);
    assert_int_equal(counts.revoked, 1);
}

static int see_issuer(void *context, const struct ledger_issuer *issuer)
{
    char *seen = context;
    strcat(seen, issuer->foreign ? "f" : issuer->active ? "a" : "p");
    assert_int_equal(issuer->foreign, issuer->key_id.len == 0);
    assert_int_not_equal(issuer->certificate, 0);
    return 0;
}

static void issuers_in_their_order(void **state)
{
    struct fixture *f = *state;
    char seen[16] = "";
    struct ledger_issuer issuer;
    import_issuer(f);
    assert_int_equal(f->ledger->ops->issuer_each(f->ledger, see_issuer, seen), 0);
    assert_string_equal(seen, "f");
    int64_t root = issued(f, "Test", '1', "01");
    DO(f->ledger->ops->issuer_activate(f->ledger, f->issuer, root));
    import_issuer(f);
    seen[0] = '\0';
    assert_int_equal(f->ledger->ops->issuer_each(f->ledger, see_issuer, seen), 0);
    assert_string_equal(seen, "aff");
    assert_int_equal(f->ledger->ops->issuer_get(f->ledger, &issuer), 0);
    assert_true(issuer.active);
}

static void incidents_are_revoked_from_the_start(void **state)
{
    struct fixture *f = *state;
    int64_t id = 0, other = 0;
    assert_int_equal(record(f, f->issuer, "incident", LEDGER_CURRENT, '1', UUID_A, "01", &id), PC_EFAIL);
    assert_int_equal(record(f, f->issuer, "incident", LEDGER_REVOKED, '1', UUID_A, "01", &id), 0);
    struct ledger_certificate row = get(f, id);
    assert_int_equal(row.listed_from, 1);
    assert_int_equal(row.record.revoked_at, 77);
    assert_int_equal(row.record.invalid_since, 66);
    assert_true(behind(f, 0));
    assert_int_equal(entries(f, f->issuer), 1);
    assert_int_equal(record(f, f->issuer, "incident", LEDGER_REVOKED, '2', UUID_A, "01", &other), PC_EFAIL);
    pc_autobytes body = {0};
    assert_int_equal(f->ledger->ops->body(f->ledger, id, NULL, &body), 0);
    assert_int_equal(body.len, 3);
}

static void orphans_stay_listed(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    const struct ledger_entry entry = {.serial = "0a", .revoked_at = 3, .reason = 1},
                              known = {.serial = "01"};
    int64_t id = 0;
    issued(f, UUID_A, '1', "01");
    REFUSED(ops->orphan_add(f->ledger, f->issuer, &known));
    DO(ops->orphan_add(f->ledger, f->issuer, &entry));
    REFUSED(ops->orphan_add(f->ledger, f->issuer, &entry));
    for (uint64_t number = 1; number < 4; number++) {
        assert_int_equal(entries(f, f->issuer), 1);
        make_crl(f, number, 20000000000 + (int64_t)number);
    }
    assert_int_equal(reserve(f, UUID_B, "device", '2', "0a", 0), 0);
    assert_int_equal(record(f, f->issuer, "incident", LEDGER_REVOKED, '2', UUID_B, "0a", &id), 0);
    assert_int_equal(entries(f, f->issuer), 1); /* once */
}

static void time_goes_back_once(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    struct ledger_crl crl = {.number = 7, .this_update = 9000, .next_update = 9100}, last;
    make_crl(f, 1, 100);
    DO(ops->crl_adopt(f->ledger, f->issuer, &crl, &der));
    assert_int_equal(ops->crl_last(f->ledger, f->issuer, true, &last), 0);
    assert_int_equal(last.number, 7);
    assert_false(last.pardoned);
    assert_int_equal(strlen(last.sha256), 64);
    crl = (struct ledger_crl){.number = 8, .this_update = 200, .next_update = 300};
    REFUSED(ops->crl_reserve(f->ledger, f->issuer, &crl, &der));
    REFUSED(ops->crl_pardon(f->ledger, f->issuer, 8, 5)); /* none such on record */
    DO(ops->crl_pardon(f->ledger, f->issuer, 7, 5));
    REFUSED(ops->crl_pardon(f->ledger, f->issuer, 7, 5));
    assert_int_equal(ops->crl_last(f->ledger, f->issuer, true, &last), 0);
    assert_true(last.pardoned);
    make_crl(f, 8, 200);
    crl.number = 9;
    REFUSED(ops->crl_reserve(f->ledger, f->issuer, &crl, &der)); /* 200 again */
    crl = (struct ledger_crl){.number = 6, .this_update = 400, .next_update = 500};
    REFUSED(ops->crl_adopt(f->ledger, f->issuer, &crl, &der));
    make_crl(f, 9, 201);
}

static int see_key(void *context, const struct ledger_key *key)
{
    char *seen = context;
    seen[strlen(seen)] = key->state[0];
    assert_int_equal(key->key_id.len, 20);
    return 0;
}

static void own_keys_are_planned_first(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    struct ledger_key plan = {.role = "jwt", .key_type = "rsa:2048", .label = "l", .planned_at = 1};
    plan.key_id = (struct hsm_id){.octets = {7}, .len = 20};
    int64_t id = 0, other = 0;
    char seen[16] = "";
    REFUSED(ops->key_plan(f->ledger, &plan, &id)); /* the issuer's */
    plan.key_id.octets[0] = 8;
    DO(ops->key_plan(f->ledger, &plan, &id));
    plan.key_id.octets[0] = 9;
    REFUSED(ops->key_plan(f->ledger, &plan, &other));
    strcpy(plan.role, "audit");
    DO(ops->key_plan(f->ledger, &plan, &other));
    DO(ops->key_activate(f->ledger, id, key_of('a'), 0));
    REFUSED(ops->key_activate(f->ledger, id, key_of('b'), 0));
    REFUSED(ops->key_activate(f->ledger, other, key_of('a'), 0)); /* one key, one row */
    DO(ops->key_retire(f->ledger, id));
    REFUSED(ops->key_retire(f->ledger, id));
    plan.key_id.octets[0] = 10;
    strcpy(plan.role, "jwt");
    DO(ops->key_plan(f->ledger, &plan, &id));
    strcpy(plan.role, "none");
    REFUSED(ops->key_plan(f->ledger, &plan, &id));
    assert_int_equal(ops->key_each(f->ledger, "jwt", see_key, seen), 0);
    assert_string_equal(seen, "rp");
}

static void publications_are_told_by_folder(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    struct ledger_publication p = {.at = 1, .dir = "/a", .crl_number = 3}, last;
    assert_int_equal(ops->publication_last(f->ledger, NULL, &last), 0);
    assert_int_equal(last.id, 0);
    strcpy(p.crl_sha256, key_of('1'));
    strcpy(p.ca_sha256, key_of('2'));
    DO(ops->publication_add(f->ledger, &p));
    strcpy(p.dir, "/b");
    p.crl_number = 4;
    DO(ops->publication_add(f->ledger, &p));
    assert_int_equal(ops->publication_last(f->ledger, "/a", &last), 0);
    assert_int_equal(last.crl_number, 3);
    assert_string_equal(last.ca_sha256, key_of('2'));
    assert_int_equal(ops->publication_last(f->ledger, NULL, &last), 0);
    assert_string_equal(last.dir, "/b");
    assert_int_equal(ops->publication_last(f->ledger, "/c", &last), 0);
    assert_int_equal(last.id, 0);
}

static struct ledger_audit append(struct fixture *f, int64_t certificate)
{
    struct ledger_audit row;
    assert_int_equal(f->ledger->ops->audit_head(f->ledger, &row), 0);
    row.seq++;
    row.certificate = certificate;
    row.line = "{}";
    strcpy(row.sha256, key_of((char)('0' + row.seq)));
    assert_int_equal(f->ledger->ops->audit_append(f->ledger, &row), 0);
    return row;
}

static int count_audit(void *context, const struct ledger_audit *row)
{
    *(int64_t *)context = 10 * *(int64_t *)context + row->seq;
    return 0;
}

/* The head is remembered while a transaction lasts, and no longer. */
static void heads_follow_rollbacks(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    int64_t id = issued(f, UUID_A, '1', "01"), seen = 0;
    struct ledger_audit head;
    assert_int_equal(ops->begin(f->ledger, true), 0);
    append(f, id);
    append(f, 0);
    assert_int_equal(ops->audit_head(f->ledger, &head), 0);
    assert_int_equal(head.seq, 2);
    ops->rollback(f->ledger);
    assert_int_equal(ops->audit_head(f->ledger, &head), 0);
    assert_int_equal(head.seq, 0);
    assert_int_equal(ops->begin(f->ledger, true), 0);
    append(f, id);
    append(f, 0);
    append(f, id);
    assert_int_equal(ops->commit(f->ledger), 0);
    assert_int_equal(ops->audit_head(f->ledger, &head), 0);
    assert_int_equal(head.seq, 3);
    assert_string_equal(head.sha256, key_of('3'));
    assert_int_equal(ops->audit_of(f->ledger, id, count_audit, &seen), 0);
    assert_int_equal(seen, 13);
}

static int see_checkpoint(void *context, const struct ledger_checkpoint *c)
{
    *(int64_t *)context = 100 * *(int64_t *)context + 10 * c->seq + (c->shipped_at != 0);
    assert_int_equal(c->cms.len, 3);
    return 0;
}

static void checkpoints_are_of_rows_on_record(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    assert_int_equal(ops->begin(f->ledger, true), 0);
    struct ledger_audit first = append(f, 0), second = append(f, 0);
    assert_int_equal(ops->commit(f->ledger), 0);
    struct ledger_checkpoint c = {.seq = first.seq, .at = 1, .statement = der, .cms = der};
    int64_t id = 0, seen = 0;
    memcpy(c.chain, first.chain, sizeof c.chain);
    memcpy(c.sha256, second.sha256, sizeof c.sha256);
    REFUSED(ops->checkpoint_add(f->ledger, &c, &id)); /* another row's hash */
    memcpy(c.sha256, first.sha256, sizeof c.sha256);
    DO(ops->checkpoint_add(f->ledger, &c, &id));
    DO(ops->checkpoint_shipped(f->ledger, id, 5));
    REFUSED(ops->checkpoint_shipped(f->ledger, id, 6));
    c.seq = second.seq;
    memcpy(c.sha256, second.sha256, sizeof c.sha256);
    DO(ops->checkpoint_add(f->ledger, &c, &id));
    assert_int_equal(ops->checkpoint_each(f->ledger, false, see_checkpoint, &seen), 0);
    assert_int_equal(seen, 1120);
    seen = 0;
    assert_int_equal(ops->checkpoint_each(f->ledger, true, see_checkpoint, &seen), 0);
    assert_int_equal(seen, 20);
}

static int add_id(void *context, const struct ledger_certificate *row)
{
    *(int64_t *)context += (int64_t)1 << (8 * (row->id - 1));
    return 0;
}

/* All rows of the subject and all of the key, each once; not the same subject's of another profile. */
static void facts_are_each_told_once(void **state)
{
    struct fixture *f = *state;
    const struct ledger_ops *ops = f->ledger->ops;
    int64_t seen = 0;
    int64_t first = issued(f, UUID_A, '1', "01"); /* 1: past */
    DO(ops->revoke(f->ledger, first, 1, 1, 0));
    issued(f, UUID_A, '2', "02");                                    /* 2: current */
    assert_int_equal(reserve(f, UUID_A, "device", '3', "03", 0), 3); /* 3: unfinished */
    assert_int_equal(reserve(f, UUID_A, "server", '4', "04", 0), 4); /* 4: of another profile and key */
    assert_int_equal(reserve(f, UUID_A, "broker", '2', "05", 0), 5); /* 5: of the key */
    issued(f, UUID_B, '6', "06");
    assert_int_equal(ops->facts(f->ledger, UUID_A, "device", key_of('2'), add_id, &seen), 0);
    assert_int_equal(seen, 0x0100010101);
    seen = 0;
    assert_int_equal(ops->facts(f->ledger, "new", "device", key_of('9'), add_id, &seen), 0);
    assert_int_equal(seen, 0);
}

/* A search inside the row of the same search, as deep as it may go. */
static int search_again(void *context, const struct ledger_certificate *row)
{
    struct fixture *f = context;
    struct ledger_rows rows = {0};
    static int depth;
    if (depth == 12)
        return 0;
    depth++;
    const struct ledger_query query = {.after = row->id, .limit = 1};
    assert_int_equal(f->ledger->ops->find(f->ledger, &query, search_again, f), 0);
    assert_int_equal(ledger_collect(f->ledger, &query, &rows), 0);
    assert_int_equal(rows.rows[0].id, row->id + 1);
    ledger_rows_clear(&rows);
    return 0;
}

static void lists_come_in_pages(void **state)
{
    struct fixture *f = *state;
    char serial[3] = "01", subject[2] = "a";
    for (int i = 0; i < 14; i++) {
        snprintf(serial, sizeof serial, "%02x", i + 1);
        subject[0] = (char)('a' + i);
        issued(f, subject, "0123456789abcd"[i], serial);
    }
    const struct {
        struct ledger_query query;
        size_t count;
        int64_t first;
    } pages[] = {
        {{.limit = 5}, 5, 1},
        {{.after = 5, .limit = 5}, 5, 6},
        {{.after = 10, .limit = 5}, 4, 11},
        {{.after = 14, .limit = 5}, 0, 0},
        {{.after = 14, .newest_first = true, .limit = 2}, 2, 13},
        {{.newest_first = true, .limit = 1}, 1, 14},
        {{.states = LEDGER_BIT(LEDGER_CURRENT), .after = 12}, 2, 13},
        {{.states = LEDGER_BIT(LEDGER_HELD) | LEDGER_BIT(LEDGER_REVOKED)}, 0, 0},
        {{.states = LEDGER_BIT(LEDGER_CURRENT) | LEDGER_BIT(LEDGER_HELD), .limit = 1}, 1, 1},
    };
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        struct ledger_rows rows = {0};
        assert_int_equal(ledger_collect(f->ledger, &pages[i].query, &rows), 0);
        assert_int_equal(rows.count, pages[i].count);
        if (rows.count)
            assert_int_equal(rows.rows[0].id, pages[i].first);
        ledger_rows_clear(&rows);
    }
    assert_int_equal(f->ledger->ops->find(f->ledger, &(struct ledger_query){.limit = 1}, search_again, f), 0);
}

int main(void)
{
#define IN_LEDGER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        IN_LEDGER(holds_are_taken_back),
        IN_LEDGER(a_hold_can_become_final),
        IN_LEDGER(a_release_takes_no_slot),
        IN_LEDGER(what_the_crl_lacks_is_told),
        IN_LEDGER(foreign_certificates_stand_beside_ours),
        IN_LEDGER(issuers_in_their_order),
        IN_LEDGER(incidents_are_revoked_from_the_start),
        IN_LEDGER(orphans_stay_listed),
        IN_LEDGER(time_goes_back_once),
        IN_LEDGER(own_keys_are_planned_first),
        IN_LEDGER(publications_are_told_by_folder),
        IN_LEDGER(heads_follow_rollbacks),
        IN_LEDGER(checkpoints_are_of_rows_on_record),
        IN_LEDGER(facts_are_each_told_once),
        IN_LEDGER(lists_come_in_pages),
    };
    return cmocka_run_group_tests_name("ledger record", tests, NULL, NULL);
}
