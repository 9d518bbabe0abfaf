// Which actions may have a spare. What is not known to be good may not.
#include <gtest/gtest.h>

#include "daemon/policy/spare.h"

namespace postern::policy {
namespace {

constexpr const char* launcher = "/usr/libexec/postern/postern-launcher";

Action boxed(const std::string& key, PropertyValue value) {
    Action action;
    action.program = "/usr/bin/report";
    action.sandbox.push_back({key, std::move(value), key, "boxed.json:3"});
    return action;
}
Action filtered(bool allow, std::vector<std::string> words) {
    return boxed("SystemCallFilter", FilterList{allow, std::move(words)});
}
std::string why(const Action& action) {
    return why_no_spare(action, launcher).value_or("");
}

TEST(WhoMayHaveASpare, AFullSandboxOfTheUsualKindMay) {
    Action action = boxed("ProtectSystem", std::string("strict"));
    for (const char* key : {"PrivateTmp", "PrivateDevices", "NoNewPrivileges", "PrivateNetwork"}) {
        action.sandbox.push_back({key, true, key, ""});
    }
    action.sandbox.push_back(
        {"CapabilityBoundingSet", std::uint64_t{0}, "CapabilityBoundingSet", ""});
    action.sandbox.push_back(
        {"SystemCallFilter", FilterList{true, {"@system-service"}}, "SystemCallFilter", ""});
    EXPECT_EQ(why(action), "");
    EXPECT_EQ(why(Action{}), "");
}

TEST(WhoMayHaveASpare, WhatNeedsADescriptorMayNot) {
    Action action;
    action.stdin_text = Template{};
    EXPECT_EQ(why(action), "stdin");
    action = {};
    action.description.input = Input::text;
    EXPECT_EQ(why(action), "input");
    action = {};
    action.description.direct_output = true;
    EXPECT_EQ(why(action), "output");
}

TEST(WhoMayHaveASpare, WhatIsMadeAnewOrMayBeAnotherByThenMayNot) {
    for (const char* key : {"RootDirectory",
                            "RootImage",
                            "NoExecPaths",
                            "ExecPaths",
                            "LoadCredential",
                            "SetCredential",
                            "LoadCredentialEncrypted",
                            "RuntimeDirectory",
                            "StateDirectory",
                            "CacheDirectory",
                            "LogsDirectory",
                            "ConfigurationDirectory",
                            "DynamicUser",
                            "AppArmorProfile",
                            "SELinuxContext",
                            "SmackProcessLabel",
                            "BindPaths",
                            "BindReadOnlyPaths",
                            "TemporaryFileSystem",
                            "RemoveIPC",
                            "LimitNPROC",
                            "ProtectHostname",
                            "NetworkNamespacePath",
                            "DeviceAllow",
                            "PrivatePIDs",
                            "KeyringMode",
                            "SecureBits",
                            "SomethingThatIsNotThoughtOf"}) {
        EXPECT_EQ(why(boxed(key, std::string("x"))), std::string("sandbox.") + key);
    }
}

TEST(WhoMayHaveASpare, FiltersMustLetTheLauncherRead) {
    const std::string no = "sandbox.SystemCallFilter";
    EXPECT_EQ(why(filtered(true, {"@system-service"})), "");
    EXPECT_EQ(why(filtered(true, {"@basic-io", "@file-system", "@process", "@signal"})), "");
    EXPECT_EQ(why(filtered(true, {"@basic-io", "@file-system", "@signal"})), no);
    EXPECT_EQ(why(filtered(true, {"read", "write"})), no);
    EXPECT_EQ(why(filtered(false, {"@mount", "@privileged:EPERM", "ptrace"})), "");
    for (const char* word : {"read", "write:EPERM", "execve", "@basic-io", "@default", "@process",
                             "@system-service", "@new-group"}) {
        EXPECT_EQ(why(filtered(false, {"@mount", word})), no) << word;
        // Also where another list allows it: systemd takes it off that.
        Action both = filtered(true, {"@system-service"});
        both.sandbox.push_back(filtered(false, {word}).sandbox.front());
        EXPECT_EQ(why(both), no) << word;
    }
}

TEST(WhoMayHaveASpare, PathsMustNotHideLauncherOrProgram) {
    const auto inaccessible = [](const std::string& path) {
        return why(boxed("InaccessiblePaths", std::vector<std::string>{"/srv", path}));
    };
    const std::string no = "sandbox.InaccessiblePaths";
    EXPECT_EQ(inaccessible("/etc/shadow"), "");
    EXPECT_EQ(inaccessible("-/usr/lib"), "");
    EXPECT_EQ(inaccessible("/usr/libexec/post"), "");
    for (const char* path : {"/", "/usr", "-/usr/libexec/", "+/usr/libexec/postern", launcher,
                             "/usr/bin", "-+/usr/bin/report"}) {
        EXPECT_EQ(inaccessible(path), no) << path;
    }
    EXPECT_EQ(
        why_no_spare(boxed("InaccessiblePaths", std::vector<std::string>{"/usr/libexec"}), ""),
        std::nullopt);
}

TEST(WhoMayHaveASpare, HowManyAreWanted) {
    Action action;
    EXPECT_EQ(wanted_spares(action), 0U) << "a unit without a sandbox is made quickly";
    EXPECT_EQ(wanted_spares(boxed("PrivateTmp", true)), std::nullopt);
    action.spare = 3;
    EXPECT_EQ(wanted_spares(action), 3U);
}

TEST(WhoMayHaveASpare, ThePlacesThatItHangsOn) {
    Action action = boxed("ReadWritePaths", std::vector<std::string>{"-/srv/a", "/srv/b"});
    action.working_directory = "/var/work";
    action.sandbox.push_back(
        {"InaccessiblePaths", std::vector<std::string>{"+/srv/c"}, "InaccessiblePaths", ""});
    action.sandbox.push_back({"SystemCallArchitectures", std::vector<std::string>{"native"},
                              "SystemCallArchitectures", ""});
    EXPECT_EQ(places_of_spare(action),
              (std::vector<std::string>{"/var/work", "/srv/a", "/srv/b", "/srv/c"}));
}

}  // namespace
}  // namespace postern::policy
