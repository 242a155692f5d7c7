/* How certificates, CRLs and the authority are shown: the JSON members and the lines that several commands
 * print. */
#include "src/cmd/plantca/plantca.h"

#include <string.h>

#include "src/cmd/output.h"
#include "src/pki/crl.h"

json_t *plantca_record_json(const struct ca_record *record)
{
    return json_pack(
        "{s:s,s:o,s:o,s:s,s:s,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "serial", record->serial, "profile",
        cmd_json_text(record->profile), "cn", cmd_json_text(record->cn), "state", record->state, "origin",
        record->origin, "expired", record->expired, "key_sha256", cmd_json_text(record->key_sha256),
        "certificate_sha256", cmd_json_text(record->certificate_sha256), "not_before",
        cmd_json_time(record->not_before), "not_after", cmd_json_time(record->not_after), "issued_at",
        cmd_json_time(record->issued_at), "revoked_at",
        record->revoked_at != 0 ? cmd_json_time(record->revoked_at) : json_null(), "revoke_after",
        record->revoke_after != 0 ? cmd_json_time(record->revoke_after) : json_null(), "reason",
        record->reason >= 0 ? json_string(pki_reason_name(record->reason)) : json_null(), "invalid_since",
        record->invalid_since != 0 ? cmd_json_time(record->invalid_since) : json_null());
}

static void say_time(const struct cmd *cmd, const char *label, int64_t seconds)
{
    char text[PC_TIME_TEXT];

    pc_time_format(seconds, text);
    cmd_field(cmd, label, "%s", text);
}

void plantca_record_say(const struct cmd *cmd, const struct ca_record *record)
{
    char fingerprint[CMD_COLONS_TEXT];

    cmd_field(cmd, "Serial", "%s", record->serial);
    cmd_field(cmd, "Name", "%s (%s)", record->cn, record->profile);
    cmd_field(cmd, "State", "%s%s", record->state, record->expired ? ", expired" : "");
    if (strcmp(record->origin, "incident") == 0)
        cmd_field(cmd, "Origin", "incident: signed by our key, and was not on record");
    if (record->reason >= 0)
        cmd_field(cmd, "Reason", "%s", pki_reason_name(record->reason));
    if (record->revoked_at != 0)
        say_time(cmd, strcmp(record->state, "held") == 0 ? "Held since" : "Revoked", record->revoked_at);
    if (record->invalid_since != 0)
        say_time(cmd, "Invalid since", record->invalid_since);
    if (record->revoke_after != 0)
        say_time(cmd, "Valid until", record->revoke_after);
    say_time(cmd, "Issued", record->issued_at);
    say_time(cmd, "Not before", record->not_before);
    say_time(cmd, "Expires", record->not_after);
    cmd_colons(record->certificate_sha256, fingerprint);
    cmd_field(cmd, "SHA-256", "%s", fingerprint);
    cmd_field(cmd, "Key SHA-256", "%s", record->key_sha256);
}

void plantca_summary_set(struct cmd *cmd, const struct ca_summary *summary)
{
    cmd_set(cmd, "{s:b,s:o,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "made", summary->made, "subject",
            cmd_json_text(summary->subject), "key", pki_key_type_name(summary->key), "key_sha256",
            summary->key_sha256, "certificate_sha256", summary->certificate_sha256, "serial", summary->serial,
            "not_before", cmd_json_time(summary->not_before), "not_after", cmd_json_time(summary->not_after),
            "certificate", cmd_json_text(summary->certificate_path), "crl", cmd_json_text(summary->crl_path),
            "ledger", cmd_json_text(summary->ledger_path));
    cmd_set(cmd, "{s:{s:o,s:o,s:o,s:o,s:o}}", "token", "label", cmd_json_text(summary->token.label), "serial",
            cmd_json_text(summary->token.serial), "manufacturer", cmd_json_text(summary->token.manufacturer),
            "model", cmd_json_text(summary->token.model), "module", cmd_json_text(summary->token.module));
}

