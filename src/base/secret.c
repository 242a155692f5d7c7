/* PINs and auth values from files and descriptors, kept in secrets from the first byte on. Nothing here knows
 * what they open. */
#include "src/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/error.h"

/* Reads to the end, at most the whole secret; `ret_len` is what came. */
static int read_all(const char *what, int fd, struct pc_secret *into, size_t *ret_len)
{
    size_t len = 0;
    while (len < into->len) {
        ssize_t n = read(fd, into->data + len, into->len - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pc_fail_errno(PC_EAUTH, "the %s cannot be read", what);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_len = len;
    return 0;
}

int pc_secret_from_line(const char *what, const unsigned char *text, size_t len, struct pc_secret **ret)
{
    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    if (len == 0)
        return pc_fail(PC_EAUTH, "the %s is empty", what);
    if (memchr(text, '\0', len))
        return pc_fail(PC_EAUTH, "the %s holds a NUL byte", what);
    if (memchr(text, '\n', len) || memchr(text, '\r', len))
        return pc_fail(PC_EAUTH, "the %s has more than one line", what);
    if (len > PC_SECRET_MAX)
        return pc_fail(PC_EAUTH, "the %s is longer than %d bytes", what, PC_SECRET_MAX);
    pc_autosecret *secret = NULL;
    int r = pc_secret_new(len, &secret);
    if (r < 0)
        return r;
    memcpy(secret->data, text, len);
    *ret = pc_steal(secret);
    return 0;
}

int pc_secret_from_fd(const char *what, int fd, struct pc_secret **ret)
{
    pc_autosecret *text = NULL;
    size_t len = 0;
    int r = pc_secret_new(PC_SECRET_MAX + 3, &text); /* with its line end, and one byte that is too many */
    if (r < 0)
        return r;
    r = read_all(what, fd, text, &len);
    if (r < 0)
        return r;
    return pc_secret_from_line(what, text->data, len, ret);
}

/* Judged once open, so that it is the file that is read. Links are followed: service managers hand secrets
 * over by them. */
static int check_file(const char *what, int fd, const char *path)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return pc_fail_errno(PC_EAUTH, "%s file %s", what, path);
    if (!S_ISREG(info.st_mode))
        return pc_fail(PC_EAUTH, "%s file %s is no regular file", what, path);
    if (info.st_mode & (S_IRWXO | S_IWGRP))
        return pc_fail(
            PC_EAUTH,
            "%s file %s has mode %04o: others may read it or its group write it; 0600 or 0640 is right", what,
            path, (unsigned)(info.st_mode & 07777));
    return 0;
}

int pc_secret_from_file(const char *what, const char *path, struct pc_secret **ret)
{
    pc_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return pc_fail_errno(PC_EAUTH, "%s file %s", what, path);
    int r = check_file(what, fd, path);
    if (r < 0)
        return r;
    r = pc_secret_from_fd(what, fd, ret);
    return r < 0 ? pc_fail_in("%s file %s", what, path) : 0;
}
