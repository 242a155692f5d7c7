/* plantcert: the device's side. The table of its commands and of their options; help and the manual pages
 * follow it. */
#include <stdlib.h>

#include <openssl/crypto.h>

#include "src/cmd/plantcert/plantcert.h"

#define OPTIONS(array) .options = (array), .option_count = CMD_LENGTH(array)
#define TCTI                                                                                                 \
    {                                                                                                        \
        "tcti", 0, "TCTI", "where the TPM is, instead of [tpm] tcti", "tpm", "tcti"                          \
    }

/* Whatever opens the TPM takes these. */
#define TPM_OPTIONS                                                                                          \
    TCTI, {"owner-auth-file", 0, "FILE", "read the auth value of the TPM's owner from FILE", "tpm",          \
           "owner-auth-file"},                                                                               \
        {"owner-auth-fd", 0, "N", "read it from file descriptor N", NULL, NULL},                             \
        {"srk-auth-file", 0, "FILE", "read the auth value of the TPM's SRK from FILE", "tpm",                \
         "srk-auth-file"},                                                                                   \
    {                                                                                                        \
        "srk-auth-fd", 0, "N", "read it from file descriptor N", NULL, NULL                                  \
    }

static const struct cmd_option keygen_options[] = {
    {"adopt", 0, "HANDLE", "take back the key of CHAIN's certificate, at HANDLE or auto", NULL, NULL},
    TPM_OPTIONS,
};

/* Whatever asks the station takes these. */
#define STATION_OPTIONS                                                                                      \
    {"url", 0, "URL", "the station, https://HOST[:PORT], instead of [station] url", "station", "url"},       \
        {"trust", 0, "FILE", "trust anchors of the station's own certificate", "station", "trust"},          \
        {"label", 0, "NAME", "the station's label, instead of [station] label", "station", "label"},         \
        {"timeout", 0,        "TIME", "the longest that it may take, instead of [station] timeout",          \
         "station", "timeout"},                                                                              \
    {                                                                                                        \
        "wait", 0, NULL, "while the station has not decided, ask again until then", NULL, NULL               \
    }

/* Whatever switches takes this. */
#define DEFER_RELOAD                                                                                         \
    {                                                                                                        \
        "defer-reload", 0, NULL, "leave the reload command owed, for 'plantcert reload'", NULL, NULL         \
    }

static const struct cmd_option renew_options[] = {
    {"if-due", 0, NULL, "only when it is time to renew; otherwise nothing, and exit 0", NULL, NULL},
    {"out", 'o', "FILE", "write the request to FILE (- is standard output), and ask no station", NULL, NULL},
    STATION_OPTIONS,
    DEFER_RELOAD,
    TPM_OPTIONS,
};

static const struct cmd_option enroll_options[] = {
    STATION_OPTIONS,
    {"ca", 0, "FILE", "the trust anchor of the set: at first, where it is not the station's", NULL, NULL},
    {"code-file", 0, "FILE", "read the one-time code from FILE", "station", "code-file"},
    {"code-fd", 0, "N", "read it from file descriptor N", NULL, NULL},
    {"usb", 0, "DIR", "by the files UUID.csr and UUID.crt in DIR, and ask no station", NULL, NULL},
    {"anew", 0, NULL, "by admission, with a new key, though a certificate is installed", NULL, NULL},
    DEFER_RELOAD,
    TPM_OPTIONS,
};

static const struct cmd_option confirm_options[] = {
    PLANTCERT_MQTT,
    {"unproven", 0, NULL, "by the operator's word, even where a broker is configured", NULL, NULL},
    TPM_OPTIONS,
};

static const struct cmd_option rollback_options[] = {DEFER_RELOAD, TPM_OPTIONS};

static const struct cmd_option request_options[] = {
    {"plant", 0, "UUID", "the plant to ask for, instead of [device] plant", NULL, NULL},
    {"out", 'o', "FILE", "write the request to FILE, not to standard output", NULL, NULL},
    TPM_OPTIONS,
};

static const struct cmd_option install_options[] = {
    {"ca", 0, "FILE", "the trust anchor: needed at first, later the installed one holds", NULL, NULL},
    {"crl", 0, "FILE", "refuse a certificate that this CRL of its issuer lists", NULL, NULL},
    DEFER_RELOAD,
    TPM_OPTIONS,
};

