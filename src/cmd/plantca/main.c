/* plantca: the authority. The table of its commands and of their options; help and the manual pages follow
 * it. */
#include "src/cmd/plantca/plantca.h"

#define OPTIONS(array) .options = (array), .option_count = CMD_LENGTH(array)
/* Commands that sign ask the token for its PIN. */
#define PIN_FILE                                                                                             \
    {                                                                                                        \
        "pin-file", 0, "FILE", "read the token's PIN from FILE", NULL, NULL                                  \
    }
#define PIN_FD                                                                                               \
    {                                                                                                        \
        "pin-fd", 0, "N", "read the token's PIN from file descriptor N", NULL, NULL                          \
    }

static const struct cmd_option pin_options[] = {PIN_FILE, PIN_FD};

static const struct cmd_option sign_options[] = {
    {"plant", 0, "UUID", "the plant that the certificate is for (must be given for one CSR)", NULL, NULL},
    {"profile", 0, "NAME", "kind of certificate: device, which is the default", NULL, NULL},
    {"batch", 0, "PATH", "many at once: a folder of UUID.csr, or lines uuid,csr-path", NULL, NULL},
    {"out", 'o', "FILE", "write the chain to FILE, not to standard output; --batch: a folder", NULL, NULL},
    {"renew", 0, NULL, "a successor for the same key, where it is due; also with --batch", NULL, NULL},
    {"replace", 0, "SERIAL", "another key takes the place of this current certificate", NULL, NULL},
    {"revoke-old", 0, "REASON", "revoke the predecessor at once, not after the overlap", NULL, NULL},
    {"dry-run", 'n', NULL, "judge the request and sign nothing", NULL, NULL},
    PIN_FILE,
    PIN_FD,
};

static const struct cmd_option broker_options[] = {
    {"cn", 0, "NAME", "host name of the broker, instead of [broker] cn", NULL, NULL},
    {"san", 0, "LIST", "subject alternative names, instead of [broker] san", NULL, NULL},
    {"csr", 0, "FILE", "certify the key of this request", NULL, NULL},
    {"new-key", 0, "FILE", "make a key and write it to FILE (0600, never replaced)", NULL, NULL},
    {"out", 'o', "FILE", "write the chain to FILE, not to standard output", NULL, NULL},
    PIN_FILE,
    PIN_FD,
};

static const struct cmd_option revoke_options[] = {
    {"plant", 0, "UUID", "every valid certificate of this plant", NULL, NULL},
    {"serial", 0, "HEX", "the certificate with this serial number, and all of its key", NULL, NULL},
    {"cert", 0, "FILE", "this very certificate, and all of its key", NULL, NULL},
    {"reason", 0, "REASON", "reason code of RFC 5280; by default unspecified", NULL, NULL},
    {"invalid-since", 0, "TIME", "since when the key is not trusted any more", NULL, NULL},
    {"dry-run", 'n', NULL, "say what would be revoked and revoke nothing", NULL, NULL},
    PIN_FILE,
    PIN_FD,
};

static const struct cmd_option hold_options[] = {
    {"plant", 0, "UUID", "every valid certificate of this plant", NULL, NULL},
    {"serial", 0, "HEX", "the certificate with this serial number, and all of its key", NULL, NULL},
    {"cert", 0, "FILE", "this very certificate, and all of its key", NULL, NULL},
    {"dry-run", 'n', NULL, "say what would be done and do nothing", NULL, NULL},
    PIN_FILE,
    PIN_FD,
};

static const struct cmd_option crl_options[] = {
    {"if-due", 0, NULL, "only if one is due; else nothing is done", NULL, NULL},
    {"out", 'o', "FILE", "write a copy of the CRL to FILE", NULL, NULL},
    PIN_FILE,
    PIN_FD,
};

