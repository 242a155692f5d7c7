/* plantcert renew and rekey: a request for the plant that is installed, with its key or with a new one. Where
 * a station is configured, it is asked at once (enrol.c). */
#include "src/cmd/plantcert/plantcert.h"

#include "src/base/error.h"
#include "src/cmd/output.h"

typedef int (*ask_fn)(struct dev *dev, struct pc_bytes *ret_pem, struct dev_key_report *ret);

/* With --if-due: whether it is too early, which is then the whole answer. */
static int check_due(struct cmd *cmd, struct dev *dev, bool *ret_early)
{
    struct dev_status status = {0};
    char renew[PC_TIME_TEXT], until[PC_TIME_TEXT];

    if (!cmd_given(cmd, "if-due"))
        return 0;
    int rc = dev_status(dev, true, &status);
    if (rc != 0)
        return rc;
    *ret_early = status.installed && !status.due;
    if (!*ret_early)
        return 0;
    pc_time_format(status.renew_at, renew);
    pc_time_format(status.not_after, until);
    cmd_set(cmd, "{s:b,s:s,s:o,s:o}", "due", false, "plant", status.cn, "renew_at",
            cmd_json_time(status.renew_at), "not_after", cmd_json_time(status.not_after));
    if (cmd_is_stdout(cmd_value(cmd, "out")) && pc_config_get(cmd->config, "station", "url") == NULL)
        cmd->summary = stderr;
    cmd_say(cmd, "Not due before %s: the certificate is valid until %s.\n", renew, until);
    return 0;
}

/* With the same key, the CA has a window of its own, which is much like ours. */
static void warn_early(struct cmd *cmd, struct dev *dev)
{
    struct dev_status status = {0};
    char renew[PC_TIME_TEXT];

    if (dev_status(dev, true, &status) != 0 || !status.installed || status.due)
        return;
    pc_time_format(status.renew_at, renew);
    cmd_warn(cmd, "it is not due yet: the CA may refuse to renew before %s", renew);
}

static int run(struct cmd *cmd, ask_fn ask, const char *key_name)
{
    const char *out = cmd_value(cmd, "out");
    struct dev_key_report key = {0};
    plantcert_auto at = {0};
    pc_autobytes pem = {0};
    bool early = false;
    int rc = cmd_check_output(out);

    if (rc == 0)
        rc = plantcert_open(cmd, &at);
    if (rc == 0)
        rc = check_due(cmd, at.dev, &early);
    if (rc != 0 || early)
        return rc;
    if (out == NULL && pc_config_get(cmd->config, "station", "url") != NULL) {
        plantcert_close(&at);
        return plantcert_enrol(cmd, ask == dev_renew ? DEV_ENROL_RENEW : DEV_ENROL_REKEY, NULL);
    }
    rc = ask(at.dev, &pem, &key);
    if (rc == 0)
        rc = plantcert_give_request(cmd, &pem);
    if (rc != 0)
        return rc;
    if (ask == dev_renew)
        warn_early(cmd, at.dev);
    cmd_set(cmd, "{s:b,s:b,s:o,s:s}", "due", true, "made", key.made, key_name, plantcert_key_json(&key),
            "key_sha256", key.fingerprint);
    plantcert_key_say(cmd, &key);
    return 0;
}

int plantcert_run_renew(struct cmd *cmd)
{
    return run(cmd, dev_renew, "current");
}

int plantcert_run_rekey(struct cmd *cmd)
{
    return run(cmd, dev_rekey, "pending");
}
