// Every mistake in an action file: the exact message, with line and column.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/policy_test_support.h"

namespace postern::policy {
namespace {

std::string error_of(const std::string& text) {
    const auto action = parse_action("a", "/f.json", text, own_options());
    return action ? "accepted" : action.error().message;
}

struct Row {
    std::string text;
    std::string error;
};

void expect_rows(const std::vector<Row>& rows) {
    for (const Row& row : rows) EXPECT_EQ(error_of(row.text), row.error) << row.text;
}

// The members stand on line 2 from column 1 on.
std::string with(const std::string& more) {
    return R"({"summary": "s", "exec": ["/usr/bin/true"], "allow": [],)"
           "\n" +
           more + "}";
}
std::string with_argument(const std::string& spec) {
    return R"({"summary": "s", "exec": ["/usr/bin/true", "{v}"], "allow": [], "arguments": {"v":)"
           "\n" +
           spec + "}}";
}
std::string with_exec(const std::string& exec, const std::string& arguments = "{}") {
    return "{\"summary\": \"s\", \"allow\": [], \"arguments\": " + arguments + ", \"exec\":\n" +
           exec + "}";
}

TEST(ActionErrors, NoJson) {
    expect_rows({
        {"{\n  \"summary\": \"s\",\n}",
         "/f.json:3:1: not JSON: unexpected '}'; expected string "
         "literal; correct the file here"},
        {"",
         "/f.json:1:1: not JSON: unexpected end of input; expected '[', '{', or a literal; "
         "correct the file here"},
        {"\xEF\xBB\xBF{}",
         "/f.json:1:1: not JSON: a byte order mark (U+FEFF) at the beginning; correct the file "
         "here"},
        {"{}\n{}",
         "/f.json:2:1: not JSON: something stands after the end of the value; correct the "
         "file here"},
        {"// caf\u00e9 \xff", "/f.json:1:9: not JSON: invalid UTF-8; correct the file here"},
        {"[]", "/f.json:1:1: must be an object, not a list; write it as {...}"},
        {"5", "/f.json:1:1: must be an object, not an integer; write it as {...}"},
    });
}

// Unknown keys, wrong types and keys that stand twice take the file off, with line and column.
TEST(ActionErrors, Keys) {
    const std::string known =
        "summary, description, exec, stdin, arguments, allow, deny, user, group, groups, "
        "environment, workingDirectory, timeout, onDisconnect";
    expect_rows({
        {with("  \"alow\": []"),
         "/f.json:2:3: alow: unknown key; remove it, or use one of " + known},
        {with("\"\\u001b\": 1"),
         "/f.json:2:1: \\u001b: unknown key; remove it, or use one of " + known},
        {with("/* \u20ac */ \"Timeout\": 5"),
         "/f.json:2:9: Timeout: unknown key; remove it, or use one of " + known},
        {with("\"deny\": [],\n\"deny\": []"),
         "/f.json:3:1: the key \"deny\" stands twice; correct the file here"},
        {with("\"sandbox\": {}"),
         "/f.json:2:1: sandbox: is not supported by this version; remove it"},
        {with("\"$schema\": \"x\""),
         "/f.json:2:1: $schema: is not supported by this version; remove it"},
        {with("\"timeout\": 9007199254740993"),
         "/f.json:2:12: timeout: 9007199254740993 is beyond 2^53; send numbers of that size as "
         "strings; correct the file here"},
    });
}

TEST(ActionErrors, WhatIsMissing) {
    expect_rows({
        {R"({"exec": ["/usr/bin/true"], "allow": []})",
         "/f.json:1:1: \"summary\" is missing; add \"summary\": \"what it does\""},
        {R"({"summary": "s", "allow": []})",
         "/f.json:1:1: \"exec\" is missing; add \"exec\": [\"/path/to/program\", \"argument\"]"},
        {R"({"summary": "s", "exec": ["/usr/bin/true"]})",
         "/f.json:1:1: \"allow\" is missing; add \"allow\": [{\"group\": \"NAME\"}]"},
    });
}

// Of several mistakes the one that stands first is reported, whatever is read first.
TEST(ActionErrors, TheFirstByPosition) {
    EXPECT_EQ(error_of(with("\"timeout\": 0,\n\"summery\": 1,\n\"onDisconnect\": 5")),
              "/f.json:2:12: timeout: is out of range; use more than 0 and at most 30d");
}

TEST(ActionErrors, Texts) {
    const auto summary = [](const std::string& text) {
        return "{\"summary\": " + text + ", \"exec\": [\"/usr/bin/true\"], \"allow\": []}";
    };
    expect_rows({
        {summary("5"),
         "/f.json:1:13: summary: must be a string, not an integer; write it in double quotes"},
        {summary("\"\""), "/f.json:1:13: summary: is empty; say what the action does"},
        {summary("\"a\\nb\""), "/f.json:1:13: summary: contains U+000A; remove it"},
        {summary("\"a\\u0000\""),
         "/f.json:1:13: summary: contains a NUL character (U+0000); remove it"},
        {summary('"' + std::string(201, 'x') + '"'),
         "/f.json:1:13: summary: is longer than 200 bytes; move the details to \"description\""},
        {summary('"' + std::string(200, 'x') + '"'), "accepted"},
        {with(R"("description": "one\n\ttwo")"), "accepted"},
        {with(R"("description": "\u202e")"),
         "/f.json:2:16: description: contains U+202E; remove it"},
        {with(R"("description": null)"),
         "/f.json:2:16: description: must be a string, not null; write it in double quotes"},
    });
}

TEST(ActionErrors, Exec) {
    const std::string list = R"({"v": {"type": "list", "items": "string"}})";
    const std::string secret = R"({"v": {"type": "string", "secret": true}})";
    const std::string string = R"({"v": {"type": "string"}})";
    expect_rows({
        {with_exec("\"/usr/bin/true\""),
         "/f.json:2:1: exec: must be a list, not a string; write it as [...]"},
        {with_exec("[]"), "/f.json:2:1: exec: is empty; name the program as the first element"},
        {with_exec("[5]"),
         "/f.json:2:2: exec[0]: must be a string, not an integer; write it in double quotes"},
        {with_exec("[\"\"]"), "/f.json:2:2: exec[0]: is empty; write the program's path from / on"},
        {with_exec("[\"true\"]"),
         "/f.json:2:2: exec[0]: \"true\" is not absolute; write the program's path from / on"},
        {with_exec("[\"./true\"]"),
         "/f.json:2:2: exec[0]: \"./true\" is not absolute; write the program's path from / on"},
        {with_exec("[\"/usr/bin/{v}\"]", string),
         "/f.json:2:2: exec[0]: the program can't depend on an argument; write its path from / on"},
        {with_exec("[\"/usr/bin/no-such-program\"]"),
         "/f.json:2:2: exec[0]: /usr/bin/no-such-program does not exist; create it or correct the "
         "path"},
        {with_exec("[\"/usr/bin\"]"),
         "/f.json:2:2: exec[0]: /usr/bin is a folder; a regular file is needed"},
        {with_exec("[\"/dev/null\"]"),
         "/f.json:2:2: exec[0]: /dev/null is not a regular file; put a regular file there"},
        {with_exec("[\"/etc/passwd\"]"),
         "/f.json:2:2: exec[0]: /etc/passwd is not executable (owned by uid 0, mode 0644); run: "
         "chmod +x /etc/passwd"},
        {with_exec("[\"/usr/bin/true\",\n \"{w}\"]"),
         "/f.json:3:2: exec[1]: there is no argument \"w\"; declare it in \"arguments\" or correct "
         "the name"},
        {with_exec("[\"/usr/bin/true\", \"{\"]"),
         "/f.json:2:19: exec[1]: a { without its }; write {{ where a brace is meant"},
        {with_exec("[\"/usr/bin/true\", \"a\\u0000\"]"),
         "/f.json:2:19: exec[1]: contains a NUL character (U+0000); remove it"},
        {with_exec("[\"/usr/bin/true\", \"x{v}\"]", list),
         "/f.json:2:19: exec[1]: a list fills elements of its own; write \"{v}\" alone"},
        {with_exec("[\"/usr/bin/true\", \"{v}\"]", secret),
         "/f.json:2:19: exec[1]: the argument \"v\" is secret, and a command line can be read by "
         "everyone; hand it over in \"stdin\""},
        {with_exec("[\"/usr/bin/true\"], \"stdin\": \"{v}\"", list),
         "/f.json:2:29: stdin: a list can only fill elements of \"exec\"; use \"v\" there"},
        {with_exec("[\"/usr/bin/true\"], \"stdin\": \"{w}\""),
         "/f.json:2:29: stdin: there is no argument \"w\"; declare it in \"arguments\" or correct "
         "the name"},
        {with_exec("[\"/usr/bin/true\", \"line one\\nline two\"]"), "accepted"},
    });
    EXPECT_EQ(
        error_of(with("\"arguments\": {\n \"v\": {\"type\": \"string\"}}")),
        "/f.json:3:2: arguments.v: is not used; write {v} in \"exec\" or \"stdin\", or remove "
        "it");
}

TEST(ActionErrors, Arguments) {
    const std::string p = "/f.json:2:1: arguments.v: ";
    expect_rows({
        {with_argument("5"), p + "must be an object, not an integer; write it as {...}"},
        {with_argument("{}"), p + "\"type\" is missing; add \"type\": \"string\" (or integer, "
                                  "boolean, list)"},
        {with_argument(R"({"type": "path"})"),
         "/f.json:2:10: arguments.v.type: \"path\" is no type; use string, integer, boolean or "
         "list"},
        {with_argument(R"({"type": "list"})"),
         p + "\"items\" is missing; say what the elements of the list are: \"items\": \"string\" "
             "(or integer, boolean)"},
        {with_argument(R"({"type": "list", "items": "list"})"),
         "/f.json:2:27: arguments.v.items: a list of lists is not possible; use string, integer or "
         "boolean"},
        {with_argument(R"({"type": "string", "minimum": 1})"),
         "/f.json:2:20: arguments.v.minimum: has no meaning for a string; remove it"},
        {with_argument(R"({"type": "integer", "pattern": "x"})"),
         "/f.json:2:21: arguments.v.pattern: has no meaning for an integer; remove it"},
        {with_argument(R"({"type": "boolean", "allowLeadingDash": true})"),
         "/f.json:2:21: arguments.v.allowLeadingDash: has no meaning for a boolean; remove it"},
        {with_argument(R"({"type": "list", "items": "integer", "enum": ["a"]})"),
         "/f.json:2:38: arguments.v.enum: has no meaning for a list of integers; remove it"},
        {with_argument(R"({"type": "string", "optional": true})"),
         "/f.json:2:20: arguments.v.optional: unknown key; remove it, or use one of type, summary, "
         "required, default, enum, pattern, minLength, maxLength, secret, allowLeadingDash"},
        {with_argument(R"({"type": "string", "summary": "a\u001b"})"),
         "/f.json:2:31: arguments.v.summary: contains U+001B; remove it"},
        {with_argument(R"({"type": "string", "pattern": "[a"})"),
         "/f.json:2:31: arguments.v.pattern: \"[a\" is no regular expression of RE2 (missing ]: "
         "[a); correct it"},
        {with_argument(R"-({"type": "string", "pattern": "(?=a)"})-"),
         "/f.json:2:31: arguments.v.pattern: \"(?=a)\" is no regular expression of RE2 (invalid "
         "perl operator: (?=); correct it"},
        {with_argument(R"({"type": "string", "enum": []})"),
         "/f.json:2:28: arguments.v.enum: is empty, so no value would do; name at least one"},
        {with_argument(R"({"type": "string", "enum": ["a", "a"]})"),
         "/f.json:2:34: arguments.v.enum[1]: \"a\" stands twice; remove one"},
        {with_argument(R"({"type": "string", "enum": ["a", 5]})"),
         "/f.json:2:34: arguments.v.enum[1]: must be a string, not an integer; write it in double "
         "quotes"},
        {with_argument(R"({"type": "string", "enum": ["a", "B"], "pattern": "[a-z]"})"),
         "/f.json:2:34: arguments.v.enum[1]: \"B\" does not match [a-z]; correct the value or the "
         "rule"},
        {with_argument(R"({"type": "string", "enum": ["-x"]})"),
         "/f.json:2:29: arguments.v.enum[0]: \"-x\" begins with \"-\", which this argument does "
         "not "
         "allow; correct the value or the rule"},
        {with_argument(R"({"type": "list", "items": "string", "enum": [""]})"),
         "/f.json:2:46: arguments.v.enum[0]: must not be empty; correct the value or the rule"},
        {with_argument(R"({"type": "string", "minLength": -1})"),
         "/f.json:2:33: arguments.v.minLength: -1 is out of range; use a number from 0 to 4096"},
        {with_argument(R"({"type": "string", "maxLength": 4097})"),
         "/f.json:2:33: arguments.v.maxLength: 4097 is out of range; use a number from 0 to 4096"},
        {with_argument(R"({"type": "string", "maxLength": 4.5})"),
         "/f.json:2:33: arguments.v.maxLength: must be an integer, not a number with a fraction; "
         "write a whole number without quotes"},
        {with_argument(R"({"type": "string", "maxLength": 0})"),
         "/f.json:2:33: arguments.v.maxLength: 0 lets no value pass, since a value must not be "
         "empty; use at least 1, or add \"minLength\": 0"},
        {with_argument(R"({"type": "string", "minLength": 3, "maxLength": 2})"),
         "/f.json:2:49: arguments.v.maxLength: 2 is less than \"minLength\" (3); correct one of "
         "them"},
        {with_argument(R"({"type": "list", "items": "string", "maxItems": 257})"),
         "/f.json:2:49: arguments.v.maxItems: 257 is out of range; use a number from 0 to 256"},
        {with_argument(R"({"type": "list", "items": "string", "minItems": 3, "maxItems": 2})"),
         "/f.json:2:64: arguments.v.maxItems: 2 is less than \"minItems\" (3); correct one of "
         "them"},
        {with_argument(R"({"type": "list", "items": "string", "maxItems": 0})"),
         "/f.json:2:49: arguments.v.maxItems: 0 lets no value pass, since a list must not be "
         "empty; "
         "use at least 1, or add \"minItems\": 0"},
        {with_argument(R"({"type": "integer", "minimum": 3, "maximum": 2})"),
         "/f.json:2:46: arguments.v.maximum: 2 is less than \"minimum\" (3); correct one of them"},
        {with_argument(R"({"type": "integer", "minimum": "3"})"),
         "/f.json:2:32: arguments.v.minimum: must be an integer, not a string; write a whole "
         "number "
         "without quotes"},
        {with_argument(R"({"type": "integer", "maximum": -1})"),
         "/f.json:2:32: arguments.v.maximum: -1 lets no value pass, since a negative number needs "
         "a \"minimum\"; add one"},
        {with_argument(R"({"type": "string", "required": "no"})"),
         "/f.json:2:32: arguments.v.required: must be a boolean, not a string; write true or "
         "false"},
        {with_argument(R"({"type": "string", "required": true, "default": "x"})"),
         "/f.json:2:32: arguments.v.required: what has a default is never missing; remove "
         "\"required\" or \"default\""},
        {with_argument(R"({"type": "string", "required": false, "default": "x"})"), "accepted"},
        {with_argument(R"({"type": "string", "default": 5})"),
         "/f.json:2:31: arguments.v.default: must be a string, not an integer; correct the default "
         "or the rule"},
        {with_argument(R"({"type": "string", "default": ""})"),
         "/f.json:2:31: arguments.v.default: must not be empty; correct the default or the rule"},
        {with_argument(R"({"type": "string", "enum": ["a"], "default": "b"})"),
         "/f.json:2:46: arguments.v.default: \"b\" is not one of a; correct the default or the "
         "rule"},
        {with_argument(R"({"type": "integer", "minimum": 1, "default": 0})"),
         "/f.json:2:46: arguments.v.default: 0 is less than 1; correct the default or the rule"},
        {with_argument(R"({"type": "list", "items": "string", "default": ["a", 1]})"),
         "/f.json:2:48: arguments.v.default: element 2: must be a string, not an integer; correct "
         "the default or the rule"},
        {with_argument(R"({"type": "string", "default": {"a": 1}})"),
         "/f.json:2:31: arguments.v.default: must be a string, not something else; correct the "
         "default or the rule"},
    });
    EXPECT_EQ(error_of(R"({"summary": "s", "allow": [], "arguments": {"v":
{"type": "list", "items": "string", "secret": true}}, "exec": ["/usr/bin/true", "{v}"]})"),
              "/f.json:2:37: arguments.v.secret: has no meaning for a list of strings; remove it");
    EXPECT_EQ(error_of(R"({"summary": "s", "exec": ["/usr/bin/true"], "allow": [], "arguments":
{"a=b": {"type": "string"}}})"),
              "/f.json:2:2: arguments.a=b: is no name for an argument; use letters, digits, \"_\" "
              "and \"-\", a letter first, at most 64");
    EXPECT_EQ(
        error_of(R"({"summary": "s", "exec": ["/usr/bin/true"], "allow": [],
"stdin": "{v}", "arguments": {"v": {"type": "string", "secret": true, "default": "x"}}})"),
        "/f.json:2:82: arguments.v.default: a secret can't have a default, which every caller "
        "may read; remove it");
}

