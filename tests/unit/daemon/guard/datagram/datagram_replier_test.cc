// Replies to datagrams: to whom they go, and to whom they never do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "base/limits.h"
#include "base/unique_fd.h"
#include "daemon/guard/datagram/datagram_replier.h"
#include "daemon/guard/datagram/datagram_sender.h"
#include "tests/unit/daemon/readable.h"
#include "tests/unit/sockets.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

constexpr uid_t stranger = 64001;

class DatagramReplierTest : public testing::Test {
  protected:
    void SetUp() override {
        server_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        auto replier = DatagramReplier::create({server_.get()}, ::geteuid() != 0);
        ASSERT_TRUE(replier) << replier.error().message;
        replier_ = std::move(*replier);
    }

    UniqueFd client(const std::string& path, uid_t owner = ::geteuid()) {
        UniqueFd socket = socket_at(path, SOCK_DGRAM | SOCK_NONBLOCK);
        EXPECT_EQ(::chmod(path.c_str(), 0600), 0);
        if (owner != ::geteuid()) {
            EXPECT_EQ(::chown(path.c_str(), owner, owner), 0);
        }
        return socket;
    }
    // Sends, waits until it is sent or given up, and says what went wrong.
    std::string send(uid_t uid, const std::string& path, const std::string& bytes = "reply") {
        EXPECT_TRUE(replier_->add({0, uid, uid, path, bytes}));
        const auto failures = send_all();
        return failures.empty() ? "" : failures.front();
    }
    // The same of all that were added.
    std::vector<std::string> send_all() {
        auto failures = replier_->send();
        while (replier_->pending() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        for (std::string& failure : replier_->send()) failures.push_back(std::move(failure));
        return failures;
    }
    static std::string receive(const UniqueFd& socket) {
        std::array<char, 65536> buffer;
        const ssize_t length = ::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        return length < 0 ? "nothing"
                          : std::string(buffer.data(), static_cast<std::size_t>(length));
    }

    const TemporaryDirectory folder_{0755};
    UniqueFd server_;
    std::unique_ptr<DatagramReplier> replier_;
};

TEST_F(DatagramReplierTest, GoesToTheSendersOwnSocket) {
    const std::string path = folder_ / "c";
    const UniqueFd socket = client(path);
    EXPECT_EQ(send(::geteuid(), path), "");
    EXPECT_EQ(receive(socket), "reply");
    EXPECT_EQ(send(::geteuid(), folder_ / "none"),
              "no reply to uid " + std::to_string(::geteuid()) + " at " + folder_ / "none" +
                  ": looking it up could take too long");
    EXPECT_EQ(send(::geteuid(), "/proc/self/none"),
              "no reply to uid " + std::to_string(::geteuid()) +
                  " at /proc/self/none: looking it up could take too long");
}

TEST_F(DatagramReplierTest, IsSentAsNobodyButTheSender) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: a reply as another user";
    const UniqueFd ours = client(folder_ / "root");
    const UniqueFd theirs = client(folder_ / "theirs", stranger);
    const std::string denied = "no reply to uid " + std::to_string(stranger) + " at ";
    EXPECT_EQ(send(stranger, folder_ / "theirs"), "");
    EXPECT_EQ(receive(theirs), "reply");
    EXPECT_EQ(send(stranger, folder_ / "root"),
              denied + folder_ / "root" + ": Operation not permitted");
    EXPECT_EQ(receive(ours), "nothing");
    // Through a link into a folder that only root may enter.
    ASSERT_EQ(::mkdir((folder_ / "closed").c_str(), 0700), 0);
    const UniqueFd hidden = client(folder_ / "closed/s", stranger);
    ASSERT_EQ(::symlink("closed/s", (folder_ / "link").c_str()), 0);
    EXPECT_NE(send(stranger, folder_ / "link"), "");
    EXPECT_EQ(receive(hidden), "nothing");
    // One after another, by the same thread: each is sent as its own sender.
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(send(0, folder_ / "root"), "");
        EXPECT_EQ(receive(ours), "reply");
        EXPECT_NE(send(stranger, folder_ / "root"), "");
        EXPECT_EQ(send(stranger, folder_ / "theirs"), "");
        EXPECT_EQ(receive(theirs), "reply");
    }
    EXPECT_EQ(receive(ours), "nothing");
}

