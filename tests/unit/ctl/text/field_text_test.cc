#include "ctl/text/field_text.h"

#include <gtest/gtest.h>

#include <ctime>
#include <nlohmann/json.hpp>

namespace postern::ctl {
namespace {

TEST(CtlFieldText, ShowsWhatIsThere) {
    const nlohmann::json object = {{"text", "a\x1b"}, {"number", -5}, {"uid", 0}};
    EXPECT_EQ(text_of(object, "text"), "a\\u001b");
    EXPECT_EQ(text_of(object, "number"), "?");
    EXPECT_EQ(text_of(object, "none"), "?");
    EXPECT_EQ(number_of(object, "number"), -5);
    EXPECT_EQ(number_of(object, "text"), 0);
    EXPECT_EQ(user_of(object), "0 (root)");
}

TEST(CtlFieldText, BelievesNoUserThatIsNone) {
    for (const std::int64_t uid : {std::int64_t{-1}, std::int64_t{1} << 32}) {
        EXPECT_EQ(user_of({{"uid", uid}}), "?");
    }
    EXPECT_EQ(user_of({{"uid", "0"}}), "?");
    EXPECT_EQ(user_of(nlohmann::json::object()), "?");
}

TEST(CtlFieldText, CountsFromThePast) {
    const std::int64_t now = std::time(nullptr);
    EXPECT_EQ(time_since((now + 1000) * 1'000'000), "0s");
    EXPECT_EQ(time_since((now - 7200) * 1'000'000).substr(0, 2), "2h");
}

}  // namespace
}  // namespace postern::ctl
