/* Power cuts: keygen, request, install and forget are ended before every call that changes a file and after
 * every TPM command. Afterwards the old set or the new one stands whole, the next run finishes the job, and
 * the TPM holds nothing that no record names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "provision/device/generation.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "tests/integration/device/plc.h"
#include "tests/unit/device/cut.h"

static struct plc plc;
static struct pc_bytes chain; /* what install installs */

static void set_up_plc(enum dev_store store)
{
    plc_new(&plc, PKI_KEY_EC_P256, store);
}

static int set_up_handle(void **state)
{
    (void)state;
    set_up_plc(DEV_STORE_HANDLE);
    return 0;
}

static int set_up_blob(void **state)
{
    (void)state;
    set_up_plc(DEV_STORE_BLOB);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bool clean = plc_tpm_clean();
    pc_bytes_clear(&chain);
    plc_free(&plc);
    return clean ? 0 : -1;
}

static int run_keygen(void *argument)
{
    (void)argument;
    return plc_keygen(&plc, NULL);
}

static int run_request(void *argument)
{
    (void)argument;
    pc_autobytes csr = {0};
    return plc_request(&plc, NULL, &csr, NULL);
}

static int run_install(void *argument)
{
    (void)argument;
    return plc_install(&plc, &chain, &plc.ca);
}

static int run_forget(void *argument)
{
    (void)argument;
    return plc_forget(&plc, true, NULL);
}