// What is sent has the guard's credentials, and there are sockets that everyone may write to which
// go by those.
TEST_F(DatagramReplierTest, GoesToNoSocketThatIsNotTheSendersOwnFile) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: a reply as another user";
    const UniqueFd everyones = client(folder_ / "notify");
    ASSERT_EQ(::chmod((folder_ / "notify").c_str(), 0777), 0);
    ASSERT_EQ(::symlink("notify", (folder_ / "link").c_str()), 0);
    for (const char* const name : {"notify", "link"}) {
        EXPECT_NE(send(stranger, folder_ / name), "") << name;
        EXPECT_EQ(receive(everyones), "nothing");
    }
    EXPECT_TRUE(send(stranger, "/dev/null").ends_with(": Socket operation on non-socket"));
    EXPECT_TRUE(send(stranger, folder_ / "notify").ends_with(": Operation not permitted"));
    // The file is the sender's, but it may not write there.
    const UniqueFd theirs = client(folder_ / "theirs", stranger);
    ASSERT_EQ(::chmod((folder_ / "theirs").c_str(), 0400), 0);
    EXPECT_TRUE(send(stranger, folder_ / "theirs").ends_with(": Permission denied"));
}

TEST_F(DatagramReplierTest, HasNoGroupAndNoCapabilityThatOpensDoors) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: groups and capabilities";
    // A folder that the guard's groups would open, and one that CAP_DAC_OVERRIDE would.
    const gid_t group = 64100;
    std::thread([&] {
        ASSERT_EQ(::syscall(SYS_setgroups, 1, &group), 0);
        ASSERT_EQ(::mkdir((folder_ / "group").c_str(), 0750), 0);
        ASSERT_EQ(::chown((folder_ / "group").c_str(), 0, group), 0);
        const UniqueFd in_group = client(folder_ / "group/s", stranger);
        ASSERT_EQ(::mkdir((folder_ / "theirs").c_str(), 0700), 0);
        const UniqueFd in_theirs = client(folder_ / "theirs/s", 0);
        ASSERT_EQ(::chown((folder_ / "theirs").c_str(), stranger, stranger), 0);
        replier_ = std::move(DatagramReplier::create({server_.get()}, false)).value();
        EXPECT_NE(send(stranger, folder_ / "group/s"), "");
        EXPECT_EQ(receive(in_group), "nothing");
        EXPECT_NE(send(0, folder_ / "theirs/s"), "");
        EXPECT_EQ(receive(in_theirs), "nothing");
    }).join();
}

TEST_F(DatagramReplierTest, OfAUsersOwnGuardGoesToThatUserAlone) {
    replier_ = std::move(DatagramReplier::create({server_.get()}, true)).value();
    const UniqueFd socket = client(folder_ / "c");
    EXPECT_EQ(send(::geteuid() + 1, folder_ / "c"),
              "no reply to uid " + std::to_string(::geteuid() + 1) + " at " + folder_ / "c" +
                  ": Operation not permitted");
    EXPECT_EQ(receive(socket), "nothing");
}

TEST_F(DatagramReplierTest, RepliesOfOneSenderStayInTheirOrder) {
    const UniqueFd socket = client(folder_ / "c");
    int next = 0;
    for (int i = 0; i < 1000; ++i) {
        EXPECT_TRUE(replier_->add({0, ::geteuid(), ::getegid(), folder_ / "c", std::to_string(i)}));
        // One by one, or five together: what the receiver's queue holds at least.
        const bool five = i % 5 == 4;
        if (i < 500 || five) {
            EXPECT_THAT(replier_->send(), testing::IsEmpty());
        }
        if (!five) continue;
        for (int seen = 0; seen < 5; ++seen) {
            ASSERT_TRUE(readable_within(socket.get()));
            EXPECT_EQ(receive(socket), std::to_string(next++));
        }
    }
}

// Many at once, some of which go nowhere: each of the others comes, once and in its order.
TEST_F(DatagramReplierTest, OnesThatFailAreNobodyElsesMatter) {
    constexpr int rounds = 40;
    std::vector<UniqueFd> sockets;
    for (int i = 0; i < rounds; ++i) {
        sockets.push_back(client(folder_ / "c" + std::to_string(i)));
    }
    const auto add = [this](const std::string& path, const std::string& bytes) {
        EXPECT_TRUE(replier_->add({0, ::geteuid(), ::getegid(), path, bytes}));
    };
    for (int i = 0; i < rounds; ++i) {
        const std::string path = folder_ / "c" + std::to_string(i);
        add(path, "first");
        if (i % 7 == 0) add("/dev/null", "x");
        if (i % 11 == 0) add(folder_ / "none", "x");
        add(path, "second");
    }
    EXPECT_EQ(replier_->pending(), 2U * rounds + 6 + 4);
    const auto failures = send_all();
    EXPECT_EQ(failures.size(), 6U + 4U);
    EXPECT_EQ(
        std::ranges::count_if(failures,
                              [](const std::string& failure) {
                                  return failure.ends_with(": Socket operation on non-socket");
                              }),
        6);
    for (const UniqueFd& socket : sockets) {
        EXPECT_EQ(receive(socket), "first");
        EXPECT_EQ(receive(socket), "second");
        EXPECT_EQ(receive(socket), "nothing");
    }
}

