/* Reading with a bound, writing so that a power cut leaves the old file or the new one, locks. */
#include "src/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/random.h"

int pc_fd_read(int fd, const char *name, size_t max, struct pc_bytes *ret)
{
    pc_autobytes bytes = {0};
    size_t room = 0;
    for (;;) {
        if (bytes.len == room) {
            size_t more = room ? 2 * room : 4096;
            if (more > max + 1)
                more = max + 1;
            unsigned char *grown = realloc(bytes.data, more + 1);
            if (!grown)
                return pc_fail(PC_EFAIL, "%s: out of memory", name);
            bytes.data = grown;
            room = more;
        }
        ssize_t n = read(fd, bytes.data + bytes.len, room - bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pc_fail_errno(PC_EFAIL, "%s", name);
        if (n == 0)
            break;
        bytes.len += (size_t)n;
        if (bytes.len > max)
            return pc_refuse("file-size", "%s: longer than %zu bytes", name, max);
    }
    bytes.data[bytes.len] = '\0';
    *ret = bytes;
    bytes = (struct pc_bytes){0};
    return 0;
}

int pc_file_read(const char *path, size_t max, struct pc_bytes *ret)
{
    if (strcmp(path, "-") == 0)
        return pc_fd_read(STDIN_FILENO, "standard input", max, ret);
    /* O_NONBLOCK: opening a FIFO that nobody writes must not hang; a regular file does not care. */
    pc_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    struct stat status;
    if (fstat(fd, &status) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    if (!S_ISREG(status.st_mode))
        return pc_refuse("file-kind", "%s: not a regular file", path);
    return pc_fd_read(fd, path, max, ret);
}

static int write_all(int fd, const unsigned char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int pc_file_set_mode(int fd, mode_t mode)
{
    if (fchmod(fd, mode) == 0)
        return 0;
    bool unknown = errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM;
    return unknown && (mode & S_IROTH) ? 0 : -1;
}

/* Fills and, unless that comes later, fsyncs the file. */
static int fill(int fd, const void *data, size_t len, const struct pc_file_options *options)
{
    if (write_all(fd, data, len) != 0)
        return -1;
    /* Ownership first: a mode that is wider than 0600 must not be there for the wrong group. */
    if (options->group && fchown(fd, (uid_t)-1, options->gid) != 0)
        return -1;
    if (pc_file_set_mode(fd, options->mode ? options->mode : 0644) != 0)
        return -1;
    return options->behind ? 0 : fsync(fd);
}

static int write_temporary(int dirfd, const char *temporary, const void *data, size_t len,
                           const struct pc_file_options *options)
{
    pc_autoclose int fd =
        openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : fill(fd, data, len, options);
}

/* errno's text, or the refusal to replace. */
static int not_in_place(const char *name)
{
    if (errno == EEXIST)
        return pc_refuse("file-exists", "%s: exists and is not replaced", name);
    return pc_fail_errno(PC_EFAIL, "%s", name);
}

int pc_file_name(int dirfd, const char *temporary, const char *name)
{
    if (renameat2(dirfd, temporary, dirfd, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL)
        return -1;
    pc_autoclose int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    if (renameat(dirfd, temporary, dirfd, name) == 0)
        return 0;
    int saved = errno;
    unlinkat(dirfd, name, 0);
    errno = saved;
    return -1;
}

static int name_it(int dirfd, const char *temporary, const char *name, bool fresh)
{
    return fresh ? pc_file_name(dirfd, temporary, name) : renameat2(dirfd, temporary, dirfd, name, 0);
}

static int replace(int dirfd, const char *name, const void *data, size_t len,
                   const struct pc_file_options *options)
{
    unsigned char random[8];
    char suffix[2 * sizeof random + 1];
    int r = pc_random(random, sizeof random);
    if (r < 0)
        return r;
    pc_hex(random, sizeof random, suffix);
    char temporary[NAME_MAX + 1];
    if (snprintf(temporary, sizeof temporary, ".%s.%s", name, suffix) >= (int)sizeof temporary)
        return pc_fail(PC_EFAIL, "%s: name too long", name);
    if (write_temporary(dirfd, temporary, data, len, options) != 0 ||
        name_it(dirfd, temporary, name, options->fresh) != 0) {
        r = not_in_place(name);
        unlinkat(dirfd, temporary, 0);
    }
    return r;
}

/* A file without a name until it is whole, so that a run that is killed leaves nothing behind, least of all
 * half a key. PC_EPENDING where the file system knows no such files, or something of that name has come about
 * meanwhile and may be replaced. */
static int make(int dirfd, const char *name, const void *data, size_t len,
                const struct pc_file_options *options)
{
    char path[32];
    pc_autoclose int fd = openat(dirfd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT
                   ? PC_EPENDING
                   : pc_fail_errno(PC_EFAIL, "%s", name);
    if (fill(fd, data, len, options) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", name);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno == EEXIST ? !options->fresh : errno == ENOENT || errno == EPERM || errno == EOPNOTSUPP)
        return PC_EPENDING;
    return not_in_place(name);
}

int pc_file_write_at(int dirfd, const char *name, const void *data, size_t len,
                     const struct pc_file_options *options)
{
    static const struct pc_file_options plain = {0};
    if (!options)
        options = &plain;
    struct stat status;
    bool there = fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (there) {
        if (options->fresh)
            return pc_refuse("file-exists", "%s: exists and is not replaced", name);
        if (!S_ISREG(status.st_mode))
            return pc_refuse("file-kind", "%s: not a regular file", name);
    }
    int r = there ? PC_EPENDING : make(dirfd, name, data, len, options);
    if (r == PC_EPENDING)
        r = replace(dirfd, name, data, len, options);
    if (r < 0)
        return r;
    if (!options->behind && fsync(dirfd) != 0)
        return pc_fail_errno(PC_EFAIL, "folder of %s", name);
    return 0;
}

/* Splits a path into its folder (opened) and its last name (borrowed from `path`). */
static int open_parent(const char *path, int *ret_dirfd, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return pc_fail(PC_EUSAGE, "%s: not the name of a file", path);
    pc_autofree char *dir = slash == path ? strdup("/")
                            : slash       ? strndup(path, (size_t)(slash - path))
                                          : strdup(".");
    if (!dir)
        return pc_fail(PC_EFAIL, "out of memory");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return pc_fail_errno(PC_EFAIL, "%s", dir);
    *ret_dirfd = fd;
    *ret_name = name;
    return 0;
}

int pc_file_write(const char *path, const void *data, size_t len, const struct pc_file_options *options)
{
    pc_autoclose int dirfd = -1;
    const char *name;
    int r = open_parent(path, &dirfd, &name);
    if (r < 0)
        return r;
    r = pc_file_write_at(dirfd, name, data, len, options);
    if (r == 0 || name == path)
        return r;
    return pc_fail_in("%.*s", (int)(name - path > 1 ? name - path - 1 : 1), path);
}

bool pc_file_exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

int pc_dir_sync(const char *path)
{
    pc_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    return 0;
}

int pc_dir_syncfs(const char *path)
{
    pc_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    return 0;
}

static int make_one(const char *path, mode_t mode)
{
    if (mkdir(path, mode) != 0) {
        struct stat status;
        if (errno == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode))
            return 0;
        return pc_fail_errno(PC_EFAIL, "%s", path);
    }
    /* What the umask took away. */
    if (chmod(path, mode) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    pc_autoclose int parent = -1;
    const char *name;
    int r = open_parent(path, &parent, &name);
    if (r < 0)
        return r;
    return fsync(parent) != 0 ? pc_fail_errno(PC_EFAIL, "folder of %s", path) : 0;
}

int pc_dir_make(const char *path, mode_t mode)
{
    pc_autofree char *copy = strdup(path);
    if (!copy)
        return pc_fail(PC_EFAIL, "out of memory");
    for (size_t len = strlen(copy); len > 1 && copy[len - 1] == '/'; len--)
        copy[len - 1] = '\0';
    for (char *slash = strchr(copy + (*copy == '/'), '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int r = make_one(copy, 0755);
        *slash = '/';
        if (r < 0)
            return r;
    }
    return make_one(copy, mode);
}

int pc_lock_take(const char *path, int wait_ms, int *ret_fd)
{
    pc_autoclose int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited += 20) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return pc_fail_errno(PC_EFAIL, "%s", path);
        if (waited >= wait_ms)
            return pc_fail_named(PC_EPENDING, "locked", "%s: held by another run; try again later", path);
        poll(NULL, 0, 20);
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}

char *pc_path_join(const char *a, const char *b)
{
    char *joined;
    size_t len = strlen(a);
    return asprintf(&joined, "%s%s%s", a, len && a[len - 1] == '/' ? "" : "/", b) < 0 ? NULL : joined;
}
