/* pending/ as a reader without the lock meets it: a file that another run removes between the look and the
 * opening. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "provision/device/folder.h"
#include "provision/device/pending.h"
#include "src/base/error.h"
#include "src/base/file.h"

static const char *vanishing; /* the name that is gone when it is opened */

static int vanish_and_open(const char *path, int flags)
{
    const char *slash = strrchr(path, '/');
    if (vanishing && slash && strcmp(slash + 1, vanishing) == 0)
        unlink(path);
    return openat(AT_FDCWD, path, flags, 0600);
}

/* Under which of the two names libc's headers have it depends on the width of off_t. */
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    return vanish_and_open(path, flags);
}
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    return vanish_and_open(path, flags);
}

static char dir[] = "/tmp/plantcert-pending.XXXXXX";

static int set_up(void **state)
{
    (void)state;
    memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
    char path[DEV_PATH_MAX];
    const struct dev_pending pending = {.step = DEV_STEP_MADE};
    if (!mkdtemp(dir))
        return -1;
    dev_path(path, "%s/pending", dir);
    if (mkdir(path, 0700) != 0 || dev_pending_write_state(dir, &pending) < 0)
        return -1;
    dev_path(path, "%s/pending/key.tpm", dir);
    return pc_file_write(path, "x", 1, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    vanishing = NULL;
    return dev_pending_remove(dir, NULL) < 0 ? -1 : rmdir(dir);
}

static void load(enum dev_step step)
{
    dev_autopending pending = {0};
    assert_int_equal(dev_pending_load(dir, &pending), 0);
    assert_true(pending.present);
    assert_null(pending.key);
    assert_int_equal(pending.step, step);
}

static void test_standing(void **state)
{
    (void)state;
    load(DEV_STEP_MADE);
}

static void test_key_vanishes(void **state)
{
    (void)state;
    vanishing = "key.tpm";
    load(DEV_STEP_MADE);
}

static void test_state_vanishes(void **state)
{
    (void)state;
    vanishing = "state";
    pc_error_clear();
    load(DEV_STEP_NONE);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_standing),
        TEST(test_key_vanishes),
        TEST(test_state_vanishes),
    };
    return cmocka_run_group_tests_name("device pending", tests, NULL, NULL);
}
