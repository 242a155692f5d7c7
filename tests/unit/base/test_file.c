/* base/file, base/memory, base/error: bounded reads, writes that appear whole or not at all, locks, hex,
 * secrets, texts of failures. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/draft.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/random.h"

/* In the place of libc's, so that they can be counted. */
static int syncs, file_system_syncs;

int fsync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fsync, fd);
}

int syncfs(int fd)
{
    file_system_syncs++;
    return (int)syscall(SYS_syncfs, fd);
}

/* What happens at the moment at which a new file gets its name. */
static void (*before_link)(const char *name);
/* As a stick's file system does: no file without a name, and none that refuses to replace another. */
static bool stick, stick_is_full;

int linkat(int from, const char *path, int to, const char *name, int flags)
{
    if (before_link)
        before_link(name);
    if (stick) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_linkat, from, path, to, name, flags);
}

int renameat2(int from, const char *path, int to, const char *name, unsigned flags)
{
    if (stick && flags != 0) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from, path, to, name, flags);
}

int renameat(int from, const char *path, int to, const char *name)
{
    if (stick_is_full) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from, path, to, name, 0);
}

static char dir[] = "/tmp/pc-file-XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int count_entries(void)
{
    char command[128];
    snprintf(command, sizeof command, "exit $(ls -A %s | wc -l)", dir);
    return WEXITSTATUS(system(command));
}

