/* Record, then sign: the only way in which a certificate comes to be. Who may have one is not decided here.
 * Planning and signing need no ledger and may happen on any thread; the steps between them are for the one
 * thread that has the transaction. */
#include "src/ca/internal.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/audit/line.h"
#include "src/pki/sign.h"

void issuance_clear(struct issuance *issuance)
{
    pc_bytes_clear(&issuance->tbs);
    pc_bytes_clear(&issuance->der);
}

/* Takes the to-be-signed bytes over, and their hash. */
static int take_tbs(struct issuance *issuance, struct pc_bytes *tbs)
{
    int r = pki_digest_hex(tbs->data, tbs->len, issuance->tbs_sha256);
    if (r < 0)
        return r;
    pc_bytes_clear(&issuance->tbs);
    issuance->tbs = *tbs;
    *tbs = (struct pc_bytes){0};
    return 0;
}

int issuance_plan(const struct ca *ca, struct issuance *issuance, int64_t days)
{
    pc_autobytes tbs = {0};
    struct pki_certificate_plan *plan = &issuance->plan;
    plan->issuer = ca->certificate;
    plan->issuer_key = ca->public_key;
    int r = pki_key_fingerprint(plan->subject_key, issuance->key_sha256);
    if (r == 0)
        r = pki_serial_random(&plan->serial);
    if (r == 0)
        r = pki_validity(pc_now(), ca->settings->backdate, days, plan->issuer, &plan->not_before,
                         &plan->not_after);
    if (r == 0 && issuance->at_most && plan->not_after > pc_now() + issuance->at_most)
        plan->not_after = pc_now() + issuance->at_most;
    if (r == 0)
        r = pki_certificate_tbs(plan, &tbs);
    return r < 0 ? r : take_tbs(issuance, &tbs);
}

/* The audit row of a step of this issuance. */
static int audit_step(struct ca *ca, const struct issuance *issuance, const char *act,
                      const char *certificate_sha256)
{
    char serial[PKI_SERIAL_TEXT];
    pki_serial_format(&issuance->plan.serial, serial);
    return ca_audit(ca, &(struct audit_act){
                            .act = act,
                            .outcome = "done",
                            .certificate = issuance->row,
                            .profile = issuance->plan.profile->name,
                            .subject = issuance->cn,
                            .serial = serial,
                            .key_sha256 = issuance->key_sha256,
                            .request_sha256 = issuance->request_sha256,
                            .tbs_sha256 = issuance->tbs_sha256,
                            .certificate_sha256 = certificate_sha256,
                        });
}

static int copy_field(const char *what, const char *from, char *to, size_t size)
{
    size_t len = strlen(from);
    if (len >= size)
        return pc_fail(PC_EUSAGE, "%s: longer than %zu bytes", what, size - 1);
    memcpy(to, from, len + 1);
    return 0;
}

int issuance_record(struct ca *ca, struct issuance *issuance)
{
    const struct pki_certificate_plan *plan = &issuance->plan;
    struct ledger_certificate row = {
        .issuer = ca->issuer.id,
        .predecessor = issuance->predecessor,
        .record = {.not_before = plan->not_before, .not_after = plan->not_after, .issued_at = pc_now()},
    };
    pki_serial_format(&plan->serial, row.record.serial);
    memcpy(row.record.key_sha256, issuance->key_sha256, sizeof row.record.key_sha256);
    int r = copy_field("profile", plan->profile->name, row.record.profile, sizeof row.record.profile);
    if (r == 0)
        r = copy_field("name", issuance->cn, row.record.cn, sizeof row.record.cn);
    if (r == 0)
        r = ca->ledger->ops->reserve(ca->ledger, &row, &issuance->row);
    if (r == 0)
        r = ca->ledger->ops->signing(ca->ledger, issuance->row, &issuance->tbs);
    return r < 0 ? r : audit_step(ca, issuance, "reserve", NULL);
}

int issuance_void(struct ca *ca, const struct ledger_certificate *row)
{
    int r = ca->ledger->ops->annul(ca->ledger, row->id, pc_now());
    if (r < 0)
        return r;
    return ca_audit(ca, &(struct audit_act){
                            .act = "void",
                            .outcome = "done",
                            .certificate = row->id,
                            .profile = row->record.profile,
                            .subject = row->record.cn,
                            .serial = row->record.serial,
                            .key_sha256 = row->record.key_sha256,
                        });
}

static int tells_of(void *context, const struct ledger_audit *row)
{
    const struct issuance *issuance = context;
    struct audit_line line;
    return audit_line_read(row->line, &line) == 0 && strcmp(line.act, "reserve") == 0 &&
           strcmp(line.key_sha256, issuance->key_sha256) == 0 &&
           strcmp(line.tbs_sha256, issuance->tbs_sha256) == 0;
}

/* Whether what was recorded to be signed is what is planned here, is for the key that its row names, and was
 * told of when it was reserved: a row that somebody put into the ledger behind our back is not signed. */
