// What waits for a session, and in which order it goes.
#include "daemon/guard/sessions/outbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "daemon/channel/messages.h"
#include "daemon/channel/transport.h"

namespace postern {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class OutboxTest : public testing::Test {
  protected:
    OutboxTest() {
        auto pair = channel::make_pair();
        EXPECT_TRUE(pair);
        guard_ = std::move(pair->first);
        session_ = std::move(pair->second);
    }

    // What the session has got, by what it is.
    std::vector<std::string> received() {
        std::vector<std::string> all;
        for (;;) {
            const auto packet = receiver_.receive(session_.get());
            if (packet.state != channel::Received::State::packet) return all;
            const auto message = channel::decode_to_session(packet.packet);
            EXPECT_TRUE(message);
            if (const auto* begin = std::get_if<channel::SnapshotBegin>(&message->body)) {
                all.push_back("begin " + std::to_string(begin->count));
            } else if (const auto* one = std::get_if<channel::SnapshotAction>(&message->body)) {
                all.push_back("action " + one->action.name);
            } else if (std::holds_alternative<channel::SnapshotEnd>(message->body)) {
                all.emplace_back("end");
            } else if (const auto* refused = std::get_if<Refused>(&message->body)) {
                all.push_back("refused " + refused->subject.substr(0, 5) + " with " +
                              std::to_string(packet.descriptors.size()));
            } else {
                all.emplace_back("something else");
            }
        }
    }

    static channel::Bytes message(const std::string& subject) {
        return channel::encode({channel::ConnectionId{1}, channel::RequestId{2},
                                Refused{Refusal::unavailable, subject, ""}});
    }
    static policy::SnapshotPtr snapshot(const std::vector<std::string>& names) {
        auto made = std::make_shared<policy::Snapshot>();
        for (const std::string& name : names) {
            policy::Action action;
            action.description.name = name;
            policy::Rule rule;
            rule.subject.everyone = true;
            action.allow = {rule};
            made->actions.emplace(name, std::move(action));
        }
        return made;
    }
    static policy::Caller caller() { return {1000, 1000, {1000}}; }
    channel::Sent flush() {
        bool progress = false;
        return outbox_.flush(guard_.get(), progress);
    }
    // Until the channel takes no more.
    void fill_channel() {
        const channel::Bytes large = message(std::string(limits::packet_bytes / 2, 'x'));
        while (channel::send_packet(guard_.get(), large, {}) == channel::Sent::sent) {
        }
    }

    UniqueFd guard_;
    UniqueFd session_;
    channel::Receiver receiver_{channel::Descriptors::taken};
    Outbox outbox_;
};

TEST_F(OutboxTest, MessagesGoBeforeTheSet) {
    EXPECT_EQ(outbox_.add_snapshot(snapshot({"a", "b"}), caller(), std::nullopt), nullptr);
    EXPECT_EQ(outbox_.add(message("first"), {}), nullptr);
    EXPECT_FALSE(outbox_.empty());
    EXPECT_EQ(flush(), channel::Sent::sent);
    EXPECT_TRUE(outbox_.empty());
    EXPECT_THAT(received(),
                ElementsAre("begin 2", "refused first with 0", "action a", "action b", "end"));
}

TEST_F(OutboxTest, ANewSetTakesThePlaceOfOneThatIsBeingSent) {
    EXPECT_EQ(outbox_.add_snapshot(snapshot({"old"}), caller(), std::nullopt), nullptr);
    EXPECT_EQ(outbox_.add_snapshot(snapshot({"new"}), caller(), std::nullopt), nullptr);
    EXPECT_EQ(flush(), channel::Sent::sent);
    EXPECT_THAT(received(), ElementsAre("begin 1", "begin 1", "action new", "end"));
}

TEST_F(OutboxTest, DescriptorsGoWithTheirMessage) {
    std::vector<UniqueFd> files;
    files.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
    files.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(outbox_.add(message("files"), std::move(files)), nullptr);
    EXPECT_EQ(flush(), channel::Sent::sent);
    EXPECT_THAT(received(), ElementsAre("refused files with 2"));
}

TEST_F(OutboxTest, WhatTheChannelDoesNotTakeStays) {
    fill_channel();
    EXPECT_EQ(outbox_.add(message("later"), {}), nullptr);
    bool progress = false;
    EXPECT_EQ(outbox_.flush(guard_.get(), progress), channel::Sent::full);
    EXPECT_FALSE(progress);
    EXPECT_FALSE(outbox_.empty());
    (void)received();
    EXPECT_EQ(outbox_.flush(guard_.get(), progress), channel::Sent::sent);
    EXPECT_TRUE(progress);
    EXPECT_THAT(received(), ElementsAre("refused later with 0"));
}

TEST_F(OutboxTest, ASessionThatIsGoneIsSeen) {
    session_.reset();
    EXPECT_EQ(outbox_.add(message("x"), {}), nullptr);
    EXPECT_EQ(flush(), channel::Sent::ended);
}

TEST_F(OutboxTest, IsBoundedInBytesOfAMessageAndOfAll) {
    EXPECT_STREQ(outbox_.add(message(std::string(limits::packet_bytes, 'x')), {}),
                 "an answer to it is too long");
    EXPECT_TRUE(outbox_.empty());
    const channel::Bytes large = message(std::string(limits::packet_bytes - 100, 'x'));
    for (std::size_t bytes = large.size(); bytes <= limits::session_queue_bytes;
         bytes += large.size()) {
        ASSERT_EQ(outbox_.add(large, {}), nullptr);
    }
    EXPECT_STREQ(outbox_.add(large, {}), "it does not read what it is sent");
}

TEST_F(OutboxTest, IsBoundedInDescriptors) {
    const auto files = [](std::size_t count) {
        std::vector<UniqueFd> made;
        for (std::size_t i = 0; i < count; ++i) {
            made.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
        }
        return made;
    };
    EXPECT_EQ(outbox_.add(message("x"), files(limits::session_queue_descriptors)), nullptr);
    EXPECT_STREQ(outbox_.add(message("x"), files(1)), "it does not read what it is sent");
    outbox_.clear();
    EXPECT_TRUE(outbox_.empty());
    EXPECT_EQ(outbox_.add(message("x"), files(1)), nullptr);
}

}  // namespace
}  // namespace postern
