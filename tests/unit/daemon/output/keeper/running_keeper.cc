#include "tests/unit/daemon/output/keeper/running_keeper.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/control_data.h"
#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/readable.h"
#include "tests/unit/file_text.h"
#include "tests/unit/sockets.h"

namespace postern::output::test {
namespace {

// Of nobody else on a test machine.
constexpr const char* keeper_uid = "64001";
constexpr const char* keeper_gid = "64011";
constexpr int first_given = 3;

// In a child: descriptors from 3 on, and nothing of the environment but this.
[[noreturn]] void start(const std::vector<int>& descriptors, std::vector<const char*> arguments,
                        std::vector<std::string> environment, int program,
                        std::size_t most_descriptors = 0) {
    // Out of the way of the numbers that they are to have.
    constexpr int aside = 500;
    for (std::size_t i = 0; i < descriptors.size(); ++i) {
        ::dup2(descriptors[i], aside + static_cast<int>(i));
    }
    const int program_aside = aside + 400;
    ::dup2(program, program_aside);
    for (std::size_t i = 0; i < descriptors.size(); ++i) {
        ::dup2(aside + static_cast<int>(i), first_given + static_cast<int>(i));
        ::close(aside + static_cast<int>(i));
    }
    ::close_range(static_cast<unsigned>(first_given) + static_cast<unsigned>(descriptors.size()),
                  static_cast<unsigned>(program_aside) - 1, 0);
    ::fcntl(program_aside, F_SETFD, FD_CLOEXEC);
    if (!environment.empty()) environment.push_back("LISTEN_PID=" + std::to_string(::getpid()));
    std::vector<char*> variables;
    for (std::string& variable : environment) variables.push_back(variable.data());
    variables.push_back(nullptr);
    arguments.insert(arguments.begin(), "postern-output");
    arguments.push_back(nullptr);
    const rlimit limit{most_descriptors, most_descriptors};
    if (most_descriptors > 0 && ::setrlimit(RLIMIT_NOFILE, &limit) != 0) ::_exit(98);
    ::fexecve(program_aside, const_cast<char* const*>(arguments.data()), variables.data());
    ::_exit(99);
}

UniqueFd program() {
    return UniqueFd(::open(POSTERN_OUTPUT, O_PATH | O_CLOEXEC));
}

}  // namespace

pid_t write_numbered(const Pipe& pipe, std::uint64_t length) {
    return fork_child([&pipe, length] {
        constexpr std::size_t piece = 24 * 1024;
        for (std::uint64_t sent = 0; sent < length;) {
            const std::string bytes = numbered(sent, std::min<std::uint64_t>(piece, length - sent));
            std::size_t done = 0;
            while (done < bytes.size()) {
                const ssize_t count =
                    ::write(pipe.write.get(), bytes.data() + done, bytes.size() - done);
                if (count <= 0) return 1;
                done += static_cast<std::size_t>(count);
            }
            sent += bytes.size();
        }
        return 0;
    });
}

Message message(Kind kind, const JobId& job, std::uint8_t stream) {
    Message made;
    made.kind = kind;
    made.job = job;
    made.stream = stream;
    return made;
}

void Guard::say(const Message& message, std::span<const int> descriptors) const {
    say_bytes(encode(message), descriptors);
}

void Guard::say_bytes(std::span<const std::uint8_t> bytes, std::span<const int> descriptors) const {
    ASSERT_GE(send_with(channel_.get(),
                        std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                        descriptors, MSG_NOSIGNAL),
              0)
        << std::strerror(errno);
}

Heard Guard::hear() {
    EXPECT_TRUE(readable_within(channel_.get())) << "nothing comes";
    auto received = receiver_->receive(channel_.get());
    EXPECT_EQ(received.state, channel::Received::State::packet);
    if (received.state != channel::Received::State::packet) return {};
    auto message = decode(received.packet);
    EXPECT_TRUE(message.has_value());
    return {message.value_or(Message{}), std::move(received.descriptors)};
}

bool Guard::ended() {
    return readable_within(channel_.get()) &&
           receiver_->receive(channel_.get()).state == channel::Received::State::ended;
}

std::vector<Heard> Guard::greet(std::uint64_t window, std::uint64_t stall, std::uint64_t owner) {
    std::vector<Heard> kept;
    std::vector<Heard> finished;
    greet(kept, finished, window, stall, owner);
    EXPECT_TRUE(finished.empty());
    return kept;
}

void Guard::greet(std::vector<Heard>& kept, std::vector<Heard>& finished, std::uint64_t window,
                  std::uint64_t stall, std::uint64_t owner) {
    Message hello = message(Kind::hello);
    hello.owner = owner;
    hello.window = window;
    hello.stall = stall;
    say(hello);
    for (;;) {
        Heard heard = hear();
        if (heard.message.kind == Kind::all_kept) return;
        const bool is_kept = heard.message.kind == Kind::kept;
        ASSERT_TRUE(is_kept || heard.message.kind == Kind::finished);
        (is_kept ? kept : finished).push_back(std::move(heard));
    }
}

Pipe Guard::want_pipe() {
    Message want = message(Kind::want_pipes);
    want.count = 1;
    say(want);
    Heard heard = hear();
    EXPECT_EQ(heard.message.kind, Kind::pipe);
    EXPECT_EQ(heard.descriptors.size(), 2U);
    Pipe pipe;
    if (heard.descriptors.size() != 2) return pipe;
    pipe.read = std::move(heard.descriptors[0]);
    pipe.write = std::move(heard.descriptors[1]);
    return pipe;
}

void Guard::keep(const JobId& job, std::uint8_t stream, const Pipe& pipe, const File& file,
                 std::uint64_t stored, std::uint64_t floor) const {
    Message keep = message(Kind::keep, job, stream);
    keep.stored = stored;
    keep.floor = floor;
    keep.awaited = none;
    const int descriptors[] = {pipe.read.get(), file.get()};
    say(keep, descriptors);
}

void Guard::watch(const JobId& job, std::uint8_t stream, std::uint64_t stored, std::uint64_t floor,
                  std::uint64_t awaited) const {
    Message watch = message(Kind::watch, job, stream);
    watch.stored = stored;
    watch.floor = floor;
    watch.awaited = awaited;
    say(watch);
}

std::array<std::uint64_t, streams> Guard::finish(const JobId& job) {
    say(message(Kind::finish, job));
    const Heard heard = hear();
    EXPECT_EQ(heard.message.kind, Kind::finished);
    EXPECT_EQ(heard.message.job, job);
    return heard.message.sizes;
}

void Process::kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    end();
}

