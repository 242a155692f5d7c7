/* Acts: write transactions with their audit rows, refusals on record, and a failure kept while something else
 * is done. */
#include "src/ca/internal.h"

#include <stdio.h>

#include "src/base/error.h"

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