static const struct cmd_option check_options[] = {DEFER_RELOAD, TPM_OPTIONS};

static const struct cmd_option status_options[] = {
    {"offline", 0, NULL, "do not ask the TPM", NULL, NULL},
    TPM_OPTIONS,
};

static const struct cmd_option doctor_options[] = {
    PLANTCERT_MQTT,
    {"publish", 0, NULL, "publish one message to cpi/UUID/status, to see what the ACL says", NULL, NULL},
    {"openssl-conf", 0, "FILE", "the OpenSSL configuration that the MQTT client is given", NULL, NULL},
    TPM_OPTIONS,
};

static const struct cmd_option config_options[] = {
    {"openssl", 0, NULL, "print the OpenSSL configuration that a service needs", NULL, NULL},
    TCTI,
};

static const struct cmd_option forget_options[] = {
    {"force", 0, NULL, "the key in use and the installed certificate too", NULL, NULL},
    {"legacy", 0, NULL, "destroy the device.key of a PLC that was taken over", NULL, NULL},
    TPM_OPTIONS,
};

static const struct cmd_command commands[] = {
    {.name = "keygen",
     .run = plantcert_run_keygen,
     .operands = "[CHAIN]",
     .operands_max = 1,
     .summary = "Make the device's key in the TPM",
     OPTIONS(keygen_options)},
    {.name = "request",
     .run = plantcert_run_request,
     .summary = "Make the certificate request, signed in the TPM",
     OPTIONS(request_options)},
    {.name = "install",
     .run = plantcert_run_install,
     .operands = "CHAIN",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Check a certificate chain and install it",
     OPTIONS(install_options)},
    {.name = "enroll",
     .run = plantcert_run_enroll,
     .summary = "Get what the PLC needs from the station, and install it",
     OPTIONS(enroll_options)},
    {.name = "renew",
     .run = plantcert_run_renew,
     .summary = "Renew the certificate, or request it, with the installed key",
     OPTIONS(renew_options)},
    {.name = "rekey",
     .run = plantcert_run_rekey,
     .summary = "Renew the certificate, or request it, with a new key",
     OPTIONS(renew_options)},
    {.name = "confirm",
     .run = plantcert_run_confirm,
     .summary = "Prove the installed set and drop the one before it",
     OPTIONS(confirm_options)},
    {.name = "rollback",
     .run = plantcert_run_rollback,
     .summary = "Go back to the set before",
     OPTIONS(rollback_options)},
    {.name = "check",
     .run = plantcert_run_check,
     .summary = "Verify at boot what is installed, and finish what was cut off",
     OPTIONS(check_options)},
    {.name = "reload",
     .run = plantcert_run_reload,
     .summary = "Run the reload command if a switch still owes it"},
    {.name = "status",
     .run = plantcert_run_status,
     .summary = "Tell what is installed and until when",
     OPTIONS(status_options)},
    {.name = "doctor",
     .run = plantcert_run_doctor,
     .summary = "Find out why this PLC does not connect, and say what to do",
     OPTIONS(doctor_options)},
    {.name = "config",
     .run = plantcert_run_config,
     .summary = "Show the settings in effect and where each comes from",
     OPTIONS(config_options)},
    {.name = "forget",
     .run = plantcert_run_forget,
     .summary = "Remove keys and certificates that this program made",
     OPTIONS(forget_options)},
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
        .name = "plantcert",
        .summary = "A device's certificate; its key lives in the TPM",
        .config_env = "PLANTCERT_CONFIG",
        .config_path = "/etc/plantcert/plantcert.conf",
        .settings = plantcert_settings,
        .setting_count = plantcert_setting_count,
        .commands = commands,
        .command_count = CMD_LENGTH(commands),
    };

    /* tpm2-tss writes to stderr of its own accord; what fails is said by us, once. An operator may ask for
     * more by setting it. */
    setenv("TSS2_LOG", "all+NONE", 0);
    /* The OpenSSL configuration of the MQTT client may be in our environment: what is wrong with it must not
     * stop us, and our own provider needs none. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    return cmd_main(&program, argc, argv);
}
