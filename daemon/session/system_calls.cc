#include "daemon/session/system_calls.h"

#include "daemon/confine/system_calls.h"

namespace postern::session {
namespace {

int add_rules(scmp_filter_ctx filter) {
    const int error = allow_calls(
        filter,
        {// The loop.
         SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(recvmsg),
         SCMP_SYS(recvmmsg), SCMP_SYS(recvmmsg_time64), SCMP_SYS(shutdown), SCMP_SYS(close),
         // Not sendmsg: no descriptor goes from here to anybody.
         SCMP_SYS(sendto),
         // The output of jobs.
         SCMP_SYS(pread64), SCMP_SYS(lseek), SCMP_SYS(_llseek)});
    return error != 0 ? error : allow_basic_calls(filter);
}

}  // namespace

Status limit_system_calls() {
    return postern::limit_system_calls(add_rules);
}

}  // namespace postern::session
