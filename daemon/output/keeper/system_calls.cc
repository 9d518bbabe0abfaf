#include "daemon/output/keeper/system_calls.h"

#include <fcntl.h>
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
    for (const unsigned long command : {scmp_datum_t{F_GETFL}, scmp_datum_t{F_GETPIPE_SZ}}) {
        error = allow_calls_if(filter, {SCMP_SYS(fcntl), SCMP_SYS(fcntl64)}, argument(1, command));
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