static int is_same(struct ca *ca, const struct issuance *issuance, const struct ledger_certificate *row,
                   const struct pc_bytes *recorded, const struct pc_bytes *planned, bool *ret)
{
    struct issuance told = {0};
    int r = pki_key_fingerprint(issuance->plan.subject_key, told.key_sha256);
    if (r == 0)
        r = pki_digest_hex(planned->data, planned->len, told.tbs_sha256);
    if (r < 0)
        return r;
    *ret = recorded->len == planned->len && memcmp(recorded->data, planned->data, planned->len) == 0 &&
           strcmp(told.key_sha256, row->record.key_sha256) == 0;
    r = *ret ? ca->ledger->ops->audit_of(ca->ledger, row->id, tells_of, &told) : 0;
    if (r < 0)
        return r;
    *ret = r > 0;
    return 0;
}

int issuance_take(struct ca *ca, struct issuance *issuance, const struct ledger_certificate *row,
                  bool *ret_taken)
{
    struct pki_certificate_plan *plan = &issuance->plan;
    pc_autobytes recorded = {0}, planned = {0};
    plan->not_before = row->record.not_before;
    plan->not_after = row->record.not_after;
    plan->issuer = ca->certificate;
    plan->issuer_key = ca->public_key;
    int r = pki_serial_parse(row->record.serial, &plan->serial);
    if (r == 0)
        r = pki_certificate_tbs(plan, &planned);
    if (r == 0)
        r = ca->ledger->ops->body(ca->ledger, row->id, &recorded, NULL);
    if (r == 0)
        r = is_same(ca, issuance, row, &recorded, &planned, ret_taken);
    if (r < 0)
        return r;
    if (!*ret_taken)
        return issuance_void(ca, row);
    issuance->row = row->id;
    memcpy(issuance->key_sha256, row->record.key_sha256, sizeof issuance->key_sha256);
    r = take_tbs(issuance, &recorded);
    if (r == 0)
        r = ca->ledger->ops->own(ca->ledger, row->id, ca->ledger->ops->self(ca->ledger));
    return r < 0 ? r : audit_step(ca, issuance, "finish", NULL);
}

int issuance_revoke(struct ca *ca, const struct ledger_certificate *row, int reason, int64_t invalid_since)
{
    return issuance_revoke_at(ca, row, 0, reason, invalid_since);
}

int issuance_revoke_at(struct ca *ca, const struct ledger_certificate *row, int64_t at, int reason,
                       int64_t invalid_since)
{
    int r = ca->ledger->ops->revoke(ca->ledger, row->id, at ? at : pc_now(), reason, invalid_since);
    if (r < 0)
        return r;
    return ca_audit(ca, &(struct audit_act){
                            .act = "revoke",
                            .outcome = "done",
                            .certificate = row->id,
                            .reason = reason,
                            .at = at,
                            .since = invalid_since,
                            .profile = row->record.profile,
                            .subject = row->record.cn,
                            .serial = row->record.serial,
                            .key_sha256 = row->record.key_sha256,
                        });
}

int issuance_revoke_old(struct ca *ca, const struct ledger_certificate *current, int reason)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const struct ledger_query query = {.subject = current->record.cn,
                                       .profile = current->record.profile,
                                       .states = LEDGER_BIT(LEDGER_SUPERSEDED)};
    int r = ledger_collect(ca->ledger, &query, &rows);
    for (size_t i = 0; r == 0 && i < rows.count; i++)
        if (reason == CRL_REASON_SUPERSEDED ||
            strcmp(rows.rows[i].record.key_sha256, current->record.key_sha256) != 0)
            r = issuance_revoke(ca, &rows.rows[i], reason, 0);
    return r;
}

/* The predecessor steps back in the transaction in which its successor becomes current. */
static int retire(struct ca *ca, const struct issuance *issuance, const struct ledger_certificate *successor)
{
    struct ledger_certificate old;
    if (issuance->predecessor == 0)
        return 0;
    int r = issuance->revoke_old >= 0 ? issuance_revoke_old(ca, successor, issuance->revoke_old) : 0;
    if (r == 0)
        r = ledger_row_get(ca->ledger, issuance->predecessor, &old);
    if (r < 0)
        return r;
    if (old.state != LEDGER_CURRENT)
        return 0; /* revoked while we signed */
    if (issuance->revoke_old >= 0)
        return issuance_revoke(ca, &old, issuance->revoke_old, 0);
    int64_t until = pc_now() + ca->settings->overlap;
    r = ca->ledger->ops->supersede(ca->ledger, old.id, until);
    if (r < 0)
        return r;
    return ca_audit(ca, &(struct audit_act){
                            .act = "supersede",
                            .outcome = "done",
                            .certificate = old.id,
                            .profile = old.record.profile,
                            .subject = old.record.cn,
                            .serial = old.record.serial,
                            .until = until,
                            .key_sha256 = old.record.key_sha256,
                        });
}

