// Sockets that are passed in, and sockets that the guard binds itself.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "daemon/guard/listen/listener.h"
#include "tests/unit/sockets.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

class ListenerTest : public testing::Test {
  protected:
    std::string error_of(const BindOptions& options) {
        auto listener = bind_listener(options);
        EXPECT_FALSE(listener);
        return listener ? "" : listener.error().message;
    }
    std::string error_of(const std::string& path) {
        return error_of({path, 0660, std::nullopt, false});
    }
    struct stat status_of(const std::string& path) {
        struct stat status{};
        EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
        return status;
    }

    const TemporaryDirectory folder_;
    const std::string path_ = folder_ / "s";
};

int connect_to(const std::string& path) {
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = unix_address(path);
    return ::connect(socket.get(), any_address(address), sizeof address) == 0 ? 0 : errno;
}

TEST_F(ListenerTest, HasExactlyTheModeAsked) {
    for (const mode_t mode : {0600U, 0660U, 0666U, 0755U}) {
        const mode_t mask = ::umask(0777);
        auto listener = bind_listener({path_, mode, std::nullopt, false});
        ::umask(mask);
        ASSERT_TRUE(listener) << listener.error().message;
        const struct stat status = status_of(path_);
        EXPECT_EQ(status.st_mode, S_IFSOCK | mode);
        EXPECT_EQ(status.st_size, 0);
        EXPECT_EQ(connect_to(path_), 0);
    }
}

