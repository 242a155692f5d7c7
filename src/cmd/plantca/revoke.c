/* plantca revoke, hold and release: what is no longer good, or for the time being, written down and listed.
 */
#include "src/cmd/plantca/plantca.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/cmd/output.h"
#include "src/pki/certificate.h"
#include "src/pki/crl.h"
#include "src/pki/name.h"

#define CERTIFICATE_MAX 65536 /* bytes */

/* How the three speak of what they did. */
struct words {
    const char *json, *done, *would, *before, *next;
};

/* Reads the options into `ret`, which borrows `certificate`. */
static int read_selector(struct cmd *cmd, struct pc_bytes *certificate, struct ca_selector *ret)
{
    static const char *const ways[] = {"plant", "serial", "cert", NULL};
    struct ca_selector selector = {.plant = cmd_value(cmd, "plant"),
                                   .serial = cmd_value(cmd, "serial"),
                                   .dry_run = cmd_given(cmd, "dry-run")};
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

static void warn_of_all(struct cmd *cmd, const struct ca_revoke_report *report)
{
    if (report->foreign > 0)
        cmd_warn(cmd,
                 "%zu valid certificate%s of an imported CA %s not touched: only that CA's own CRL can list "
                 "%s (plantca import brings it)",
                 report->foreign, CMD_S(report->foreign), report->foreign == 1 ? "is" : "are",
                 report->foreign == 1 ? "it" : "them");
    if (report->lost)
        cmd_warn(cmd,
                 "our key signed this certificate, and no act on record led to it. A loss was accepted since "
                 "it was made: it may have been lost with the ledger. If no file or plant of yours tells of "
                 "it, find out who used the token");
    else if (report->incident)
        cmd_warn(cmd, "our key signed this certificate, and no act on record led to it: an incident. Find "
                      "out who used the token");
}

/* What was done; on record it may be although the CRL failed. */
static void tell(struct cmd *cmd, int rc, const struct ca_revoke_report *report, const struct words *words)
{
    bool dry = cmd_given(cmd, "dry-run");

    if (rc != 0 && !report->recorded)
        return;
    json_t *records = json_array();

    for (size_t i = 0; i < report->revoked; i++) {
        json_array_append_new(records, plantca_record_json(&report->records[i]));
        cmd_say(cmd, "%s: %s (%s)\n", dry ? words->would : words->done, report->records[i].serial,
                report->records[i].cn);
    }
    if (report->revoked == 0)
        cmd_say(cmd, "%s\n", words->before);
    cmd_set(cmd, "{s:b,s:o,s:I,s:I,s:b,s:b,s:o}", "dry_run", dry, words->json, records, "already",
            (json_int_t)report->already, "foreign", (json_int_t)report->foreign, "incident", report->incident,
            "maybe_lost", report->lost, "crl",
            report->crl.path != NULL ? plantca_crl_json(&report->crl) : json_null());
    warn_of_all(cmd, report);
    plantca_crl_say(cmd, &report->crl);
    if (report->revoked > 0 && !dry && rc == 0)
        cmd_say(cmd, "Next: plantca publish (%s)\n", words->next);
}

static int open_ca(struct cmd *cmd, struct ca_settings *settings, struct ca **ret)
{
    int rc = plantca_read_settings(cmd, settings);

    return rc != 0 ? rc : ca_open(settings, ret);
}

/* RFC 3339, as we print times. */
static int read_time(const struct cmd *cmd, const char *option, int64_t *ret)
{
    if (!cmd_given(cmd, option))
        return 0;
    if (pc_time_parse(cmd_value(cmd, option), ret) != 0)
        return pc_fail_in("--%s", option);
    return *ret > 0 ? 0 : pc_fail(PC_EUSAGE, "--%s: before 1970", option);
}

int plantca_run_revoke(struct cmd *cmd)
{
    static const struct words words = {
        .json = "revoked",
        .done = "Revoked",
        .would = "Would be revoked",
        .before = "Revoked before; nothing to do.",
        .next = "brokers refuse it once they have read the new CRL",
    };
    const char *name = cmd_value(cmd, "reason");
    PC_CLEANUP(ca_revoke_report_clear) struct ca_revoke_report report = {0};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    pc_autobytes certificate = {0};
    struct ca_selector selector;
    int reason = 0;
    int rc = read_selector(cmd, &certificate, &selector);

    if (rc == 0)
        rc = read_time(cmd, "invalid-since", &selector.invalid_since);
    if (rc == 0 && name != NULL && pki_reason_parse(name, &reason) != 0)
        rc = pc_fail_in("--reason");
    if (rc == 0 && reason == CRL_REASON_CERTIFICATE_HOLD)
        rc = pc_fail(PC_EUSAGE,
                     "--reason: a certificateHold can be taken back: it is no revocation (plantca hold)");
    if (rc == 0)
        rc = open_ca(cmd, &settings, &ca);
    if (rc == 0)
        rc = ca_revoke(ca, &selector, reason, &report);
    tell(cmd, rc, &report, &words);
    return rc;
}

static int run_hold(struct cmd *cmd,
                    int (*act)(struct ca *, const struct ca_selector *, struct ca_revoke_report *),
                    const struct words *words)
{
    PC_CLEANUP(ca_revoke_report_clear) struct ca_revoke_report report = {0};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    pc_autobytes certificate = {0};
    struct ca_selector selector;
    int rc = read_selector(cmd, &certificate, &selector);

    if (rc == 0)
        rc = open_ca(cmd, &settings, &ca);
    if (rc == 0)
        rc = act(ca, &selector, &report);
    tell(cmd, rc, &report, words);
    return rc;
}

int plantca_run_hold(struct cmd *cmd)
{
    static const struct words words = {
        .json = "held",
        .done = "Held",
        .would = "Would be held",
        .before = "Held before; nothing to do.",
        .next = "brokers refuse it, until it is released, once they have read the new CRL",
    };

    return run_hold(cmd, ca_hold, &words);
}

int plantca_run_release(struct cmd *cmd)
{
    static const struct words words = {
        .json = "released",
        .done = "Released",
        .would = "Would be released",
        .before = "None is held; nothing to do.",
        .next = "brokers accept it again once they have read the new CRL",
    };

    return run_hold(cmd, ca_release, &words);
}
