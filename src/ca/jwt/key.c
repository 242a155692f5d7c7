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

static void name_key(size_t number, struct ledger_key *key)
{
    snprintf(key->label, sizeof key->label, number > 1 ? "%s-%zu" : "%s", JWT_KEY_LABEL, number);
}

static int write_plan(struct ca *ca, size_t number)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_key plan = {
        .role = JWT_KEY_ROLE, .state = "planned", .key_id = {.len = HSM_ID_LEN}, .planned_at = pc_now()};
    snprintf(plan.key_type, sizeof plan.key_type, "%s", pki_key_type_name(PKI_KEY_RSA_2048));
    name_key(number, &plan);
    int r = pc_random(plan.key_id.octets, plan.key_id.len);
    if (r == 0)
        r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->key_plan(ca->ledger, &plan, &plan.id);
    if (r == 0)
        r = audit(ca, &plan, "planned");
    return r < 0 ? r : ca_commit(ca, &open);
}

/* A restored ledger does not know the key that was made after it was copied. */
static int name_way_out(int r)
{
    struct ca_failure failure = {0};
    if (r != PC_EREFUSED || strcmp(pc_error_name(), "key-exists") != 0)
        return r;
    ca_failure_keep(r, &failure);
    return pc_refuse("key-exists",
                     "%s; if an older ledger was restored, 'plantca jwt-key --adopt' puts that key back on "
                     "record",
                     failure.text);
}

static int activate(struct ca *ca, struct ledger_key key)
{
    struct hsm_key *pair PC_CLEANUP(hsm_key_free_ref) = NULL;
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    bool made;
    int r = name_way_out(hsm_key_ensure(ca->token, PKI_KEY_RSA_2048, key.label, &key.key_id, &pair, &made));
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

/* As strict as with a key that we made. */
static int judge_found(struct ca *ca, struct ledger_key *key)
{
    struct hsm_key *pair PC_CLEANUP(hsm_key_free_ref) = NULL;
    enum pki_key_type type;
    int r = hsm_key_find(ca->token, &key->key_id, &pair);
    if (r == 0)
        r = hsm_key_check(pair, NULL);
    if (r == 0)
        r = pki_key_fingerprint(hsm_key_public(pair), key->sha256);
    if (r == 0 && EVP_PKEY_eq(hsm_key_public(pair), ca->public_key) == 1)
        r = pc_refuse("key-mismatch", "it is the CA's own key, which signs no tokens");
    if (r == 0 && (pki_key_type_of(hsm_key_public(pair), &type) != 0 || type != PKI_KEY_RSA_2048))
        r = pc_refuse("key-type", "it is no %s key", pki_key_type_name(PKI_KEY_RSA_2048));
    return r < 0 ? pc_fail_in("key '%s' in the token", key->label) : 0;
}

static int record_found(struct ca *ca, const struct ledger_key *planned, struct ledger_key *key)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin(ca, &open);
    if (r == 0 && planned)
        r = ca->ledger->ops->key_retire(ca->ledger, planned->id);
    if (r == 0)
        r = ca->ledger->ops->key_plan(ca->ledger, key, &key->id);
    if (r == 0)
        r = ca->ledger->ops->key_activate(ca->ledger, key->id, key->sha256, 0);
    if (r == 0)
        r = audit(ca, key, "adopted");
    return r < 0 ? r : ca_commit(ca, &open);
}

static int take_lock(struct ca *ca, int *ret_fd)
{
    pc_autofree char *path = NULL;
    int r = ca_state_path(ca->settings, "jwt.lock", &path);
    return r < 0 ? r : pc_lock_take(path, LOCK_WAIT, ret_fd);
}

int jwt_key_adopt(struct ca *ca)
{
    struct ledger_key key = {.role = JWT_KEY_ROLE, .state = "planned", .planned_at = pc_now()};
    pc_autoclose int lock = -1;
    struct jwt_keys keys;
    size_t count = 0;
    int r = take_lock(ca, &lock);
    if (r == 0)
        r = jwt_keys_on_record(ca, &keys);
    if (r < 0)
        return r;
    const struct ledger_key *planned = newest(&keys, "planned");
    snprintf(key.key_type, sizeof key.key_type, "%s", pki_key_type_name(PKI_KEY_RSA_2048));
    name_key(keys.count + 1, &key);
    if (planned)
        memcpy(key.label, planned->label, sizeof key.label);
    r = hsm_key_count(ca->token, key.label, &count, &key.key_id);
    if (r == 0 && count != 1)
        r = pc_refuse("jwt-key-adopt", "the token holds %zu keys labelled '%s'; exactly one can be adopted",
                      count, key.label);
    for (size_t i = 0; r == 0 && i < keys.count; i++)
        if (&keys.keys[i] != planned && keys.keys[i].key_id.len == key.key_id.len &&
            memcmp(keys.keys[i].key_id.octets, key.key_id.octets, key.key_id.len) == 0)
            r = pc_refuse("jwt-key-adopt", "the key labelled '%s' is on record already", key.label);
    if (r == 0)
        r = judge_found(ca, &key);
    return r < 0 ? r : record_found(ca, planned, &key);
}

int jwt_key_ensure(struct ca *ca, bool fresh, bool *ret_made)
{
    pc_autoclose int lock = -1; /* two that start at once make one key */
    struct jwt_keys keys;
    int r = take_lock(ca, &lock);
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
