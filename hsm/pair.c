/* Making key pairs in a token, with a strict template, and removing them again. Using a pair is in key.c. */
#include "hsm/key.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/internal.h"
#include "hsm/object.h"
#include "hsm/result.h"
#include "src/base/error.h"

/* DER OBJECT IDENTIFIERs of the curves (RFC 5480 §2.1.1.1). */
static const CK_BYTE oid_p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const CK_BYTE oid_p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};

/* How each kind of key is asked for: its mechanism, and the bits of an RSA modulus or the name of a curve. */
static const struct kind {
    CK_MECHANISM_TYPE mechanism;
    CK_ULONG bits;
    const CK_BYTE *curve;
    size_t curve_len;
} kinds[] = {
    [PKI_KEY_RSA_2048] = {.mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN, .bits = 2048},
    [PKI_KEY_RSA_3072] = {.mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN, .bits = 3072},
    [PKI_KEY_RSA_4096] = {.mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN, .bits = 4096},
    [PKI_KEY_EC_P256] = {.mechanism = CKM_EC_KEY_PAIR_GEN, .curve = oid_p256, .curve_len = sizeof oid_p256},
    [PKI_KEY_EC_P384] = {.mechanism = CKM_EC_KEY_PAIR_GEN, .curve = oid_p384, .curve_len = sizeof oid_p384},
};
static_assert(sizeof kinds / sizeof kinds[0] == PKI_KEY_TYPES, "each kind of key has its row");

/* PKCS#11 templates are not const, though a module only reads them: so they point at copies. */
struct template_values {
    CK_BBOOL yes, no;
    CK_ULONG bits;
    CK_BYTE exponent[3], curve[sizeof oid_p256], id[64];
    char *label;
};

static CK_RV generate(struct hsm_token *token, CK_SESSION_HANDLE session, const struct kind *kind,
                      struct template_values *v, size_t id_len, CK_OBJECT_HANDLE *ret_public,
                      CK_OBJECT_HANDLE *ret_private)
{
    CK_ULONG label_len = strlen(v->label);
    CK_ATTRIBUTE public_half[] = {
        {CKA_TOKEN, &v->yes, sizeof v->yes},
        {CKA_PRIVATE, &v->no, sizeof v->no},
        {CKA_VERIFY, &v->yes, sizeof v->yes},
        {CKA_ENCRYPT, &v->no, sizeof v->no},
        {CKA_WRAP, &v->no, sizeof v->no},
        {CKA_MODIFIABLE, &v->no, sizeof v->no},
        {CKA_LABEL, v->label, label_len},
        {CKA_ID, v->id, id_len},
        {CKA_MODULUS_BITS, &v->bits, sizeof v->bits},
        {CKA_PUBLIC_EXPONENT, v->exponent, sizeof v->exponent},
    };
    CK_ULONG public_len = sizeof public_half / sizeof public_half[0];
    if (kind->curve) {
        public_half[public_len - 2] = (CK_ATTRIBUTE){CKA_EC_PARAMS, v->curve, kind->curve_len};
        public_len--;
    }
    CK_ATTRIBUTE private_half[] = {
        {CKA_TOKEN, &v->yes, sizeof v->yes},     {CKA_PRIVATE, &v->yes, sizeof v->yes},
        {CKA_SENSITIVE, &v->yes, sizeof v->yes}, {CKA_EXTRACTABLE, &v->no, sizeof v->no},
        {CKA_SIGN, &v->yes, sizeof v->yes},      {CKA_SIGN_RECOVER, &v->no, sizeof v->no},
        {CKA_DECRYPT, &v->no, sizeof v->no},     {CKA_UNWRAP, &v->no, sizeof v->no},
        {CKA_DERIVE, &v->no, sizeof v->no},      {CKA_MODIFIABLE, &v->no, sizeof v->no},
        {CKA_LABEL, v->label, label_len},        {CKA_ID, v->id, id_len},
    };
    CK_MECHANISM mechanism = {.mechanism = kind->mechanism};
    return token->module->C_GenerateKeyPair(session, &mechanism, public_half, public_len, private_half,
                                            sizeof private_half / sizeof private_half[0], ret_public,
                                            ret_private);
}

