// Whether the action directories are what they were: by path, whatever was done to them.
#include "daemon/policy/file/marks.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/temporary_directory.h"

namespace postern::policy {
namespace {

class MarksTest : public testing::Test {
  protected:
    MarksTest() {
        vendor_ = root_.make_folder("vendor");
        local_ = root_.make_folder("local");
        root_.write("local/one.json", "1");
    }
    Marks look() { return look_at({vendor_, local_}); }

    TemporaryDirectory root_;
    std::string vendor_;
    std::string local_;
};

TEST_F(MarksTest, NothingChanged) {
    const Marks marks = look();
    EXPECT_EQ(marks, look());
    EXPECT_TRUE(are_same(marks));
    EXPECT_TRUE(are_same(marks, "one"));
    EXPECT_TRUE(are_same(marks, "none"));
    EXPECT_FALSE(any_remote(marks));
    EXPECT_TRUE(marks.at(1).of("one").is_there());
    EXPECT_EQ(marks.at(0).of("one"), Mark());
}

TEST_F(MarksTest, AFileIsRemovedMadeOrReplaced) {
    Marks marks = look();
    std::filesystem::remove(local_ + "/one.json");
    EXPECT_FALSE(are_same(marks));
    EXPECT_FALSE(are_same(marks, "one"));
    marks = look();
    root_.write("vendor/one.json", "1");
    EXPECT_FALSE(are_same(marks, "one"));
    marks = look();
    root_.write("vendor/new", "2");
    std::filesystem::rename(vendor_ + "/new", vendor_ + "/one.json");
    EXPECT_FALSE(are_same(marks, "one"));
}

TEST_F(MarksTest, AFileIsWrittenInPlace) {
    const Marks marks = look();
    ::usleep(20'000);  // more than a tick of the clock of its times
    std::ofstream(local_ + "/one.json") << "2";
    EXPECT_TRUE(are_same(marks)) << "the directory does not know";
    EXPECT_FALSE(are_same(marks, "one"));
    EXPECT_TRUE(are_same(marks, "two"));
}

TEST_F(MarksTest, AFileChangesItsMode) {
    const Marks marks = look();
    ::usleep(20'000);
    ASSERT_EQ(::chmod((local_ + "/one.json").c_str(), 0666), 0);
    EXPECT_FALSE(are_same(marks, "one"));
}

TEST_F(MarksTest, ADirectoryIsReplacedOrVanishes) {
    const Marks marks = look();
    std::filesystem::rename(local_, root_ / "other");
    EXPECT_FALSE(are_same(marks));
    const Marks without = look();
    EXPECT_FALSE(without.at(1).mark.is_there());
    EXPECT_TRUE(are_same(without, "one"));
    root_.make_folder("local");
    root_.write("local/one.json", "1");
    EXPECT_FALSE(are_same(marks, "one"));
    EXPECT_FALSE(are_same(without, "one"));
}

TEST_F(MarksTest, ALinkIsFollowed) {
    root_.write("elsewhere", "1");
    std::filesystem::create_symlink(root_ / "elsewhere", local_ + "/link.json");
    const Marks marks = look();
    EXPECT_TRUE(are_same(marks, "link"));
    std::filesystem::remove(root_ / "elsewhere");
    EXPECT_FALSE(are_same(marks, "link"));
    const Marks dangling = look();
    EXPECT_TRUE(are_same(dangling, "link"));
    root_.write("elsewhere", "1");
    EXPECT_FALSE(are_same(dangling, "link"));
}

// What a caller names may be anything.
TEST_F(MarksTest, ANameThatNoFileHasIsNotLookedFor) {
    root_.write("outside.json", "1");
    const Marks marks = look();
    for (const std::string& name : {std::string("../outside"), std::string(4096, 'x'),
                                    std::string("a\0b", 3), std::string()}) {
        EXPECT_TRUE(are_same(marks, name));
    }
}

}  // namespace
}  // namespace postern::policy
