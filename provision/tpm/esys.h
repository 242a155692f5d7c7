/* What the files of this folder share and nobody else sees: tpm2-tss types, an open TPM, a key, and the
 * pieces that operations are made of. */
#ifndef TPM_ESYS_H
#define TPM_ESYS_H

#include <tss2/tss2_esys.h>

#include "provision/tpm/context.h"
#include "provision/tpm/key.h"
#include "provision/tpm/link.h"
#include "src/base/error.h"
#include "src/base/memory.h"

/* Handle ranges (Part 2 §7.5). tpm2-tss's own constants shift into the sign bit. */
#define TPM_SESSION_FIRST 0x02000000u
#define TPM_TRANSIENT_FIRST 0x80000000u
#define TPM_PERSISTENT_FIRST 0x81000000u
#define TPM_OWNER_LAST 0x817fffffu /* the last persistent handle that is not the platform's */

#define TPM_KEYGEN_EXTRA_MS 180000 /* an RSA key takes a slow TPM minutes */

/* Whose auth value a command needs. */
enum tpm_auth { TPM_AUTH_NONE, TPM_AUTH_OWNER, TPM_AUTH_SRK, TPM_AUTHS };

/* A persistent object that was met since the TPM was opened. */
struct tpm_known {
    TPM2_HANDLE handle; /* 0: this row is free */
    ESYS_TR tr;
    TPM2B_PUBLIC area;
};
#define TPM_KNOWN 4

struct tpm {
    struct tpm_link *link;
    ESYS_CONTEXT *esys;
    int claim; /* descriptor, or -1 */
    int timeout_ms;
    int64_t until; /* CLOCK_MONOTONIC, milliseconds: no operation goes on past it */
    bool simulator;
    bool raw; /* no resource manager: what is left loaded stays so; and nobody else can use the TPM while it
                 is open here */
    bool thorough;
    unsigned tidied;    /* which leftovers of a killed run were looked for: TPM_LEFT_… */
    bool asked_lockout; /* so that a TPM that answers nothing else is asked once */
    const struct pc_secret *auth[TPM_AUTHS]; /* borrowed */
    bool refused[TPM_AUTHS];                 /* the TPM said no: not tried again */
    struct tpm_known known[TPM_KNOWN];
    unsigned known_next; /* the row that the next one takes */
    TSS2_RC last;        /* what the last failed command said */
};

struct tpm_key {
    enum pki_key_type type;
    TPM2B_PUBLIC public_area;
    struct tpm_name name;
    EVP_PKEY *public_key;       /* of the default provider */
    uint32_t handle;            /* persistent, or 0 for a blob */
    uint32_t parent;            /* of a blob: a persistent handle or TPM2_RH_OWNER */
    TPM2B_PRIVATE private_area; /* of a blob: wrapped by the parent; nothing without the TPM */
};

/* --- context.c --- */
/* Starts an operation: from here it has the place's time-out, and `extra_ms`. */
void tpm_begin(struct tpm *tpm, int extra_ms);

/* --- fault.c --- */
/* Records what a command answered and gives the PC_E… for it. `what` says what was tried ("cannot load the
 * key"). */
int tpm_fault(struct tpm *tpm, TSS2_RC rc, const char *what);
/* The TPM's own response code without layer and without the number of the handle, parameter or session at
 * fault (Part 2 §6.6); 0 when the code is not the TPM's. */
TPM2_RC tpm_rc_of(TSS2_RC rc);
bool tpm_rc_is_memory(TSS2_RC rc); /* object or session memory is full */

/* --- describe.c --- */
/* The part of tpm_describe that changes: in one command, and nothing is looked for. */
int tpm_describe_now(struct tpm *tpm, struct tpm_description *ret);

/* --- lockout.c --- */
/* PC_EAUTH "tpm-lockout", with how long to wait. */
int tpm_lockout_fault(struct tpm *tpm, TSS2_RC rc, const char *what);
/* Before an object is used that is protected against dictionary attacks (one command; none for noDA): the
 * same refusal where the TPM is in lockout. */
int tpm_lockout_check(struct tpm *tpm, const TPM2B_PUBLIC *area, const char *what);

/* --- object.c --- */
/* Something that ESYS knows. Cleared on every path: what was loaded or started is flushed, a persistent
 * object stays known. */
struct tpm_object {
    struct tpm *tpm;
    ESYS_TR tr;
    bool loaded, known;
    TPM2B_PUBLIC area; /* as read; of what we load or make, only the attributes count */
};
#define TPM_OBJECT(t)                                                                                        \
    {                                                                                                        \
        .tpm = (t), .tr = ESYS_TR_NONE                                                                       \
    }
void tpm_object_clear(struct tpm_object *object);
/* Flushes what was found loaded. */
int tpm_object_flush(struct tpm_object *object);
#define tpm_autoobject PC_CLEANUP(tpm_object_clear) struct tpm_object

/* Meets an object by its TPM handle: one ReadPublic, none for a session or a persistent object that was met
 * before. `ret->tr` stays ESYS_TR_NONE when nothing is there. */