int issuance_sign(struct ca *ca, struct issuance *issuance)
{
    const EVP_MD *digest;
    pc_autobytes signature = {0};
    int r = pki_tbs_digest(ca->public_key, &issuance->tbs, &digest);
    if (r == 0)
        r = hsm_key_sign(ca->key, digest, &issuance->tbs, &signature);
    return r < 0 ? r : issuance_seal(ca, issuance, &signature);
}

int issuance_sign_each(struct ca *ca, struct issuance *const *issuances, size_t count,
                       struct pc_bytes *ret_signatures, size_t *ret_done)
{
    const struct pc_bytes *tbs[HSM_SIGN_MAX];
    const EVP_MD *digest = NULL;
    *ret_done = 0;
    for (size_t i = 0; i < count && i < HSM_SIGN_MAX; i++) {
        tbs[i] = &issuances[i]->tbs;
        int r = pki_tbs_digest(ca->public_key, tbs[i], &digest);
        if (r < 0 && i == 0)
            return r;
        if (r < 0)
            count = i; /* it will be the first of a later call */
    }
    return hsm_key_sign_each(ca->key, digest, tbs, count, ret_signatures, ret_done);
}

int issuance_seal(const struct ca *ca, struct issuance *issuance, const struct pc_bytes *signature)
{
    pc_autobytes der = {0};
    int r = pki_tbs_join(ca->public_key, &issuance->tbs, signature, &der);
    if (r == 0 && !pki_tbs_is_in(&issuance->tbs, &der))
        r = pc_fail(PC_EFAIL, "certificate does not hold the bytes on record");
    if (r == 0)
        r = pki_certificate_lint_der(&der, &issuance->plan);
    if (r == 0)
        r = pki_digest_hex(der.data, der.len, issuance->certificate_sha256);
    if (r < 0)
        return r;
    pc_bytes_clear(&issuance->der);
    issuance->der = der;
    der = (struct pc_bytes){0};
    return 0;
}

int issuance_finish(struct ca *ca, const struct issuance *issuance)
{
    struct ledger_certificate row;
    int r = ledger_row_get(ca->ledger, issuance->row, &row);
    if (r < 0)
        return r;
    if (row.state == LEDGER_VOID)
        return pc_refuse("identity-revoked", "%s: revoked while certificate %s was being signed; it is void",
                         issuance->cn, row.record.serial);
    r = retire(ca, issuance, &row);
    if (r == 0)
        r = ca->ledger->ops->issue(ca->ledger, issuance->row, &issuance->der, issuance->certificate_sha256,
                                   pc_now());
    return r < 0 ? r : audit_step(ca, issuance, "issue", issuance->certificate_sha256);
}

int issuance_let_go(struct ca *ca, const struct issuance *issuance)
{
    return ca->ledger->ops->own(ca->ledger, issuance->row, 0);
}

static int finish_once(struct ca *ca, const struct issuance *issuance)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin_shared(ca, &open);
    if (r == 0)
        r = issuance_finish(ca, issuance);
    return r < 0 ? r : ca_commit(ca, &open);
}

static int finish_alone(struct ca *ca, const struct issuance *issuance)
{
    int r = finish_once(ca, issuance);
    for (int i = 0; i < CA_CONFLICTS && ledger_conflict(r); i++)
        r = finish_once(ca, issuance);
    return r;
}

static void let_go_alone(struct ca *ca, const struct issuance *issuance)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    /* Best effort: the lock that stands for this process ends with it in any case. */
    if (ca_begin(ca, &open) == 0 && issuance_let_go(ca, issuance) == 0)
        (void)ca_commit(ca, &open);
}

int issuance_complete(struct ca *ca, struct issuance *issuance)
{
    int r = issuance_sign(ca, issuance);
    if (ca_token_lost(ca, r)) {
        r = ca_token_reopen(ca);
        if (r == 0)
            r = issuance_sign(ca, issuance);
    }
    if (r == 0)
        r = finish_alone(ca, issuance);
    if (r < 0) {
        struct ca_failure failure;
        ca_failure_keep(r, &failure);
        let_go_alone(ca, issuance);
        return ca_failure_again(&failure);
    }
    return 0;
}

int issuance_resume(struct ca *ca, struct issuance *issuance, const struct ledger_certificate *row,
                    const char *busy)
{
    struct pki_certificate_plan fresh = issuance->plan;
    bool lives = false, taken = false;
    int r = row->id ? ca->ledger->ops->owner_lives(ca->ledger, row->owner, &lives) : 0;
    if (r == 0 && lives)
        r = pc_fail(PC_EPENDING, "%s", busy);
    if (r == 0 && row->id)
        r = row->state == LEDGER_SIGNING ? issuance_take(ca, issuance, row, &taken) : issuance_void(ca, row);
    if (r < 0 || taken)
        return r;
    issuance->plan = fresh;
    return issuance_record(ca, issuance);
}