// A user or group that does not exist makes the file bad, in allow as in deny.
TEST(ActionErrors, Rules) {
    const std::string none = "{\"summary\": \"s\", \"exec\": [\"/usr/bin/true\"],\n";
    const auto allow = [&](const std::string& list) { return none + "\"allow\": " + list + "}"; };
    const auto deny = [](const std::string& list) { return with("\"deny\": " + list); };
    const std::string range = "; use one from 0 to 4294967294";
    expect_rows({
        {allow("{}"), "/f.json:2:10: allow: must be a list, not an object; write it as [...]"},
        {allow("[\"root\"]"),
         "/f.json:2:11: allow[0]: must be an object, not a string; write it as {...}"},
        {allow("[{}]"),
         "/f.json:2:11: allow[0]: names nobody; add \"user\", \"group\" or \"everyone\": true"},
        {allow("[{\"user\": \"no-such-user\"}]"),
         "/f.json:2:20: allow[0].user: there is no user \"no-such-user\"; correct the name or "
         "create "
         "the user"},
        {deny("[{\"user\": \"no-such-user\"}]"),
         "/f.json:2:19: deny[0].user: there is no user \"no-such-user\"; correct the name or "
         "create "
         "the user"},
        {allow("[{\"group\": \"no-such-group\"}]"),
         "/f.json:2:21: allow[0].group: there is no group \"no-such-group\"; correct the name or "
         "create the group"},
        {deny("[{\"user\": \"root\"},\n {\"group\": \"no-such-group\"}]"),
         "/f.json:3:12: deny[1].group: there is no group \"no-such-group\"; correct the name or "
         "create the group"},
        {allow("[{\"user\": 4294967295}]"),
         "/f.json:2:20: allow[0].user: 4294967295 is no id that anybody can have" + range},
        {allow("[{\"user\": -1}]"),
         "/f.json:2:20: allow[0].user: -1 is no id that anybody can have" + range},
        {allow("[{\"group\": 4294967296}]"),
         "/f.json:2:21: allow[0].group: 4294967296 is no id that anybody can have" + range},
        {allow("[{\"user\": \"4294967295\"}]"),
         "/f.json:2:20: allow[0].user: \"4294967295\" is neither a name nor an id from 0 to "
         "4294967294"},
        {allow("[{\"user\": \"007\"}]"),
         "/f.json:2:20: allow[0].user: \"007\" is neither a name nor an id from 0 to 4294967294"},
        {allow("[{\"user\": \"\"}]"),
         "/f.json:2:20: allow[0].user: \"\" is neither a name nor an id from 0 to 4294967294"},
        {allow("[{\"user\": \"*\"}]"),
         "/f.json:2:20: allow[0].user: there is no user \"*\"; correct the name or create the "
         "user"},
        {allow("[{\"user\": 1.5}]"),
         "/f.json:2:20: allow[0].user: must be a string, not a number with a fraction; write it in "
         "double quotes"},
        {allow("[{\"everyone\": false}]"),
         "/f.json:2:24: allow[0].everyone: must be true; remove the subject if nobody is meant"},
        {allow("[{\"everyone\": 1}]"),
         "/f.json:2:24: allow[0].everyone: must be a boolean, not an integer; write true or false"},
        {allow("[{\"user\": 0, \"everyone\": true}]"),
         "/f.json:2:23: allow[0].everyone: stands alone; remove it, or the other conditions of the "
         "subject"},
        {allow("[{\"unit\": \"x.service\"}]"),
         "/f.json:2:12: allow[0].unit: rules that name a unit are not supported by this version; "
         "remove it"},
        {allow("[{\"host\": \"x\"}]"),
         "/f.json:2:11: allow[0]: names nobody; add \"user\", \"group\" or \"everyone\": true"},
        {allow("[{\"user\": 0, \"host\": \"x\"}]"),
         "/f.json:2:23: allow[0].host: unknown key; remove it, or use one of user, group, "
         "everyone"},
    });
}

