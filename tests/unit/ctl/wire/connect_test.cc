#include <gmock/gmock.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "ctl/wire/connect.h"
#include "ctl/wire/connect_error.h"
#include "ctl/wire/connection.h"
#include "ctl/wire/socket_path.h"
#include "tests/unit/sockets.h"
#include "tests/unit/temporary_directory.h"

namespace postern::ctl {
namespace {

using namespace std::chrono_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

ConnectFailure denied(mode_t mode) {
    ConnectFailure f;
    f.path = "/run/s.sock";
    f.error = EACCES;
    f.where = ConnectFailure::Where::socket;
    f.mode = mode;
    f.owner = 0;
    f.group = 900;
    f.owner_name = "root";
    f.group_name = "postern";
    f.uid = 1000;
    f.user_name = "alice";
    return f;
}

std::string line(const ConnectFailure& f) {
    return connect_error(f, 10s);
}

TEST(CtlConnectError, NamesTheGroupThatHelps) {
    EXPECT_EQ(line(denied(0660)),
              "/run/s.sock: no permission: only root and members of the group \"postern\" may "
              "connect (mode 0660); ask the administrator: usermod -aG postern alice, then log in "
              "again (for a service: SupplementaryGroups=postern in its unit)");
}

TEST(CtlConnectError, SaysWhomTheAdministrationSocketIsFor) {
    auto f = denied(0700);
    f.administrator = true;
    f.where = ConnectFailure::Where::folder;
    f.place = "/run/postern-admin";
    EXPECT_THAT(line(f), EndsWith("only root may enter the directory /run/postern-admin (mode "
                                  "0700); it is for the administrator: run it as root"));
    // A user's own is not root's.
    f.owner = 1001;
    EXPECT_THAT(line(f), Not(HasSubstr("administrator")));
}

TEST(CtlConnectError, KnowsWhoHasOnlyToLogInAgain) {
    auto f = denied(0660);
    f.will_be_in_group = true;
    EXPECT_THAT(line(f),
                EndsWith("(mode 0660); you became a member after this login: log in again"));
}

TEST(CtlConnectError, NeverSendsAnybodyToTheGroupOfRoot) {
    auto f = denied(0660);
    f.group = 0;
    f.group_name = "root";
    EXPECT_EQ(line(f), "/run/s.sock: no permission: only root may connect (mode 0660)");
}

TEST(CtlConnectError, SaysWhenTheModeIsNotTheReason) {
    for (const mode_t mode : {0666U, 0662U}) {
        EXPECT_THAT(line(denied(mode)), HasSubstr("would allow it: an access control list"));
    }
    auto member = denied(0660);
    member.in_group = true;
    EXPECT_THAT(line(member), HasSubstr("although mode 0660 would allow it"));
    auto root = denied(0000);
    root.uid = 0;
    EXPECT_THAT(line(root), HasSubstr("although mode 0000 would allow it"));
    auto unseen = denied(0660);
    unseen.where = ConnectFailure::Where::unknown;
    EXPECT_THAT(line(unseen), StartsWith("/run/s.sock: no permission: an access control list"));
}

TEST(CtlConnectError, OneLineWhateverThePathIs) {
    ConnectFailure f;
    f.path = "/run/a\nb\x1b[31m";
    f.error = ENOENT;
    EXPECT_THAT(line(f), StartsWith("/run/a\\u000ab\\u001b[31m: no such socket"));
}

TEST(CtlConnectError, SaysOtherErrorsInTheSystemsWords) {
    ConnectFailure f;
    f.path = "/s";
    f.error = ENOBUFS;
    EXPECT_EQ(line(f), std::string("/s: can't connect: ") + std::strerror(ENOBUFS));
}

TEST(CtlConnectError, ASystemSocketThatNobodyServes) {
    ConnectFailure f;
    f.path = system_socket;
    f.error = ECONNREFUSED;
    f.where = ConnectFailure::Where::socket;
    f.system_socket = true;
    EXPECT_EQ(line(f),
              "/run/postern/postern.sock: no program is listening there: the daemon that "
              "created this socket has exited; systemctl restart posternd.socket");
}

TEST(CtlConnectError, TheSystemSocketForPacketsHasAUnitOfItsOwn) {
    ConnectFailure f;
    f.path = system_datagram_socket;
    f.error = ECONNREFUSED;
    f.where = ConnectFailure::Where::socket;
    f.system_socket = true;
    f.datagram = true;
    EXPECT_EQ(line(f),
              "/run/postern/postern.dgram: no program is listening there: the daemon that "
              "created this socket has exited; systemctl restart posternd-datagram.socket");
}

// A listening socket whose queue is full, at a path of its own.
class FullQueue : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(listen(listener_.get(), 0), 0);
        const auto address = unix_address(path_);
        for (;;) {
            UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            if (connect(client.get(), any_address(address), sizeof address) != 0) break;
            waiting_.push_back(std::move(client));
        }
        ASSERT_EQ(errno, EAGAIN);
    }

