/* The doctor's way, step by step, and the steps that ask the TPM. Changes nothing and takes no lock. */
#include "provision/device/doctor.h"

#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "provision/device/check.h"
#include "provision/device/doctor_steps.h"
#include "provision/device/salvage.h"
#include "provision/device/operation.h"
#include "provision/device/status.h"
#include "src/base/error.h"
#include "src/pki/chain.h"
#include "src/pki/openssl.h"

#define TPM_TIMEOUT_MS 10000 /* somebody stands beside the PLC and waits */
#define DEVICE "device:"

/* --- findings --- */

static struct dev_finding *last(struct doctor *doctor)
{
    return &doctor->out->findings[doctor->out->count - 1];
}

__attribute__((format(printf, 3, 0))) static void find(struct doctor *doctor, enum dev_verdict verdict,
                                                       const char *format, va_list arguments)
{
    struct dev_diagnosis *out = doctor->out;
    if (out->count < DEV_FINDINGS_MAX)
        out->count++;
    struct dev_finding *finding = last(doctor);
    *finding = (struct dev_finding){.step = doctor->step, .verdict = verdict, .name = ""};
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
}

void doctor_find(struct doctor *doctor, enum dev_verdict verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    find(doctor, verdict, format, arguments);
    va_end(arguments);
}

void doctor_advise(struct doctor *doctor, const char *format, ...)
{
    struct dev_finding *finding = last(doctor);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->advice, sizeof finding->advice, format, arguments);
    va_end(arguments);
}

void doctor_fault(struct doctor *doctor, int code, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    find(doctor, DEV_FAULT, format, arguments);
    va_end(arguments);
    last(doctor)->code = code;
    last(doctor)->name = name;
    doctor->ended = true;
}

static const struct {
    const char *name, *advice;
} advices[] = {
    {"tpm-missing",
     "See that the TPM is switched on in the firmware and its driver loaded (ls -l /dev/tpm*), and "
     "that [tpm] tcti names it."},
    {"tpm-permission",
     "Run this, and the MQTT client, as a user of the group that the device belongs to (tss on "
     "Debian)."},
    {"tpm-busy",
     "Find the program that holds the TPM (fuser /dev/tpm0), or use the kernel's resource manager: "
     "tcti = device:/dev/tpmrm0."},
    {"tpm-timeout",
     "Find the program that holds the TPM (fuser /dev/tpm0), or use the kernel's resource manager: "
     "tcti = device:/dev/tpmrm0; then restart the machine."},
    {"tpm-simulator", "Name the real TPM in [tpm] tcti; allow-simulator is for tests."},
    {"tpm-memory", "Use the kernel's resource manager: tcti = device:/dev/tpmrm0."},
    {"tpm-not-started", "Restart the machine: its firmware starts the TPM."},
    {"tpm-failure", "Restart the machine; if it stays so, the TPM is broken."},
    {"tpm-lockout", "Wait as long as it says, and find the program that gives the TPM wrong auth values."},
    {"tpm-auth", "Give the SRK's auth value: [tpm] srk-auth-file."},
    {"key-absent", "The TPM was cleared, or is another one. "},
    {"key-name", "Another key is where ours was: the TPM was cleared, or is another one. "},
    {"key-certificate", "plantcert install the certificate again, or start afresh: plantcert request."},
    {"chain-expired", ""},
    {"chain-anchor", "Install a certificate of the CA in ca.crt, or the right CA: plantcert install --ca."},
    {"install-cn", DEV_ADVICE_PLANT},
};

/* Where what is to be done is what `plantcert status` says; "" for other faults. */
static const char *ask_status(struct doctor *doctor, const char *name)
{
    struct dev_status *status = &doctor->status;
    bool lost = strcmp(name, "key-absent") == 0 || strcmp(name, "key-name") == 0;
    if (!status->read || (!lost && strcmp(name, "chain-expired") != 0))
        return "";
    if (lost)
        status->key_name = name;
    dev_status_advise(status);
    return status->next;
}

void doctor_fault_error(struct doctor *doctor)
{
    const char *name = pc_error_name();
    doctor_fault(doctor, pc_error_code(), name, "%s", pc_error_text());
    for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++)
        if (strcmp(advices[i].name, name) == 0)
            doctor_advise(doctor, "%s%s", advices[i].advice, ask_status(doctor, name));
}

/* --- the TPM --- */

/* Who may open a device file; "" for other TCTIs. */
static void describe_access(const char *tcti, char ret[128])
{
    struct stat about;
    ret[0] = '\0';
    if (strncmp(tcti, DEVICE, sizeof DEVICE - 1) != 0 || stat(tcti + sizeof DEVICE - 1, &about) != 0)
        return;
    const struct passwd *user = getpwuid(about.st_uid);
    const struct group *group = getgrgid(about.st_gid);
    snprintf(ret, 128, "; for %s:%s, mode %04o", user ? user->pw_name : "?", group ? group->gr_name : "?",
             (unsigned)about.st_mode & 07777);
}

