/* Byte buffers, secrets, hex. Secrets live in pages of their own, so that locking and wiping concern nothing
 * else. */
#include "src/base/memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "src/base/error.h"

void pc_free_ref(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

void pc_close_ref(int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

int pc_bytes_copy(const void *data, size_t len, struct pc_bytes *ret)
{
    if (len == SIZE_MAX)
        return pc_fail(PC_EFAIL, "out of memory");
    unsigned char *copy = malloc(len + 1);
    if (!copy)
        return pc_fail(PC_EFAIL, "out of memory");
    if (len)
        memcpy(copy, data, len);
    copy[len] = '\0';
    *ret = (struct pc_bytes){.data = copy, .len = len};
    return 0;
}

void pc_bytes_clear(struct pc_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct pc_bytes){0};
}

static size_t secret_pages(size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (len + 1 + page - 1) / page * page;
}

/* A page that was wiped, for the next secret: a station makes one for each request, and to unmap it costs
 * more than all else that is done with a code. */
static _Atomic(void *) spare;

static void *take_pages(size_t size)
{
    void *pages = size == secret_pages(0) ? atomic_exchange(&spare, NULL) : NULL;
    if (!pages)
        pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    /* An unprivileged user's limit may forbid both; the wipe at the end does not depend on them. A spare page
     * is locked anew, as a child has no locks of its parent's. */
    (void)mlock(pages, size);
    (void)madvise(pages, size, MADV_DONTDUMP);
    return pages;
}

static void leave_pages(void *pages, size_t size)
{
    void *none = NULL;
    if (size != secret_pages(0) || !atomic_compare_exchange_strong(&spare, &none, pages))
        munmap(pages, size);
}

int pc_secret_new(size_t len, struct pc_secret **ret)
{
    if (len > 65536)
        return pc_fail(PC_EFAIL, "a secret of %zu bytes is too long", len);
    pc_autofree struct pc_secret *secret = calloc(1, sizeof *secret);
    if (!secret)
        return pc_fail(PC_EFAIL, "out of memory");
    size_t size = secret_pages(len);
    void *pages = take_pages(size);
    if (!pages)
        return pc_fail_errno(PC_EFAIL, "memory for a secret");
    secret->data = pages;
    secret->len = len;
    *ret = pc_steal(secret);
    return 0;
}

void pc_secret_free(struct pc_secret *secret)
{
    if (!secret)
        return;
    size_t size = secret_pages(secret->len);
    OPENSSL_cleanse(secret->data, size);
    leave_pages(secret->data, size);
    free(secret);
}

int pc_process_harden(void)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return pc_fail_errno(PC_EFAIL, "core dumps cannot be switched off");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return pc_fail_errno(PC_EFAIL, "core dumps cannot be switched off");
    return 0;
}

static atomic_bool abandoned;

void pc_process_abandon(void)
{
    atomic_store(&abandoned, true);
}

bool pc_process_abandoned(void)
{
    return atomic_load(&abandoned);
}

void pc_hex(const void *data, size_t len, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++) {
        ret[2 * i] = digits[bytes[i] >> 4];
        ret[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret[2 * len] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int pc_unhex(const char *hex, unsigned char *ret, size_t size, size_t *ret_len)
{
    size_t digits = strlen(hex);
    if (digits % 2 || digits / 2 > size)
        return pc_fail(PC_EUSAGE, "%zu hex digits, where an even number up to %zu is expected", digits,
                       2 * size);
    for (size_t i = 0; i < digits; i++)
        if (hex_digit(hex[i]) < 0)
            return pc_fail(PC_EUSAGE, "position %zu is no hex digit", i + 1);
    for (size_t i = 0; i < digits / 2; i++)
        ret[i] = (unsigned char)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    *ret_len = digits / 2;
    return 0;
}
