/* Where PINs come from: files and their modes, descriptors, and a terminal that must not show them. No token
 * is needed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "hsm/pin.h"
#include "src/base/error.h"
#include "src/base/secret.h"

static char folder[64];

static void path_in(const char *name, char ret[128])
{
    snprintf(ret, 128, "%s/%s", folder, name);
}

static void write_file(const char *path, const void *data, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void assert_pin(int r, struct pc_secret *const *ret, const char *text)
{
    if (r != 0)
        fail_msg("%d: %s", r, pc_error_text());
    assert_int_equal((*ret)->len, strlen(text));
    assert_memory_equal((*ret)->data, text, strlen(text) + 1);
}

static void assert_refused(int r, struct pc_secret *const *ret, const char *words)
{
    if (r != PC_EAUTH || *ret || !strstr(pc_error_text(), words))
        fail_msg("wanted PC_EAUTH with '%s', got %d: %s", words, r, pc_error_text());
}

struct content {
    const char *data;
    size_t len;
    const char *pin, *words; /* the one or the other */
};
#define TAKEN(text, pin)                                                                                     \
    {                                                                                                        \
        text, sizeof text - 1, pin, NULL                                                                     \
    }
#define REFUSED(text, words)                                                                                 \
    {                                                                                                        \
        text, sizeof text - 1, NULL, words                                                                   \
    }
static const struct content contents[] = {
    TAKEN("1234", "1234"),
    TAKEN("1234\n", "1234"),
    TAKEN("1234\r\n", "1234"),
    TAKEN(" 12 34 \n", " 12 34 "),
    TAKEN("p\xc3\xa4ss\n", "p\xc3\xa4ss"),
    REFUSED("", "empty"),
    REFUSED("\n", "empty"),
    REFUSED("\r\n", "empty"),
    REFUSED("1234\n5678\n", "more than one line"),
    REFUSED("1234\n\n", "more than one line"),
    REFUSED("\n1234\n", "more than one line"),
    REFUSED("12\r34\n", "more than one line"),
    REFUSED("12\00034\n", "NUL"),
    REFUSED("1234\0", "NUL"),
};

static void test_contents(void **state)
{
    (void)state;
    char path[128];
    path_in("pin", path);
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        pc_autosecret *pin = NULL;
        write_file(path, contents[i].data, contents[i].len, 0600);
        int r = pc_secret_from_file("PIN", path, &pin);
        if (contents[i].pin) {
            assert_pin(r, &pin, contents[i].pin);
        } else {
            assert_refused(r, &pin, contents[i].words);
            assert_non_null(strstr(pc_error_text(), path));
            assert_null(strstr(pc_error_text(), "34"));
        }
    }
}

static void test_lengths(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        const char *end;
        bool fits;
    } rows[] = {{255, "", true},  {255, "\n", true},   {255, "\r\n", true},
                {256, "", false}, {256, "\n", false},  {256, "\r\n", false},
                {257, "", false}, {4096, "\n", false}, {1 << 20, "", false}};
    char path[128], *text = malloc((1 << 20) + 8);
    path_in("pin", path);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pc_autosecret *pin = NULL;
        memset(text, 'x', rows[i].len);
        strcpy(text + rows[i].len, rows[i].end);
        write_file(path, text, strlen(text), 0600);
        int r = pc_secret_from_file("PIN", path, &pin);
        text[rows[i].len] = '\0';
        if (rows[i].fits)
            assert_pin(r, &pin, text);
        else
            assert_refused(r, &pin, "longer than 255");
    }
    free(text);
}

static void test_modes(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        bool good;
    } rows[] = {{0600, true},  {0400, true},  {0640, true},  {0440, true},  {0700, true},
                {0644, false}, {0604, false}, {0602, false}, {0601, false}, {0620, false},
                {0660, false}, {0666, false}, {0777, false}};
    char path[128];
    path_in("pin", path);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pc_autosecret *pin = NULL;
        write_file(path, "1234\n", 5, rows[i].mode);
        int r = pc_secret_from_file("PIN", path, &pin);
        if (rows[i].good)
            assert_pin(r, &pin, "1234");
        else
            assert_refused(r, &pin, "has mode 0");
    }
}

