// Defaults, file, command line.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "daemon/guard/config/configuration.h"
#include "daemon/guard/config/configuration_text.h"
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

TEST_F(ConfigurationTest, ErrorsNameLineColumnAndWhatToWrite) {
    const std::vector<std::pair<std::string, std::string>> rows = {
        {"{\n  \"socket\": \"/x\"\n}", "2:3: socket: unknown key; did you mean \"sockets\"?"},
        {"{\n  \"Sockets\": [\"/x\"]\n}", "2:3: Sockets: unknown key; did you mean \"sockets\"?"},
        {"{\n  \"log_level\": \"debug\"\n}",
         "2:3: log_level: unknown key; did you mean \"logLevel\"?"},
        {"{\n  \"verbose\": true\n}", "2:3: verbose: unknown key; write \"logLevel\": \"debug\""},
        {"{\n  \"port\": 80\n}",
         "2:3: port: unknown key; remove it: the daemon uses only Unix sockets"},
        {"{\n  \"exec\": []\n}",
         "2:3: exec: unknown key; this is the daemon's own file; each action has a file "
         "of its own in actions.d"},
        {"{\n  \"nonsense\": 1\n}",
         "2:3: nonsense: unknown key; remove it, or use one of sockets, datagramSockets, "
         "adminSocket, socketMode, socketGroup, actions, state, audit, logLevel, jobs, outputUser, "
         "sessionUser, limits, $schema"},
        {"{\n  \"schema\": \"x\"\n}", "2:3: schema: unknown key; write \"$schema\""},
        {"{ \"$schema\": 1 }", "1:14: $schema: must be a string, not an integer; write \"1\""},
        {"{\n  \"jobsPerUser\": 4\n}",
         "2:3: jobsPerUser: is a limit; write \"limits\": {\"jobsPerUser\": ...}"},
        {"{\n  \"stored-output\": \"1GiB\"\n}",
         "2:3: stored-output: is a limit; write \"limits\": {\"storedOutput\": ...}"},
        {"{\n  \"sockets\": \"/run/a/s\"\n}",
         "2:14: sockets: must be a list, not a string; write [\"/run/a/s\"]"},
        {"{\n  \"sockets\": []\n}", "2:14: sockets: is empty; give a path, or remove it"},
        {"{\n  \"sockets\": [\"run/a/s\"]\n}",
         "2:15: sockets[0]: \"run/a/s\" is not an absolute path; start it with /"},
        {"{\n  \"state\": \"x\"\n}", "2:12: state: \"x\" is not an absolute path; start it with /"},
        {"{\n  \"state\": [\"/x\"]\n}", "2:12: state: must be a string, not a list; write \"/x\""},
        {"{ \"socketMode\": \"0888\" }",
         "1:17: socketMode: \"0888\" is not a mode; give an octal one of at most 0777, for "
         "example 0660"},
        {"{ \"socketMode\": 0660 }",
         "1:17: 0660 begins with 0, which JSON does not allow; write 660, or \"0660\" for a "
         "string"},
        {"{ \"socketMode\": 660 }",
         "1:17: socketMode: must be a string, not an integer; write \"660\""},
        {"{ \"jobs\": \"docker\" }",
         "1:11: jobs: \"docker\" is not known; use auto, systemd or direct"},
        {"{ \"socketGroup\": \"\" }", "1:18: socketGroup: is empty; give a value, or remove it"},
        {"{\n  \"logLevel\": \"warn\"\n}",
         "2:15: logLevel: \"warn\" is not a log level; use one of debug, info, warning, error, "
         "critical"},
        {"{ \"logLevel\": \"\" }",
         "1:15: logLevel: \"\" is not a log level; use one of debug, info, warning, error, "
         "critical"},
        {"{ \"limits\": 5 }", "1:13: limits: must be an object, not an integer; write {...}"},
        {"{ \"limits\": { \"sessions\": 0 } }",
         "1:27: limits.sessions: \"0\" is out of range; give a value from 1 to 16384"},
        {"{ \"limits\": { \"sessions\": true } }",
         "1:27: limits.sessions: \"true\" is not a whole number; give one from 1 to 16384"},
        {"{ \"limits\": { \"sessions\": \"3\" } }",
         "1:27: limits.sessions: must be an integer, not a string; write 3 without quotes"},
        {"{ \"limits\": { \"jobs-per-uid\": \"many\" } }",
         "1:31: limits.jobs-per-uid: must be an integer, not a string; write a whole number "
         "without quotes"},
        {"{ \"limits\": { \"timeout\": \"5m\" } }",
         "1:26: limits.timeout: \"5m\" is not a duration; write 5min, from 1ms to 30d"},
        {"{ \"limits\": { \"storedOutput\": \"1 gig\" } }",
         "1:31: limits.storedOutput: \"1 gig\" is not a size; write for example 64MiB, 32K or a "
         "number of bytes, from 4 KiB to 1 TiB"},
        {"{ \"limits\": {\n \"job\": 3 } }",
         "2:2: limits.job: unknown key; did you mean \"jobs\"?"},
        {"{ \"limits\": {\n \"jobsPerUid\": 3 } }",
         "2:2: limits.jobsPerUid: unknown key; remove it, or use one of connectionsPerUser, "
         "connections, sessionsPerUser, sessions, sessionIdle, idleExit, jobsPerUser, jobs, "
         "startsPerUser, recordsPerUser, records, spares, killGrace, followerStall, replyOutput, "
         "storedOutput, storedOutputPerUser, storedOutputTotal, timeout"},
        {"{ \"limits\": {\n \"stored_output\": \"1GiB\" } }",
         "2:2: limits.stored_output: unknown key; did you mean \"storedOutput\"?"},
        {"{ \"limits\": {\n \"jobs-per-uid\": true } }",
         "2:18: limits.jobs-per-uid: \"true\" is not a whole number; give one from 1 to 4096"},
        {"[]", "1:1: must be an object, not a list; write {...}"},
        {"{\n  \"logLevel\": \"debug\"\n  \"jobs\": \"auto\"\n}",
         "2:22: a comma is missing at the end of this line; add \",\""},
        {"{\n  \"logLevel\": \"debug\",\n}", "2:22: a comma before \"}\"; remove it"},
        {"# posternd\n{}", "1:1: comments begin with //, not with #; write //"},
        {"log_level: debug\n", "1:1: this looks like YAML; write JSON: {\"log_level\": ..., ...}"},
    };
    for (const auto& [text, said] : rows) EXPECT_EQ(error_of(text), said) << text;
    EXPECT_TRUE(error_of("{ \"state\": \"/a\", \"state\": \"/b\" }").starts_with("1:18: "));
}

