/* The set of JWT keys, and tokens signed with the newest. */
#include "src/ca/jwt.h"

#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/base/random.h"
#include "src/base/time.h"
#include "src/ca/guard.h"
#include "src/ca/jwt/jwk.h"
#include "src/ca/jwt/key.h"
#include "src/pki/openssl.h"

static void json_free_ref(json_t **value)
{
    json_decref(*value);
}

void ca_jwt_key_clear(struct ca_jwt_key *key)
{
    pc_bytes_clear(&key->pem);
    pc_bytes_clear(&key->jwks);
    *key = (struct ca_jwt_key){0};
}

static int public_pem(EVP_PKEY *key, struct pc_bytes *ret)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *out = BIO_new(BIO_s_mem());
    const char *text;
    if (!out || PEM_write_bio_PUBKEY(out, key) != 1)
        return pc_fail_openssl(PC_EFAIL, "public key");
    long len = BIO_get_mem_data(out, &text);
    return pc_bytes_copy(text, (size_t)len, ret);
}

/* One active key: into the set; the last one also as PEM. Retires it where `retire` names it. */
static int take_key(struct ca *ca, const struct ledger_key *record, bool current, const char *retire,
                    bool *ret_retired, json_t *set, struct ca_jwt_key *ret)
{
    struct hsm_key *key PC_CLEANUP(hsm_key_free_ref) = NULL;
    char kid[JWK_KID_TEXT];
    json_t *jwk = NULL;
    int r = jwt_key_open(ca, record, &key);
    if (r == 0)
        r = jwk_kid(hsm_key_public(key), kid);
    if (r < 0)
        return r;
    if (retire && strcmp(retire, kid) == 0) {
        if (current)
            return pc_refuse("jwt-key-current", "key %s is the one that signs: --rotate makes its successor",
                             kid);
        *ret_retired = true;
        return jwt_key_retire(ca, record);
    }
    r = jwk_json(hsm_key_public(key), &jwk);
    if (r == 0 && json_array_append_new(set, jwk) != 0)
        r = pc_fail(PC_EFAIL, "out of memory");
    if (r == 0 && current) {
        memcpy(ret->kid, kid, sizeof kid);
        r = public_pem(hsm_key_public(key), &ret->pem);
    }
    return r;
}

static int take_keys(struct ca *ca, const char *retire, struct ca_jwt_key *ret)
{
    json_t *set PC_CLEANUP(json_free_ref) = json_array();
    struct jwt_keys keys;
    bool retired = false;
    int r = jwt_keys_on_record(ca, &keys);
    const struct ledger_key *current = r == 0 ? jwt_key_current(&keys) : NULL;
    for (size_t i = 0; r == 0 && i < keys.count; i++)
        if (strcmp(keys.keys[i].state, "active") == 0)
            r = take_key(ca, &keys.keys[i], &keys.keys[i] == current, retire, &retired, set, ret);
    if (r == 0 && retire && !retired)
        r = pc_refuse("jwt-key-unknown", "no JWT key has the kid '%.64s'", retire);
    return r < 0 ? r : jwk_text(json_pack("{s:O}", "keys", set), &ret->jwks);
}

int ca_jwt_key(struct ca *ca, enum ca_jwt_act act, const char *retire, struct ca_jwt_key *ret)
{
    struct ca_jwt_key key PC_CLEANUP(ca_jwt_key_clear) = {0};
    int r = ca_signing_key(ca);
    if (r == 0)
        r = guard_check(ca);
    if (r == 0)
        r = retire                ? 0
            : act == CA_JWT_ADOPT ? jwt_key_adopt(ca)
                                  : jwt_key_ensure(ca, act == CA_JWT_ROTATE, &key.made);
    if (r == 0)
        r = take_keys(ca, retire, &key);
    if (r < 0)
        return r;
    *ret = key;
    key = (struct ca_jwt_key){0};
    return 0;
}

