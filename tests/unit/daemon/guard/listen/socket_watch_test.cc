// Files of sockets that somebody takes away from a running guard.
#include "daemon/guard/listen/socket_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/daemon/event_loop.h"
#include "tests/unit/sockets.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

class SocketWatchTest : public testing::Test {
  protected:
    void bind(const std::string& path, bool datagram = false) {
        auto listener = bind_listener({path, 0600, std::nullopt, datagram});
        ASSERT_TRUE(listener) << listener.error().message;
        listeners_.push_back(std::move(*listener));
    }
    void watch(bool own_user = false) {
        watch_.emplace(event_.get(), listeners_, own_user, [this](Listener listener) {
            served_.push_back((listener.datagram ? "datagram " : "stream ") + listener.name);
            listeners_.push_back(std::move(listener));
            return Status();
        });
    }
    // As one that the service manager has passed.
    void bind_for_guard(const std::string& path, bool administrator, bool datagram) {
        Listener listener;
        listener.name = path;
        listener.socket = socket_at(path, datagram ? SOCK_DGRAM : SOCK_STREAM);
        listener.file = std::make_shared<SocketFile>(path);
        listener.administrator = administrator;
        listener.datagram = datagram;
        listeners_.push_back(std::move(listener));
    }
    // Turns of the loop, until something was bound again.
    void run_until_served(std::size_t count) {
        while (served_.size() < count) {
            ASSERT_GE(sd_event_run(event_.get(), 50'000'000), 1) << "nothing happened";
        }
    }

    const TemporaryDirectory folder_;
    EventLoop event_ = make_event_loop();
    std::vector<Listener> listeners_;
    std::optional<SocketWatch> watch_;
    std::vector<std::string> served_;
};

TEST_F(SocketWatchTest, IsToldOfWhatHappensInTheDirectory) {
    const std::string one = folder_ / "one";
    const std::string other = folder_ / "other";
    bind(one);
    bind(other, true);
    watch();
    watch_->start();
    fs::remove(one);
    run_until_served(1);
    fs::rename(other, folder_ / "elsewhere");
    run_until_served(2);
    EXPECT_THAT(served_, ElementsAre("stream " + one, "datagram " + other));
    EXPECT_THAT(watch_->problems(), IsEmpty());
}

TEST_F(SocketWatchTest, IsToldWhenADirectoryIsMadeAgain) {
    const std::string path = folder_ / "a/b/s";
    fs::create_directories(folder_ / "a/b");
    bind(path);
    watch();
    watch_->start();
    fs::remove_all(folder_ / "a");
    watch_->look();
    ASSERT_EQ(watch_->problems().size(), 1U);
    fs::create_directory(folder_ / "a");
    watch_->look();
    ASSERT_EQ(watch_->problems().size(), 1U);
    fs::create_directory(folder_ / "a/b");
    run_until_served(1);
    EXPECT_THAT(watch_->problems(), IsEmpty());
}

TEST_F(SocketWatchTest, LooksWithoutBeingToldAsWell) {
    const std::string path = folder_ / "s";
    bind(path);
    watch();
    watch_->look();
    EXPECT_THAT(served_, IsEmpty());
    fs::remove(path);
    std::ofstream(path) << "another's";
    watch_->look();
    EXPECT_THAT(
        watch_->problems(),
        ElementsAre("socket \"" + path +
                    "\": there is a regular file at that path; posternd "
                    "leaves it alone, so remove it yourself (its own file was removed or replaced, "
                    "so callers can't reach the daemon there)"));
    fs::remove(path);
    watch_->look();
    EXPECT_THAT(served_, ElementsAre("stream " + path));
    EXPECT_THAT(watch_->problems(), IsEmpty());
}

TEST_F(SocketWatchTest, NamesTheCommandThatMendsWhatIsSystemds) {
    const auto problem = [&](const char* name, const std::string& command) {
        return "socket " + folder_ / name +
               ": its file was removed or replaced, so callers can't reach the daemon there; run: "
               "systemctl " +
               command;
    };
    bind_for_guard(folder_ / "s", false, false);
    bind_for_guard(folder_ / "a", true, false);
    bind_for_guard(folder_ / "d", false, true);
    watch();
    watch_->look();
    EXPECT_THAT(watch_->problems(), IsEmpty());
    fs::remove(folder_ / "s");
    fs::remove(folder_ / "a");
    // Another socket, at the same path.
    fs::remove(folder_ / "d");
    const UniqueFd other = socket_at(folder_ / "d", SOCK_DGRAM);
    watch_->look();
    EXPECT_THAT(watch_->problems(),
                ElementsAre(problem("s", "restart posternd.socket"),
                            problem("a", "restart posternd-admin.socket posternd.service"),
                            problem("d", "restart posternd-datagram.socket posternd.service")));
    watch(true);
    watch_->look();
    EXPECT_THAT(watch_->problems().front(), problem("s", "--user restart posternd.socket"));
    EXPECT_THAT(served_, IsEmpty());
    EXPECT_TRUE(fs::exists(folder_ / "d"));
}

TEST_F(SocketWatchTest, APassedSocketWithoutItsFileIsSaidFromTheStart) {
    bind_for_guard(folder_ / "s", false, false);
    fs::remove(folder_ / "s");
    listeners_.front().file = std::make_shared<SocketFile>(folder_ / "s");
    watch();
    watch_->start();
    EXPECT_EQ(watch_->problems().size(), 1U);
}

}  // namespace
}  // namespace postern
