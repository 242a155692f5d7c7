/* The sandbox: from its entry on this process serves the sockets that it has, and can reach nothing else. */
#include "provision/station/net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "provision/station/net/seal.h"
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/base/memory.h"

/* A sanitizer opens, maps, clones and traces as it likes; its builds keep the rules about sockets alone. */
#ifdef NET_SANITIZED
#define SANITIZED true
#define REST SCMP_ACT_ALLOW
#else
#define SANITIZED false
#define REST SCMP_ACT_KILL_PROCESS
#endif

/* What an event loop, OpenSSL with keys in memory, and malloc use; nothing here takes a path or makes a
 * process. */
static const int allowed[] = {
    SCMP_SYS(read),           SCMP_SYS(write),         SCMP_SYS(readv),
    SCMP_SYS(writev),         SCMP_SYS(accept),        SCMP_SYS(accept4),
    SCMP_SYS(getpeername),    SCMP_SYS(getsockname),   SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),     SCMP_SYS(shutdown),      SCMP_SYS(close),
    SCMP_SYS(epoll_wait),     SCMP_SYS(epoll_pwait),   SCMP_SYS(epoll_pwait2),
    SCMP_SYS(epoll_ctl),      SCMP_SYS(brk),           SCMP_SYS(madvise),
    SCMP_SYS(mlock),          SCMP_SYS(munlock),       SCMP_SYS(futex),
    SCMP_SYS(getrandom),      SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
    SCMP_SYS(time),           SCMP_SYS(getpid),        SCMP_SYS(gettid),
    SCMP_SYS(sched_yield),    SCMP_SYS(rt_sigreturn),  SCMP_SYS(sigaltstack),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),  SCMP_SYS(restart_syscall),
    SCMP_SYS(lseek),          SCMP_SYS(exit),          SCMP_SYS(exit_group),
};

/* What libraries try and can do without: a refusal, not the end. */
static const int refused[] = {
    SCMP_SYS(open),    SCMP_SYS(openat),    SCMP_SYS(openat2),    SCMP_SYS(stat),
    SCMP_SYS(lstat),   SCMP_SYS(fstat),     SCMP_SYS(newfstatat), SCMP_SYS(statx),
    SCMP_SYS(access),  SCMP_SYS(faccessat), SCMP_SYS(readlink),   SCMP_SYS(readlinkat),
    SCMP_SYS(getcwd),  SCMP_SYS(mprotect),  SCMP_SYS(prlimit64),  SCMP_SYS(uname),
    SCMP_SYS(sysinfo), SCMP_SYS(getrusage), SCMP_SYS(getuid),     SCMP_SYS(geteuid),
    SCMP_SYS(getgid),  SCMP_SYS(getegid),   SCMP_SYS(faccessat2), SCMP_SYS(sched_getaffinity),
};

#define EPERM_ SCMP_ACT_ERRNO(EPERM)

static int rule(scmp_filter_ctx filter, uint32_t action, int call, unsigned count,
                const struct scmp_arg_cmp *arguments)
{
    int r = action == REST ? 0 : seccomp_rule_add_array(filter, action, call, count, arguments);
    return r == 0 ? 0 : pc_fail(PC_EFAIL, "seccomp: no rule for call %d: %s", call, strerror(-r));
}

/* Memory without code in it, and none that lies over the sealed page or takes its place. */
static int rules_of_memory(scmp_filter_ctx filter, uintptr_t above)
{
    const uint64_t flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const struct {
        int call;
        uint32_t action;
        unsigned count;
        struct scmp_arg_cmp arguments[2];
    } rules[] = {
        {SCMP_SYS(mmap),
         SCMP_ACT_ALLOW,
         2,
         {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0), SCMP_A3(SCMP_CMP_EQ, flags, 0)}},
        {SCMP_SYS(mmap), EPERM_, 1, {SCMP_A3(SCMP_CMP_NE, flags, 0)}},
        {SCMP_SYS(mremap),
         SCMP_ACT_ALLOW,
         2,
         {SCMP_A0(SCMP_CMP_GE, above, 0), SCMP_A3(SCMP_CMP_EQ, MREMAP_MAYMOVE, 0)}},
        {SCMP_SYS(munmap), SCMP_ACT_ALLOW, 1, {SCMP_A0(SCMP_CMP_GE, above, 0)}},
        {SCMP_SYS(munmap), EPERM_, 1, {SCMP_A0(SCMP_CMP_LT, above, 0)}},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && !SANITIZED && i < sizeof rules / sizeof *rules; i++)
        r = rule(filter, rules[i].action, rules[i].call, rules[i].count, rules[i].arguments);
    return r;
}

