/* plantca revoke and crl: what is no longer good, written down, and the list that says so. */
#include "src/cmd/plantca/plantca.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/list.h"
#include "src/cmd/output.h"
#include "src/pki/certificate.h"
#include "src/pki/crl.h"
#include "src/pki/name.h"

#define CERTIFICATE_MAX 65536 /* bytes */

PC_DEFINE_CLEANUP(X509, X509_free);

static void say_crl(const struct cmd *cmd, const struct ca_crl_report *crl)
{
    char next[PC_TIME_TEXT];

    if (crl->path == NULL)
        return; /* the last one says it all; none was made */
    pc_time_format(crl->next_update, next);
    cmd_field(cmd, "CRL", "%s", crl->path);
    cmd_field(cmd, "CRL number", "%llu, %zu revoked, good until %s", (unsigned long long)crl->number,
              crl->entries, next);
}

/* Reads the options into `ret`; `certificate` and `serial` hold what it borrows. */
static int read_selector(struct cmd *cmd, struct pc_bytes *certificate, struct ca_selector *ret)
{
    static const char *const ways[] = {"plant", "serial", "cert", NULL};
    struct ca_selector selector = {.plant = cmd_value(cmd, "plant"), .serial = cmd_value(cmd, "serial")};
    struct pki_serial serial;
    int rc = cmd_choose(cmd, false, ways);

    if (rc == 0 && selector.plant != NULL && pki_uuid_check(selector.plant) != 0)
        return pc_fail_in("--plant");
    if (rc == 0 && selector.serial != NULL && pki_serial_parse(selector.serial, &serial) != 0)
        return pc_fail_in("--serial");
    if (rc == 0)
        rc = plantca_check_input(cmd, cmd_value(cmd, "cert"));
    if (rc == 0 && cmd_given(cmd, "cert")) {
        rc = pc_file_read(cmd_value(cmd, "cert"), CERTIFICATE_MAX, certificate);
        selector.certificate = certificate;
    }
    if (rc == 0)
        *ret = selector;
    return rc;
}

static bool would_be_revoked(const struct ca_record *record)
{
    static const char *const states[] = {"current", "superseded", "held"};

    for (size_t i = 0; i < CMD_LENGTH(states); i++)
        if (strcmp(record->state, states[i]) == 0)
            return !record->expired;
    return false;
}

struct preview {
    struct cmd *cmd;
    json_t *records;
    char sha256[PKI_FINGERPRINT_TEXT]; /* of --cert: a record of that serial number must be this certificate;
                                          or "" */
    size_t matched, already;
};

static int preview_row(void *context, const struct ca_record *record)
{
    struct preview *preview = context;

    if (preview->sha256[0] != '\0' && strcmp(preview->sha256, record->certificate_sha256) != 0)
        return 0;
    preview->matched++;
    if (!would_be_revoked(record)) {
        preview->already += strcmp(record->state, "revoked") == 0 ? 1 : 0;
        return 0;
    }
    json_array_append_new(preview->records, plantca_record_json(record));
    cmd_say(preview->cmd, "Would be revoked: %s (%s, %s)\n", record->serial, record->cn, record->state);
    return 0;
}

/* --dry-run: the same selection, read from the record. */
static int preview(struct cmd *cmd, struct ca *ca, const struct ca_selector *selector)
{
    char serial[PKI_SERIAL_TEXT];
    const char *what = selector->plant != NULL ? selector->plant : selector->serial;
    struct preview found = {.cmd = cmd, .records = json_array()};
    struct pki_serial parsed;
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    int rc = 0;

    if (selector->certificate != NULL) {
        rc = pki_certificate_parse(selector->certificate->data, selector->certificate->len, &certificate);
        if (rc == 0)
            rc = pki_serial_of(certificate, &parsed);
        if (rc == 0)
            rc = pki_certificate_fingerprint(certificate, found.sha256);
    } else if (selector->serial != NULL) {
        rc = pki_serial_parse(selector->serial, &parsed);
    }
    if (rc == 0 && selector->plant == NULL) {
        pki_serial_format(&parsed, serial);
        what = serial;
    }
    if (rc == 0)
        rc = ca_show(ca, what, preview_row, &found);
    if (rc == 0 && found.matched == 0)
        rc = pc_refuse("revoke-unknown", "no certificate on record is this one");
    if (rc == 0 && json_array_size(found.records) == 0)
        cmd_say(cmd, "Nothing would be revoked.\n");
    cmd_set(cmd, "{s:b,s:o,s:I}", "dry_run", 1, "revoked", found.records, "already",
            (json_int_t)found.already);
    return rc;
}

static void tell(struct cmd *cmd, const struct ca_revoke_report *report, int reason)
{
    json_t *records = json_array();

    for (size_t i = 0; i < report->revoked; i++) {
        json_array_append_new(records, plantca_record_json(&report->records[i]));
        cmd_say(cmd, "Revoked: %s (%s), %s\n", report->records[i].serial, report->records[i].cn,
                pki_reason_name(reason));
    }
    if (report->revoked == 0)
        cmd_say(cmd, "Revoked before; nothing to do.\n");
    cmd_set(cmd, "{s:o,s:I,s:o}", "revoked", records, "already", (json_int_t)report->already, "crl",
            report->crl.path != NULL ? plantca_crl_json(&report->crl) : json_null());
    say_crl(cmd, &report->crl);
    if (report->revoked > 0)
        cmd_say(cmd,
                "Next: plantca publish (brokers refuse the certificate once they have read the new CRL)\n");
}

int plantca_run_revoke(struct cmd *cmd)
{
    const char *name = cmd_value(cmd, "reason");
    PC_CLEANUP(ca_revoke_report_clear) struct ca_revoke_report report = {0};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    pc_autobytes certificate = {0};
    struct ca_selector selector;
    int reason = 0;
    int rc = read_selector(cmd, &certificate, &selector);

    if (rc == 0 && name != NULL && pki_reason_parse(name, &reason) != 0)
        rc = pc_fail_in("--reason");
    if (rc == 0 && reason == CRL_REASON_CERTIFICATE_HOLD)
        rc = pc_fail(PC_EUSAGE, "--reason: a certificateHold can be taken back: it is no revocation");
    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0 && cmd_given(cmd, "dry-run"))
        return preview(cmd, ca, &selector);
    if (rc == 0)
        rc = ca_revoke(ca, &selector, reason, &report);
    if (rc == 0)
        tell(cmd, &report, reason);
    return rc;
}

int plantca_run_crl(struct cmd *cmd)
{
    const char *out = cmd_value(cmd, "out");
    PC_CLEANUP(ca_crl_report_clear) struct ca_crl_report report = {0};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    pc_autobytes pem = {0};
    int rc = cmd_check_output(out);

    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0)
        rc = ca_crl(ca, &report, &pem);
    if (rc == 0 && out != NULL)
        rc = cmd_write(cmd, out, &pem, NULL);
    if (rc != 0)
        return rc;
    if (out != NULL && cmd_is_stdout(out))
        cmd->summary = stderr;
    cmd_set(cmd, "{s:o,s:o}", "crl", plantca_crl_json(&report), "file",
            cmd_is_stdout(out) ? json_null() : cmd_json_text(out));
    if (out != NULL && cmd_is_stdout(out))
        cmd_set(cmd, "{s:o}", "crl_pem", cmd_json_text((const char *)pem.data));
    say_crl(cmd, &report);
    if (!cmd_is_stdout(out))
        cmd_field(cmd, "Copy", "%s", out);
    return 0;
}
