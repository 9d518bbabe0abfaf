// Packets off a datagram socket, as the kernel hands them over.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/guard/datagram/datagram_receiver.h"
#include "daemon/guard/listen/listener.h"
#include "daemon/guard/listen/socket_options.h"
#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/droppers.h"
#include "tests/unit/sockets.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

sockaddr_un address_of(const std::string& path, socklen_t* length) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path));
    *length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    return address;
}

class DatagramReceiverTest : public testing::Test {
  protected:
    void SetUp() override {
        auto listener = bind_listener({folder_ / "server", 0600, std::nullopt, true});
        ASSERT_TRUE(listener) << listener.error().message;
        listener_ = std::move(*listener);
        receiver_.emplace(listener_.socket.get(), dropper_);
    }
    // As on a kernel that can't refuse descriptors to their sender (before 6.16), or before that
    // was asked of it.
    void let_descriptors_through(bool let) {
        const int on = let ? 1 : 0;
        (void)::setsockopt(listener_.socket.get(), SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof on);
    }

    // A socket, bound where `address` is not empty.
    UniqueFd sender(const std::string& address) {
        UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (address.empty()) return socket;
        socklen_t length = 0;
        const sockaddr_un bound = address_of(address, &length);
        EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&bound), length), 0)
            << std::strerror(errno);
        return socket;
    }
    ssize_t send(int socket, const std::string& bytes, const std::vector<int>& descriptors = {}) {
        socklen_t length = 0;
        const sockaddr_un to = address_of(folder_ / "server", &length);
        return send_with(socket, bytes, descriptors, MSG_DONTWAIT, &to, length);
    }
    enum class State : std::uint8_t { packet, nothing, failed };
    struct One {
        State state = State::nothing;
        DatagramPacket packet;
    };
    One receive(bool unit = true) {
        auto batch = receiver_->receive(1, unit);
        if (batch.all.empty()) return {};
        EXPECT_EQ(batch.all.size(), 1U);
        const bool failed = batch.all[0].state == DatagramReceiver::Received::State::failed;
        return {failed ? State::failed : State::packet, std::move(batch.all[0].packet)};
    }
    // The payloads of what is received at once, and whether there is more.
    std::pair<std::vector<std::string>, bool> receive_many(std::size_t most) {
        auto batch = receiver_->receive(most, true);
        std::vector<std::string> payloads;
        for (const auto& one : batch.all) {
            EXPECT_TRUE(one.packet.peer && one.packet.peer->pid == ::getpid());
            payloads.push_back(one.packet.payload);
        }
        return {payloads, batch.more};
    }

    const TemporaryDirectory folder_;
    const Droppers droppers_;
    Dropper dropper_{droppers_.source()};
    const SocketPair pair_;
    Listener listener_;
    std::optional<DatagramReceiver> receiver_;
};

TEST_F(DatagramReceiverTest, SaysWhoSentItAndWhereAReplyMayGo) {
    EXPECT_EQ(receive().state, State::nothing);
    const UniqueFd bound = sender(folder_ / "client");
    EXPECT_EQ(send(bound.get(), "hello"), 5);
    const auto received = receive();
    ASSERT_EQ(received.state, State::packet);
    const DatagramPacket& packet = received.packet;
    ASSERT_TRUE(packet.peer) << packet.peer.error().message;
    EXPECT_EQ(packet.peer->caller.uid, ::getuid());
    EXPECT_EQ(packet.peer->caller.gid, ::getgid());
    EXPECT_FALSE(packet.peer->caller.groups_known);
    EXPECT_EQ(packet.peer->pid, ::getpid());
    EXPECT_EQ(packet.payload, "hello");
    EXPECT_EQ(packet.reply_path, folder_ / "client");
    EXPECT_FALSE(packet.too_long || packet.descriptors);
    EXPECT_EQ(receive().state, State::nothing);
}

TEST_F(DatagramReceiverTest, TakesManyAtOnceWhereNoneCarriesDescriptors) {
    using Payloads = std::vector<std::string>;
    EXPECT_EQ(receive_many(16), (std::pair(Payloads{}, false)));
    const bool looks_first = receiver_->looks_first();
    EXPECT_EQ(looks_first, !refuses_descriptors(listener_.socket.get()));
    const UniqueFd bound = sender(folder_ / "client");
    for (const char* const bytes : {"a", "bc", "", "def", "g"}) {
        EXPECT_GE(send(bound.get(), bytes), 0);
    }
    if (looks_first) {
        EXPECT_EQ(receive_many(3), (std::pair(Payloads{"a"}, true)));
        return;
    }
    EXPECT_EQ(receive_many(3), (std::pair(Payloads{"a", "bc", ""}, true)));
    EXPECT_EQ(receive_many(16), (std::pair(Payloads{"def", "g"}, false)));
    for (int i = 0; i < 2; ++i) EXPECT_GE(send(bound.get(), std::string(65537, 'x')), 0);
    EXPECT_EQ(receive_many(16).first, Payloads(2, std::string(65537, 'x')));
    EXPECT_EQ(receive_many(16), (std::pair(Payloads{}, false)));
}

