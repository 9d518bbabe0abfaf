#include "tests/unit/daemon/jobs/unit/main_of_unit.h"

#include <gtest/gtest.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

namespace postern::jobs {

bool kernel_tells_ends() {
    utsname system{};
    uname(&system);
    char* rest = nullptr;
    const long major = std::strtol(system.release, &rest, 10);
    const long minor = *rest == '.' ? std::strtol(rest + 1, nullptr, 10) : 0;
    return major > 6 || (major == 6 && minor >= 15);
}

MainOfUnit::MainOfUnit() {
    EXPECT_EQ(pipe(pipe_.data()), 0);
    pid_ = fork();
    if (pid_ != 0) return;
    close(pipe_[1]);
    unsigned char status = 0;
    _exit(read(pipe_[0], &status, 1) == 1 ? status : 255);
}

MainOfUnit::~MainOfUnit() {
    if (!reaped_) end_and_be_reaped();
    for (const int fd : pipe_) close(fd);
}

void MainOfUnit::end() const {
    ::kill(pid_, SIGKILL);
}

void MainOfUnit::end_and_be_reaped() {
    end();
    be_reaped();
}

void MainOfUnit::be_reaped() {
    waitpid(pid_, nullptr, 0);
    reaped_ = true;
}

void MainOfUnit::end_and_wait() const {
    end();
    wait();
}

void MainOfUnit::exit_and_wait(int status) const {
    const auto byte = static_cast<unsigned char>(status);
    EXPECT_EQ(write(pipe_[1], &byte, 1), 1);
    wait();
}

void MainOfUnit::wait() const {
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
}

void say_of(const TemporaryDirectory& place, pid_t pid, const std::string& unit,
            const std::string& events) {
    const std::string proc = "proc/" + std::to_string(pid);
    std::filesystem::create_directories(place / proc);
    place.write(proc + "/cgroup", "3:cpu:/elsewhere\n0::/postern.slice/" + unit + "\n");
    const std::string cgroup = "cgroup/postern.slice/" + unit;
    std::filesystem::create_directories(place / cgroup);
    if (!events.empty()) place.write(cgroup + "/cgroup.events", events);
    place.write(cgroup + "/cpu.stat", "nice_usage_usec 9\nusage_usec 1234\nuser_usec 1000\n");
    place.write(cgroup + "/memory.peak", "2097152\n");
}

}  // namespace postern::jobs
