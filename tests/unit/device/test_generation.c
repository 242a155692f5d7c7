/* Generations without certificates and without a TPM: what readers see before, during and after a switch,
 * whatever moment the power goes. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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

#include "provision/device/generation.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "tests/unit/device/cut.h"

static char dir[128];

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/plantcert-generation.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[192];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* A set whose three files carry the same number. */
static void make_set(unsigned number, struct dev_set *ret)
{
    char text[64];
    int len = snprintf(text, sizeof text, "set %u", number);
    assert_return_code(pc_bytes_copy(text, (size_t)len, &ret->ca), 0);
    assert_return_code(pc_bytes_copy(text, (size_t)len, &ret->certificate), 0);
    assert_return_code(pc_bytes_copy(text, (size_t)len, &ret->key), 0);
}

/* As install does it: write, switch, keep two. */
static int install(void *argument)
{
    dev_autoset set = {0};
    struct dev_record record = {.reloaded = true};
    const struct dev_readers readers = {.group = false};
    char name[DEV_GENERATION_TEXT], previous[DEV_GENERATION_TEXT];
    make_set(*(const unsigned *)argument, &set);
    int r = dev_generation_current(dir, record.replaces);
    if (r == 0)
        r = dev_generation_write(dir, &set, &record, &readers, name);
    if (r == 0)
        r = dev_generation_switch(dir, name);
    if (r == 0)
        r = dev_generation_kept(dir, name, previous);
    char(*names)[DEV_GENERATION_TEXT] = NULL;
    size_t count = 0;
    if (r == 0)
        r = dev_generation_list(dir, &names, &count);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (strcmp(names[i], name) != 0 && strcmp(names[i], previous) != 0)
            r = dev_generation_remove(dir, names[i], NULL);
    free(names);
    return r;
}

static void install_number(unsigned number)
{
    assert_int_equal(install(&number), 0);
}

/* The number in a file, 0 when the file is not there. */
static unsigned number_in(int folder, const char *name)
{
    char text[64] = "";
    unsigned number = 0;
    pc_autoclose int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    assert_true(fd >= 0);
    ssize_t len = read(fd, text, sizeof text - 1);
    assert_true(len > 0);
    assert_int_equal(sscanf(text, "set %u", &number), 1);
    return number;
}

static unsigned visible(const char *name)
{
    pc_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return number_in(fd, name);
}

static mode_t mode_of(const char *name)
{
    char path[DEV_PATH_MAX];
    struct stat status;
    dev_path(path, "%s/%s", dir, name);
    assert_return_code(stat(path, &status), errno);
    return status.st_mode & 0777;
}

static void assert_link(const char *name, const char *target)
{
    char path[DEV_PATH_MAX], found[DEV_LINK_MAX];
    dev_path(path, "%s/%s", dir, name);
    assert_int_equal(dev_link_read(path, found), 0);
    assert_string_equal(found, target);
}

static void assert_refused(int r, const char *name)
{
    assert_int_equal(r, PC_EREFUSED);
    assert_string_equal(pc_error_name(), name);
}

static void test_first(void **state)
{
    (void)state;
    umask(077);
    install_number(1);
    umask(022);
    assert_int_equal(visible(DEV_CA), 1);
    assert_int_equal(visible(DEV_CERTIFICATE), 1);
    assert_int_equal(visible(DEV_KEY), 1);
    assert_link(DEV_CA, "current/ca.crt");
    assert_link(DEV_CERTIFICATE, "current/device.crt");
    assert_link(DEV_KEY, "current/device.tpm");
    assert_link("current", "generations/0001");
    assert_int_equal(mode_of(DEV_CA), 0644);
    assert_int_equal(mode_of(DEV_CERTIFICATE), 0644);
    assert_int_equal(mode_of(DEV_KEY), 0600);
    assert_int_equal(mode_of("generations"), 0755);
    assert_int_equal(mode_of("generations/0001"), 0755);
}

static void test_group(void **state)
{
    (void)state;
    const struct dev_readers readers = {.group = true, .gid = getgid()}, nobody = {.group = false};
    const struct dev_record record = {.replaces = ""};
    char name[DEV_GENERATION_TEXT];
    dev_autoset set = {0};
    make_set(1, &set);
    assert_int_equal(dev_generation_write(dir, &set, &record, &readers, name), 0);
    assert_int_equal(dev_generation_switch(dir, name), 0);
    assert_int_equal(mode_of(DEV_KEY), 0640);
    assert_true(dev_generation_readable(dir, name, &readers));
    assert_false(dev_generation_readable(dir, name, &nobody));
}

