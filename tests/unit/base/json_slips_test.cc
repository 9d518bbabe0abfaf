#include "base/json_slips.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/strict_json.h"

namespace postern {
namespace {

// "LINE:COLUMN: what", as the readers of files say it; empty: nothing is known.
std::string slip_of(std::string_view text) {
    JsonLimits limits;
    limits.comments = true;
    const auto parsed = parse_located_json(text, limits);
    EXPECT_FALSE(parsed) << text;
    if (parsed) return "no error";
    const auto slip = find_json_slip(text, parsed.error().offset);
    if (!slip) return "";
    const LineColumn at = line_column(text, slip->offset);
    return std::to_string(at.line) + ':' + std::to_string(at.column) + ": " + slip->message;
}

using Cases = std::vector<std::pair<std::string, std::string>>;

void expect_slips(const Cases& cases) {
    for (const auto& [text, said] : cases) EXPECT_EQ(slip_of(text), said) << text;
}

TEST(JsonSlips, CommasAndColons) {
    expect_slips({
        {"{\n  \"a\": 1\n  \"b\": 2\n}",
         "2:9: a comma is missing at the end of this line; add \",\""},
        {"{\"a\": 1 \"b\": 2}", "1:8: a comma is missing here; add \",\""},
        {"{\n  \"a\": [\"x\" \"y\"]\n}", "2:12: a comma is missing here; add \",\""},
        {"{\n  \"a\": {\"x\": 1}\n  \"b\": 2\n}",
         "2:16: a comma is missing at the end of this line; add \",\""},
        {"{\n  \"a\": true  // yes\n  \"b\": 2\n}",
         "2:12: a comma is missing at the end of this line; add \",\""},
        {"{\n  \"a\": 1,\n}", "2:9: a comma before \"}\"; remove it"},
        {"{\"a\": [1, 2,]}", "1:12: a comma before \"]\"; remove it"},
        {"{\"a\": 1,, \"b\": 2}", "1:9: a second comma; remove it"},
        {"{, \"a\": 1}", "1:2: a comma before the first element; remove it"},
        {"[, 1]", "1:2: a comma before the first element; remove it"},
        {"{\"a\": 1; \"b\": 2}",
         "1:8: values are separated by commas; write \",\" instead of \";\""},
        {"{\"a\": 1};", "1:9: a semicolon is not needed here; remove it"},
        {"{\"a\" 1}", "1:5: a colon is missing here; write \"a\": ..."},
        {"{\"a\" = 1}", "1:6: a key and its value are separated by \":\"; write that instead"},
        {"{\"a\" => 1}", "1:6: a key and its value are separated by \":\"; write that instead"},
        {"{\"a\":: 1}", "1:6: a second colon; remove it"},
        {"{: 1}", "1:2: a key is missing before this colon; write \"KEY\":"},
        {"{\"a\", \"b\": 1}",
         "1:2: the key \"a\" has no value; write \"a\": ..., or [...] around it if it is an "
         "element of a list"},
        {"{\"a\": , \"b\": 1}",
         "1:2: the key \"a\" has no value; write \"a\": ..., or [...] around it if it is an "
         "element of a list"},
        {"{\"a\":\n}",
         "1:2: the key \"a\" has no value; write \"a\": ..., or [...] around it if it is an "
         "element of a list"},
        {"[\"a\": 1]", "1:2: a list has no keys; write {\"a\": ...}"},
        {"{\"a\": \"b\": 1}", "1:6: a \"{\" is missing here, before the key \"b\"; add it"},
    });
}

TEST(JsonSlips, QuotationMarks) {
    expect_slips({
        {"{'a': 1}", "1:2: ' is not a quotation mark in JSON; write \"a\""},
        {"{\"a\": 'it'}", "1:7: ' is not a quotation mark in JSON; write \"it\""},
        {"{\"a\": 'it\n}", "1:7: ' is not a quotation mark in JSON; write \""},
        {"{\"a\": “it”}", "1:7: “ is not a quotation mark in JSON; write \"it\""},
        {"{“a”: 1}", "1:2: “ is not a quotation mark in JSON; write \"a\""},
        {"{\"a\": `date`}", "1:7: ` is not a quotation mark in JSON; write \"date\""},
        {"{\"a\": \"echo \"hi\"\"}",
         "1:13: a quotation mark inside a string is written \\\"; if this one ends the "
         "string, something is missing after it"},
        {"{\"a\": [\"/bin/x, \"a\"]}",
         "1:17: a quotation mark inside a string is written \\\"; if this one ends the "
         "string, something is missing after it"},
        {"{\"a: 1}",
         "1:2: this string has no closing quotation mark on its line; add it (a new line inside a "
         "string is written \\n)"},
        {"{\n  \"a\": \"b,\n  \"c\": 1\n}",
         "2:8: this string has no closing quotation mark on its line; add it (a new line inside a "
         "string is written \\n)"},
        {"{\"a\": \"\"\"long\"\"\"}",
         "1:7: JSON has no \"\"\"; write the string in one pair of double quotes, with \\n for "
         "each "
         "new line"},
        {"{\"a\": r\"x\"}", "1:7: a string begins with its quotation mark; remove r"},
        {"{\"a\": \"x\" + \"y\"}", "1:11: strings can't be joined; write one string"},
        {"{a: 1}", "1:2: keys are written in double quotes; write \"a\""},
        {"{\n  a-b: 1\n}", "2:3: keys are written in double quotes; write \"a-b\""},
        {"{\"a\": nginx}", "1:7: strings are written in double quotes; write \"nginx\""},
        {"{\"a\": Restart the service, \"b\": 1}",
         "1:7: strings are written in double quotes; write \"Restart the service\""},
        {"{\"a\": /usr/bin/true}",
         "1:7: strings are written in double quotes; write \"/usr/bin/true\""},
        {"{\"a\": [$HOME]}", "1:8: strings are written in double quotes; write \"$HOME\""},
        {"{\"a\": \"\\d+\"}", "1:8: a backslash inside a string is written \\\\; write \\\\d"},
        {"{\"a\": \"it\\'s\"}", "1:10: JSON has no \\'; write ' without a backslash"},
        {"{\"a\": \"\\u12\"}", "1:8: \\u needs four hexadecimal digits; write \\u0041"},
        {"{\"a\": \"one \\\n two\"}",
         "1:12: a string can't continue on the next line; write \\n, or put all in one line"},
        {"{\"a\": \"\tx\"}", "1:8: a tab inside a string is written \\t; write that"},
    });
}

TEST(JsonSlips, WordsAndNumbers) {
    expect_slips({
        {"{\"a\": True}", "1:7: True is not JSON; write true"},
        {"{\"a\": False}", "1:7: False is not JSON; write false"},
        {"{\"a\": yes}", "1:7: yes is not JSON; write true"},
        {"{\"a\": off}", "1:7: off is not JSON; write false"},
        {"{\"a\": None}", "1:7: None is not JSON; leave it out if there is no value"},
        {"{\"a\": 0660}",
         "1:7: 0660 begins with 0, which JSON does not allow; write 660, or \"0660\" for a "
         "string"},
        {"{\"a\": 007}",
         "1:7: 007 begins with 0, which JSON does not allow; write 7, or \"007\" for a string"},
        {"{\"a\": +5}", "1:7: a number has no + in JSON; write 5"},
        {"{\"a\": .5}", "1:7: a number begins with a digit in JSON; write 0.5"},
        {"{\"a\": 30s}", "1:7: strings are written in double quotes; write \"30s\""},
        {"{\"a\": 10MiB}", "1:7: strings are written in double quotes; write \"10MiB\""},
        {"{\"a\": 0x1f}", "1:7: strings are written in double quotes; write \"0x1f\""},
        {"{\"a\": 1_000}", "1:7: 1_000 is not a number in JSON; write 1000"},
        {"{\"a\": NaN}", "1:7: strings are written in double quotes; write \"NaN\""},
        {"{\"a\": (1)}", "1:7: strings are written in double quotes; write \"(1)\""},
        {"{\"a\": 5.}", "1:7: 5. is not a number in JSON; write 5"},
        {"{\"a\": 00}",
         "1:7: 00 begins with 0, which JSON does not allow; write 0, or \"00\" for a string"},
    });
}

TEST(JsonSlips, Brackets) {
    expect_slips({
        {"{\n  \"a\": 1\n",
         "2:9: the file ends before the \"{\" of line 1 is closed; add \"}\" here"},
        {"{\n  \"a\": [1, 2\n",
         "2:13: the file ends before the \"[\" of line 2 is closed; add \"]}\" here"},
        {"{\n  \"a\": {\n    \"b\": 1\n  ,\n  \"c\": 2\n}\n",
         "2:8: this \"{\" is not closed; add \"}\" where it ends"},
        {"{\n  \"a\": {\n    \"b\": {\"c\": 1\n  },\n  \"d\": 2\n}\n",
         "3:10: this \"{\" is not closed; add \"}\" where it ends"},
        {"{\n  \"a\": [\"x\", \"y\"}\n}",
         "2:17: the \"[\" of line 2 is not closed; write \"]\" before this \"}\", or instead of "
         "it"},
        {"{\n  \"a\": [{\"x\": 1]\n}",
         "2:16: the \"{\" of line 2 is not closed; write \"}\" before this \"]\", or instead of "
         "it"},
        {"{\n  \"a\": 1,\n",
         "2:9: the file ends before the \"{\" of line 1 is closed; write \"}\" instead of this "
         "comma"},
        {"{\n  \"a\":",
         "2:6: the file ends before the \"{\" of line 1 is closed; is the file complete? It "
         "ends after the key \"a\""},
        {"{\"a\": 1}}", "1:9: one \"}\" too many; remove it"},
        {"{\n  \"a\": {\"b\": 1}},\n  \"c\": 2\n}",
         "2:16: this \"}\" ends the whole object, but more text follows; remove this bracket or "
         "that text"},
        {"{\"a\": 1}\n{\"b\": 2}",
         "2:1: a second object begins here; a file holds only one, so move it to a file of its "
         "own"},
        {"{\"a\": 1} x", "1:10: the file's value ended before this; remove it"},
        {"\"a\": 1", "1:1: the file must be one object; write { before this and } at the end"},
        {"{{ name }}", "1:2: this looks like a template; fill it in first"},
        {"{% if x %}", "1:1: this looks like a template; fill it in first"},
        {"{\"a\": {\"b\"}}",
         "1:8: the key \"b\" has no value; write \"b\": ..., or [...] around it if it is an "
         "element of a list"},
    });
}

TEST(JsonSlips, CommentsBlanksAndOtherLanguages) {
    expect_slips({
        {"# web\n{\n}", "1:1: comments begin with //, not with #; write //"},
        {"{\n  \"a\": 1, # one\n}", "2:11: comments begin with //, not with #; write //"},
        {"{\n  /* a\n  \"a\": 1\n}", "2:3: this comment has no end; write */ where it ends"},
        {"{\n\xC2\xA0 \"a\": 1\n}",
         "2:1: U+00A0 is not a space, but looks like one; write an ordinary space"},
        {"---\nsummary: x\n", "1:1: this looks like YAML; write JSON: {\"KEY\": ..., ...}"},
        {"summary: x\nexec: [a]\n",
         "1:1: this looks like YAML; write JSON: {\"summary\": ..., ...}"},
        {"# action\n- name: x\n", "2:1: this looks like YAML; write JSON: {\"KEY\": ..., ...}"},
        {"[action]\nsummary = \"x\"\n",
         "1:1: this looks like TOML or an INI file; write JSON: {\"KEY\": ..., ...}"},
        {"summary = \"x\"\n",
         "1:1: this looks like TOML or an INI file; write JSON: {\"summary\": ..., ...}"},
        {"deploy ALL=(root) NOPASSWD: /bin/true",
         "1:1: this is not JSON; write {\"KEY\": ..., ...}"},
        {"<action/>", "1:1: this looks like XML; write JSON: {\"KEY\": ..., ...}"},
        {"#!/bin/sh\necho\n", "1:1: this is a script, not JSON; write {...}"},
        {"{\n<<<<<<< HEAD\n\"a\": 1\n=======\n",
         "2:1: an unresolved merge conflict begins here; resolve it"},
        {"", "1:1: it is empty; write {...}"},
        {"\n// nothing\n", "1:1: it contains only white space and comments; write {...}"},
        {"\xEF\xBB\xBF{}", "1:1: a byte order mark (U+FEFF); save the file as UTF-8 without one"},
        {std::string("\xFF\xFE{\0}\0", 6), "1:1: the file is UTF-16; save it as UTF-8"},
        {std::string("{}\0", 3), "1:3: a NUL byte; remove it"},
        {"{\"a\": \"caf\xE9\"}", "1:12: this is not UTF-8; save the file as UTF-8"},
    });
}

constexpr std::string_view file = R"({
  "summary": "Restart a service",
  // Which one.
  "arguments": {
    "service": {
      "type": "string",
      "enum": ["nginx", "php-fpm"]
    },
    "count": {"type": "integer", "minimum": 1}
  },
  "exec": [
    "/usr/bin/systemctl",
    "restart",
    "{service}.service"
  ],
  "allow": [
    {"group": "deploy"},
    {"user": "ada", "unit": "ci.service"}
  ],
  "datagram": true
}
)";