/* A child that the TCTI kills after its `at`-th TPM command. */
static bool killed_after(int (*operation)(void *), unsigned at)
{
    char options[32];
    snprintf(options, sizeof options, "kill=0@%u", at);
    plc_record(&plc, options);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(-operation(NULL));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    plc_record(&plc, NULL);
    if (WIFSIGNALED(status))
        return true;
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static bool cut_before(int (*operation)(void *), unsigned at)
{
    bool ended;
    assert_int_equal(cut_run(operation, NULL, at, &ended), 0);
    return !ended;
}

/* Every cut of `operation`, each from the state that `prepare` makes; `settle` judges what is there
 * afterwards and finishes. */
static unsigned cut_everywhere(bool (*cut)(int (*)(void *), unsigned), int (*operation)(void *),
                               void (*prepare)(void), void (*settle)(unsigned at))
{
    for (unsigned at = 1;; at++) {
        prepare();
        if (!cut(operation, at))
            return at - 1;
        settle(at);
    }
}

/* The same files are written for a blob as for a handle: once is enough. */
static unsigned file_cuts(int (*operation)(void *), void (*prepare)(void), void (*settle)(unsigned at))
{
    if (plc.settings.store == DEV_STORE_BLOB)
        return 0;
    unsigned cuts = cut_everywhere(cut_before, operation, prepare, settle);
    assert_true(cuts >= 20);
    return cuts;
}

static void start_empty(void)
{
    assert_done(plc_forget(&plc, true, NULL));
    assert_int_equal(plc_shell(&plc, "rm -rf \"$DIR\""), 0);
    assert_int_equal(plc_handles(), 0);
}

static unsigned expected_handles(unsigned keys)
{
    return plc.settings.store == DEV_STORE_HANDLE ? keys : 0;
}

static void settle_keygen(unsigned at)
{
    struct dev_key_report first, second;
    if (plc_keygen(&plc, &first) < 0)
        fail_msg("cut %u: %s", at, pc_error_text());
    assert_done(plc_keygen(&plc, &second));
    assert_false(second.made);
    assert_string_equal(first.fingerprint, second.fingerprint);
    if (plc_handles() != expected_handles(1))
        fail_msg("cut %u: %u handles are taken", at, plc_handles());
    assert_true(plc_tpm_clean());
    if (at % 4 == 0)
        assert_true(plc_no_clear_key(&plc));
}

static void settle_request(unsigned at)
{
    plc_prepare(&plc, &chain);
    settle_keygen(at);
    assert_done(plc_install(&plc, &chain, &plc.ca));
}

/* An installed set, and a certificate for a new key. Copied back for each cut: the TPM's part does not
 * change. */
static void keep_template(void)
{
    plc_prepare(&plc, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    plc_prepare(&plc, &chain);
    assert_int_equal(plc_shell(&plc, "cp -a \"$DIR\" \"$DIR.template\""), 0);
}

static void start_template(void)
{
    assert_int_equal(plc_shell(&plc, "rm -rf \"$DIR\" && cp -a \"$DIR.template\" \"$DIR\""), 0);
}

static char old_set[PKI_FINGERPRINT_TEXT];
static unsigned cuts_with_old_set;

/* 0 when there is nothing. */
static ino_t inode(const char *folder, const char *name)
{
    char path[DEV_PATH_MAX];
    struct stat status = {0};
    dev_path(path, "%s/%s/%s", plc.dir, folder, name);
    return stat(path, &status) == 0 ? status.st_ino : 0;
}

/* The set that clients would load: which certificate, by the visible names; and the TPM has its key. */
static void describe_set(char ret[PKI_FINGERPRINT_TEXT])
{
    static const char *const names[] = {DEV_CA, DEV_CERTIFICATE, DEV_KEY};
    struct dev_status status;
    assert_done(plc_status(&plc, &status));
    assert_true(status.installed);
    if (status.key_error != 0)
        fail_msg("the key of the set that stands: %s", status.key_text);
    memcpy(ret, status.certificate_sha256, PKI_FINGERPRINT_TEXT);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_true(inode(".", names[i]) != 0);
        assert_int_equal(inode(".", names[i]), inode("current", names[i]));
    }
}

/* Nothing that a cut left: no pending key, two generations, no temporary files. */
static void assert_tidy(void)
{
    char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t count;
    assert_int_equal(inode(".", "pending"), 0);
    assert_done(dev_generation_list(plc.dir, &names, &count));
    free(names);
    assert_int_equal(count, 2);
    assert_int_equal(plc_shell(&plc, "test \"$(cd \"$DIR\" && find . -name '.?*' ! -name .lock)\" = ''"), 0);
}

static void settle_install(unsigned at)
{
    char set[PKI_FINGERPRINT_TEXT], finished[PKI_FINGERPRINT_TEXT];
    struct dev_status status;
    describe_set(set);
    if (strcmp(set, old_set) == 0)
        cuts_with_old_set++;
    if (plc_install(&plc, &chain, &plc.ca) < 0)
        fail_msg("cut %u: %s", at, pc_error_text());
    describe_set(finished);
    assert_string_not_equal(finished, old_set);
    assert_true(strcmp(set, old_set) == 0 || strcmp(set, finished) == 0);
    assert_done(plc_status(&plc, &status));
    assert_int_equal(status.state, DEV_SWITCHED);
    assert_string_equal(status.previous, "0001");
    assert_int_equal(plc_handles(), expected_handles(2));
    if (at % 4 == 0)
        assert_tidy();
}

static void test_keygen_cuts(void **state)
{
    (void)state;
    unsigned files = file_cuts(run_keygen, start_empty, settle_keygen);
    unsigned commands = cut_everywhere(killed_after, run_keygen, start_empty, settle_keygen);
    assert_true(commands >= 5);
    print_message("# keygen: %u cuts at files, %u at TPM commands\n", files, commands);
}

static void test_request_cuts(void **state)
{
    (void)state;
    unsigned commands = cut_everywhere(killed_after, run_request, start_empty, settle_request);
    assert_true(commands >= 5);
    print_message("# request: %u cuts at TPM commands\n", commands);
}

static void test_install_cuts(void **state)
{
    (void)state;
    keep_template();
    describe_set(old_set);
    cuts_with_old_set = 0;
    unsigned files = file_cuts(run_install, start_template, settle_install);
    unsigned commands = cut_everywhere(killed_after, run_install, start_template, settle_install);
    assert_true(commands >= 2 && cuts_with_old_set >= commands);
    assert_true(files == 0 || cuts_with_old_set < files + commands);
    print_message("# install: %u cuts at files, %u at TPM commands; the old set stood after %u\n", files,
                  commands, cuts_with_old_set);
}

/* The very first set: nothing, or all of it. */
static void settle_first_install(unsigned at)
{
    char set[PKI_FINGERPRINT_TEXT];
    bool there = inode(".", DEV_CERTIFICATE) != 0;
    assert_int_equal(inode(".", DEV_CA) != 0, there);
    assert_int_equal(inode(".", DEV_KEY) != 0, there);
    if (plc_install(&plc, &chain, &plc.ca) < 0)
        fail_msg("cut %u: %s", at, pc_error_text());
    describe_set(set);
    assert_int_equal(plc_handles(), expected_handles(1));
}

/* The reload command is owed from the switch on: it runs in this run or in the next. */
static void settle_told_install(unsigned at)
{
    settle_first_install(at);
    if (plc_shell(&plc, "test -s \"$DIR/../reloads\" && rm \"$DIR/../reloads\"") != 0)
        fail_msg("cut %u: clients were never told", at);
}

static void test_first_install_cuts(void **state)
{
    (void)state;
    plc.settings.reload = "echo run >> \"$DIR/../reloads\"";
    plc_prepare(&plc, &chain);
    assert_int_equal(plc_shell(&plc, "cp -a \"$DIR\" \"$DIR.template\""), 0);
    unsigned files = cut_everywhere(cut_before, run_install, start_template, settle_told_install);
    assert_true(files >= 20);
    print_message("# first install, with a reload command: %u cuts at files\n", files);
}

static void start_installed(void)
{
    plc_prepare(&plc, &chain);
    assert_done(plc_install(&plc, &chain, &plc.ca));
    plc_prepare(&plc, &chain);
}

static void settle_forget(unsigned at)
{
    if (plc_forget(&plc, true, NULL) < 0)
        fail_msg("cut %u: %s", at, pc_error_text());
    assert_int_equal(plc_handles(), 0);
    assert_int_equal(plc_shell(&plc, "test \"$(ls -A \"$DIR\")\" = .lock"), 0);
}

static void test_forget_cuts(void **state)
{
    (void)state;
    unsigned files = cut_everywhere(cut_before, run_forget, start_installed, settle_forget);
    settle_forget(0);
    unsigned commands = cut_everywhere(killed_after, run_forget, start_installed, settle_forget);
    assert_true(files >= 10);
    print_message("# forget: %u cuts at files, %u at TPM commands\n", files, commands);
}

/* The third key takes the handle of the first: cut at every TPM command, nothing that is in use goes. */
static void start_two_keys(void)
{
    do {
        plc_prepare(&plc, &chain);
        assert_done(plc_install(&plc, &chain, &plc.ca));
    } while (plc_handles() < 2);
}

static void settle_third_key(unsigned at)
{
    struct dev_status status;
    assert_done(plc_status(&plc, &status));
    if (status.key_error != 0)
        fail_msg("cut %u: %s", at, status.key_text);
    assert_done(plc_keygen(&plc, NULL));
    assert_int_equal(plc_handles(), 2);
    assert_done(plc_status(&plc, &status));
    assert_int_equal(status.state, DEV_REKEY_PENDING);
    assert_int_equal(status.key_error, 0);
}

static void test_third_key_cuts(void **state)
{
    (void)state;
    unsigned commands = cut_everywhere(killed_after, run_keygen, start_two_keys, settle_third_key);
    assert_true(commands >= 8);
    print_message("# third key: %u cuts at TPM commands\n", commands);
}

int main(void)
{
#define HANDLE(function) cmocka_unit_test_setup_teardown(function, set_up_handle, tear_down)
#define BLOB(function)                                                                                       \
    {                                                                                                        \
#function " (blob)", function, set_up_blob, tear_down, NULL                                          \
    }
    const struct CMUnitTest tests[] = {
        HANDLE(test_keygen_cuts),  BLOB(test_keygen_cuts),      HANDLE(test_request_cuts),
        HANDLE(test_install_cuts), BLOB(test_install_cuts),     HANDLE(test_first_install_cuts),
        HANDLE(test_forget_cuts),  HANDLE(test_third_key_cuts),
    };
    return cmocka_run_group_tests_name("device cuts", tests, NULL, NULL);
}
