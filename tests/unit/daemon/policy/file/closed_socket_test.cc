// Members of groups that rules allow, and that can't open the daemon's socket.
#include "daemon/policy/file/closed_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "daemon/policy/file/people_reader.h"
#include "tests/unit/daemon/policy/file/support.h"
#include "tests/unit/host/fake_accounts.h"
#include "tests/unit/sockets.h"
#include "tests/unit/temporary_directory.h"

namespace postern::policy {
namespace {

using Lines = std::vector<std::string>;

class ClosedSocketTest : public testing::Test {
  protected:
    ClosedSocketTest()
        : accounts_({{"root", 0, 0, "/root", "/bin/sh"},
                     {"alice", 1001, 1001, "/", "/bin/sh"},
                     {"bob", 1002, 2001, "/", "/bin/sh"},
                     {"carol", 1003, 1003, "/", "/bin/sh"},
                     {"dave", 1004, 2000, "/", "/bin/sh"},
                     {"u1", 1011, 2002, "/", "/bin/sh"},
                     {"u2", 1012, 2002, "/", "/bin/sh"},
                     {"u3", 1013, 2002, "/", "/bin/sh"},
                     {"u4", 1014, 2002, "/", "/bin/sh"},
                     {"u5", 1015, 2002, "/", "/bin/sh"},
                     {"u6", 1016, 2002, "/", "/bin/sh"},
                     {"u7", 1017, 2002, "/", "/bin/sh"},
                     {"games", 5, 2003, "/", "/bin/sh"},
                     {"player", 1021, 2003, "/", "/bin/sh"},
                     {"tool", 1022, 2004, "/", "/bin/sh"},
                     {"backup", 34, 2005, "/", "/bin/sh"}},
                    {{"root", 0, {}},
                     {"deploy", 2000, {"root", "alice", "bob", "carol"}},
                     {"postern", 2001, {"alice"}},
                     {"many", 2002, {}},
                     {"games", 2003, {}},
                     {"tool", 2004, {}},
                     {"backup", 2005, {"backup"}}}) {
        options_.sockets = {path_};
        options_.system_settings = folder_.path();
    }
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "only root can give a socket to another group";
        make(0660, 2001);
    }
    void make(mode_t mode, gid_t group) const {
        ASSERT_EQ(::chown(path_.c_str(), 0, group), 0);
        ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
    }
    void allow(const std::string& action, const Subject& subject) {
        snapshot_.actions[action].allow.push_back({subject, "allow it", "/" + action + ".json:3"});
    }
    [[nodiscard]] Lines kept_out() const { return read_people(options_, snapshot_).kept_out; }

