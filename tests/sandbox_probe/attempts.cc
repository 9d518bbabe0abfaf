#include "tests/sandbox_probe/attempts.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace postern::test {
namespace {

// Always by number: a wrapper of the C library may choose another call.
template <typename... Arguments>
void call(long number, Arguments... arguments) {
    ::syscall(number, arguments...);
}

constexpr int init = 1;  // a process that is there

constexpr auto table = std::to_array<Attempt>({
// Files.
#ifdef SYS_open
    {"open", [] { call(SYS_open, "/etc/passwd", O_RDONLY); }},
    {"stat", [] { call(SYS_stat, "/etc/passwd", nullptr); }},
    {"unlink", [] { call(SYS_unlink, "/nothing"); }},
    {"rename", [] { call(SYS_rename, "/nothing", "/nothing2"); }},
#endif
    {"openat", [] { call(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY); }},
    {"openat2", [] { call(SYS_openat2, AT_FDCWD, "/etc/passwd", nullptr, 0); }},
    {"newfstatat", [] { call(SYS_newfstatat, AT_FDCWD, "/etc/passwd", nullptr, 0); }},
    {"chdir", [] { call(SYS_chdir, "/tmp"); }},
    {"mkdirat", [] { call(SYS_mkdirat, AT_FDCWD, "/nothing/x", 0700); }},
    {"mount", [] { call(SYS_mount, nullptr, "/", nullptr, 0, nullptr); }},
    {"memfd_create", [] { call(SYS_memfd_create, "x", 0); }},
    {"write", [] { call(SYS_write, 1, "x", 1); }},
    {"ioctl", [] { call(SYS_ioctl, 0, 0, 0); }},
    {"ftruncate", [] { call(SYS_ftruncate, 3, 0); }},
    // Sockets.
    {"socket", [] { call(SYS_socket, AF_UNIX, SOCK_STREAM, 0); }},
    {"socketpair", [] { call(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, nullptr); }},
    {"connect", [] { call(SYS_connect, 3, nullptr, 0); }},
    {"bind", [] { call(SYS_bind, 3, nullptr, 0); }},
    {"listen", [] { call(SYS_listen, 3, 1); }},
    {"sendmsg", [] { call(SYS_sendmsg, 3, nullptr, 0); }},
    {"sendmmsg", [] { call(SYS_sendmmsg, 3, nullptr, 0, 0); }},
    {"accept4", [] { call(SYS_accept4, 3, nullptr, nullptr, 0); }},
    // Programs and processes.
    {"execve", [] { call(SYS_execve, "/bin/true", nullptr, nullptr); }},
    {"execveat", [] { call(SYS_execveat, AT_FDCWD, "/bin/true", nullptr, nullptr, 0); }},
    {"clone", [] { call(SYS_clone, SIGCHLD, 0, 0, 0, 0); }},
    {"clone_thread", [] { call(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0); }},
    {"clone3", [] { call(SYS_clone3, nullptr, 0); }},
#ifdef SYS_fork
    {"fork", [] { call(SYS_fork); }},
    {"vfork", [] { call(SYS_vfork); }},
#endif
    {"kill", [] { call(SYS_kill, init, 0); }},
    {"kill_itself", [] { call(SYS_kill, ::getpid(), SIGKILL); }},
    {"tgkill", [] { call(SYS_tgkill, init, init, 0); }},
    {"ptrace", [] { call(SYS_ptrace, PTRACE_ATTACH, init, 0, 0); }},
    {"ptrace_traceme", [] { call(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0); }},
    {"process_vm_readv", [] { call(SYS_process_vm_readv, init, nullptr, 0, nullptr, 0, 0); }},
    {"process_vm_writev", [] { call(SYS_process_vm_writev, init, nullptr, 0, nullptr, 0, 0); }},
    {"pidfd_open", [] { call(SYS_pidfd_open, init, 0); }},
    {"pidfd_getfd", [] { call(SYS_pidfd_getfd, 3, 0, 0); }},
    {"pidfd_send_signal", [] { call(SYS_pidfd_send_signal, 3, 0, nullptr, 0); }},
    {"prlimit_other", [] { call(SYS_prlimit64, init, RLIMIT_NOFILE, nullptr, nullptr); }},
    {"prlimit_own", [] { call(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, nullptr); }},
    // Privilege, and ways around.
    {"setresuid", [] { call(SYS_setresuid, 0, 0, 0); }},
    {"setgroups", [] { call(SYS_setgroups, 0, nullptr); }},
    {"capset", [] { call(SYS_capset, nullptr, nullptr); }},
    {"prctl", [] { call(SYS_prctl, 0, 0, 0, 0, 0); }},
    {"seccomp", [] { call(SYS_seccomp, 0, 0, nullptr); }},
    {"unshare", [] { call(SYS_unshare, CLONE_NEWUSER); }},
    {"setns", [] { call(SYS_setns, 3, 0); }},
    {"bpf", [] { call(SYS_bpf, 0, nullptr, 0); }},
    {"io_uring_setup", [] { call(SYS_io_uring_setup, 1, nullptr); }},
    {"userfaultfd", [] { call(SYS_userfaultfd, 0); }},
    {"perf_event_open", [] { call(SYS_perf_event_open, nullptr, 0, -1, -1, 0); }},
    {"keyctl", [] { call(SYS_keyctl, 0, 0, 0, 0, 0); }},
    {"futex_wait",
     [] {
         int word = 1;
         call(SYS_futex, &word, 0 /* FUTEX_WAIT */, 2, nullptr, nullptr, 0);
     }},
    // Memory that can be executed.
    {"mmap_exec",
     [] {
         call(SYS_mmap, nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
     }},
    {"mprotect_exec", [] { call(SYS_mprotect, nullptr, 4096, PROT_READ | PROT_EXEC); }},
    {"pkey_mprotect", [] { call(SYS_pkey_mprotect, nullptr, 4096, PROT_EXEC, 0); }},
    {"no_such_call", [] { call(100'000L); }},
#ifdef __x86_64__
    // The same calls by the numbers of other architectures: getpid of x32 and of i386.
    {"x32", [] { call(0x40000000L | SYS_getpid); }},
    {"i386",
     [] {
         long result = 20;
         asm volatile("int $0x80" : "+a"(result) : : "memory");
     }},
#endif
});

}  // namespace

std::span<const Attempt> attempts() {
    return table;
}

}  // namespace postern::test
