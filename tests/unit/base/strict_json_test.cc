#include "base/strict_json.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace postern {
namespace {

std::string error_of(const std::string& text, const JsonLimits& limits = {}) {
    const auto parsed = parse_strict_json(text, limits);
    if (parsed) return "accepted";
    EXPECT_LE(parsed.error().offset, text.size()) << text;
    return std::to_string(parsed.error().offset) + ": " + parsed.error().message;
}

std::string repeat(const std::string& text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i < times; ++i) all += text;
    return all;
}

std::string list_of(std::size_t elements) {
    return elements == 0 ? "[]" : "[" + repeat("1,", elements - 1) + "1]";
}

TEST(StrictJson, Values) {
    const auto parsed = parse_strict_json(
        R"( {"s":"a\"\u00e9\ud83d\ude00","i":-12,"z":9007199254740992,"f":2.5,"t":true,"n":null,"l":[[],{}]} )");
    ASSERT_TRUE(parsed);
    EXPECT_EQ((*parsed)["s"], "a\"\u00e9\U0001F600");
    EXPECT_EQ((*parsed)["i"], -12);
    EXPECT_EQ((*parsed)["z"], 9007199254740992);
    EXPECT_EQ((*parsed)["f"], 2.5);
    EXPECT_EQ((*parsed)["t"], true);
    EXPECT_TRUE((*parsed)["n"].is_null());
    EXPECT_EQ((*parsed)["l"].size(), 2U);
    EXPECT_TRUE(parse_strict_json("-9007199254740992"));
    EXPECT_TRUE(parse_strict_json("\"\"\n"));
}

// Duplicate keys, NaN, 1e999, 2^53+1, trailing bytes and a byte order mark are refused, each with
// the field's name where it has one.
TEST(StrictJson, WhatTwoReadersCouldUnderstandDifferently) {
    struct Row {
        std::string text;
        std::string error;
    };
    const Row rows[] = {
        {R"({"a":1,"a":2})", "7: the key \"a\" appears twice"},
        {R"({"p":{"b":1,"\u0062":2}})", "12: p: the key \"b\" appears twice"},
        {R"({"a":NaN})", "5: not JSON: invalid literal"},
        {R"([Infinity])", "1: not JSON: invalid literal"},
        {R"({"x":1e999,"y":2})", "5: x: 1e999 is out of range"},
        {R"([1,-1e999])", "3: [1]: -1e999 is out of range"},
        {R"({"p":{"n":9007199254740993}})",
         "10: p.n: 9007199254740993 is beyond 2^53; give one from -9007199254740992 to "
         "9007199254740992"},
        {R"([-9007199254740993])",
         "1: [0]: -9007199254740993 is beyond 2^53; give one from -9007199254740992 to "
         "9007199254740992"},
        {R"([18446744073709551616])",
         "1: [0]: 18446744073709551616 is beyond 2^53; give one from -9007199254740992 to "
         "9007199254740992"},
        {"{} {}", "3: not JSON: more text follows the end of the value"},
        {"1 2", "2: not JSON: more text follows the end of the value"},
        {"[1]]", "3: not JSON: more text follows the end of the value"},
        {"\xEF\xBB\xBF{}", "0: not JSON: a byte order mark (U+FEFF) at the beginning"},
        {std::string("{}\0", 3), "2: not JSON: a NUL byte"},
        {std::string("{\"a\":\"\0\"}", 9), "6: not JSON: a NUL byte"},
        {"[\"a\",\n\"\xff\"]", "7: not JSON: invalid UTF-8"},
        {"[\"\xed\xa0\x80\"]", "3: not JSON: invalid UTF-8"},
        {"[\"\xc3", "3: not JSON: invalid UTF-8"},
        // The text may not speak in the reason's words.
        {"x; expected \xef\xbb\xbf", "0: not JSON: invalid literal"},
    };
    for (const Row& row : rows) EXPECT_EQ(error_of(row.text), row.error) << row.text;
    for (const char* text : {R"(["\ud800"])", R"(["\udc00"])", R"(["\ud800\ud800"])"}) {
        EXPECT_NE(error_of(text).find("not JSON: invalid string: surrogate"), std::string::npos)
            << error_of(text);
    }
}