void plantca_summary_say(const struct cmd *cmd, const struct ca_summary *summary)
{
    char fingerprint[CMD_COLONS_TEXT];

    cmd_colons(summary->certificate_sha256, fingerprint);
    cmd_field(cmd, "Subject", "%s", summary->subject);
    cmd_field(cmd, "Key", "%s", pki_key_type_name(summary->key));
    if (summary->token.label[0] != '\0')
        cmd_field(cmd, "Token", "%s, serial %s (%s)", summary->token.label, summary->token.serial,
                  summary->token.model);
    cmd_field(cmd, "Serial", "%s", summary->serial);
    say_time(cmd, "Not before", summary->not_before);
    say_time(cmd, "Expires", summary->not_after);
    cmd_field(cmd, "SHA-256", "%s", fingerprint);
    cmd_field(cmd, "Certificate", "%s", summary->certificate_path);
    cmd_field(cmd, "CRL", "%s", summary->crl_path);
    if (summary->ledger_path != NULL)
        cmd_field(cmd, "Ledger", "%s", summary->ledger_path);
}

json_t *plantca_crl_json(const struct ca_crl_report *crl)
{
    return json_pack("{s:I,s:o,s:o,s:I,s:o}", "number", (json_int_t)crl->number, "this_update",
                     cmd_json_time(crl->this_update), "next_update", cmd_json_time(crl->next_update),
                     "entries", (json_int_t)crl->entries, "path", cmd_json_text(crl->path));
}

void plantca_crl_say(const struct cmd *cmd, const struct ca_crl_report *crl)
{
    char next[PC_TIME_TEXT];

    if (crl->path == NULL)
        return; /* the last one says it all; none was made */
    pc_time_format(crl->next_update, next);
    cmd_field(cmd, "CRL", "%s", crl->path);
    cmd_field(cmd, "CRL number", "%llu, %zu listed, good until %s", (unsigned long long)crl->number,
              crl->entries, next);
}

void plantca_issued_tell(struct cmd *cmd, const struct ca_issued *issued, const char *out)
{
    const struct ca_record *record = &issued->record;
    char fingerprint[CMD_COLONS_TEXT], until[PC_TIME_TEXT];

    cmd_set(cmd, "{s:b}", "already", issued->already);
    cmd_add(cmd, plantca_record_json(record));
    cmd_set(cmd, "{s:o,s:o}", "superseded",
            issued->superseded[0] != '\0' ? json_string(issued->superseded) : json_null(), "superseded_until",
            issued->superseded_until != 0 ? cmd_json_time(issued->superseded_until) : json_null());
    if (out != NULL)
        cmd_set(cmd, "{s:o}", "file", cmd_json_text(out));
    else
        cmd_set(cmd, "{s:o}", "chain_pem", cmd_json_text((const char *)issued->chain_pem.data));

    if (out != NULL)
        cmd_field(cmd, "Certificate", "%s%s", out,
                  issued->already ? " (the current one, issued before)" : "");
    cmd_field(cmd, "Serial", "%s%s", record->serial,
              out == NULL && issued->already ? " (the current one, issued before)" : "");
    cmd_colons(record->certificate_sha256, fingerprint);
    cmd_field(cmd, "SHA-256", "%s", fingerprint);
    cmd_field(cmd, "Key SHA-256", "%s", record->key_sha256);
    say_time(cmd, "Expires", record->not_after);

    if (issued->superseded[0] == '\0' || issued->already)
        return;
    pc_time_format(issued->superseded_until, until);
    if (issued->superseded_until != 0)
        cmd_warn(cmd, "this replaces certificate %s of %s, which stays valid until %s", issued->superseded,
                 record->cn, until);
    else
        cmd_warn(cmd,
                 "this replaces certificate %s of %s, which is revoked now; plantca publish tells the broker",
                 issued->superseded, record->cn);
}
