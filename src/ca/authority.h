/* The authority as a whole: its settings, its state folder, its ledger, its token. What commands, and later
 * the station, call. */
#ifndef CA_AUTHORITY_H
#define CA_AUTHORITY_H

#include <stdbool.h>
#include <stdint.h>

#include "hsm/token.h"
#include "src/base/memory.h"
#include "src/pki/certificate.h"
#include "src/pki/key.h"
#include "src/pki/name.h"

/* What the configuration says. All borrowed for the life of the struct ca. */
struct ca_settings {
    struct hsm_place token;
    const char *state;   /* absolute folder */
    const char *subject; /* DN text */
    int64_t days;        /* of the root */
    enum pki_key_type key;
    int64_t crl_days;
    int64_t backdate;                           /* seconds that notBefore and thisUpdate lie in the past */
    int64_t device_days, renew_window, overlap; /* days; seconds; seconds */
    const char *broker_cn, *broker_san;
    int64_t broker_days;
    const char *ledger_url;                   /* "sqlite", "sqlite:/abs/path"; "postgresql://…" */
    const char *publish_dir, *publish_reload; /* NULL: none */
    const char *publish_probe;                /* "host:port" of the broker; NULL: none */
    int64_t crl_renew;                        /* seconds before nextUpdate from which a CRL is due */
    int64_t sessions;       /* signatures at once, in a batch; 0: as many as the token gives */
    int64_t audit_interval; /* seconds after which a checkpoint is due */
    const char *audit_ship; /* command that is handed each checkpoint; NULL: none */
    const char *program;    /* "plantca 0.1.0", for the audit log */
    /* Asked for the PIN at most once, and only by acts that sign or look for the key (`ensure`); `label`
     * names the token. */
    int (*pin)(void *context, const char *label, struct pc_secret **ret);
    void *pin_context;
};

struct ca; /* an authority that exists: state folder and ledger are there and sound */

/* PC_EREFUSED "ca-missing" when there is no CA here; PC_EUNREACH when the ledger cannot be had. No token is
 * touched. */
int ca_open(const struct ca_settings *settings, struct ca **ret);
/* The same for who only looks: leave to read the state folder is enough (LEDGER_READONLY in
 * src/ca/ledger.h). */
int ca_open_to_read(const struct ca_settings *settings, struct ca **ret);
void ca_close(struct ca *ca);
PC_DEFINE_CLEANUP(struct ca, ca_close);

/* What `init` prints. */
struct ca_summary {
    bool made;     /* by this call */
    char *subject; /* owned */
    enum pki_key_type key;
    char key_sha256[PKI_FINGERPRINT_TEXT], certificate_sha256[PKI_FINGERPRINT_TEXT], serial[PKI_SERIAL_TEXT];
    int64_t not_before, not_after;
    char *certificate_path, *crl_path, *ledger_path; /* owned; ledger_path NULL when it is no file */
    struct hsm_token_info token;
};
void ca_summary_clear(struct ca_summary *summary);

/* State folder (0700): ledger.db (SQLite, the record of everything; -wal, -shm and -owners beside it), ca.crt
 * and ca.crl (written from the record), lock. The key's label in the token is "plantca-root"; by it CA keys
 * are counted.
 *
 * Key in the token, self-signed root, ledger, first empty CRL. Each step is written down before it is taken
 * (the key's CKA_ID before the key is made), so that an interrupted run is finished by the next, with the
 * same key. A CA that exists, or a CA key in the token that this state folder knows nothing of: PC_EREFUSED
 * "ca-exists", nothing touched. Files of a CA without their ledger: "ca-half". An interrupted run that used
 * another token, or recorded another subject, key or term: "init-token", "init-differs". */
int ca_init(const struct ca_settings *settings, struct ca_summary *ret);
/* 0 with made=false where the CA exists and is sound (files and ledger agree, the token is reachable and
 * holds the key's public half); ca_init only where the state folder is empty or absent *and* the reachable
 * token holds no CA key (and where an interrupted init left its journal); anything half there PC_EREFUSED or
 * PC_EUNREACH. Only a ca.crl older than the record (a power cut between the two) is written again. Logs in.
 */
int ca_ensure(const struct ca_settings *settings, struct ca_summary *ret);

#endif