static const struct cmd_option publish_options[] = {
    {"dir", 0, "DIR", "publish to DIR instead of [publish] dir", "publish", "dir"},
    {"probe", 0, "ADDRESS", "the broker to ask afterwards, instead of [publish] probe", "publish", "probe"},
    {"retire", 0, "LIST", "serial numbers, or a file of them, that may be shut out", NULL, NULL},
    {"new-broker-key", 0, NULL, "the broker has the key of its new certificate", NULL, NULL},
    {"dry-run", 'n', NULL, "judge what would be published and publish nothing", NULL, NULL},
    PIN_FILE,
    PIN_FD,
};

static const struct cmd_option import_options[] = {
    {"ca", 0, "FILE", "the CA's certificate (must be given)", NULL, NULL},
    {"crl", 0, "FILE", "its CRL", NULL, NULL},
    {"index", 0, "FILE", "index.txt of openssl ca", NULL, NULL},
    {"devices", 0, "DIR", "folder with a device.crt in a folder for each device", NULL, NULL},
    {"dry-run", 'n', NULL, "judge and count, and record nothing", NULL, NULL},
};

static const struct cmd_option audit_options[] = {
    {"head", 0, "PATH", "verify: checkpoints that were handed over; may be repeated", CMD_MANY, NULL},
    {"crl", 0, "FILE", "verify: a CRL that was published; may be repeated", CMD_MANY, NULL},
    {"ca", 0, "FILE", "verify, receipt: the CA certificate, as you have it from elsewhere", NULL, NULL},
    {"state", 0, "DIR", "not checkpoint: this state folder (a copy) instead of [ca] state", "ca", "state"},
    {"ship", 0, "COMMAND", "checkpoint: hand it to COMMAND instead of [audit] ship", NULL, NULL},
    {"out", 'o', "FILE", "export: write to FILE, not to standard output", NULL, NULL},
    PIN_FILE,
    PIN_FD,
};

static const struct cmd_option reconcile_options[] = {
    {"accept-loss", 0, "REASON", "go on with a ledger that has lost what was published", NULL, NULL},
    {"dry-run", 'n', NULL, "say what would be done and do nothing", NULL, NULL},
    PIN_FILE,
    PIN_FD,
};

static const struct cmd_option jwt_key_options[] = {
    {"out", 'o', "FILE", "write it to FILE, not to standard output", NULL, NULL},
    {"jwks", 0, NULL, "a JWKS of all keys that were not retired, instead of PEM", NULL, NULL},
    {"rotate", 0, NULL, "make a new key, which signs from now on", NULL, NULL},
    {"retire", 0, "KID", "take this older key out of the set", NULL, NULL},
    {"adopt", 0, NULL, "put the key in the token back on record, after a ledger was restored", NULL, NULL},
    PIN_FILE,
    PIN_FD,
};

static const struct cmd_option jwt_sign_options[] = {
    {"sub", 0, "UUID", "the plant that the token is for (must be given)", NULL, NULL},
    {"ttl", 0, "DURATION", "how long it is good, 1s to 366d, with its unit (must be given)", NULL, NULL},
    {"any", 0, NULL, "also for a plant that has no certificate on record", NULL, NULL},
    {"claim", 0, "CLAIM", "a claim NAME=TEXT; may be repeated", CMD_MANY, NULL},
    {"claim-json", 0, "CLAIM", "a claim NAME=JSON; may be repeated", CMD_MANY, NULL},
    {"aud", 0, "TEXT", "the audience", NULL, NULL},
    {"iss", 0, "TEXT", "the issuer", NULL, NULL},
    {"out", 'o', "FILE", "write the token to FILE (0600), not to standard output", NULL, NULL},
    PIN_FILE,
    PIN_FD,
};

