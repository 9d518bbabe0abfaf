// What has come to rest, with times from outside.
#include "daemon/policy/file/settling.h"

#include <gtest/gtest.h>

namespace postern::policy {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using Names = Settling::Names;

class SettlingTest : public testing::Test {
  protected:
    // A mark that says "changed `age` before the present".
    [[nodiscard]] Mark aged(nanoseconds age, std::uint64_t inode = 1) const {
        Mark mark;
        mark.error = 0;
        mark.inode = inode;
        const auto at = now_.wall.time_since_epoch() - age;
        const auto whole = std::chrono::floor<seconds>(at);
        mark.changed = {whole.count(), static_cast<std::uint32_t>((at - whole).count())};
        return mark;
    }
    void pass(nanoseconds time) {
        now_.steady += time;
        now_.wall += time;
    }
    Settling::Found take(const Marks& before, const Marks& after, const Names& open = {},
                         nanoseconds quiet = Settling::quiet_time) {
        return settling_.take(before, after, open, now_, quiet, sources_);
    }
    Settling::Found take(const Names& open = {}) { return take(marks_, marks_, open); }

    Settling::Now now_{Settling::Steady(seconds(1000)),
                       std::chrono::system_clock::time_point(seconds(1'800'000'000))};
    Marks marks_ = {{"/vendor", aged(seconds(60)), false, {}, {}},
                    {"/local", aged(seconds(60)), false, {{"one", aged(seconds(60))}}, {}}};
    Settling::Sources sources_ = {{"one", 1}};
    Settling settling_;
};

TEST_F(SettlingTest, WhatIsOldIsAtRest) {
    const auto found = take();
    EXPECT_EQ(found.restless, Names{});
    EXPECT_FALSE(found.next);
}

TEST_F(SettlingTest, WhatIsYoungIsNot) {
    marks_[1].files["one"] = aged(milliseconds(50));
    auto found = take();
    EXPECT_EQ(found.restless, Names{"one"});
    EXPECT_EQ(found.next, milliseconds(150));
    pass(milliseconds(150));
    EXPECT_EQ(take().restless, Names{});
}

TEST_F(SettlingTest, WhereFilesAreReadyATickIsEnough) {
    marks_[1].files["one"] = aged(milliseconds(5));
    EXPECT_EQ(take(marks_, marks_, {}, Settling::ready_time).next, milliseconds(15));
    pass(milliseconds(15));
    EXPECT_EQ(take(marks_, marks_, {}, Settling::ready_time).restless, Names{});
}

TEST_F(SettlingTest, WhatVanishesOrComesIsNot) {
    take();
    pass(seconds(1));
    marks_[1].mark = aged(milliseconds(10));
    marks_[1].files.clear();
    EXPECT_EQ(take().restless, Names{"one"});
    EXPECT_EQ(take().next, milliseconds(190));
    // The other directory has not changed, and the file of it is not what is asked for.
    pass(milliseconds(100));
    marks_[1].files["one"] = aged(milliseconds(1), 2);
    EXPECT_EQ(take().restless, Names{"one"});
    pass(milliseconds(199));
    EXPECT_EQ(take().restless, Names{});
}

TEST_F(SettlingTest, WhatChangesWhileItIsReadIsNot) {
    take();
    pass(seconds(1));
    Marks after = marks_;
    after[1].files["one"] = aged(seconds(60), 2);
    EXPECT_EQ(take(marks_, after).restless, Names{"one"});
    EXPECT_EQ(take(after, after).restless, Names{}) << "its own time says that it is old";
}

TEST_F(SettlingTest, WhereTheClockWasSetBackItIsWatched) {
    marks_[1].files["one"] = aged(-seconds(3600));
    EXPECT_EQ(take().next, Settling::quiet_time);
    pass(Settling::quiet_time);
    EXPECT_EQ(take().restless, Names{});
}

TEST_F(SettlingTest, WhatNeverRestsIsTakenAsItIs) {
    take();
    int restless = 0;
    for (std::uint64_t i = 0; i < 60; ++i) {
        pass(milliseconds(100));
        marks_[1].files["one"] = aged(milliseconds(1), 10 + i);
        const auto found = take();
        if (found.restless.empty()) break;
        EXPECT_LE(found.next, Settling::quiet_time);
        ++restless;
    }
    EXPECT_EQ(restless, 50);
}

// Where the file of a package shows in its absence.
TEST_F(SettlingTest, WhatComesAndGoesNeverUncoversAnother) {
    take();
    for (std::uint64_t i = 0; i < 100; ++i) {
        pass(milliseconds(100));
        marks_[1].mark = aged(milliseconds(1), 2);
        marks_[1].files.clear();
        sources_ = {{"one", 0}};
        EXPECT_EQ(take().restless, Names{"one"}) << i;
        // However seldom it is looked: it was there in between.
        pass(milliseconds(200));
        marks_[1].mark = aged(milliseconds(1), 2);
        const auto found = take(marks_, marks_, {}, Settling::ready_time);
        EXPECT_EQ(found.restless, Names{"one"}) << i;
        EXPECT_EQ(found.uncovered, Names{"one"}) << i;
        pass(milliseconds(100));
        marks_[1].files["one"] = aged(milliseconds(1), 10 + i);
        Marks before = marks_;
        before[1].files.clear();
        EXPECT_EQ(take(before, marks_).restless, Names{"one"})
            << i << ": it was read before it came";
        sources_ = {{"one", 1}};
        take();
    }
}

TEST_F(SettlingTest, WhatIsGoneForGoodUncoversAnother) {
    take();
    pass(seconds(1));
    sources_ = {{"one", 0}};
    marks_[1].mark = aged(milliseconds(10));
    marks_[1].files.clear();
    EXPECT_EQ(take(marks_, marks_, {}, Settling::ready_time).next, milliseconds(190));
    pass(milliseconds(190));
    EXPECT_EQ(take(marks_, marks_, {}, Settling::ready_time).restless, Names{});
}

// But for the directory's time, which changes with other files.
TEST_F(SettlingTest, WhatIsGoneForGoodUncoversAnotherInAStormToo) {
    take();
    sources_ = {{"one", 0}};
    marks_[1].files.clear();
    int restless = 0;
    for (std::uint64_t i = 0; i < 100; ++i) {
        pass(milliseconds(100));
        marks_[1].mark = aged(milliseconds(1), 10 + i);
        if (take().restless.empty()) break;
        ++restless;
    }
    EXPECT_EQ(restless, 50);
}

TEST_F(SettlingTest, OthersAreNotPutOff) {
    take();
    pass(seconds(1));
    marks_[1].files["one"] = aged(milliseconds(1), 2);
    marks_[1].files["two"] = aged(milliseconds(300));
    EXPECT_EQ(take().restless, Names{"one"});
}

TEST_F(SettlingTest, WhatIsOpenIsHeldAfterAWhile) {
    EXPECT_EQ(take({"one"}).restless, Names{"one"});
    EXPECT_TRUE(take({"one"}).waits_for_close);
    EXPECT_FALSE(take({"one"}).next);
    pass(Settling::patience);
    auto found = take({"one"});
    EXPECT_EQ(found.restless, Names{});
    EXPECT_EQ(found.held, Names{"one"});
    EXPECT_FALSE(found.waits_for_close);
    EXPECT_EQ(take().held, Names{});
    EXPECT_EQ(take({"one"}).held, Names{}) << "it was closed in between";
}

TEST_F(SettlingTest, ADirectoryThatJustChangedIsNotAtRestAtTheStart) {
    marks_[1].mark = aged(milliseconds(120));
    EXPECT_EQ(take().next, milliseconds(80));
    pass(milliseconds(80));
    EXPECT_FALSE(take().next);
    marks_[1].mark = aged(milliseconds(1));
    pass(Settling::quiet_time);
    EXPECT_FALSE(take().next) << "from now on each file is known";
}

}  // namespace
}  // namespace postern::policy