static void look_tpm(struct doctor *doctor)
{
    const char *tcti = doctor->dev->settings.tpm.tcti;
    struct tpm_description about;
    struct tpm *tpm;
    char access[128];
    int r = dev_tpm(doctor->dev, &tpm);
    if (r == 0)
        r = tpm_describe(tpm, &about);
    dev_end(doctor->dev);
    describe_access(tcti ? tcti : "", access);
    if (r < 0) {
        pc_fail_named(r, pc_error_name(), "%s%s", pc_error_text(), access);
        doctor_fault_error(doctor);
        return;
    }
    doctor_find(doctor, DEV_FINE, "%s %s at %s answers%s", about.manufacturer, about.vendor, tcti, access);

    doctor->step = "lockout";
    doctor->locked_out = about.in_lockout;
    if (about.in_lockout) {
        /* Our keys are outside the TPM's dictionary-attack protection: whether one is locked, it shows
         * itself. */
        doctor_find(doctor, DEV_WARNING,
                    "the TPM is in lockout after %" PRIu32
                    " failures of other programs; it forgives one every %" PRIu32 " s",
                    about.lockout_counter, about.lockout_interval);
        doctor_advise(doctor,
                      "Find the program that gives the TPM wrong auth values. Keys made by plantcert are not "
                      "locked by it.");
    } else {
        doctor_find(doctor, about.lockout_counter > 0 ? DEV_WARNING : DEV_FINE,
                    "not locked: %" PRIu32 " failures of %" PRIu32, about.lockout_counter,
                    about.max_auth_fail);
    }
}

/* --- the key --- */

static int match_certificate(const struct doctor *doctor)
{
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *public = NULL;
    int r = tpm_key_public(doctor->installed.key, &public);
    if (r < 0)
        return r;
    if (EVP_PKEY_eq(public, X509_get0_pubkey(doctor->installed.leaf)) != 1)
        return pc_refuse("key-certificate", "device.tpm is another key than the certificate's");
    return 0;
}

static int sign(struct doctor *doctor)
{
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *key = NULL;
    int r = dev_key_open(doctor->dev, &doctor->installed.set.key, &key);
    return r < 0 ? r : dev_check_signature(key, doctor->installed.leaf);
}

static int probe(struct doctor *doctor)
{
    struct tpm *tpm;
    int r = dev_tpm(doctor->dev, &tpm);
    if (r == 0)
        r = tpm_key_probe(tpm, doctor->installed.key);
    dev_end(doctor->dev);
    return r;
}

static void look_key(struct doctor *doctor)
{
    const struct dev_installed *installed = &doctor->installed;
    const struct dev_status *status = &doctor->status;
    int r = dev_salvage_read(doctor->dev->settings.dir, &doctor->installed);
    if (r == 0)
        r = dev_status(doctor->dev, true, &doctor->status);
    if (r < 0) {
        doctor_fault_error(doctor);
        return;
    }
    if (installed->damage[0]) {
        doctor_fault(doctor, PC_EREFUSED, "state-damaged", "%s", installed->damage);
        doctor_advise(doctor, "%s", status->next);
        return;
    }
    if (!installed->leaf) {
        doctor_fault(doctor, PC_EPENDING, "not-installed", "no certificate is installed in %s%s",
                     doctor->dev->settings.dir, status->plain ? ": " DEV_PLAIN_FILES : "");
        doctor_advise(doctor, "%s", status->next);
        return;
    }
    if (!installed->key) {
        doctor_find(doctor, DEV_SKIPPED, "%s",
                    installed->record.legacy ? "a plain device.key of before is in use"
                                             : "device.tpm is not for this user to read");
        return;
    }
    r = probe(doctor);
    if (r == 0)
        r = match_certificate(doctor);
    if (r == 0)
        r = sign(doctor);
    if (r < 0) {
        doctor_fault_error(doctor);
        return;
    }
    char where[32] = "wrapped in device.tpm";
    if (tpm_key_handle(installed->key))
        snprintf(where, sizeof where, "at handle 0x%08" PRIx32, tpm_key_handle(installed->key));
    doctor_find(doctor, DEV_FINE, "%s key %s; signs, and is the certificate's",
                pki_key_type_name(tpm_key_type(installed->key)), where);
}

/* --- the way --- */

/* A function may say more than its own step's finding: the TPM describes itself once. */
static const struct {
    const char *name;
    void (*look)(struct doctor *doctor);
} steps[] = {
    {"tpm", look_tpm},
    {"lockout", NULL},
    {"station", doctor_station},
    {"key", look_key},
    {"files", doctor_files},
    {"clock", doctor_clock},
    {"chain", doctor_chain},
    {"provider", doctor_provider},
    {"broker", doctor_broker},
    {"tls", doctor_tls},
    {"broker-certificate", doctor_broker_certificate},
    {"certificate", doctor_certificate},
    {"connack", doctor_connack},
    {"puback", doctor_puback},
};

static void clear(struct doctor *doctor)
{
    dev_installed_clear(&doctor->installed);
    pki_chain_free(doctor->anchors);
    pki_chain_free(doctor->chain);
    mqtt_report_clear(&doctor->report);
}

int dev_doctor(struct dev *dev, const struct dev_doctor_order *order, struct dev_diagnosis *ret)
{
    struct doctor PC_CLEANUP(clear) doctor = {.dev = dev, .order = order, .out = ret};
    ret->count = 0;
    if (dev->settings.tpm.timeout_ms == 0)
        dev->settings.tpm.timeout_ms = TPM_TIMEOUT_MS;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i].look == doctor_station && !order->station)
            continue;
        doctor.step = steps[i].name;
        if (doctor.ended)
            doctor_find(&doctor, DEV_SKIPPED, "not looked at");
        else if (steps[i].look)
            steps[i].look(&doctor);
    }
    return 0;
}
