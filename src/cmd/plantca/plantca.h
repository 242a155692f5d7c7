/* What the commands of plantca share: their settings, the authority they open, and how a record is shown. */
#ifndef CMD_PLANTCA_H
#define CMD_PLANTCA_H

#include "provision/station/signer/signer.h"
#include "src/ca/admission.h"
#include "src/ca/authority.h"
#include "src/ca/issue.h"
#include "src/ca/revoke.h"
#include "src/cmd/command.h"

extern const struct pc_setting plantca_settings[];
extern const size_t plantca_setting_count;

int plantca_run_init(struct cmd *cmd);
int plantca_run_ensure(struct cmd *cmd);
int plantca_run_sign(struct cmd *cmd);
int plantca_run_broker(struct cmd *cmd);
int plantca_run_revoke(struct cmd *cmd);
int plantca_run_hold(struct cmd *cmd);
int plantca_run_release(struct cmd *cmd);
int plantca_run_crl(struct cmd *cmd);
int plantca_run_publish(struct cmd *cmd);
int plantca_run_import(struct cmd *cmd);
int plantca_run_audit(struct cmd *cmd);
int plantca_run_reconcile(struct cmd *cmd);
int plantca_run_jwt_key(struct cmd *cmd);
int plantca_run_jwt_sign(struct cmd *cmd);
int plantca_run_serve(struct cmd *cmd);
int plantca_run_allow(struct cmd *cmd);
int plantca_run_pending(struct cmd *cmd);
int plantca_run_approve(struct cmd *cmd);
int plantca_run_deny(struct cmd *cmd);
int plantca_run_plants(struct cmd *cmd);
int plantca_run_watch(struct cmd *cmd);
int plantca_run_list(struct cmd *cmd);
int plantca_run_show(struct cmd *cmd);
int plantca_run_status(struct cmd *cmd);
int plantca_run_signer(struct cmd *cmd);

/* settings.c: what the configuration says, borrowed from `cmd`. The PIN comes, when asked for, from
 * --pin-file, --pin-fd, [token] pin-file or the terminal, whichever is there first. */
int plantca_read_settings(struct cmd *cmd, struct ca_settings *ret);
/* What [station] says to the signer; sockets, peers, stop and ready are the caller's. */
void plantca_read_station(const struct cmd *cmd, struct signer_options *ret);

/* request.c: the bytes of a request, at most PKI_REQUEST_MAX. Passes an error of ca_sign or ca_broker on, and
 * puts the file's name before it when it lies in the request. */
int plantca_check_input(const struct cmd *cmd,
                        const char *path); /* PC_EUSAGE: stdin is to be this file and the PIN */
int plantca_read_request(const char *path, struct pc_bytes *ret);
int plantca_name_request(int rc, const char *path);

/* output.c: cmd_check_output, and PC_EREFUSED "file-own" for the CA's own files: in the state folder, the
 * configuration, the PIN, the published ca.crt and ca.crl. */
int plantca_check_output(const struct cmd *cmd, const char *path);
/* PC_EREFUSED "file-own" for the state folder, and what lies in it. */
int plantca_check_folder(const struct cmd *cmd, const char *path);

/* batch.c: sign --batch. */
int plantca_sign_batch(struct cmd *cmd);

/* allow_shift.c: allow --import; `order` says what its lines leave open. */
int plantca_allow_shift(struct cmd *cmd, struct ca *ca, const struct ca_admission_order *order);
/* allow.c: an admission as JSON; `code` NULL or "": none. */
json_t *plantca_admission_json(const struct ca_admission *admission, const char *code);
/* Seconds for which an admission of this kind is good: --valid, else [station]. */
int plantca_allow_valid(const struct cmd *cmd, enum ca_admission_kind kind, int64_t *ret);
/* pending.c: what waits as JSON; a fingerprint as it was typed, without colons, in lower case. */
json_t *plantca_waiting_json(const struct ca_waiting *waiting);
int plantca_read_fingerprint(const char *text, char ret[PKI_FINGERPRINT_TEXT]);

/* record.c: one certificate on record, as JSON members and as lines of a summary. */
json_t *plantca_record_json(const struct ca_record *record);
void plantca_record_say(const struct cmd *cmd, const struct ca_record *record);
/* The JSON of a summary of the CA, and its lines. */
void plantca_summary_set(struct cmd *cmd, const struct ca_summary *summary);
void plantca_summary_say(const struct cmd *cmd, const struct ca_summary *summary);
/* A CRL as JSON, and as lines; nothing where none was made. */
json_t *plantca_crl_json(const struct ca_crl_report *crl);
void plantca_crl_say(const struct cmd *cmd, const struct ca_crl_report *crl);
/* What was issued: JSON members, and lines with path, serial, fingerprint, expiry; `out` NULL when the chain
 * went to stdout. A predecessor that was superseded is warned of. */
void plantca_issued_tell(struct cmd *cmd, const struct ca_issued *issued, const char *out);

#endif
