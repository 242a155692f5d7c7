/* base/run: a command's exit, its time, what it may read, and what it may write to. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/base/memory.h"
#include "src/base/run.h"

#define SOON 20 /* s; more than any of these takes */

static void exits(void **state)
{
    (void)state;
    assert_int_equal(pc_run("reload", "exit 0", NULL, SOON), 0);
    assert_int_equal(pc_run("reload", "exit 0", NULL, 0), 0);
    assert_int_equal(pc_run("reload", "exit 7", NULL, SOON), PC_EFAIL);
    assert_string_equal(pc_error_text(), "reload: 'exit 7' exited with 7");
    assert_int_equal(pc_run("ship", "exit 7", NULL, 0), PC_EFAIL);
    assert_string_equal(pc_error_text(), "ship: 'exit 7' exited with 7");
    assert_int_equal(pc_run("reload", "kill -TERM $$", NULL, SOON), PC_EFAIL);
    assert_non_null(strstr(pc_error_text(), "signal 15"));
    assert_int_equal(pc_run("reload", "/nonexistent/command 2>/dev/null", NULL, SOON), PC_EFAIL);
}

/* Runs it with our stdout and stderr turned away; what came on stderr goes to `seen`. */
static int run_seen(const char *command, const struct pc_bytes *input, char *seen, size_t size)
{
    int out[2], saved_out = dup(STDOUT_FILENO), saved_err = dup(STDERR_FILENO);
    fflush(NULL);
    assert_return_code(pipe2(out, O_CLOEXEC), errno);
    pc_autoclose int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDOUT_FILENO);
    dup2(out[1], STDERR_FILENO);
    int r = pc_run("test", command, input, SOON);
    dup2(saved_out, STDOUT_FILENO);
    dup2(saved_err, STDERR_FILENO);
    close(saved_out);
    close(saved_err);
    close(out[1]);
    ssize_t len = read(out[0], seen, size - 1);
    close(out[0]);
    seen[len > 0 ? len : 0] = '\0';
    return r;
}

/* Our stdout, which carries results, is not the command's own. */
static void streams(void **state)
{
    (void)state;
    char seen[64];
    assert_int_equal(run_seen("! read line && echo said", NULL, seen, sizeof seen), 0);
    assert_string_equal(seen, "said\n");
    const struct pc_bytes empty = {0};
    assert_int_equal(run_seen("! read line && echo said", &empty, seen, sizeof seen), 0);
    assert_string_equal(seen, "said\n");
    const struct pc_bytes input = {(unsigned char[]){"one\0two\n"}, 8};
    assert_int_equal(run_seen("od -An -c | tr -d ' '", &input, seen, sizeof seen), 0);
    assert_string_equal(seen, "one\\0two\\n\n");
}

/* More than a pipe holds: read whole, read in part, not read at all. */
static void much_input(void **state)
{
    (void)state;
    char seen[64];
    struct pc_bytes much = {calloc(1, 4U << 20), 4U << 20};
    assert_non_null(much.data);
    assert_int_equal(run_seen("wc -c", &much, seen, sizeof seen), 0);
    assert_string_equal(seen, "4194304\n");
    assert_int_equal(run_seen("head -c 10 | wc -c", &much, seen, sizeof seen), 0);
    assert_string_equal(seen, "10\n");
    assert_int_equal(run_seen("exec <&-; exit 0", &much, seen, sizeof seen), 0);
    assert_int_equal(run_seen("exit 3", &much, seen, sizeof seen), PC_EFAIL);
    pc_bytes_clear(&much);
}

/* A descriptor without FD_CLOEXEC, as a PKCS#11 module may open its files, is not handed on; nor are signals
 * that we ignore or block. */
static void nothing_of_ours(void **state)
{
    (void)state;
    int leaked = fcntl(STDERR_FILENO, F_DUPFD, 40);
    assert_true(leaked >= 40);
    int r =
        pc_run("test", "test ! -e /proc/self/fd/40 && test $(ls /proc/self/fd | wc -l) -le 4", NULL, SOON);
    close(leaked);
    assert_int_equal(r, 0);

    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    sighandler_t old = signal(SIGPIPE, SIG_IGN);
    r = pc_run("test", "kill -TERM $$", NULL, SOON);
    assert_non_null(strstr(pc_error_text(), "signal 15"));
    int r2 = pc_run("test", "kill -PIPE $$", NULL, SOON);
    signal(SIGPIPE, old);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(r, PC_EFAIL);
    assert_int_equal(r2, PC_EFAIL);
    assert_non_null(strstr(pc_error_text(), "signal 13"));
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

/* What hangs is ended, with all that it started; that it ignores signals is no help to it. */
static void hanging(void **state)
{
    (void)state;
    char command[128], text[32] = "";
    char path[] = "/tmp/plantcert-run.XXXXXX";
    pc_autoclose int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(command, sizeof command, "trap '' TERM INT; sleep 600 & echo $! > %s; wait", path);
    int r = pc_run("reload", command, NULL, 1);
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    unlink(path);
    assert_int_equal(r, PC_EFAIL);
    assert_non_null(strstr(pc_error_text(), "did not end within 1 s"));
    assert_true(len > 0);
    pid_t sleeper = (pid_t)strtol(text, NULL, 10);
    assert_true(sleeper > 1);
    for (int waited = 0; is_alive(sleeper); waited += 20) {
        assert_true(waited < SOON * 1000);
        poll(NULL, 0, 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exits),           cmocka_unit_test(streams), cmocka_unit_test(much_input),
        cmocka_unit_test(nothing_of_ours), cmocka_unit_test(hanging),
    };
    return cmocka_run_group_tests_name("base run", tests, NULL, NULL);
}
