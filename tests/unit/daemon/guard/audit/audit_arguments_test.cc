// What the audit says of arguments: short ones whole, long ones by beginning, length and SHA-256.
#include "daemon/guard/audit/audit_arguments.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "daemon/digest/sha256.h"

namespace postern {
namespace {

constexpr std::size_t most = limits::audit_argument_bytes;

TEST(AuditArguments, AsLongAsTheBoundIsWhole) {
    const std::string text(most, 'x');
    const auto arguments = audit_arguments({{"a", text}, {"b", ""}});
    ASSERT_EQ(arguments.size(), 2U);
    EXPECT_EQ(arguments[0].name, "a");
    EXPECT_EQ(arguments[0].text, text);
    EXPECT_FALSE(arguments[0].whole);
    EXPECT_EQ(arguments[1].text, "");
    EXPECT_FALSE(arguments[1].whole);
}

TEST(AuditArguments, OneByteMoreIsCut) {
    const std::string text(most + 1, 'x');
    const auto arguments = audit_arguments({{"a", text}});
    EXPECT_EQ(arguments[0].text, text.substr(1));
    ASSERT_TRUE(arguments[0].whole);
    EXPECT_EQ(arguments[0].whole->bytes, most + 1);
    EXPECT_EQ(arguments[0].whole->sha256, sha256(text));
}

TEST(AuditArguments, NoCharacterIsCut) {
    const std::string text = std::string(most - 1, 'x') + "\xc3\xa9";
    EXPECT_EQ(audit_arguments({{"a", text}})[0].text, std::string(most - 1, 'x'));
}

TEST(AuditArguments, AllTogetherHaveABoundToo) {
    const std::string text(most, 'x');
    const std::vector<std::pair<std::string, std::string>> shown(1000, {"a", text});
    const auto arguments = audit_arguments(shown);
    std::size_t bytes = 0;
    for (const AuditArgument& argument : arguments) bytes += argument.text.size();
    EXPECT_EQ(bytes, limits::audit_arguments_bytes);
    ASSERT_TRUE(arguments.back().whole);
    EXPECT_EQ(arguments.back().text, "");
    EXPECT_EQ(arguments.back().whole->sha256, sha256(text));
}

}  // namespace
}  // namespace postern
