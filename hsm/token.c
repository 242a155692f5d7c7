/* A token from loading its module to closing it: description, session, the one login. Knows nothing of keys.
 */
#include "hsm/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/p11-kit.h>

#include "hsm/internal.h"
#include "hsm/module.h"
#include "hsm/place.h"
#include "hsm/result.h"
#include "hsm/signer.h"
#include "src/base/error.h"

struct open_arguments {
    struct hsm_token *token;
    P11KitUri *wanted;
};

static int open_on_worker(void *arguments)
{
    const struct open_arguments *a = arguments;
    int r = hsm_module_load(a->token);
    if (r < 0)
        return r;
    r = hsm_slot_find(a->token->module, a->wanted, &a->token->slot);
    return r < 0 ? pc_fail_in("%s", a->token->path) : 0;
}

int hsm_token_open(const struct hsm_place *place, struct hsm_token **ret)
{
    PC_CLEANUP(p11_kit_uri_free_ref) P11KitUri *wanted = NULL;
    PC_CLEANUP(hsm_token_close_ref) struct hsm_token *token = calloc(1, sizeof *token);
    if (!token)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = hsm_place_resolve(place, &wanted, &token->path);
    if (r < 0)
        return r;
    if (pc_process_abandoned())
        return pc_fail_named(PC_EUNREACH, "token-timeout",
                             "PKCS#11 module %s: not loaded again, since it did not answer", token->path);
    r = hsm_workers_new(token->path, place->timeout, &token->workers);
    if (r < 0)
        return r;
    r = hsm_run(token->workers, "opening the token", open_on_worker, &(struct open_arguments){token, wanted},
                sizeof(struct open_arguments));
    if (hsm_hangs(token->workers))
        wanted = NULL;
    if (r < 0)
        return r;
    *ret = pc_steal(token);
    return 0;
}

static int close_on_worker(void *arguments)
{
    struct hsm_token *token = *(struct hsm_token **)arguments;
    /* libp11 first: its end closes every session and finalises the module, whoever initialised it. */
    if (token->signer)
        hsm_signer_free(token->signer);
    else if (token->initialised) {
        if (token->has_session)
            (void)token->module->C_CloseSession(token->session);
        (void)token->module->C_Finalize(NULL);
    }
    if (token->module)
        p11_kit_module_release(token->module);
    return 0;
}

/* Closing is what is done after a failure: that failure is the one to be told. */
static void close_within(struct hsm_token *token)
{
    int code = pc_error_code();
    const char *name = pc_error_name();
    pc_autofree char *text = strdup(pc_error_text());
    if (hsm_hangs(token->workers))
        return;
    if (hsm_run(token->workers, "closing the token", close_on_worker, &token, sizeof token) < 0)
        (void)pc_fail_named(code, name, "%s", text ? text : "");
}

void hsm_token_close(struct hsm_token *token)
{
    if (!token)
        return;
    if (token->workers) {
        close_within(token);
        if (hsm_hangs(token->workers))
            return;
        hsm_workers_free(token->workers);
    }
    free(token->path);
    free(token);
}

static void format_version(CK_VERSION version, char *ret, size_t size)
{
    snprintf(ret, size, "%u.%u", (unsigned)version.major, (unsigned)version.minor);
}

/* How many sessions libp11 opens at most, and what the token allows beside the one that holds the login.
 * Other processes may have theirs: then libp11 makes do with those that it gets. */
static unsigned signing_sessions(CK_ULONG max)
{
    if (max == CK_EFFECTIVELY_INFINITE || max == CK_UNAVAILABLE_INFORMATION || max > HSM_SIGNER_SESSIONS)
        return HSM_SIGNER_SESSIONS;
    return max > 1 ? (unsigned)max - 1 : 1;
}

static void describe(const CK_TOKEN_INFO *from, const struct hsm_token *token, struct hsm_token_info *ret)
{
    struct hsm_token_info info = {
        .pin_final_try = from->flags & CKF_USER_PIN_FINAL_TRY,
        .pin_locked = from->flags & CKF_USER_PIN_LOCKED,
        .pin_count_low = from->flags & CKF_USER_PIN_COUNT_LOW,
        .write_protected = from->flags & CKF_WRITE_PROTECTED,
        .sessions = signing_sessions(from->ulMaxSessionCount),
    };
    hsm_field_copy(from->label, sizeof from->label, info.label);
    hsm_field_copy(from->manufacturerID, sizeof from->manufacturerID, info.manufacturer);
    hsm_field_copy(from->model, sizeof from->model, info.model);
    hsm_field_copy(from->serialNumber, sizeof from->serialNumber, info.serial);
    format_version(from->firmwareVersion, info.firmware, sizeof info.firmware);
    format_version(from->hardwareVersion, info.hardware, sizeof info.hardware);
    snprintf(info.module, sizeof info.module, "%s", token->path);
    memcpy(info.module_sha256, token->module_sha256, sizeof info.module_sha256);
    *ret = info;
}

static int read_token(struct hsm_token *token, CK_TOKEN_INFO *ret)
{
    CK_RV rv = hsm_slot_token_info(token->module, token->slot, ret);
    if (rv != CKR_OK)
        return hsm_fail(rv, "%s: the token in slot %lu does not answer", token->path, token->slot);
    describe(ret, token, &token->info);
    return 0;
}

static int info_on_worker(void *arguments)
{
    CK_TOKEN_INFO info;
    return read_token(*(struct hsm_token **)arguments, &info);
}

