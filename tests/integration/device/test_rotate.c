/* Rotation against a real TPM simulator: to a new set, back, forward again, confirmed; and each refusal with
 * the current set untouched. */
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
#include <unistd.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"
#include "tests/integration/device/test_device.h"

enum operation { RENEW, REKEY, CONFIRM, ROLLBACK, OPERATIONS };

static int run(enum operation operation, struct dev_key_report *ret)
{
    struct dev *PC_CLEANUP(dev_close_ref) dev = NULL;
    PC_CLEANUP(dev_install_report_clear) struct dev_install_report report = {0};
    struct dev_confirm_report confirmed;
    struct dev_key_report key;
    pc_autobytes csr = {0};
    assert_done(dev_open(&plc.settings, &dev));
    switch (operation) {
    case RENEW:
        return dev_renew(dev, &csr, ret ? ret : &key);
    case REKEY:
        return dev_rekey(dev, &csr, ret ? ret : &key);
    case CONFIRM:
        return dev_confirm(dev, NULL, &confirmed);
    case ROLLBACK:
        return dev_rollback(dev, &report);
    case OPERATIONS:
        break;
    }
    return PC_EFAIL;
}

static int confirm(struct dev_confirm_report *ret)
{
    struct dev *PC_CLEANUP(dev_close_ref) dev = NULL;
    assert_done(dev_open(&plc.settings, &dev));
    return dev_confirm(dev, NULL, ret);
}

static int rollback(bool *ret_already)
{
    struct dev *PC_CLEANUP(dev_close_ref) dev = NULL;
    PC_CLEANUP(dev_install_report_clear) struct dev_install_report report = {0};
    assert_done(dev_open(&plc.settings, &dev));
    int r = dev_rollback(dev, &report);
    if (r == 0)
        *ret_already = report.already;
    return r;
}

static int ask(bool new_key, struct pc_bytes *ret_csr, struct dev_key_report *ret)
{
    struct dev *PC_CLEANUP(dev_close_ref) dev = NULL;
    assert_done(dev_open(&plc.settings, &dev));
    return new_key ? dev_rekey(dev, ret_csr, ret) : dev_renew(dev, ret_csr, ret);
}

/* A set with a certificate of so many days, and one with a new key after it; their chains are given back. */
static void certify(const struct pc_bytes *csr, int64_t from, struct pc_bytes *ret_chain)
{
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = plc_key_of(csr);
    X509 *PC_CLEANUP(X509_free_ref) leaf =
        forge_device(FORGE_PLANT, key, plc.root, plc.root_key, pc_now() + from);
    pc_bytes_clear(ret_chain);
    forge_pem(leaf, ret_chain);
    forge_pem(plc.root, ret_chain);
}

static void install_two(int64_t first_from, struct pc_bytes *ret_first, struct pc_bytes *ret_second)
{
    pc_autobytes csr = {0};
    struct dev_key_report key;
    assert_done(plc_request(&plc, NULL, &csr, NULL));
    certify(&csr, first_from, ret_first);
    assert_done(plc_install(&plc, ret_first, &plc.ca));
    pc_bytes_clear(&csr);
    assert_done(ask(true, &csr, &key));
    certify(&csr, 0, ret_second);
    assert_done(plc_install(&plc, ret_second, NULL));
    assert_int_equal(state_now(), DEV_SWITCHED);
}

/* Nothing is installed, or a pending key alone: refused, and nothing made. */
void test_rotate_nothing(void **state)
{
    (void)state;
    char before[PKI_FINGERPRINT_TEXT], after[PKI_FINGERPRINT_TEXT];
    for (enum operation i = 0; i < OPERATIONS; i++)
        assert_refused(run(i, NULL), "not-installed");
    assert_false(pc_file_exists(plc.dir));
    assert_done(plc_keygen(&plc, NULL));
    plc_snapshot(&plc, before);
    for (enum operation i = 0; i < OPERATIONS; i++)
        assert_refused(run(i, NULL), "not-installed");
    plc_snapshot(&plc, after);
    assert_string_equal(before, after);
    assert_int_equal(plc_handles(), handles_for(1));
}

