#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/unit/daemon/policy/file/support.h"
#include "tests/unit/host/fake_accounts.h"
#include "tests/unit/temporary_directory.h"

namespace postern::policy {
namespace {

Action parse(const std::string& text, const LoadOptions& options = own_options()) {
    auto action = parse_action("web.restart", "/x/web.restart.json", text, options);
    if (!action) {
        ADD_FAILURE() << action.error().message;
        return {};
    }
    return std::move(action).value();
}

TEST(ActionParser, EveryKey) {
    const Action action = parse(R"(// A comment
{
    "summary": "Restart a service",
    "description": "Long.\nText.",
    "exec": ["/usr/bin/env", "restart", "{service}.service", "{{x}}"], /* another */
    "stdin": "{secret}\n",
    "arguments": {
        "service": {"type": "string", "summary": "which", "enum": ["nginx", "php-fpm"],
                    "pattern": "[a-z-]+", "minLength": 2, "maxLength": 20, "default": "nginx",
                    "allowLeadingDash": true},
        "secret": {"type": "integer", "secret": true, "minimum": -1, "maximum": 5, "required": false}
    },
    "allow": [{"user": "root"}, {"group": "root"}, {"user": 1000, "group": "27"}, {"everyone": true}],
    "deny": [{"user": "1001"}],
    "environment": {"ZED": "1", "LANG": "de_DE.UTF-8", "PATH": "/bin"},
    "workingDirectory": "/tmp",
    "timeout": "1min",
    "onDisconnect": "kill"
})");
    EXPECT_EQ(action.description.name, "web.restart");
    EXPECT_EQ(action.description.summary, "Restart a service");
    EXPECT_EQ(action.description.description, "Long.\nText.");
    EXPECT_EQ(action.description.timeout, std::chrono::minutes(1));
    EXPECT_EQ(action.timeout, std::chrono::minutes(1));
    EXPECT_EQ(action.file, "/x/web.restart.json");
    EXPECT_EQ(action.program, "/usr/bin/env");
    ASSERT_EQ(action.command.size(), 3U);
    ASSERT_EQ(action.command[1].size(), 2U);
    EXPECT_TRUE(action.command[1][0].placeholder);
    EXPECT_EQ(action.command[1][0].text, "service");
    EXPECT_EQ(action.command[1][1].text, ".service");
    EXPECT_EQ(action.command[2].at(0).text, "{x}");
    ASSERT_TRUE(action.stdin_text);
    EXPECT_EQ(action.stdin_text->size(), 2U);
    EXPECT_EQ(action.working_directory, "/tmp");
    EXPECT_TRUE(action.description.kill_on_disconnect);

    // In the order of the file.
    ASSERT_EQ(action.description.arguments.size(), 2U);
    ArgumentSpec service;
    service.name = "service";
    service.summary = "which";
    service.required = false;
    service.allow_leading_dash = true;
    service.fallback = Value(std::string("nginx"));
    service.values = {"nginx", "php-fpm"};
    service.pattern = "[a-z-]+";
    service.min_length = 2;
    service.max_length = 20;
    EXPECT_EQ(action.description.arguments[0], service);
    ArgumentSpec secret;
    secret.name = "secret";
    secret.type = ArgumentType::integer;
    secret.secret = true;
    secret.required = false;
    secret.minimum = -1;
    secret.maximum = 5;
    EXPECT_EQ(action.description.arguments[1], secret);
    EXPECT_EQ(action.patterns.size(), 1U);

    ASSERT_EQ(action.allow.size(), 4U);
    EXPECT_EQ(action.allow[0].text, "allow user \"root\"");
    EXPECT_EQ(action.allow[0].place, "/x/web.restart.json:13");
    EXPECT_EQ(action.allow[0].subject.user, 0U);
    EXPECT_EQ(action.allow[1].text, "allow group \"root\"");
    EXPECT_EQ(action.allow[1].subject.group, 0U);
    EXPECT_EQ(action.allow[1].subject.user, std::nullopt);
    EXPECT_EQ(action.allow[2].text, "allow user 1000 and group \"27\"");
    EXPECT_EQ(action.allow[2].subject.user, 1000U);
    EXPECT_EQ(action.allow[2].subject.group, 27U);
    EXPECT_EQ(action.allow[3].text, "allow everyone");
    EXPECT_TRUE(action.allow[3].subject.everyone);
    ASSERT_EQ(action.deny.size(), 1U);
    EXPECT_EQ(action.deny[0].text, "deny user \"1001\"");
    EXPECT_EQ(action.deny[0].place, "/x/web.restart.json:14");
    EXPECT_EQ(action.deny[0].subject.user, 1001U);
}

TEST(ActionParser, WhatHoldsWithoutBeingSaid) {
    LoadOptions options = own_options();
    options.default_timeout = std::chrono::microseconds(77);
    const Action action = parse(action_text(), options);
    EXPECT_EQ(action.timeout, std::chrono::microseconds(77));
    EXPECT_EQ(action.description.timeout, std::chrono::microseconds(77));
    EXPECT_EQ(action.working_directory, "/");
    EXPECT_FALSE(action.description.kill_on_disconnect);
    EXPECT_FALSE(action.description.datagram);
    EXPECT_TRUE(parse(action_text("\"datagram\": true")).description.datagram);
    EXPECT_FALSE(action.stdin_text);
    EXPECT_TRUE(action.deny.empty());
    EXPECT_TRUE(action.description.arguments.empty());
    EXPECT_EQ(parse(action_text("\"timeout\": 5")).timeout, std::chrono::seconds(5));
    EXPECT_FALSE(parse(action_text("\"onDisconnect\": \"keep\"")).description.kill_on_disconnect);
    // Nobody is a legal answer to who may.
    EXPECT_TRUE(parse(R"({"summary": "s", "exec": ["/usr/bin/true"], "allow": []})").allow.empty());
}

TEST(ActionParser, HowManyUnitsWaitForIt) {
    LoadOptions options = own_options();
    options.systemd = true;
    EXPECT_EQ(parse(action_text(), options).spare, std::nullopt);
    const Action none = parse(action_text("\"spare\": 0"), options);
    EXPECT_EQ(none.spare, 0U);
    EXPECT_TRUE(none.warnings.empty());
    const Action some = parse(action_text("\"spare\": 8"), options);
    EXPECT_EQ(some.spare, 8U);
    EXPECT_TRUE(some.warnings.empty());
    const Action vain = parse(action_text("\"spare\": 1, \"stdin\": \"text\""), options);
    ASSERT_EQ(vain.warnings.size(), 1U);
    EXPECT_NE(vain.warnings[0].find(
                  "spare: has no effect, because an action with \"stdin\" can't have spares"),
              std::string::npos)
        << vain.warnings[0];
    options.systemd = false;
    EXPECT_EQ(parse(action_text("\"spare\": 1"), options).warnings.size(), 1U);
}

TEST(ActionParser, BothStreamsInOne) {
    const auto parse = [](const std::string& more) {
        return parse_action("a", "/f.json", action_text(more), own_options());
    };
    EXPECT_FALSE(parse("")->merge_stderr);
    EXPECT_TRUE(parse(R"("stderr": "stdout")")->merge_stderr);
}

TEST(ActionParser, ListArguments) {
    const Action action = parse(
        R"({"summary": "s", "exec": ["/usr/bin/true", "{l}"], "allow": [], "arguments": {
            "l": {"type": "list", "items": "integer", "minimum": 1, "minItems": 0, "maxItems": 4,
                  "default": [1, 2]}}})");
    ArgumentSpec list;
    list.name = "l";
    list.type = ArgumentType::list;
    list.items = ArgumentType::integer;
    list.required = false;
    list.minimum = 1;
    list.min_items = 0;
    list.max_items = 4;
    list.fallback = Value(std::vector<Scalar>{std::int64_t{1}, std::int64_t{2}});
    EXPECT_EQ(action.description.arguments.at(0), list);
}

