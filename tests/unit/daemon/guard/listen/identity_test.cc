// Who a connection comes from, with every system call made to fail in every way.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/guard/listen/identity.h"
#include "daemon/guard/listen/socket_options.h"
#include "tests/unit/sockets.h"

namespace postern {
namespace {

// What the fake kernel answers; the functions below are plain pointers, so it stands in globals.
struct FakeKernel {
    ucred credentials{4242, 1000, 1000};
    std::vector<gid_t> groups{27, 1000};
    int failing_option = 0;  // this option fails
    int error = 0;           // with this errno
    std::optional<std::string> cgroup = "1:name=systemd:/x\n0::/system.slice/ci.service\n";
    int poll_result = 0;
    std::optional<std::string> uid_map = "         0          0 4294967295\n";
    std::string own_uid_map = "         0          0 4294967295\n";
};
FakeKernel kernel;

int fake_getsockopt(int /*socket*/, int /*level*/, int option, void* value, socklen_t* length) {
    if (option == kernel.failing_option) {
        errno = kernel.error;
        return -1;
    }
    if (option == SO_PEERCRED) {
        std::memcpy(value, &kernel.credentials, sizeof kernel.credentials);
        *length = sizeof kernel.credentials;
        return 0;
    }
    if (option == SO_PEERGROUPS) {
        const auto size = static_cast<socklen_t>(kernel.groups.size() * sizeof(gid_t));
        const bool fits = *length >= size;
        *length = size;
        if (!fits) {
            errno = ERANGE;
            return -1;
        }
        std::memcpy(value, kernel.groups.data(), size);
        return 0;
    }
    if (option == SO_PEERPIDFD) {
        const int descriptor = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        std::memcpy(value, &descriptor, sizeof descriptor);
        return 0;
    }
    errno = ENOPROTOOPT;
    return -1;
}

int fake_poll(pollfd* /*fds*/, nfds_t /*count*/, int /*timeout*/) {
    return kernel.poll_result;
}

std::vector<std::string> files_read;

std::optional<std::string> fake_read(const std::string& path) {
    files_read.push_back(path);
    if (path == "/proc/4242/uid_map") return kernel.uid_map;
    return path == "/proc/4242/cgroup" ? kernel.cgroup : std::nullopt;
}

Result<Peer> identify_with(FakeKernel state, const PeerQuestions& questions = {}) {
    kernel = std::move(state);
    const PeerCalls calls{fake_getsockopt, fake_poll, fake_read, &kernel.own_uid_map};
    POSTERN_TRY(auto credentials, credentials_of(0, calls));
    return identify(0, credentials, questions, calls);
}

std::vector<int> all_errnos() {
    std::vector<int> errnos;
    for (int error = 1; error < 134; ++error) errnos.push_back(error);
    return errnos;
}

TEST(Identity, IsWhatTheKernelSays) {
    auto peer = identify_with({});
    ASSERT_TRUE(peer) << peer.error().message;
    EXPECT_EQ(peer->caller.uid, 1000U);
    EXPECT_EQ(peer->caller.gid, 1000U);
    EXPECT_EQ(peer->caller.groups, (std::vector<gid_t>{27, 1000}));
    EXPECT_EQ(peer->pid, 4242);
    EXPECT_EQ(peer->unit.get(), "ci.service");
}

TEST(Identity, HoldsThePrimaryGroupThatIsNotSupplementary) {
    auto peer = identify_with({.credentials = {4242, 1000, 500}, .groups = {1000, 27, 27}});
    ASSERT_TRUE(peer);
    EXPECT_EQ(peer->caller.groups, (std::vector<gid_t>{27, 500, 1000}));
}

TEST(Identity, HoldsSixtyFiveThousandGroups) {
    std::vector<gid_t> groups(65536);
    for (std::size_t i = 0; i < groups.size(); ++i) groups[i] = static_cast<gid_t>(i + 1);
    auto peer = identify_with({.credentials = {1, 1000, 1}, .groups = groups});
    ASSERT_TRUE(peer);
    EXPECT_EQ(peer->caller.groups, groups);
}

TEST(Identity, RefusesIdsThatAreNone) {
    EXPECT_FALSE(identify_with({.credentials = {0, 1000, 1000}}));
    EXPECT_FALSE(identify_with({.credentials = {4242, 0xffffffff, 1000}}));
    EXPECT_FALSE(identify_with({.credentials = {4242, 1000, 0xffffffff}}));
    EXPECT_FALSE(identify_with({.credentials = {0, 0xffffffff, 0xffffffff}}));
}

const PeerCalls fake_calls{fake_getsockopt, fake_poll, fake_read, &kernel.own_uid_map};

Result<Peer> identify_sender_with(FakeKernel state, bool is_pinned = true, bool unit = true) {
    kernel = std::move(state);
    UniqueFd pidfd(is_pinned ? ::open("/dev/null", O_RDONLY | O_CLOEXEC) : -1);
    return identify_sender(kernel.credentials, std::move(pidfd), unit, fake_calls);
}

TEST(SenderIdentity, HasNoGroupsThatAreKnownButItsOwn) {
    auto peer = identify_sender_with({});
    ASSERT_TRUE(peer) << peer.error().message;
    EXPECT_EQ(peer->caller.uid, 1000U);
    EXPECT_EQ(peer->caller.groups, std::vector<gid_t>{1000});
    EXPECT_FALSE(peer->caller.groups_known);
    EXPECT_EQ(peer->pid, 4242);
    EXPECT_EQ(peer->unit.get(), "ci.service");
    EXPECT_EQ(describe(peer->caller, peer->unit.get()),
              "uid 1000, gid 1000, groups 1000, and others that are not known, unit ci.service");
}

TEST(SenderIdentity, HasNoUnitWhereNothingPinsTheProcess) {
    EXPECT_EQ(identify_sender_with({}, false)->unit.get(), std::nullopt);
    EXPECT_EQ(identify_sender_with({.poll_result = 1})->unit.get(), std::nullopt);
}

TEST(SenderIdentity, ReadsTheUnitWhenItIsAskedFor) {
    auto at_once = identify_sender_with({});
    EXPECT_TRUE(at_once->unit.is_read());
    auto late = identify_sender_with({}, true, false);
    EXPECT_FALSE(late->unit.is_read());
    EXPECT_EQ(late->unit.get(fake_calls), "ci.service");
    EXPECT_TRUE(late->unit.is_read());
    // Of one that ended meanwhile nothing is known.
    auto ended = identify_sender_with({}, true, false);
    kernel.poll_result = 1;
    EXPECT_EQ(ended->unit.get(fake_calls), std::nullopt);
    EXPECT_TRUE(identify_sender_with({}, false, false)->unit.is_read());
}

TEST(SenderIdentity, RefusesIdsThatAreNone) {
    for (const ucred none : {ucred{0, 1000, 1000}, ucred{-1, 1000, 1000},
                             ucred{4242, 0xffffffff, 1000}, ucred{4242, 1000, 0xffffffff}}) {
        auto peer = identify_sender_with({.credentials = none});
        ASSERT_FALSE(peer);
        EXPECT_EQ(peer.error().message, "the kernel does not know who sent it");
    }
}

TEST(Identity, OfAnUnconnectedSocketIsRefused) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto credentials = credentials_of(socket.get());
    ASSERT_FALSE(credentials);
    EXPECT_EQ(credentials.error().message, "the kernel does not know who the peer is");
}

TEST(Identity, ABigUidIsItsOwn) {
    auto peer = identify_with({.credentials = {1, 2147483648U, 2147483648U}});
    ASSERT_TRUE(peer);
    EXPECT_EQ(peer->caller.uid, 2147483648U);
}

TEST(Identity, EveryErrorOfTheCredentialsRefuses) {
    for (const int error : all_errnos()) {
        EXPECT_FALSE(identify_with({.failing_option = SO_PEERCRED, .error = error}))
            << std::strerror(error);
    }
}

TEST(Identity, EveryErrorOfTheGroupsRefuses) {
    for (const int error : all_errnos()) {
        EXPECT_FALSE(identify_with({.failing_option = SO_PEERGROUPS, .error = error}))
            << std::strerror(error);
    }
}

TEST(Identity, EveryErrorOfThePidfdRefusesOrLeavesTheUnitUnknown) {
    for (const int error : all_errnos()) {
        auto peer = identify_with({.failing_option = SO_PEERPIDFD, .error = error});
        const bool tolerated =
            error == ENOPROTOOPT || error == ESRCH || error == EINVAL || error == ENODATA;
        ASSERT_EQ(peer.has_value(), tolerated) << std::strerror(error);
        if (peer) {
            EXPECT_EQ(peer->caller.uid, 1000U);
            EXPECT_EQ(peer->unit.get(), std::nullopt) << std::strerror(error);
        }
    }
}

TEST(Identity, OfAPeerThatIsGoneHasNoUnit) {
    EXPECT_EQ(identify_with({.cgroup = std::nullopt})->unit.get(), std::nullopt);
    EXPECT_EQ(identify_with({.cgroup = "1:name=systemd:/system.slice/x.service\n"})->unit.get(),
              std::nullopt);
    // It ended between the reading and the check: what was read may be another process's.
    EXPECT_EQ(identify_with({.poll_result = 1})->unit.get(), std::nullopt);
    EXPECT_EQ(identify_with({.poll_result = -1})->unit.get(), std::nullopt);
}

// What makes no difference is not asked: no file of the process is read.
TEST(Identity, AsksOnlyWhatItIsToldTo) {
    files_read.clear();
    const auto neither = identify_with({}, {.unit = false, .map = false});
    ASSERT_TRUE(neither);
    EXPECT_EQ(files_read, std::vector<std::string>{});
    EXPECT_FALSE(neither->unit.is_read());
    EXPECT_FALSE(neither->caller.process_known);
    EXPECT_EQ(neither->caller.groups, (std::vector<gid_t>{27, 1000}));
    const auto map = identify_with({}, {.unit = false, .map = true});
    EXPECT_EQ(files_read, std::vector<std::string>{"/proc/4242/uid_map"});
    EXPECT_TRUE(map && map->caller.process_known && !map->unit.is_read());
    files_read.clear();
    const auto unit = identify_with({}, {.unit = true, .map = false});
    EXPECT_EQ(files_read, std::vector<std::string>{"/proc/4242/cgroup"});
    EXPECT_TRUE(unit && unit->unit.is_read());
    EXPECT_FALSE(unit->caller.process_known);
}

TEST(LateUnit, IsReadWhenItIsFirstAskedFor) {
    const int lowest_free = UniqueFd(::dup(0)).get();
    auto peer = identify_with({}, {.unit = false, .map = false});
    ASSERT_TRUE(peer);
    EXPECT_NE(UniqueFd(::dup(0)).get(), lowest_free);
    LateUnit unit = std::move(peer->unit);
    files_read.clear();
    EXPECT_EQ(unit.get(fake_calls), "ci.service");
    EXPECT_TRUE(unit.is_read());
    EXPECT_EQ(UniqueFd(::dup(0)).get(), lowest_free) << "nothing pins the process any more";
    kernel.cgroup = "0::/system.slice/other.service\n";
    EXPECT_EQ(unit.get(fake_calls), "ci.service");
    EXPECT_EQ(files_read, std::vector<std::string>{"/proc/4242/cgroup"});
}

TEST(LateUnit, OfAProcessThatEndedBeforeIsNotKnown) {
    const auto peer = identify_with({}, {.unit = false, .map = false});
    ASSERT_TRUE(peer);
    kernel.poll_result = 1;
    EXPECT_EQ(peer->unit.get(fake_calls), std::nullopt);
    kernel.poll_result = 0;
    EXPECT_EQ(peer->unit.get(fake_calls), std::nullopt) << "its pid may be another one's by now";
    EXPECT_EQ(LateUnit().get(fake_calls), std::nullopt);
    EXPECT_EQ(LateUnit(std::string("x.service")).get(fake_calls), "x.service");
}

TEST(Identity, HoldsWhatTheMapOfItsNamespaceBeginsWith) {
    const auto map_of = [](FakeKernel state) {
        auto peer = identify_with(std::move(state));
        EXPECT_TRUE(peer && peer->caller.process_known);
        return peer->caller.mapped_from;
    };
    using Uids = std::vector<uid_t>;
    EXPECT_EQ(map_of({}), Uids{}) << "the guard's own";
    EXPECT_EQ(map_of({.uid_map = "0 1000 1\n1 100000 65536\n"}), (Uids{1000, 100000}));
    EXPECT_EQ(map_of({.uid_map = "0 1000 1\n5 1000 1\n1 100000 65536\n"}), (Uids{1000, 100000}))
        << "each once";
    EXPECT_EQ(map_of({.uid_map = "0 4294967295 1\n"}), Uids{4294967295U});
    // Root wrote it.
    EXPECT_EQ(map_of({.uid_map = "0 0 65536\n"}), Uids{});
    EXPECT_EQ(map_of({.uid_map = "0 100000 65536\n65536 0 1\n"}), Uids{});
    // The guard itself is in a namespace.
    const std::string own = "0 100000 65536\n";
    EXPECT_EQ(map_of({.uid_map = own, .own_uid_map = own}), Uids{});
    EXPECT_EQ(map_of({.uid_map = "0 1000 1\n", .own_uid_map = own}), Uids{1000});
    EXPECT_EQ(map_of({.uid_map = "0 0 1000\n", .own_uid_map = own}), Uids{});
}

TEST(Identity, HasNoNamespaceThatIsKnownWhereNothingPinsTheProcess) {
    const auto expect_unknown = [](const Result<Peer>& peer) {
        ASSERT_TRUE(peer);
        EXPECT_FALSE(peer->caller.process_known);
        EXPECT_EQ(peer->caller.mapped_from, std::vector<uid_t>{});
    };
    expect_unknown(identify_with({.failing_option = SO_PEERPIDFD, .error = ENOPROTOOPT}));
    expect_unknown(identify_with({.failing_option = SO_PEERPIDFD, .error = ESRCH}));
    expect_unknown(identify_with({.poll_result = 1, .uid_map = "0 1000 1\n"}));
    expect_unknown(identify_with({.uid_map = std::nullopt}));
    expect_unknown(identify_with({.uid_map = ""}));
    expect_unknown(identify_with({.uid_map = "0 1000\n"}));
    expect_unknown(identify_sender_with({}, false));
    expect_unknown(identify_sender_with({.uid_map = "0 1000 1\n"}));
    expect_unknown(identify_sender_with({}));
    // That the unit can't be told says nothing of it.
    EXPECT_TRUE(identify_with({.cgroup = std::nullopt})->caller.process_known);
}

TEST(Identity, OfARealPairIsOurOwn) {
    const SocketPair pair;
    auto peer = identify(pair.here.get(), *credentials_of(pair.here.get()), {});
    ASSERT_TRUE(peer) << peer.error().message;
    EXPECT_EQ(peer->caller.uid, ::geteuid());
    EXPECT_EQ(peer->pid, ::getpid());
    EXPECT_EQ(peer->caller.process_known, units_are_known());
    EXPECT_EQ(peer->caller.mapped_from, std::vector<uid_t>{});
    EXPECT_TRUE(std::ranges::is_sorted(peer->caller.groups));
    EXPECT_TRUE(std::ranges::binary_search(peer->caller.groups, ::getegid()));
}

TEST(Identity, DoesNotLeakThePidfd) {
    const SocketPair pair;
    const int before = ::dup(pair.here.get());
    ::close(before);
    for (int i = 0; i < 10; ++i)
        ASSERT_TRUE(identify(pair.here.get(), *credentials_of(pair.here.get()), {}));
    const int after = ::dup(pair.here.get());
    ::close(after);
    EXPECT_EQ(before, after);
}

TEST(UnitOfCgroup, IsReadFromTheFront) {
    const std::vector<std::pair<std::string, std::optional<std::string>>> rows = {
        {"/system.slice/nginx.service", "nginx.service"},
        {"/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"},
        {"/a.slice/a-b.slice/ci.service/payload/evil.service", "ci.service"},
        {"/user.slice/user-1000.slice/session-3.scope", "session-3.scope"},
        // A user makes what it likes below its own manager.
        {"/user.slice/user-1000.slice/user@1000.service/app.slice/backup.service",
         "user@1000.service"},
        {"/init.scope", "init.scope"},
        {"/", std::nullopt},
        {"", std::nullopt},
        {"/payload", std::nullopt},
        {"/payload/nginx.service", std::nullopt},
        {"/system.slice", std::nullopt},
        {"/../nginx.service", std::nullopt},
        {"nginx.service", std::nullopt},
        {"//nginx.service", std::nullopt},
    };
    for (const auto& [path, unit] : rows) EXPECT_EQ(unit_of_cgroup(path), unit) << path;
}

// Another's name, or a file of the kernel's, might stand there: systemd puts a "_" in front.
TEST(UnitOfCgroup, NamesAreTakenOutOfTheirEscape) {
    const std::vector<std::pair<std::string, std::optional<std::string>>> rows = {
        {"/system.slice/_io.service", "io.service"},
        {"/system.slice/_cpu.service/payload", "cpu.service"},
        {"/system.slice/_memory.high.service", "memory.high.service"},
        {"/system.slice/_cgroup.scope", "cgroup.scope"},
        {"/system.slice/__x.service", "_x.service"},
        {"/system.slice/___x.service", "__x.service"},
        {"/system.slice/x_y.service", "x_y.service"},
        {"/_io.slice/io-a.slice/x.service", "x.service"},
        {"/system.slice/_", std::nullopt},
        {"/system.slice/_.service", std::nullopt},
    };
    for (const auto& [path, unit] : rows) EXPECT_EQ(unit_of_cgroup(path), unit) << path;
}

// a-b.slice is in a.slice and nowhere else (systemd.slice(5)): what does not nest is not of the
// system's systemd, and so neither is what is in it.
TEST(UnitOfCgroup, SlicesNestByTheirNames) {
    const std::vector<std::pair<std::string, std::optional<std::string>>> rows = {
        {"/a.slice/a-b.slice/a-b-c.slice/x.service", "x.service"},
        {"/a\\x2db.slice/a\\x2db-c.slice/x.service", "x.service"},
        {"/x.service", "x.service"},
        {"/a.slice/x.slice/ci.service", std::nullopt},
        {"/a.slice/system.slice/ci.service", std::nullopt},
        {"/machine.slice/system.slice/ci.service", std::nullopt},
        {"/a.slice/a.slice/ci.service", std::nullopt},
        {"/a.slice/a-b-c.slice/ci.service", std::nullopt},
        {"/a.slice/ab.slice/ci.service", std::nullopt},
        {"/a-b.slice/ci.service", std::nullopt},
        {"/a.slice/a-.slice/ci.service", std::nullopt},
        {"/a.slice/a--b.slice/ci.service", std::nullopt},
        {"/-.slice/ci.service", std::nullopt},
        {"/-a.slice/ci.service", std::nullopt},
        {"/.slice/ci.service", std::nullopt},
        {"/a.slice/a-b@c.slice/ci.service", std::nullopt},
        {"/lxc.payload.x/system.slice/ci.service", std::nullopt},
        {"/lxc.payload.x.slice/system.slice/ci.service", std::nullopt},
        {"/user.slice/user-1000.slice/user@1000.service/app.slice/ci.service", "user@1000.service"},
    };
    for (const auto& [path, unit] : rows) EXPECT_EQ(unit_of_cgroup(path), unit) << path;
}

TEST(DescribeCaller, NamesAtMostThirtyTwoGroups) {
    EXPECT_EQ(describe({1000, 100, {27, 100}}, std::nullopt), "uid 1000, gid 100, groups 27 100");
    EXPECT_EQ(describe({1000, 100, {100}}, "ci.service"),
              "uid 1000, gid 100, groups 100, unit ci.service");
    policy::Caller many{1, 1, {}};
    for (gid_t group = 1; group <= 40; ++group) many.groups.push_back(group);
    const std::string text = describe(many, std::nullopt);
    EXPECT_TRUE(text.ends_with(" 31 32 and 8 more")) << text;
}

}  // namespace
}  // namespace postern