TEST(ActionErrors, TheRest) {
    expect_rows({
        {with("\"environment\": []"),
         "/f.json:2:16: environment: must be an object, not a list; write it as {...}"},
        {with("\"environment\": {\"1A\": \"x\"}"),
         "/f.json:2:17: environment.1A: is no name for a variable; use letters, digits and \"_\", "
         "not a digit first"},
        {with("\"environment\": {\"\": \"x\"}"),
         "/f.json:2:17: environment.: is no name for a variable; use letters, digits and \"_\", "
         "not "
         "a digit first"},
        {with("\"environment\": {\"A=B\": \"x\"}"),
         "/f.json:2:17: environment.A=B: is no name for a variable; use letters, digits and \"_\", "
         "not a digit first"},
        {with("\"environment\": {\"POSTERN_UID\": \"0\"}"),
         "/f.json:2:17: environment.POSTERN_UID: POSTERN_ variables are set by the guard; use "
         "another name"},
        {with("\"environment\": {\"A\": 5}"),
         "/f.json:2:22: environment.A: must be a string, not an integer; write it in double "
         "quotes"},
        {with("\"environment\": {\"A\": \"\\u0000\"}"),
         "/f.json:2:22: environment.A: contains a NUL character (U+0000); remove it"},
        {with("\"workingDirectory\": \"tmp\""),
         "/f.json:2:21: workingDirectory: \"tmp\" is not absolute; write the folder's path from / "
         "on"},
        {with("\"timeout\": \"soon\""),
         "/f.json:2:12: timeout: \"soon\" is not a span of time; write for example 30s, 5min, \"1h "
         "30min\" or a number of seconds"},
        {with("\"timeout\": true"),
         "/f.json:2:12: timeout: must be a span of time, not a boolean; write for example \"30s\" "
         "or a number of seconds"},
        {with("\"timeout\": 0"),
         "/f.json:2:12: timeout: is out of range; use more than 0 and at most 30d"},
        {with("\"timeout\": -5"),
         "/f.json:2:12: timeout: is out of range; use more than 0 and at most 30d"},
        {with("\"timeout\": \"31d\""),
         "/f.json:2:12: timeout: is out of range; use more than 0 and at most 30d"},
        {with("\"timeout\": 2592001"),
         "/f.json:2:12: timeout: is out of range; use more than 0 and at most 30d"},
        {with("\"timeout\": 9007199254740992"),
         "/f.json:2:12: timeout: is out of range; use more than 0 and at most 30d"},
        {with("\"timeout\": 2592000"), "accepted"},
        {with("\"onDisconnect\": \"stop\""),
         "/f.json:2:17: onDisconnect: \"stop\" is not known; use \"keep\" or \"kill\""},
    });
}

}  // namespace
}  // namespace postern::policy