    const TemporaryDirectory folder_;
    const std::string path_ = folder_ / "s";
    const UniqueFd listener_ = socket_at(path_, SOCK_STREAM);
    std::vector<UniqueFd> waiting_;
};

TEST_F(FullQueue, IsWaitedForAndNotForEver) {
    const auto begin = std::chrono::steady_clock::now();
    const auto connected = connect_to(path_, 1s);
    const auto time = std::chrono::steady_clock::now() - begin;
    ASSERT_FALSE(connected.has_value());
    EXPECT_EQ(connected.error().message,
              path_ + ": the daemon accepts no connections: its queue stayed full for 1 s");
    EXPECT_GE(time, 900ms);
}

class CtlConnection : public testing::Test {
  protected:
    void SetUp() override {
        SocketPair pair;
        daemon_ = std::move(pair.here);
        connection_.emplace(std::move(pair.there), "/s");
    }
    void say(std::string_view text) {
        ASSERT_EQ(write(daemon_.get(), text.data(), text.size()),
                  static_cast<ssize_t>(text.size()));
    }

    UniqueFd daemon_;
    std::optional<Connection> connection_;
};

using namespace std::string_view_literals;

TEST_F(CtlConnection, SendsWhatIsQueuedAndTakesRepliesOneByOne) {
    connection_->queue("call\0"sv);
    say("{\"parameters\":{\"a\":1},\"continues\":true}\0{\"error\":\"e\"}\0"sv);
    const auto first = connection_->wait(50s, -1);
    ASSERT_TRUE(first.has_value());
    EXPECT_TRUE(first->reply.continues);
    EXPECT_EQ(first->text, "{\"parameters\":{\"a\":1},\"continues\":true}");
    const auto second = connection_->wait(50s, -1);
    ASSERT_TRUE(second.has_value());
    EXPECT_EQ(second->reply.error, "e");
    EXPECT_FALSE(second->reply.continues);
    std::array<char, 16> got{};
    connection_->send();
    EXPECT_EQ(read(daemon_.get(), got.data(), got.size()), 5);
}

TEST_F(CtlConnection, DoesNotWaitForEver) {
    const auto none = connection_->wait(1ms, -1);
    ASSERT_FALSE(none.has_value());
    EXPECT_EQ(none.error().why, NoReply::Why::late);
    EXPECT_EQ(none.error().message, "/s: no answer within 0 s");
}

TEST_F(CtlConnection, EndsWhereTheDaemonClosedAndTheCallCanNotBeSent) {
    daemon_.reset();
    connection_->queue("call\0"sv);
    const auto none = connection_->wait(50s, -1);
    ASSERT_FALSE(none.has_value());
    EXPECT_EQ(none.error().why, NoReply::Why::ended);
    EXPECT_THAT(none.error().message, StartsWith("/s: the daemon closed the connection without"));
}

TEST_F(CtlConnection, TakesAnAnswerThatCameBeforeTheEnd) {
    say("{}\0{\"par"sv);
    daemon_.reset();
    connection_->queue("call\0"sv);
    ASSERT_TRUE(connection_->wait(50s, -1).has_value());
    EXPECT_EQ(connection_->wait(50s, -1).error().message,
              "/s: the daemon closed the connection during the call");
}

}  // namespace
}  // namespace postern::ctl
