/* The audit key: planned, made in the token, certified by the CA, found again; each step on record before it
 * is taken. */
#include "src/ca/audit/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/random.h"
#include "src/base/time.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

#define LOCK_WAIT 30000 /* ms */

int audit_turn_take(struct ca *ca, struct audit_turn *turn)
{
    pc_autofree char *path = NULL;
    int r = ca_state_path(ca->settings, "audit.lock", &path);
    if (r == 0)
        r = pc_lock_take(path, LOCK_WAIT, &turn->lock);
    if (r == 0)
        r = ca->ledger->ops->turn(ca->ledger, LEDGER_TURN_AUDIT, true);
    if (r == 0)
        turn->ledger = ca->ledger;
    return r;
}

void audit_turn_end(struct audit_turn *turn)
{
    /* A session that is lost has lost its turn, too. */
    if (turn->ledger)
        (void)turn->ledger->ops->turn(turn->ledger, LEDGER_TURN_AUDIT, false);
    if (turn->lock >= 0)
        close(turn->lock);
}

/* The last one counts that was not retired. */
static int keep_key(void *context, const struct ledger_key *key)
{
    if (strcmp(key->state, "retired") != 0)
        *(struct ledger_key *)context = *key;
    return 0;
}

int audit_key_on_record(struct ca *ca, struct ledger_key *ret)
{
    struct ledger_key key = {0};
    int r = ca->ledger->ops->key_each(ca->ledger, AUDIT_KEY_ROLE, keep_key, &key);
    if (r == 0)
        *ret = key;
    return r;
}

static bool is_active(const struct ledger_key *key)
{
    return strcmp(key->state, "active") == 0;
}

static int count_key(void *context, const struct ledger_key *key)
{
    (void)key;
    ++*(size_t *)context;
    return 0;
}

static int write_plan(struct ca *ca, struct ledger_key *ret)
{
    size_t before = 0;
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_key plan = {.role = AUDIT_KEY_ROLE,
                              .state = "planned",
                              .label = AUDIT_KEY_LABEL,
                              .key_id = {.len = HSM_ID_LEN},
                              .planned_at = pc_now()};
    memcpy(plan.key_type, pki_key_type_name(PKI_KEY_EC_P256), strlen(pki_key_type_name(PKI_KEY_EC_P256)) + 1);
    int r = pc_random(plan.key_id.octets, plan.key_id.len);
    if (r == 0)
        r = ca->ledger->ops->key_each(ca->ledger, AUDIT_KEY_ROLE, count_key, &before);
    if (r == 0 && before > 0) /* a label is taken once in a token */
        snprintf(plan.label, sizeof plan.label, "%s-%zu", AUDIT_KEY_LABEL, before + 1);
    if (r == 0)
        r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->key_plan(ca->ledger, &plan, &plan.id);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){.act = "plan",
                                             .outcome = "done",
                                             .profile = pki_profile_audit.name,
                                             .subject = AUDIT_KEY_LABEL});
    if (r == 0)
        r = ca_commit(ca, &open);
    if (r == 0)
        *ret = plan;
    return r;
}

/* The row of the key's certificate that still counts; id 0 when there is none. */
static int certificate_row(struct ca *ca, struct ledger_certificate *ret)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const struct ledger_query query = {.issuer = ca->issuer.id,
                                       .subject = AUDIT_KEY_LABEL,
                                       .profile = pki_profile_audit.name,
                                       .states = LEDGER_UNFINISHED | LEDGER_BIT(LEDGER_CURRENT)};
    int r = ledger_collect(ca->ledger, &query, &rows);
    if (r == 0)
        *ret = rows.count ? rows.rows[0] : (struct ledger_certificate){0};
    return r;
}

/* `outcome`: "done", or "found" where an interrupted run made it. */
static int record_key(struct ca *ca, struct hsm_key *key, const char *outcome)
{
    char sha256[PKI_FINGERPRINT_TEXT];
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = pki_key_fingerprint(hsm_key_public(key), sha256);
    if (r == 0)
        r = ca_begin(ca, &open);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){.act = "key",
                                             .outcome = outcome,
                                             .profile = pki_profile_audit.name,
                                             .subject = AUDIT_KEY_LABEL,
                                             .key_sha256 = sha256});
    return r < 0 ? r : ca_commit(ca, &open);
}

static bool is_missing(int r)
{
    return r == PC_EREFUSED && strcmp(pc_error_name(), "key-missing") == 0;
}

