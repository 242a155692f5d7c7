/* The doctor's step that sees OpenSSL as the MQTT client does: a fresh library context with the configuration
 * that the client is given, and in it the provider's module. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/provider.h>

#include "provision/device/check.h"
#include "provision/device/doctor_steps.h"
#include "provision/device/operation.h"
#include "src/base/error.h"
#include "src/pki/openssl.h"

PC_DEFINE_CLEANUP(CONF, NCONF_free);
PC_DEFINE_CLEANUP(OSSL_LIB_CTX, OSSL_LIB_CTX_free);
PC_DEFINE_CLEANUP(OSSL_DECODER_CTX, OSSL_DECODER_CTX_free);

#define WRITE_CONF                                                                                           \
    "plantcert config --openssl > /etc/plantcert/openssl.cnf, and OPENSSL_CONF=/etc/plantcert/openssl.cnf "  \
    "for "                                                                                                   \
    "the MQTT client."

/* The stanza of our provider, as config(5) finds it; NULL when none is activated. */
static const char *find_stanza(const CONF *conf)
{
    const char *section = NCONF_get_string(conf, NULL, "openssl_conf");
    if (section)
        section = NCONF_get_string(conf, section, "providers");
    if (section)
        section = NCONF_get_string(conf, section, PROV_NAME);
    ERR_clear_error();
    return section;
}

static const char *stanza_value(const CONF *conf, const char *stanza, const char *key, const char *fallback)
{
    const char *value = NCONF_get_string(conf, stanza, key);
    ERR_clear_error();
    return value && *value ? value : fallback;
}

/* What the file says, before it is obeyed. */
static bool look_file(struct doctor *doctor, const char *file, const CONF *conf)
{
    const char *stanza = find_stanza(conf);
    const char *module = stanza ? stanza_value(conf, stanza, "module", "") : "";
    if (!stanza) {
        doctor_fault(doctor, PC_EUSAGE, "provider-missing", "%s: does not name the provider " PROV_NAME,
                     file);
        doctor_advise(doctor, "%s", WRITE_CONF);
        return false;
    }
    if (module[0] == '/' && access(module, R_OK) != 0) {
        doctor_fault(doctor, PC_EUSAGE, "provider-module", "%s: the module %s cannot be read", file, module);
        doctor_advise(doctor, "Install plantcert's provider there, or %s", WRITE_CONF);
        return false;
    }
    return true;
}

static bool look_loaded(struct doctor *doctor, const char *file, OSSL_LIB_CTX *libctx, int loaded)
{
    if (!OSSL_PROVIDER_available(libctx, PROV_NAME)) {
        if (loaded == 1)
            doctor_fault(doctor, PC_EUSAGE, "provider-load",
                         "%s: the provider " PROV_NAME " is not activated", file);
        else {
            pc_fail_openssl(PC_EUSAGE, "%s: the provider " PROV_NAME " cannot be loaded", file);
            doctor_fault(doctor, PC_EUSAGE, "provider-load", "%s", pc_error_text());
        }
        doctor_advise(doctor, "%s", WRITE_CONF);
        return false;
    }
    if (!OSSL_PROVIDER_available(libctx, "default")) {
        doctor_fault(doctor, PC_EUSAGE, "provider-default",
                     "%s: activates " PROV_NAME
                     " and not OpenSSL's own provider `default`, without which there are no "
                     "ciphers",
                     file);
        doctor_advise(doctor, "%s", WRITE_CONF);
        return false;
    }
    return true;
}

/* As a client does it that is given device.tpm for its key. */
static int sign(struct doctor *doctor, OSSL_LIB_CTX *libctx)
{
    const struct pc_bytes *pem = &doctor->installed.set.key;
    const unsigned char *data = pem->data;
    size_t len = pem->len;
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *key = NULL;
    PC_CLEANUP(OSSL_DECODER_CTX_free_ref)
    OSSL_DECODER_CTX *decoder =
        OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", NULL, NULL, EVP_PKEY_KEYPAIR, libctx, NULL);
    if (!decoder || OSSL_DECODER_from_data(decoder, &data, &len) != 1 || !key)
        return pc_fail_openssl(PC_EFAIL, "device.tpm cannot be decoded");
    return dev_check_signature(key, doctor->installed.leaf);
}

static void look_key(struct doctor *doctor, const char *file, OSSL_LIB_CTX *libctx, const char *tcti)
{
    const char *ours = doctor->dev->settings.tpm.tcti;
    bool same = strcmp(tcti, ours) == 0;
    if (sign(doctor, libctx) < 0) {
        doctor_fault(doctor, PC_EUSAGE, same ? "provider-key" : "provider-tcti",
                     "%s: plantcert itself signs with the key, the provider does not (tcti = %s%s%s): %s",
                     file, tcti, same ? "" : ", not ", same ? "" : ours, pc_error_text());
        doctor_advise(doctor, "%s", WRITE_CONF);
    } else if (!same) {
        doctor_find(doctor, DEV_WARNING, "%s: signs, but by tcti = %s, where plantcert's is %s", file, tcti,
                    ours);
        doctor_advise(doctor, "%s", WRITE_CONF);
    } else {
        doctor_find(doctor, DEV_FINE, "%s: loads, and signs with device.tpm", file);
    }
}

/* The client's user is one of the group that may read the key. */
static void look_mode(struct doctor *doctor, const char *file)
{
    struct dev_readers readers;
    struct stat about;
    if (dev_readers(doctor->dev, &readers) < 0 || !readers.group || stat(file, &about) != 0 ||
        (about.st_mode & S_IROTH) != 0 || (about.st_gid == readers.gid && (about.st_mode & S_IRGRP) != 0))
        return;
    doctor_find(doctor, DEV_WARNING, "%s has mode %04o: the MQTT client's user may not read it", file,
                (unsigned)about.st_mode & 07777);
    doctor_advise(doctor, "chmod 0644 %s", file);
}

static void look(struct doctor *doctor, const char *file)
{
    PC_CLEANUP(NCONF_free_ref) CONF *conf = NCONF_new(NULL);
    PC_CLEANUP(OSSL_LIB_CTX_free_ref) OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    long line = 0;
    if (!conf || !libctx || NCONF_load(conf, file, &line) != 1) {
        pc_fail_openssl(PC_EUSAGE, "%s:%ld: cannot be read", file, line > 0 ? line : 0);
        doctor_fault(doctor, PC_EUSAGE, "openssl-conf", "%s", pc_error_text());
        if (access(file, F_OK) == 0 && access(file, R_OK) != 0)
            doctor_advise(doctor, "chmod 0644 %s", file);
        else
            doctor_advise(doctor, "%s", WRITE_CONF);
        return;
    }
    look_mode(doctor, file);
    if (!look_file(doctor, file, conf))
        return;
    int loaded = OSSL_LIB_CTX_load_config(libctx, file);
    if (look_loaded(doctor, file, libctx, loaded))
        look_key(doctor, file, libctx, stanza_value(conf, find_stanza(conf), "tcti", PROV_TCTI_DEFAULT));
    ERR_clear_error();
}

void doctor_provider(struct doctor *doctor)
{
    pki_autoder *system = NULL;
    const char *file = doctor->order->openssl_conf;
    if (!doctor->installed.key) {
        doctor_find(doctor, DEV_SKIPPED, "no TPM key is in use");
        return;
    }
    if (!file) {
        system = (unsigned char *)CONF_get1_default_config_file();
        file = (const char *)system;
    }
    if (file)
        look(doctor, file);
}
