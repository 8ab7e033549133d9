/*
 * Keeps the protocol timers of Kamailio on real time while libfaketime moves its calendar clock.
 *
 * Kamailio ages messages and bindings by time(2), but checks its timer wheel against gettimeofday(2) every
 * five seconds and leaps ahead when the two differ. A clock moved by a day would so end every transaction
 * under way as timed out. Loaded before libfaketime, this function gives the real time to that one check.
 */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    return (int)syscall(SYS_gettimeofday, now, zone);
}