int hsm_token_info(struct hsm_token *token, const struct hsm_token_info **ret)
{
    int r = hsm_run(token->workers, "reading its description", info_on_worker, &token, sizeof token);
    if (r < 0)
        return r;
    *ret = &token->info;
    return 0;
}

/* States in which a try is useless or dangerous, most telling first (PKCS#11 v2.40 §3.2, token information
 * flags). */
static int check_pin_state(const struct hsm_token *token, CK_FLAGS flags)
{
    const char *label = token->info.label;
    if (!(flags & CKF_USER_PIN_INITIALIZED))
        return pc_fail(PC_EAUTH, "token '%s': the user PIN is not set (CKF_USER_PIN_INITIALIZED is clear)",
                       label);
    if (flags & CKF_USER_PIN_LOCKED)
        return pc_fail(PC_EAUTH, "token '%s': the user PIN is locked (CKF_USER_PIN_LOCKED)", label);
    if (flags & CKF_USER_PIN_TO_BE_CHANGED)
        return pc_fail(PC_EAUTH, "token '%s': the user PIN has expired (CKF_USER_PIN_TO_BE_CHANGED)", label);
    if (flags & CKF_USER_PIN_FINAL_TRY)
        return pc_fail(
            PC_EAUTH,
            "token '%s': one wrong PIN more locks it (CKF_USER_PIN_FINAL_TRY), so none is tried: log "
            "in once with the token's own tool",
            label);
    return 0;
}

/* A PIN that cannot be the right one is not spent a try on. Some tokens report lengths that mean nothing. */
static int check_pin(const struct hsm_token *token, const CK_TOKEN_INFO *info, const struct pc_secret *pin)
{
    const char *label = token->info.label;
    if (!pin && (info->flags & CKF_PROTECTED_AUTHENTICATION_PATH))
        return 0;
    if (!pin || pin->len == 0)
        return pc_fail(PC_EAUTH, "token '%s': the PIN is empty", label);
    bool told = info->ulMaxPinLen > 0 && info->ulMinPinLen <= info->ulMaxPinLen;
    if (told && (pin->len < info->ulMinPinLen || pin->len > info->ulMaxPinLen))
        return pc_fail(PC_EAUTH, "token '%s': its PINs have %lu to %lu bytes, this one %zu: not tried", label,
                       info->ulMinPinLen, info->ulMaxPinLen, pin->len);
    return 0;
}

static int login_once(struct hsm_token *token, const struct pc_secret *pin)
{
    CK_RV rv;
    if (!token->has_session) {
        rv = token->module->C_OpenSession(token->slot, CKF_SERIAL_SESSION, NULL, NULL, &token->session);
        if (rv != CKR_OK)
            return hsm_fail(rv, "token '%s': no session", token->info.label);
        token->has_session = true;
    }
    token->login = HSM_LOGIN_FAILED;
    rv = token->module->C_Login(token->session, CKU_USER, pin ? pin->data : NULL, pin ? pin->len : 0);
    if (rv == CKR_PIN_INCORRECT)
        return pc_fail(PC_EAUTH, "token '%s': the PIN is wrong, and is not tried again (CKR_PIN_INCORRECT)",
                       token->info.label);
    if (rv != CKR_OK)
        return hsm_fail(rv, "token '%s': login failed", token->info.label);
    token->login = HSM_LOGIN_DONE;
    return 0;
}

struct login_arguments {
    struct hsm_token *token;
    struct pc_secret *pin; /* a copy: a module that hangs may be reading it for ever */
};

static int login_on_worker(void *arguments)
{
    const struct login_arguments *a = arguments;
    CK_TOKEN_INFO info;
    int r = read_token(a->token, &info);
    if (r < 0)
        return r;
    r = check_pin_state(a->token, info.flags);
    if (r < 0)
        return r;
    r = check_pin(a->token, &info, a->pin);
    if (r < 0)
        return r;
    return login_once(a->token, a->pin);
}

/* A PIN pad waits for a human. */
static int login_with(struct login_arguments *a)
{
    return (a->pin ? hsm_run : hsm_run_unlimited)(a->token->workers, "the login", login_on_worker, a,
                                                  sizeof *a);
}

int hsm_token_login(struct hsm_token *token, const struct pc_secret *pin)
{
    struct login_arguments a = {.token = token};
    if (hsm_hangs(token->workers))
        return login_with(&a); /* which says so */
    if (token->login == HSM_LOGIN_DONE)
        return 0;
    if (token->login == HSM_LOGIN_FAILED)
        return pc_fail(PC_EAUTH, "token '%s': the login failed before, and is not tried again",
                       token->info.label);
    if (pin) {
        int r = pc_secret_new(pin->len, &a.pin);
        if (r < 0)
            return r;
        memcpy(a.pin->data, pin->data, pin->len);
    }
    int r = login_with(&a);
    if (!hsm_hangs(token->workers))
        pc_secret_free(a.pin);
    return r;
}

int hsm_token_need_login(const struct hsm_token *token)
{
    if (token->login == HSM_LOGIN_DONE)
        return 0;
    return pc_fail(PC_EAUTH, "%s: not logged in to the token", token->path);
}

int hsm_token_open_writer(struct hsm_token *token, CK_SESSION_HANDLE *ret)
{
    int r = hsm_token_need_login(token);
    if (r < 0)
        return r;
    CK_RV rv =
        token->module->C_OpenSession(token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, ret);
    return rv == CKR_OK ? 0 : hsm_fail(rv, "token '%s': no session that may write", token->info.label);
}
