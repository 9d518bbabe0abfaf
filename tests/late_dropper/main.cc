// A postern-dropper that has to wait for something no signal ends (proc_pid_stat(5): state D)
// before it comes to its first order, as one does whose program is still being loaded: for a child
// that has its memory (vfork(2)).
#include <unistd.h>

#include <array>

int main() {
    constexpr useconds_t waits = 100'000;
    // NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork): nothing else waits like this
    if (::vfork() == 0) {
        ::usleep(waits);
        ::_exit(0);
    }
    std::array<char, 16> name{"postern-dropper"};
    std::array<char*, 2> arguments{name.data(), nullptr};
    ::execv(POSTERN_DROPPER, arguments.data());
    return 1;
}