// Whoever has much to be sent, or what takes long to be looked up, has all others behind it for
// one turn only.
TEST_F(DatagramReplierTest, IdentitiesTakeTurns) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: replies to other users";
    // Each fails, which is told in the order in which they were tried.
    const auto tried_before_ours = [this](const std::string& path) {
        for (int i = 0; i < 30; ++i) {
            EXPECT_TRUE(replier_->add({0, stranger, stranger, path, "x"}));
        }
        EXPECT_TRUE(replier_->add({0, 0, 0, "/dev/null", "x"}));
        const auto failures = send_all();
        EXPECT_EQ(failures.size(), 31U);
        const auto ours = std::ranges::find_if(failures, [](const auto& failure) {
            return failure.starts_with("no reply to uid 0 ");
        });
        return std::distance(failures.begin(), ours);
    };
    EXPECT_EQ(tried_before_ours("/dev/null"), DatagramSender::most_at_once);
    EXPECT_EQ(tried_before_ours(folder_ / "none"), 1);
}

TEST_F(DatagramReplierTest, HoldsABoundedNumberForEach) {
    const auto add = [this](uid_t uid) { return replier_->add({0, uid, uid, "/dev/null", "x"}); };
    for (std::size_t i = 0; i < limits::datagram_replies; ++i) EXPECT_TRUE(add(stranger));
    EXPECT_FALSE(add(stranger));
    EXPECT_TRUE(add(stranger + 1));
    send_all();
    EXPECT_TRUE(add(stranger));
}

TEST_F(DatagramReplierTest, UnreadRepliesOfOneUserTakeNoRoomFromOthers) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: a reply as another user";
    // Many sockets that are never read fill the send buffer of the server's, and then of the one
    // that is the stranger's own.
    const std::string large(limits::datagram_reply_bytes, 'x');
    std::vector<UniqueFd> unread;
    std::string failure;
    for (int i = 0; i < 64 && failure.empty(); ++i) {
        const std::string path = folder_ / "unread" + std::to_string(i);
        unread.push_back(client(path, stranger));
        failure = send(stranger, path, large);
    }
    EXPECT_TRUE(failure.ends_with(": Resource temporarily unavailable")) << failure;
    const UniqueFd ours = client(folder_ / "root");
    EXPECT_EQ(send(0, folder_ / "root", large), "");
    EXPECT_EQ(receive(ours).size(), 65536U);
}

TEST_F(DatagramReplierTest, WaitsForNobody) {
    const UniqueFd socket = client(folder_ / "c");
    std::string failure;
    for (int i = 0; i < 10'000 && failure.empty(); ++i) failure = send(::geteuid(), folder_ / "c");
    EXPECT_TRUE(failure.ends_with(": Resource temporarily unavailable")) << failure;
    EXPECT_EQ(receive(socket), "reply");
}

TEST(DatagramSender, KeepsTheIdsOfItsThreadToItself) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: other ids";
    const std::string none = "/" + std::string(108, 'x');
    // So that the kernel knows it without asking the file system, which would have to wait.
    EXPECT_EQ(::access(none.c_str(), F_OK), -1);
    std::thread([&none] {
        auto sender = DatagramSender::create(false);
        ASSERT_TRUE(sender);
        EXPECT_TRUE(sender->become(stranger, stranger));
        EXPECT_FALSE(sender->become(static_cast<uid_t>(-1), stranger));
        std::array<DatagramSender::Parcel, 3> parcels{
            {{"relative", "x"}, {"", "x"}, {none.c_str(), "x"}}};
        EXPECT_EQ(sender->send(-1, parcels, [] { return -1; }), 3U);
        EXPECT_EQ(parcels[0].error, EINVAL);
        EXPECT_EQ(parcels[1].error, EINVAL);
        EXPECT_EQ(parcels[2].error, ENOENT);
    }).join();
    // The rest of the process is as it was: root's files can still be made.
    EXPECT_EQ(::access("/root", W_OK), 0);
    const TemporaryDirectory folder;
    struct stat status{};
    ASSERT_EQ(::stat(folder.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, 0U);
}

TEST(DatagramSender, SendsNothingWithoutTheIds) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: to give it up";
    std::thread([] {
        auto sender = DatagramSender::create(false);
        ASSERT_TRUE(sender);
        // Without the right to take other ids on, setfsuid(2) fails and says nothing.
        __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
        const std::array<__user_cap_data_struct, 2> none{};
        ASSERT_EQ(::syscall(SYS_capset, &header, none.data()), 0);
        const auto became = sender->become(stranger, stranger);
        ASSERT_FALSE(became);
        EXPECT_THAT(became.error().message,
                    testing::StartsWith("the ids of their receivers can't be set"));
    }).join();
}

}  // namespace
}  // namespace postern
