/* JWT keys: planned, made in the token, activated, retired; each step on record before it is taken. */
#include "src/ca/jwt/key.h"

#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/random.h"
#include "src/base/time.h"

#define LOCK_WAIT 30000 /* ms */

static int take_key(void *context, const struct ledger_key *key)
{
    struct jwt_keys *keys = context;
    if (keys->count == JWT_KEYS_MAX)
        return pc_refuse("jwt-keys", "more than %d JWT keys are on record", JWT_KEYS_MAX);
    keys->keys[keys->count++] = *key;
    return 0;
}

int jwt_keys_on_record(struct ca *ca, struct jwt_keys *ret)
{
    ret->count = 0;
    return ca->ledger->ops->key_each(ca->ledger, JWT_KEY_ROLE, take_key, ret);
}

static const struct ledger_key *newest(const struct jwt_keys *keys, const char *state)
{
    for (size_t i = keys->count; i-- > 0;)
        if (strcmp(keys->keys[i].state, state) == 0)
            return &keys->keys[i];
    return NULL;
}

const struct ledger_key *jwt_key_current(const struct jwt_keys *keys)
{
    return newest(keys, "active");
}

int jwt_key_open(struct ca *ca, const struct ledger_key *record, struct hsm_key **ret)
{
    char sha256[PKI_FINGERPRINT_TEXT];
    struct hsm_key *key PC_CLEANUP(hsm_key_free_ref) = NULL;
    int r = hsm_key_find(ca->token, &record->key_id, &key);
    if (r == 0)
        r = hsm_key_check(key, NULL);
    if (r == 0)
        r = pki_key_fingerprint(hsm_key_public(key), sha256);
    if (r == 0 && strcmp(sha256, record->sha256) != 0)
        r = pc_refuse("key-mismatch", "the token holds another key under the id of %s", record->sha256);
    if (r == 0 && EVP_PKEY_eq(hsm_key_public(key), ca->public_key) == 1)
        r = pc_refuse("key-mismatch", "it is the CA's own key, which signs no tokens");
    if (r < 0)
        return pc_fail_in("JWT key %s", record->label);
    *ret = pc_steal(key);
    return 0;
}

static int audit(struct ca *ca, const struct ledger_key *key, const char *note)
{
    return ca_audit(ca, &(struct audit_act){.act = "jwt-key",
                                            .outcome = "done",
                                            .subject = key->label,
                                            .key_sha256 = *key->sha256 ? key->sha256 : NULL,
                                            .note = note});
}

static int write_plan(struct ca *ca, size_t number)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_key plan = {.role = JWT_KEY_ROLE,
                              .state = "planned",
                              .label = JWT_KEY_LABEL,
                              .key_id = {.len = HSM_ID_LEN},
                              .planned_at = pc_now()};
    snprintf(plan.key_type, sizeof plan.key_type, "%s", pki_key_type_name(PKI_KEY_RSA_2048));
    if (number > 1)
        snprintf(plan.label, sizeof plan.label, "%s-%zu", JWT_KEY_LABEL, number);
    int r = pc_random(plan.key_id.octets, plan.key_id.len);
    if (r == 0)
        r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->key_plan(ca->ledger, &plan, &plan.id);
    if (r == 0)
        r = audit(ca, &plan, "planned");
    return r < 0 ? r : ca_commit(ca, &open);
}

static int activate(struct ca *ca, struct ledger_key key)
{
    struct hsm_key *pair PC_CLEANUP(hsm_key_free_ref) = NULL;
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    bool made;
    int r = hsm_key_ensure(ca->token, PKI_KEY_RSA_2048, key.label, &key.key_id, &pair, &made);
    if (r == 0)
        r = pki_key_fingerprint(hsm_key_public(pair), key.sha256);
    if (r == 0)
        r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->key_activate(ca->ledger, key.id, key.sha256, 0);
    if (r == 0)
        r = audit(ca, &key, "active");
    return r < 0 ? r : ca_commit(ca, &open);
}

int jwt_key_ensure(struct ca *ca, bool fresh, bool *ret_made)
{
    pc_autofree char *path = NULL;
    pc_autoclose int lock = -1; /* two that start at once make one key */
    struct jwt_keys keys;
    int r = ca_state_path(ca->settings, "jwt.lock", &path);
    if (r == 0)
        r = pc_lock_take(path, LOCK_WAIT, &lock);
    if (r == 0)
        r = jwt_keys_on_record(ca, &keys);
    if (r < 0)
        return r;
    if (!newest(&keys, "planned") && (fresh || !jwt_key_current(&keys))) {
        r = write_plan(ca, keys.count + 1);
        if (r == 0)
            r = jwt_keys_on_record(ca, &keys);
    }
    const struct ledger_key *planned = newest(&keys, "planned");
    if (r == 0 && planned)
        r = activate(ca, *planned);
    if (r == 0)
        *ret_made = planned != NULL;
    return r;
}

int jwt_key_retire(struct ca *ca, const struct ledger_key *record)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->key_retire(ca->ledger, record->id);
    if (r == 0)
        r = audit(ca, record, "retired");
    return r < 0 ? r : ca_commit(ca, &open);
}