// Whichever character of the grammar is forgotten, the line where it was is named.
TEST(JsonSlips, NamesTheLineOfWhatWasForgotten) {
    bool in_comment = false;
    bool in_string = false;
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < file.size(); ++i) {
        if (file.substr(i).starts_with("//")) in_comment = true;
        if (file[i] == '\n') in_comment = false;
        if (in_comment) continue;
        const bool quote = file[i] == '"';
        if (quote) in_string = !in_string;
        if (!quote &&
            (in_string || std::string_view("{}[],:").find(file[i]) == std::string::npos)) {
            continue;
        }
        if (!in_string && (file[i] == '{' || file[i] == '['))
            open.push_back(line_column(file, i).line);
        std::size_t opened = 0;  // the line where what ends here began
        if (!in_string && (file[i] == '}' || file[i] == ']')) {
            opened = open.back();
            open.pop_back();
        }
        std::string text(file);
        text.erase(i, 1);
        const std::string said = slip_of(text);
        const std::size_t line = line_column(file, i).line;
        const std::size_t named = said.empty() ? 0 : std::stoul(said);
        // Without it the first element is a whole value, and the second one is what is wrong.
        if (file.substr(i).starts_with("[\n")) {
            EXPECT_GT(named, line) << said;
            EXPECT_LE(named, line + 2) << said;
            EXPECT_NE(said.find("[...] around"), std::string::npos) << said;
            continue;
        }
        // The first and the last line have nothing else.
        if (i == 0) {
            EXPECT_EQ(said,
                      "2:3: the file must be one object; write { before this and } at the end");
            continue;
        }
        if (i == file.size() - 2) {
            EXPECT_EQ(said,
                      "20:19: the file ends before the \"{\" of line 1 is closed; add \"}\" here");
            continue;
        }
        // What has lines of its own is known to be open where it begins.
        if (opened != 0 && named == opened) continue;
        EXPECT_EQ(named, line) << i << ' ' << said << '\n' << text;
    }
}

// What the strict reader refuses though it is JSON has no slip.
TEST(JsonSlips, NothingToSay) {
    EXPECT_EQ(slip_of("{\"a\": 1, \"a\": 2}"), "");
    EXPECT_EQ(slip_of("[9007199254740993]"), "");
    EXPECT_EQ(slip_of("[\"\\ud800\"]"), "");
    EXPECT_EQ(slip_of("[1e999]"), "");
}

}  // namespace
}  // namespace postern
