// Defaults, file, command line.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <sstream>

#include "daemon/guard/config/configuration.h"
#include "daemon/guard/config/options.h"
#include "tests/unit/json_keys.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

class ConfigurationTest : public testing::Test {
  protected:
    void write(const std::string& text) { folder_.write("posternd.json", text); }
    std::string error_of(const std::string& text) {
        write(text);
        Configuration configuration;
        auto read = read_configuration(file_, false, ::geteuid(), configuration);
        EXPECT_FALSE(read);
        if (read) return "";
        const std::string& message = read.error().message;
        EXPECT_TRUE(message.starts_with(file_ + ":")) << message;
        return message.substr(file_.size() + 1);
    }
    std::variant<Options, Print> parse(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"posternd", "--config", file_});
        std::vector<char*> argv;
        for (std::string& argument : arguments) argv.push_back(argument.data());
        argv.push_back(nullptr);
        return parse_options(static_cast<int>(arguments.size()), argv.data(), 0);
    }

    const TemporaryDirectory folder_;
    const std::string file_ = folder_ / "posternd.json";
};

TEST_F(ConfigurationTest, TheFileSetsEverything) {
    write(R"({
        // Where callers connect.
        "sockets": ["/run/a/s", "/run/b/s"], "datagramSockets": ["/run/a/d"], "socketMode": "0600", "socketGroup": "adm",
        "actions": ["/srv/actions"], "state": "/srv/state", "audit": "/srv/audit",
        "logLevel": "debug", "sessionUser": "nobody",
        "limits": { "sessions": 3, "timeout": "5min" } })");
    Configuration configuration;
    auto read = read_configuration(file_, false, ::geteuid(), configuration);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(configuration.sockets, (std::vector<std::string>{"/run/a/s", "/run/b/s"}));
    EXPECT_EQ(configuration.datagrams, std::vector<std::string>{"/run/a/d"});
    EXPECT_EQ(configuration.socket_mode, 0600U);
    EXPECT_EQ(configuration.socket_group, "adm");
    EXPECT_EQ(configuration.actions, (std::vector<std::string>{"/srv/actions"}));
    EXPECT_EQ(configuration.state, "/srv/state");
    EXPECT_EQ(configuration.audit, "/srv/audit");
    EXPECT_EQ(configuration.log_level, "debug");
    EXPECT_EQ(configuration.session_user, "nobody");
    EXPECT_EQ(configuration.limits.sessions, 3U);
    EXPECT_EQ(configuration.limits.timeout.count(), 300'000'000);
}

TEST_F(ConfigurationTest, ErrorsNameLineAndColumn) {
    EXPECT_EQ(
        error_of("{\n  \"socket\": \"/x\"\n}"),
        "2:3: unknown key \"socket\"; there are sockets, datagramSockets, adminSocket, socketMode, "
        "socketGroup, actions, state, audit, logLevel, jobs, outputUser, sessionUser, limits");
    EXPECT_EQ(error_of("{\n  \"state\": \"x\"\n}"), "2:12: state: must be an absolute path");
    EXPECT_EQ(error_of("{ \"socketMode\": \"0888\" }"),
              "1:17: socketMode: \"0888\" is not a mode; give an octal one of at most 0777, for "
              "example 0660");
    EXPECT_EQ(error_of("{ \"limits\": { \"sessions\": 0 } }"),
              "1:27: limit sessions: \"0\" is out of bounds; take a value from 1 to 16384");
    EXPECT_TRUE(error_of("{ \"limits\": {\n \"job\": true } }")
                    .starts_with("2:2: limit \"job\": no such limit; there are "));
    EXPECT_EQ(error_of("{ \"limits\": {\n \"jobs-per-uid\": true } }"),
              "2:18: limit jobsPerUser (given as jobs-per-uid): \"true\" is not a whole number; "
              "give one from 1 to 4096");
    EXPECT_EQ(error_of("[]"), "1:1: must be an object, { ... }");
    EXPECT_TRUE(error_of("{ \"state\": \"/a\", \"state\": \"/b\" }").starts_with("1:18: "));
}

// Which of the two would hold can't be seen from the file.
TEST_F(ConfigurationTest, ALimitInTwoSpellingsIsAnError) {
    const std::string twice =
        "limits: \"jobs-per-uid\" and \"jobsPerUser\" are the same limit; give only jobsPerUser";
    EXPECT_EQ(error_of("{ \"limits\": { \"jobs-per-uid\": 3, \"jobsPerUser\": 3 } }"),
              "1:34: " + twice);
    EXPECT_EQ(error_of("{ \"limits\": { \"jobsPerUser\": 3, \"jobs-per-uid\": 3 } }"),
              "1:33: " + twice);
}