/* A key is not replaced unasked: that would be a way to have forgotten what it vouched for. */
static int refuse_lost(const struct ca *ca, const char *sha256)
{
    return pc_refuse("key-missing",
                     "token '%s' does not hold the key %s that was certified; plantca reconcile "
                     "--accept-loss goes on with a new one",
                     ca->token_info.label, sha256);
}

/* The pair of the plan. One that was certified is never made anew: it may have signed. */
static int find_or_make(struct ca *ca, const struct ledger_key *plan, struct hsm_key **ret)
{
    struct hsm_key *key PC_CLEANUP(hsm_key_free_ref) = NULL;
    struct ledger_certificate row;
    bool made = false;
    int r = certificate_row(ca, &row);
    if (r < 0)
        return r;
    if (row.state == LEDGER_CURRENT && row.id) {
        r = hsm_key_find(ca->token, &plan->key_id, &key);
        if (is_missing(r))
            return refuse_lost(ca, row.record.key_sha256);
    } else {
        r = hsm_key_ensure(ca->token, PKI_KEY_EC_P256, plan->label, &plan->key_id, &key, &made);
    }
    if (r == 0)
        r = record_key(ca, key, made ? "done" : "found");
    if (r == 0)
        *ret = pc_steal(key);
    return r;
}

/* Reserves the certificate's row, or takes over the one that an interrupted run left. */
static int record_certificate(struct ca *ca, struct issuance *issuance, bool *ret_issued)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_certificate row;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = certificate_row(ca, &row);
    if (r < 0)
        return r;
    *ret_issued = row.id && row.state == LEDGER_CURRENT;
    if (*ret_issued) {
        issuance->row = row.id;
        return strcmp(row.record.key_sha256, issuance->key_sha256) == 0
                   ? 0
                   : pc_refuse("key-mismatch",
                               "the audit key in the token is not the one that was certified");
    }
    r = issuance_resume(ca, issuance, &row, "another process is certifying the audit key");
    return r < 0 ? r : ca_commit(ca, &open);
}

/* Issued like every other, for as long as the CA lasts. */
static int certify(struct ca *ca, struct hsm_key *key, int64_t *ret_row,
                   char ret_sha256[PKI_FINGERPRINT_TEXT])
{
    struct issuance PC_CLEANUP(issuance_clear) issuance = {
        .plan = {.profile = &pki_profile_audit, .subject_key = hsm_key_public(key), .cn = AUDIT_KEY_LABEL},
        .cn = AUDIT_KEY_LABEL,
        .revoke_old = -1,
    };
    int64_t from, until;
    bool issued = false;
    int r = pki_certificate_dates(ca->certificate, &from, &until);
    if (r == 0)
        r = issuance_plan(ca, &issuance, (until - from) / PC_DAY + 1);
    if (r == 0)
        r = hsm_key_check(key, NULL);
    if (r == 0)
        r = record_certificate(ca, &issuance, &issued);
    if (r == 0 && !issued)
        r = issuance_complete(ca, &issuance);
    if (r < 0)
        return r;
    memcpy(ret_sha256, issuance.key_sha256, sizeof issuance.key_sha256);
    *ret_row = issuance.row;
    return 0;
}

static int activate(struct ca *ca, struct ledger_key *key)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->key_activate(ca->ledger, key->id, key->sha256, key->certificate);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){.act = "activate",
                                             .outcome = "done",
                                             .profile = pki_profile_audit.name,
                                             .subject = AUDIT_KEY_LABEL,
                                             .key_sha256 = key->sha256});
    return r < 0 ? r : ca_commit(ca, &open);
}

/* Whether nothing is said against the key's certificate. */
static int judge_certificate(struct ca *ca, const struct ledger_key *record, bool *ret_good)
{
    struct ledger_certificate row;
    *ret_good = true;
    if (!is_active(record))
        return 0;
    int r = ledger_row_get(ca->ledger, record->certificate, &row);
    if (r < 0)
        return r;
    if (row.state == LEDGER_HELD)
        return pc_refuse("audit-held", "certificate %s of the audit key is on hold", row.record.serial);
    *ret_good = row.state == LEDGER_CURRENT;
    return 0;
}

/* Inside a transaction. `why` may be NULL. */
static int retire(struct ca *ca, const struct ledger_key *record, const char *why)
{
    int r = ca->ledger->ops->key_retire(ca->ledger, record->id);
    if (r < 0)
        return r;
    return ca_audit(ca, &(struct audit_act){.act = "retire",
                                            .outcome = "done",
                                            .profile = pki_profile_audit.name,
                                            .subject = AUDIT_KEY_LABEL,
                                            .key_sha256 = record->sha256,
                                            .note = why});
}

