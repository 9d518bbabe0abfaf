#include "tests/unit/daemon/session/harness.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "tests/unit/sockets.h"

namespace postern::test {

using session::Session;

void Client::send(std::string_view bytes) {
    ASSERT_EQ(try_send(bytes), bytes.size());
}

std::size_t Client::try_send(std::string_view bytes) {
    const ssize_t sent =
        ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
}

void Client::send_with_descriptor(std::string_view bytes, int descriptor) {
    ASSERT_EQ(send_with(socket_.get(), bytes, std::span(&descriptor, 1), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
}

void Client::end_input() {
    ASSERT_EQ(::shutdown(socket_.get(), SHUT_WR), 0);
}

std::string Client::receive() {
    std::string all;
    std::array<char, 65536> buffer;
    for (;;) {
        const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (count < 0) {
            EXPECT_EQ(errno, EAGAIN) << std::strerror(errno);
            return all;
        }
        if (count == 0) {
            ended_ = true;
            return all;
        }
        all.append(buffer.data(), static_cast<std::size_t>(count));
    }
}

SessionHarness::SessionHarness(std::vector<ActionDescription> actions) {
    auto pair = channel::make_pair();
    EXPECT_TRUE(pair.has_value());
    channel_ = std::move(pair->first);
    auto created = Session::create(std::move(pair->second));
    EXPECT_TRUE(created.has_value());
    session_ = std::move(*created);
    session_->set_clock([this] { return now_; });
    session_->ready();
    expect<channel::Ready>();
    send(channel::Welcome{"0.1", 1000, 1000, 2, 32768});
    send(channel::Groups{{27, 1000}});
    send_snapshot(actions);
    EXPECT_EQ(settle(), Session::State::running);
}

void SessionHarness::send(channel::ToSession body, std::vector<int> descriptors) {
    send(Envelope{{}, {}, std::move(body)}, std::move(descriptors));
}

void SessionHarness::send(std::uint64_t connection, channel::ToSession body,
                          std::vector<int> descriptors) {
    send(connection, {}, std::move(body), std::move(descriptors));
}

void SessionHarness::send(std::uint64_t connection, channel::RequestId request,
                          channel::ToSession body, std::vector<int> descriptors) {
    send(Envelope{channel::ConnectionId{connection}, request, std::move(body)},
         std::move(descriptors));
}

void SessionHarness::send(const Envelope& message, std::vector<int> descriptors) {
    send_raw(channel::encode(message), std::move(descriptors));
}

void SessionHarness::send_raw(const channel::Bytes& packet, std::vector<int> descriptors) {
    ASSERT_EQ(channel::send_packet(channel_.get(), packet, descriptors), channel::Sent::sent);
}

void SessionHarness::send_snapshot(const std::vector<ActionDescription>& actions) {
    send(channel::SnapshotBegin{static_cast<std::uint32_t>(actions.size())});
    for (const auto& action : actions) {
        send(channel::SnapshotAction{action});
        settle(1);
    }
    send(channel::SnapshotEnd{});
}

void SessionHarness::give(const channel::Connection& connection, int descriptor) {
    send(channel::Connections{{connection}}, {descriptor});
}

Client SessionHarness::connect(std::uint64_t connection, std::int32_t pid, std::string unit) {
    return connect_by(connection, pid, std::move(unit), 0);
}

Client SessionHarness::connect_small(std::uint64_t connection, int send_buffer) {
    return connect_by(connection, 4711, "", send_buffer);
}

Client SessionHarness::connect_by(std::uint64_t connection, std::int32_t pid, std::string unit,
                                  int send_buffer) {
    SocketPair pair;
    if (send_buffer > 0) {
        EXPECT_EQ(::setsockopt(pair.there.get(), SOL_SOCKET, SO_SNDBUF, &send_buffer,
                               sizeof(send_buffer)),
                  0);
    }
    const channel::ConnectionId id{connection};
    give({id, pid, std::move(unit)}, pair.there.get());
    EXPECT_EQ(expect<channel::Accepted>().all, std::vector{id});
    return Client(std::move(pair.here));
}

Session::State SessionHarness::settle(int steps) {
    auto state = Session::State::running;
    for (int i = 0; i < steps && state == Session::State::running; ++i) state = session_->step(0);
    return state;
}

bool SessionHarness::until(const std::function<bool()>& holds) {
    for (int i = 0; i < 100'000; ++i) {
        if (holds()) return true;
        if (session_->step(0) != Session::State::running) return holds();
    }
    return false;
}

std::optional<channel::Envelope<channel::ToGuard>> SessionHarness::heard() {
    const auto received = receiver_->receive(channel_.get());
    EXPECT_TRUE(received.descriptors.empty()) << "a session sends no descriptors";
    if (received.state != channel::Received::State::packet) return std::nullopt;
    auto message = channel::decode_to_guard(received.packet);
    EXPECT_TRUE(message.has_value());
    if (!message) return std::nullopt;
    return *message;
}

channel::ClosedConnection SessionHarness::expect_closed() {
    const auto closed = expect<channel::Closed>();
    EXPECT_EQ(closed.all.size(), 1U);
    return closed.all.size() == 1 ? closed.all[0] : channel::ClosedConnection{};
}

bool SessionHarness::silent() {
    settle();
    const auto message = heard();
    if (message) report_unexpected(message);
    return !message;
}

void SessionHarness::report_unexpected(
    const std::optional<channel::Envelope<channel::ToGuard>>& message) {
    ADD_FAILURE() << (message ? "the session said message " + std::to_string(message->body.index())
                              : std::string("the session said nothing"));
}

TestFile::TestFile() : file_(::memfd_create("output", MFD_CLOEXEC)) {}

void TestFile::append(std::string_view bytes) {
    const off_t end = ::lseek(fd(), 0, SEEK_END);
    ASSERT_EQ(::pwrite(fd(), bytes.data(), bytes.size(), end), static_cast<ssize_t>(bytes.size()));
}

void TestFile::truncate(std::uint64_t size) {
    ASSERT_EQ(::ftruncate(fd(), static_cast<off_t>(size)), 0);
}

void TestFile::punch(std::uint64_t offset, std::uint64_t length) {
    ASSERT_EQ(::fallocate(fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                          static_cast<off_t>(offset), static_cast<off_t>(length)),
              0);
}

UniqueFd TestFile::reader() const {
    const std::string path = "/proc/self/fd/" + std::to_string(fd());
    return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

std::vector<ActionDescription> some_actions() {
    ActionDescription restart;
    restart.name = "web.restart";
    restart.summary = "Restart a web service";
    restart.description = "Stops it and starts it again.";
    restart.timeout = std::chrono::milliseconds(30'500);
    ArgumentSpec service;
    service.name = "service";
    service.summary = "Which one";
    service.values = {"nginx", "php-fpm"};
    ArgumentSpec numbers;
    numbers.name = "workers";
    numbers.type = ArgumentType::list;
    numbers.items = ArgumentType::integer;
    numbers.required = false;
    numbers.fallback = Value(std::vector<Scalar>{std::int64_t{1}, std::int64_t{2}});
    numbers.minimum = -1;
    numbers.max_items = 4;
    restart.arguments = {service, numbers};

    ActionDescription hello;
    hello.name = "hello";
    hello.summary = "Say \"Hi\"";
    hello.timeout = std::chrono::minutes(1);
    return {restart, hello};
}

}  // namespace postern::test
