/* plantcert status: what is installed, until when, and whether the TPM still has its key. */
#include "src/cmd/plantcert/plantcert.h"

#include "src/base/error.h"
#include "src/cmd/output.h"

static json_t *text_or_null(const char *text)
{
    return text[0] != '\0' ? cmd_json_text(text) : json_null();
}

static json_t *clock_json(const struct dev_clock *clock)
{
    return json_pack("{s:o,s:o,s:b,s:b}", "now", cmd_json_time(clock->now), "floor",
                     clock->floor != 0 ? cmd_json_time(clock->floor) : json_null(), "behind", clock->behind,
                     "implausible", clock->implausible);
}

static void set_json(struct cmd *cmd, const struct dev_status *status)
{
    bool installed = status->installed;

    cmd_set(cmd, "{s:s,s:b,s:o,s:o,s:o,s:o,s:o,s:o}", "state", dev_state_name(status->state), "installed",
            installed, "plant", text_or_null(status->cn), "serial", text_or_null(status->serial),
            "certificate_sha256", text_or_null(status->certificate_sha256), "not_before",
            installed ? cmd_json_time(status->not_before) : json_null(), "not_after",
            installed ? cmd_json_time(status->not_after) : json_null(), "renew_at",
            installed ? cmd_json_time(status->renew_at) : json_null());
    cmd_set(cmd, "{s:o}", "damage", text_or_null(status->damage));
    cmd_set(cmd, "{s:b,s:b,s:b,s:b,s:b,s:o,s:s}", "due", status->due, "expired", status->expired, "confirmed",
            status->confirmed, "rolled_back", status->rolled_back, "legacy", status->legacy, "clock",
            clock_json(&status->clock), "next", status->next);
    cmd_set(cmd, "{s:b,s:b,s:b}", "reload_owed", status->reload_owed, "plain", status->plain, "adopted",
            status->adopted);
    cmd_set(cmd, "{s:o,s:o,s:o,s:o,s:b,s:o}", "generation", text_or_null(status->generation), "previous",
            text_or_null(status->previous), "current", plantcert_key_json(&status->current), "pending",
            plantcert_key_json(&status->pending), "key_readable", !status->key_closed, "key_check",
            status->key_checked ? json_pack("{s:i,s:o}", "code", -status->key_error, "message",
                                            cmd_json_text(status->key_text))
                                : json_null());
}

static void say_certificate(const struct cmd *cmd, const struct dev_status *status)
{
    char fingerprint[CMD_COLONS_TEXT], from[PC_TIME_TEXT], until[PC_TIME_TEXT], renew[PC_TIME_TEXT];

    pc_time_format(status->not_before, from);
    pc_time_format(status->not_after, until);
    pc_time_format(status->renew_at, renew);
    cmd_colons(status->certificate_sha256, fingerprint);
    cmd_field(cmd, "Plant", "%s", status->cn);
    cmd_field(cmd, "Serial", "%s", status->serial);
    cmd_field(cmd, "SHA-256", "%s", fingerprint);
    cmd_field(cmd, "Not before", "%s", from);
    cmd_field(cmd, "Expires", "%s", until);
    cmd_field(cmd, "Renew from", "%s", renew);
    cmd_field(cmd, "Generation", "%s%s%s%s", status->generation, status->confirmed ? ", confirmed" : "",
              status->previous[0] == '\0' ? ""
              : status->rolled_back       ? ", rolled back from "
                                          : ", before it ",
              status->previous);
}

/* Only where the machine's clock is not believed. */
static void say_clock(const struct cmd *cmd, const struct dev_clock *clock)
{
    char now[PC_TIME_TEXT], at[PC_TIME_TEXT];

    pc_time_format(clock->now, now);
    pc_time_format(clock->at, at);
    if (clock->behind)
        cmd_field(cmd, "Clock", "%s is behind; dates are judged by %s", now, at);
    else if (clock->implausible)
        cmd_field(cmd, "Clock", "%s is past the trust anchor's end; dates are judged by %s", now, at);
}

/* Beside a pending key it is said which of the two is meant. */
static void say_tpm(const struct cmd *cmd, const struct dev_status *status)
{
    static const char *const pending[] = {
        [DEV_KEY_THERE] = "has the pending key", [DEV_KEY_GONE] = "does not have the pending key"};
    const char *has = !status->installed        ? "has the pending key"
                      : status->pending.present ? "has the installed key"
                                                : "has the key";

    if (status->key_checked)
        cmd_field(cmd, "TPM", "%s", status->key_error == 0 ? has : status->key_text);
    if (status->pending_key != DEV_KEY_UNASKED)
        cmd_field(cmd, "TPM", "%s", pending[status->pending_key]);
}

static void say_all(const struct cmd *cmd, const struct dev_status *status)
{
    /* A new key that waits must not hide that the old one's time is over. */
    const char *time = status->expired && status->state != DEV_EXPIRED               ? ", expired"
                       : status->due && !status->expired && status->state != DEV_DUE ? ", due"
                                                                                     : "";

    cmd_field(cmd, "State", "%s%s", dev_state_name(status->state), time);
    cmd_field(cmd, "Folder", "%s", pc_config_get(cmd->config, "device", "dir"));
    if (status->damage[0] != '\0')
        cmd_field(cmd, "Damaged", "%s", status->damage);
    if (status->installed)
        say_certificate(cmd, status);
    else if (status->plain)
        cmd_field(cmd, "Found", "%s", DEV_PLAIN_FILES);
    if (status->current.present)
        plantcert_key_say(cmd, &status->current);
    if (status->pending.present) {
        cmd_say(cmd, "Pending:\n");
        plantcert_key_say(cmd, &status->pending);
    }
    if (status->key_closed)
        cmd_field(cmd, "Key", "not readable by this user");
    say_tpm(cmd, status);
    if (status->reload_owed)
        cmd_field(cmd, "Reload", "owed: clients have not been told of this set");
    say_clock(cmd, &status->clock);
    if (status->next[0] != '\0')
        cmd_field(cmd, "Next", "%s", status->next);
}

void plantcert_status_tell(struct cmd *cmd, const struct dev_status *status)
{
    set_json(cmd, status);
    say_all(cmd, status);
}

int plantcert_run_status(struct cmd *cmd)
{
    struct dev_status status = {0};
    plantcert_auto at = {0};
    char until[PC_TIME_TEXT];
    int rc = plantcert_open(cmd, &at);

    if (rc == 0)
        rc = dev_status(at.dev, cmd_given(cmd, "offline"), &status);
    if (rc != 0)
        return rc;
    plantcert_status_tell(cmd, &status);
    pc_time_format(status.not_after, until);
    if (status.damage[0] != '\0')
        return pc_refuse("state-damaged", "%s", status.damage);
    if (status.key_checked && status.key_error != 0)
        return pc_fail_named(status.key_error, status.key_name, "%s", status.key_text);
    if (status.plant_differs)
        return pc_refuse("install-cn", "the certificate is for %s, but the configured plant is %s", status.cn,
                         pc_config_get(cmd->config, "device", "plant"));
    if (status.expired)
        return pc_refuse("certificate-expired", "the certificate expired at %s", until);
    if (status.due)
        cmd_warn(cmd, "the certificate ends at %s; it is time to renew it", until);
    return 0;
}
