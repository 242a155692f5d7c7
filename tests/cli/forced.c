/* Makes another process try to open files: a debugger's way to ask what a sandbox would let an intruder do.
 * Prints a line a path: "opened", the name of an error, or "killed". Usage: forced PID PATH…  (x86-64 only;
 * else exit 77) */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#ifdef __x86_64__
#define BELOW_STACK 1024 /* past the red zone of 128 bytes */
#define PATH_ROOM 512

static pid_t pid;

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static int wait_for_stop(void)
{
    int status;

    if (waitpid(pid, &status, 0) != pid)
        fail("waitpid");
    return status;
}

static void write_path(unsigned long long at, const char *path)
{
    char room[PATH_ROOM] = "";

    snprintf(room, sizeof room, "%s", path);
    for (size_t i = 0; i < sizeof room; i += sizeof(long)) {
        long word;
        memcpy(&word, room + i, sizeof word);
        if (ptrace(PTRACE_POKEDATA, pid, (void *)(at + i), (void *)word) != 0)
            fail("POKEDATA");
    }
}

/* It stands behind the `syscall` in which it waits: that instruction is gone through again with our
 * arguments. */
static void try_open(const struct user_regs_struct *saved, const char *path)
{
    struct user_regs_struct regs = *saved;

    regs.rip -= 2;
    regs.orig_rax = (unsigned long long)-1;
    regs.rax = SYS_openat;
    regs.rdi = (unsigned long long)AT_FDCWD;
    regs.rsi = ((saved->rsp - BELOW_STACK) & ~7ULL) - PATH_ROOM;
    regs.rdx = O_RDONLY | O_CLOEXEC;
    regs.r10 = 0;
    write_path(regs.rsi, path);
    if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) != 0 || ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0)
        fail("SINGLESTEP");
    int status = wait_for_stop();
    if (!WIFSTOPPED(status) || WSTOPSIG(status) == SIGSYS) {
        printf("killed\n");
        exit(0);
    }
    if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) != 0)
        fail("GETREGS");
    long long result = (long long)regs.rax;
    printf("%s\n", result >= 0 ? "opened" : strerrorname_np((int)-result));
}

int main(int argc, char **argv)
{
    struct user_regs_struct saved;

    if (argc < 3)
        return 2;
    pid = (pid_t)atoi(argv[1]);
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0 || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) != 0)
        fail("SEIZE");
    wait_for_stop();
    if (ptrace(PTRACE_GETREGS, pid, NULL, &saved) != 0)
        fail("GETREGS");
    errno = 0;
    long code = ptrace(PTRACE_PEEKTEXT, pid, (void *)(saved.rip - 2), NULL);
    if (errno != 0 || (code & 0xffff) != 0x050f) {
        fprintf(stderr, "process %d does not wait in a system call\n", pid);
        return 2;
    }
    for (int i = 2; i < argc; i++)
        try_open(&saved, argv[i]);
    if (ptrace(PTRACE_SETREGS, pid, NULL, &saved) != 0 || ptrace(PTRACE_DETACH, pid, NULL, NULL) != 0)
        fail("DETACH");
    return 0;
}
#else
int main(void)
{
    return 77;
}
#endif