// So long as it was not seen empty, what waits was perhaps sent before descriptors were refused.
TEST_F(DatagramReceiverTest, TakesOneAtATimeUntilItsSocketWasEmpty) {
    const UniqueFd unbound = sender("");
    for (const char* const bytes : {"a", "b"}) EXPECT_EQ(send(unbound.get(), bytes), 1);
    for (const char* const bytes : {"a", "b"}) {
        EXPECT_EQ(receive_many(16), (std::pair(std::vector<std::string>{bytes}, true)));
    }
}

TEST_F(DatagramReceiverTest, ReadsTheSendersUnitWhenItIsAskedFor) {
    EXPECT_EQ(receive().state, State::nothing);
    const UniqueFd unbound = sender("");
    EXPECT_EQ(send(unbound.get(), "x"), 1);
    EXPECT_TRUE(receive().packet.peer->unit.is_read());
    EXPECT_EQ(send(unbound.get(), "x"), 1);
    const bool pinned = units_are_known() && !receiver_->looks_first();
    EXPECT_EQ(receive(false).packet.peer->unit.is_read(), !pinned);
}

// Of all descriptors that there may be, half are left to others.
TEST_F(DatagramReceiverTest, PinsNoProcessByOneOfTheHighestDescriptors) {
    EXPECT_EQ(receive().state, State::nothing);
    const UniqueFd unbound = sender("");
    std::vector<UniqueFd> others;
    do {
        others.emplace_back(::dup(unbound.get()));
        ASSERT_TRUE(others.back());
    } while (others.back().get() < LateUnit::highest_pinning());
    EXPECT_EQ(send(unbound.get(), "x"), 1);
    EXPECT_TRUE(receive(false).packet.peer->unit.is_read());
}

TEST_F(DatagramReceiverTest, HasNoPathWhereNoneIsSafe) {
    EXPECT_EQ(send(sender("").get(), "x"), 1);
    EXPECT_EQ(receive().packet.reply_path, "") << "no address";
    EXPECT_EQ(send(sender(std::string("\0postern-abstract", 17)).get(), "x"), 1);
    EXPECT_EQ(receive().packet.reply_path, "") << "an abstract one";
    const auto before = std::filesystem::current_path();
    std::filesystem::current_path(folder_.path());
    const UniqueFd relative = sender("relative");
    std::filesystem::current_path(before);
    EXPECT_EQ(send(relative.get(), "x"), 1);
    EXPECT_EQ(receive().packet.reply_path, "") << "a relative one";
}

TEST_F(DatagramReceiverTest, TakesAPathOfFullLength) {
    const std::string path = folder_ / std::string(108 - folder_.path().size() - 1, 'x');
    const UniqueFd bound = sender(path);
    EXPECT_EQ(send(bound.get(), "x"), 1);
    EXPECT_EQ(receive().packet.reply_path, path);
}

TEST_F(DatagramReceiverTest, TellsTheLongestPacketFromOneThatIsTooLong) {
    const UniqueFd unbound = sender("");
    const std::string longest(limits::message_bytes + 1, 'x');
    EXPECT_GT(send(unbound.get(), longest), 0);
    auto received = receive();
    EXPECT_FALSE(received.packet.too_long);
    EXPECT_EQ(received.packet.payload, longest);
    for (const std::size_t more : {1U, 2U, 65536U}) {
        EXPECT_GT(send(unbound.get(), longest + std::string(more, 'y')), 0);
        received = receive();
        EXPECT_TRUE(received.packet.too_long) << more;
        EXPECT_EQ(received.packet.payload, "");
        EXPECT_TRUE(received.packet.peer) << more;
    }
    EXPECT_EQ(send(unbound.get(), ""), 0);
    received = receive();
    EXPECT_EQ(received.state, State::packet);
    EXPECT_EQ(received.packet.payload, "");
    EXPECT_FALSE(received.packet.too_long);
}

// ThreadSanitizer takes a descriptor for one and the same in all threads that have its number,
// which in the thread that starts programs it is not.
#ifndef __SANITIZE_THREAD__
// They are gone, and the guard never had them.
TEST_F(DatagramReceiverTest, LetsNoDescriptorIn) {
    let_descriptors_through(true);
    receiver_.emplace(listener_.socket.get(), dropper_);
    EXPECT_TRUE(receiver_->looks_first());
    const UniqueFd unbound = sender("");
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(dropper_.drop_packet(pair_.here.get()));  // so that its process is there
    const int lowest_free = UniqueFd(::dup(null.get())).get();
    for (const std::size_t count : {1U, 2U, 253U}) {
        EXPECT_EQ(send(unbound.get(), "x", std::vector<int>(count, null.get())), 1);
        const auto received = receive();
        ASSERT_EQ(received.state, State::packet);
        EXPECT_TRUE(received.packet.descriptors);
        EXPECT_EQ(received.packet.peer->caller.uid, ::getuid());
        EXPECT_EQ(received.packet.payload, "x");
        EXPECT_EQ(UniqueFd(::dup(null.get())).get(), lowest_free);
    }
    EXPECT_EQ(send(unbound.get(), "y"), 1);
    EXPECT_FALSE(receive().packet.descriptors);
}