static const struct cmd_option list_options[] = {
    {"current", 0, NULL, "the current certificate of each name", NULL, NULL},
    {"valid", 0, NULL, "unrevoked and unexpired ones: what a broker accepts", NULL, NULL},
    {"expiring", 0, "DAYS", "current ones that end within DAYS days", NULL, NULL},
    {"superseded", 0, NULL, "those that have a successor, during their overlap", NULL, NULL},
    {"held", 0, NULL, "those on hold", NULL, NULL},
    {"revoked", 0, NULL, "revoked ones", NULL, NULL},
    {"foreign", 0, NULL, "valid ones of imported CAs", NULL, NULL},
    {"profile", 0, "NAME", "those of this profile alone; the PLCs': device", NULL, NULL},
    {"all", 0, NULL, "those made to ask a broker (publish), too", NULL, NULL},
    {"limit", 0, "N", "at most N of them", NULL, NULL},
    {"after", 0, "SERIAL", "go on behind this one", NULL, NULL},
    {"csv", 0, NULL, "as comma separated values with a header", NULL, NULL},
};

static const struct cmd_option allow_options[] = {
    {"plant", 0, "UUID", "the plant that may enrol (or --import)", NULL, NULL},
    {"code", 0, NULL, "whoever shows a one-time code, which is printed once", NULL, NULL},
    {"pending", 0, NULL, "whoever an operator approves by the key's fingerprint", NULL, NULL},
    {"ek", 0, "HASH", "not before there is proof of residence: refused", NULL, NULL},
    {"valid", 0, "DURATION", "until then, instead of [station] code-valid, pending-valid", NULL, NULL},
    {"replace", 0, "SERIAL", "the new key takes the place of this current certificate", NULL, NULL},
    {"revoke-old", 0, "REASON", "revoke what is replaced at once, not after the overlap", NULL, NULL},
    {"note", 0, "TEXT", "kept with it, on record and in the audit log", NULL, NULL},
    {"import", 0, "FILE", "many: lines uuid[,code|pending[,note]]", NULL, NULL},
    {"out", 'o', "FILE", "write codes to FILE (0600, never replaced)", NULL, NULL},
};

static const struct cmd_option deny_options[] = {
    {"note", 0, "TEXT", "why; kept in the audit log", NULL, NULL},
};

static const struct cmd_option show_options[] = {
    {"pem", 0, NULL, "print the certificate with this serial number as PEM", NULL, NULL},
};

static const struct cmd_option serve_options[] = {
    {"single", 0, NULL, "the signer too, as a process beside: no second service is needed", NULL, NULL},
    {"listen", 0, "ADDRESS", "listen here, instead of [station] listen", "station", "listen"},
    {"metrics", 0, "ADDRESS", "show metrics here, instead of [station] metrics", "station", "metrics"},
    {"pin-file", 0, "FILE", "--single: read the token's PIN from FILE", NULL, NULL},
    {"pin-fd", 0, "N", "--single: read the token's PIN from file descriptor N", NULL, NULL},
};

