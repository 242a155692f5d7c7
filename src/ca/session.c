/* The authority's session with its token, and its transactions: what every act that signs goes through. */
#include "src/ca/internal.h"

#include <stdio.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"

#define TOKEN_WAIT 20000 /* ms */

/* One process of ours at a time opens the token, logs in and looks for keys: SoftHSM writes its token file
 * anew at each login, and who reads it at that moment finds no token. Signing needs no turn. */
static int take_turn(const struct ca *ca, int *ret_fd)
{
    if (!pc_file_exists(ca->settings->state))
        return 0; /* nothing made yet, and nobody else at it: init holds the folder's lock when it is */
    pc_autofree char *path = pc_path_join(ca->settings->state, "token.lock");
    return path ? pc_lock_take(path, TOKEN_WAIT, ret_fd) : pc_fail(PC_EFAIL, "out of memory");
}

int ca_token_open(struct ca *ca)
{
    if (ca->token)
        return 0;
    struct hsm_token *token PC_CLEANUP(hsm_token_close_ref) = NULL;
    const struct hsm_token_info *info;
    pc_autoclose int turn = -1;
    int r = take_turn(ca, &turn);
    if (r == 0)
        r = hsm_token_open(&ca->settings->token, &token);
    if (r == 0)
        r = hsm_token_info(token, &info);
    if (r < 0)
        return r;
    ca->token_info = *info;
    ca->token = pc_steal(token);
    return 0;
}

int ca_token_login(struct ca *ca)
{
    if (ca->logged_in)
        return 0;
    pc_autosecret *pin = NULL;
    pc_autoclose int turn = -1;
    int r = ca_token_open(ca);
    /* Whoever has to type it may take their time: nobody waits for that. */
    if (r == 0)
        r = ca->settings->pin(ca->settings->pin_context, ca->token_info.label, &pin);
    if (r == 0)
        r = take_turn(ca, &turn);
    if (r == 0)
        r = hsm_token_login(ca->token, pin);
    if (r == 0)
        ca->logged_in = true;
    return r;
}

static int find_key(struct ca *ca)
{
    pc_autoclose int turn = -1;
    int r = take_turn(ca, &turn);
    return r < 0 ? r : hsm_key_find(ca->token, &ca->issuer.key_id, &ca->key);
}

int ca_signing_key(struct ca *ca)
{
    int r = ca_token_login(ca);
    if (r == 0 && !ca->key)
        r = find_key(ca);
    if (r == 0)
        r = hsm_key_check(ca->key, NULL);
    return r < 0 ? r : hsm_key_equals(ca->key, ca->public_key);
}

void ca_token_close(struct ca *ca)
{
    hsm_key_free(pc_steal(ca->key));
    hsm_token_close(pc_steal(ca->token));
    ca->logged_in = false;
}

int ca_begin(struct ca *ca, struct ledger **ret_open)
{
    int r = ca->ledger->ops->begin(ca->ledger, true);
    if (r == 0)
        *ret_open = ca->ledger;
    return r;
}

int ca_commit(struct ca *ca, struct ledger **open)
{
    *open = NULL;
    return ca->ledger->ops->commit(ca->ledger);
}

int ca_audit(struct ca *ca, const struct audit_act *act)
{
    const struct audit_actor actor = {
        .program = ca->settings->program,
        .module = ca->token ? ca->token_info.module : NULL,
        .token_serial = ca->token ? ca->token_info.serial : NULL,
    };
    return audit_append(ca->ledger, &actor, act);
}

int ca_audit_refusal(struct ca *ca, const struct audit_act *act)
{
    struct ca_failure failure;
    ca_failure_keep(pc_error_code(), &failure);
    struct audit_act refused = *act;
    refused.outcome = "refused";
    refused.rule = failure.name;
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = ca_audit(ca, &refused);
    if (r == 0)
        r = ca_commit(ca, &open);
    return r < 0 ? r : ca_failure_again(&failure);
}

void ca_failure_keep(int code, struct ca_failure *ret)
{
    ret->code = code;
    ret->name = pc_error_name();
    snprintf(ret->text, sizeof ret->text, "%s", pc_error_text());
}

int ca_failure_again(const struct ca_failure *failure)
{
    if (failure->code == PC_EREFUSED)
        return pc_refuse(failure->name, "%s", failure->text);
    return pc_fail(failure->code, "%s", failure->text);
}
