/* plantca status: is the authority sound, and until when. Exit 3 or 4 when its token is locked or out of
 * reach, 5 when the CRL or the CA itself has lapsed, the audit chain is broken, or the
 * restore guard would refuse to sign. */
#include "src/cmd/plantca/plantca.h"

#include "src/base/error.h"
#include "src/ca/import.h"
#include "src/ca/list.h"
#include "src/cmd/output.h"

#define IMPORTED_SOON (10 * PC_DAY) /* a warning from here to the end of an imported CA's CRL */

static void set_json(struct cmd *cmd, const struct ca_health *health)
{
    plantca_summary_set(cmd, &health->ca);
    cmd_set(cmd, "{s:{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}}", "certificates", "current",
            (json_int_t)health->current, "valid", (json_int_t)health->valid, "expiring",
            (json_int_t)health->expiring, "superseded", (json_int_t)health->superseded, "held",
            (json_int_t)health->held, "revoked", (json_int_t)health->revoked, "foreign",
            (json_int_t)health->foreign, "unfinished", (json_int_t)health->unfinished);
    cmd_set(cmd, "{s:I,s:o,s:o,s:I,s:o}", "crl_number", (json_int_t)health->crl_number, "crl_this_update",
            cmd_json_time(health->crl_this_update), "crl_next_update", cmd_json_time(health->crl_next_update),
            "crl_entries", (json_int_t)health->crl_entries, "issuance_horizon",
            cmd_json_time(health->issuance_horizon));
    cmd_set(cmd, "{s:{s:I,s:I}}", "station", "admissions", (json_int_t)health->admissions, "waiting",
            (json_int_t)health->waiting);
    cmd_set(cmd, "{s:o}", "guard",
            health->guard_name != NULL ? json_string(health->guard_name) : json_null());
    cmd_set(cmd, "{s:o,s:I,s:{s:I,s:s,s:b,s:I,s:I,s:o,s:I,s:b},s:{s:I,s:b},s:{s:i,s:o}}", "crl_renew_at",
            cmd_json_time(health->crl_renew_at), "to_reconcile", (json_int_t)health->to_reconcile, "audit",
            "rows", (json_int_t)health->audit_rows, "head", health->audit_head, "sound", health->audit_sound,
            "verified_from", (json_int_t)health->audit_from, "checkpoint_row",
            (json_int_t)health->checkpoint_seq, "checkpoint_at",
            health->checkpoint_at != 0 ? cmd_json_time(health->checkpoint_at) : json_null(), "rows_after",
            (json_int_t)health->rows_after, "unshipped", health->unshipped, "ledger_health", "checked",
            (json_int_t)health->ledger_checked, "sound", health->ledger_sound, "token_health", "code",
            -health->token_error, "message", cmd_json_text(health->token_text));
}

/* Rows before a checkpoint are vouched for by its signature, and are looked at by plantca audit verify. */
static void say_audit(const struct cmd *cmd, const struct ca_health *health)
{
    if (!health->audit_sound)
        cmd_field(cmd, "Audit log", "%zu row%s, chain BROKEN; plantca audit verify tells where",
                  health->audit_rows, CMD_S(health->audit_rows));
    else if (health->audit_from <= 1)
        cmd_field(cmd, "Audit log", "%zu row%s, chain sound", health->audit_rows, CMD_S(health->audit_rows));
    else
        cmd_field(cmd, "Audit log",
                  "%zu row%s, chain sound (rows %lld to the end were read; plantca audit verify reads all)",
                  health->audit_rows, CMD_S(health->audit_rows), (long long)health->audit_from);
}

static void say_all(const struct cmd *cmd, const struct ca_health *health)
{
    char next[PC_TIME_TEXT], due[PC_TIME_TEXT], horizon[PC_TIME_TEXT], checkpoint[PC_TIME_TEXT] = "";

    pc_time_format(health->crl_next_update, next);
    pc_time_format(health->crl_renew_at, due);
    pc_time_format(health->issuance_horizon, horizon);
    plantca_summary_say(cmd, &health->ca);
    cmd_field(cmd, "Token health", "%s", health->token_error == 0 ? "reachable" : health->token_text);
    cmd_field(cmd, "CRL number", "%llu, %zu listed, good until %s, next one due %s",
              (unsigned long long)health->crl_number, health->crl_entries, next, due);
    cmd_field(cmd, "Certificates",
              "%zu current, %zu valid, %zu superseded, %zu held, %zu revoked, %zu foreign", health->current,
              health->valid, health->superseded, health->held, health->revoked, health->foreign);
    cmd_field(cmd, "To be renewed", "%zu", health->expiring);
    cmd_field(cmd, "Admissions", "%zu open, %zu key%s waiting to be approved", health->admissions,
              health->waiting, CMD_S(health->waiting));
    cmd_field(cmd, "Full term until", "%s (later device certificates end with the CA)", horizon);
    cmd_field(cmd, "Ledger health", "%s (the %zu newest certificates were read back)",
              health->ledger_sound ? "sound" : "BROKEN", health->ledger_checked);
    if (health->checkpoint_at != 0)
        pc_time_format(health->checkpoint_at, checkpoint);
    cmd_field(cmd, "Restore guard", "%s",
              health->guard_name == NULL ? "the ledger knows what was published" : "REFUSES TO SIGN");
    say_audit(cmd, health);
    if (health->checkpoint_at != 0)
        cmd_field(cmd, "Checkpoint", "of row %lld, %s; %lld row%s since", (long long)health->checkpoint_seq,
                  checkpoint, (long long)health->rows_after, CMD_S(health->rows_after));
}