/* One whose certificate was revoked has had its day: the next one is made. */
static int retire_revoked(struct ca *ca, struct ledger_key *record)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    bool good = true;
    int r = judge_certificate(ca, record, &good);
    if (r < 0 || good)
        return r;
    r = ca_begin(ca, &open);
    if (r == 0)
        r = retire(ca, record, NULL);
    if (r == 0)
        r = ca_commit(ca, &open);
    *record = (struct ledger_key){0};
    return r;
}

/* The key that is in use, out of the token. */
static int find_active(struct ca *ca, const struct ledger_key *record, struct hsm_key **ret)
{
    int r = hsm_key_find(ca->token, &record->key_id, ret);
    return is_missing(r) ? refuse_lost(ca, record->sha256) : r;
}

/* Alone: two that start at once make one key. */
static int make(struct ca *ca, struct ledger_key *record, struct hsm_key **ret)
{
    struct audit_turn turn PC_CLEANUP(audit_turn_end) = {.lock = -1};
    int r = audit_turn_take(ca, &turn);
    if (r == 0)
        r = audit_key_on_record(ca, record);
    if (r == 0)
        r = retire_revoked(ca, record);
    if (r == 0 && record->id == 0)
        r = write_plan(ca, record);
    if (r == 0)
        r = is_active(record) ? find_active(ca, record, ret) : find_or_make(ca, record, ret);
    if (r < 0 || is_active(record))
        return r;
    r = certify(ca, *ret, &record->certificate, record->sha256);
    return r < 0 ? r : activate(ca, record);
}

static int load_certificate(struct ca *ca, const struct ledger_key *record, struct hsm_key *key)
{
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    pc_autobytes der = {0};
    int r = ca->ledger->ops->body(ca->ledger, record->certificate, NULL, &der);
    if (r == 0)
        r = pki_certificate_parse(der.data, der.len, &certificate);
    if (r == 0)
        r = hsm_key_equals(key, X509_get0_pubkey(certificate));
    if (r < 0)
        return pc_fail_in("the audit key's certificate");
    ca->audit_certificate = pc_steal(certificate);
    return 0;
}

int audit_key_ensure(struct ca *ca)
{
    struct hsm_key *key PC_CLEANUP(hsm_key_free_ref) = NULL;
    struct ledger_key record;
    if (ca->audit_key)
        return 0;
    bool good = true;
    int r = audit_key_on_record(ca, &record);
    if (r == 0)
        r = judge_certificate(ca, &record, &good);
    if (r == 0)
        r = is_active(&record) && good ? find_active(ca, &record, &key) : make(ca, &record, &key);
    if (r < 0)
        return pc_error_code() == PC_EREFUSED ? pc_fail_in("audit key") : r;
    r = hsm_key_check(key, NULL);
    if (r == 0 && EVP_PKEY_eq(hsm_key_public(key), ca->public_key) == 1)
        r = pc_refuse("key-mismatch", "the audit key on record is the CA's own key");
    if (r == 0 && !ca->audit_certificate)
        r = load_certificate(ca, &record, key);
    if (r == 0)
        ca->audit_key = pc_steal(key);
    return r;
}

int audit_key_retire_lost(struct ca *ca, const char *why, bool *ret_retired)
{
    struct hsm_key *key PC_CLEANUP(hsm_key_free_ref) = NULL;
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_certificate row;
    struct ledger_key record;
    struct audit_turn turn PC_CLEANUP(audit_turn_end) = {.lock = -1};
    *ret_retired = false;
    int r = audit_turn_take(ca, &turn);
    if (r == 0)
        r = audit_key_on_record(ca, &record);
    if (r == 0)
        r = certificate_row(ca, &row);
    /* One that was never certified is made anew from its plan. */
    if (r < 0 || record.id == 0 || row.id == 0 || row.state != LEDGER_CURRENT)
        return r;
    r = hsm_key_find(ca->token, &record.key_id, &key);
    if (!is_missing(r))
        return r;
    memcpy(record.sha256, row.record.key_sha256, sizeof record.sha256);
    r = ca_begin(ca, &open);
    if (r == 0)
        r = retire(ca, &record, why);
    if (r == 0)
        r = issuance_revoke(ca, &row, CRL_REASON_CESSATION_OF_OPERATION, 0);
    if (r == 0)
        r = ca_commit(ca, &open);
    *ret_retired = r == 0;
    return r;
}