static void test_second_keeps_previous(void **state)
{
    (void)state;
    char current[DEV_GENERATION_TEXT], previous[DEV_GENERATION_TEXT];
    dev_autoset set = {0};
    install_number(1);
    install_number(2);
    install_number(3);
    assert_int_equal(visible(DEV_CERTIFICATE), 3);
    assert_int_equal(dev_generation_kept(dir, current, previous), 0);
    assert_string_equal(current, "0003");
    assert_string_equal(previous, "0002");
    assert_int_equal(dev_generation_load(dir, previous, false, &set), 0);
    assert_string_equal(set.certificate.data, "set 2");
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/generations/0001", dir);
    assert_false(pc_file_exists(path));
}

static void test_record(void **state)
{
    (void)state;
    struct dev_record record;
    install_number(1);
    install_number(2);
    assert_int_equal(dev_generation_record(dir, "0002", &record), 0);
    assert_string_equal(record.replaces, "0001");
    assert_true(record.reloaded);
    record.reloaded = false;
    assert_int_equal(dev_generation_record_write(dir, "0002", &record), 0);
    record.reloaded = true;
    assert_int_equal(dev_generation_record(dir, "0002", &record), 0);
    assert_false(record.reloaded);
}

static void test_damaged_record(void **state)
{
    (void)state;
    static const char *const damaged[] = {
        "[generation]\nreplaces = ../../etc\n",
        "[generation]\nreplaces = 00001\n",
        "[generation]\nreloaded = maybe\n",
        "[generation]\nreplaces = 0001\nreplaces = 0002\n",
        "[other]\nreplaces = 0001\n",
        "\x7f\x45\x4c\x46",
        "",
        "[generation]\n",
        "[generation]\nreplaces = 0001\n",
        "[generation]\nreloaded = yes\n",
    };
    struct dev_record record;
    char path[DEV_PATH_MAX];
    install_number(1);
    dev_path(path, "%s/generations/0001/record", dir);
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        assert_int_equal(pc_file_write(path, damaged[i], strlen(damaged[i]), NULL), 0);
        assert_refused(dev_generation_record(dir, "0001", &record), "state-damaged");
    }
}

/* A set that cannot be written whole leaves nothing behind, and the old one stands. */
static void test_failed_write(void **state)
{
    (void)state;
    const struct dev_readers forbidden = {.group = true, .gid = 0};
    const struct dev_record record = {.replaces = "0001"};
    char path[DEV_PATH_MAX], name[DEV_GENERATION_TEXT] = "untouched";
    dev_autoset set = {0};
    install_number(1);
    make_set(2, &set);
    cut_fail_fchown = true;
    int r = dev_generation_write(dir, &set, &record, &forbidden, name);
    cut_fail_fchown = false;
    assert_int_equal(r, PC_EFAIL);
    assert_string_equal(name, "untouched");
    dev_path(path, "%s/generations/0002", dir);
    assert_false(pc_file_exists(path));
    assert_int_equal(visible(DEV_KEY), 1);
}

/* The folder is copied elsewhere, or seen from inside a chroot: only relative links stand that. */
static void test_moved(void **state)
{
    (void)state;
    char moved[DEV_PATH_MAX], back[sizeof dir];
    install_number(1);
    memcpy(back, dir, sizeof back);
    dev_path(moved, "%s.moved", dir);
    assert_return_code(rename(dir, moved), errno);
    snprintf(dir, sizeof dir, "%.120s", moved);
    unsigned seen = visible(DEV_KEY);
    assert_return_code(rename(moved, back), errno);
    memcpy(dir, back, sizeof back);
    assert_int_equal(seen, 1);
}

static void test_foreign_current(void **state)
{
    (void)state;
    static const char *const targets[] = {
        "elsewhere",
        "generations/",
        "generations/1",
        "generations/00001",
        "generations/0001/..",
        "/generations/0001",
        "generations/0001x",
        "generations/00000000000000000000000000000000000000000000000000000000000000000001",
    };
    char path[DEV_PATH_MAX], name[DEV_GENERATION_TEXT] = "untouched";
    dev_path(path, "%s/current", dir);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        assert_return_code(symlink(targets[i], path), errno);
        assert_refused(dev_generation_current(dir, name), "dir-legacy");
        assert_return_code(unlink(path), errno);
    }
    assert_int_equal(pc_file_write(path, "x", 1, NULL), 0);
    assert_refused(dev_generation_current(dir, name), "dir-legacy");
    assert_string_equal(name, "untouched");
}

