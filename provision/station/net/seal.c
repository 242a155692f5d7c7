/* One read-only page, low in the address space, so that the filter for munmap and mremap is one comparison:
 * above it (sandbox.c). */
#include "provision/station/net/seal.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>

#define PAGE 4096
#define PLACE 0x10000000 /* below every library, heap and stack of a position-independent program */

static const struct sockaddr_un *sealed;

const struct sockaddr *net_seal(const char *path, socklen_t *ret_len)
{
    if (!sealed) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        if (strlen(path) >= sizeof address.sun_path)
            return NULL;
        memcpy(address.sun_path, path, strlen(path));
        void *page = mmap((void *)(uintptr_t)PLACE, PAGE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (page == MAP_FAILED)
            return NULL;
        memcpy(page, &address, sizeof address);
        if (mprotect(page, PAGE, PROT_READ) != 0)
            return NULL;
        sealed = page;
    }
    *ret_len = sizeof *sealed;
    return (const struct sockaddr *)(const void *)sealed;
}

void net_seal_page(const void **ret_page, size_t *ret_size)
{
    *ret_page = sealed;
    *ret_size = PAGE;
}
