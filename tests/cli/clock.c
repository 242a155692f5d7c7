/* A library to preload: the program under test sees a clock that is PC_CLOCK_DAYS days ahead. Nothing else
 * changes. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* struct timespec has 64 bits everywhere here; the system call of that name only on 64-bit machines. */
#ifdef SYS_clock_gettime64
#define CLOCK_CALL SYS_clock_gettime64
#else
#define CLOCK_CALL SYS_clock_gettime
#endif

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *ret)
{
    const char *days = getenv("PC_CLOCK_DAYS");
    long rc = syscall(CLOCK_CALL, id, ret);

    if (rc == 0 && id == CLOCK_REALTIME && days != NULL)
        ret->tv_sec += (int64_t)atol(days) * 86400;
    return (int)rc;
}

__attribute__((visibility("default"))) time_t time(time_t *ret)
{
    struct timespec now = {0};

    if (clock_gettime(CLOCK_REALTIME, &now) == 0 && ret != NULL)
        *ret = now.tv_sec;
    return now.tv_sec;
}
