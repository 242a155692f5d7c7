/* A PLC for tests: a folder, settings, a real software TPM (its TCTI in $SWTPM_TCTI), and a CA made of
 * software keys. */
#ifndef TEST_PLC_H
#define TEST_PLC_H

#include <stdbool.h>

#include "provision/device/device.h"
#include "tests/unit/device/forge.h"

#define PLC_HANDLE_FIRST 0x81000100u
#define PLC_HANDLE_LAST 0x81000101u

struct plc {
    char dir[96]; /* the folder; its parent is the test's own */
    char tcti[512];
    struct dev_settings settings;
    EVP_PKEY *root_key, *other_key;
    X509 *root, *other_root;
    struct pc_bytes ca, other_ca; /* PEM */
};

/* Starts with no folder, and no key at our handles. */
void plc_new(struct plc *plc, enum pki_key_type key, enum dev_store store);
void plc_free(struct plc *plc);
/* The TPM commands go through tests/integration/tpm/tcti_recorder.so with these options (NULL: no longer). */
void plc_record(struct plc *plc, const char *options);

/* Each opens the folder, does the one thing, and closes. */
int plc_keygen(struct plc *plc, struct dev_key_report *ret);
int plc_request(struct plc *plc, const char *plant, struct pc_bytes *ret_csr, struct dev_key_report *ret);
int plc_install(struct plc *plc, const struct pc_bytes *chain, const struct pc_bytes *ca);
int plc_install_report(struct plc *plc, const struct pc_bytes *chain, const struct pc_bytes *ca,
                       struct dev_install_report *ret);
int plc_status(struct plc *plc, struct dev_status *ret);
int plc_forget(struct plc *plc, bool force, struct dev_forget_report *ret);

/* The CA's answer to a CSR: leaf and root, PEM. */
void plc_certify(struct plc *plc, const struct pc_bytes *csr, struct pc_bytes *ret_chain);
/* The key that a CSR is for. */
EVP_PKEY *plc_key_of(const struct pc_bytes *csr);
/* keygen, request and certify in one; must succeed. */
void plc_prepare(struct plc *plc, struct pc_bytes *ret_chain);

/* How many of our handles hold something, and whether no transient object and no session is loaded. Asked of
 * the TPM directly, so that nothing of ours tidies up before. */
unsigned plc_handles(void);
bool plc_tpm_clean(void);

/* Runs a shell command with $DIR and $TCTI set; gives its exit code. */
int plc_shell(const struct plc *plc, const char *command);
/* All that is in the folder (names, links, modes, contents) in one digest. */
void plc_snapshot(const struct plc *plc, char ret[PKI_FINGERPRINT_TEXT]);
/* No file in the folder holds a private key in the clear. */
bool plc_no_clear_key(const struct plc *plc);

#define assert_refused(call, name)                                                                           \
    do {                                                                                                     \
        assert_int_equal((call), PC_EREFUSED);                                                               \
        assert_string_equal(pc_error_name(), (name));                                                        \
    } while (0)
#define assert_done(call)                                                                                    \
    do {                                                                                                     \
        if ((call) != 0)                                                                                     \
            fail_msg("%s: %s (%s)", #call, pc_error_text(), pc_error_name());                                \
    } while (0)

#endif