int tpm_object_find(struct tpm *tpm, TPM2_HANDLE handle, struct tpm_object *ret);
/* The same for what may have been replaced meanwhile: asks the TPM in any case. */
int tpm_object_find_now(struct tpm *tpm, TPM2_HANDLE handle, struct tpm_object *ret);
/* From now on known to be at `handle`; `area` is its public area. */
void tpm_object_remember(struct tpm *tpm, TPM2_HANDLE handle, ESYS_TR tr, const TPM2B_PUBLIC *area);
/* After its eviction, with which ESYS forgot it too. */
void tpm_object_forget(struct tpm *tpm, TPM2_HANDLE handle);
int tpm_object_name(struct tpm *tpm, const struct tpm_object *object, struct tpm_name *ret);
/* The handles from `first` on that are of the same kind, in order; at most `max`. */
int tpm_handles(struct tpm *tpm, TPM2_HANDLE first, TPM2_HANDLE *ret, size_t max, size_t *ret_count);

/* --- auth.c --- */
/* PC_EAUTH for a value that no TPM can have. */
int tpm_auth_judge(const struct pc_secret *secret, enum tpm_auth auth);
/* An HMAC session, salted to `salt` unless that is ESYS_TR_NONE (Part 1 §19.6). */
int tpm_session_start(struct tpm *tpm, ESYS_TR salt, TPMA_SESSION attributes, struct tpm_object *ret);

/* What one command takes as its first session. */
struct tpm_permit {
    struct tpm *tpm;
    enum tpm_auth auth;
    ESYS_TR tr;
    ESYS_TR entity; /* ESYS has a copy of its auth value: wiped in the end; or ESYS_TR_NONE */
    struct tpm_object session;
};
#define TPM_PERMIT(t, a)                                                                                     \
    {                                                                                                        \
        .tpm = (t), .auth = (a), .tr = ESYS_TR_NONE, .entity = ESYS_TR_NONE, .session = TPM_OBJECT(t)        \
    }
void tpm_permit_clear(struct tpm_permit *permit);
#define tpm_autopermit PC_CLEANUP(tpm_permit_clear) struct tpm_permit
/* Gets ready for a command that `entity` authorises: by the empty password or, where an auth value was given
 * or `attributes` ask for encryption, in a session that ends with the command. `salt` may be NULL. */
int tpm_permit(struct tpm_permit *permit, ESYS_TR entity, const struct tpm_object *salt,
               TPMA_SESSION attributes);
/* Records what the command answered: 0, or PC_EAUTH "tpm-auth" that says whose value is wanted and how to
 * give it, or as tpm_fault. */
int tpm_permit_answer(struct tpm_permit *permit, TSS2_RC rc, const char *what);

/* --- slots.c --- */
/* PC_EUNREACH "tpm-full": `reason`, and what persists from `first` to `last`: handle and kind of key. */
int tpm_slots_full(struct tpm *tpm, TPM2_HANDLE first, TPM2_HANDLE last, const char *reason);

/* --- leftover.c --- */
enum tpm_left { TPM_LEFT_OBJECTS = 1, TPM_LEFT_SESSIONS = 2, TPM_LEFT_ALL = 3 };
/* Flushes what a killed run of ours left in a TPM without resource manager; once for each open. `key` (or
 * NULL) is one more object that is ours. */
int tpm_tidy(struct tpm *tpm, const struct tpm_key *key, enum tpm_left kinds);
/* After a failed command: whether it failed for want of memory and leftovers have made room, so that it is
 * worth repeating. */
bool tpm_made_room(struct tpm *tpm, const struct tpm_key *key);

/* --- template.c --- */
extern const TPM2B_PUBLIC tpm_template_srk;
/* The template of a device key; NULL for types that a TPM device key cannot have. */
const TPM2B_PUBLIC *tpm_template_device(enum pki_key_type type);
/* Whether `area` is what the template makes: all but the unique field. */
bool tpm_template_matches(const TPM2B_PUBLIC *area, const TPM2B_PUBLIC *wanted);

/* --- public.c --- */
/* Part 1 §16: nameAlg and the hash of the marshalled public area. */
int tpm_public_name(const TPM2B_PUBLIC *area, struct tpm_name *ret);
/* A key's description from its public area alone: type, Name, software public key. PC_EREFUSED
 * "keyfile-unsupported" for a kind that we cannot use. */
int tpm_key_from_public(const TPM2B_PUBLIC *area, struct tpm_key **ret);

/* --- parent.c --- */
/* The parent for a new key: the SRK (made if absent), or a transient primary of our own. Says by which parent
 * the blob will be found again. */
int tpm_parent_for_create(struct tpm *tpm, struct tpm_object *ret, uint32_t *ret_parent);
/* Whose auth value it takes to use that parent. */
enum tpm_auth tpm_parent_auth(uint32_t parent);
/* The parent that a blob names. */
int tpm_parent_open(struct tpm *tpm, uint32_t parent, struct tpm_object *ret);
/* Loads a blob key under its parent, which is not kept. PC_EREFUSED "key-absent" when it is no blob of this
 * TPM, or of one that was cleared since. */
int tpm_key_load(struct tpm *tpm, const struct tpm_key *key, struct tpm_object *ret);
/* Meets the key wherever it is: a handle with the right Name, or a blob just loaded. */
int tpm_key_open(struct tpm *tpm, const struct tpm_key *key, struct tpm_object *ret);

#endif