static void writes_and_reads(void **state)
{
    (void)state;
    const char *path = in_dir("a");
    mode_t old = umask(0077);
    assert_int_equal(pc_file_write(path, "one", 3, NULL), 0);
    umask(old);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
    pc_autobytes bytes = {0};
    assert_int_equal(pc_file_read(path, 3, &bytes), 0);
    assert_int_equal(bytes.len, 3);
    assert_string_equal((char *)bytes.data, "one");
    struct pc_bytes none = {0};
    assert_int_equal(pc_file_read(path, 2, &none), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "file-size");
    assert_null(none.data);
    assert_int_equal(pc_file_write(path, "two", 3, &(struct pc_file_options){.mode = 0600}), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(count_entries(), 1);
    unlink(path);
}

/* Written behind: the same file, and no wait for the disk until all of them are made durable together. */
static void written_behind(void **state)
{
    (void)state;
    const char *path = in_dir("behind");
    const struct pc_file_options behind = {.behind = true, .mode = 0640};
    struct stat status;
    syncs = 0;
    assert_int_equal(pc_file_write(path, "one", 3, NULL), 0);
    assert_int_equal(syncs, 2); /* the file, and the name in its folder */
    syncs = file_system_syncs = 0;
    assert_int_equal(pc_file_write(path, "two", 3, &behind), 0);
    assert_int_equal(syncs, 0);
    pc_autobytes bytes = {0};
    assert_int_equal(pc_file_read(path, 10, &bytes), 0);
    assert_string_equal((char *)bytes.data, "two");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    assert_int_equal(count_entries(), 1);
    assert_int_equal(pc_file_write(path, "six", 3, &(struct pc_file_options){.behind = true, .fresh = true}),
                     PC_EREFUSED);
    assert_int_equal(file_system_syncs, 0);
    assert_int_equal(pc_dir_syncfs(dir), 0);
    assert_int_equal(file_system_syncs, 1);
    assert_int_equal(pc_dir_syncfs(in_dir("none")), PC_EFAIL);
    assert_int_equal(pc_dir_syncfs(in_dir("behind")), PC_EFAIL);
    unlink(path);
}

static void keeps_what_must_stay(void **state)
{
    (void)state;
    const char *path = in_dir("b");
    assert_int_equal(pc_file_write(path, "one", 3, NULL), 0);
    assert_int_equal(pc_file_write(path, "two", 3, &(struct pc_file_options){.fresh = true}), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "file-exists");
    unlink(path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(pc_file_write(path, "two", 3, NULL), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "file-kind");
    assert_int_equal(pc_file_write(path, "two", 3, &(struct pc_file_options){.fresh = true}), PC_EREFUSED);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pc_file_write(path, "two", 3, NULL), PC_EREFUSED);
    struct pc_bytes none = {0};
    assert_int_equal(pc_file_read(path, 100, &none), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "file-kind");
    unlink(path);
    assert_int_equal(pc_file_write(in_dir("no/such"), "x", 1, NULL), PC_EFAIL);
    assert_int_equal(pc_file_write(in_dir(""), "x", 1, NULL), PC_EUSAGE);
    assert_int_equal(pc_file_read(in_dir("none"), 1, &none), PC_EFAIL);
    assert_int_equal(count_entries(), 0);
}

static void someone_is_quicker(const char *name)
{
    before_link = NULL;
    assert_int_equal(pc_file_write(in_dir(name), "first", 5, NULL), 0);
}

static void killed(const char *name)
{
    (void)name;
    _exit(9);
}

/* Nothing has a name before it is whole; who comes second replaces, or is refused. */
static void without_a_name(void **state)
{
    (void)state;
    const char *path = in_dir("new");
    const struct pc_file_options fresh = {.fresh = true};
    pc_autobytes bytes = {0};
    int status;
    pid_t child = fork();
    if (child == 0) {
        before_link = killed;
        pc_file_write(path, "one", 3, NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WEXITSTATUS(status) != 9)
        skip(); /* a file system without such files */
    assert_int_equal(count_entries(), 0);
    before_link = someone_is_quicker;
    assert_int_equal(pc_file_write(in_dir("new"), "second", 6, &fresh), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "file-exists");
    unlink(in_dir("new"));
    before_link = someone_is_quicker;
    assert_int_equal(pc_file_write(in_dir("new"), "second", 6, NULL), 0);
    assert_int_equal(pc_file_read(in_dir("new"), 10, &bytes), 0);
    assert_string_equal((char *)bytes.data, "second");
    assert_int_equal(count_entries(), 1);
    unlink(in_dir("new"));
}

/* A write that fails half way leaves the old file, and no temporary one. */
static void full_disk(void **state)
{
    (void)state;
    const char *path = in_dir("c");
    assert_int_equal(pc_file_write(path, "old", 3, NULL), 0);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {4096, 4096};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        static char much[65536];
        _exit(pc_file_write(path, much, sizeof much, NULL) == PC_EFAIL ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pc_autobytes bytes = {0};
    assert_int_equal(pc_file_read(path, 100, &bytes), 0);
    assert_string_equal((char *)bytes.data, "old");
    assert_int_equal(count_entries(), 1);
    unlink(path);
}

static void folders(void **state)
{
    (void)state;
    const char *path = in_dir("x/y/z/");
    assert_int_equal(pc_dir_make(path, 0700), 0);
    assert_int_equal(pc_dir_make(path, 0700), 0);
    struct stat status;
    assert_int_equal(stat(in_dir("x/y/z"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(stat(in_dir("x/y"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0755);
    assert_int_equal(pc_file_write(in_dir("x/f"), "", 0, NULL), 0);
    assert_int_equal(pc_dir_make(in_dir("x/f"), 0700), PC_EFAIL);
    assert_int_equal(pc_dir_make(in_dir("x/f/g"), 0700), PC_EFAIL);
    rmdir(in_dir("x/y/z"));
    rmdir(in_dir("x/y"));
    unlink(in_dir("x/f"));
    rmdir(in_dir("x"));
}

static void locks(void **state)
{
    (void)state;
    pc_autoclose int first = -1;
    int second = -1;
    assert_int_equal(pc_lock_take(in_dir("lock"), 0, &first), 0);
    assert_int_equal(pc_lock_take(in_dir("lock"), 60, &second), PC_EPENDING);
    assert_int_equal(second, -1);
    close(first);
    assert_int_equal(pc_lock_take(in_dir("lock"), 0, &first), 0);
    unlink(in_dir("lock"));
}

static void hex(void **state)
{
    (void)state;
    char text[9];
    pc_hex("\x00\xfe\x10\x7f", 4, text);
    assert_string_equal(text, "00fe107f");
    unsigned char bytes[4];
    size_t len = 99;
    assert_int_equal(pc_unhex("00FE107f", bytes, 4, &len), 0);
    assert_int_equal(len, 4);
    assert_memory_equal(bytes, "\x00\xfe\x10\x7f", 4);
    len = 99;
    assert_int_equal(pc_unhex("0", bytes, 4, &len), PC_EUSAGE);
    assert_int_equal(pc_unhex("0g", bytes, 4, &len), PC_EUSAGE);
    assert_int_equal(pc_unhex("0011223344", bytes, 4, &len), PC_EUSAGE);
    assert_int_equal(len, 99);
}

static void secrets(void **state)
{
    (void)state;
    pc_autosecret *secret = NULL;
    assert_int_equal(pc_secret_new(4096, &secret), 0);
    assert_int_equal(secret->len, 4096);
    assert_int_equal(secret->data[4095], 0);
    assert_int_equal(secret->data[4096], 0);
    memset(secret->data, 'x', 4096);
    assert_int_equal(pc_secret_new(1 << 20, &secret), PC_EFAIL);
    pc_secret_free(NULL);
    /* Pages go from one secret to the next, and nothing of what stood in them. */
    for (int i = 0; i < 3; i++) {
        pc_autosecret *one = NULL, *other = NULL;
        assert_int_equal(pc_secret_new(40, &one), 0);
        assert_int_equal(pc_secret_new(40, &other), 0);
        assert_ptr_not_equal(one->data, other->data);
        for (size_t at = 0; at <= 40; at++)
            assert_int_equal(one->data[at] | other->data[at], 0);
        memset(one->data, 'x', 40);
        memset(other->data, 'y', 40);
    }
    unsigned char a[32] = {0}, b[32] = {0};
    assert_int_equal(pc_random(a, sizeof a), 0);
    assert_int_equal(pc_random(b, sizeof b), 0);
    assert_memory_not_equal(a, b, sizeof a);
}

static void texts(void **state)
{
    (void)state;
    assert_int_equal(pc_refuse("some-rule", "CN is '%s'", "x"), PC_EREFUSED);
    assert_int_equal(pc_fail_in("plc.csr"), PC_EREFUSED);
    assert_string_equal(pc_error_text(), "plc.csr: CN is 'x'");
    assert_string_equal(pc_error_name(), "some-rule");
    assert_int_equal(pc_fail(PC_EUNREACH, "again: %s", pc_error_text()), PC_EUNREACH);
    assert_string_equal(pc_error_text(), "again: plc.csr: CN is 'x'");
    assert_string_equal(pc_error_name(), "unreachable");
    errno = ENOSPC;
    assert_int_equal(pc_fail_errno(PC_EFAIL, "file"), PC_EFAIL);
    assert_string_equal(pc_error_text(), "file: No space left on device");
    char much[10000];
    memset(much, 'y', sizeof much - 1);
    much[sizeof much - 1] = '\0';
    pc_fail(PC_EFAIL, "%s", much);
    pc_fail_in("%s", much);
    assert_true(strlen(pc_error_text()) < 4096);
    pc_error_clear();
    assert_int_equal(pc_error_code(), 0);
    assert_string_equal(pc_error_text(), "");
}

static void holds(const char *path, const char *text)
{
    pc_autobytes bytes = {0};
    assert_int_equal(pc_file_read(path, 100, &bytes), 0);
    assert_string_equal((char *)bytes.data, text);
}

/* What a draft of "draft" with these bytes comes to. */
static int draft(const char *text, bool taken_meanwhile)
{
    struct pc_draft *draft PC_CLEANUP(pc_draft_free_ref) = NULL;
    int r = pc_draft_new(in_dir("draft"), 0644, &draft);
    if (r < 0)
        return r;
    assert_int_equal(write(pc_draft_fd(draft), text, strlen(text)), (ssize_t)strlen(text));
    if (taken_meanwhile)
        assert_int_equal(pc_file_write(in_dir("draft"), "other", 5, NULL), 0);
    return pc_draft_keep(draft);
}

static void on_a_stick(void **state)
{
    (void)state;
    const struct pc_file_options fresh = {.fresh = true};
    stick = true;
    assert_int_equal(pc_file_write(in_dir("fresh"), "one", 3, &fresh), 0);
    assert_int_equal(pc_file_write(in_dir("fresh"), "two", 3, &fresh), PC_EREFUSED);
    holds(in_dir("fresh"), "one");
    assert_int_equal(draft("lost", true), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "file-exists");
    holds(in_dir("draft"), "other");
    assert_int_equal(draft("more", false), PC_EREFUSED);
    assert_int_equal(unlink(in_dir("draft")), 0);
    assert_int_equal(draft("more", false), 0);
    holds(in_dir("draft"), "more");
    assert_int_equal(unlink(in_dir("draft")), 0);
    /* The name that was taken is given back when the file cannot have it. */
    stick_is_full = true;
    assert_int_equal(draft("none", false), PC_EFAIL);
    stick = stick_is_full = false;
    assert_false(pc_file_exists(in_dir("draft")));
    assert_int_equal(unlink(in_dir("fresh")), 0);
    assert_int_equal(count_entries(), 0);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_and_reads),
        cmocka_unit_test(written_behind),
        cmocka_unit_test(keeps_what_must_stay),
        cmocka_unit_test(without_a_name),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(on_a_stick),
        cmocka_unit_test(folders),
        cmocka_unit_test(locks),
        cmocka_unit_test(hex),
        cmocka_unit_test(secrets),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