static void test_plain(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int plain; /* -1: refused */
    } cases[] = {{"ca.crt", 1}, {"device.crt", 1}, {"device.key", 0}, {"device.tpm", -1}, {"current", -1}};
    char path[DEV_PATH_MAX];
    unsigned plain = 99;
    assert_int_equal(dev_folder_check(dir, &plain), 0);
    assert_int_equal(plain, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dev_path(path, "%s/%s", dir, cases[i].name);
        assert_int_equal(pc_file_write(path, "plain", 5, NULL), 0);
        if (cases[i].plain < 0) {
            assert_refused(dev_folder_check(dir, &plain), "dir-legacy");
            assert_non_null(strstr(pc_error_text(), path));
        } else {
            assert_int_equal(dev_folder_check(dir, &plain), 0);
            assert_int_equal(plain, cases[i].plain);
        }
        assert_return_code(unlink(path), errno);
    }
    /* What is neither a plain file nor our link is nobody's to replace. */
    dev_path(path, "%s/ca.crt", dir);
    assert_return_code(symlink("/etc/ssl/ca.crt", path), errno);
    assert_refused(dev_folder_check(dir, &plain), "dir-legacy");
    assert_return_code(unlink(path), errno);
    assert_return_code(mkdir(path, 0755), errno);
    assert_refused(dev_folder_check(dir, &plain), "dir-legacy");
    assert_return_code(rmdir(path), errno);
    assert_return_code(mkfifo(path, 0644), errno);
    assert_refused(dev_folder_check(dir, &plain), "dir-legacy");
    assert_return_code(unlink(path), errno);
    install_number(1);
    assert_int_equal(dev_folder_check(dir, &plain), 0);
    assert_int_equal(plain, 0);
}

static void test_unlink_only_ours(void **state)
{
    (void)state;
    char path[DEV_PATH_MAX];
    unsigned count = 0;
    install_number(1);
    dev_path(path, "%s/ca.crt", dir);
    assert_return_code(unlink(path), errno);
    assert_int_equal(pc_file_write(path, "plain", 5, NULL), 0);
    dev_path(path, "%s/device.crt", dir);
    assert_return_code(unlink(path), errno);
    assert_return_code(symlink("elsewhere", path), errno);
    assert_int_equal(dev_folder_unlink(dir, &count), 0);
    assert_int_equal(count, 1);
    assert_true(pc_file_exists(path));
    dev_path(path, "%s/ca.crt", dir);
    assert_true(pc_file_exists(path));
    dev_path(path, "%s/device.tpm", dir);
    assert_false(pc_file_exists(path));
    assert_int_equal(dev_link_remove(dir, "current", "generations/0002", &count), 0);
    assert_link("current", "generations/0001");
}

static void test_remove_enters_nothing(void **state)
{
    (void)state;
    char path[DEV_PATH_MAX], inner[DEV_PATH_MAX];
    install_number(1);
    dev_path(inner, "%s/generations/0001/more", dir);
    assert_int_equal(pc_dir_make(inner, 0755), 0);
    assert_int_equal(dev_generation_remove(dir, "0001", NULL), PC_EFAIL);
    assert_true(pc_file_exists(inner));
    /* A link in place of the folder is not followed. */
    dev_path(path, "%s/generations/0002", dir);
    assert_return_code(symlink("0001", path), errno);
    assert_int_equal(dev_generation_remove(dir, "0002", NULL), PC_EFAIL);
    assert_true(pc_file_exists(inner));
    assert_int_equal(dev_generation_remove(dir, "0003", NULL), 0);
}

static void test_numbers(void **state)
{
    (void)state;
    char path[DEV_PATH_MAX];
    static const char *const others[] = {"9999", "12", "00012", "notes", ".0001", "0001.old"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        dev_path(path, "%s/generations/%s", dir, others[i]);
        assert_int_equal(pc_dir_make(path, 0755), 0);
    }
    install_number(1);
    assert_link("current", "generations/10000");
    install_number(2);
    assert_link("current", "generations/10001");
    for (size_t i = 1; i < sizeof others / sizeof others[0]; i++) {
        dev_path(path, "%s/generations/%s", dir, others[i]);
        assert_true(pc_file_exists(path));
    }
}

