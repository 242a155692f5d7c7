/* Runs a program and kills it, or fails it, at the Nth system call of a given set, counted over all of its
 * threads together (strace counts each call of each thread for itself, so that a number names no one point):
 *   intercept none|kill|term|show|ERROR FIRST[+] CALL[,CALL…] LOG COMMAND [ARGUMENT…]
 * `changes` in the place of the calls is all that change a file or send something, as this machine has them:
 * all that are known here but locks, which end with their process.
 * ERROR is EIO, ENOSPC, EROFS or EDQUOT; FIRST+ means every call from there on. Each call met gives a line
 * "NAME PATH" in LOG. `show` runs $INTERCEPT_SHOW with the call's number, while the program waits before its
 * call. The exit code is the program's, 128 + N where signal N ended it.
 * Only the program's own calls count, not those of commands that it starts, nor an open with O_CREAT or a
 * mkdir of what is there already. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define ALWAYS (-1)
#define DESCRIPTOR (-1)

/* Calls that change what others see. `flags` is the argument that must have a bit of `bits`: an open that
 * cannot make a file changes nothing; of fcntl's commands, all that set a lock have bit 4. */
static const struct call {
    const char *name;
    unsigned nr;
    int flags;
    unsigned bits;
    int path; /* the argument that is a path (before it, in the *at calls, its folder); or it is of a
                 descriptor */
} calls[] = {
#ifdef SYS_open
    {"open", SYS_open, 1, O_CREAT | O_TRUNC, 0},
    {"creat", SYS_creat, ALWAYS, 0, 0},
    {"rename", SYS_rename, ALWAYS, 0, 0},
    {"unlink", SYS_unlink, ALWAYS, 0, 0},
    {"mkdir", SYS_mkdir, ALWAYS, 0, 0},
    {"rmdir", SYS_rmdir, ALWAYS, 0, 0},
    {"link", SYS_link, ALWAYS, 0, 0},
    {"symlink", SYS_symlink, ALWAYS, 0, 0},
    {"chmod", SYS_chmod, ALWAYS, 0, 0},
    {"chown", SYS_chown, ALWAYS, 0, 0},
#endif
    {"openat", SYS_openat, 2, O_CREAT | O_TRUNC, 1},
    {"write", SYS_write, ALWAYS, 0, DESCRIPTOR},
    {"writev", SYS_writev, ALWAYS, 0, DESCRIPTOR},
    {"pwrite64", SYS_pwrite64, ALWAYS, 0, DESCRIPTOR},
    {"pwritev", SYS_pwritev, ALWAYS, 0, DESCRIPTOR},
    {"sendfile", SYS_sendfile, ALWAYS, 0, DESCRIPTOR},
    {"copy_file_range", SYS_copy_file_range, ALWAYS, 0, DESCRIPTOR},
    {"fallocate", SYS_fallocate, ALWAYS, 0, DESCRIPTOR},
    {"ftruncate", SYS_ftruncate, ALWAYS, 0, DESCRIPTOR},
    {"truncate", SYS_truncate, ALWAYS, 0, 0},
    {"fsync", SYS_fsync, ALWAYS, 0, DESCRIPTOR},
    {"fdatasync", SYS_fdatasync, ALWAYS, 0, DESCRIPTOR},
    {"syncfs", SYS_syncfs, ALWAYS, 0, DESCRIPTOR},
#ifdef SYS_sync_file_range /* 32-bit ARM has another */
    {"sync_file_range", SYS_sync_file_range, ALWAYS, 0, DESCRIPTOR},
#endif
    {"renameat", SYS_renameat, ALWAYS, 0, 1},
    {"renameat2", SYS_renameat2, ALWAYS, 0, 1},
    {"unlinkat", SYS_unlinkat, ALWAYS, 0, 1},
    {"mkdirat", SYS_mkdirat, ALWAYS, 0, 1},
    {"linkat", SYS_linkat, ALWAYS, 0, 1},
    {"symlinkat", SYS_symlinkat, ALWAYS, 0, 2},
    {"fchmod", SYS_fchmod, ALWAYS, 0, DESCRIPTOR},
    {"fchmodat", SYS_fchmodat, ALWAYS, 0, 1},
    {"fchown", SYS_fchown, ALWAYS, 0, DESCRIPTOR},
    {"fchownat", SYS_fchownat, ALWAYS, 0, 1},
    {"utimensat", SYS_utimensat, ALWAYS, 0, 1},
    {"flock", SYS_flock, ALWAYS, 0, DESCRIPTOR},
    {"fcntl", SYS_fcntl, 1, 4, DESCRIPTOR},
    {"connect", SYS_connect, ALWAYS, 0, DESCRIPTOR},
    {"sendto", SYS_sendto, ALWAYS, 0, DESCRIPTOR},
};

