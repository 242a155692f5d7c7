/* The authority's session with its token: what every act that signs goes through. Its transactions are in
 * act.c. */
#include "src/ca/internal.h"

#include <openssl/err.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/guard.h"

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

static int login(struct ca *ca, const struct pc_secret *pin)
{
    pc_autoclose int turn = -1;
    int r = take_turn(ca, &turn);
    if (r == 0)
        r = hsm_token_login(ca->token, pin);
    if (r == 0)
        ca->logged_in = true;
    return r;
}

int ca_token_login(struct ca *ca)
{
    if (ca->logged_in)
        return 0;
    pc_autosecret *pin = NULL;
    int r = ca_token_open(ca);
    /* Whoever has to type it may take their time: nobody waits for that. */
    if (r == 0)
        r = ca->settings->pin(ca->settings->pin_context, ca->token_info.label, &pin);
    if (r == 0)
        r = login(ca, pin);
    if (r == 0 && ca->keep_pin)
        ca->pin = pc_steal(pin);
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
    ca->keep_pin = true;     /* a token that is lost in the middle takes one login more */
    int r = guard_check(ca); /* no PIN for a ledger that may sign nothing */
    if (r == 0)
        r = ca_token_login(ca);
    if (r == 0 && !ca->key)
        r = find_key(ca);
    if (r == 0)
        r = hsm_key_check(ca->key, NULL);
    if (r == 0)
        r = hsm_key_equals(ca->key, ca->public_key);
    if (r == 0 && X509_verify(ca->certificate, ca->public_key) != 1) {
        ERR_clear_error();
        r = pc_refuse("ca-certificate", "the CA certificate on record is not signed by its own key: the "
                                        "ledger was changed; plantca audit verify tells more");
    }
    return r;
}

bool ca_token_lost(const struct ca *ca, int r)
{
    return r == PC_EUNREACH && ca->pin && ca->certificate && strcmp(pc_error_name(), "token-lost") == 0;
}

int ca_token_reopen(struct ca *ca)
{
    pc_autosecret *pin = pc_steal(ca->pin);
    if (!pin)
        return pc_fail_named(PC_EUNREACH, "token-lost",
                             "token '%s': lost, and no PIN was kept to log in again", ca->token_info.label);
    ca_token_close(ca);
    int r = ca_token_open(ca);
    if (r == 0)
        r = login(ca, pin);
    if (ca->lasting && r != PC_EAUTH)
        ca->pin = pc_steal(pin); /* else it was for this login, and none after it */
    if (r == 0)
        r = ca_signing_key(ca);
    return r < 0 ? pc_fail_in("the token was lost and did not come back") : 0;
}

void ca_token_close(struct ca *ca)
{
    hsm_key_free(pc_steal(ca->key));
    hsm_key_free(pc_steal(ca->audit_key));
    audit_writer_free(pc_steal(ca->audit_writer));
    hsm_token_close(pc_steal(ca->token));
    pc_secret_free(pc_steal(ca->pin));
    ca->logged_in = false;
}