static unsigned whole_set(void)
{
    unsigned ca = visible(DEV_CA), certificate = visible(DEV_CERTIFICATE), key = visible(DEV_KEY);
    assert_int_equal(ca, certificate);
    assert_int_equal(ca, key);
    return ca;
}

static void test_cuts(void **state)
{
    (void)state;
    unsigned cuts = 0, old = 0, number = 0;
    bool ended = false;
    /* Before the first set, and then with one, two and three generations behind. */
    for (unsigned round = 0; round < 3; round++) {
        ended = false;
        for (unsigned at = 1; !ended; at++) {
            unsigned next = number + 1;
            assert_int_equal(cut_run(install, &next, at, &ended), 0);
            unsigned seen = whole_set();
            if (seen != number && seen != next)
                fail_msg("cut %u: set %u, which is neither the old one (%u) nor the new one", at, seen,
                         number);
            if (!ended)
                cuts++;
            if (seen == number)
                old++;
            /* Some of the cuts are followed by a run that finishes, some by another cut. */
            if (at % 3 == 0) {
                next++;
                install_number(next);
                assert_int_equal(whole_set(), next);
                assert_int_equal(mode_of("generations"), 0755);
                seen = next;
            }
            number = seen;
        }
        assert_int_equal(whole_set(), number);
    }
    assert_true(cuts > 60);
    assert_true(old > 0 && old < cuts);
    print_message("# %u cut points, %u of them with the old set afterwards\n", cuts, old);
}

struct flipper {
    pthread_mutex_t lock;
    bool stop;
    unsigned flips;
    int error;
};

static void *flip(void *argument)
{
    struct flipper *flipper = argument;
    bool stop = false;
    for (unsigned number = 2; !stop; number++) {
        int r = install(&number);
        pthread_mutex_lock(&flipper->lock);
        flipper->flips++;
        flipper->error = r;
        stop = flipper->stop || r < 0;
        pthread_mutex_unlock(&flipper->lock);
    }
    return NULL;
}

/* One load of a set through `folder`: false when the certificate and the key are of different generations. */
static bool load(int folder, unsigned *gone)
{
    unsigned certificate = number_in(folder, DEV_CERTIFICATE), key = number_in(folder, DEV_KEY);
    if (certificate == 0 || key == 0)
        *gone += 1;
    return certificate == key;
}

static void test_race(void **state)
{
    (void)state;
    struct flipper flipper = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;
    char path[DEV_PATH_MAX];
    unsigned loads = 0, flips = 0, pinned_gone = 0, loose_gone = 0, loose_mixed = 0;
    dev_path(path, "%s/current", dir);
    install_number(1);
    pc_autoclose int loose = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(loose >= 0);
    assert_int_equal(pthread_create(&thread, NULL, flip, &flipper), 0);
    for (; loads < 2000 || flips < 50; loads++) {
        pc_autoclose int pin = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(pin >= 0);
        unsigned gone = 0;
        if (!load(pin, &gone) && gone == 0)
            fail_msg("load %u met two generations behind one pin", loads);
        pinned_gone += gone;
        loose_mixed += !load(loose, &loose_gone);
        pthread_mutex_lock(&flipper.lock);
        flips = flipper.flips;
        assert_int_equal(flipper.error, 0);
        pthread_mutex_unlock(&flipper.lock);
    }
    pthread_mutex_lock(&flipper.lock);
    flipper.stop = true;
    pthread_mutex_unlock(&flipper.lock);
    pthread_join(thread, NULL);
    /* A pinned set goes only when two switches overtake its reader. */
    print_message("# %u loads during %u switches: pinned 0 mixed, %u overtaken by two switches; "
                  "not pinned %u mixed, %u missing\n",
                  loads, flips, pinned_gone, loose_mixed, loose_gone);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_first),
        TEST(test_group),
        TEST(test_second_keeps_previous),
        TEST(test_record),
        TEST(test_damaged_record),
        TEST(test_failed_write),
        TEST(test_moved),
        TEST(test_foreign_current),
        TEST(test_plain),
        TEST(test_unlink_only_ours),
        TEST(test_remove_enters_nothing),
        TEST(test_numbers),
        TEST(test_cuts),
        TEST(test_race),
    };
    return cmocka_run_group_tests_name("device generation", tests, NULL, NULL);
}