static const struct cmd_command commands[] = {
    {.name = "init",
     .run = plantca_run_init,
     .summary = "Make the CA: key in the token, root certificate, ledger, first CRL",
     OPTIONS(pin_options)},
    {.name = "ensure",
     .run = plantca_run_ensure,
     .summary = "Make the CA where there is none; silent where it is sound",
     OPTIONS(pin_options)},
    {.name = "sign",
     .run = plantca_run_sign,
     .operands = "[CSR]",
     .operands_max = 1,
     .summary = "Issue a device certificate, or many",
     OPTIONS(sign_options)},
    {.name = "broker",
     .run = plantca_run_broker,
     .summary = "Issue the broker's server certificate",
     OPTIONS(broker_options)},
    {.name = "revoke",
     .run = plantca_run_revoke,
     .summary = "Revoke certificates and make a new CRL",
     OPTIONS(revoke_options)},
    {.name = "hold",
     .run = plantca_run_hold,
     .summary = "Put certificates on the CRL for the time being",
     OPTIONS(hold_options)},
    {.name = "release",
     .run = plantca_run_release,
     .summary = "Take held certificates off the CRL again",
     OPTIONS(hold_options)},
    {.name = "crl", .run = plantca_run_crl, .summary = "Make a new CRL", OPTIONS(crl_options)},
    {.name = "publish",
     .run = plantca_run_publish,
     .summary = "Install CA, CRL and certificates where brokers read them",
     OPTIONS(publish_options)},
    {.name = "import",
     .run = plantca_run_import,
     .summary = "Take in a CA of old and its fleet, to be published beside ours",
     OPTIONS(import_options)},
    {.name = "audit",
     .run = plantca_run_audit,
     .operands = "verify|checkpoint|export|receipt [FILE [SIGNATURE]]",
     .operands_min = 1,
     .operands_max = 3,
     .summary = "Verify the audit log, vouch for it, or write it out",
     OPTIONS(audit_options)},
    {.name = "reconcile",
     .run = plantca_run_reconcile,
     .summary = "Finish or void what a crash left; accept what a restored backup has lost",
     OPTIONS(reconcile_options)},
    {.name = "jwt-key",
     .run = plantca_run_jwt_key,
     .summary = "The key of the JWT listener: made in the token, shown as PEM or JWKS",
     OPTIONS(jwt_key_options)},
    {.name = "jwt-sign",
     .run = plantca_run_jwt_sign,
     .summary = "Sign a JSON Web Token for a plant",
     OPTIONS(jwt_sign_options)},
    {.name = "serve",
     .run = plantca_run_serve,
     .summary = "Enrol PLCs over the network: EST over TLS",
     OPTIONS(serve_options)},
    {.name = "signer",
     .run = plantca_run_signer,
     .summary = "The half of the station that signs, behind a Unix socket",
     OPTIONS(pin_options)},
    {.name = "allow",
     .run = plantca_run_allow,
     .summary = "Admit a plant, or a shift's plants, to enrol over the network",
     OPTIONS(allow_options)},
    {.name = "pending", .run = plantca_run_pending, .summary = "List the keys that wait to be approved"},
    {.name = "approve",
     .run = plantca_run_approve,
     .operands = "UUID FINGERPRINT",
     .operands_min = 2,
     .operands_max = 2,
     .summary = "Let the key with this fingerprint enrol for the plant"},
    {.name = "deny",
     .run = plantca_run_deny,
     .operands = "UUID [FINGERPRINT]",
     .operands_min = 1,
     .operands_max = 2,
     .summary = "Refuse a key that waits, or the plant altogether",
     OPTIONS(deny_options)},
    {.name = "plants",
     .run = plantca_run_plants,
     .operands = "[UUID]",
     .operands_max = 1,
     .summary = "List the plants: admission, certificate, what waits"},
    {.name = "watch",
     .run = plantca_run_watch,
     .summary = "Watch what comes in; approve and deny what waits"},
    {.name = "list",
     .run = plantca_run_list,
     .summary = "List the certificates on record",
     OPTIONS(list_options)},
    {.name = "show",
     .run = plantca_run_show,
     .operands = "UUID|SERIAL|NAME",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Show what is on record of a plant or a certificate",
     OPTIONS(show_options)},
    {.name = "status", .run = plantca_run_status, .summary = "Tell whether all is well, and until when"},
    {.name = "config",
     .run = cmd_run_config,
     .summary = "Show the settings in effect and where each comes from"},
    {.name = "help",
     .run = cmd_run_help,
     .operands = "[COMMAND]",
     .operands_max = 1,
     .summary = "Show help",
     .without_settings = true},
};

int main(int argc, char **argv)
{
    const struct cmd_program program = {
        .name = "plantca",
        .summary = "The certificate authority of plantcert; its key lives in a PKCS#11 token",
        .config_env = "PLANTCA_CONFIG",
        .config_path = "/etc/plantca/plantca.conf",
        .settings = plantca_settings,
        .setting_count = plantca_setting_count,
        .commands = commands,
        .command_count = CMD_LENGTH(commands),
    };

    return cmd_main(&program, argc, argv);
}