    const TemporaryDirectory folder_;
    const std::string path_ = folder_ / "s";
    const UniqueFd socket_ = socket_at(path_, SOCK_STREAM);
    const FakeAccounts accounts_;
    LoadOptions options_ = root_options();
    Snapshot snapshot_;
};

TEST_F(ClosedSocketTest, NamesMembersThatAreNotInItsGroup) {
    allow("a", {.everyone = false, .user = {}, .group = 2000});
    allow("b", {.everyone = false, .user = {}, .group = 2000});  // once is enough
    allow("c", {.everyone = false, .user = {}, .group = 2001});
    EXPECT_EQ(
        kept_out(),
        Lines{"/a.json:3: allow it: members who are not in the group \"postern\" can't open " +
              path_ + " (mode 0660): carol, dave; run for each: usermod -aG postern carol"});
}

TEST_F(ClosedSocketTest, NamesFiveAtMost) {
    allow("a", {.everyone = false, .user = {}, .group = 2002});
    EXPECT_EQ(
        kept_out(),
        Lines{"/a.json:3: allow it: members who are not in the group \"postern\" can't open " +
              path_ +
              " (mode 0660): u1, u2, u3, u4, u5 and 2 more; run for each: usermod -aG "
              "postern u1"});
}

TEST_F(ClosedSocketTest, ASocketWithoutAGroupThatHelps) {
    allow("a", {.everyone = false, .user = {}, .group = 2001});
    const Lines expected = {
        "/a.json:3: allow it: members can't open " + path_ +
        " (mode 0600): alice, bob; give the socket a group that they are in, with SocketGroup= in "
        "posternd.socket, or \"socketGroup\" in posternd.json where posternd makes its sockets "
        "itself"};
    make(0600, 2001);
    EXPECT_EQ(kept_out(), expected);
}

TEST_F(ClosedSocketTest, NamesUsersAndEveryoneOnce) {
    allow("a", {.everyone = true, .user = {}, .group = {}});
    allow("b", {.everyone = true, .user = {}, .group = {}});
    allow("c", {.everyone = false, .user = 1003, .group = {}});
    allow("d", {.everyone = false, .user = 1003, .group = 2000});
    EXPECT_EQ(
        kept_out(),
        (Lines{"/a.json:3: allow it: only members of the group \"postern\" can open " + path_ +
                   " (mode 0660); if really every user is to, set SocketMode=0666 in "
                   "posternd.socket, or \"socketMode\": \"0666\" in posternd.json where posternd "
                   "makes its sockets itself",
               "/c.json:3: allow it: the user \"carol\" is not in the group \"postern\" and can't "
               "open " +
                   path_ +
                   " (mode 0660); run usermod -aG postern carol, or add "
                   "SupplementaryGroups=postern to the unit of its service"}));
    make(0600, 2001);
    EXPECT_EQ(
        kept_out(),
        (Lines{
            "/a.json:3: allow it: not every user can open " + path_ +
                " (mode 0600); if really every user is to, set SocketMode=0666 in "
                "posternd.socket, or \"socketMode\": \"0666\" in posternd.json where posternd "
                "makes its sockets itself",
            "/c.json:3: allow it: the user \"carol\" can't open " + path_ +
                " (mode 0600); give the socket a group that this user is in, with SocketGroup= "
                "in posternd.socket, or \"socketGroup\" in posternd.json where posternd makes its "
                "sockets itself"}));
}

// Somebody listed them, or they have the group and are persons.
TEST_F(ClosedSocketTest, AccountsThatAreThereForTheirGroupAreNotNamed) {
    allow("backup", {.everyone = false, .user = {}, .group = 2005});
    allow("games", {.everyone = false, .user = {}, .group = 2003});
    allow("tool", {.everyone = false, .user = {}, .group = 2004});
    const std::string about =
        ": allow it: members who are not in the group \"postern\" can't open " + path_ +
        " (mode 0660): ";
    EXPECT_EQ(kept_out(),
              (Lines{"/backup.json:3" + about + "backup; run usermod -aG postern backup",
                     "/games.json:3" + about + "player; run usermod -aG postern player"}));
}

TEST_F(ClosedSocketTest, OthersAreNotNamed) {
    allow("root", {.everyone = false, .user = 0, .group = {}});
    allow("member", {.everyone = false, .user = 1001, .group = {}});
    allow("primary", {.everyone = false, .user = 1002, .group = {}});
    allow("nobody", {.everyone = false, .user = 7777, .group = {}});
    allow("unit", {.everyone = false, .user = {}, .group = 2000, .unit = "a.service"});
    allow("empty", {.everyone = false, .user = {}, .group = 4444});
    EXPECT_EQ(kept_out(), Lines{});
    allow("z", {.everyone = false, .user = {}, .group = 2000});
    EXPECT_EQ(kept_out().size(), 1U);
    options_.owner = 1000;
    EXPECT_EQ(kept_out(), Lines{}) << "a user's own daemon serves that user";
}

TEST_F(ClosedSocketTest, ModeOwnerAndOtherSocketsCount) {
    allow("a", {.everyone = false, .user = {}, .group = 2000});
    make(0666, 2001);
    EXPECT_EQ(kept_out(), Lines{}) << "all users may open it";
    make(0660, 2000);
    EXPECT_EQ(kept_out(), Lines{}) << "it has the group of the rule";
    make(0660, 2001);
    const UniqueFd other = socket_at(folder_ / "other", SOCK_STREAM);
    ASSERT_EQ(::chown((folder_ / "other").c_str(), 1003, 1004), 0);
    ASSERT_EQ(::chmod((folder_ / "other").c_str(), 0600), 0);
    options_.sockets = {path_, folder_ / "other"};
    ASSERT_EQ(kept_out().size(), 1U);
    EXPECT_NE(kept_out()[0].find("(mode 0660): dave; run usermod -aG postern dave"),
              std::string::npos)
        << kept_out()[0];
    ASSERT_EQ(::chmod((folder_ / "other").c_str(), 0666), 0);
    EXPECT_EQ(kept_out(), Lines{}) << "all users may open the other one";
}

TEST_F(ClosedSocketTest, WhereThereIsNoSocketNothingIsSaid) {
    allow("a", {.everyone = false, .user = {}, .group = 2000});
    options_.sockets = {folder_ / "nowhere", folder_.path()};
    EXPECT_EQ(kept_out(), Lines{});
}

}  // namespace
}  // namespace postern::policy