// Which of the two would hold can't be seen from the file.
TEST_F(ConfigurationTest, ALimitInTwoSpellingsIsAnError) {
    EXPECT_EQ(
        error_of("{ \"limits\": { \"jobs-per-uid\": 3, \"jobsPerUser\": 3 } }"),
        "1:34: limits.jobsPerUser: is the same limit as \"jobs-per-uid\"; give only jobsPerUser");
    EXPECT_EQ(
        error_of("{ \"limits\": { \"jobsPerUser\": 3, \"jobs-per-uid\": 3 } }"),
        "1:33: limits.jobs-per-uid: is the same limit as \"jobsPerUser\"; give only jobsPerUser");
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
    std::istringstream list(error.substr(error.find("use one of ") + 11));
    std::size_t keys = 0;
    for (std::string key; list >> key; ++keys) {
        if (key.back() == ',') key.pop_back();
        // JSON Schema's own word.
        EXPECT_TRUE(is_camel_case(key) || key == "$schema") << key;
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
         "--actions: \"x\" is not an absolute path; start it with /, for example "
         "/etc/postern/actions.d"},
        {{"--state", "x"},
         "--state: \"x\" is not an absolute path; start it with /, for example "
         "/var/lib/postern"},
        {{"--socket", "/run/a", "--socket", "/run/./a"},
         "--socket: \"/run/./a\" is given twice; give each path once"},
        {{"--socket", "/run/a", "--datagram", "/run/a"},
         "\"/run/a\" is given for --socket and for --datagram; give each its own path"},
        {{"--json"}, "--json needs --check or --lint"},
    };
    for (const auto& [arguments, message] : rows) {
        auto parsed = parse(arguments);
        ASSERT_TRUE(std::holds_alternative<Print>(parsed)) << message;
        EXPECT_EQ(std::get<Print>(parsed).exit_code, 2);
        EXPECT_EQ(std::get<Print>(parsed).text,
                  "posternd: " + message + "\nTry: posternd --help\n");
    }
}

// ---- The directory beside the file ----

class DropIns : public ConfigurationTest {
  protected:
    DropIns() { std::filesystem::create_directory(directory_); }
    void put(const std::string& name, const std::string& text) {
        std::ofstream(directory_ + '/' + name) << text;
        std::filesystem::permissions(directory_ + '/' + name, std::filesystem::perms{0644});
    }
    // What is wrong; empty: nothing.
    std::string read(Configuration& configuration) {
        const auto done = read_configuration(file_, true, ::geteuid(), configuration);
        return done ? "" : done.error().message;
    }

