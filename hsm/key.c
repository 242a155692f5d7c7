/* Keys that are in a token: found by their id, judged by their attributes, compared. Making and removing them
 * is in pair.c. */
#include "hsm/key.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/internal.h"
#include "hsm/object.h"
#include "hsm/public.h"
#include "hsm/result.h"
#include "hsm/signer.h"
#include "src/base/error.h"

enum want { MAY, MUST, MUST_NOT };

/* What a key that signs for an authority must be (PKCS#11 v2.40 §4.9). An attribute that a token does not
 * have counts as `absent`. */
static const struct rule {
    CK_ATTRIBUTE_TYPE type;
    const char *name;
    size_t offset;
    enum want want;
    bool absent;
} rules[] = {
#define RULE(type, field, want, absent)                                                                      \
    {                                                                                                        \
        type, #type, offsetof(struct hsm_key_attributes, field), want, absent                                \
    }
    RULE(CKA_TOKEN, token, MUST, false),
    RULE(CKA_PRIVATE, private_, MUST, false),
    RULE(CKA_SENSITIVE, sensitive, MUST, false),
    RULE(CKA_ALWAYS_SENSITIVE, always_sensitive, MUST, false),
    RULE(CKA_EXTRACTABLE, extractable, MUST_NOT, true),
    RULE(CKA_NEVER_EXTRACTABLE, never_extractable, MUST, false),
    RULE(CKA_LOCAL, local, MUST, false),
    RULE(CKA_SIGN, sign, MUST, false),
    RULE(CKA_DECRYPT, decrypt, MUST_NOT, false),
    RULE(CKA_UNWRAP, unwrap, MUST_NOT, false),
    RULE(CKA_DERIVE, derive, MAY, false),
    RULE(CKA_SIGN_RECOVER, sign_recover, MAY, false),
    RULE(CKA_MODIFIABLE, modifiable, MAY, false),
    RULE(CKA_ALWAYS_AUTHENTICATE, always_authenticate, MUST_NOT, false),
#undef RULE
};
#define RULES (sizeof rules / sizeof rules[0])

static bool *attribute_at(struct hsm_key_attributes *attributes, const struct rule *rule)
{
    return (bool *)((char *)attributes + rule->offset);
}

static int read_attributes(struct hsm_key *key, struct hsm_key_attributes *ret)
{
    struct hsm_key_attributes attributes = {0};
    for (size_t i = 0; i < RULES; i++) {
        bool present, value = rules[i].absent;
        int r = hsm_attribute_bool(key->token, key->private_handle, rules[i].type, rules[i].name, &value,
                                   &present);
        if (r < 0)
            return r;
        *attribute_at(&attributes, &rules[i]) = value;
    }
    int r = hsm_attribute_ulong(key->token, key->private_handle, CKA_KEY_GEN_MECHANISM,
                                "CKA_KEY_GEN_MECHANISM", &attributes.mechanism, &attributes.has_mechanism);
    if (r < 0)
        return r;
    if (attributes.mechanism == CK_UNAVAILABLE_INFORMATION)
        attributes.has_mechanism = false;
    *ret = attributes;
    return 0;
}

struct check_arguments {
    struct hsm_key *key;
    struct hsm_key_attributes attributes;
};

static int check_on_worker(void *arguments)
{
    struct check_arguments *a = arguments;
    return read_attributes(a->key, &a->attributes);
}

int hsm_key_check(struct hsm_key *key, struct hsm_key_attributes *ret)
{
    struct check_arguments a = {.key = key};
    int r = hsm_run(key->token->workers, "reading the key's attributes", check_on_worker, &a, sizeof a);
    if (r < 0)
        return r;
    char faults[512] = "";
    for (size_t i = 0; i < RULES; i++) {
        bool value = *attribute_at(&a.attributes, &rules[i]);
        if (rules[i].want == MAY || value == (rules[i].want == MUST))
            continue;
        size_t len = strlen(faults);
        snprintf(faults + len, sizeof faults - len, "%s%s is %s", len ? ", " : "", rules[i].name,
                 value ? "true" : "false");
    }
    if (faults[0])
        return pc_refuse("key-attributes", "token '%s': this is no key made in the token to sign with: %s",
                         key->token->info.label, faults);
    if (ret)
        *ret = a.attributes;
    return 0;
}

/* Exactly one object of this class with this id. */
static int find_half(struct hsm_token *token, CK_OBJECT_CLASS class, const char *what,
                     const struct hsm_id *id, CK_OBJECT_HANDLE *ret)
{
    size_t count;
    CK_OBJECT_HANDLE handle;
    int r = hsm_objects_with_id(token, class, id, &handle, 1, &count);
    if (r < 0)
        return r;
    char text[2 * sizeof id->octets + 1];
    pc_hex(id->octets, id->len, text);
    if (count == 0)
        return pc_refuse("key-missing", "token '%s': no %s key with id %s", token->info.label, what, text);
    if (count > 1)
        return pc_refuse("key-ambiguous", "token '%s': %zu %s keys with id %s", token->info.label, count,
                         what, text);
    *ret = handle;
    return 0;
}

