/* The PLC's operations against a real TPM simulator: each of them twice, and each refusal with the old set
 * untouched. The kind of key and of store come from the command line. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"
#include "tests/integration/device/test_device.h"

enum pki_key_type key_type;
enum dev_store store;
struct plc plc;

static int set_up(void **state)
{
    (void)state;
    plc_new(&plc, key_type, store);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bool clean = plc_tpm_clean();
    plc_free(&plc);
    return clean ? 0 : -1;
}

unsigned handles_for(unsigned keys)
{
    return store == DEV_STORE_HANDLE ? keys : 0;
}

enum dev_state state_now(void)
{
    struct dev_status status;
    assert_done(plc_status(&plc, &status));
    return status.state;
}

mode_t mode_of(const char *name)
{
    pc_autofree char *path = pc_path_join(plc.dir, name);
    struct stat status;
    assert_return_code(stat(path, &status), errno);
    return status.st_mode & 0777;
}

static void test_nothing(void **state)
{
    (void)state;
    struct dev_forget_report forgotten;
    pc_autobytes any = {0};
    assert_int_equal(state_now(), DEV_NONE);
    assert_done(plc_forget(&plc, true, &forgotten));
    assert_int_equal(forgotten.files + forgotten.handles, 0);
    assert_int_equal(pc_bytes_copy("x", 1, &any), 0);
    assert_refused(plc_install(&plc, &any, &plc.ca), "install-key");
    /* None of these makes anything. */
    assert_false(pc_file_exists(plc.dir));
}

static void test_keygen(void **state)
{
    (void)state;
    struct dev_key_report first, second;
    struct dev_status status;
    assert_done(plc_keygen(&plc, &first));
    assert_true(first.present && first.made);
    assert_int_equal(first.type, key_type);
    assert_int_equal(first.handle, store == DEV_STORE_HANDLE ? PLC_HANDLE_FIRST : 0);
    assert_int_equal(plc_handles(), handles_for(1));
    assert_done(plc_keygen(&plc, &second));
    assert_false(second.made);
    assert_string_equal(first.fingerprint, second.fingerprint);
    assert_int_equal(plc_handles(), handles_for(1));
    assert_done(plc_status(&plc, &status));
    assert_int_equal(status.state, DEV_KEY_PENDING);
    assert_string_equal(status.pending.fingerprint, first.fingerprint);
    assert_true(status.key_checked);
    assert_int_equal(status.key_error, 0);
    assert_int_equal(mode_of("pending"), 0700);
    assert_int_equal(mode_of("pending/key.tpm"), 0600);
    assert_int_equal(plc_shell(&plc, store == DEV_STORE_HANDLE
                                         ? "grep -q 'PLANTCERT TPM KEY' \"$DIR/pending/key.tpm\""
                                         : "grep -q 'TSS2 PRIVATE KEY' \"$DIR/pending/key.tpm\""),
                     0);
    assert_true(plc_no_clear_key(&plc));
}

static void test_request(void **state)
{
    (void)state;
    pc_autobytes first = {0}, second = {0};
    struct dev_key_report one, two;
    assert_done(plc_request(&plc, NULL, &first, &one));
    assert_true(one.made);
    assert_int_equal(state_now(), DEV_REQUESTED);
    assert_done(plc_request(&plc, FORGE_PLANT, &second, &two));
    assert_false(two.made);
    assert_string_equal(one.fingerprint, two.fingerprint);
    char fingerprint[PKI_FINGERPRINT_TEXT];
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = plc_key_of(&second);
    assert_done(pki_key_fingerprint(key, fingerprint));
    assert_string_equal(fingerprint, one.fingerprint);
    /* RSA signatures of the same request are the same, ECDSA's never are. */
    bool same = first.len == second.len && memcmp(first.data, second.data, first.len) == 0;
    assert_int_equal(same, key_type == PKI_KEY_RSA_2048);
    assert_int_equal(plc_handles(), handles_for(1));
}