    const std::string directory_ = file_ + ".d";
};

TEST_F(DropIns, WhatALaterFileSetsTakesPrecedenceKeyByKey) {
    write(R"({ "logLevel": "debug", "sockets": ["/run/a", "/run/b"], "state": "/srv/state",
               "limits": { "sessions": 3, "jobs": 4, "timeout": "5min" } })");
    put("a.json", R"({ "limits": { "jobs": 5 }, "logLevel": "warning" })");
    // By their bytes: capitals come before small letters, and 10 before 9.
    put("Z.json", R"({ "logLevel": "error",
                       "sockets": ["/run/c"] })");
    put("9.json", R"({ "limits": { "timeout": "9s" } })");
    put("10.json", R"({ "limits": { "timeout": "10s", "jobs-per-uid": 7 } })");
    Configuration configuration;
    ASSERT_EQ(read(configuration), "");
    EXPECT_EQ(configuration.log_level, "warning");
    EXPECT_EQ(configuration.sockets, std::vector<std::string>{"/run/c"});
    EXPECT_EQ(configuration.state, "/srv/state");
    EXPECT_EQ(configuration.limits.sessions, 3U);
    EXPECT_EQ(configuration.limits.jobs, 5U);
    EXPECT_EQ(configuration.limits.jobs_per_user, 7U);
    EXPECT_EQ(configuration.limits.timeout, std::chrono::seconds(9));
    EXPECT_EQ(configuration.files,
              (std::vector<std::string>{file_, directory_ + "/10.json", directory_ + "/9.json",
                                        directory_ + "/Z.json", directory_ + "/a.json"}));
    EXPECT_EQ(configuration.origins,
              (std::map<std::string, std::string>{{"logLevel", directory_ + "/a.json:1"},
                                                  {"sockets", directory_ + "/Z.json:2"},
                                                  {"state", file_ + ":1"},
                                                  {"limits.sessions", file_ + ":2"},
                                                  {"limits.jobs", directory_ + "/a.json:1"},
                                                  {"limits.jobsPerUser", directory_ + "/10.json:1"},
                                                  {"limits.timeout", directory_ + "/9.json:1"}}));
}

TEST_F(DropIns, AreReadWithoutTheFileAndNeedNotBeThere) {
    put("a.json", R"({ "logLevel": "error" })");
    Configuration configuration;
    EXPECT_EQ(read(configuration), "");
    EXPECT_EQ(configuration.log_level, "error");
    std::filesystem::remove_all(directory_);
    Configuration without;
    EXPECT_EQ(read(without), "");
    EXPECT_TRUE(without.files.empty());
}

TEST_F(DropIns, NamesThatToolsLeaveAreIgnoredAndOthersAreNamed) {
    for (const char* const name : {"a.json~", ".a.json.swp", "a.json.dpkg-old", "README"}) {
        put(name, "no JSON");
    }
    put("site.conf", "{}");
    std::filesystem::create_symlink("/dev/null", directory_ + "/null.json");
    Configuration configuration;
    EXPECT_EQ(read(configuration), "");
    EXPECT_TRUE(configuration.files.empty());
    EXPECT_EQ(configuration.ignored,
              std::vector<std::string>{directory_ +
                                       "/site.conf: is ignored, because its name does not end in "
                                       ".json; rename it to site.json"});
}

TEST_F(DropIns, AreJudgedAndReadAsStrictlyAsTheFile) {
    Configuration configuration;
    put("a.json", "{\n  \"socket\": \"/x\"\n}");
    EXPECT_EQ(read(configuration),
              directory_ + "/a.json:2:3: socket: unknown key; did you mean \"sockets\"?");
    put("a.json", "");
    EXPECT_TRUE(read(configuration).starts_with(directory_ + "/a.json:1:1: "))
        << read(configuration);
    put("a.json", "{}");
    std::filesystem::permissions(directory_ + "/a.json", std::filesystem::perms{0666});
    EXPECT_TRUE(read(configuration)
                    .starts_with("configuration: " + directory_ +
                                 "/a.json can be written by users other than its owner"))
        << read(configuration);
    std::filesystem::permissions(directory_ + "/a.json", std::filesystem::perms{0644});
    EXPECT_EQ(read(configuration), "");
    std::filesystem::permissions(directory_, std::filesystem::perms{0777});
    EXPECT_TRUE(read(configuration)
                    .starts_with("configuration: " + directory_ +
                                 " can be written by users other than its owner"))
        << read(configuration);
}

