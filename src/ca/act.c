/* Acts: write transactions with their audit rows, refusals on record, and a failure kept while something else
 * is done. */
#include "src/ca/internal.h"

#include <stdio.h>

#include "src/base/build.h"
#include "src/base/error.h"
#include "src/ca/audit/checkpoint.h"
#include "src/ca/audit/key.h"

int ca_signing_run(struct ca *ca)
{
    bool due = false;
    int r = ca_signing_key(ca);
    if (r == 0)
        r = audit_key_ensure(ca);
    if (r == 0)
        r = checkpoint_due(ca, &due);
    return r < 0 || !due ? r : checkpoint_make(ca, 0);
}

int ca_begin(struct ca *ca, struct ledger **ret_open)
{
    int r = ca->ledger->ops->begin(ca->ledger, true);
    if (r == 0)
        *ret_open = ca->ledger;
    return r;
}

int ca_begin_shared(struct ca *ca, struct ledger **ret_open)
{
    int r = ca->ledger->ops->begin_shared(ca->ledger);
    if (r == 0)
        *ret_open = ca->ledger;
    return r;
}

int ca_commit(struct ca *ca, struct ledger **open)
{
    *open = NULL;
    return ca->ledger->ops->commit(ca->ledger);
}

/* What stays the same in a run's rows is told once, and again when the token was opened or the CA's key is
 * known by now. */
static int refresh_writer(struct ca *ca)
{
    char key[PKI_FINGERPRINT_TEXT] = "";
    if (ca->audit_writer && ca->audit_token == ca->token && ca->audit_public_key == ca->public_key)
        return 0;
    int r = ca->public_key ? pki_key_fingerprint(ca->public_key, key) : 0;
    if (r < 0)
        return r;
    const struct audit_actor actor = {
        .program = ca->settings->program,
        .build = pc_build_id(),
        .module = ca->token ? ca->token_info.module : NULL,
        .module_sha256 = ca->token ? ca->token_info.module_sha256 : NULL,
        .token_serial = ca->token ? ca->token_info.serial : NULL,
        .issuer_key_sha256 = key,
    };
    audit_writer_free(pc_steal(ca->audit_writer));
    ca->audit_token = ca->token;
    ca->audit_public_key = ca->public_key;
    return audit_writer_new(&actor, &ca->audit_writer);
}

int ca_audit(struct ca *ca, const struct audit_act *act)
{
    int r = refresh_writer(ca);
    return r < 0 ? r : audit_append(ca->ledger, ca->audit_writer, act);
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
    return pc_fail_named(failure->code, failure->name, "%s", failure->text);
}