// The environment is the account's and the fixed part, with what the file declares over it; nothing
// of the guard's own.
TEST(ActionParser, TheEnvironmentIsExactlyThis) {
    ASSERT_EQ(setenv("LD_PRELOAD_OF_THE_TEST", "x", 1), 0);
    const FakeAccounts accounts;  // root may have another shell here
    const Action action =
        parse(action_text("\"environment\": {\"ZED\": \"\", \"A\": \"a=b\\n\"}"), root_options());
    const std::vector<std::pair<std::string, std::string>> expected = {
        {"A", "a=b\n"},
        {"HOME", "/root"},
        {"LANG", "C.UTF-8"},
        {"LOGNAME", "root"},
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        {"SHELL", "/bin/bash"},
        {"USER", "root"},
        {"ZED", ""},
    };
    EXPECT_EQ(action.environment, expected);
    const Action declared =
        parse(action_text("\"environment\": {\"PATH\": \"/x\", \"HOME\": \"/h\"}"), root_options());
    EXPECT_EQ(declared.environment.at(0).second, "/h");
    EXPECT_EQ(declared.environment.at(3).second, "/x");
    EXPECT_EQ(declared.environment.size(), 6U);
}

// Of a datagram's sender no other groups are known.
TEST(ActionParser, WarnsWhereADatagramMatchesNoRule) {
    const auto warnings = [](const std::string& allow) {
        const std::string text =
            R"({"summary": "s", "exec": ["/usr/bin/true"], "datagram": true, "allow": [)" + allow +
            "]}";
        const auto action = parse_action("a", "/f.json", text, own_options());
        return action ? action->warnings : std::vector<std::string>{action.error().message};
    };
    using Lines = std::vector<std::string>;
    EXPECT_EQ(warnings(R"({"group": 27}, {"user": 5, "group": 28})"),
              Lines{"/f.json:1:57: datagram: every rule in \"allow\" names a group, and of a "
                    "datagram's sender only the primary group is known: users who have the group "
                    "besides are denied; name them by \"user\""});
    EXPECT_EQ(warnings(R"({"group": 27}, {"user": 5})"), Lines{});
    EXPECT_EQ(warnings(R"({"everyone": true})"), Lines{});
    EXPECT_EQ(warnings(""), Lines{});
}