// ---- What is shown, the schema and the example: each has every key ----

TEST_F(ConfigurationTest, WhatIsNotADefaultIsShownWithItsOrigin) {
    write("{ \"logLevel\": \"info\", \"socketGroup\": \"adm\",\n  \"limits\": {\"jobs\": 5} }");
    auto parsed = parse({"--socket", "/run/b", "--socket", "/run/c", "--limit", "timeout=5min",
                         "--jobs", "direct", "--limit", "jobs-per-uid=3"});
    ASSERT_TRUE(std::holds_alternative<Options>(parsed)) << std::get<Print>(parsed).text;
    const Configuration& configuration = std::get<Options>(parsed).configuration;
    const Configuration defaults = default_configuration(0);
    EXPECT_EQ(configuration_text(configuration, defaults),
              "configuration: " + file_ +
                  "\n  sockets: /run/b, /run/c (--socket)\n  socketGroup: adm (" + file_ +
                  ":1)\n  jobs: direct (--jobs)\n  limits.jobsPerUser: 3 (--limit)\n"
                  "  limits.jobs: 5 (" +
                  file_ +
                  ":2)\n  limits.timeout: 5min (--limit)\n  all other settings have their "
                  "defaults\n");
    const auto json = configuration_json(configuration, defaults);
    EXPECT_EQ(json["files"], nlohmann::ordered_json::array({file_}));
    EXPECT_EQ(json["values"][0].dump(),
              R"({"key":"sockets","value":["/run/b","/run/c"],"from":"--socket"})");
    EXPECT_EQ(json["values"][1].dump(),
              R"({"key":"socketGroup","value":"adm","from":")" + file_ + R"(:1"})");
    EXPECT_EQ(json["values"].size(), 6U);
    EXPECT_EQ(configuration_text(defaults, defaults),
              "configuration: no file\n  all settings have their defaults\n");
}

TEST(ConfigurationSchema, HasEveryKeyWithItsDefault) {
    const auto schema = nlohmann::json::parse(std::ifstream(POSTERN_CONFIGURATION_SCHEMA));
    std::map<std::string, nlohmann::json> properties;
    for (const auto& [key, about] : schema["properties"].items()) properties[key] = about;
    for (const auto& [key, about] : schema["properties"]["limits"]["properties"].items()) {
        properties["limits." + key] = about;
    }
    std::set<std::string> in_schema;
    for (const auto& [key, about] : properties) in_schema.insert(key);
    std::set<std::string> keys = {"$schema", "limits"};
    for (const ShownSetting& setting : show_settings(default_configuration(0))) {
        keys.insert(setting.key);
        // What these two are depends on the file system, and on each other.
        if (setting.key.starts_with("limits.storedOutput") && setting.key.size() > 19) continue;
        nlohmann::json shown;
        if (setting.list && !setting.values.empty()) shown = setting.values;
        if (!setting.list && !setting.values.empty()) shown = setting.values.front();
        const auto& about = properties[setting.key];
        const auto found = about.is_object() ? about.value("default", nlohmann::json()) : about;
        EXPECT_EQ(found.is_number() ? nlohmann::json(found.dump()) : found, shown) << setting.key;
    }
    EXPECT_EQ(in_schema, keys);
}

TEST(ConfigurationExample, SaysTheDefaults) {
    Configuration configuration = default_configuration(0);
    // What it says, and not what was there before.
    configuration.actions.clear();
    configuration.state.clear();
    configuration.limits.timeout = {};
    const auto read = lint_configuration(POSTERN_CONFIGURATION_EXAMPLE, configuration);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(configuration_text(configuration, default_configuration(0)),
              "configuration: no file\n  all settings have their defaults\n");
}

// Those that have no default are commented out, each in one line.
TEST(ConfigurationExample, HasEveryKey) {
    std::ifstream file(POSTERN_CONFIGURATION_EXAMPLE);
    std::string text;
    for (std::string line; std::getline(file, line); text += line + '\n') {
        const std::size_t comment = line.find("// \"");
        if (comment != std::string::npos) line.erase(comment, 3);
    }
    const TemporaryDirectory folder;
    folder.write("posternd.json", text);
    Configuration configuration;
    const auto read = lint_configuration(folder / "posternd.json", configuration);
    ASSERT_TRUE(read) << read.error().message;
    for (const ShownSetting& setting : show_settings(configuration)) {
        EXPECT_TRUE(configuration.origins.contains(setting.key)) << setting.key;
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