static const struct {
    const char *name;
    int number;
} errors[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EROFS", EROFS}, {"EDQUOT", EDQUOT}};

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(125);
}

static const struct call *find(const char *name)
{
    for (size_t i = 0; i < LENGTH(calls); i++)
        if (strcmp(calls[i].name, name) == 0)
            return &calls[i];
    fprintf(stderr, "intercept: no call %s\n", name);
    exit(125);
}

/* The call's number, the bits of its flags if need be, then the supervisor's turn. `filter` is behind the
 * last instruction; gives how many there are more. */
static unsigned short watch(const struct call *call, struct sock_filter *filter)
{
    unsigned short n = 0;
    if (call->flags == ALWAYS) {
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call->nr, 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
        return n;
    }
    const unsigned low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;
    const unsigned argument =
        (unsigned)(offsetof(struct seccomp_data, args) + 8U * (unsigned)call->flags + low);
    filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call->nr, 0, 4);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument);
    filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, call->bits, 0, 1);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return n;
}

static unsigned short write_filter(char *set, struct sock_filter *filter)
{
    const unsigned nr = offsetof(struct seccomp_data, nr);
    unsigned short n = 0;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, nr);
    if (strcmp(set, "changes") == 0) {
        for (size_t i = 0; i < LENGTH(calls); i++)
            if (calls[i].nr != SYS_flock && calls[i].nr != SYS_fcntl)
                n = (unsigned short)(n + watch(&calls[i], filter + n));
    } else {
        for (char *name = strtok(set, ","); name; name = strtok(NULL, ","))
            n = (unsigned short)(n + watch(find(name), filter + n));
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return n;
}

union message {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

/* In the child: installs the filter, hands its listener over, becomes the program. */
static _Noreturn void run(int socket, char *set, char **command)
{
    struct sock_filter filter[5 * LENGTH(calls) + 2];
    struct sock_fprog program = {.len = write_filter(set, filter), .filter = filter};
    char byte = 0;
    struct iovec data = {&byte, 1};
    union message control = {0};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        die("no_new_privs");
    int listener =
        (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (listener < 0)
        _exit(125);
    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &listener, sizeof listener);
    if (sendmsg(socket, &message, 0) != 1)
        _exit(125);
    close(listener);
    close(socket);
    execvp(command[0], command);
    _exit(127);
}

static int take_listener(int socket)
{
    char byte;
    int listener = -1;
    struct iovec data = {&byte, 1};
    union message control = {0};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && message.msg_controllen >= CMSG_LEN(sizeof(int)))
        memcpy(&listener, CMSG_DATA(&control.header), sizeof listener);
    return listener;
}

static const struct call *call_of(const struct seccomp_notif *met)
{
    const struct call *call = calls;
    while (call->nr != (unsigned)met->data.nr)
        call++;
    return call;
}

/* What the call is about, as this process can name it; "" where that cannot be told. */
static void find_path(const struct seccomp_notif *met, const struct call *call, char ret[PATH_MAX])
{
    char folder[64], given[PATH_MAX] = "";
    ret[0] = '\0';
    int fd = (int)met->data.args[call->path > 0 ? call->path - 1 : 0];
    snprintf(folder, sizeof folder, "/proc/%u/fd/%d", met->pid, fd);
    if (call->path == DESCRIPTOR) {
        ssize_t len = readlink(folder, ret, PATH_MAX - 1);
        ret[len > 0 ? len : 0] = '\0';
        return;
    }
    if (call->path == 0 || fd == AT_FDCWD)
        snprintf(folder, sizeof folder, "/proc/%u/cwd", met->pid);
    struct iovec local = {given, sizeof given - 1};
    struct iovec remote = {(void *)(uintptr_t)met->data.args[call->path], sizeof given - 1};
    /* The rest of a page that ends before the bytes asked for is not read. */
    size_t page = 4096 - ((uintptr_t)remote.iov_base & 4095);
    if (page < remote.iov_len)
        remote.iov_len = page;
    if (process_vm_readv((pid_t)met->pid, &local, 1, &remote, 1, 0) <= 0)
        return;
    if (given[0] == '/' || snprintf(ret, PATH_MAX, "%s/%s", folder, given) >= PATH_MAX)
        memcpy(ret, given, sizeof given);
}