// Whoever holds the socket before the guard is started does not refuse them.
TEST_F(DatagramReceiverTest, LetsNoDescriptorInThatWasSentBeforeTheyWereRefused) {
    let_descriptors_through(true);
    const UniqueFd unbound = sender("");
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    for (const char* const bytes : {"a", "b"}) {
        EXPECT_EQ(send(unbound.get(), bytes, {null.get()}), 1);
        EXPECT_EQ(send(unbound.get(), bytes), 1);
    }
    let_descriptors_through(false);
    receiver_.emplace(listener_.socket.get(), dropper_);
    const bool refuses = refuses_descriptors(listener_.socket.get());
    ASSERT_TRUE(dropper_.drop_packet(pair_.here.get()));  // so that its process is there
    const int lowest_free = UniqueFd(::dup(null.get())).get();
    for (const char* const bytes : {"a", "b"}) {
        for (const bool with : {true, false}) {
            const auto received = receive();
            ASSERT_EQ(received.state, State::packet);
            EXPECT_EQ(received.packet.payload, bytes);
            EXPECT_EQ(received.packet.descriptors, with);
            EXPECT_TRUE(received.packet.peer);
            EXPECT_EQ(UniqueFd(::dup(null.get())).get(), lowest_free);
        }
    }
    EXPECT_TRUE(receiver_->looks_first());
    EXPECT_EQ(receive().state, State::nothing);
    EXPECT_EQ(receiver_->looks_first(), !refuses);
    EXPECT_EQ(send(unbound.get(), "c"), 1);
    EXPECT_FALSE(receive().packet.descriptors);
}

// What can't be dropped elsewhere stays where it is.
TEST_F(DatagramReceiverTest, LeavesAPacketWithDescriptorsThatNobodyDrops) {
    let_descriptors_through(true);
    Dropper none(droppers_.source(), 0);
    receiver_.emplace(listener_.socket.get(), none);
    const UniqueFd unbound = sender("");
    EXPECT_EQ(send(unbound.get(), "a"), 1);
    EXPECT_EQ(send(unbound.get(), "b", {0}), 1);
    EXPECT_EQ(receive().packet.payload, "a");
    for (int i = 0; i < 2; ++i) EXPECT_EQ(receive().state, State::failed);
    receiver_.emplace(listener_.socket.get(), dropper_);
    const auto received = receive();
    EXPECT_EQ(received.packet.payload, "b");
    EXPECT_TRUE(received.packet.descriptors);
    EXPECT_EQ(receive().state, State::nothing);
}
#endif

TEST_F(DatagramReceiverTest, RefusesASenderThatTheKernelDoesNotName) {
    const int off = 0;
    ASSERT_EQ(::setsockopt(listener_.socket.get(), SOL_SOCKET, SO_PASSCRED, &off, sizeof off), 0);
    (void)::setsockopt(listener_.socket.get(), SOL_SOCKET, SO_PASSPIDFD, &off, sizeof off);
    // As sent to a socket that nobody had asked for credentials yet...
    EXPECT_EQ(send(sender("").get(), "x"), 1);
    EXPECT_EQ(send(sender("").get(), "x"), 1);
    EXPECT_EQ(receive().packet.peer.error().message, "the kernel does not say who sent it");
    // ... and received when it was.
    ASSERT_TRUE(ask_for_senders(listener_.socket.get()));
    EXPECT_EQ(receive().packet.peer.error().message, "the kernel does not know who sent it");
}

TEST_F(DatagramReceiverTest, KnowsASenderThatIsGone) {
    const pid_t child = fork_child([this] { return send(sender("").get(), "x") == 1 ? 0 : 1; });
    ASSERT_EQ(end_of(child), 0);
    const auto received = receive();
    ASSERT_TRUE(received.packet.peer) << received.packet.peer.error().message;
    EXPECT_EQ(received.packet.peer->caller.uid, ::getuid());
    EXPECT_EQ(received.packet.peer->pid, child);
    EXPECT_EQ(received.packet.peer->unit.get(), std::nullopt);
}

TEST_F(DatagramReceiverTest, LeavesNoDescriptorOpen) {
    const auto count = [] {
        return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                             std::filesystem::directory_iterator());
    };
    const auto before = count();
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(send(sender("").get(), "x"), 1);
        EXPECT_EQ(receive().state, State::packet);
    }
    EXPECT_EQ(count(), before);
}

}  // namespace
}  // namespace postern
