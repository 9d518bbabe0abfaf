// What is ready, all in one turn of the loop.
#include "daemon/loop/ready_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include <cerrno>
#include <deque>
#include <memory>
#include <vector>

#include "daemon/loop/event_flag.h"
#include "tests/unit/daemon/event_loop.h"

namespace postern {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class ReadySetTest : public testing::Test {
  protected:
    int watch(ReadySet::Source& source, const EventFlag& flag, int number,
              std::uint32_t events = EPOLLIN) {
        return set_->add(source, flag.descriptor(), events,
                         [this, number](std::uint32_t) { called_.push_back(number); });
    }
    std::vector<int> turn() {
        called_.clear();
        EXPECT_GE(sd_event_run(loop_.get(), 0), 0);
        return called_;
    }

    EventLoop loop_ = make_event_loop();
    std::unique_ptr<ReadySet> set_ = std::move(*ReadySet::create(loop_.get()));
    std::vector<int> called_;
};

TEST_F(ReadySetTest, TakesAllThatIsReadyInOneTurn) {
    const EventFlag one;
    const EventFlag two;
    const EventFlag three;
    ReadySet::Source first;
    ReadySet::Source second;
    ReadySet::Source third;
    EXPECT_EQ(watch(first, one, 1), 0);
    EXPECT_EQ(watch(second, two, 2), 0);
    EXPECT_EQ(watch(third, three, 3), 0);
    EXPECT_THAT(turn(), IsEmpty());
    one.raise();
    three.raise();
    EXPECT_THAT(turn(), UnorderedElementsAre(1, 3));
    third.reset();
    EXPECT_THAT(turn(), ElementsAre(1));
    one.lower();
    EXPECT_THAT(turn(), IsEmpty());
}

TEST_F(ReadySetTest, ComesToThoseThatOneTurnLeaves) {
    constexpr int count = 70;
    std::deque<EventFlag> flags(count);
    std::deque<ReadySet::Source> sources(count);
    for (int i = 0; i < count; ++i) {
        const auto at = static_cast<std::size_t>(i);
        flags[at].raise();
        ASSERT_EQ(watch(sources[at], flags[at], i, EPOLLIN | EPOLLET), 0);
    }
    EXPECT_EQ(turn().size(), 64U);
    EXPECT_EQ(turn().size(), 6U);
    EXPECT_THAT(turn(), IsEmpty());
}

TEST_F(ReadySetTest, WhatHasGoneInThisVeryTurnIsNotCalled) {
    const EventFlag one;
    const EventFlag two;
    ReadySet::Source first;
    ReadySet::Source second;
    const auto ends_both = [&](std::uint32_t) {
        called_.push_back(0);
        first.reset();
        second.reset();
    };
    ASSERT_EQ(set_->add(first, one.descriptor(), EPOLLIN, ends_both), 0);
    ASSERT_EQ(set_->add(second, two.descriptor(), EPOLLIN, ends_both), 0);
    one.raise();
    two.raise();
    EXPECT_THAT(turn(), ElementsAre(0));
    EXPECT_THAT(turn(), IsEmpty());
}

TEST_F(ReadySetTest, WhatIsCalledStaysUntilItHasReturned) {
    const EventFlag flag;
    ReadySet::Source source;
    const auto there = std::make_shared<int>(7);
    const std::weak_ptr<int> seen = there;
    ASSERT_EQ(set_->add(source, flag.descriptor(), EPOLLIN,
                        [this, &source, &seen, mine = there](std::uint32_t) {
                            source.reset();
                            called_.push_back(seen.expired() ? 0 : *mine);
                        }),
              0);
    flag.raise();
    EXPECT_THAT(turn(), ElementsAre(7));
    EXPECT_EQ(there.use_count(), 1);
}

TEST_F(ReadySetTest, ChangesWhatIsLookedAt) {
    const EventFlag flag;
    ReadySet::Source source;
    ASSERT_EQ(watch(source, flag, 1), 0);
    flag.raise();
    source.change(0);
    EXPECT_THAT(turn(), IsEmpty());
    source.change(EPOLLIN | EPOLLET);
    EXPECT_THAT(turn(), ElementsAre(1));
    EXPECT_THAT(turn(), IsEmpty());
    source.change(EPOLLIN | EPOLLET);
    EXPECT_THAT(turn(), ElementsAre(1)) << "the kernel looks anew";
}

TEST_F(ReadySetTest, WhatCantBeWatchedChangesNothing) {
    const EventFlag flag;
    ReadySet::Source source;
    ASSERT_EQ(watch(source, flag, 1), 0);
    EXPECT_EQ(watch(source, flag, 2), -EEXIST);
    ReadySet::Source other;
    EXPECT_EQ(set_->add(other, -1, EPOLLIN, [](std::uint32_t) {}), -EBADF);
    flag.raise();
    EXPECT_THAT(turn(), ElementsAre(1));
}

}  // namespace
}  // namespace postern
