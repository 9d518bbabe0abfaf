// Every mistake in an action file: the exact message, with line and column.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/daemon/policy/file/support.h"

namespace postern::policy {
namespace {

// The members stand on line 2 from column 1 on.
std::string with(const std::string& more) {
    return R"({"summary": "s", "exec": ["/usr/bin/true"], "allow": [],)"
           "\n" +
           more + "}";
}
std::string with_exec(const std::string& exec, const std::string& arguments = "{}") {
    return "{\"summary\": \"s\", \"allow\": [], \"arguments\": " + arguments + ", \"exec\":\n" +
           exec + "}";
}

TEST(ActionErrors, NoJson) {
    expect_errors({
        {"{\n  \"summary\": \"s\",\n}", "/f.json:2:17: a comma before \"}\"; remove it"},
        {"", "/f.json:1:1: it is empty; write {...}"},
        {"\xEF\xBB\xBF{}",
         "/f.json:1:1: a byte order mark (U+FEFF); save the file as UTF-8 without one"},
        {"{}\n{}",
         "/f.json:2:1: a second object begins here; a file holds only one, so move it to "
         "a file of its own"},
        {"// caf\u00e9 \xff",
         "/f.json:1:1: it contains only white space and comments; write {...}"},
        {"[]", "/f.json:1:1: must be an object, not a list; write {...}"},
        {"5", "/f.json:1:1: must be an object, not an integer; write {...}"},
    });
}

// Unknown keys, wrong types and keys that stand twice take the file off, with line and column.
TEST(ActionErrors, Keys) {
    const std::string known =
        "summary, description, exec, stdin, input, output, arguments, allow, deny, user, group, "
        "groups, environment, workingDirectory, timeout, onDisconnect, datagram, stderr, "
        "storedOutput, sandbox, "
        "$schema, sudoCompatible, spare";
    expect_errors({
        {with("  \"alow\": []"), "/f.json:2:3: alow: unknown key; did you mean \"allow\"?"},
        {with("\"\\u001b\": 1"),
         "/f.json:2:1: \\u001b: unknown key; remove it, or use one of " + known},
        {with("/* \u20ac */ \"Timeout\": 5"),
         "/f.json:2:9: Timeout: unknown key; did you mean \"timeout\"?"},
        {with("\"deny\": [],\n\"deny\": []"),
         "/f.json:3:1: the key \"deny\" appears twice; correct the file here"},
        {with("\"sandbox\": {}"),
         "/f.json:2:1: sandbox: needs systemd, and this daemon starts its jobs itself; remove it, "
         "or "
         "start the daemon as a service of systemd"},
        {with("\"$schema\": 1"),
         "/f.json:2:12: $schema: must be a string, not an integer; write \"1\""},
        {with("\"timeout\": 9007199254740993"),
         "/f.json:2:12: timeout: 9007199254740993 is beyond 2^53; give one from -9007199254740992 "
         "to 9007199254740992; correct the file here"},
    });
}

TEST(ActionErrors, WhatIsMissing) {
    expect_errors({
        {R"({"exec": ["/usr/bin/true"], "allow": []})",
         "/f.json:1:1: \"summary\" is required; add \"summary\": \"what it does\""},
        {R"({"summary": "s", "allow": []})",
         "/f.json:1:1: \"exec\" is required; add \"exec\": [\"/path/to/program\", \"argument\"]"},
        {R"({"summary": "s", "exec": ["/usr/bin/true"]})",
         "/f.json:1:1: \"allow\" is required; add \"allow\": [{\"group\": \"NAME\"}]"},
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
    expect_errors({
        {summary("5"), "/f.json:1:13: summary: must be a string, not an integer; write \"5\""},
        {summary("\"\""), "/f.json:1:13: summary: is empty; describe what the action does"},
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
         "/f.json:2:16: description: must be a string, not null; write a string in double quotes"},
    });
}

TEST(ActionErrors, Exec) {
    const std::string list = R"({"v": {"type": "list", "items": "string"}})";
    const std::string secret = R"({"v": {"type": "string", "secret": true}})";
    const std::string string = R"({"v": {"type": "string"}})";
    expect_errors({
        {with_exec("\"/usr/bin/true\""),
         "/f.json:2:1: exec: must be a list of words, not a string; write [\"/usr/bin/true\"]"},
        {with_exec("[]"), "/f.json:2:1: exec: is empty; name the program as the first element"},
        {with_exec("[5]"), "/f.json:2:2: exec[0]: must be a string, not an integer; write \"5\""},
        {with_exec("[\"\"]"), "/f.json:2:2: exec[0]: is empty; write the program's absolute path"},
        {with_exec("[\"true\"]"),
         "/f.json:2:2: exec[0]: \"true\" is not absolute; write \"/usr/bin/true\""},
        {with_exec("[\"./true\"]"),
         "/f.json:2:2: exec[0]: \"./true\" is not absolute; write the program's absolute path"},
        {with_exec("[\"/usr/bin/{v}\"]", string),
         "/f.json:2:2: exec[0]: the program can't depend on an argument; write its absolute path"},
        {with_exec("[\"/usr/bin/no-such-program\"]"),
         "/f.json:2:2: exec[0]: /usr/bin/no-such-program does not exist; create it or correct the "
         "path"},
        {with_exec(R"(["/usr/bin\uFEFF\u001b[2Jprintf"])"),
         "/f.json:2:2: exec[0]: /usr/bin\\ufeff\\u001b[2Jprintf does not exist; create it or "
         "correct "
         "the path"},
        {with_exec("[\"/usr/bin\"]"),
         "/f.json:2:2: exec[0]: /usr/bin is a directory; a regular file is needed"},
        {with_exec("[\"/dev/null\"]"),
         "/f.json:2:2: exec[0]: /dev/null is not a regular file; put a regular file there"},
        {with_exec("[\"/etc/passwd\"]"),
         "/f.json:2:2: exec[0]: /etc/passwd is not executable (owned by uid 0, mode 0644); run: "
         "chmod +x /etc/passwd"},
        {with_exec("[\"/usr/bin/true\",\n \"{w}\"]"),
         "/f.json:3:2: exec[1]: there is no argument \"w\"; declare it in \"arguments\" or correct "
         "the name"},
        {with_exec("[\"/usr/bin/true\", \"{\"]"),
         "/f.json:2:19: exec[1]: a { without a }; write {{ for a literal brace"},
        {with_exec("[\"/usr/bin/true\", \"a\\u0000\"]"),
         "/f.json:2:19: exec[1]: contains a NUL character (U+0000); remove it"},
        {with_exec("[\"/usr/bin/true\", \"x{v}\"]", list),
         "/f.json:2:19: exec[1]: a list must be an element by itself; write \"{v}\" alone"},
        {with_exec("[\"/usr/bin/true\", \"{v}\"]", secret),
         "/f.json:2:19: exec[1]: the argument \"v\" is secret, and everyone can "
         "read a command line; pass it in \"stdin\""},
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

// A user or group that does not exist makes the file bad, in allow as in deny.
TEST(ActionErrors, Rules) {
    const std::string none = "{\"summary\": \"s\", \"exec\": [\"/usr/bin/true\"],\n";
    const auto allow = [&](const std::string& list) { return none + "\"allow\": " + list + "}"; };
    const auto deny = [](const std::string& list) { return with("\"deny\": " + list); };
    const std::string range = "; use one from 0 to 4294967294";
    expect_errors({
        {allow("{}"), "/f.json:2:10: allow: must be a list, not an object; write [...]"},
        {allow("[\"root\"]"),
         "/f.json:2:11: allow[0]: must be an object, not a string; write {\"user\": \"root\"} or "
         "{\"group\": \"root\"}"},
        {allow("[{}]"),
         "/f.json:2:11: allow[0]: names nobody; add \"user\", \"group\", \"unit\" or \"everyone\": "
         "true"},
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
         "/f.json:2:20: allow[0].user: 4294967295 is not a valid id" + range},
        {allow("[{\"user\": -1}]"), "/f.json:2:20: allow[0].user: -1 is not a valid id" + range},
        {allow("[{\"group\": 4294967296}]"),
         "/f.json:2:21: allow[0].group: 4294967296 is not a valid id" + range},
        {allow("[{\"user\": \"4294967295\"}]"),
         "/f.json:2:20: allow[0].user: \"4294967295\" is neither a name nor an id from 0 to "
         "4294967294"},
        {allow("[{\"user\": \"007\"}]"),
         "/f.json:2:20: allow[0].user: \"007\" is neither a name nor an id from 0 to 4294967294"},
        {allow("[{\"user\": \"\"}]"),
         "/f.json:2:20: allow[0].user: \"\" is neither a name nor an id from 0 to 4294967294"},
        {allow("[{\"user\": \"*\"}]"),
         "/f.json:2:20: allow[0].user: there is no user \"*\"; write {\"everyone\": true}"},
        {allow("[{\"user\": 1.5}]"),
         "/f.json:2:20: allow[0].user: must be a string, not a number with a fraction; write "
         "\"1.5\""},
        {allow("[{\"everyone\": false}]"),
         "/f.json:2:24: allow[0].everyone: must be true; remove the subject if you mean nobody"},
        {allow("[{\"everyone\": 1}]"),
         "/f.json:2:24: allow[0].everyone: must be a boolean, not an integer; write true"},
        {allow("[{\"user\": 0, \"everyone\": true}]"),
         "/f.json:2:23: allow[0].everyone: can't be combined with other conditions; remove "
         "it, or the others"},
        {allow(R"([{"unit": "x"}])"),
         "/f.json:2:20: allow[0].unit: \"x\" is not a unit that callers can run in; write "
         "\"x.service\""},
        {allow(R"([{"unit": "x.slice"}])"),
         "/f.json:2:20: allow[0].unit: \"x.slice\" is not a unit that callers can run in; write "
         "for example \"ci-runner.service\""},
        {allow(R"([{"unit": "x@.service"}])"),
         "/f.json:2:20: allow[0].unit: \"x@.service\" is a template; name an instance, such as "
         "\"x@1.service\""},
        {allow(R"([{"unit": "x.service", "everyone": true}])"),
         "/f.json:2:33: allow[0].everyone: can't be combined with other conditions; remove "
         "it, or the others"},
        {allow("[{\"host\": \"x\"}]"),
         "/f.json:2:12: allow[0].host: unknown key; remove it, or use one of user, group, "
         "everyone, unit"},
        {allow("[{\"user\": 0, \"host\": \"x\"}]"),
         "/f.json:2:23: allow[0].host: unknown key; remove it, or use one of user, group, "
         "everyone, unit"},
    });
}

TEST(ActionErrors, TheRest) {
    expect_errors({
        {with("\"environment\": []"),
         "/f.json:2:16: environment: must be an object, not a list; write {\"NAME\": \"value\"}"},
        {with("\"environment\": {\"1A\": \"x\"}"),
         "/f.json:2:17: environment.1A: is not a valid name for a variable; use letters, "
         "digits and \"_\", not starting with a digit"},
        {with("\"environment\": {\"\": \"x\"}"),
         "/f.json:2:17: environment.: is not a valid name for a variable; use letters, "
         "digits and \"_\", not starting with a digit"},
        {with("\"environment\": {\"A=B\": \"x\"}"),
         "/f.json:2:17: environment.A=B: is not a valid name for a variable; use letters, "
         "digits and \"_\", not starting with a digit"},
        {with("\"environment\": {\"POSTERN_UID\": \"0\"}"),
         "/f.json:2:17: environment.POSTERN_UID: POSTERN_ variables are set by the daemon; use "
         "another name"},
        {with("\"sudoCompatible\": true, \"environment\": {\"SUDO_USER\": \"x\"}"),
         "/f.json:2:41: environment.SUDO_USER: SUDO_ variables are set by the daemon because of "
         "\"sudoCompatible\": true; remove one of them"},
        {with("\"sudoCompatible\": \"yes\""),
         "/f.json:2:19: sudoCompatible: must be a boolean, not a string; write true without "
         "quotes"},
        {with("\"environment\": {\"A\": 5}"),
         "/f.json:2:22: environment.A: must be a string, not an integer; write \"5\""},
        {with("\"environment\": {\"A\": \"\\u0000\"}"),
         "/f.json:2:22: environment.A: contains a NUL character (U+0000); remove it"},
        {with("\"workingDirectory\": \"tmp\""),
         "/f.json:2:21: workingDirectory: \"tmp\" is not an absolute path; write the "
         "directory's path starting with /"},
        {with("\"timeout\": \"soon\""),
         "/f.json:2:12: timeout: \"soon\" is not a duration; write for example 30s, 5min, \"1h "
         "30min\" or a number of seconds"},
        {with("\"timeout\": true"),
         "/f.json:2:12: timeout: must be a duration, not a boolean; write for example \"30s\" "
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
        {with("\"datagram\": \"yes\""),
         "/f.json:2:13: datagram: must be a boolean, not a string; write true without quotes"},
        {with("\"datagram\": true, \"onDisconnect\": \"kill\""),
         "/f.json:2:1: datagram: conflicts with \"onDisconnect\": \"kill\", because a datagram has "
         "no "
         "connection that could end; remove one of them"},
        {with("\"datagram\": false, \"onDisconnect\": \"kill\""), "accepted"},
        {with("\"datagram\": true, \"onDisconnect\": \"keep\""), "accepted"},
        {with("\"spare\": 9"), "/f.json:2:10: spare: 9 is out of range; give a number from 0 to 8"},
        {with("\"spare\": -1"),
         "/f.json:2:10: spare: -1 is out of range; give a number from 0 to 8"},
        {with("\"onDisconnect\": \"stop\""),
         "/f.json:2:17: onDisconnect: \"stop\" is not known; use \"keep\" or \"kill\""},
        {with("\"stderr\": \"null\""),
         "/f.json:2:11: stderr: \"null\" is not known; use \"stdout\" to merge both into one "
         "stream in the order of writing, or remove it"},
        {with("\"input\": \"text\""), "accepted"},
        {with("\"input\": \"direct\", \"output\": \"direct\", \"stderr\": \"stdout\""), "accepted"},
        {with("\"input\": \"file\""),
         "/f.json:2:10: input: \"file\" is not known; use \"text\" or \"direct\""},
        {with("\"input\": true"),
         "/f.json:2:10: input: must be a string, not a boolean; use \"text\" or \"direct\""},
        {with("\"stdin\": \"x\",\n\"input\": \"text\""),
         "/f.json:3:1: input: conflicts with \"stdin\", which already defines standard input; "
         "remove one of them"},
        {with("\"output\": \"stored\""),
         "/f.json:2:11: output: \"stored\" is not known; use \"direct\" to have standard output go "
         "straight to the caller, or remove it"},
        {with("\"stderr\": true"),
         "/f.json:2:11: stderr: must be a string, not a boolean; use \"stdout\" to merge both "
         "into one stream in the order of writing, or remove it"},
    });
}

}  // namespace
}  // namespace postern::policy
