// Which capabilities a guard of root can do without.
#include "daemon/guard/service/inherited.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>

#include <cstdint>
#include <utility>

namespace postern {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t bit(unsigned capability) {
    return std::uint64_t{1} << capability;
}
constexpr std::uint64_t enough = bit(CAP_SETUID) | bit(CAP_SETGID) | bit(CAP_KILL);

TEST(Capabilities, ThreeAreEnough) {
    const auto judged = judge_capabilities(enough);
    ASSERT_TRUE(judged);
    EXPECT_THAT(*judged, IsEmpty());
}

TEST(Capabilities, WithoutKillItServesAndSaysWhatDoesNotWork) {
    const auto judged = judge_capabilities(enough & ~bit(CAP_KILL));
    ASSERT_TRUE(judged);
    EXPECT_THAT(
        *judged,
        ElementsAre("it lacks CAP_KILL: sessions that do not exit by "
                    "themselves can't be ended, nor can jobs of other users that have no cgroup"));
}

TEST(Capabilities, WithoutWhatSessionsNeedItIsRefused) {
    for (const auto& [lacks, named] : {std::pair(bit(CAP_SETUID), "lacks CAP_SETUID: "),
                                       {bit(CAP_SETGID), "lacks CAP_SETGID: "},
                                       {enough, "lacks CAP_SETUID and CAP_SETGID: "}}) {
        const auto judged = judge_capabilities(enough & ~lacks);
        ASSERT_FALSE(judged);
        EXPECT_THAT(judged.error().message, HasSubstr(named));
    }
}

}  // namespace
}  // namespace postern
