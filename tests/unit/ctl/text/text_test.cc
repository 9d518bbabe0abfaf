#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "ctl/text/json_fields.h"
#include "ctl/text/text.h"

namespace postern::ctl {
namespace {

TEST(CtlText, Durations) {
    EXPECT_EQ(duration_text(0), "0s");
    EXPECT_EQ(duration_text(30), "30s");
    EXPECT_EQ(duration_text(60), "1min");
    EXPECT_EQ(duration_text(3600), "1h");
    EXPECT_EQ(duration_text(3661), "1h 1min 1s");
    EXPECT_EQ(duration_text(90000), "25h");
}

TEST(CtlText, ColumnsAreAlignedByCharacters) {
    EXPECT_EQ(two_columns({{"a", "x"}, {"größe", "y"}, {"b", ""}}, 0), "a      x\ngröße  y\nb\n");
    EXPECT_EQ(two_columns({}, 0), "");
}

TEST(CtlText, ColumnsAreCutBetweenCharacters) {
    EXPECT_EQ(two_columns({{"a", "ééééé"}}, 8), "a  ééééé\n");
    EXPECT_EQ(two_columns({{"a", "ééééé"}}, 7), "a  é...\n");
    EXPECT_EQ(shortened("ééééé", 3), "...");
    EXPECT_EQ(shortened("ééééé", 2), "..");
    EXPECT_EQ(shortened("ééééé", 0), "");
}

TEST(CtlText, ShellWords) {
    EXPECT_EQ(shell_word("a-b.c=1,2"), "a-b.c=1,2");
    EXPECT_EQ(shell_word(""), "''");
    EXPECT_EQ(shell_word("a b"), "'a b'");
    EXPECT_EQ(shell_word("$(id)"), "'$(id)'");
    EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
    EXPECT_EQ(shell_word("~"), "'~'");
}

TEST(CtlJson, IsOneLineOfHarmlessCharacters) {
    EXPECT_EQ(safe_json({{"a", "x\x1b\n\x7f\u202e\u00e9\U0001fffe"}}),
              R"({"a":"x\u001b\n\u007f\u202eé\ud83f\udffe"})");
    EXPECT_EQ(safe_json_text("{\n\t\"a\" :\r1 }"), "{  \"a\" : 1 }");
    EXPECT_EQ(nlohmann::json::parse(safe_json("\U0001fffe\x7f")), "\U0001fffe\x7f");
}

TEST(CtlJson, FieldsOfAnotherTypeAreNone) {
    const nlohmann::json object = {{"a", 1}, {"b", "x"}, {"c", nullptr}, {"d", 1.5}, {"e", {1}}};
    EXPECT_EQ(integer_field(object, "a"), 1);
    EXPECT_EQ(integer_field(object, "b"), std::nullopt);
    EXPECT_EQ(integer_field(object, "d"), std::nullopt);
    EXPECT_EQ(string_field(object, "b"), "x");
    EXPECT_EQ(string_field(object, "a"), std::nullopt);
    EXPECT_EQ(field(object, "c"), nullptr);
    EXPECT_EQ(field("text", "c"), nullptr);
    EXPECT_FALSE(flag_field(object, "a"));
    EXPECT_EQ(array_field(object, "e").size(), 1U);
    EXPECT_TRUE(array_field(object, "b").empty());
}

}  // namespace
}  // namespace postern::ctl
