// What is dropped in another process is dropped there, and one that does not get on is left alone.
#include "daemon/loop/dropper.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/unit/daemon/droppers.h"
#include "tests/unit/sockets.h"

// ThreadSanitizer takes a descriptor for one and the same in all threads that have its number,
// which in the thread that starts programs it is not.
#ifndef __SANITIZE_THREAD__

namespace postern {
namespace {

// Not so one that has ended, and is not reaped: it has no program.
bool runs(pid_t pid) {
    std::error_code none;
    const auto program =
        std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/exe", none);
    return !program.empty();
}

// The processes of ours of that name that run.
std::vector<pid_t> dropper_processes() {
    std::vector<pid_t> found;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream pids(task.path() / "children");
        for (pid_t pid = 0; pids >> pid;) {
            std::string name;
            std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/comm"), name);
            if (name == "postern-dropper" && runs(pid)) found.push_back(pid);
        }
    }
    return found;
}

class DropperTest : public testing::Test {
  protected:
    // Those of this test: of one before, some may be about to end.
    [[nodiscard]] std::vector<pid_t> processes() const {
        std::vector<pid_t> found = dropper_processes();
        std::erase_if(found, [this](pid_t pid) { return std::ranges::count(before_, pid) > 0; });
        return found;
    }
    // Its only one.
    [[nodiscard]] std::optional<pid_t> process() const {
        const auto all = processes();
        return all.size() == 1 ? std::optional(all.front()) : std::nullopt;
    }

    // It, once it has closed something and has nothing to do.
    std::optional<pid_t> start() {
        SocketPair first;
        EXPECT_TRUE(dropper_.close(first.there));
        char byte = 0;
        EXPECT_EQ(::recv(first.here.get(), &byte, 1, 0), 0);
        // Until it has said so, it is not given a packet: that would be another's.
        while (dropper_.tidy()) std::this_thread::yield();
        return process();
    }

    const std::vector<pid_t> before_ = dropper_processes();
    const Droppers droppers_;
    Dropper dropper_{droppers_.source()};
};

TEST_F(DropperTest, ClosesWhatItIsGiven) {
    for (int i = 0; i < 3; ++i) {
        SocketPair pair;
        ASSERT_TRUE(dropper_.close(pair.there));
        EXPECT_FALSE(pair.there);
        char byte = 0;
        EXPECT_EQ(::recv(pair.here.get(), &byte, 1, 0), 0);
    }
}

TEST_F(DropperTest, ClosesSeveralAtOnce) {
    std::array<SocketPair, 3> pairs;
    std::vector<UniqueFd> there;
    for (SocketPair& pair : pairs) there.push_back(std::move(pair.there));
    ASSERT_TRUE(dropper_.close(there));
    for (const SocketPair& pair : pairs) {
        char byte = 0;
        EXPECT_EQ(::recv(pair.here.get(), &byte, 1, 0), 0);
    }
}

// A datagram socket with a packet that carries a descriptor, and another one behind it.
class PacketsToDrop {
  public:
    PacketsToDrop() {
        std::array<int, 2> ends{-1, -1};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        here_.reset(ends[0]);
        there_.reset(ends[1]);
        const int on = 1;
        EXPECT_EQ(::setsockopt(socket(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
        EXPECT_EQ(send_with(here_.get(), "a", std::array{sent_.there.get()}), 1);
        EXPECT_EQ(send_with(here_.get(), "b", {}), 1);
        sent_.there.reset();
    }
    [[nodiscard]] int socket() const { return there_.get(); }
    // The byte of the next one.
    [[nodiscard]] char next(int flags = 0) const {
        char byte = 0;
        return ::recv(socket(), &byte, 1, MSG_DONTWAIT | flags) == 1 ? byte : '-';
    }
    // Whether nobody has the descriptor any more.
    [[nodiscard]] bool is_dropped() const {
        char byte = 0;
        return ::recv(sent_.here.get(), &byte, 1, MSG_DONTWAIT) == 0;
    }

  private:
    UniqueFd here_;
    UniqueFd there_;
    SocketPair sent_;
};

TEST_F(DropperTest, DropsPacketsThatCarryDescriptorsAndNoOthers) {
    const PacketsToDrop packets;
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(dropper_.drop_packet(packets.socket()));
    EXPECT_TRUE(packets.is_dropped());
    EXPECT_EQ(packets.next(), 'b');
    EXPECT_TRUE(dropper_.drop_packet(packets.socket())) << "there is none";
}

// Until it has begun, that it waits in the kernel says nothing: taken for one that stands still, it
// would leave a packet on the socket that is received once more.
TEST_F(DropperTest, IsWaitedForUntilItBegins) {
    const Droppers late(POSTERN_LATE_DROPPER);
    Dropper dropper(late.source());
    const PacketsToDrop packets;
    ASSERT_TRUE(dropper.drop_packet(packets.socket()));
    EXPECT_TRUE(packets.is_dropped());
    EXPECT_EQ(packets.next(), 'b');
}

TEST_F(DropperTest, OneThatNeverBeginsLeavesThePacketToTheNext) {
    const auto pid = start();
    ASSERT_TRUE(pid);
    ::kill(*pid, SIGSTOP);
    const PacketsToDrop packets;
    EXPECT_FALSE(dropper_.drop_packet(packets.socket()));
    ::kill(*pid, SIGCONT);
    while (runs(*pid)) std::this_thread::yield();
    EXPECT_FALSE(packets.is_dropped());
    EXPECT_EQ(packets.next(MSG_PEEK), 'a');
    EXPECT_TRUE(dropper_.drop_packet(packets.socket()));
    EXPECT_TRUE(packets.is_dropped());
    EXPECT_EQ(packets.next(), 'b');
}

TEST_F(DropperTest, OneThatHasDiedIsFollowedByAnother) {
    const auto pid = start();
    ASSERT_TRUE(pid);
    ::kill(*pid, SIGKILL);
    siginfo_t how{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(*pid), &how, WEXITED | WNOWAIT), 0);
    SocketPair second;
    ASSERT_TRUE(dropper_.close(second.there));
    char byte = 0;
    EXPECT_EQ(::recv(second.here.get(), &byte, 1, 0), 0);
}

// One that stands still gets no more, so that what follows is closed by another.
TEST_F(DropperTest, OneThatStandsStillIsLeftAlone) {
    const auto pid = start();
    ASSERT_TRUE(pid);
    ::kill(*pid, SIGSTOP);
    for (int i = 0; i < 200; ++i) {
        SocketPair pair;
        // At most some wait with it; and those after them don't.
        while (!dropper_.close(pair.there)) {
        }
        pollfd ended{pair.here.get(), POLLIN, 0};
        if (::poll(&ended, 1, 20) != 1) continue;
        EXPECT_TRUE(dropper_.tidy()) << "it has more to do";
        ::kill(*pid, SIGCONT);
        while (dropper_.tidy()) std::this_thread::yield();
        EXPECT_EQ(processes().size(), 1U);
        return;
    }
    FAIL() << "all went to the one that stands still";
}

TEST_F(DropperTest, HasNoMoreProcessesThanItMay) {
    Dropper none(droppers_.source(), 0);
    SocketPair pair;
    EXPECT_FALSE(none.close(pair.there));
    EXPECT_TRUE(pair.there);
    EXPECT_FALSE(none.drop_packet(0));
}

}  // namespace
}  // namespace postern

#endif