/* The rest of a day counts as one. */
static long long days_left(const struct ca_health *health, int64_t now)
{
    return (health->crl_next_update - now + PC_DAY - 1) / PC_DAY;
}

/* Half of the time in which it was to be renewed is over. */
static bool is_late(const struct ca_health *health, int64_t now)
{
    return health->crl_next_update - now < (health->crl_next_update - health->crl_renew_at) / 2;
}

static void warn_all(struct cmd *cmd, const struct ca_health *health, int64_t now)
{
    if (health->crl_next_update > now && health->crl_renew_at <= now && !is_late(health, now))
        cmd_warn(cmd, "the CRL lapses within %lld day%s; plantca publish makes a new one",
                 days_left(health, now), CMD_S(days_left(health, now)));
    if (health->issuance_horizon < now)
        cmd_warn(cmd, "device certificates are cut short by the end of the CA; plan a new generation");
    if (health->to_reconcile > 0)
        cmd_warn(cmd, "%zu %s left undone; plantca reconcile sees to %s", health->to_reconcile,
                 health->to_reconcile == 1 ? "thing was" : "things were",
                 health->to_reconcile == 1 ? "it" : "them");
    if (health->checkpoint_at == 0)
        cmd_warn(cmd, "no checkpoint vouches for the audit log");
    if (health->unshipped)
        cmd_warn(cmd,
                 "the last checkpoint was not handed over ([audit] ship); plantca audit checkpoint tries "
                 "again");
    if (health->ca.token.pin_count_low)
        cmd_warn(cmd, "a wrong PIN was given to the token since the last login");
}

static int judge(const struct ca_health *health, int64_t now)
{
    if (!health->audit_sound)
        return pc_refuse("audit-broken", "the audit chain is broken: the record was changed behind our back");
    if (!health->ledger_sound)
        return pc_refuse(
            "ledger-broken",
            "a certificate on record is not the one whose hash is on record: restore the ledger");
    if (health->record_error != 0)
        return pc_refuse("ca-half", "%s", health->record_text);
    if (health->crl_this_update > now) {
        char from[PC_TIME_TEXT];
        pc_time_format(health->crl_this_update, from);
        return pc_refuse(
            "crl-early",
            "the CRL is valid only from %s on: brokers that read it refuse every plant until then; "
            "the clock is wrong, or was when it was made",
            from);
    }
    if (health->guard_name != NULL)
        return pc_refuse(health->guard_name, "nothing is signed on this ledger: %s", health->guard_text);
    if (health->ca.not_after < now)
        return pc_refuse("ca-expired", "the CA certificate has expired");
    if (health->crl_next_update <= now)
        return pc_refuse("crl-lapsed",
                         "the CRL has lapsed: brokers that read it refuse every plant; run: plantca publish");
    if (health->crl_due)
        return pc_refuse(
            "crl-behind",
            "the CRL lacks what was revoked, or whose overlap has ended, since it was made; run: "
            "plantca publish");
    if (is_late(health, now))
        return pc_refuse(
            "crl-soon",
            "the CRL lapses within %lld day%s, and was to be renewed before: what renews it does "
            "not work; run: plantca publish",
            days_left(health, now), CMD_S(days_left(health, now)));
    if (health->token_error != 0)
        return pc_fail(health->token_error, "%s", health->token_text);
    return 0;
}

/* Only the imported CA itself can make its next CRL: there must be time for that. */
static int warn_of_imported(struct cmd *cmd, struct ca *ca, int64_t now)
{
    char subject[1024], until[PC_TIME_TEXT];
    int64_t next_update = 0;
    int rc = ca_import_lapses(ca, subject, &next_update);

    if (rc != 0 || next_update == 0 || next_update - now > IMPORTED_SOON)
        return rc;
    pc_time_format(next_update, until);
    if (next_update == 1)
        cmd_warn(cmd, "%s, an imported CA, has no CRL on record: publish refuses to lock its fleet out",
                 subject);
    else
        cmd_warn(cmd,
                 "the CRL of %s, an imported CA, %s %s: brokers refuse its whole fleet from then on; make a "
                 "new one there, then plantca import --ca FILE --crl FILE",
                 subject, next_update <= now ? "lapsed at" : "lapses at", until);
    return 0;
}

int plantca_run_status(struct cmd *cmd)
{
    PC_CLEANUP(ca_health_clear) struct ca_health health = {0};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    int rc = plantca_read_settings(cmd, &settings);

    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0)
        rc = ca_status(ca, &health);
    if (rc != 0)
        return rc;
    int64_t now = pc_now();
    set_json(cmd, &health);
    say_all(cmd, &health);
    warn_all(cmd, &health, now);
    rc = warn_of_imported(cmd, ca, now);
    return rc != 0 ? rc : judge(&health, now);
}