/* RFC 7519 §4.1: these are ours to set. */
static bool is_registered(const char *name)
{
    static const char *const registered[] = {"iss", "sub", "aud", "exp", "nbf", "iat", "jti"};
    for (size_t i = 0; i < sizeof registered / sizeof registered[0]; i++)
        if (strcmp(name, registered[i]) == 0)
            return true;
    return false;
}

static int add_claims(json_t *payload, const struct ca_jwt_plan *plan)
{
    for (size_t i = 0; i < plan->claim_count; i++) {
        const struct ca_jwt_claim *claim = &plan->claims[i];
        json_error_t error;
        if (*claim->name == '\0' || is_registered(claim->name))
            return pc_fail(PC_EUSAGE,
                           "claim '%s': registered claims have options of their own (RFC 7519 §4.1)",
                           claim->name);
        if (json_object_get(payload, claim->name))
            return pc_fail(PC_EUSAGE, "claim '%s' is given twice", claim->name);
        json_t *value = claim->json
                            ? json_loads(claim->value, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error)
                            : json_string(claim->value);
        if (!value)
            return claim->json ? pc_fail(PC_EUSAGE, "claim '%s' is no JSON: %s", claim->name, error.text)
                               : pc_fail(PC_EUSAGE, "claim '%s' is no UTF-8", claim->name);
        if (json_object_set_new(payload, claim->name, value) != 0)
            return pc_fail(PC_EUSAGE, "claim '%.64s' cannot be taken: its name is no UTF-8", claim->name);
    }
    return 0;
}

static int make_payload(const struct ca_jwt_plan *plan, int64_t now, struct pc_bytes *ret)
{
    unsigned char random[16];
    char jti[2 * sizeof random + 1];
    int r = pc_random(random, sizeof random);
    if (r < 0)
        return r;
    pc_hex(random, sizeof random, jti);
    json_t *payload PC_CLEANUP(json_free_ref) =
        json_pack("{s:s,s:I,s:I,s:I,s:s,s:s*,s:s*}", "sub", plan->subject, "iat", (json_int_t)now, "nbf",
                  (json_int_t)now, "exp", (json_int_t)(now + plan->ttl), "jti", jti, "aud", plan->audience,
                  "iss", plan->issuer);
    if (!payload)
        return pc_fail(PC_EUSAGE, "audience or issuer is no UTF-8");
    r = add_claims(payload, plan);
    return r < 0 ? r : jwk_text(json_incref(payload), ret);
}

/* BASE64URL(header) "." BASE64URL(payload) (RFC 7515 §5.1). */
static int make_input(struct hsm_key *key, const struct pc_bytes *payload, struct pc_bytes *ret)
{
    char kid[JWK_KID_TEXT];
    pc_autobytes header = {0};
    int r = jwk_kid(hsm_key_public(key), kid);
    if (r == 0)
        r = jwk_text(json_pack("{s:s,s:s,s:s}", "alg", "RS256", "typ", "JWT", "kid", kid), &header);
    if (r < 0)
        return r;
    pc_autofree char *first = jwk_base64url(header.data, header.len);
    pc_autofree char *second = jwk_base64url(payload->data, payload->len);
    pc_autofree char *input = NULL;
    if (!first || !second || asprintf(&input, "%s.%s", first, second) < 0)
        return pc_fail(PC_EFAIL, "out of memory");
    return pc_bytes_copy(input, strlen(input), ret);
}

/* Without the row in the audit log there is no token. */
static int record(struct ca *ca, const struct ca_jwt_plan *plan, const struct ledger_key *key,
                  const struct pc_bytes *input, int64_t now)
{
    char tbs_sha256[PKI_FINGERPRINT_TEXT];
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = pki_digest_hex(input->data, input->len, tbs_sha256);
    if (r == 0)
        r = ca_begin(ca, &open);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){.act = "jwt",
                                             .outcome = "done",
                                             .subject = plan->subject,
                                             .key_sha256 = key->sha256,
                                             .tbs_sha256 = tbs_sha256,
                                             .until = now + plan->ttl});
    return r < 0 ? r : ca_commit(ca, &open);
}