TEST_F(ListenerTest, TheFileGoesWithTheListener) {
    {
        auto listener = bind_listener({path_, 0600, std::nullopt, false});
    }
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(ListenerTest, AFileThatIsNotOursAnyMoreStays) {
    {
        auto listener = bind_listener({path_, 0600, std::nullopt, false});
        ASSERT_TRUE(listener);
        ASSERT_EQ(::unlink(path_.c_str()), 0);
        std::ofstream(path_) << "another's";
    }
    EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(ListenerTest, IsBoundAgainByTheSameRules) {
    auto listener = bind_listener({path_, 0642, std::nullopt, false});
    ASSERT_TRUE(listener);
    SocketFile& file = *listener->file;
    EXPECT_TRUE(file.is_own());
    EXPECT_TRUE(file.is_there());
    const std::string old = path_ + ".old";
    std::filesystem::rename(path_, old);
    EXPECT_FALSE(file.is_there());
    {
        auto again = file.bind_again();
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_TRUE(file.is_there());
        struct stat status{};
        ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 07777, 0642U);
        EXPECT_EQ(connect_to(path_), 0);
        // The one before is served as well, and may come back.
        EXPECT_EQ(connect_to(old), 0);
        std::filesystem::rename(old, path_);
        EXPECT_TRUE(file.is_there());
        EXPECT_EQ(connect_to(path_), 0);
    }
    listener->file.reset();
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(ListenerTest, IsNotBoundAgainWhereSomethingElseLies) {
    auto listener = bind_listener({path_, 0600, std::nullopt, false});
    ASSERT_TRUE(listener);
    std::filesystem::remove(path_);
    std::ofstream(path_) << "another's";
    auto again = listener->file->bind_again();
    ASSERT_FALSE(again);
    EXPECT_THAT(again.error().message, testing::HasSubstr("there is a regular file at that path"));
    listener->file.reset();
    EXPECT_TRUE(std::filesystem::is_regular_file(path_));
    EXPECT_FALSE(std::filesystem::exists(path_ + ".lock"));
}

TEST_F(ListenerTest, IsNotBoundAgainWhereAnotherGuardHasThePath) {
    auto listener = bind_listener({path_, 0600, std::nullopt, false});
    ASSERT_TRUE(listener);
    std::filesystem::remove(path_);
    std::filesystem::remove(path_ + ".lock");
    const auto another = bind_listener({path_, 0600, std::nullopt, false});
    ASSERT_TRUE(another);
    auto again = listener->file->bind_again();
    ASSERT_FALSE(again);
    EXPECT_THAT(again.error().message, testing::HasSubstr("another posternd uses it"));
    listener->file.reset();
    EXPECT_TRUE(std::filesystem::exists(path_ + ".lock"));
    EXPECT_EQ(connect_to(path_), 0);
}

TEST_F(ListenerTest, AFolderIsMadeWhereThatWasAskedFor) {
    const std::string path = folder_ / "new/s.sock";
    BindOptions options{path, 0600, std::nullopt, false, true};
    auto listener = bind_listener(options);
    ASSERT_TRUE(listener) << listener.error().message;
    std::filesystem::remove_all(folder_ / "new");
    ASSERT_TRUE(listener->file->bind_again());
    struct stat status{};
    ASSERT_EQ(::stat((folder_ / "new").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0700U);
    listener->file.reset();
}

TEST_F(ListenerTest, TakesOverItsOwnStaleSocket) {
    {
        const UniqueFd dead = socket_at(path_, SOCK_STREAM);
        ASSERT_EQ(::listen(dead.get(), 1), 0);
    }
    EXPECT_EQ(connect_to(path_), ECONNREFUSED);
    auto listener = bind_listener({path_, 0600, std::nullopt, false});
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_EQ(connect_to(path_), 0);
}

TEST_F(ListenerTest, LeavesALiveSocketAlone) {
    const UniqueFd other = socket_at(path_, SOCK_STREAM);
    ASSERT_EQ(::listen(other.get(), 8), 0);
    const ino_t inode = status_of(path_).st_ino;
    EXPECT_EQ(error_of(path_), "socket \"" + path_ + "\": another program is listening there");
    EXPECT_EQ(status_of(path_).st_ino, inode);
    EXPECT_EQ(connect_to(path_), 0);
}

TEST_F(ListenerTest, LeavesADatagramSocketAlone) {
    const UniqueFd other = socket_at(path_, SOCK_DGRAM);
    EXPECT_EQ(error_of(path_), "socket \"" + path_ + "\": another program is listening there");
}

TEST_F(ListenerTest, TheSecondAtOnePathIsRefused) {
    auto first = bind_listener({path_, 0600, std::nullopt, false});
    ASSERT_TRUE(first);
    EXPECT_EQ(error_of(path_),
              "socket \"" + path_ + "\": another posternd uses it (it holds " + path_ + ".lock)");
    EXPECT_EQ(connect_to(path_), 0);
}

TEST_F(ListenerTest, LeavesWhateverIsNoSocketAlone) {
    std::ofstream(path_) << "text";
    EXPECT_EQ(error_of(path_), "socket \"" + path_ +
                                   "\": there is a regular file at that path; posternd "
                                   "leaves it alone, so remove it yourself");
    ASSERT_EQ(::unlink(path_.c_str()), 0);
    ASSERT_EQ(::symlink("/tmp/nowhere-at-all", path_.c_str()), 0);
    EXPECT_EQ(error_of(path_), "socket \"" + path_ +
                                   "\": there is a symbolic link at that path; posternd "
                                   "leaves it alone, so remove it yourself");
    EXPECT_TRUE(S_ISLNK(status_of(path_).st_mode));
    ASSERT_EQ(::unlink(path_.c_str()), 0);
    ASSERT_EQ(::mkdir(path_.c_str(), 0700), 0);
    EXPECT_EQ(error_of(path_), "socket \"" + path_ +
                                   "\": there is a directory at that path; posternd "
                                   "leaves it alone, so remove it yourself");
}

TEST_F(ListenerTest, LeavesAForeignStaleSocketAlone) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: a socket of another uid";
    {
        const UniqueFd dead = socket_at(path_, SOCK_STREAM);
    }
    ASSERT_EQ(::chown(path_.c_str(), 64001, 64001), 0);
    EXPECT_EQ(error_of(path_), "socket \"" + path_ +
                                   "\": there is a stale socket of uid 64001; posternd "
                                   "leaves it alone, so remove it yourself");
    EXPECT_TRUE(S_ISSOCK(status_of(path_).st_mode));
}

TEST_F(ListenerTest, SaysWhatIsWrongWithAPath) {
    EXPECT_EQ(error_of("run/s"),
              "socket \"run/s\": not an absolute path; start it with /, for example "
              "/run/postern/postern.sock");
    EXPECT_EQ(error_of("@abstract"),
              "socket \"@abstract\": abstract addresses have no owner and no mode; give an "
              "absolute path");
    EXPECT_EQ(error_of(folder_ / ""),
              "socket \"" + folder_.path() + "/\": a directory, not a file; name a file in it");
    const std::string longest = folder_ / std::string(107 - folder_.path().size() - 1, 'x');
    EXPECT_TRUE(bind_listener({longest, 0600, std::nullopt, false}));
    EXPECT_EQ(error_of(longest + "x"),
              "socket \"" + longest +
                  "x\": the path has 108 bytes; a socket's path may have at most 107");
    const std::string none = folder_ / "none";
    EXPECT_EQ(error_of(none + "/s"), "socket \"" + none + "/s\": " + none +
                                         " does not exist; create it or correct the path");
    for (const auto& [mode, shown] : {std::pair(0777, "0777"), {0775, "0775"}, {0757, "0757"}}) {
        ASSERT_EQ(::chmod(folder_.path().c_str(), static_cast<mode_t>(mode)), 0);
        EXPECT_EQ(error_of(path_),
                  "socket \"" + path_ + "\": " + folder_.path() +
                      " can be written by users other than its owner (owned by uid " +
                      std::to_string(::geteuid()) + ", mode " + shown + "); run: chmod go-w " +
                      folder_.path() +
                      "; or give another path, because "
                      "others could remove the socket there");
        ASSERT_EQ(::chmod(folder_.path().c_str(), static_cast<mode_t>(mode | S_ISVTX)), 0);
        EXPECT_TRUE(bind_listener({path_, 0600, std::nullopt, false}));
    }
    ASSERT_EQ(::chmod(folder_.path().c_str(), 0700), 0);
}

TEST_F(ListenerTest, ADatagramSocketIsMadeByTheSameRules) {
    const BindOptions options{path_, 0620, std::nullopt, true};
    {
        const UniqueFd dead = socket_at(path_, SOCK_DGRAM);
    }
    {
        auto listener = bind_listener(options);
        ASSERT_TRUE(listener) << listener.error().message;
        EXPECT_TRUE(listener->datagram);
        EXPECT_EQ(status_of(path_).st_mode, S_IFSOCK | 0620U);
        EXPECT_EQ(connect_to(path_), EPROTOTYPE);
        int on = 0;
        socklen_t length = sizeof on;
        ASSERT_EQ(::getsockopt(listener->socket.get(), SOL_SOCKET, SO_PASSCRED, &on, &length), 0);
        EXPECT_EQ(on, 1);
        EXPECT_EQ(
            error_of(options),
            "socket \"" + path_ + "\": another posternd uses it (it holds " + path_ + ".lock)");
    }
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST(PassedListener, ForPacketsMustBeADatagramSocket) {
    const auto check = [](int domain, int type) {
        UniqueFd descriptor(::socket(domain, type | SOCK_CLOEXEC, 0));
        const std::string number = std::to_string(descriptor.get());
        auto listener = check_listener(std::move(descriptor), "postern-datagram");
        if (listener) return std::string(listener->datagram ? "datagram" : "stream");
        const std::string who =
            "passed descriptor " + number + " (\"postern-datagram\") is refused: it is ";
        EXPECT_TRUE(listener.error().message.starts_with(who)) << listener.error().message;
        return listener.error().message.substr(who.size());
    };
    EXPECT_EQ(check(AF_UNIX, SOCK_DGRAM), "datagram");
    EXPECT_EQ(check(AF_UNIX, SOCK_STREAM), "not a datagram socket; use ListenDatagram=");
    EXPECT_EQ(check(AF_UNIX, SOCK_SEQPACKET), "not a datagram socket; use ListenDatagram=");
    EXPECT_EQ(check(AF_INET, SOCK_DGRAM),
              "not a Unix socket; give ListenDatagram= an absolute path");
}

TEST(PassedListener, MustBeAListeningUnixStreamSocket) {
    const auto refused = [](UniqueFd descriptor) {
        const int number = descriptor.get();
        auto listener = check_listener(std::move(descriptor), "extra");
        EXPECT_FALSE(listener);
        const std::string who =
            "passed descriptor " + std::to_string(number) + " (\"extra\") is refused: it is ";
        EXPECT_TRUE(listener.error().message.starts_with(who)) << listener.error().message;
        return listener.error().message.substr(who.size());
    };
    EXPECT_EQ(refused(UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC))), "not a socket");
    EXPECT_EQ(refused(UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))),
              "not a Unix socket; give ListenStream= an absolute path");
    EXPECT_EQ(refused(UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0))),
              "not a stream socket; use ListenStream=");
    EXPECT_EQ(refused(UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))),
              "not listening; use ListenStream= with Accept=no");
}

}  // namespace
}  // namespace postern