/* libp11 read a public half of its own: it must be the one that certificates are compared with. */
static int check_signer(struct hsm_key *key)
{
    EVP_PKEY *ours = key->public_key;
    if (EVP_PKEY_eq(key->signer, ours) == 1)
        return 0;
    return pc_refuse("key-mismatch", "token '%s': the private and the public key with this id are no pair",
                     key->token->info.label);
}

/* Only where the module answers, and says so. */
static bool in_software(const struct hsm_token *token, const EVP_PKEY *key)
{
    CK_MECHANISM_INFO info;
    CK_MECHANISM_TYPE mechanism = EVP_PKEY_is_a(key, "RSA") == 1 ? CKM_RSA_PKCS : CKM_ECDSA;
    return token->module->C_GetMechanismInfo(token->slot, mechanism, &info) == CKR_OK &&
           !(info.flags & CKF_HW);
}

static int find(struct hsm_token *token, const struct hsm_id *id, struct hsm_key **ret)
{
    PC_CLEANUP(hsm_key_free_ref) struct hsm_key *key = calloc(1, sizeof *key);
    if (!key)
        return pc_fail(PC_EFAIL, "out of memory");
    key->token = token;
    key->id = *id;
    int r = find_half(token, CKO_PRIVATE_KEY, "private", id, &key->private_handle);
    if (r < 0)
        return r;
    r = find_half(token, CKO_PUBLIC_KEY, "public", id, &key->public_handle);
    if (r < 0)
        return r;
    r = hsm_public_read(token, key->public_handle, &key->public_key);
    if (r < 0)
        return r;
    r = hsm_signer_key(token, id, &key->signer);
    if (r < 0)
        return r;
    r = check_signer(key);
    if (r < 0)
        return r;
    key->software = in_software(token, key->public_key);
    *ret = pc_steal(key);
    return 0;
}

struct find_arguments {
    struct hsm_token *token;
    struct hsm_id id;
    struct hsm_key *key;
};

static int find_on_worker(void *arguments)
{
    struct find_arguments *a = arguments;
    return find(a->token, &a->id, &a->key);
}

int hsm_key_find(struct hsm_token *token, const struct hsm_id *id, struct hsm_key **ret)
{
    struct find_arguments a = {.token = token, .id = *id};
    int r = hsm_run(token->workers, "finding the key", find_on_worker, &a, sizeof a);
    if (r == 0)
        *ret = a.key;
    return r;
}

void hsm_key_free(struct hsm_key *key)
{
    if (!key || hsm_hangs(key->token->workers))
        return;
    EVP_PKEY_free(key->signer);
    EVP_PKEY_free(key->public_key);
    free(key);
}

struct count_arguments {
    struct hsm_token *token;
    char label[HSM_LABEL_MAX + 1];
    bool wants_first;
    size_t count;
    struct hsm_id first;
};

static int count_on_worker(void *arguments)
{
    struct count_arguments *a = arguments;
    CK_OBJECT_HANDLE first;
    int r = hsm_objects_with_label(a->token, CKO_PRIVATE_KEY, a->label, &first, 1, &a->count);
    if (r < 0 || a->count == 0 || !a->wants_first)
        return r;
    pc_autobytes octets = {0};
    r = hsm_attribute_need(a->token, first, CKA_ID, "CKA_ID", &octets);
    if (r < 0)
        return r;
    if (octets.len == 0 || octets.len > sizeof a->first.octets)
        return pc_refuse("key-id", "token '%s': key '%s' has a CKA_ID of %zu bytes", a->token->info.label,
                         a->label, octets.len);
    memcpy(a->first.octets, octets.data, octets.len);
    a->first.len = octets.len;
    return 0;
}

int hsm_key_count(struct hsm_token *token, const char *label, size_t *ret_count, struct hsm_id *ret_first)
{
    struct count_arguments a = {.token = token, .wants_first = ret_first != NULL};
    int r = hsm_label_copy(label, a.label);
    if (r == 0)
        r = hsm_run(token->workers, "counting its keys", count_on_worker, &a, sizeof a);
    if (r < 0)
        return r;
    if (a.count > 0 && ret_first)
        *ret_first = a.first;
    *ret_count = a.count;
    return 0;
}

int hsm_key_equals(struct hsm_key *key, const EVP_PKEY *expected)
{
    if (EVP_PKEY_eq(key->public_key, expected) == 1)
        return 0;
    return pc_refuse("key-mismatch", "token '%s': its key is not the one of the CA certificate",
                     key->token->info.label);
}

EVP_PKEY *hsm_key_signer(struct hsm_key *key)
{
    return key->signer;
}

bool hsm_key_in_software(const struct hsm_key *key)
{
    return key->software;
}

EVP_PKEY *hsm_key_public(struct hsm_key *key)
{
    return key->public_key;
}
