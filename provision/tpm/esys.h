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

struct tpm {
    struct tpm_link *link;
    ESYS_CONTEXT *esys;
    int claim; /* descriptor, or -1 */
    int timeout_ms;
    bool simulator;
    bool raw; /* no resource manager: what is left loaded stays so; and nobody else can use the TPM while it
                 is open here */
    bool tidied;  /* leftovers of a killed run were looked for */
    TSS2_RC last; /* what the last failed command said */
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

/* --- object.c --- */
/* Something that ESYS knows. Cleared on every path: what was loaded or started is flushed, a persistent
 * object is only forgotten. */
struct tpm_object {
    struct tpm *tpm;
    ESYS_TR tr;
    bool loaded;
};
#define TPM_OBJECT(t)                                                                                        \
    {                                                                                                        \
        .tpm = (t), .tr = ESYS_TR_NONE                                                                       \
    }
void tpm_object_clear(struct tpm_object *object);
/* Flushes what was found loaded. */
int tpm_object_flush(struct tpm_object *object);
#define tpm_autoobject PC_CLEANUP(tpm_object_clear) struct tpm_object

/* Meets an object by its TPM handle (one ReadPublic; none for a session). `ret->tr` stays ESYS_TR_NONE when
 * nothing is there. */
int tpm_object_find(struct tpm *tpm, TPM2_HANDLE handle, struct tpm_object *ret);
int tpm_object_name(struct tpm *tpm, const struct tpm_object *object, struct tpm_name *ret);
int tpm_object_public(struct tpm *tpm, const struct tpm_object *object, TPM2B_PUBLIC *ret);
/* The handles from `first` on that are of the same kind, in order; at most `max`. */
int tpm_handles(struct tpm *tpm, TPM2_HANDLE first, TPM2_HANDLE *ret, size_t max, size_t *ret_count);

/* --- leftover.c --- */
/* Flushes what a killed run of ours left in a TPM without resource manager; once for each open. `key` (or
 * NULL) is one more object that is ours. */
int tpm_tidy(struct tpm *tpm, const struct tpm_key *key);
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
/* The parent that a blob names. */
int tpm_parent_open(struct tpm *tpm, uint32_t parent, struct tpm_object *ret);
/* Loads a blob key under its parent, which is not kept. PC_EREFUSED "key-absent" when it is no blob of this
 * TPM, or of one that was cleared since. */
int tpm_key_load(struct tpm *tpm, const struct tpm_key *key, struct tpm_object *ret);
/* Meets the key wherever it is: a handle with the right Name, or a blob just loaded. */
int tpm_key_open(struct tpm *tpm, const struct tpm_key *key, struct tpm_object *ret);

#endif
