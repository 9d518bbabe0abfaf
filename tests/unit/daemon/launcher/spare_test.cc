// A launcher that waits in a spare: the real program, at one end of a socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>

#include "base/io.h"
#include "base/unique_fd.h"
#include "daemon/launcher/spare_order.h"
#include "tests/unit/temporary_directory.h"

namespace postern::launcher {
namespace {

using testing::HasSubstr;

SpareOrder shell_order(const std::string& script) {
    return {"/bin/sh", {"/bin/sh", "-c", script}, {"PATH=/usr/bin:/bin", "EMPTY="}};
}

TEST(SpareOrderBytes, ComeBackAsTheyWere) {
    const auto bytes = encode_spare(shell_order("a b \xff"));
    ASSERT_TRUE(bytes);
    SpareHeader header{};
    std::copy_n(bytes->begin(), header.size(), header.begin());
    const std::span body = std::span(*bytes).subspan(header.size());
    ASSERT_EQ(body_length(header).value(), body.size());
    EXPECT_EQ(decode_spare(body).value(), shell_order("a b \xff"));
    for (std::size_t size = 0; size < body.size(); ++size) {
        EXPECT_FALSE(decode_spare(body.first(size))) << size;
    }
    auto more = *bytes;
    more.push_back(0);
    EXPECT_FALSE(decode_spare(std::span(more).subspan(header.size())));
}

TEST(SpareOrderBytes, LengthsAndVersionsThatLieAreRefused) {
    auto bytes = *encode_spare(shell_order("true"));
    for (const std::size_t at : {spare_header_bytes, spare_header_bytes + 4}) {
        auto lying = bytes;
        for (std::size_t i = 0; i < 4; ++i) lying[at + i] = 0xff;
        EXPECT_FALSE(decode_spare(std::span(lying).subspan(spare_header_bytes)));
    }
    SpareHeader header{};
    std::copy_n(bytes.begin(), header.size(), header.begin());
    for (std::size_t at = 0; at < 8; ++at) {
        SpareHeader other = header;
        ++other.at(at);
        EXPECT_FALSE(body_length(other)) << at;
    }
    header.back() = 0xff;
    EXPECT_FALSE(body_length(header));
}

TEST(SpareOrderBytes, WhatCanNotBeExecutedIsNotWritten) {
    SpareOrder order = shell_order("true");
    order.argv.clear();
    EXPECT_FALSE(encode_spare(order));
    order = shell_order(std::string("a\0b", 3));
    EXPECT_FALSE(encode_spare(order));
    EXPECT_FALSE(encode_spare(shell_order(std::string(order_bytes, 'x'))));
}

// As systemd starts it: its standard input is the socket, its output a pipe.
class WaitingLauncher : public testing::Test {
  protected:
    void SetUp() override {
        std::array<int, 2> ends{};
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        socket_.reset(ends[0]);
        const UniqueFd its(ends[1]);
        ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
        output_.reset(ends[0]);
        const UniqueFd written(ends[1]);
        pid_ = fork();
        ASSERT_GE(pid_, 0);
        if (pid_ != 0) return;
        dup2(its.get(), 0);
        dup2(written.get(), 1);
        dup2(written.get(), 2);
        close_range(3, UINT_MAX, 0);
        std::array<char*, 3> argv = {const_cast<char*>("postern-launcher"),      // NOLINT
                                     const_cast<char*>(spare_option), nullptr};  // NOLINT
        std::array<char*, 1> environment{};
        execve(POSTERN_LAUNCHER, argv.data(), environment.data());
        _exit(99);
    }
    void TearDown() override {
        if (pid_ <= 0) return;
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    void order(const SpareOrder& order) {
        const auto bytes = encode_spare(order);
        ASSERT_TRUE(bytes);
        ASSERT_EQ(send(socket_.get(), bytes->data(), bytes->size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(bytes->size()));
    }
    // What it says next, but at most that much.
    std::string says(std::size_t bytes) {
        std::string text(bytes, '\0');
        constexpr int patience_ms = 20'000;
        std::size_t have = 0;
        for (pollfd one{socket_.get(), POLLIN, 0};
             have < bytes && poll(&one, 1, patience_ms) > 0;) {
            const ssize_t got = recv(socket_.get(), text.data() + have, bytes - have, 0);
            if (got <= 0) break;
            have += static_cast<std::size_t>(got);
        }
        text.resize(have);
        return text;
    }
    int status() {
        int status = 0;
        EXPECT_EQ(waitpid(std::exchange(pid_, 0), &status, 0) > 0, true);
        return status;
    }
    void expect_left() {
        const int how = status();
        ASSERT_TRUE(WIFSIGNALED(how));
        EXPECT_EQ(WTERMSIG(how), leaving_signal());
    }

    UniqueFd socket_;
    UniqueFd output_;
    pid_t pid_ = 0;
};

TEST_F(WaitingLauncher, BecomesTheProgramWithNothingButItsStreams) {
    order(
        shell_order("readlink /proc/self/fd/0; "
                    "for n in 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$n && echo open $n; done; "
                    "env | sort; grep SigIgn /proc/self/status; exit 7"));
    EXPECT_EQ(says(1), "A");
    const auto text = read_all(output_.get(), 4096);
    ASSERT_TRUE(text);
    EXPECT_THAT(*text, testing::StartsWith("/dev/null\nEMPTY=\nPATH=/usr/bin:/bin\nPWD="));
    EXPECT_THAT(*text, HasSubstr("SigIgn:\t0000000000000000\n"));
    const int how = status();
    ASSERT_TRUE(WIFEXITED(how));
    EXPECT_EQ(WEXITSTATUS(how), 7);
    EXPECT_EQ(says(1), "") << "and says nothing more";
}

TEST_F(WaitingLauncher, TakesAnOrderInPieces) {
    const auto bytes = encode_spare(shell_order("exit 5"));
    for (const std::uint8_t byte : *bytes) {
        ASSERT_EQ(send(socket_.get(), &byte, 1, MSG_NOSIGNAL), 1);
    }
    EXPECT_EQ(says(1), "A");
    EXPECT_EQ(WEXITSTATUS(status()), 5);
}

TEST_F(WaitingLauncher, LeavesWhereTheGuardIsNoMore) {
    socket_.reset();
    expect_left();
}

TEST_F(WaitingLauncher, LeavesWhereNobodyHearsThatItHasTheOrder) {
    kill(pid_, SIGSTOP);
    order(shell_order("echo ran"));
    socket_.reset();
    kill(pid_, SIGCONT);
    expect_left();
    EXPECT_EQ(read_all(output_.get(), 100).value(), "");
}

TEST_F(WaitingLauncher, LeavesWhereItIsToldNonsense) {
    ASSERT_EQ(send(socket_.get(), "GET / HTTP/1.0\r\n", 16, MSG_NOSIGNAL), 16);
    expect_left();
}

TEST_F(WaitingLauncher, RefusesAProgramThatIsNotThere) {
    SpareOrder missing = shell_order("true");
    missing.program = "/nowhere/at-all";
    order(missing);
    EXPECT_EQ(says(2), std::string("N") + static_cast<char>(ENOENT));
    expect_left();
}

TEST_F(WaitingLauncher, SaysThatItCouldNotExecuteTheProgram) {
    TemporaryDirectory place{0755};
    place.write("data", "no program\n");
    SpareOrder unfit = shell_order("true");
    unfit.program = place / "data";
    order(unfit);
    EXPECT_EQ(says(3), std::string("AX") + static_cast<char>(EACCES));
    const int how = status();
    ASSERT_TRUE(WIFEXITED(how));
    EXPECT_EQ(WEXITSTATUS(how), exec_failed_status);
}

}  // namespace
}  // namespace postern::launcher
