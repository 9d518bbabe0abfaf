#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "ctl/text/exit_codes.h"
#include "ctl/wire/datagram.h"
#include "tests/unit/sockets.h"
#include "tests/unit/temporary_directory.h"

namespace postern::ctl {
namespace {

using namespace std::chrono_literals;

constexpr DatagramPatience patient{.send = 20s, .answer = 20s};

// A daemon's datagram socket, and a folder for the addresses of its clients, which must be as empty
// at the end as it was in the beginning.
class CtlDatagram : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(setenv("TMPDIR", box_.c_str(), 1), 0);
        ASSERT_EQ(unsetenv("XDG_RUNTIME_DIR"), 0);
    }
    void TearDown() override {
        EXPECT_TRUE(std::filesystem::is_empty(box_));
        unsetenv("TMPDIR");
    }

    // Takes one packet and answers with this.
    void answer(const std::string& text) {
        sockaddr_un sender{};
        socklen_t length = sizeof sender;
        std::array<char, 100> packet{};
        auto* any = reinterpret_cast<sockaddr*>(&sender);
        ASSERT_GT(recvfrom(daemon_.get(), packet.data(), packet.size(), 0, any, &length), 0);
        ASSERT_EQ(sendto(daemon_.get(), text.data(), text.size(), 0, any, length),
                  static_cast<ssize_t>(text.size()));
    }
    // Until the kernel takes no more.
    void fill() {
        UniqueFd sender(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const auto address = unix_address(path_);
        ASSERT_EQ(connect(sender.get(), any_address(address), sizeof address), 0);
        while (send(sender.get(), "x", 1, 0) == 1) continue;
        ASSERT_EQ(errno, EAGAIN);
    }

    const TemporaryDirectory folder_;
    const std::string box_ = folder_.make_folder("box");
    const std::string path_ = folder_ / "s";
    UniqueFd daemon_ = socket_at(path_, SOCK_DGRAM);
};

TEST_F(CtlDatagram, TakesTheAnswer) {
    std::thread daemon([this] { answer(R"({"parameters":{"a":1}})"); });
    const auto message = ask_by_datagram(path_, "call", patient, -1);
    daemon.join();
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(message->text, R"({"parameters":{"a":1}})");
}

TEST_F(CtlDatagram, DoesNotWaitForEverForAnAnswer) {
    const auto begin = std::chrono::steady_clock::now();
    const auto none = ask_by_datagram(path_, "call", {.send = 20s, .answer = 1s}, -1);
    const auto time = std::chrono::steady_clock::now() - begin;
    ASSERT_FALSE(none.has_value());
    EXPECT_EQ(none.error().message, path_ +
                                        ": no answer within 1 s: the daemon has exited, is "
                                        "overloaded, or does not see the same directory " +
                                        box_);
    EXPECT_EQ(none.error().code, exit_code::broken);
    EXPECT_TRUE(none.error().sent);
    EXPECT_GE(time, 900ms);
}

TEST_F(CtlDatagram, DoesNotWaitForEverForAPlaceInTheQueue) {
    fill();
    const auto none = ask_by_datagram(path_, "call", {.send = 1s, .answer = 20s}, -1);
    ASSERT_FALSE(none.has_value());
    EXPECT_EQ(none.error().message,
              path_ + ": the daemon accepts no datagrams: its queue stayed full for 1 s");
    EXPECT_EQ(none.error().code, exit_code::limit);
    EXPECT_FALSE(none.error().sent);
    const auto unsent = send_datagram(path_, "call", 1s);
    ASSERT_FALSE(unsent.has_value());
    EXPECT_EQ(unsent.error().message, none.error().message);
}

TEST_F(CtlDatagram, SaysThatTheDaemonDiedWhileItWaitedForAPlaceInTheQueue) {
    fill();
    std::thread death([this] {
        // Once its address is there, it can't but wait.
        while (std::filesystem::is_empty(box_)) std::this_thread::yield();
        daemon_.reset();
    });
    const auto none = ask_by_datagram(path_, "call", patient, -1);
    death.join();
    ASSERT_FALSE(none.has_value());
    EXPECT_EQ(
        none.error().message,
        path_ + ": no program is listening there: the daemon that created this socket has exited");
    EXPECT_EQ(none.error().code, exit_code::broken);
}

TEST_F(CtlDatagram, TakesNoAnswerThatIsLongerThanAny) {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: a send buffer larger than others may have";
    const int bytes = 8 << 20;
    ASSERT_EQ(setsockopt(daemon_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes), 0);
    std::thread daemon([this] { answer(std::string(datagram_answer_bytes + 1, ' ')); });
    const auto none = ask_by_datagram(path_, "call", patient, -1);
    daemon.join();
    ASSERT_FALSE(none.has_value());
    EXPECT_EQ(none.error().message,
              path_ + ": the answer has 262145 bytes; this is not a Postern daemon");
}

TEST_F(CtlDatagram, AnInterruptEndsItAndIsNoMessage) {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    const UniqueFd readable(ends[0]);
    UniqueFd(ends[1]).reset();
    const auto none = ask_by_datagram(path_, "call", patient, readable.get());
    ASSERT_FALSE(none.has_value());
    EXPECT_EQ(none.error().message, "");
    EXPECT_TRUE(none.error().sent);
}

}  // namespace
}  // namespace postern::ctl