TEST(StrictJson, WhatIsNoJson) {
    for (const char* text :
         {"",           " ",         "{",       "[1,]",  "{\"a\" 1}", "{\"a\":1,}", "[01]",
          "[-]",        "[1.]",      "[.5]",    "[+1]",  "tru",       "'a'",        "{a:1}",
          "[\"a\nb\"]", "[\"\\x\"]", "// c\n1", "/**/1", "]",         "[1 2]",      "\"a"}) {
        const std::string error = error_of(text);
        EXPECT_NE(error.find(": not JSON: "), std::string::npos) << text << " -> " << error;
        EXPECT_EQ(error.find("json.exception"), std::string::npos) << error;
        EXPECT_EQ(error.find("last read"), std::string::npos) << error;
    }
}

TEST(StrictJson, CommentsOnlyWhereAllowed) {
    JsonLimits limits;
    limits.comments = true;
    EXPECT_TRUE(parse_strict_json("// a\n{\"a\": /* b */ 1} // c", limits));
    EXPECT_EQ(error_of("/* a", limits), "4: not JSON: invalid comment; missing closing '*/'");
    EXPECT_EQ(error_of("// \xff\n1", limits), "3: not JSON: invalid UTF-8");
}

// Every limit: passes at the limit, and is a clear error one past it.
TEST(StrictJson, LimitsHoldExactly) {
    JsonLimits limits;
    EXPECT_EQ(limits.bytes, 65536U);
    EXPECT_EQ(limits.depth, 16U);
    EXPECT_EQ(limits.members, 256U);
    EXPECT_EQ(limits.string_bytes, 4096U);

    EXPECT_EQ(error_of("1" + std::string(65535, ' ')), "accepted");
    EXPECT_EQ(error_of("1" + std::string(65536, ' ')), "65536: longer than 65536 bytes");

    EXPECT_EQ(error_of(repeat("[", 16) + repeat("]", 16)), "accepted");
    EXPECT_EQ(error_of(repeat("[", 17) + repeat("]", 17)),
              "16: " + repeat("[0]", 16) + ": nested deeper than 16");

    EXPECT_EQ(error_of(list_of(256)), "accepted");
    EXPECT_EQ(error_of(list_of(257)), "513: [256]: more than 256 elements");
    std::string members;
    for (int i = 0; i < 256; ++i) members += "\"k" + std::to_string(i) + "\":0,";
    EXPECT_EQ(error_of("{" + members.substr(0, members.size() - 1) + "}"), "accepted");
    EXPECT_EQ(error_of("{" + members + "\"more\":0}"),
              std::to_string(members.size() + 8) + ": more: more than 256 members");

    EXPECT_EQ(error_of('"' + std::string(4096, 'x') + '"'), "accepted");
    EXPECT_EQ(error_of("{\"k\":\"" + std::string(4097, 'x') + "\"}"),
              "5: k: a string of 4097 bytes is longer than the limit of 4096");
    EXPECT_EQ(error_of("{\"" + std::string(4096, 'x') + "\":1}"), "accepted");
    EXPECT_EQ(error_of("{\"" + std::string(4097, 'x') + "\":1}"),
              "1: a key of 4097 bytes is longer than the limit of 4096");
    // What counts is the text that is meant, not how it is written.
    EXPECT_EQ(error_of('"' + repeat("\\u0061", 4096) + '"'), "accepted");

    limits.values = 4;
    EXPECT_EQ(error_of("[1,[2]]", limits), "accepted");
    EXPECT_EQ(error_of("[1,[2],3]", limits), "7: [2]: more than 4 values");
}

TEST(StrictJson, MessagesArePrintable) {
    EXPECT_EQ(error_of("{\"\\u001b[31m\":9007199254740993}"),
              "14: \\u001b[31m: 9007199254740993 is beyond 2^53; give one from -9007199254740992 "
              "to 9007199254740992");
    EXPECT_EQ(error_of("{\"\\u202e\":1,\"\\u202e\":1}"), "12: the key \"\\u202e\" appears twice");
}

