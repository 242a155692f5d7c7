/* The PLC of the tests. Tests nothing itself. */
#include "tests/integration/device/plc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <tss2/tss2_tctildr.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"
#include "src/pki/request.h"

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    if (!value)
        fail_msg("%s is not set", name);
    return value;
}

int plc_shell(const struct plc *plc, const char *command)
{
    setenv("DIR", plc->dir, 1);
    setenv("TCTI", environment("SWTPM_TCTI"), 1);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void first_line(const struct plc *plc, const char *command, char *ret, size_t size)
{
    setenv("DIR", plc->dir, 1);
    setenv("TCTI", environment("SWTPM_TCTI"), 1);
    FILE *out = popen(command, "re");
    assert_non_null(out);
    if (!fgets(ret, (int)size, out))
        *ret = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    assert_int_equal(pclose(out), 0);
}

static uint32_t word(const uint8_t *octets)
{
    return (uint32_t)octets[0] << 24 | (uint32_t)octets[1] << 16 | (uint32_t)octets[2] << 8 | octets[3];
}

/* How many handles there are from `first` to `last`: TPM2_GetCapability, TPM_CAP_HANDLES (Part 3 §30.2), sent
 * as it is. */
static unsigned count_handles(uint32_t first, uint32_t last)
{
    const uint8_t command[] = {0x80,
                               0x01,
                               0,
                               0,
                               0,
                               22,
                               0,
                               0,
                               0x01,
                               0x7a,
                               0,
                               0,
                               0,
                               1,
                               (uint8_t)(first >> 24),
                               (uint8_t)(first >> 16),
                               (uint8_t)(first >> 8),
                               (uint8_t)first,
                               0,
                               0,
                               0,
                               64};
    uint8_t answer[512];
    size_t len = sizeof answer;
    TSS2_TCTI_CONTEXT *tcti = NULL;
    assert_int_equal(Tss2_TctiLdr_Initialize(environment("SWTPM_TCTI"), &tcti), TSS2_RC_SUCCESS);
    assert_int_equal(Tss2_Tcti_Transmit(tcti, sizeof command, command), TSS2_RC_SUCCESS);
    assert_int_equal(Tss2_Tcti_Receive(tcti, &len, answer, TSS2_TCTI_TIMEOUT_BLOCK), TSS2_RC_SUCCESS);
    Tss2_TctiLdr_Finalize(&tcti);
    assert_true(len >= 19 && word(answer + 6) == 0);
    unsigned count = 0;
    for (uint32_t i = 0; i < word(answer + 15); i++) {
        assert_true(19 + 4 * (size_t)i + 4 <= len);
        uint32_t handle = word(answer + 19 + 4 * i);
        count += handle >= first && handle <= last;
    }
    return count;
}

unsigned plc_handles(void)
{
    return count_handles(0x81000100, 0x810001ff);
}

bool plc_tpm_clean(void)
{
    return count_handles(0x80000000, 0x80ffffff) == 0 && count_handles(0x02000000, 0x02ffffff) == 0;
}

void plc_snapshot(const struct plc *plc, char ret[PKI_FINGERPRINT_TEXT])
{
    first_line(
        plc,
        "cd \"$DIR\" && { find . ! -name .lock -printf '%p %y %l %m\\n' | sort;"
        " find . -type f ! -name .lock -print0 | sort -z | xargs -0r sha256sum; } | sha256sum | cut -c-64",
        ret, PKI_FINGERPRINT_TEXT);
    assert_int_equal(strlen(ret), PKI_FINGERPRINT_TEXT - 1);
}

bool plc_no_clear_key(const struct plc *plc)
{
    /* Either no label at all, or the one of a key that is wrapped by the TPM. */
    return plc_shell(plc, "! grep -rah 'PRIVATE KEY' \"$DIR\" | grep -qv '^-----\\(BEGIN\\|END\\) TSS2 "
                          "PRIVATE KEY-----$'"
                          " && test -z \"$(find \"$DIR\" -name 'device.key*')\"") == 0;
}

/* What an earlier test left at our handles. */
static void clear_handles(const struct plc *plc)
{
    if (plc_handles() == 0)
        return;
    assert_int_equal(
        plc_shell(
            plc, "for handle in $(timeout 20 tpm2_getcap -T \"$TCTI\" handles-persistent | sed 's/^- //'); do"
                 "  case $handle in 0x810001*) tpm2_evictcontrol -Q -T \"$TCTI\" -C o -c \"$handle\";; esac; "
                 "done"),
        0);
}

void plc_new(struct plc *plc, enum pki_key_type key, enum dev_store store)
{
    *plc = (struct plc){
        .settings = {.plant = FORGE_PLANT,
                     .key = key,
                     .store = store,
                     .handle_first = PLC_HANDLE_FIRST,
                     .handle_last = PLC_HANDLE_LAST,
                     .renew_before = 30 * PC_DAY,
                     .tpm = {.allow_simulator = true}},
        .root_key = forge_key(),
        .other_key = forge_key(),
    };
    snprintf(plc->dir, sizeof plc->dir, "%.64s/plc.XXXXXX", environment("WORK"));
    assert_non_null(mkdtemp(plc->dir));
    snprintf(plc->dir + strlen(plc->dir), sizeof plc->dir - strlen(plc->dir), "/voke");
    plc->settings.dir = plc->dir;
    setenv("DIR", plc->dir, 1); /* for reload commands too */
    plc_record(plc, NULL);
    plc->root = forge_root("/O=Test/CN=Root", plc->root_key, pc_now());
    plc->other_root = forge_root("/O=Test/CN=Other Root", plc->other_key, pc_now());
    forge_pem(plc->root, &plc->ca);
    forge_pem(plc->other_root, &plc->other_ca);
    clear_handles(plc);
}

void plc_free(struct plc *plc)
{
    pc_bytes_clear(&plc->ca);
    pc_bytes_clear(&plc->other_ca);
    X509_free(plc->root);
    X509_free(plc->other_root);
    EVP_PKEY_free(plc->root_key);
    EVP_PKEY_free(plc->other_key);
    assert_int_equal(plc_shell(plc, "rm -rf \"$DIR\""), 0);
}

void plc_record(struct plc *plc, const char *options)
{
    if (options)
        snprintf(plc->tcti, sizeof plc->tcti, "%s:%s|%s", environment("TCTI_RECORDER"), options,
                 environment("SWTPM_TCTI"));
    else
        snprintf(plc->tcti, sizeof plc->tcti, "%s", environment("SWTPM_TCTI"));
    plc->settings.tpm.tcti = plc->tcti;
}

int plc_keygen(struct plc *plc, struct dev_key_report *ret)
{
    struct dev *PC_CLEANUP(dev_close_ref) dev = NULL;
    struct dev_key_report report;
    int r = dev_open(&plc->settings, &dev);
    return r < 0 ? r : dev_keygen(dev, ret ? ret : &report);
}

int plc_request(struct plc *plc, const char *plant, struct pc_bytes *ret_csr, struct dev_key_report *ret)
{
    struct dev *PC_CLEANUP(dev_close_ref) dev = NULL;
    struct dev_key_report report;
    int r = dev_open(&plc->settings, &dev);
    return r < 0 ? r : dev_request(dev, plant, ret_csr, ret ? ret : &report);
}

int plc_install_report(struct plc *plc, const struct pc_bytes *chain, const struct pc_bytes *ca,
                       struct dev_install_report *ret)
{
    struct dev *PC_CLEANUP(dev_close_ref) dev = NULL;
    int r = dev_open(&plc->settings, &dev);
    return r < 0 ? r : dev_install(dev, &(struct dev_delivery){.chain = chain, .ca = ca}, ret);
}

int plc_install(struct plc *plc, const struct pc_bytes *chain, const struct pc_bytes *ca)
{
    struct dev_install_report report = {0};
    int r = plc_install_report(plc, chain, ca, &report);
    dev_install_report_clear(&report);
    return r;
}

int plc_status(struct plc *plc, struct dev_status *ret)
{
    struct dev *PC_CLEANUP(dev_close_ref) dev = NULL;
    int r = dev_open(&plc->settings, &dev);
    return r < 0 ? r : dev_status(dev, false, ret);
}

int plc_forget(struct plc *plc, bool force, struct dev_forget_report *ret)
{
    struct dev *PC_CLEANUP(dev_close_ref) dev = NULL;
    struct dev_forget_report report;
    int r = dev_open(&plc->settings, &dev);
    return r < 0 ? r : dev_forget(dev, force, ret ? ret : &report);
}

EVP_PKEY *plc_key_of(const struct pc_bytes *csr)
{
    struct pki_request *PC_CLEANUP(pki_request_free_ref) request = NULL;
    const struct pki_request_rules rules = {.profile = &pki_profile_device};
    assert_done(pki_request_parse(csr->data, csr->len, &rules, &request));
    return pc_steal(request->key);
}

void plc_certify(struct plc *plc, const struct pc_bytes *csr, struct pc_bytes *ret_chain)
{
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = plc_key_of(csr);
    X509 *PC_CLEANUP(X509_free_ref) leaf = forge_device(FORGE_PLANT, key, plc->root, plc->root_key, pc_now());
    pc_bytes_clear(ret_chain);
    forge_pem(leaf, ret_chain);
    forge_pem(plc->root, ret_chain);
}

void plc_prepare(struct plc *plc, struct pc_bytes *ret_chain)
{
    pc_autobytes csr = {0};
    assert_done(plc_request(plc, NULL, &csr, NULL));
    plc_certify(plc, &csr, ret_chain);
}