/* Nothing that is there may be mistaken for the new pair later. */
static int check_free(struct hsm_token *token, const char *label, const struct hsm_id *id)
{
    size_t count;
    int r = hsm_objects_with_id(token, HSM_ANY_CLASS, id, NULL, 0, &count);
    if (r < 0)
        return r;
    if (count > 0)
        return pc_refuse("key-exists", "token '%s': %zu object%s with the new key's id %s there already",
                         token->info.label, count, count == 1 ? "" : "s", count == 1 ? "is" : "are");
    r = hsm_objects_with_label(token, CKO_PRIVATE_KEY, label, NULL, 0, &count);
    if (r < 0)
        return r;
    if (count > 0)
        return pc_refuse("key-exists", "token '%s': %zu private key%s labelled '%s' %s there already",
                         token->info.label, count, count == 1 ? "" : "s", label, count == 1 ? "is" : "are");
    return 0;
}

/* The new pair as later runs will find it, and whether it is what was asked for. */
static int check_new(struct hsm_token *token, enum pki_key_type type, const struct hsm_id *id,
                     struct hsm_key **ret)
{
    PC_CLEANUP(hsm_key_free_ref) struct hsm_key *key = NULL;
    int r = hsm_key_find(token, id, &key);
    if (r < 0)
        return r;
    r = hsm_key_check(key, NULL);
    if (r < 0)
        return r;
    enum pki_key_type made;
    r = pki_key_type_of(hsm_key_public(key), &made);
    if (r < 0)
        return r;
    if (made != type)
        return pc_refuse("key-type", "token '%s': asked for %s, it made %s", token->info.label,
                         pki_key_type_name(type), pki_key_type_name(made));
    *ret = pc_steal(key);
    return 0;
}

/* Both halves, the private one first: what an interruption leaves behind must not be able to sign. */
static CK_RV destroy(struct hsm_token *token, CK_SESSION_HANDLE session, const CK_OBJECT_HANDLE halves[2])
{
    CK_RV result = CKR_OK;
    for (int i = 0; i < 2; i++) {
        if (halves[i] == CK_INVALID_HANDLE)
            continue;
        CK_RV rv = token->module->C_DestroyObject(session, halves[i]);
        if (result == CKR_OK)
            result = rv;
    }
    return result;
}

/* What making a pair takes, from the search for what is there to the new handles. */
struct pair_arguments {
    struct hsm_token *token;
    enum pki_key_type type;
    char label[HSM_LABEL_MAX + 1];
    struct hsm_id id;
    CK_SESSION_HANDLE session; /* the one that may write */
    CK_OBJECT_HANDLE halves[2];
    struct hsm_key *key;
};

static int prepare_on_worker(void *arguments)
{
    struct pair_arguments *a = arguments;
    int r = check_free(a->token, a->label, &a->id);
    return r < 0 ? r : hsm_token_open_writer(a->token, &a->session);
}

static int generate_on_worker(void *arguments)
{
    struct pair_arguments *a = arguments;
    const struct kind *kind = &kinds[a->type];
    struct template_values values = {
        .yes = CK_TRUE, .no = CK_FALSE, .bits = kind->bits, .exponent = {1, 0, 1}, .label = a->label};
    memcpy(values.id, a->id.octets, a->id.len);
    if (kind->curve)
        memcpy(values.curve, kind->curve, kind->curve_len);
    CK_RV rv = generate(a->token, a->session, kind, &values, a->id.len, &a->halves[1], &a->halves[0]);
    if (rv == CKR_OK)
        return 0;
    (void)a->token->module->C_CloseSession(a->session);
    return hsm_fail(rv, "token '%s': it does not make a %s key", a->token->info.label,
                    pki_key_type_name(a->type));
}

static int finish_on_worker(void *arguments)
{
    struct pair_arguments *a = arguments;
    int r = check_new(a->token, a->type, &a->id, &a->key);
    if (r < 0 && destroy(a->token, a->session, a->halves) != CKR_OK)
        r = pc_fail_in("a new key pair labelled '%s' is left in the token, because it could not be removed",
                       a->label);
    (void)a->token->module->C_CloseSession(a->session);
    return r;
}

