// What is said of the daemon's errors.
#include "ctl/wire/exchange.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>

#include "ctl/wire/socket_path.h"

namespace postern::ctl {
namespace {

// Only root may name other users' jobs, and only where it is known how.
TEST(CtlErrorText, RootIsToldTheWayToEverybodysJobs) {
    protocol::Reply none;
    none.error = "org.postern.Jobs.NoSuchJob";
    none.parameters = {{"job", "5fab"}, {"message", "you have no job \"5fab\""}};
    Target target;
    target.socket = system_socket;
    target.administrator_socket = system_admin_socket;
    const std::string plain = "you have no job \"5fab\"";
    EXPECT_EQ(error_text(none, target),
              plain + (geteuid() == 0 ? "; --all finds jobs of all users" : ""));
    target.administrator_socket.clear();
    EXPECT_EQ(error_text(none, target), plain);
    target.administrator_socket = system_admin_socket;
    none.error = "org.postern.Jobs.JobEnded";
    EXPECT_EQ(error_text(none, target), plain);
}

}  // namespace
}  // namespace postern::ctl
