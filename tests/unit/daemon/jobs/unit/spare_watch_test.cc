// What lets spares go: mounts, and directories that are others by now.
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "daemon/jobs/unit/spare_places.h"
#include "daemon/jobs/unit/world_watch.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

// In a mount table of its own, which needs root.
bool in_own_mounts(const std::function<void()>& what) {
    return in_child([&] {
        ASSERT_EQ(unshare(CLONE_NEWNS), 0);
        ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
        what();
    });
}

TEST(WorldWatch, SeesMounts) {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    const TemporaryDirectory place{0755};
    EXPECT_TRUE(in_own_mounts([&] {
        sd_event* made = nullptr;
        ASSERT_GE(sd_event_new(&made), 0);
        const EventLoop loop(made);
        int changes = 0;
        WorldWatch watch(loop.get(), "/proc/self/mountinfo", [&] { ++changes; });
        EXPECT_TRUE(watch.has_changed()) << "nothing is known before it is started";
        ASSERT_TRUE(watch.start());
        EXPECT_FALSE(watch.has_changed());
        const std::string path = place / "";
        ASSERT_EQ(mount("none", path.c_str(), "tmpfs", 0, nullptr), 0);
        EXPECT_TRUE(watch.has_changed());
        EXPECT_FALSE(watch.has_changed()) << "it is told once";
        ASSERT_EQ(umount(path.c_str()), 0);
        EXPECT_GT(sd_event_run(loop.get(), 0), 0);
        EXPECT_EQ(changes, 1);
        watch.stop();
        ASSERT_EQ(mount("none", path.c_str(), "tmpfs", 0, nullptr), 0);
        EXPECT_EQ(sd_event_run(loop.get(), 0), 0);
        EXPECT_EQ(changes, 1);
    }));
}

TEST(WorldWatch, SaysWhereItCanNotWatch) {
    sd_event* made = nullptr;
    ASSERT_GE(sd_event_new(&made), 0);
    const EventLoop loop(made);
    WorldWatch missing(loop.get(), "/nowhere/mountinfo", [] {});
    EXPECT_FALSE(missing.start());
    WorldWatch file(loop.get(), "/etc/passwd", [] {});
    EXPECT_FALSE(file.start()) << "a file does not tell of changes";
}

TEST(SparePlaces, AreTheSameUntilOneIsReplaced) {
    const TemporaryDirectory place{0755};
    place.make_folder("a", 0755);
    place.make_folder("b", 0755);
    std::filesystem::create_symlink("a", place / "link");
    const auto places = SparePlaces::of({place / "a", place / "link", "/"});
    ASSERT_TRUE(places);
    EXPECT_TRUE(places->are_the_same());
    place.write("a/file", "what is in it does not count\n");
    EXPECT_TRUE(places->are_the_same());
    std::filesystem::remove(place / "link");
    EXPECT_FALSE(places->are_the_same());
    std::filesystem::create_symlink("b", place / "link");
    EXPECT_FALSE(places->are_the_same());
    std::filesystem::remove(place / "link");
    std::filesystem::create_symlink("a", place / "link");
    EXPECT_TRUE(places->are_the_same());
    // It may well get the number of the one before.
    std::filesystem::remove_all(place / "a");
    place.make_folder("a", 0755);
    EXPECT_FALSE(places->are_the_same());
    EXPECT_FALSE(SparePlaces::of({place / "a", place / "missing"}));
}

}  // namespace
}  // namespace postern::jobs