static void test_request_refusals(void **state)
{
    (void)state;
    pc_autobytes csr = {0};
    assert_int_equal(plc_request(&plc, "not-a-uuid", &csr, NULL), PC_EUSAGE);
    plc.settings.plant = NULL;
    assert_int_equal(plc_request(&plc, NULL, &csr, NULL), PC_EUSAGE);
    assert_string_equal(pc_error_name(), "plant-missing");
    assert_false(pc_file_exists(plc.dir));
    assert_done(plc_request(&plc, FORGE_PLANT, &csr, NULL));
    pc_bytes_clear(&csr);
    assert_refused(plc_request(&plc, FORGE_OTHER, &csr, NULL), "plant-differs");
    assert_null(csr.data);
    plc.settings.plant = "A1B2C3D4-0000-0000-0000-000000000001";
    assert_int_equal(plc_request(&plc, NULL, &csr, NULL), PC_EUSAGE);
}

static void test_settings(void **state)
{
    (void)state;
    plc.settings.dir = "relative/voke";
    assert_int_equal(plc_keygen(&plc, NULL), PC_EUSAGE);
    plc.settings.dir = plc.dir;
    plc.settings.handle_last = plc.settings.handle_first;
    assert_int_equal(plc_keygen(&plc, NULL), PC_EUSAGE);
    plc.settings.handle_last = 0x81800000;
    assert_int_equal(plc_keygen(&plc, NULL), PC_EUSAGE);
    plc.settings.handle_last = PLC_HANDLE_LAST;
    plc.settings.tpm.allow_simulator = false;
    assert_int_equal(plc_keygen(&plc, NULL), PC_EUSAGE);
    plc.settings.tpm.allow_simulator = true;
    plc.settings.group = "no-such-group-here";
    pc_autobytes chain = {0};
    plc_prepare(&plc, &chain);
    assert_int_equal(plc_install(&plc, &chain, &plc.ca), PC_EUSAGE);
    assert_int_equal(state_now(), DEV_REQUESTED);
}

static void test_lock(void **state)
{
    (void)state;
    assert_done(plc_keygen(&plc, NULL));
    pc_autofree char *path = pc_path_join(plc.dir, ".lock");
    pc_autoclose int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_return_code(flock(fd, LOCK_EX), errno);
    assert_int_equal(plc_keygen(&plc, NULL), PC_EPENDING);
    /* Looking needs no lock. */
    assert_int_equal(state_now(), DEV_KEY_PENDING);
}

/* Two boot scripts at once: one waits for the other, or says that it is to come back; there is one key. */
static void test_two_at_once(void **state)
{
    (void)state;
    struct dev_key_report report;
    pid_t children[3];
    fflush(NULL);
    for (size_t i = 0; i < 3; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            _exit(-plc_keygen(&plc, NULL));
    }
    unsigned done = 0;
    for (size_t i = 0; i < 3; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == -PC_EPENDING));
        done += WEXITSTATUS(status) == 0;
    }
    assert_true(done > 0);
    assert_int_equal(plc_handles(), handles_for(1));
    assert_done(plc_keygen(&plc, &report));
    assert_false(report.made);
}

int main(int argc, char **argv)
{
    if (argc != 3 || pki_key_type_parse(argv[1], &key_type) < 0)
        return 2;
    store = strcmp(argv[2], "blob") == 0 ? DEV_STORE_BLOB : DEV_STORE_HANDLE;
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing),
        TEST(test_keygen),
        TEST(test_request),
        TEST(test_request_refusals),
        TEST(test_settings),
        TEST(test_install),
        TEST(test_install_refusals),
        TEST(test_smuggled_key),
        TEST(test_install_plant_unknown),
        TEST(test_anchor),
        TEST(test_renewal),
        TEST(test_rekey),
        TEST(test_clock),
        TEST(test_group),
        TEST(test_reload),
        TEST(test_rotate_nothing),
        TEST(test_rotate_locked),
        TEST(test_renew),
        TEST(test_confirm),
        TEST(test_rollback),
        TEST(test_rollback_refusals),
        TEST(test_rotate_room),
        TEST(test_rollback_reload),
        TEST(test_foreign_handle),
        TEST(test_forget),
        TEST(test_forget_unreachable),
        TEST(test_request_unsigned),
        TEST(test_forget_pending),
        TEST(test_linked_folder),
        TEST(test_legacy),
        TEST(test_lock),
        TEST(test_two_at_once),
        TEST(test_damaged),
        TEST(test_cleared_tpm),
    };
    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
