/* Admitting: what operators order ahead of a plant's first request. Approving and denying: approve.c. */
#include "src/ca/admit.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "src/base/code.h"
#include "src/base/error.h"
#include "src/base/time.h"

/* `ret_enrolled`: serial of the certificate for which there is nothing to do, or "". */
static int judge_order(struct ca *ca, const struct ca_admission_order *order,
                       char ret_enrolled[PKI_SERIAL_TEXT])
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const struct ca_record *current = NULL;
    int r =
        ledger_collect(ca->ledger,
                       &(struct ledger_query){.subject = order->plant,
                                              .profile = pki_profile_device.name,
                                              .states = LEDGER_BIT(LEDGER_CURRENT) | LEDGER_BIT(LEDGER_HELD)},
                       &rows);
    for (size_t i = 0; r == 0 && i < rows.count; i++) {
        if (rows.rows[i].state == LEDGER_HELD)
            r = pc_refuse("identity-held", "%s: certificate %s is on hold", order->plant,
                          rows.rows[i].record.serial);
        else
            current = &rows.rows[i].record;
    }
    if (r < 0)
        return r;
    if (order->replace && (!current || strcmp(order->replace, current->serial) != 0))
        return pc_refuse("identity-replace", "%s: %s is not the current certificate%s%s", order->plant,
                         order->replace, current ? "; that is " : ", there is none",
                         current ? current->serial : "");
    ret_enrolled[0] = '\0';
    if (current && order->leave_enrolled)
        memcpy(ret_enrolled, current->serial, PKI_SERIAL_TEXT);
    else if (current && !order->replace)
        return pc_refuse("admission-current",
                         "%s: certificate %s is current; --replace %s admits a key that takes its place",
                         order->plant, current->serial, current->serial);
    return 0;
}

int admission_decide(struct ca *ca, struct ca_admission *a, const char *from, const char *state,
                     const struct audit_act *act)
{
    struct audit_act told = *act;
    snprintf(a->state, sizeof a->state, "%s", state);
    a->decided_at = strcmp(state, "open") == 0 ? 0 : pc_now();
    int r = ca->ledger->ops->admission_step(ca->ledger, a, from);
    told.outcome = "done";
    told.admission = a->id;
    told.subject = a->plant;
    return r < 0 ? r : ca_audit(ca, &told);
}

static int withdraw(struct ca *ca, const char *plant, bool *ret_code)
{
    struct ledger_admission before;
    int r = ca->ledger->ops->admission_get(ca->ledger, plant, 0, &before);
    if (r < 0 || before.record.id == 0 || strcmp(before.record.state, "open") != 0)
        return r;
    *ret_code = before.record.kind == CA_ADMIT_CODE && before.record.expires_at > pc_now();
    return admission_decide(ca, &before.record, "open", "withdrawn", &(struct audit_act){.act = "withdraw"});
}

static void fill(const struct ca_admission_order *order, struct ledger_admission *ret)
{
    struct ca_admission *a = &ret->record;
    *ret = (struct ledger_admission){.record = {.kind = order->kind,
                                                .state = "open",
                                                .revoke_old = order->replace ? order->revoke_old : -1,
                                                .made_at = pc_now()}};
    a->expires_at = a->made_at + order->valid;
    snprintf(a->plant, sizeof a->plant, "%s", order->plant);
    snprintf(a->replace, sizeof a->replace, "%s", order->replace ? order->replace : "");
    snprintf(a->note, sizeof a->note, "%s", order->note ? order->note : "");
    audit_who(a->by);
}

static int admit(struct ca *ca, const struct ca_admission_order *order, struct ca_admission *ret,
                 char ret_code[CA_CODE_TEXT])
{
    struct ledger_admission row;
    fill(order, &row);
    ret_code[0] = '\0';
    int r = order->kind == CA_ADMIT_CODE ? pc_code_new(ret_code) : 0;
    if (r == 0 && order->kind == CA_ADMIT_CODE)
        r = admission_code_hash(order->plant, ret_code, strlen(ret_code), row.code_sha256);
    if (r == 0)
        r = withdraw(ca, order->plant, &row.record.voids_code);
    if (r == 0)
        r = ca->ledger->ops->admission_add(ca->ledger, &row, &row.record.id);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){.act = "allow",
                                             .outcome = "done",
                                             .admission = row.record.id,
                                             .proof = order->kind == CA_ADMIT_CODE ? "code" : "pending",
                                             .subject = order->plant,
                                             .serial = order->replace,
                                             .reason = row.record.revoke_old,
                                             .until = row.record.expires_at,
                                             .note = order->note});
    if (r == 0)
        *ret = row.record;
    return r;
}

/* `ret` may be NULL. */
static int judge_all(struct ca *ca, const struct ca_admission_order *orders, size_t count,
                     void (*refused)(void *context, size_t index), void *context, struct ca_admission *ret)
{
    struct ca_failure first = {0};
    size_t failed = 0;
    for (size_t i = 0; i < count; i++) {
        char enrolled[PKI_SERIAL_TEXT];
        int r = judge_order(ca, &orders[i], enrolled);
        if (r == 0 && ret) {
            ret[i] = (struct ca_admission){.kind = orders[i].kind, .state = "enrolled"};
            snprintf(ret[i].plant, sizeof ret[i].plant, "%s", orders[i].plant);
            memcpy(ret[i].enrolled, enrolled, sizeof enrolled);
        }
        if (r == 0)
            continue;
        if (r != PC_EREFUSED)
            return r;
        if (failed++ == 0)
            ca_failure_keep(r, &first);
        if (refused)
            refused(context, i);
    }
    return failed ? ca_failure_again(&first) : 0;
}

int ca_admit_judge(struct ca *ca, const struct ca_admission_order *orders, size_t count,
                   void (*refused)(void *context, size_t index), void *context)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca->ledger->ops->begin(ca->ledger, false);
    if (r < 0)
        return r;
    open = ca->ledger;
    return judge_all(ca, orders, count, refused, context, NULL);
}

int ca_admit_all(struct ca *ca, const struct ca_admission_order *orders, size_t count,
                 void (*refused)(void *context, size_t index), void *context, struct ca_admission *ret,
                 char (*ret_codes)[CA_CODE_TEXT])
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = judge_all(ca, orders, count, refused, context, ret);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (ret[i].enrolled[0] == '\0')
            r = admit(ca, &orders[i], &ret[i], ret_codes[i]);
    if (r == 0)
        r = ca_commit(ca, &open);
    if (r < 0)
        OPENSSL_cleanse(ret_codes, count * sizeof *ret_codes);
    return r;
}

int ca_admit(struct ca *ca, const struct ca_admission_order *order, struct ca_admission *ret,
             char ret_code[CA_CODE_TEXT])
{
    char codes[1][CA_CODE_TEXT] = {""};
    struct ca_admission admission;
    int r = ca_admit_all(ca, order, 1, NULL, NULL, &admission, codes);
    if (r == 0)
        memcpy(ret_code, codes[0], CA_CODE_TEXT);
    if (r == 0 && ret)
        *ret = admission;
    OPENSSL_cleanse(codes, sizeof codes);
    return r;
}
