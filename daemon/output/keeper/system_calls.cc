#include "daemon/output/keeper/system_calls.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "daemon/confine/system_calls.h"

namespace postern::output {
namespace {

scmp_arg_cmp argument(unsigned position, unsigned long value) {
    return {position, SCMP_CMP_EQ, value, 0};
}

int add_rules(scmp_filter_ctx filter) {
    int error = allow_calls(filter,
                            {// The loop.
                             SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),
                             SCMP_SYS(accept4), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(recvmsg),
                             SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(close),
                             // What jobs write; neither read(2) nor write(2).
                             SCMP_SYS(splice), SCMP_SYS(lseek), SCMP_SYS(_llseek),
                             SCMP_SYS(fallocate), SCMP_SYS(ftruncate), SCMP_SYS(ftruncate64),
                             // New pipes.
                             SCMP_SYS(pipe2), SCMP_SYS(fchmod)});
    if (error != 0) return error;
    error = allow_calls_if(filter, {SCMP_SYS(ioctl)}, argument(1, FIONREAD));
    if (error != 0) return error;
    error = allow_calls_if(filter, {SCMP_SYS(fcntl), SCMP_SYS(fcntl64)}, argument(1, F_GETFL));
    if (error != 0) return error;
    // fstat(2), by whatever name the C library has for it; of descriptors alone.
    error = allow_calls(filter, {SCMP_SYS(fstat), SCMP_SYS(fstat64)});
    if (error != 0) return error;
    error = allow_calls_if(filter, {SCMP_SYS(newfstatat), SCMP_SYS(fstatat64)},
                           argument(3, AT_EMPTY_PATH));
    if (error != 0) return error;
    error = allow_calls_if(filter, {SCMP_SYS(statx)}, argument(2, AT_EMPTY_PATH));
    if (error != 0) return error;
    // Threads wait for one another.
    for (const scmp_datum_t operation :
         {scmp_datum_t{FUTEX_WAIT}, scmp_datum_t{FUTEX_WAIT_BITSET}}) {
        constexpr scmp_datum_t operations =
            ~static_cast<scmp_datum_t>(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
        error = allow_calls_if(filter, {SCMP_SYS(futex), SCMP_SYS(futex_time64)},
                               {1, SCMP_CMP_MASKED_EQ, operations, operation});
        if (error != 0) return error;
    }
    error = allow_calls_if(filter, {SCMP_SYS(getsockopt)}, argument(2, SO_PEERCRED));
    return error != 0 ? error : allow_basic_calls(filter);
}

}  // namespace

Status limit_system_calls() {
    return postern::limit_system_calls(add_rules);
}

}  // namespace postern::output
