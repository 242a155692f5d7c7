/* What the commands of plantcert share: their settings, and how a key is shown. */
#ifndef CMD_PLANTCERT_H
#define CMD_PLANTCERT_H

#include "provision/device/enrol.h"
#include "src/cmd/command.h"

#define PLANTCERT_HOST_TEXT 256
#define PLANTCERT_CHAIN_MAX 262144 /* bytes: PKI_CHAIN_MAX certificates with their text */
#define PLANTCERT_MQTT                                                                                       \
    {                                                                                                        \
        "mqtt", 0, "BROKER", "the broker, HOST:PORT, instead of [mqtt] broker", "mqtt", "broker"             \
    }

extern const struct pc_setting plantcert_settings[];
extern const size_t plantcert_setting_count;

int plantcert_run_keygen(struct cmd *cmd);
int plantcert_run_request(struct cmd *cmd);
int plantcert_run_install(struct cmd *cmd);
int plantcert_run_status(struct cmd *cmd);
int plantcert_run_check(struct cmd *cmd);
int plantcert_run_reload(struct cmd *cmd);
int plantcert_run_doctor(struct cmd *cmd);
int plantcert_run_config(struct cmd *cmd);
int plantcert_run_forget(struct cmd *cmd);
int plantcert_run_renew(struct cmd *cmd);
int plantcert_run_rekey(struct cmd *cmd);
int plantcert_run_confirm(struct cmd *cmd);
int plantcert_run_rollback(struct cmd *cmd);
int plantcert_run_enroll(struct cmd *cmd);

/* settings.c: the device's folder, opened with what the configuration (borrowed from `cmd`) says. Empty
 * before; not moved afterwards. */
struct plantcert {
    struct dev_settings settings;
    struct pc_secret *owner_auth, *srk_auth; /* owned; NULL where none was given */
    struct dev *dev;
};
int plantcert_open(struct cmd *cmd, struct plantcert *ret);
void plantcert_close(struct plantcert *plantcert);
#define plantcert_auto PC_CLEANUP(plantcert_close) struct plantcert
bool plantcert_takes(const struct cmd *cmd, const char *option); /* whether the command has this option */
/* The broker of --mqtt (an option that overrides [mqtt] broker: PLANTCERT_MQTT), else of [mqtt] broker;
 * `ret->host` is NULL when neither is given. The host's text is kept in `room`. PC_EUSAGE. */
int plantcert_broker(const struct cmd *cmd, char room[PLANTCERT_HOST_TEXT], struct dev_broker *ret);

/* enrol.c: what an order to the station borrows from; empty before. */
struct plantcert_station {
    struct pc_bytes trust, ca;
    struct pc_secret *code;
    char unfit[512];
};
void plantcert_station_clear(struct plantcert_station *station);
/* By the settings, and by those of the options that this command takes. `ret->url` may be NULL. */
int plantcert_station(struct cmd *cmd, enum dev_enrol_way way, struct plantcert_station *station,
                      struct dev_enrol_order *ret);
/* An enrolment with the settings and options of this command, which may be several; over the
 * network, or, unless `folder` is NULL, by the files in it. */
int plantcert_enrol(struct cmd *cmd, enum dev_enrol_way way, const char *folder);

/* status.c: a status as JSON and as lines of a summary. */
void plantcert_status_tell(struct cmd *cmd, const struct dev_status *status);

/* key.c: one key as a JSON object (null when there is none) and as lines of a summary. */
json_t *plantcert_key_json(const struct dev_key_report *key);
void plantcert_key_say(const struct cmd *cmd, const struct dev_key_report *key);
/* key.c: gives a request out, by the option `out`; what is said afterwards stands beside it. */
int plantcert_give_request(struct cmd *cmd, const struct pc_bytes *pem);

/* install.c: the set that is current now, as JSON members and as lines of a summary, `label` first. */
void plantcert_set_say(struct cmd *cmd, const char *label, const struct dev_install_report *report);

#endif
