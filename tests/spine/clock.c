/* Put before the C library: the time of day is so many seconds off as the file $CLOCK_OFF says in eight bytes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int file = -1;
    long off = 0;
    int result = (int)syscall(SYS_clock_gettime, clock, at);
    if (result != 0 || clock != CLOCK_REALTIME)
        return result;
    if (file < 0 && getenv("CLOCK_OFF"))
        file = open(getenv("CLOCK_OFF"), O_RDONLY | O_CLOEXEC);
    if (file >= 0 && pread(file, &off, sizeof off, 0) == sizeof off)
        at->tv_sec += off;
    return result;
}
