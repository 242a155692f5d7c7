/* What others did to the TPM and to the folder: foreign handles, a cleared TPM, plain files, damage; and
 * forget, which takes only what is ours. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"
#include "tests/integration/device/test_device.h"

#define FOREIGN_AT(handle)                                                                                   \
    "cd \"$DIR/..\" && tpm2_createprimary -Q -T \"$TCTI\" -C o -G ecc -c foreign.ctx &&"                     \
    " tpm2_evictcontrol -Q -T \"$TCTI\" -C o -c foreign.ctx " handle                                         \
    " && tpm2_flushcontext -Q -T \"$TCTI\" -t"

void test_cleared_tpm(void **state)
{
    (void)state;
    pc_autobytes chain = {0}, csr = {0};
    struct dev_key_report old, new;
    struct dev_status status;
    plc_prepare(&plc, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    assert_done(plc_request(&plc, NULL, &csr, &old));
    assert_int_equal(plc_shell(&plc, "tpm2_clear -Q -T \"$TCTI\""), 0);
    assert_done(plc_status(&plc, &status));
    assert_int_equal(status.key_error, PC_EREFUSED);
    assert_int_not_equal(status.key_text[0], '\0');
    int r = plc_install(&plc, &chain, NULL);
    assert_int_equal(r, PC_EREFUSED);
    /* The pending key is made anew, and the installed files stand until the new ones do. */
    pc_bytes_clear(&csr);
    assert_done(plc_request(&plc, NULL, &csr, &new));
    assert_true(new.made);
    assert_string_not_equal(new.fingerprint, old.fingerprint);
    assert_true(status.installed);
    plc_certify(&plc, &csr, &chain);
    assert_done(plc_install(&plc, &chain, NULL));
    assert_done(plc_status(&plc, &status));
    assert_int_equal(status.key_error, 0);
}

/* What stands at a handle and is not ours stays there. */
void test_foreign_handle(void **state)
{
    (void)state;
    struct dev_key_report report;
    struct dev_forget_report forgotten;
    assert_int_equal(plc_shell(&plc, "mkdir -p \"$DIR\"; " FOREIGN_AT("0x81000100")), 0);
    assert_done(plc_keygen(&plc, &report));
    assert_int_equal(report.handle, store == DEV_STORE_HANDLE ? PLC_HANDLE_LAST : 0);
    /* And when it took the place of our key behind our back. */
    assert_int_equal(
        plc_shell(&plc, "tpm2_evictcontrol -Q -T \"$TCTI\" -C o -c 0x81000101 2>/dev/null; "
                        "tpm2_evictcontrol -Q -T \"$TCTI\" -C o -c 0x81000100; " FOREIGN_AT("0x81000101")),
        0);
    assert_done(plc_keygen(&plc, &report));
    assert_int_equal(report.made, store == DEV_STORE_HANDLE);
    assert_int_equal(report.handle, store == DEV_STORE_HANDLE ? PLC_HANDLE_FIRST : 0);
    assert_done(plc_forget(&plc, false, &forgotten));
    assert_int_equal(forgotten.handles, handles_for(1));
    assert_int_equal(plc_handles(), 1);
    /* Both handles taken by others: said, and nothing of theirs touched. A blob needs none. */
    assert_int_equal(plc_shell(&plc, FOREIGN_AT("0x81000100")), 0);
    int r = plc_keygen(&plc, &report);
    if (store == DEV_STORE_HANDLE) {
        assert_int_equal(r, PC_EUNREACH);
        assert_string_equal(pc_error_name(), "tpm-full");
    } else {
        assert_int_equal(r, 0);
    }
    assert_int_equal(plc_handles(), 2);
}

