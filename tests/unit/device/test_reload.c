/* The reload command: its exit, its time, and what it may write to. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "provision/device/reload.h"
#include "src/base/error.h"
#include "src/base/memory.h"

#define SOON 20000 /* ms; more than any of these takes */

static void test_exit(void **state)
{
    (void)state;
    assert_int_equal(dev_reload("exit 0", SOON), 0);
    assert_int_equal(dev_reload("exit 7", SOON), PC_EFAIL);
    assert_non_null(strstr(pc_error_text(), "exited with 7"));
    assert_int_equal(dev_reload("kill -TERM $$", SOON), PC_EFAIL);
    assert_non_null(strstr(pc_error_text(), "signal 15"));
    assert_int_equal(dev_reload("/nonexistent/command 2>/dev/null", SOON), PC_EFAIL);
}

/* Nothing to read, and our stdout, which carries results, is not its own. */
static void test_streams(void **state)
{
    (void)state;
    char seen[16] = "";
    int out[2], saved_out = dup(STDOUT_FILENO), saved_err = dup(STDERR_FILENO);
    fflush(NULL);
    assert_return_code(pipe2(out, O_CLOEXEC), errno);
    pc_autoclose int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDOUT_FILENO);
    dup2(out[1], STDERR_FILENO);
    int r = dev_reload("! read line && echo said", SOON);
    dup2(saved_out, STDOUT_FILENO);
    dup2(saved_err, STDERR_FILENO);
    close(saved_out);
    close(saved_err);
    close(out[1]);
    ssize_t len = read(out[0], seen, sizeof seen - 1);
    close(out[0]);
    assert_int_equal(r, 0);
    assert_int_equal(len, strlen("said\n"));
    assert_string_equal(seen, "said\n");
}

/* Neither gone nor a zombie that nobody has reaped yet. */
static bool is_alive(pid_t process)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    return read && !strstr(line, ") Z");
}

/* What hangs is ended, with all that it started. */
static void test_hanging(void **state)
{
    (void)state;
    char command[128], text[32] = "";
    char path[] = "/tmp/plantcert-reload.XXXXXX";
    pc_autoclose int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(command, sizeof command, "sleep 600 & echo $! > %s; wait", path);
    int r = dev_reload(command, 1000);
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    unlink(path);
    assert_int_equal(r, PC_EFAIL);
    assert_non_null(strstr(pc_error_text(), "did not end"));
    assert_true(len > 0);
    pid_t sleeper = (pid_t)strtol(text, NULL, 10);
    assert_true(sleeper > 1);
    for (int waited = 0; is_alive(sleeper); waited += 20) {
        assert_true(waited < SOON);
        poll(NULL, 0, 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_hanging),
    };
    return cmocka_run_group_tests_name("device reload", tests, NULL, NULL);
}
