/* Random bytes from the kernel. */
#include "src/base/random.h"

#include <errno.h>
#include <sys/random.h>

#include "src/base/error.h"

int pc_random(void *ret, size_t len)
{
    unsigned char *bytes = ret;
    while (len > 0) {
        ssize_t n = getrandom(bytes, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return pc_fail_errno(PC_EFAIL, "random bytes");
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}