// The kernel would refuse to start it, with nothing said before.
TEST(ActionParser, WarnsWhereTheJobsUserMayNotExecuteTheProgram) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root has files of its own that others can't run";
    const TemporaryDirectory folder(0755);
    const std::string program = folder.write("program", "#!/bin/sh\n", 0700);
    const auto warnings = [&program](const std::string& more) {
        const std::string text =
            R"({"summary": "s", "allow": [], "exec": [")" + program + "\"]" + more + "}";
        LoadOptions options = root_options();
        options.systemd = true;
        const auto action = parse_action("a", "/f.json", text, options);
        return action ? action->warnings : std::vector<std::string>{action.error().message};
    };
    using Lines = std::vector<std::string>;
    EXPECT_EQ(warnings(""), Lines{});
    EXPECT_EQ(warnings(R"(, "user": "nobody")"),
              Lines{"/f.json:1:40: exec[0]: the user \"nobody\", whom the job runs as, may not "
                    "execute " +
                    program +
                    " (owned by uid 0, mode 0700); give it the permission, or name another user"});
    EXPECT_EQ(warnings(R"(, "sandbox": {"DynamicUser": true})"), Lines{}) << "nobody knows whom";
    EXPECT_EQ(warnings(R"(, "user": "nobody", "sandbox": {"BindPaths": "/usr:/mnt"})"), Lines{})
        << "it may be another file there";
    folder.write("program", "#!/bin/sh\n", 0755);
    EXPECT_EQ(warnings(R"(, "user": "nobody")"), Lines{});
}

}  // namespace
}  // namespace postern::policy
