/* From within the sandbox: what the network service must not be able to do, tried one by one, each in a
 * process of its own, since some of it is the end of the process. sandbox SOCKET FILE…: nothing of FILE can
 * be opened; SOCKET is the signer's. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#include "provision/station/net/net.h"
#include "provision/station/net/seal.h"
#include "src/base/memory.h"

static const char *signer, *other;
static const char *const *files;

enum { REFUSED, DONE, KILLED = 100 };

/* What becomes of a process that tries it inside the sandbox. */
static int tried(int (*attempt)(void))
{
    pid_t child = fork();
    int status;
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* cmocka would have it that this is the test */
        if (net_sandbox(signer) < 0)
            _exit(50);
        _exit(attempt() ? DONE : REFUSED);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? KILLED + WTERMSIG(status) : WEXITSTATUS(status);
}

static int open_socket(int family, int type)
{
    return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int fd = open_socket(AF_UNIX, SOCK_STREAM);
    return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
}

/* --- what is refused, and the service lives on --- */

static const char *file;

static int opens(void)
{
    return open(file, O_RDONLY | O_CLOEXEC) >= 0;
}

static int creates(void)
{
    return open("/tmp/plantca-sandbox", O_RDWR | O_CREAT | O_CLOEXEC, 0600) >= 0;
}

static int looks(void)
{
    struct stat st;
    return stat(file, &st) == 0;
}

static int opens_inet(void)
{
    return open_socket(AF_INET, SOCK_STREAM) >= 0 || open_socket(AF_INET6, SOCK_STREAM) >= 0 ||
           open_socket(AF_INET, SOCK_DGRAM) >= 0 || open_socket(AF_NETLINK, SOCK_RAW) >= 0;
}

static int connects_elsewhere(void)
{
    return connect_to(other);
}

static int connects_by_its_own_words(void)
{
    return connect_to(signer);
}

static void *page(void)
{
    const void *at;
    size_t size;
    net_seal_page(&at, &size);
    return (void *)(uintptr_t)at;
}

static int unseals(void)
{
    return mprotect(page(), 4096, PROT_READ | PROT_WRITE) == 0;
}

static int unmaps(void)
{
    return munmap(page(), 4096) == 0 || munmap((char *)page() - 4096, 8192) == 0;
}

