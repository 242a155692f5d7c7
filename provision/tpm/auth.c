/* Who permits a command: the owner hierarchy or the storage key, by an auth value that was given for it. Each
 * value is tried once, and goes over no wire. */
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "provision/tpm/esys.h"

static const struct holder {
    const char *subject, *setting;
} holders[] = {
    [TPM_AUTH_NONE] = {"the TPM's object", NULL},
    [TPM_AUTH_OWNER] = {"the TPM's owner hierarchy", "owner-auth-file"},
    [TPM_AUTH_SRK] = {"the storage key (SRK)", "srk-auth-file"},
};
_Static_assert(sizeof(holders) / sizeof(holders[0]) == TPM_AUTHS, "one for each");

int tpm_auth_judge(const struct pc_secret *secret, enum tpm_auth auth)
{
    if (secret != NULL && secret->len > sizeof(((TPM2B_AUTH *)NULL)->buffer))
        return pc_fail_named(PC_EAUTH, "tpm-auth", "%s: an auth value has at most %zu octets, not %zu",
                             holders[auth].subject, sizeof(((TPM2B_AUTH *)NULL)->buffer), secret->len);
    return 0;
}

/* ESYS keeps a copy; an empty one in its place wipes it. */
static TSS2_RC lend(struct tpm *tpm, ESYS_TR entity, const struct pc_secret *secret)
{
    TPM2B_AUTH value = {0};
    if (secret != NULL) {
        value.size = (uint16_t)secret->len;
        memcpy(value.buffer, secret->data, secret->len);
    }
    TSS2_RC rc = Esys_TR_SetAuth(tpm->esys, entity, &value);
    OPENSSL_cleanse(&value, sizeof(value));
    return rc;
}

int tpm_session_start(struct tpm *tpm, ESYS_TR salt, TPMA_SESSION attributes, struct tpm_object *ret)
{
    static const TPMT_SYM_DEF symmetric = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    tpm_autoobject session = TPM_OBJECT(tpm);
    TSS2_RC rc =
        Esys_StartAuthSession(tpm->esys, salt, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
                              TPM2_SE_HMAC, &symmetric, TPM2_ALG_SHA256, &session.tr);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot start a session");
    session.loaded = true;
    rc = Esys_TRSess_SetAttributes(tpm->esys, session.tr, attributes, 0xff);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fault(tpm, rc, "cannot set up a session");
    *ret = session;
    session.tr = ESYS_TR_NONE;
    return 0;
}

void tpm_permit_clear(struct tpm_permit *permit)
{
    if (permit->entity != ESYS_TR_NONE)
        (void)lend(permit->tpm, permit->entity, NULL);
    permit->entity = ESYS_TR_NONE;
    tpm_object_clear(&permit->session);
}

static int refuse(const struct tpm *tpm, enum tpm_auth auth, const char *what, const char *native)
{
    const struct holder *holder = &holders[auth];
    if (holder->setting == NULL)
        return pc_fail_named(PC_EAUTH, "tpm-auth", "%s: %s wants an auth value, which plantcert's never do%s",
                             what, holder->subject, native);
    return pc_fail_named(PC_EAUTH, "tpm-auth", "%s: %s %s; --%s or [tpm] %s gives the right one%s", what,
                         holder->subject,
                         tpm->auth[auth] != NULL ? "refuses the auth value that was given"
                                                 : "wants an auth value, and none was given",
                         holder->setting, holder->setting, native);
}

int tpm_permit(struct tpm_permit *permit, ESYS_TR entity, const struct tpm_object *salt,
               TPMA_SESSION attributes)
{
    struct tpm *tpm = permit->tpm;
    const struct pc_secret *secret = tpm->auth[permit->auth];
    if (tpm->refused[permit->auth])
        return refuse(tpm, permit->auth, "not tried again", "");
    if (secret == NULL && attributes == 0) {
        permit->tr = ESYS_TR_PASSWORD;
        return 0;
    }
    if (secret != NULL) {
        TSS2_RC rc = lend(tpm, entity, secret);
        if (rc != TSS2_RC_SUCCESS)
            return tpm_fault(tpm, rc, "cannot use an auth value");
        permit->entity = entity;
    }
    int result = tpm_session_start(tpm, salt != NULL ? salt->tr : ESYS_TR_NONE, attributes, &permit->session);
    permit->tr = permit->session.tr;
    return result;
}

int tpm_permit_answer(struct tpm_permit *permit, TSS2_RC rc, const char *what)
{
    struct tpm *tpm = permit->tpm;
    if (rc == TSS2_RC_SUCCESS) {
        /* The session ended with the command (Part 1 §19.4: continueSession is clear). */
        permit->session.tr = ESYS_TR_NONE;
        return 0;
    }
    switch (tpm_rc_of(rc)) {
    case TPM2_RC_AUTH_FAIL:
    case TPM2_RC_BAD_AUTH:
    case TPM2_RC_AUTH_MISSING:
        break;
    default:
        return tpm_fault(tpm, rc, what);
    }
    char native[128];
    snprintf(native, sizeof(native), " (0x%x)", rc);
    tpm->last = rc;
    tpm->refused[permit->auth] = true;
    return refuse(tpm, permit->auth, what, native);
}