/* Our own output is verified before it is released. */
static int sign(struct hsm_key *key, const struct pc_bytes *input, struct pc_bytes *ret)
{
    pc_autobytes signature = {0};
    PC_CLEANUP(EVP_MD_CTX_free_ref) EVP_MD_CTX *context = EVP_MD_CTX_new();
    int r = hsm_key_sign(key, EVP_sha256(), input, &signature);
    if (r < 0)
        return r;
    if (!context || EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, hsm_key_public(key)) != 1 ||
        EVP_DigestVerify(context, signature.data, signature.len, input->data, input->len) != 1)
        return pc_fail_openssl(PC_EFAIL, "the signature just made does not verify");
    pc_autofree char *third = jwk_base64url(signature.data, signature.len);
    pc_autofree char *token = NULL;
    if (!third || asprintf(&token, "%s.%s", (const char *)input->data, third) < 0)
        return pc_fail(PC_EFAIL, "out of memory");
    return pc_bytes_copy(token, strlen(token), ret);
}

static int keep_row(void *context, const struct ledger_certificate *row)
{
    *(struct ledger_certificate *)context = *row;
    return 0;
}

/* A plant that may not come in by its certificate does not get a token to come in by. */
static int judge_plant(struct ca *ca, const struct ca_jwt_plan *plan)
{
    const struct ledger_query query = {.subject = plan->subject,
                                       .states = LEDGER_BIT(LEDGER_CURRENT) | LEDGER_BIT(LEDGER_SUPERSEDED) |
                                                 LEDGER_BIT(LEDGER_HELD) | LEDGER_BIT(LEDGER_REVOKED) |
                                                 LEDGER_BIT(LEDGER_FOREIGN),
                                       .newest_first = true,
                                       .limit = 1};
    struct ledger_certificate row = {0};
    int r = ca->ledger->ops->find(ca->ledger, &query, keep_row, &row);
    if (r < 0)
        return r;
    if (row.id && (row.state == LEDGER_REVOKED || row.state == LEDGER_HELD))
        return pc_refuse("jwt-plant", "plant %s: its newest certificate %s is %s", plan->subject,
                         row.record.serial, row.state == LEDGER_HELD ? "on hold" : "revoked");
    if (!row.id && !plan->any)
        return pc_refuse("jwt-plant", "plant %s: no certificate of it is on record (--any allows that)",
                         plan->subject);
    return 0;
}

int ca_jwt_sign(struct ca *ca, const struct ca_jwt_plan *plan, struct pc_bytes *ret_token)
{
    struct hsm_key *key PC_CLEANUP(hsm_key_free_ref) = NULL;
    pc_autobytes payload = {0}, input = {0};
    struct jwt_keys keys;
    int64_t now = pc_now();
    if (plan->ttl < 1 || plan->ttl > CA_JWT_TTL_MAX)
        return pc_fail(PC_EUSAGE, "a token lives from 1s to %lldd", (long long)(CA_JWT_TTL_MAX / PC_DAY));
    int r = make_payload(plan, now, &payload);
    if (r == 0)
        r = jwt_keys_on_record(ca, &keys);
    if (r < 0)
        return r;
    const struct ledger_key *current = jwt_key_current(&keys);
    if (!current)
        return pc_refuse("jwt-key-missing", "there is no JWT key yet: 'plantca jwt-key' makes it");
    r = judge_plant(ca, plan);
    if (r == 0)
        r = ca_signing_key(ca);
    if (r == 0)
        r = guard_check(ca);
    if (r == 0)
        r = jwt_key_open(ca, current, &key);
    if (r == 0)
        r = make_input(key, &payload, &input);
    if (r == 0)
        r = record(ca, plan, current, &input, now);
    return r < 0 ? r : sign(key, &input, ret_token);
}
