// Whom systemd is told to run a job as.
#include "daemon/jobs/unit/unit_spec.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace postern::jobs {
namespace {

UnitSpec spec_of(uid_t uid, const std::string& account) {
    policy::Action action;
    action.uid = uid;
    action.gid = 35;
    action.groups = {26, 35};
    action.account = account;
    return unit_spec(action, {}, {});
}

TEST(UnitSpec, TheUserIsANumberUnlessSystemdWouldTakeItForAnother) {
    if (geteuid() != 0) {
        EXPECT_EQ(spec_of(34, "").user, "");
        return;
    }
    EXPECT_EQ(spec_of(34, "").user, "34");
    EXPECT_EQ(spec_of(34, "backup2").user, "backup2");
    EXPECT_EQ(spec_of(0, "").user, "");
    for (const UnitSpec& spec : {spec_of(34, ""), spec_of(34, "backup2"), spec_of(0, "")}) {
        EXPECT_EQ(spec.group, "35");
        EXPECT_EQ(spec.groups, std::vector<std::string>{"26"});
    }
}

}  // namespace
}  // namespace postern::jobs