/* A file that is there is merely opened, unless it is emptied; a folder that is there is not made. */
static bool changes_nothing(const struct seccomp_notif *met, const struct call *call, const char *path)
{
    struct stat status;
    if (strncmp(call->name, "mkdir", 5) == 0)
        return lstat(path, &status) == 0;
    return call->flags != ALWAYS && call->path != DESCRIPTOR && !(met->data.args[call->flags] & O_TRUNC) &&
           lstat(path, &status) == 0;
}

struct plan {
    bool show;
    int signal; /* 0: none */
    int error;
    unsigned long first, last;
};

/* Lets a command look at what is there before call `number`. */
static void show(unsigned long number)
{
    const char *command = getenv("INTERCEPT_SHOW");
    char text[24];
    int status;
    snprintf(text, sizeof text, "%lu", number);
    fflush(NULL);
    pid_t child = command ? fork() : -1;
    if (child == 0) {
        execlp(command, command, text, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fputs("intercept: $INTERCEPT_SHOW failed\n", stderr);
        exit(125);
    }
}

/* Until the program is gone. */
static void supervise(int listener, pid_t program, const struct plan *plan, FILE *log)
{
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    unsigned long count = 0;
    char path[PATH_MAX];
    while (poll(&wait, 1, -1) > 0 && (wait.revents & POLLIN)) {
        struct seccomp_notif met = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &met) != 0)
            continue;
        struct seccomp_notif_resp answer = {.id = met.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        bool own = syscall(SYS_tgkill, program, met.pid, 0) == 0;
        const struct call *call = call_of(&met);
        if (own) {
            find_path(&met, call, path);
            own = !changes_nothing(&met, call, path);
        }
        if (own) {
            fprintf(log, "%s %s\n", call->name, path);
            fflush(log);
            count++;
        }
        own = own && count >= plan->first && count <= plan->last;
        if (own && plan->show)
            show(count);
        if (own && plan->signal)
            kill(program, plan->signal);
        else if (own && plan->error) {
            answer.flags = 0;
            answer.error = -plan->error;
        }
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

static struct plan read_plan(const char *act, const char *number)
{
    char *end;
    struct plan plan = {.signal = strcmp(act, "kill") == 0   ? SIGKILL
                                  : strcmp(act, "term") == 0 ? SIGTERM
                                                             : 0,
                        .show = strcmp(act, "show") == 0,
                        .first = strtoul(number, &end, 10)};
    plan.last = *end == '+' ? -1UL : plan.first;
    for (size_t i = 0; i < LENGTH(errors); i++)
        if (strcmp(act, errors[i].name) == 0)
            plan.error = errors[i].number;
    if (!plan.signal && !plan.show && !plan.error && strcmp(act, "none") != 0) {
        fprintf(stderr, "intercept: what is %s?\n", act);
        exit(125);
    }
    return plan;
}

int main(int argc, char **argv)
{
    int pair[2], status;
    if (argc < 6)
        return 125;
    const struct plan plan = read_plan(argv[1], argv[2]);
    FILE *log = fopen(argv[4], "we");
    if (!log || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        die(argv[4]);
    pid_t program = fork();
    if (program < 0)
        die("fork");
    if (program == 0)
        run(pair[1], argv[3], argv + 5);
    close(pair[1]);
    int listener = take_listener(pair[0]);
    if (listener >= 0)
        supervise(listener, program, &plan, log);
    if (waitpid(program, &status, 0) != program)
        die("waitpid");
    if (listener < 0)
        fputs("intercept: no system call can be watched here\n", stderr);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