/* The generation itself may take minutes, and has no limit. */
int hsm_key_generate(struct hsm_token *token, enum pki_key_type type, const char *label,
                     const struct hsm_id *id, struct hsm_key **ret)
{
    struct pair_arguments a = {.token = token, .type = type, .id = *id};
    if ((unsigned)type >= PKI_KEY_TYPES)
        return pc_fail(PC_EUSAGE, "no such kind of key");
    int r = hsm_label_copy(label, a.label);
    if (r == 0)
        r = hsm_run(token->workers, "preparing a new key", prepare_on_worker, &a, sizeof a);
    if (r == 0)
        r = hsm_run_unlimited(token->workers, "making a key", generate_on_worker, &a, sizeof a);
    if (r == 0)
        r = hsm_run(token->workers, "checking the new key", finish_on_worker, &a, sizeof a);
    if (r == 0)
        *ret = a.key;
    return r;
}

/* At most one object of the class; CK_INVALID_HANDLE where there is none. */
static int find_at_most_one(struct hsm_token *token, CK_OBJECT_CLASS class, const struct hsm_id *id,
                            CK_OBJECT_HANDLE *ret)
{
    size_t count;
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    int r = hsm_objects_with_id(token, class, id, &handle, 1, &count);
    if (r < 0)
        return r;
    if (count > 1)
        return pc_refuse("key-ambiguous", "token '%s': %zu keys with this id, none removed",
                         token->info.label, count);
    *ret = handle;
    return 0;
}

static int destroy_pair(struct hsm_token *token, const struct hsm_id *id)
{
    CK_OBJECT_HANDLE halves[2];
    int r = find_at_most_one(token, CKO_PRIVATE_KEY, id, &halves[0]);
    if (r < 0)
        return r;
    r = find_at_most_one(token, CKO_PUBLIC_KEY, id, &halves[1]);
    if (r < 0)
        return r;
    if (halves[0] == CK_INVALID_HANDLE && halves[1] == CK_INVALID_HANDLE)
        return pc_refuse("key-missing", "token '%s': no key with this id to remove", token->info.label);
    CK_SESSION_HANDLE session;
    r = hsm_token_open_writer(token, &session);
    if (r < 0)
        return r;
    CK_RV rv = destroy(token, session, halves);
    (void)token->module->C_CloseSession(session);
    return rv == CKR_OK ? 0 : hsm_fail(rv, "token '%s': the key pair cannot be removed", token->info.label);
}

static int destroy_on_worker(void *arguments)
{
    const struct pair_arguments *a = arguments;
    return destroy_pair(a->token, &a->id);
}

int hsm_key_destroy(struct hsm_token *token, const struct hsm_id *id)
{
    struct pair_arguments a = {.token = token, .id = *id};
    return hsm_run(token->workers, "removing a key", destroy_on_worker, &a, sizeof a);
}

static int find_sound(struct hsm_token *token, const struct hsm_id *id, struct hsm_key **ret)
{
    struct hsm_key *key PC_CLEANUP(hsm_key_free_ref) = NULL;
    int r = hsm_key_find(token, id, &key);
    if (r == 0)
        r = hsm_key_check(key, NULL);
    if (r == 0)
        *ret = pc_steal(key);
    return r;
}

int hsm_key_ensure(struct hsm_token *token, enum pki_key_type type, const char *label,
                   const struct hsm_id *id, struct hsm_key **ret, bool *ret_made)
{
    int r = find_sound(token, id, ret);
    bool found = r == 0;
    if (r == PC_EREFUSED) {
        r = hsm_key_destroy(token, id);
        if (r == PC_EREFUSED && strcmp(pc_error_name(), "key-missing") == 0)
            r = 0;
        if (r == 0)
            r = hsm_key_generate(token, type, label, id, ret);
    }
    if (r == 0)
        *ret_made = !found;
    return r;
}