void Process::signal(int number) const {
    ASSERT_EQ(::kill(pid_, number), 0);
}

int Process::end() {
    const int status = end_of(std::exchange(pid_, -1));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

KeeperChild::KeeperChild() {
    auto pair = channel::make_pair();
    EXPECT_TRUE(pair.has_value());
    guard = Guard(std::move(pair->first));
    const UniqueFd executed = program();
    const std::vector<int> descriptors = {pair->second.get()};
    std::vector<const char*> arguments;
    if (::geteuid() == 0) arguments = {"--uid", keeper_uid, "--gid", keeper_gid};
    process = std::make_unique<Process>(
        fork_child([&]() -> int { start(descriptors, arguments, {}, executed.get()); }));
}

KeeperService::KeeperService(const std::string& directory,
                             std::vector<std::pair<std::string, int>> stored,
                             std::chrono::microseconds watchdog, std::size_t most_descriptors)
    : directory_(directory) {
    const std::string notify = directory + "/notify";
    ::unlink(notify.c_str());
    notices_ = socket_at(notify, SOCK_DGRAM);
    const bool is_root = ::geteuid() == 0;
    const uid_t uid = is_root ? static_cast<uid_t>(std::stoul(keeper_uid)) : ::geteuid();
    const gid_t gid = is_root ? static_cast<gid_t>(std::stoul(keeper_gid)) : ::getegid();
    if (is_root) {
        EXPECT_EQ(::chown(directory.c_str(), uid, gid), 0);
        EXPECT_EQ(::chown(notify.c_str(), uid, gid), 0);
    }
    std::vector<int> descriptors;
    std::string names;
    for (const auto& [name, descriptor] : stored) {
        descriptors.push_back(descriptor);
        names += (names.empty() ? "" : ":") + name;
    }
    const UniqueFd executed = program();
    const UniqueFd errors(
        ::open((directory + "/stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    process_ = std::make_unique<Process>(fork_child([&]() -> int {
        if (is_root && (::setgroups(0, nullptr) != 0 || ::setresgid(gid, gid, gid) != 0 ||
                        ::setresuid(uid, uid, uid) != 0)) {
            return 98;
        }
        ::dup2(errors.get(), STDERR_FILENO);
        start(descriptors, {"--service"},
              {"NOTIFY_SOCKET=" + notify, "RUNTIME_DIRECTORY=" + directory,
               "LISTEN_FDS=" + std::to_string(descriptors.size()), "LISTEN_FDNAMES=" + names,
               "WATCHDOG_USEC=" + std::to_string(watchdog.count())},
              executed.get(), most_descriptors);
    }));
    EXPECT_EQ(notice().text, "READY=1");
}

Guard KeeperService::connect() const {
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const sockaddr_un address = unix_address(directory_ + "/socket");
    EXPECT_EQ(::connect(socket.get(), any_address(address), sizeof address), 0)
        << std::strerror(errno);
    return Guard(std::move(socket));
}

bool KeeperService::listens() const {
    const UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const sockaddr_un address = unix_address(directory_ + "/socket");
    return ::connect(socket.get(), any_address(address), sizeof address) == 0;
}

KeeperService::Notice KeeperService::notice() {
    Notice notice;
    EXPECT_TRUE(readable_within(notices_.get())) << "the manager is told nothing";
    std::array<char, 512> text{};
    iovec data{text.data(), text.size()};
    DescriptorSpace<4> control;
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes.data();
    message.msg_controllen = control.bytes.size();
    const ssize_t length = ::recvmsg(notices_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0) return notice;
    notice.text.assign(text.data(), static_cast<std::size_t>(length));
    notice.descriptors = take_descriptors(message);
    return notice;
}

std::string KeeperService::said() const {
    return read_path(directory_ + "/stderr");
}

}  // namespace postern::output::test