TEST_F(ConfigurationTest, OlderSpellingsOfLimitsAreRead) {
    write(R"({ "limits": { "jobs-per-uid": 3, "kill-grace": "1s", "sessionIdle": "2s" } })");
    Configuration configuration;
    auto read = read_configuration(file_, false, ::geteuid(), configuration);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(configuration.limits.jobs_per_user, 3U);
    EXPECT_EQ(configuration.limits.kill_grace, std::chrono::seconds(1));
    EXPECT_EQ(configuration.limits.session_idle, std::chrono::seconds(2));
    // On the command line what comes last holds, however it is spelled.
    auto parsed = parse({"--limit", "jobsPerUser=4", "--limit", "jobs-per-uid=5"});
    ASSERT_TRUE(std::holds_alternative<Options>(parsed)) << std::get<Print>(parsed).text;
    EXPECT_EQ(std::get<Options>(parsed).configuration.limits.jobs_per_user, 5U);
}

TEST_F(ConfigurationTest, KeysAreInCamelCase) {
    const std::string error = error_of("{ \"\": 1 }");
    std::istringstream list(error.substr(error.find("there are ") + 10));
    std::size_t keys = 0;
    for (std::string key; list >> key; ++keys) {
        if (key.back() == ',') key.pop_back();
        EXPECT_TRUE(is_camel_case(key)) << key;
    }
    EXPECT_GE(keys, 12U) << error;
}

TEST_F(ConfigurationTest, AFileThatOthersCanWriteIsRefused) {
    write("{}");
    ASSERT_EQ(::chmod(file_.c_str(), 0666), 0);
    Configuration configuration;
    auto read = read_configuration(file_, false, ::geteuid(), configuration);
    ASSERT_FALSE(read);
    EXPECT_NE(read.error().message.find(file_), std::string::npos) << read.error().message;
}

TEST_F(ConfigurationTest, AMissingFileIsAnErrorOnlyWhereItWasNamed) {
    Configuration configuration;
    EXPECT_TRUE(read_configuration(file_, true, ::geteuid(), configuration));
    EXPECT_FALSE(read_configuration(file_, false, ::geteuid(), configuration));
}

TEST_F(ConfigurationTest, TheCommandLineWinsOverTheFile) {
    write(R"({ "sockets": ["/run/a/s"], "logLevel": "debug", "limits": { "sessions": 3 } })");
    auto parsed = parse({"--socket", "/run/b/s", "--socket", "/run/c/s", "--limit", "sessions=4",
                         "--limit", "jobs=5", "--actions", "/x"});
    ASSERT_TRUE(std::holds_alternative<Options>(parsed)) << std::get<Print>(parsed).text;
    const Configuration& configuration = std::get<Options>(parsed).configuration;
    EXPECT_EQ(configuration.sockets, (std::vector<std::string>{"/run/b/s", "/run/c/s"}));
    EXPECT_EQ(configuration.actions, (std::vector<std::string>{"/x"}));
    EXPECT_EQ(configuration.log_level, "debug");
    EXPECT_EQ(configuration.limits.sessions, 4U);
    EXPECT_EQ(configuration.limits.jobs, 5U);
}

TEST_F(ConfigurationTest, UsageErrorsExitWithTwo) {
    write("{}");
    const std::vector<std::pair<std::vector<std::string>, std::string>> rows = {
        {{"--socket-mode", "9"},
         "--socket-mode: \"9\" is not a mode; give an octal one of at most 0777, for example 0660"},
        {{"--socket-mode", ""},
         "--socket-mode: \"\" is not a mode; give an octal one of at most 0777, for example 0660"},
        {{"--socket-mode", "1777"},
         "--socket-mode: \"1777\" is not a mode; give an octal one of at most 0777, for example "
         "0660"},
        {{"--jobs", "systemctl"},
         "--jobs: \"systemctl\" is not known; use auto, systemd or direct"},
        {{"--limit", "sessions"},
         "--limit: \"sessions\" is not NAME=VALUE; write for example sessions=64 or timeout=10min"},
        {{"--actions", "x"},
         "--actions: \"x\" is not an absolute path; write it from / on, for example "
         "/etc/postern/actions.d"},
        {{"--state", "x"},
         "--state: \"x\" is not an absolute path; write it from / on, for example "
         "/var/lib/postern"},
        {{"--socket", "/run/a", "--socket", "/run/./a"},
         "--socket: \"/run/./a\" is given twice; give each path once"},
        {{"--socket", "/run/a", "--datagram", "/run/a"},
         "\"/run/a\" is given for --socket and for --datagram; give each its own path"},
        {{"--json"}, "--json goes with --check or --lint"},
    };
    for (const auto& [arguments, message] : rows) {
        auto parsed = parse(arguments);
        ASSERT_TRUE(std::holds_alternative<Print>(parsed)) << message;
        EXPECT_EQ(std::get<Print>(parsed).exit_code, 2);
        EXPECT_EQ(std::get<Print>(parsed).text,
                  "posternd: " + message + "\nTry: posternd --help\n");
    }
}

TEST(DefaultConfiguration, OfRootIsTheSystems) {
    const Configuration configuration = default_configuration(0);
    EXPECT_EQ(configuration.actions,
              (std::vector<std::string>{"/usr/lib/postern/actions.d", "/etc/postern/actions.d"}));
    EXPECT_EQ(configuration.state, "/var/lib/postern");
    EXPECT_EQ(default_configuration_file(0), "/etc/postern/posternd.json");
}

}  // namespace
}  // namespace postern