static void test_not_a_file(void **state)
{
    (void)state;
    char path[128], real[128];
    pc_autosecret *pin = NULL;
    path_in("missing", path);
    assert_refused(pc_secret_from_file("PIN", path, &pin), &pin, "No such file");
    assert_refused(pc_secret_from_file("PIN", folder, &pin), &pin, "no regular file");
    assert_refused(pc_secret_from_file("PIN", "/dev/null", &pin), &pin, "no regular file");
    path_in("fifo", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(pc_secret_from_file("PIN", path, &pin), &pin,
                   "no regular file"); /* and does not wait for a writer */

    /* A link is followed, and what it leads to is judged. */
    path_in("link", path);
    path_in("secret", real);
    write_file(real, "1234\n", 5, 0400);
    assert_int_equal(symlink(real, path), 0);
    assert_pin(pc_secret_from_file("PIN", path, &pin), &pin, "1234");
    assert_int_equal(chmod(real, 0644), 0);
    struct pc_secret *none = NULL;
    assert_refused(pc_secret_from_file("PIN", path, &none), &none, "has mode 0644");
}

static void test_descriptors(void **state)
{
    (void)state;
    int ends[2];
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        pc_autosecret *pin = NULL;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) { /* in two writes, so that it comes in pieces */
            size_t half = contents[i].len / 2;
            bool good = write(ends[1], contents[i].data, half) == (ssize_t)half;
            usleep(2000);
            good = good && write(ends[1], contents[i].data + half, contents[i].len - half) >= 0;
            _exit(good ? 0 : 1);
        }
        close(ends[1]);
        int r = pc_secret_from_fd("PIN", ends[0], &pin);
        if (contents[i].pin)
            assert_pin(r, &pin, contents[i].pin);
        else
            assert_refused(r, &pin, contents[i].words);
        assert_int_not_equal(fcntl(ends[0], F_GETFD), -1); /* still the caller's */
        close(ends[0]);
        waitpid(child, NULL, 0);
    }
    pc_autosecret *pin = NULL;
    assert_refused(pc_secret_from_fd("PIN", ends[0], &pin), &pin, "cannot be read");
    assert_refused(pc_secret_from_fd("PIN", -1, &pin), &pin, "cannot be read");
}

/* A child with a terminal of its own asks for a PIN, and tells by its exit status what came of it. */
#define GOT_IT 10
#define REFUSED_IT 11
static pid_t ask_in_child(int *ret_terminal)
{
    pid_t child = forkpty(ret_terminal, NULL, NULL, NULL);
    assert_true(child >= 0);
    if (child == 0) {
        /* Whoever started the tests in the background may have had these ignored. */
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
        for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
            signal(signals[i], SIG_DFL);
        struct pc_secret *pin = NULL;
        int r = hsm_pin_from_terminal("voke-ca", &pin);
        bool good = r == 0 && pin->len == 4 && memcmp(pin->data, "1234", 4) == 0;
        _exit(good ? GOT_IT : r == PC_EAUTH && !pin ? REFUSED_IT : 1);
    }
    return child;
}

/* Reads from the terminal until `words` came, or it ends; everything is added to `seen`. */
static bool read_until(int terminal, const char *words, char *seen, size_t size)
{
    while (!strstr(seen, words)) {
        size_t len = strlen(seen);
        ssize_t n = read(terminal, seen + len, size - len - 1);
        if (n <= 0)
            return false;
        seen[len + (size_t)n] = '\0';
    }
    return true;
}

static bool echoes(int terminal)
{
    struct termios now;
    assert_int_equal(tcgetattr(terminal, &now), 0);
    return now.c_lflag & ECHO;
}

static void test_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *typed;
        int status;
    } rows[] = {{"1234\n", GOT_IT},
                {"12x\177"
                 "34\n",
                 GOT_IT},
                {"\n", REFUSED_IT},
                {"\004", REFUSED_IT},
                {"4321\n", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int terminal, status;
        char seen[1024] = "";
        pid_t child = ask_in_child(&terminal);
        assert_true(read_until(terminal, "PIN of token 'voke-ca': ", seen, sizeof seen));
        assert_false(echoes(terminal));
        assert_int_equal(write(terminal, rows[i].typed, strlen(rows[i].typed)), strlen(rows[i].typed));
        assert_true(read_until(terminal, "\n", seen, sizeof seen));
        assert_null(strpbrk(strstr(seen, ": "), "1234x")); /* nothing that was typed came back */
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), rows[i].status);
        assert_true(echoes(terminal));
        close(terminal);
    }
}

static void test_interrupted(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        int terminal, status;
        char seen[1024] = "";
        pid_t child = ask_in_child(&terminal);
        assert_true(read_until(terminal, "': ", seen, sizeof seen));
        assert_false(echoes(terminal));
        if (signals[i] == SIGINT)
            assert_int_equal(write(terminal, "12\003", 3), 3); /* as the keyboard does it */
        else
            assert_int_equal(kill(child, signals[i]), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status)); /* put off, not swallowed */
        assert_int_equal(WTERMSIG(status), signals[i]);
        assert_true(echoes(terminal));
        close(terminal);
    }
}

static void test_no_terminal(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct pc_secret *pin = NULL;
        setsid(); /* a session without a terminal */
        int r = hsm_pin_from_terminal("voke-ca", &pin);
        _exit(r == PC_EAUTH && !pin && strstr(pc_error_text(), "no terminal") ? GOT_IT : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), GOT_IT);
}

static int make_folder(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/plantcert-pin.XXXXXX", base ? base : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"pin", "fifo", "link", "secret"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path_in(names[i], path);
        unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents),    cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_modes),       cmocka_unit_test(test_not_a_file),
        cmocka_unit_test(test_descriptors), cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_interrupted), cmocka_unit_test(test_no_terminal),
    };
    return cmocka_run_group_tests_name("hsm pin", tests, make_folder, remove_folder);
}
