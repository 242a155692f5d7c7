/* What the commands of plantcert share: their settings, and how a key is shown. */
#ifndef CMD_PLANTCERT_H
#define CMD_PLANTCERT_H

#include "provision/device/device.h"
#include "src/cmd/command.h"

extern const struct pc_setting plantcert_settings[];
extern const size_t plantcert_setting_count;

int plantcert_run_keygen(struct cmd *cmd);
int plantcert_run_request(struct cmd *cmd);
int plantcert_run_install(struct cmd *cmd);
int plantcert_run_status(struct cmd *cmd);
int plantcert_run_config(struct cmd *cmd);
int plantcert_run_forget(struct cmd *cmd);

/* settings.c: what the configuration says, borrowed from `cmd`; and the device's folder opened with it.
 * `settings` lives as long as the result. */
int plantcert_open(struct cmd *cmd, struct dev_settings *settings, struct dev **ret);

/* key.c: one key as a JSON object (null when there is none) and as lines of a summary. */
json_t *plantcert_key_json(const struct dev_key_report *key);
void plantcert_key_say(const struct cmd *cmd, const struct dev_key_report *key);

#endif