void test_rotate_locked(void **state)
{
    (void)state;
    pc_autobytes chain = {0};
    plc_prepare(&plc, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    pc_autofree char *path = pc_path_join(plc.dir, ".lock");
    pc_autoclose int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_return_code(flock(fd, LOCK_EX), errno);
    for (enum operation i = 0; i < OPERATIONS; i++)
        assert_int_equal(run(i, NULL), PC_EPENDING);
    assert_int_equal(state_now(), DEV_INSTALLED);
}

void test_renew(void **state)
{
    (void)state;
    pc_autobytes chain = {0}, csr = {0};
    struct dev_key_report key;
    struct dev_status status;
    char before[PKI_FINGERPRINT_TEXT], after[PKI_FINGERPRINT_TEXT];
    plc_prepare(&plc, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    assert_done(plc_status(&plc, &status));
    plc_snapshot(&plc, before);
    assert_done(ask(false, &csr, &key));
    assert_false(key.made);
    assert_string_equal(key.fingerprint, status.current.fingerprint);
    plc.settings.plant = FORGE_OTHER;
    assert_refused(run(RENEW, NULL), "plant-differs");
    assert_refused(run(REKEY, NULL), "plant-differs");
    plc.settings.plant = NULL; /* the certificate says who this is */
    assert_done(run(RENEW, NULL));
    plc.settings.plant = FORGE_PLANT;
    plc_snapshot(&plc, after);
    assert_string_equal(before, after);
    /* A pending key stays pending, and the certificate for the installed one goes in beside it. */
    assert_done(run(REKEY, &key));
    assert_true(key.made);
    certify(&csr, 60, &chain);
    assert_done(plc_install(&plc, &chain, NULL));
    assert_done(plc_status(&plc, &status));
    assert_int_equal(status.state, DEV_REKEY_PENDING);
    assert_string_equal(status.pending.fingerprint, key.fingerprint);
    assert_done(run(REKEY, &key));
    assert_false(key.made);
    assert_int_equal(plc_handles(), handles_for(2));
}

void test_confirm(void **state)
{
    (void)state;
    pc_autobytes first = {0}, second = {0}, csr = {0};
    struct dev_confirm_report report;
    struct dev_key_report key;
    struct dev_status status;
    install_two(0, &first, &second);
    assert_int_equal(plc_handles(), handles_for(2));
    assert_done(confirm(&report));
    assert_false(report.already || report.proven);
    assert_int_equal(report.handles, handles_for(1));
    assert_true(report.files >= 4);
    assert_int_equal(plc_handles(), handles_for(1));
    assert_done(plc_status(&plc, &status));
    assert_int_equal(status.state, DEV_CONFIRMED);
    assert_true(status.confirmed);
    assert_string_equal(status.previous, "");
    assert_int_equal(status.key_error, 0);
    assert_done(confirm(&report));
    assert_true(report.already);
    assert_refused(run(ROLLBACK, NULL), "rollback-none");
    /* The one before has the same key, and a pending key is nobody's before. */
    assert_done(ask(false, &csr, &key));
    certify(&csr, 60, &second);
    assert_done(plc_install(&plc, &second, NULL));
    assert_done(run(REKEY, NULL));
    assert_done(confirm(&report));
    assert_int_equal(report.handles, 0);
    assert_int_equal(plc_handles(), handles_for(2));
    assert_int_equal(state_now(), DEV_REKEY_PENDING);
}

void test_rollback(void **state)
{
    (void)state;
    pc_autobytes first = {0}, second = {0};
    struct dev_confirm_report report;
    struct dev_status status;
    bool already = true;
    install_two(0, &first, &second);
    assert_done(rollback(&already));
    assert_false(already);
    assert_done(plc_status(&plc, &status));
    assert_int_equal(status.state, DEV_ROLLED_BACK);
    assert_true(status.rolled_back);
    assert_string_equal(status.generation, "0001");
    assert_string_equal(status.previous, "0002");
    assert_int_equal(status.key_error, 0);
    assert_done(rollback(&already));
    assert_true(already);
    /* No run in between loses the newer key; its certificate goes forward again. */
    assert_done(run(RENEW, NULL));
    assert_done(plc_install(&plc, &first, NULL));
    assert_int_equal(state_now(), DEV_ROLLED_BACK);
    assert_int_equal(plc_handles(), handles_for(2));
    assert_done(plc_install(&plc, &second, NULL));
    assert_done(plc_status(&plc, &status));
    assert_int_equal(status.state, DEV_SWITCHED);
    assert_string_equal(status.previous, "0001");
    assert_int_equal(status.key_error, 0);
    assert_int_equal(plc_handles(), handles_for(2));
    /* Back once more, and that is to stay. */
    assert_done(rollback(&already));
    assert_done(confirm(&report));
    assert_int_equal(report.handles, handles_for(1));
    assert_done(plc_status(&plc, &status));
    assert_int_equal(status.state, DEV_CONFIRMED);
    assert_string_equal(status.generation, "0001");
    assert_false(status.rolled_back);
    assert_refused(plc_install(&plc, &second, NULL), "install-key");
}

void test_rollback_refusals(void **state)
{
    (void)state;
    pc_autobytes first = {0}, second = {0};
    char before[PKI_FINGERPRINT_TEXT], after[PKI_FINGERPRINT_TEXT];
    install_two(-300 * PC_DAY, &first, &second);
    plc_snapshot(&plc, before);
    pc_time_fix(pc_now() + 400 * PC_DAY);
    int r = run(ROLLBACK, NULL);
    pc_time_fix(INT64_MIN);
    assert_refused(r, "chain-expired");
    plc.settings.plant = FORGE_OTHER;
    assert_refused(run(ROLLBACK, NULL), "install-cn");
    plc.settings.plant = FORGE_PLANT;
    assert_int_equal(plc_shell(&plc, "cp \"$DIR/generations/0001/device.crt\" \"$DIR/../kept\" && "
                                     "echo damaged > \"$DIR/generations/0001/device.crt\""),
                     0);
    assert_refused(run(ROLLBACK, NULL), "chain-parse");
    assert_int_equal(plc_shell(&plc, "cp \"$DIR/../kept\" \"$DIR/generations/0001/device.crt\""), 0);
    if (store == DEV_STORE_HANDLE) {
        assert_int_equal(plc_shell(&plc, "timeout 20 tpm2_evictcontrol -Q -T \"$TCTI\" -C o -c 0x81000100"),
                         0);
        assert_refused(run(ROLLBACK, NULL), "key-absent");
    }
    plc_snapshot(&plc, after);
    assert_string_equal(before, after);
    assert_int_equal(state_now(), DEV_SWITCHED);
}

/* Two handles, and a third key is wanted: the one that only a roll-back needs gives way, also where that is
 * the newer one. Wrapped keys need no room, and none gives way. */
void test_rotate_room(void **state)
{
    (void)state;
    pc_autobytes first = {0}, second = {0};
    struct dev_status before, after;
    bool already;
    bool handles = store == DEV_STORE_HANDLE;
    install_two(0, &first, &second);
    assert_done(rollback(&already));
    assert_done(plc_status(&plc, &before));
    assert_done(run(REKEY, NULL));
    assert_int_equal(plc_handles(), handles ? 2 : 0);
    assert_done(plc_status(&plc, &after));
    assert_int_equal(after.key_error, 0);
    assert_string_equal(after.certificate_sha256, before.certificate_sha256);
    if (!handles) {
        assert_done(plc_install(&plc, &second, NULL));
        return;
    }
    /* Forward is not possible any more, and is refused. */
    assert_int_equal(plc_install(&plc, &second, NULL), PC_EREFUSED);
    assert_true(strcmp(pc_error_name(), "key-absent") == 0 || strcmp(pc_error_name(), "key-name") == 0);
    assert_done(plc_status(&plc, &after));
    assert_string_equal(after.certificate_sha256, before.certificate_sha256);
    assert_int_equal(plc_handles(), 2);
}

/* The command is owed from the switch back until it has run. */
void test_rollback_reload(void **state)
{
    (void)state;
    pc_autobytes first = {0}, second = {0};
    struct dev *PC_CLEANUP(dev_close_ref) dev = NULL;
    bool already, ran = false;
    install_two(0, &first, &second);
    plc.settings.reload = "echo run >> \"$DIR/../reloads\"";
    plc.settings.defer_reload = true;
    assert_done(rollback(&already));
    assert_int_equal(plc_shell(&plc, "test ! -e \"$DIR/../reloads\""), 0);
    assert_int_equal(state_now(), DEV_ROLLED_BACK);
    plc.settings.defer_reload = false;
    assert_done(dev_open(&plc.settings, &dev));
    assert_done(dev_reload(dev, &ran));
    assert_true(ran);
    assert_done(rollback(&already));
    assert_true(already);
    assert_int_equal(plc_shell(&plc, "test \"$(wc -l < \"$DIR/../reloads\")\" = 1"), 0);
}