static int maps_over(void)
{
    return mmap(page(), 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
           MAP_FAILED;
}

/* --- what ends the process --- */

static int executes(void)
{
    char *const none[] = {NULL};
    return execve("/bin/true", none, none) == 0;
}

static int forks(void)
{
    return fork() >= 0;
}

static int traces(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}

static int maps_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static int opens_datagrams(void)
{
    return open_socket(AF_UNIX, SOCK_DGRAM) >= 0;
}

static int kills(void)
{
    return kill(getppid(), 0) == 0;
}

static int listens(void)
{
    int fd = open_socket(AF_UNIX, SOCK_STREAM);
    return listen(fd, 1) == 0;
}

static int moves_over(void)
{
    char *mine = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mremap(mine, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, page()) != MAP_FAILED;
}

static int writes_from_outside(void)
{
    char byte = 0;
    return (int)syscall(SYS_process_vm_readv, getppid(), &byte, 1, &byte, 1, 0) >= 0;
}

/* Other ways to a file, to memory of others, to a program, to the kernel. The arguments do not matter: the
 * call alone is the end. */
static const long calls[] = {
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_io_uring_setup,
    SYS_memfd_create,
    SYS_execveat,
    SYS_process_vm_writev,
    SYS_process_madvise,
    SYS_pidfd_open,
    SYS_pidfd_getfd,
    SYS_tgkill,
    SYS_rt_sigqueueinfo,
    SYS_prctl,
    SYS_clone,
    SYS_clone3,
    SYS_vfork,
    SYS_unshare,
    SYS_setns,
    SYS_bpf,
    SYS_keyctl,
    SYS_add_key,
    SYS_userfaultfd,
    SYS_perf_event_open,
    SYS_mount,
    SYS_open_tree,
    SYS_move_mount,
    SYS_chroot,
    SYS_seccomp,
    SYS_personality,
    SYS_pkey_mprotect,
    SYS_remap_file_pages,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_sendmmsg,
    SYS_bind,
    SYS_dup2,
    SYS_shmat,
    SYS_mq_open,
    SYS_setuid,
    SYS_capset,
    SYS_truncate,
    SYS_unlink,
    SYS_rename,
    SYS_chmod,
    SYS_inotify_init1,
    SYS_fanotify_init,
    SYS_kcmp,
    SYS_timer_create,
    SYS_setrlimit,
    SYS_sched_setscheduler,
};
static long call;

static int makes_call(void)
{
    return syscall(call, 0, 0, 0, 0, 0, 0) >= 0;
}

#ifdef __x86_64__
/* The same kernel by its other doors: the calls of 32 bits and of x32. */
static int opens_by_32_bits(void)
{
    long r = 5; /* open */
    __asm__ volatile("int $0x80" : "+a"(r) : "b"(0L), "c"(0L), "d"(0L) : "memory");
    return r >= 0;
}

static int opens_by_x32(void)
{
    return syscall(0x40000000 + SYS_open, 0, 0, 0) >= 0;
}
#endif

static int sets_owner(void)
{
    return fcntl(STDERR_FILENO, F_SETOWN, getppid()) == 0;
}

/* --- what it may --- */

static int connects_to_the_signer(void)
{
    socklen_t len;
    int fd = open_socket(AF_UNIX, SOCK_STREAM);
    const struct sockaddr *address = net_seal(signer, &len);
    return connect(fd, address, len) == 0;
}

static int takes_memory(void)
{
    void *much = malloc(10 << 20);
    void *more = realloc(much, 20 << 20);
    free(more ? more : much);
    struct pc_secret *secret;
    if (pc_secret_new(40, &secret) < 0)
        return 0;
    pc_secret_free(secret);
    return more != NULL;
}

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; files[i]; i++) {
        file = files[i];
        assert_true(access(file, R_OK) == 0);
        assert_int_equal(tried(opens), REFUSED);
        assert_int_equal(tried(looks), REFUSED);
    }
    assert_int_equal(tried(creates), REFUSED);
}

static void test_refused(void **state)
{
    int (*const attempts[])(void) = {opens_inet, connects_elsewhere, connects_by_its_own_words, unseals,
                                     unmaps,     maps_over};
    (void)state;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++)
        assert_int_equal(tried(attempts[i]), REFUSED);
}

static void test_killed(void **state)
{
    int (*const attempts[])(void) = {executes, forks,   traces,     maps_code,          opens_datagrams,
                                     kills,    listens, moves_over, writes_from_outside};
    (void)state;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++)
        assert_int_equal(tried(attempts[i]), KILLED + SIGSYS);
}

static void test_calls(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        call = calls[i];
        if (tried(makes_call) != KILLED + SIGSYS)
            fail_msg("call %ld is not the end of the process", call);
    }
    assert_int_equal(tried(sets_owner), KILLED + SIGSYS);
#ifdef __x86_64__
    /* A kernel without 32 bits ends it in its own way. */
    assert_in_range(tried(opens_by_32_bits), KILLED + 1, KILLED + SIGSYS);
    assert_int_equal(tried(opens_by_x32), KILLED + SIGSYS);
#endif
}

static void test_allowed(void **state)
{
    (void)state;
    assert_int_equal(tried(connects_to_the_signer), DONE);
    assert_int_equal(tried(takes_memory), DONE);
}

static void listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files), cmocka_unit_test(test_refused), cmocka_unit_test(test_killed),
        cmocka_unit_test(test_calls), cmocka_unit_test(test_allowed),
    };
    if (argc < 4)
        return 2;
    signer = argv[1];
    other = argv[2];
    files = (const char *const *)argv + 3;
    listen_at(signer);
    listen_at(other);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
