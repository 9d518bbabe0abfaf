#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace postern {
namespace {

TEST(Utf8, WellFormedAndNot) {
    for (const char* good : {"", "abc", "\u00e9", "\u20ac", "\U0001F600", "\u07ff", "\uffff",
                             "\xF4\x8F\xBF\xBF", "\xEE\x80\x80", "\xED\x9F\xBF"}) {
        EXPECT_TRUE(valid_utf8(good)) << good;
    }
    for (const char* bad : {
             "\x80",
             "a\xFF",
             "\xC3",
             "\xE2\x82",
             "\xF0\x9F\x98",  // alone, never, cut off
             "\xC0\x80",
             "\xC1\xBF",
             "\xE0\x9F\xBF",
             "\xF0\x8F\xBF\xBF",  // overlong
             "\xED\xA0\x80",
             "\xED\xBF\xBF",  // surrogates
             "\xF4\x90\x80\x80",
             "\xF5\x80\x80\x80",  // past U+10FFFF
             "\xC3(",
             "\xE2(\xA1",
             "\xE2\x82(",
         }) {
        EXPECT_FALSE(valid_utf8(bad)) << printable(bad);
    }
    EXPECT_TRUE(valid_utf8(std::string(1, '\0')));
}

TEST(Utf8, TailThatMayStillBecomeACharacter) {
    const std::string emoji = "\U0001F600";
    EXPECT_EQ(incomplete_utf8_tail(""), 0U);
    EXPECT_EQ(incomplete_utf8_tail("abc"), 0U);
    EXPECT_EQ(incomplete_utf8_tail(emoji), 0U);
    for (std::size_t length = 1; length < emoji.size(); ++length) {
        EXPECT_EQ(incomplete_utf8_tail("x" + emoji.substr(0, length)), length);
    }
    EXPECT_EQ(incomplete_utf8_tail("\xC3"), 1U);
    EXPECT_EQ(incomplete_utf8_tail("a\x80"), 0U);     // begins nothing
    EXPECT_EQ(incomplete_utf8_tail("\xFF"), 0U);      // never does
    EXPECT_EQ(incomplete_utf8_tail("\xE0\x80"), 0U);  // overlong: can't become one
    EXPECT_EQ(incomplete_utf8_tail("\xED\xA0"), 0U);  // a surrogate: can't become one
}

// Text from callers: control characters, line separators, direction marks and what is no UTF-8 are
// found and named.
TEST(Utf8, ForbiddenCharacters) {
    struct Row {
        std::string text;
        std::string name;
    };
    const Row rows[] = {
        {std::string("a\0b", 3), "U+0000"},
        {"\x1b[31m", "U+001B"},
        {"a\nb", "U+000A"},
        {"a\rb", "U+000D"},
        {"a\tb", "U+0009"},
        {"\x7f", "U+007F"},
        {"\u0080", "U+0080"},
        {"\u009f", "U+009F"},
        {"\u061c", "U+061C"},
        {"\u200e", "U+200E"},
        {"\u200f", "U+200F"},
        {"\u2028", "U+2028"},
        {"\u2029", "U+2029"},
        {"\u202a", "U+202A"},
        {"\u202e", "U+202E"},
        {"\u2066", "U+2066"},
        {"\u2069", "U+2069"},
        {"\ufeff", "U+FEFF"},
        {"\ufffe", "U+FFFE"},
        {"\U0001ffff", "U+1FFFF"},
        {"\ufdd0", "U+FDD0"},
        {"ok\xff", "invalid UTF-8"},
        {"\xed\xa0\x80", "invalid UTF-8"},
    };
    for (const Row& row : rows) {
        EXPECT_EQ(forbidden_character(row.text), row.name) << printable(row.text);
    }
    for (const char* fine : {"", "caf\u00e9", "a b", "~", "\u00a0", "\u2027", "\u202f", "\u2065",
                             "\U0001F600", "\u200d", "`$(id)`;\\"}) {
        EXPECT_EQ(forbidden_character(fine), std::nullopt) << fine;
    }
}

TEST(Utf8, PrintableShowsWhatIsThere) {
    EXPECT_EQ(printable("caf\u00e9 \\"), "caf\u00e9 \\");
    EXPECT_EQ(printable("a\x1b[0m\r\n"), "a\\u001b[0m\\u000d\\u000a");
    EXPECT_EQ(printable("\xff\xc3(\u202e"), "\\xff\\xc3(\\u202e");
    EXPECT_EQ(printable("\U0001ffff"), "\\U0001ffff");
    EXPECT_EQ(printable(std::string(1, '\0')), "\\u0000");
    EXPECT_EQ(printable("cut \xe2\x82"), "cut \\xe2\\x82");
}

TEST(Utf8, QuotesAreCutAtACharacter) {
    EXPECT_EQ(in_quotes("abc"), "\"abc\"");
    EXPECT_EQ(in_quotes("abcdef", 3), "\"abc...\"");
    EXPECT_EQ(in_quotes("ab\u20acdef", 4), "\"ab...\"");
}

}  // namespace
}  // namespace postern