/* A socket to the signer, by the one address that cannot be changed any more. */
static int rules_of_sockets(scmp_filter_ctx filter, const void *page, socklen_t len)
{
    const uint64_t type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const struct scmp_arg_cmp none[] = {SCMP_A0(SCMP_CMP_GE, 0, 0)};
    const struct scmp_arg_cmp local[] = {SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0), SCMP_A1(SCMP_CMP_EQ, type, 0)};
    const struct scmp_arg_cmp foreign[] = {SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0)};
    const struct scmp_arg_cmp sealed[] = {SCMP_A1(SCMP_CMP_EQ, (uintptr_t)page, 0),
                                          SCMP_A2(SCMP_CMP_EQ, len, 0)};
    const struct scmp_arg_cmp other[] = {SCMP_A1(SCMP_CMP_NE, (uintptr_t)page, 0)};
    int r = page ? rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, local) : 0;
    if (r == 0)
        r = rule(filter, EPERM_, SCMP_SYS(socket), page ? 1 : 0, page ? foreign : none);
    if (r == 0 && page)
        r = rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(connect), 2, sealed);
    if (r == 0)
        r = rule(filter, EPERM_, SCMP_SYS(connect), page ? 1 : 0, page ? other : none);
    return r;
}

static int rules_of_descriptors(scmp_filter_ctx filter)
{
    static const int commands[] = {F_GETFL, F_SETFL, F_GETFD, F_SETFD};
    const struct scmp_arg_cmp readable[] = {SCMP_A1(SCMP_CMP_EQ, FIONREAD, 0)};
    const struct scmp_arg_cmp otherwise[] = {SCMP_A1(SCMP_CMP_NE, FIONREAD, 0)};
    int r = rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, readable);
    if (r == 0 && !SANITIZED)
        r = rule(filter, EPERM_, SCMP_SYS(ioctl), 1, otherwise);
    for (size_t i = 0; r == 0 && i < sizeof commands / sizeof *commands; i++) {
        const struct scmp_arg_cmp is[] = {SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i], 0)};
        r = rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, is);
    }
    return r;
}

static int fill(scmp_filter_ctx filter, const void *page, size_t size, socklen_t len)
{
    int r = 0;
    seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    for (size_t i = 0; r == 0 && i < sizeof allowed / sizeof *allowed; i++)
        r = rule(filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
    for (size_t i = 0; r == 0 && !SANITIZED && i < sizeof refused / sizeof *refused; i++)
        r = rule(filter, EPERM_, refused[i], 0, NULL);
    if (r == 0)
        r = rules_of_memory(filter, page ? (uintptr_t)page + size : 0);
    if (r == 0)
        r = rules_of_sockets(filter, page, len);
    return r == 0 ? rules_of_descriptors(filter) : r;
}

static void release(scmp_filter_ctx *filter)
{
    if (*filter)
        seccomp_release(*filter);
}

static int enter_seccomp(const char *signer)
{
    const void *page = NULL;
    size_t size = 0;
    socklen_t len = 0;
    scmp_filter_ctx PC_CLEANUP(release) filter = seccomp_init(REST);
    if (signer && !net_seal(signer, &len))
        return pc_fail(PC_EFAIL, "%s: the signer's address cannot be sealed", signer);
    if (signer)
        net_seal_page(&page, &size);
    if (!filter)
        return pc_fail(PC_EFAIL, "no seccomp");
    int r = fill(filter, page, size, len);
    if (r < 0)
        return r;
    r = seccomp_load(filter);
    return r == 0 ? 0 : pc_fail(PC_EFAIL, "no seccomp: %s", strerror(-r));
}

/* No file, and on newer kernels no TCP connection either, no abstract socket, no signal to others. Kernels
 * without Landlock have seccomp alone, which says the same of all that takes a path. */
static void enter_landlock(void)
{
    /* linux/landlock.h of the kernel that it was built on may be older than the kernel that runs. */
    struct {
        uint64_t files, network, scoped;
    } rules = {.files = (UINT64_C(1) << 13) - 1};
    static const struct {
        long version;
        uint64_t files, network, scoped;
    } versions[] = {{2, 1 << 13, 0, 0}, {3, 1 << 14, 0, 0}, {4, 0, 3, 0}, {5, 1 << 15, 0, 0}, {6, 0, 0, 3}};
    long version =
        syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, (uint32_t)LANDLOCK_CREATE_RULESET_VERSION);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        if (version >= versions[i].version) {
            rules.files |= versions[i].files;
            rules.network |= versions[i].network;
            rules.scoped |= versions[i].scoped;
        }
    size_t size = version >= 6 ? sizeof rules : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    int ruleset pc_autoclose = version > 0 ? (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0U) : -1;
    if (ruleset < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0U) != 0)
        pc_log(PC_LOG_DEBUG, "no Landlock: seccomp alone keeps this process");
}

static int set_limits(void)
{
    const struct rlimit none = {0, 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) != 0 || setrlimit(RLIMIT_NPROC, &none) != 0 ||
        setrlimit(RLIMIT_CORE, &none) != 0)
        return pc_fail_errno(PC_EFAIL, "limits cannot be set");
    return 0;
}

int net_sandbox(const char *signer_socket)
{
    int r = set_limits();
    if (r < 0)
        return r;
    if (!SANITIZED)
        enter_landlock();
    return enter_seccomp(signer_socket);
}
