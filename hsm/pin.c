/* A PIN typed at the terminal, kept in a secret from the first byte on. Nothing here knows what a PIN opens.
 */
#include "hsm/pin.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/secret.h"

/* Signals that would end or stop the program with the echo off. They are taken note of, and raised again
 * afterwards. */
static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU};
#define WATCHED (sizeof watched / sizeof watched[0])

static volatile sig_atomic_t caught[WATCHED];

static void note(int number)
{
    for (size_t i = 0; i < WATCHED; i++)
        if (watched[i] == number)
            caught[i] = 1;
}

struct signals {
    sigset_t mask;
    struct sigaction actions[WATCHED];
};

/* From here on the signals wait, except while wait_readable() lets them in. */
static void signals_hold(struct signals *before)
{
    struct sigaction action = {.sa_handler = note};
    sigset_t held;
    sigemptyset(&action.sa_mask);
    sigemptyset(&held);
    for (size_t i = 0; i < WATCHED; i++)
        sigaddset(&held, watched[i]);
    pthread_sigmask(SIG_BLOCK, &held, &before->mask);
    for (size_t i = 0; i < WATCHED; i++) {
        caught[i] = 0;
        sigaction(watched[i], &action, &before->actions[i]);
    }
}

static void signals_release(const struct signals *before)
{
    for (size_t i = 0; i < WATCHED; i++)
        sigaction(watched[i], &before->actions[i], NULL);
    pthread_sigmask(SIG_SETMASK, &before->mask, NULL);
    for (size_t i = 0; i < WATCHED; i++)
        if (caught[i])
            raise(watched[i]);
}

/* One line of a terminal in canonical mode, as one read gives it. */
static int read_typed(int fd, const sigset_t *mask, struct pc_secret *into, size_t *ret_len)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    if (ppoll(&wanted, 1, NULL, mask) != 1)
        return pc_fail(PC_EAUTH, "interrupted while the PIN was asked for");
    ssize_t n = read(fd, into->data, into->len);
    if (n <= 0)
        return pc_fail(PC_EAUTH, "no PIN was given at the terminal");
    *ret_len = (size_t)n;
    return 0;
}

static int ask(int fd, const char *label, const sigset_t *mask, struct pc_secret **ret)
{
    struct termios shown, hidden;
    pc_autosecret *text = NULL;
    size_t len = 0;
    int r = pc_secret_new(PC_SECRET_MAX + 3, &text);
    if (r < 0)
        return r;
    if (tcgetattr(fd, &shown) != 0)
        return pc_fail_errno(PC_EAUTH, "the terminal cannot be asked for a PIN");
    hidden = shown;
    hidden.c_lflag = (hidden.c_lflag & ~(tcflag_t)(ECHO | ECHONL)) | ICANON | ISIG;
    if (tcsetattr(fd, TCSAFLUSH, &hidden) != 0)
        return pc_fail_errno(PC_EAUTH, "the terminal's echo cannot be switched off");
    dprintf(fd, "PIN of token '%s': ", label);
    r = read_typed(fd, mask, text, &len);
    (void)tcsetattr(fd, TCSAFLUSH, &shown);
    dprintf(fd, "\n");
    return r < 0 ? r : pc_secret_from_line("PIN", text->data, len, ret);
}

int hsm_pin_from_terminal(const char *label, struct pc_secret **ret)
{
    pc_autoclose int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return pc_fail_errno(PC_EAUTH, "no terminal to ask for the PIN of token '%s'", label);
    struct signals before;
    signals_hold(&before);
    int r = ask(fd, label, &before.mask, ret);
    signals_release(&before);
    return r;
}
