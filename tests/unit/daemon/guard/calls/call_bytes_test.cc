// No two calls have the same bytes.
#include "daemon/guard/calls/call_bytes.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

namespace postern {
namespace {

using List = std::vector<Scalar>;

NamedValue argument(std::string name, Value value) {
    return {std::move(name), std::move(value)};
}

TEST(CallBytes, NoTwoCallsHaveTheSame) {
    const std::vector<std::pair<std::string, Arguments>> calls = {
        {"a", {}},
        {"ab", {}},
        {"a", {argument("b", std::string())}},
        {"a", {argument("b", std::string("c"))}},
        {"a", {argument("bc", std::string())}},
        {"a", {argument("b", std::string("1"))}},
        {"a", {argument("b", std::int64_t{1})}},
        {"a", {argument("b", std::int64_t{-1})}},
        {"a", {argument("b", true)}},
        {"a", {argument("b", false)}},
        {"a", {argument("b", Unsupported())}},
        {"a", {argument("b", List{})}},
        {"a", {argument("b", List{std::string("c")})}},
        {"a", {argument("b", List{std::string("c"), std::string("d")})}},
        {"a", {argument("b", List{std::string("cd")})}},
        {"a", {argument("b", List{std::int64_t{1}})}},
        {"a", {argument("b", List{Unsupported()})}},
        {"a", {argument("b", std::string("c")), argument("d", std::string("e"))}},
        {"a", {argument("b", std::string("e")), argument("d", std::string("c"))}},
        {"a", {argument("b", std::string("c")), argument("b", std::string("c"))}},
    };
    std::set<std::vector<std::uint8_t>> seen;
    for (const auto& [action, arguments] : calls)
        seen.insert(call_bytes(action, arguments, std::nullopt));
    EXPECT_EQ(seen.size(), calls.size());
}

TEST(CallBytes, TheOrderIsNoMatter) {
    const NamedValue one = argument("a", std::string("x"));
    const NamedValue other = argument("b", List{true});
    EXPECT_EQ(call_bytes("run", {one, other}, std::nullopt),
              call_bytes("run", {other, one}, std::nullopt));
}

TEST(CallBytes, InputIsPartOfTheCall) {
    const std::set<std::vector<std::uint8_t>> seen = {
        call_bytes("run", {}, std::nullopt), call_bytes("run", {}, ""), call_bytes("run", {}, "a"),
        call_bytes("run", {{"a", Value("")}}, std::nullopt)};
    EXPECT_EQ(seen.size(), 4U);
}

}  // namespace
}  // namespace postern
