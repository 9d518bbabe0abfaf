#include "daemon/confine/system_calls.h"

#include <linux/futex.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

namespace postern {
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

#else

constexpr std::uint32_t otherwise = SCMP_ACT_ALLOW;

int forbid_what_nobody_does(scmp_filter_ctx filter) {
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

Status limit_system_calls(int (*add_rules)(scmp_filter_ctx filter)) {
    const Filter filter(::seccomp_init(otherwise));
    if (!filter) return fail("seccomp: no filter can be made");
    // Calls by another architecture's numbers would get around the list.
    int error = ::seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (error != 0) return failed("seccomp: other architectures", error);
    // Threads that are there already have the list too.
    error = ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
    if (error != 0) return failed("seccomp: all threads", error);
#ifdef POSTERN_SANITIZED
    add_rules = forbid_what_nobody_does;
#endif
    error = add_rules(filter.get());
    if (error != 0) return failed("seccomp: the list of system calls", error);
    error = ::seccomp_load(filter.get());
    if (error != 0) return failed("seccomp: load", error);
    return {};
}

int allow_calls(scmp_filter_ctx filter, std::initializer_list<int> calls) {
    for (const int call : calls) {
        const int error = ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
        if (error != 0) return error;
    }
    return 0;
}

int allow_calls_if(scmp_filter_ctx filter, std::initializer_list<int> calls,
                   scmp_arg_cmp argument) {
    for (const int call : calls) {
        const int error = ::seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &argument);
        if (error != 0) return error;
    }
    return 0;
}

int allow_basic_calls(scmp_filter_ctx filter) {
    int error = allow_calls(
        filter,
        {SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
         // The C library: its clock where the kernel has no vDSO, the seed of its allocator.
         SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64), SCMP_SYS(getrandom),
         SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group)});
    if (error != 0) return error;
    // Memory that can be executed can't be had: the third argument has no PROT_EXEC.
    error = allow_calls_if(filter, {SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect)},
                           {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0});
    if (error != 0) return error;
    // pthread_once(3) wakes waiters, even where there is one thread only.
    return allow_calls_if(
        filter, {SCMP_SYS(futex), SCMP_SYS(futex_time64)},
        {1, SCMP_CMP_MASKED_EQ, ~static_cast<scmp_datum_t>(FUTEX_PRIVATE_FLAG), FUTEX_WAKE});
}

}  // namespace postern
