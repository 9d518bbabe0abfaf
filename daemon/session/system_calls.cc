#include "daemon/session/system_calls.h"

#include <linux/futex.h>
#include <seccomp.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>

namespace postern::session {
namespace {

struct Release {
    void operator()(void* filter) const { ::seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

Status failed(const char* what, int error) {
    return fail(std::string(what) + ": " + std::strerror(-error));
}

#ifndef POSTERN_SANITIZED

constexpr std::uint32_t otherwise = SCMP_ACT_KILL_PROCESS;

int allow(scmp_filter_ctx filter, std::initializer_list<int> calls) {
    for (const int call : calls) {
        const int error = ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
        if (error != 0) return error;
    }
    return 0;
}

int add_rules(scmp_filter_ctx filter) {
    int error = allow(
        filter,
        {// The loop.
         SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(recvmsg),
         SCMP_SYS(shutdown), SCMP_SYS(close),
         // Not sendmsg: no descriptor goes from here to anybody.
         SCMP_SYS(sendto),
         // The output of jobs.
         SCMP_SYS(pread64), SCMP_SYS(lseek), SCMP_SYS(_llseek),
         // Memory.
         SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
         // The C library: its clock where the kernel has no vDSO, the seed of its allocator.
         SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64), SCMP_SYS(getrandom),
         // The end.
         SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group)});
    if (error != 0) return error;
    // Memory that can be executed can't be had: the third argument has no PROT_EXEC.
    const scmp_arg_cmp no_exec{2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0};
    for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect)}) {
        error = ::seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &no_exec);
        if (error != 0) return error;
    }
    // pthread_once(3) wakes waiters, even where there is one thread only.
    const scmp_arg_cmp wake{1, SCMP_CMP_MASKED_EQ, ~static_cast<scmp_datum_t>(FUTEX_PRIVATE_FLAG),
                            FUTEX_WAKE};
    for (const int call : {SCMP_SYS(futex), SCMP_SYS(futex_time64)}) {
        error = ::seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &wake);
        if (error != 0) return error;
    }
    return 0;
}

#else

// A sanitizer opens files, starts threads and writes reports whenever it likes. What is left of the
// list is what it never does.
constexpr std::uint32_t otherwise = SCMP_ACT_ALLOW;

int add_rules(scmp_filter_ctx filter) {
    for (const int call : {SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen),
                           SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(sendmmsg), SCMP_SYS(kill),
                           SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_open)}) {
        const int error = ::seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, call, 0);
        if (error != 0) return error;
    }
    return 0;
}

#endif

}  // namespace

Status limit_system_calls() {
    const Filter filter(::seccomp_init(otherwise));
    if (!filter) return fail("seccomp: no filter can be made");
    // Calls by another architecture's numbers would get around the list.
    int error = ::seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (error != 0) return failed("seccomp: other architectures", error);
    error = add_rules(filter.get());
    if (error != 0) return failed("seccomp: the list of system calls", error);
    error = ::seccomp_load(filter.get());
    if (error != 0) return failed("seccomp: load", error);
    return {};
}

}  // namespace postern::session
