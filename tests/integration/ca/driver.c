/* One act of an authority a run, for tests that kill it: driver WORK LABEL PIN-FILE ACT [ARGUMENT…]. Prints
 * one line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/pin.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"
#include "src/ca/issue.h"
#include "src/ca/list.h"
#include "src/ca/publish.h"
#include "src/ca/revoke.h"
#include "src/pki/request.h"

#define MODULE_DEFAULT "/usr/lib/softhsm/libsofthsm2.so"

static int read_pin(void *context, const char *label, struct pc_secret **ret)
{
    (void)label;
    return hsm_pin_from_file(context, ret);
}

static int act_init(const struct ca_settings *settings, char **arguments)
{
    struct ca_summary PC_CLEANUP(ca_summary_clear) summary = {0};
    (void)arguments;
    int r = ca_ensure(settings, &summary);
    if (r == 0)
        printf("%s %s\n", summary.key_sha256, summary.certificate_sha256);
    return r;
}

/* UUID, request file, and the serial that may be replaced, or "-". */
static int act_sign(const struct ca_settings *settings, char **arguments)
{
    struct ca *ca PC_CLEANUP(ca_close_ref) = NULL;
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    pc_autobytes csr = {0};
    struct ca_sign_options options = {.plant = arguments[0], .revoke_old = -1};
    if (strcmp(arguments[2], "-") != 0)
        options.replace = arguments[2];
    int r = ca_open(settings, &ca);
    if (r == 0)
        r = pc_file_read(arguments[1], PKI_REQUEST_MAX, &csr);
    if (r == 0)
        r = ca_sign(ca, &csr, &options, &issued);
    if (r == 0)
        printf("%s\n", issued.record.serial);
    return r;
}

static int act_revoke(const struct ca_settings *settings, char **arguments)
{
    struct ca *ca PC_CLEANUP(ca_close_ref) = NULL;
    struct ca_revoke_report PC_CLEANUP(ca_revoke_report_clear) report = {0};
    int r = ca_open(settings, &ca);
    if (r == 0)
        r = ca_revoke(ca, &(struct ca_selector){.plant = arguments[0]}, 1, &report);
    if (r == 0)
        printf("%llu %zu\n", (unsigned long long)report.crl.number, report.crl.entries);
    return r;
}

static int act_publish(const struct ca_settings *settings, char **arguments)
{
    struct ca *ca PC_CLEANUP(ca_close_ref) = NULL;
    struct ca_publish_report report = {0};
    int r = ca_open(settings, &ca);
    if (r == 0)
        r = ca_publish(ca, &(struct ca_publish_options){.dir = arguments[0]}, &report);
    if (r == 0)
        printf("%llu\n", (unsigned long long)report.crl_number);
    return r;
}

/* "sound" where the record is: the chain holds, the CRL is there, nothing is unfinished. */
static int act_status(const struct ca_settings *settings, char **arguments)
{
    struct ca *ca PC_CLEANUP(ca_close_ref) = NULL;
    struct ca_health PC_CLEANUP(ca_health_clear) health = {0};
    (void)arguments;
    int r = ca_open(settings, &ca);
    if (r == 0)
        r = ca_status(ca, &health);
    if (r == 0)
        printf("%s %zu unfinished\n", health.audit_sound ? "sound" : "broken", health.unfinished);
    return r;
}

/* UUID, file for its request, made with a fresh key. */
static int act_request(const struct ca_settings *settings, char **arguments)
{
    (void)settings;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    pc_autobytes csr = {0};
    int r = pki_request_build(key, arguments[0], &csr);
    EVP_PKEY_free(key);
    return r < 0 ? r : pc_file_write(arguments[1], csr.data, csr.len, NULL);
}

static const struct {
    const char *name;
    int arguments;
    int (*act)(const struct ca_settings *settings, char **arguments);
} acts[] = {
    {"init", 0, act_init},       {"sign", 3, act_sign},     {"revoke", 1, act_revoke},
    {"publish", 1, act_publish}, {"status", 0, act_status}, {"request", 2, act_request},
};

int main(int argc, char **argv)
{
    const char *module = getenv("CA_MODULE");
    if (argc < 5)
        return 2;
    const struct ca_settings settings = {
        .token = {.module = module ? module : MODULE_DEFAULT, .label = argv[2]},
        .state = argv[1],
        .subject = "/CN=Interrupted CA",
        .days = 3650,
        .key = PKI_KEY_EC_P256,
        .crl_days = 30,
        .audit_interval = PC_DAY,
        .backdate = 300,
        .device_days = 730,
        .renew_window = 60 * PC_DAY,
        .overlap = 14 * PC_DAY,
        .ledger_url = "sqlite",
        .program = "driver",
        .pin = read_pin,
        .pin_context = argv[3],
    };
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        if (strcmp(acts[i].name, argv[4]) != 0 || argc - 5 != acts[i].arguments)
            continue;
        int r = acts[i].act(&settings, argv + 5);
        if (r < 0)
            fprintf(stderr, "%s: %s\n", pc_error_name(), pc_error_text());
        return -r;
    }
    return 2;
}