TEST(LocatedJson, EveryPartHasItsPlace) {
    const std::string text =
        "// first\n{\"a\": [1, -2.5 ,true,null,\"x\\\"y\\\\\", \"\"],\n"
        "  \"b~/\" :{\"\":12e1}}";
    JsonLimits limits;
    limits.comments = true;
    const auto parsed = parse_located_json(text, limits);
    ASSERT_TRUE(parsed);
    struct Row {
        const char* pointer;
        const char* begins;
    };
    const Row values[] = {{"", "{\"a\""},       {"/a", "[1,"},     {"/a/0", "1,"},
                          {"/a/1", "-2.5"},     {"/a/2", "true"},  {"/a/3", "null"},
                          {"/a/4", "\"x\\\"y"}, {"/a/5", "\"\"]"}, {"/b~0~1", "{\"\":"},
                          {"/b~0~1/", "12e1"}};
    EXPECT_EQ(parsed->offsets.size(), std::size(values));
    for (const Row& row : values) {
        ASSERT_TRUE(parsed->offsets.contains(row.pointer)) << row.pointer;
        EXPECT_EQ(text.compare(parsed->offsets.at(row.pointer), std::string(row.begins).size(),
                               row.begins),
                  0)
            << row.pointer;
    }
    const Row keys[] = {{"/a", "\"a\""}, {"/b~0~1", "\"b~/\""}, {"/b~0~1/", "\"\":"}};
    EXPECT_EQ(parsed->key_offsets.size(), std::size(keys));
    for (const Row& row : keys) {
        EXPECT_EQ(text.compare(parsed->key_offsets.at(row.pointer), std::string(row.begins).size(),
                               row.begins),
                  0)
            << row.pointer;
    }
}

TEST(LocatedJson, ElementsThatAreContainers) {
    const auto parsed = parse_located_json(R"([[1],{"a":[0,{"b":2}]},3])", {});
    ASSERT_TRUE(parsed);
    const std::map<std::string, std::size_t> expected = {
        {"", 0},        {"/0", 1},      {"/0/0", 2},      {"/1", 5},  {"/1/a", 10},
        {"/1/a/0", 11}, {"/1/a/1", 13}, {"/1/a/1/b", 18}, {"/2", 23},
    };
    EXPECT_EQ(parsed->offsets, expected);
}

TEST(LocatedJson, ANumberAtTheVeryEnd) {
    const auto parsed = parse_located_json("  -15", {});
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->offsets.at(""), 2U);
}

TEST(LineColumn, CountsCharactersAndLines) {
    const std::string text = "a\u00e9\u20acb\n\nx";
    const auto at = [&](std::size_t offset) {
        const LineColumn place = line_column(text, offset);
        return std::to_string(place.line) + ':' + std::to_string(place.column);
    };
    EXPECT_EQ(at(0), "1:1");
    EXPECT_EQ(at(1), "1:2");
    EXPECT_EQ(at(6), "1:4");
    EXPECT_EQ(at(7), "1:5");
    EXPECT_EQ(at(8), "2:1");
    EXPECT_EQ(at(9), "3:1");
    EXPECT_EQ(at(10), "3:2");
    EXPECT_EQ(at(1000), "3:2");
}

// Longer strings, by where they stand.
TEST(StrictJson, LongStrings) {
    static constexpr std::array<std::string_view, 2> one = {"a", "b"};
    static constexpr std::array<std::string_view, 2> any = {"l", "*"};
    static constexpr std::array places = {LongString{one, 6}, LongString{any, 7}};
    const JsonLimits limits{.string_bytes = 4, .long_strings = places};
    for (const char* text : {R"({"a":{"b":"123456"}})", R"({"l":{"x":"1234567","y":"1234567"}})",
                             R"({"a":{"c":"1234"}})"}) {
        EXPECT_EQ(error_of(text, limits), "accepted") << text;
    }
    const std::pair<std::string, std::string> rows[] = {
        {R"({"a":{"b":"1234567"}})", "10: a.b: a string of 7 bytes is longer than the limit of 6"},
        {R"({"l":{"x":"12345678"}})", "10: l.x: a string of 8 bytes is longer than the limit of 7"},
        {R"({"a":{"c":"12345"}})", "10: a.c: a string of 5 bytes is longer than the limit of 4"},
        {R"({"a":["12345"]})", "6: a[0]: a string of 5 bytes is longer than the limit of 4"},
        {R"({"l":{"x":["12345"]}})",
         "11: l.x[0]: a string of 5 bytes is longer than the limit of 4"},
        {R"({"l":["12345"]})", "6: l[0]: a string of 5 bytes is longer than the limit of 4"},
        {R"({"b":"12345"})", "5: b: a string of 5 bytes is longer than the limit of 4"},
        {R"({"x":{"a":{"b":"12345"}}})",
         "15: x.a.b: a string of 5 bytes is longer than the limit of 4"},
        {R"({"l":{"12345":1}})", "6: l: a key of 5 bytes is longer than the limit of 4"},
    };
    for (const auto& [text, error] : rows) EXPECT_EQ(error_of(text, limits), error);
}

}  // namespace
}  // namespace postern