void test_forget(void **state)
{
    (void)state;
    pc_autobytes chain = {0}, csr = {0};
    struct dev_forget_report forgotten;
    char before[PKI_FINGERPRINT_TEXT], after[PKI_FINGERPRINT_TEXT];
    assert_done(plc_keygen(&plc, NULL));
    assert_done(plc_forget(&plc, false, &forgotten));
    assert_int_equal(forgotten.handles, handles_for(1));
    assert_int_equal(plc_handles(), 0);
    plc_prepare(&plc, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    plc_prepare(&plc, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    assert_int_equal(plc_shell(&plc, "echo mine > \"$DIR/notes\"; mkdir \"$DIR/generations/mine\""), 0);
    plc_snapshot(&plc, before);
    assert_refused(plc_forget(&plc, false, &forgotten), "key-in-use");
    plc_snapshot(&plc, after);
    assert_string_equal(before, after);
    assert_int_equal(plc_handles(), handles_for(2));
    assert_done(plc_forget(&plc, true, &forgotten));
    assert_int_equal(forgotten.handles, handles_for(2));
    assert_int_equal(plc_handles(), 0);
    assert_int_equal(plc_shell(&plc, "test \"$(cd \"$DIR\" && find . ! -name .lock | sort | xargs)\" ="
                                     " '. ./generations ./generations/mine ./notes'"),
                     0);
    assert_int_equal(state_now(), DEV_NONE);
    assert_done(plc_forget(&plc, true, &forgotten));
    assert_int_equal(forgotten.handles + forgotten.files, 0);
    /* From the start again, for another plant. */
    plc.settings.plant = FORGE_OTHER;
    assert_done(plc_request(&plc, NULL, &csr, NULL));
}

/* Without the TPM, nothing that names a key in it is thrown away. */
void test_forget_unreachable(void **state)
{
    (void)state;
    pc_autobytes chain = {0};
    char before[PKI_FINGERPRINT_TEXT], after[PKI_FINGERPRINT_TEXT];
    plc_prepare(&plc, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    plc_snapshot(&plc, before);
    snprintf(plc.tcti, sizeof plc.tcti, "swtpm:host=127.0.0.1,port=1");
    plc.settings.tpm.timeout_ms = 300;
    int r = plc_forget(&plc, true, NULL);
    plc_snapshot(&plc, after);
    /* Files alone need no TPM. */
    assert_int_equal(r, store == DEV_STORE_HANDLE ? PC_EUNREACH : 0);
    assert_int_equal(strcmp(before, after) == 0, store == DEV_STORE_HANDLE);
    plc_record(&plc, NULL);
    plc.settings.tpm.timeout_ms = 0;
    assert_done(plc_forget(&plc, true, NULL));
}

/* A TPM that has the key and fails at the signature: its own words and category, as anywhere else. */
void test_request_unsigned(void **state)
{
    (void)state;
    pc_autobytes csr = {0};
    assert_done(plc_keygen(&plc, NULL));
    plc_record(&plc, "fail=15d@0=101");
    assert_int_equal(plc_request(&plc, NULL, &csr, NULL), PC_EUNREACH);
    assert_string_equal(pc_error_name(), "tpm-failure");
    plc_record(&plc, "fail=15d@0=921");
    assert_int_equal(plc_request(&plc, NULL, &csr, NULL), PC_EAUTH);
    assert_string_equal(pc_error_name(), "tpm-lockout");
    assert_null(csr.data);
    plc_record(&plc, NULL);
    assert_int_equal(state_now(), DEV_KEY_PENDING);
    assert_done(plc_request(&plc, NULL, &csr, NULL));
}

/* A rekey that is given up: the pending key goes, the installed set and its key stand. */
void test_forget_pending(void **state)
{
    (void)state;
    pc_autobytes chain = {0};
    struct dev_forget_report forgotten;
    char before[PKI_FINGERPRINT_TEXT], after[PKI_FINGERPRINT_TEXT];
    plc_prepare(&plc, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    plc_snapshot(&plc, before);
    assert_done(plc_keygen(&plc, NULL));
    assert_int_equal(state_now(), DEV_REKEY_PENDING);
    assert_done(plc_forget(&plc, false, &forgotten));
    assert_int_equal(forgotten.handles, handles_for(1));
    assert_int_equal(forgotten.files, 2);
    plc_snapshot(&plc, after);
    assert_string_equal(before, after);
    assert_int_equal(plc_handles(), handles_for(1));
    assert_int_equal(state_now(), DEV_INSTALLED);
    assert_refused(plc_forget(&plc, false, &forgotten), "key-in-use");
    plc_snapshot(&plc, after);
    assert_string_equal(before, after);
}

/* A link in the place of one of our folders leads to what is not ours: nothing is made, changed or removed
 * there. */
void test_linked_folder(void **state)
{
    (void)state;
    pc_autobytes chain = {0};
    struct dev_forget_report forgotten;
    char before[PKI_FINGERPRINT_TEXT], after[PKI_FINGERPRINT_TEXT];
    plc_prepare(&plc, &chain);
    assert_int_equal(
        plc_shell(&plc, "cd \"$DIR\" && mkdir -m 700 other other/0001 && echo x > other/0001/device.tpm &&"
                        " ln -s other generations"),
        0);
    plc_snapshot(&plc, before);
    assert_refused(plc_install(&plc, &chain, &plc.ca), "dir-legacy");
    assert_refused(plc_keygen(&plc, NULL), "dir-legacy");
    assert_refused(plc_forget(&plc, true, &forgotten), "dir-legacy");
    plc_snapshot(&plc, after);
    assert_string_equal(before, after);
    assert_int_equal(
        plc_shell(&plc, "cd \"$DIR\" && rm generations && mv pending kept && ln -s kept pending"), 0);
    plc_snapshot(&plc, before);
    assert_refused(plc_keygen(&plc, NULL), "dir-legacy");
    assert_refused(plc_forget(&plc, false, &forgotten), "dir-legacy");
    plc_snapshot(&plc, after);
    assert_string_equal(before, after);
    assert_int_equal(plc_shell(&plc, "cd \"$DIR\" && rm pending && mv kept pending"), 0);
    assert_done(plc_forget(&plc, false, &forgotten));
    assert_int_equal(forgotten.handles, handles_for(1));
}

void test_legacy(void **state)
{
    (void)state;
    pc_autobytes chain = {0};
    char before[PKI_FINGERPRINT_TEXT], after[PKI_FINGERPRINT_TEXT];
    assert_int_equal(
        plc_shell(
            &plc,
            "mkdir -p \"$DIR\"; cd \"$DIR\"; echo a > ca.crt; echo b > device.crt; echo c > device.key"),
        0);
    plc_prepare(&plc, &chain);
    plc_snapshot(&plc, before);
    assert_refused(plc_install(&plc, &chain, &plc.ca), "dir-legacy");
    plc_snapshot(&plc, after);
    assert_string_equal(before, after);
    assert_done(plc_forget(&plc, false, NULL));
    assert_int_equal(
        plc_shell(&plc, "cd \"$DIR\" && test \"$(cat ca.crt device.crt device.key | xargs)\" = 'a b c'"), 0);
}

void test_damaged(void **state)
{
    (void)state;
    struct dev_key_report first, second;
    pc_autobytes chain = {0};
    assert_done(plc_keygen(&plc, &first));
    /* A state file that says nothing any more costs the plant's memory, not the key. */
    assert_int_equal(plc_shell(&plc, "echo rubbish > \"$DIR/pending/state\""), 0);
    assert_done(plc_keygen(&plc, &second));
    assert_string_equal(first.fingerprint, second.fingerprint);
    assert_int_equal(plc_handles(), handles_for(1));
    /* A damaged key file costs the key; its handle is in the state. */
    assert_int_equal(plc_shell(&plc, "echo rubbish > \"$DIR/pending/key.tpm\""), 0);
    assert_done(plc_keygen(&plc, &second));
    assert_string_not_equal(first.fingerprint, second.fingerprint);
    assert_int_equal(plc_handles(), handles_for(1));
    plc_prepare(&plc, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    /* A damaged set can be installed anew, or forgotten. */
    assert_int_equal(plc_shell(&plc, "echo rubbish > \"$DIR/current/record\""), 0);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    assert_int_equal(state_now(), DEV_INSTALLED);
    assert_int_equal(plc_shell(&plc, "echo rubbish > \"$DIR/current/record\""), 0);
    assert_done(plc_forget(&plc, true, NULL));
    assert_int_equal(plc_handles(), 0);
}
