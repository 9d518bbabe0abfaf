// What people write who know other tools, or whose hand slipped, and what is said of it.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/daemon/policy/file/support.h"

namespace postern::policy {
namespace {

// An action whose second line is `line`; the rest is right.
std::string file(const std::string& line) {
    return "{\"summary\": \"s\",\n  " + line +
           ",\n  \"exec\": [\"/usr/bin/true\"], \"allow\": [{\"everyone\": true}]}";
}
std::string exec(const std::string& value) {
    return "{\"summary\": \"s\", \"allow\": [],\n  \"exec\": " + value + "}";
}
std::string allow(const std::string& value) {
    return "{\"summary\": \"s\", \"exec\": [\"/usr/bin/true\"],\n  \"allow\": " + value + "}";
}
std::string argument(const std::string& value) {
    return "{\"summary\": \"s\", \"allow\": [], \"exec\": [\"/usr/bin/true\", \"{v}\"],\n"
           "  \"arguments\": {\"v\": " +
           value + "}}";
}

TEST(Slips, Text) {
    expect_errors({
        {"{\n  \"summary\": \"s\"\n  \"exec\": []\n}",
         "/f.json:2:17: a comma is missing at the end of this line; add \",\""},
        {"{\n  \"summary\": \"s\",\n}", "/f.json:2:17: a comma before \"}\"; remove it"},
        {"# an action\n{}", "/f.json:1:1: comments begin with //, not with #; write //"},
        {"{\n  'summary': 's'\n}",
         "/f.json:2:3: ' is not a quotation mark in JSON; write \"summary\""},
        {"{\n  summary: \"s\"\n}",
         "/f.json:2:3: keys are written in double quotes; write \"summary\""},
        {"{\n  “summary”: “s”\n}",
         "/f.json:2:3: “ is not a quotation mark in JSON; write \"summary\""},
        {"{\n  \"datagram\": True\n}", "/f.json:2:15: True is not JSON; write true"},
        {"{\n  \"description\": None\n}",
         "/f.json:2:18: None is not JSON; leave it out if there is no value"},
        {"{\n  \"timeout\": 30s\n}",
         "/f.json:2:14: strings are written in double quotes; write \"30s\""},
        {"{\n  \"summary\": \"s\"\n",
         "/f.json:2:17: the file ends before the \"{\" of line 1 is closed; add \"}\" here"},
        {"{\"summary\": \"s\"}\n{\"summary\": \"t\"}\n",
         "/f.json:2:1: a second object begins here; a file holds only one, so move it to "
         "a file of its own"},
        {"summary: Restart a service\nexec: [/usr/bin/true]\n",
         "/f.json:1:1: this looks like YAML; write JSON: {\"summary\": ..., ...}"},
        {"[action]\nsummary = \"s\"\n",
         "/f.json:1:1: this looks like TOML or an INI file; write JSON: {\"KEY\": ..., ...}"},
        {"deploy ALL=(root) NOPASSWD: /usr/bin/systemctl restart nginx\n",
         "/f.json:1:1: this is not JSON; write {\"KEY\": ..., ...}"},
        {"[{\"summary\": \"s\"}]", "/f.json:1:1: must be an object, not a list; write {...}"},
        {"\"summary\"", "/f.json:1:1: must be an object, not a string; write {...}"},
    });
}

TEST(Slips, KeysOfOtherTools) {
    expect_errors({
        {file("\"alow\": []"), "/f.json:2:3: alow: unknown key; did you mean \"allow\"?"},
        {file("\"Allow\": []"), "/f.json:2:3: Allow: unknown key; did you mean \"allow\"?"},
        {file("\"working_directory\": \"/\""),
         "/f.json:2:3: working_directory: unknown key; did you mean \"workingDirectory\"?"},
        {file("\"WorkingDirectory\": \"/\""),
         "/f.json:2:3: WorkingDirectory: unknown key; did you mean \"workingDirectory\"?"},
        {file("\"on-disconnect\": \"kill\""),
         "/f.json:2:3: on-disconnect: unknown key; did you mean \"onDisconnect\"?"},
        {file("\"argument\": {}"),
         "/f.json:2:3: argument: unknown key; did you mean \"arguments\"?"},
        {file("\"sumary\": \"s\""), "/f.json:2:3: sumary: unknown key; did you mean \"summary\"?"},
        {file("\"command\": [\"/usr/bin/true\"]"),
         "/f.json:2:3: command: unknown key; write \"exec\": [\"/path/to/program\", \"argument\"]"},
        {file("\"cmd\": \"x\""),
         "/f.json:2:3: cmd: unknown key; write \"exec\": [\"/path/to/program\", \"argument\"]"},
        {file("\"ExecStart\": \"/usr/bin/true\""),
         "/f.json:2:3: ExecStart: unknown key; write \"exec\": [\"/path/to/program\", "
         "\"argument\"]"},
        {file("\"shell\": \"echo hi\""),
         "/f.json:2:3: shell: unknown key; there is no shell; write \"exec\": "
         "[\"/path/to/program\", \"argument\"]"},
        {file("\"script\": \"x\""),
         "/f.json:2:3: script: unknown key; write \"exec\": [\"/path/to/script\"]"},
        {file("\"args\": [\"x\"]"),
         "/f.json:2:3: args: unknown key; what the program gets belongs in \"exec\", what callers "
         "give in \"arguments\""},
        {file("\"params\": {}"),
         "/f.json:2:3: params: unknown key; write \"arguments\": {\"NAME\": {\"type\": "
         "\"string\"}}"},
        {file("\"name\": \"web.restart\""),
         "/f.json:2:3: name: unknown key; remove it: the file's name is the action's name"},
        {file("\"id\": \"web.restart\""),
         "/f.json:2:3: id: unknown key; remove it: the file's name is the action's name"},
        {file("\"title\": \"x\""),
         "/f.json:2:3: title: unknown key; write \"summary\": \"what it does\""},
        {file("\"runas\": \"root\""), "/f.json:2:3: runas: unknown key; write \"user\": \"NAME\""},
        {file("\"run_as_user\": \"root\""),
         "/f.json:2:3: run_as_user: unknown key; write \"user\": \"NAME\""},
        {file("\"users\": [\"ada\"]"),
         "/f.json:2:3: users: unknown key; who may run it belongs in \"allow\": [{\"user\": "
         "\"NAME\"}]"},
        {file("\"nopasswd\": true"),
         "/f.json:2:3: nopasswd: unknown key; remove it: nobody is asked for a password"},
        {file("\"timeoutSec\": 30"),
         "/f.json:2:3: timeoutSec: unknown key; write \"timeout\": \"30s\""},
        {file("\"TimeoutStartSec\": 30"),
         "/f.json:2:3: TimeoutStartSec: unknown key; write \"timeout\": \"30s\""},
        {file("\"timeout_seconds\": 30"),
         "/f.json:2:3: timeout_seconds: unknown key; write \"timeout\": \"30s\""},
        {file("\"cwd\": \"/\""),
         "/f.json:2:3: cwd: unknown key; write \"workingDirectory\": \"/path\""},
        {file("\"env\": {}"),
         "/f.json:2:3: env: unknown key; write \"environment\": {\"NAME\": \"value\"}"},
        {file("\"keepenv\": true"),
         "/f.json:2:3: keepenv: unknown key; write \"environment\": {\"NAME\": \"value\"}; nothing "
         "of the caller's environment is kept"},
        {file("\"ProtectSystem\": \"strict\""),
         "/f.json:2:3: ProtectSystem: belongs in \"sandbox\"; write \"sandbox\": "
         "{\"ProtectSystem\": ...}"},
        {file("\"NoNewPrivileges\": true"),
         "/f.json:2:3: NoNewPrivileges: belongs in \"sandbox\"; write \"sandbox\": "
         "{\"NoNewPrivileges\": ...}"},
        {file("\"popupOnStart\": \"execution-dialog\""),
         "/f.json:2:3: popupOnStart: unknown key; remove it, or use one of summary, description, "
         "exec, stdin, input, output, arguments, allow, deny, user, group, groups, environment, "
         "workingDirectory, timeout, onDisconnect, datagram, stderr, storedOutput, sandbox, "
         "$schema, sudoCompatible, spare"},
        {"{\"command\": [\"/usr/bin/true\"]}",
         "/f.json:1:2: command: unknown key; write \"exec\": [\"/path/to/program\", \"argument\"]"},
        {"{\"summary\": \"s\", \"comand\": [\"/usr/bin/true\"], \"allow\": []}",
         "/f.json:1:18: comand: unknown key; write \"exec\": [\"/path/to/program\", \"argument\"]"},
    });
}

TEST(Slips, Commands) {
    expect_errors({
        {exec("\"/usr/bin/systemctl restart nginx\""),
         "/f.json:2:11: exec: must be a list of words, not a string; write "
         "[\"/usr/bin/systemctl\", \"restart\", \"nginx\"]"},
        {exec("\"systemctl restart nginx\""),
         "/f.json:2:11: exec: must be a list of words, not a string; write "
         "[\"/usr/bin/systemctl\", \"restart\", \"nginx\"]"},
        {exec("\"/usr/bin/env echo 'two words' \\\"x y\\\"\""),
         "/f.json:2:11: exec: must be a list of words, not a string; write [\"/usr/bin/env\", "
         "\"echo\", \"two words\", \"x y\"]"},
        {exec("\"echo hi > /tmp/x\""),
         "/f.json:2:11: exec: must be a list of words, not a string; no shell interprets it, "
         "so put it into a script and write [\"/path/to/script\"]"},
        {exec("\"\""),
         "/f.json:2:11: exec: must be a list of words, not a string; no shell interprets it, "
         "so put it into a script and write [\"/path/to/script\"]"},
        {exec("[\"/usr/bin/systemctl restart nginx\"]"),
         "/f.json:2:12: exec[0]: there is a program /usr/bin/systemctl, but each word "
         "must be a separate element; write \"/usr/bin/systemctl\", \"restart\", \"nginx\""},
        {exec("[\"systemctl\", \"restart\"]"),
         "/f.json:2:12: exec[0]: \"systemctl\" is not absolute; write \"/usr/bin/systemctl\""},
        {exec("[\"systemctl restart nginx\"]"),
         "/f.json:2:12: exec[0]: \"systemctl restart nginx\" is not absolute; write "
         "\"/usr/bin/systemctl\", \"restart\", \"nginx\""},
        {exec("[\"./restart.sh\"]"),
         "/f.json:2:12: exec[0]: \"./restart.sh\" is not absolute; write the program's "
         "absolute path"},
        {exec("[\"~/restart.sh\"]"),
         "/f.json:2:12: exec[0]: \"~/restart.sh\" is not absolute; write the program's "
         "absolute path"},
        {exec("[\"/usr/bin/sleep\", 5]"),
         "/f.json:2:30: exec[1]: must be a string, not an integer; write \"5\""},
        {exec("[\"/usr/bin/env\", true]"),
         "/f.json:2:28: exec[1]: must be a string, not a boolean; write \"true\""},
        {exec("{\"program\": \"/usr/bin/true\"}"),
         "/f.json:2:11: exec: must be a list of words, not an object; write [\"/path/to/program\", "
         "\"argument\"]"},
        {exec("[\"/usr/bin/echo\", \"{{ v }}\"], \"arguments\": {\"v\": {\"type\": \"string\"}}"),
         "/f.json:2:29: exec[1]: \"{{ v }}\" is not a placeholder here; write {v}"},
        {exec("[\"/usr/bin/echo\", \"$v\"], \"arguments\": {\"v\": {\"type\": \"string\"}}"),
         "/f.json:2:29: exec[1]: \"$v\" is not a placeholder here; write {v}"},
        {exec("[\"/usr/bin/echo\", \"%v%\"], \"arguments\": {\"v\": {\"type\": \"string\"}}"),
         "/f.json:2:29: exec[1]: \"%v%\" is not a placeholder here; write {v}"},
        {exec("[\"/usr/bin/echo\", \"<v>\"], \"arguments\": {\"v\": {\"type\": \"string\"}}"),
         "/f.json:2:29: exec[1]: \"<v>\" is not a placeholder here; write {v}"},
    });
}

TEST(Slips, Subjects) {
    expect_errors({
        {allow("[{\"group\": [\"bin\", \"daemon\"]}]"),
         "/f.json:2:23: allow[0].group: takes one value, not a list; write one subject for each: "
         "{\"group\": \"bin\"}, {\"group\": \"daemon\"}"},
        {allow("[{\"user\": [\"root\"]}]"),
         "/f.json:2:22: allow[0].user: takes one value, not a list; write one subject for each: "
         "{\"user\": \"root\"}"},
        {allow("[{\"user\": []}]"),
         "/f.json:2:22: allow[0].user: takes one value, not a list; write one subject for each: "
         "{\"user\": ...}"},
        {allow("\"root\""),
         "/f.json:2:12: allow: must be a list, not a string; write [{\"user\": \"root\"} or "
         "{\"group\": \"root\"}]"},
        {allow("{\"group\": \"bin\"}"),
         "/f.json:2:12: allow: must be a list, not an object; write [{\"group\":\"bin\"}]"},
        {allow("[\"shadow\"]"),
         "/f.json:2:13: allow[0]: must be an object, not a string; write {\"group\": \"shadow\"}"},
        {allow("[\"root\"]"),
         "/f.json:2:13: allow[0]: must be an object, not a string; write {\"user\": \"root\"} or "
         "{\"group\": \"root\"}"},
        {allow("[\"%wheel\"]"),
         "/f.json:2:13: allow[0]: must be an object, not a string; write {\"group\": \"wheel\"}"},
        {allow("[\"*\"]"),
         "/f.json:2:13: allow[0]: must be an object, not a string; write {\"everyone\": true}"},
        {allow("[\"ci.service\"]"),
         "/f.json:2:13: allow[0]: must be an object, not a string; write {\"unit\": "
         "\"ci.service\"}"},
        {allow("[1000]"),
         "/f.json:2:13: allow[0]: must be an object, not an integer; write {\"user\": 1000}"},
        {allow("[{\"user\": \"ALL\"}]"),
         "/f.json:2:22: allow[0].user: there is no user \"ALL\"; write {\"everyone\": true}"},
        {allow("[{\"user\": \"%shadow\"}]"),
         "/f.json:2:22: allow[0].user: there is no user \"%shadow\"; write {\"group\": "
         "\"shadow\"}"},
        {allow("[{\"user\": \"shadow\"}]"),
         "/f.json:2:22: allow[0].user: there is no user \"shadow\"; write {\"group\": \"shadow\"}"},
        {allow("[{\"user\": \"ci.service\"}]"),
         "/f.json:2:22: allow[0].user: there is no user \"ci.service\"; write {\"unit\": "
         "\"ci.service\"}"},
        {allow("[{\"group\": \"%shadow\"}]"),
         "/f.json:2:23: allow[0].group: there is no group \"%shadow\"; write {\"group\": "
         "\"shadow\"}"},
        {allow("[{\"unit\": \"fh-dyn\"}]"),
         "/f.json:2:22: allow[0].unit: \"fh-dyn\" is not a unit that callers can run in; write "
         "\"fh-dyn.service\""},
        {allow("[{\"unit\": \"backup.timer\"}]"),
         "/f.json:2:22: allow[0].unit: \"backup.timer\" is not a unit that callers can run in; "
         "write \"backup.service\""},
        {allow("[{\"unit\": \"user.slice\"}]"),
         "/f.json:2:22: allow[0].unit: \"user.slice\" is not a unit that callers can run in; write "
         "for example \"ci-runner.service\""},
        {allow("[{\"unit\": \"getty@\"}]"),
         "/f.json:2:22: allow[0].unit: \"getty@\" is not a unit that callers can run in; write for "
         "example \"ci-runner.service\""},
        {allow("[{\"users\": \"root\"}]"),
         "/f.json:2:14: allow[0].users: unknown key; did you mean \"user\"?"},
        {allow("[{\"uid\": 0}]"),
         "/f.json:2:14: allow[0].uid: unknown key; write \"user\" and keep the number"},
        {allow("[{\"name\": \"root\"}]"),
         "/f.json:2:14: allow[0].name: unknown key; write \"user\" or \"group\""},
        {allow("[{\"all\": true}]"),
         "/f.json:2:14: allow[0].all: unknown key; write \"everyone\": true"},
        {allow("[{\"service\": \"x\"}]"),
         "/f.json:2:14: allow[0].service: unknown key; write \"unit\": \"NAME.service\""},
        {allow("[{\"everyone\": \"yes\"}]"),
         "/f.json:2:26: allow[0].everyone: must be a boolean, not a string; write true without "
         "quotes"},
    });
}

TEST(Slips, Arguments) {
    expect_errors({
        {argument("\"string\""),
         "/f.json:2:22: arguments.v: must be an object, not a string; write {\"type\": "
         "\"string\"}"},
        {argument("{\"typ\": \"string\"}"),
         "/f.json:2:23: arguments.v.typ: unknown key; did you mean \"type\"?"},
        {argument("{\"type\": \"str\"}"),
         "/f.json:2:31: arguments.v.type: \"str\" is not a type; write \"string\""},
        {argument("{\"type\": \"int\"}"),
         "/f.json:2:31: arguments.v.type: \"int\" is not a type; write \"integer\""},
        {argument("{\"type\": \"number\"}"),
         "/f.json:2:31: arguments.v.type: \"number\" is not a type; write \"integer\"; fractions "
         "are not supported"},
        {argument("{\"type\": \"bool\"}"),
         "/f.json:2:31: arguments.v.type: \"bool\" is not a type; write \"boolean\""},
        {argument("{\"type\": \"array\"}"),
         "/f.json:2:31: arguments.v.type: \"array\" is not a type; write \"list\" with \"items\": "
         "\"string\""},
        {argument("{\"type\": \"path\"}"),
         "/f.json:2:31: arguments.v.type: \"path\" is not a type; write \"string\" with a "
         "\"pattern\""},
        {argument("{\"type\": \"list\"}"),
         "/f.json:2:22: arguments.v: \"items\" is required; add \"items\": \"string\" (or integer, "
         "boolean), the type of its elements"},
        {argument("{\"type\": \"string\", \"choices\": [\"a\"]}"),
         "/f.json:2:41: arguments.v.choices: unknown key; write \"enum\": [\"one\", \"other\"]"},
        {argument("{\"type\": \"string\", \"regex\": \"a\"}"),
         "/f.json:2:41: arguments.v.regex: unknown key; write \"pattern\""},
        {argument("{\"type\": \"integer\", \"min\": 1}"),
         "/f.json:2:42: arguments.v.min: unknown key; write \"minimum\" for an integer, "
         "\"minLength\" for a string, \"minItems\" for a list"},
        {argument("{\"type\": \"integer\", \"minimum\": \"1\"}"),
         "/f.json:2:53: arguments.v.minimum: must be an integer, not a string; write 1 without "
         "quotes"},
        {argument("{\"type\": \"integer\", \"minimum\": 1.0}"),
         "/f.json:2:53: arguments.v.minimum: must be an integer, not a number with a fraction; "
         "write 1"},
        {argument("{\"type\": \"integer\", \"minimum\": 1.5}"),
         "/f.json:2:53: arguments.v.minimum: must be an integer, not a number with a fraction; "
         "write a whole number"},
        {argument("{\"type\": \"string\", \"min_length\": 1}"),
         "/f.json:2:41: arguments.v.min_length: unknown key; did you mean \"minLength\"?"},
        {argument("{\"type\": \"string\", \"enum\": \"nginx\"}"),
         "/f.json:2:49: arguments.v.enum: must be a list, not a string; write [\"nginx\"]"},
        {argument("{\"type\": \"string\", \"description\": \"x\"}"),
         "/f.json:2:41: arguments.v.description: unknown key; write \"summary\""},
        {argument("{\"type\": \"string\", \"optional\": true}"),
         "/f.json:2:41: arguments.v.optional: unknown key; write \"required\": false"},
        {argument("{\"type\": \"string\", \"required\": \"no\"}"),
         "/f.json:2:53: arguments.v.required: must be a boolean, not a string; write false without "
         "quotes"},
        {"{\"summary\": \"s\", \"allow\": [], \"exec\": [\"/usr/bin/true\"], \"arguments\":\n"
         "[{\"name\": \"v\"}]}",
         "/f.json:2:1: arguments: must be an object, not a list; write {\"NAME\": {\"type\": "
         "\"string\"}}"},
    });
}

TEST(Slips, TheRest) {
    expect_errors({
        {file("\"user\": [\"root\"]"),
         "/f.json:2:11: user: must be a string, not a list; write \"root\""},
        {file("\"group\": [\"bin\", \"daemon\"]"),
         "/f.json:2:3: group: takes one group; list the others in \"groups\""},
        {file("\"groups\": \"bin\""),
         "/f.json:2:13: groups: must be a list, not a string; write [\"bin\"]"},
        {file("\"environment\": [\"A=b\"]"),
         "/f.json:2:18: environment: must be an object, not a list; write {\"NAME\": \"value\"}"},
        {file("\"environment\": {\"DEBUG\": 1}"),
         "/f.json:2:28: environment.DEBUG: must be a string, not an integer; write \"1\""},
        {file("\"environment\": {\"DEBUG\": true}"),
         "/f.json:2:28: environment.DEBUG: must be a string, not a boolean; write \"true\""},
        {file("\"timeout\": \"5m\""),
         "/f.json:2:14: timeout: \"5m\" is not a duration; write 5min"},
        {file("\"timeout\": 1.5"),
         "/f.json:2:14: timeout: must be a duration, not a number with a fraction; write for "
         "example \"30s\" or a number of seconds"},
        {file("\"input\": true"),
         "/f.json:2:12: input: must be a string, not a boolean; use \"text\" or \"direct\""},
        {file("\"output\": \"stdout\""),
         "/f.json:2:13: output: \"stdout\" is not known; use \"direct\" to have standard output go "
         "straight to the caller, or remove it"},
        {file("\"datagram\": 1"),
         "/f.json:2:15: datagram: must be a boolean, not an integer; write true"},
        {file("\"onDisconnect\": \"terminate\""),
         "/f.json:2:19: onDisconnect: \"terminate\" is not known; use \"keep\" or \"kill\""},
    });
}

}  // namespace
}  // namespace postern::policy
