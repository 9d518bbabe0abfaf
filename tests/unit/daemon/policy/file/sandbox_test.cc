// "sandbox": what travels to systemd for each kind of value, and what is refused at load.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/policy/file/sandbox.h"
#include "tests/unit/daemon/policy/file/support.h"
#include "tests/unit/host/fake_accounts.h"

namespace postern::policy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string with_sandbox(const std::string& members) {
    return "{\"summary\": \"s\", \"exec\": [\"/usr/bin/true\"], \"allow\": [],\n\"sandbox\": {" +
           members + "}}";
}

Result<Action> parse_sandbox(const std::string& members) {
    LoadOptions options = own_options();
    options.systemd = true;
    return parse_action("a", "/f.json", with_sandbox(members), options);
}

std::vector<std::pair<std::string, PropertyValue>> sent(const std::string& members) {
    const auto action = parse_sandbox(members);
    EXPECT_TRUE(action) << (action ? "" : action.error().message);
    std::vector<std::pair<std::string, PropertyValue>> properties;
    if (!action) return properties;
    for (const UnitProperty& property : action->sandbox) {
        properties.emplace_back(property.name, property.value);
    }
    return properties;
}

using Properties = std::vector<std::pair<std::string, PropertyValue>>;
using Words = std::vector<std::string>;
using Pairs = std::vector<std::pair<std::string, std::string>>;
using Numbers = std::vector<std::pair<std::string, std::uint64_t>>;
constexpr std::uint64_t infinity = UINT64_MAX;

std::string error(const std::string& members) {
    const auto action = parse_sandbox(members);
    return action ? "" : action.error().message;
}

TEST(Sandbox, WhatTravels) {
    const std::vector<std::pair<std::string, Properties>> rows = {
        {R"("PrivateTmp": true)", {{"PrivateTmp", true}}},
        {R"("PrivateTmp": "no")", {{"PrivateTmp", false}}},
        {R"("PrivateTmp": "disconnected")", {{"PrivateTmpEx", std::string("disconnected")}}},
        {R"("ProtectControlGroups": "strict")",
         {{"ProtectControlGroupsEx", std::string("strict")}}},
        {R"("NoNewPrivileges": 1)", {{"NoNewPrivileges", true}}},
        {R"("ProtectSystem": "strict")", {{"ProtectSystem", std::string("strict")}}},
        {R"("ProtectSystem": true)", {{"ProtectSystem", std::string("yes")}}},
        {R"("MemoryMax": "64M")", {{"MemoryMax", std::uint64_t{64} << 20U}}},
        {R"("MemoryMax": 4096)", {{"MemoryMax", std::uint64_t{4096}}}},
        {R"("MemoryHigh": "infinity")", {{"MemoryHigh", infinity}}},
        {R"("MemoryLow": "50%")", {{"MemoryLowScale", std::uint32_t{2147483648}}}},
        {R"("MemoryMax": "100%")", {{"MemoryMaxScale", std::uint32_t{4294967295}}}},
        {R"("TasksMax": 10)", {{"TasksMax", std::uint64_t{10}}}},
        {R"("TasksMax": "infinity")", {{"TasksMax", infinity}}},
        {R"("CPUQuota": "20%")", {{"CPUQuotaPerSecUSec", std::uint64_t{200000}}}},
        {R"("CPUQuota": "150.5%")", {{"CPUQuotaPerSecUSec", std::uint64_t{1505000}}}},
        {R"("CPUQuotaPeriodSec": "10ms")", {{"CPUQuotaPeriodUSec", std::uint64_t{10000}}}},
        {R"("CPUWeight": "idle")", {{"CPUWeight", std::uint64_t{0}}}},
        {R"("IOWeight": 100)", {{"IOWeight", std::uint64_t{100}}}},
        {R"("UMask": "0027")", {{"UMask", std::uint32_t{027}}}},
        {R"("Nice": -5)", {{"Nice", std::int32_t{-5}}}},
        {R"("CPUSchedulingPolicy": "batch")", {{"CPUSchedulingPolicy", std::int32_t{3}}}},
        {R"("CPUSchedulingPolicy": "idle")", {{"CPUSchedulingPolicy", std::int32_t{5}}}},
        {R"("IOSchedulingClass": "idle")", {{"IOSchedulingClass", std::int32_t{3}}}},
        {R"("SystemCallErrorNumber": "EPERM")", {{"SystemCallErrorNumber", std::int32_t{1}}}},
        {R"("SystemCallErrorNumber": "kill")",
         {{"SystemCallErrorNumber", std::int32_t{2147483646}}}},
        {R"("SystemCallErrorNumber": 13)", {{"SystemCallErrorNumber", std::int32_t{13}}}},
        {R"("SystemCallArchitectures": "native x86")",
         {{"SystemCallArchitectures", Words{"native", "x86"}}}},
        {R"("RootDirectory": "/srv/root")", {{"RootDirectory", std::string("/srv/root")}}},
        {R"("IODeviceWeight": "/dev/sda 100")", {{"IODeviceWeight", Numbers{{"/dev/sda", 100}}}}},
        {R"("MountFlags": "slave")", {{"MountFlags", std::uint64_t{MS_SLAVE}}}},
        {R"("LimitNOFILE": "100:200")",
         {{"LimitNOFILE", std::uint64_t{200}}, {"LimitNOFILESoft", std::uint64_t{100}}}},
        {R"("LimitAS": "1G")",
         {{"LimitAS", std::uint64_t{1} << 30U}, {"LimitASSoft", std::uint64_t{1} << 30U}}},
        {R"("LimitCPU": "1min:infinity")",
         {{"LimitCPU", infinity}, {"LimitCPUSoft", std::uint64_t{60}}}},
        {R"("ReadWritePaths": "/a -/b +/c '/d e'")",
         {{"ReadWritePaths", Words{"/a", "-/b", "+/c", "/d e"}}}},
        {R"("ReadWritePaths": ["/a", "/b"])",
         {{"ReadWritePaths", Words{"/a"}}, {"ReadWritePaths", Words{"/b"}}}},
        {R"("StateDirectory": "x/y z")", {{"StateDirectory", Words{"x/y", "z"}}}},
        {R"("SystemCallFilter": ["@system-service", "~@mount swapon"])",
         {{"SystemCallFilter", FilterList{true, {"@system-service"}}},
          {"SystemCallFilter", FilterList{false, {"@mount", "swapon"}}}}},
        {R"("RestrictAddressFamilies": "none")",
         {{"RestrictAddressFamilies", FilterList{true, {}}}}},
        {R"("RestrictNamespaces": true)", {{"RestrictNamespaces", std::uint64_t{0}}}},
        {R"("RestrictNamespaces": "net user")",
         {{"RestrictNamespaces", std::uint64_t{0x50000000}}}},
        {R"("RestrictNamespaces": "~net user")",
         {{"RestrictNamespaces", std::uint64_t{0x2E020080}}}},
        {R"("CapabilityBoundingSet": "")", {{"CapabilityBoundingSet", std::uint64_t{0}}}},
        {R"("CapabilityBoundingSet": ["CAP_CHOWN CAP_KILL", "CAP_SETUID"])",
         {{"CapabilityBoundingSet", std::uint64_t{0xA1}}}},
        {R"("CapabilityBoundingSet": ["CAP_CHOWN CAP_KILL", "~CAP_CHOWN"])",
         {{"CapabilityBoundingSet", std::uint64_t{0x20}}}},
        {R"("CapabilityBoundingSet": "~CAP_SYS_ADMIN")",
         {{"CapabilityBoundingSet", ~(std::uint64_t{1} << 21U)}}},
        {R"("SecureBits": "noroot keep-caps")", {{"SecureBits", std::int32_t{0x11}}}},
        {R"("BindPaths": "/a /b:/c -/d:/e:norbind")",
         {{"BindPaths",
           std::vector<BindPath>{
               {"/a", "/a", false, MS_REC}, {"/b", "/c", false, MS_REC}, {"/d", "/e", true, 0}}}}},
        {R"("TemporaryFileSystem": "/srv:ro,size=1M /x")",
         {{"TemporaryFileSystem", Pairs{{"/srv", "ro,size=1M"}, {"/x", ""}}}}},
        {R"("DeviceAllow": "char-pts rw")", {{"DeviceAllow", Pairs{{"char-pts", "rw"}}}}},
        {R"("IOReadBandwidthMax": "/dev/sda 5M")",
         {{"IOReadBandwidthMax", Numbers{{"/dev/sda", 5000000}}}}},
        {R"("IODeviceLatencyTargetSec": "/dev/sda 25ms")",
         {{"IODeviceLatencyTargetUSec", Numbers{{"/dev/sda", 25000}}}}},
        {R"("IPAddressAllow": "10.0.0.0/8")",
         {{"IPAddressAllow", std::vector<AddressPrefix>{{AF_INET, {10, 0, 0, 0}, 8}}}}},
        {R"("IPAddressDeny": "any")",
         {{"IPAddressDeny",
           std::vector<AddressPrefix>{{AF_INET, {0, 0, 0, 0}, 0},
                                      {AF_INET6, std::vector<std::uint8_t>(16), 0}}}}},
        {R"("SocketBindDeny": "any")", {{"SocketBindDeny", std::vector<PortRange>{{}}}}},
        {R"("SocketBindAllow": "ipv4:tcp:80-81")",
         {{"SocketBindAllow", std::vector<PortRange>{{AF_INET, 6, 2, 80}}}}},
        {R"("LoadCredential": "a:/b:c")", {{"LoadCredential", Pairs{{"a", "/b:c"}}}}},
        {R"("SetCredential": "a:xy")",
         {{"SetCredential", std::vector<Credential>{{"a", {'x', 'y'}}}}}},
        {R"("AppArmorProfile": "-p")", {{"AppArmorProfile", Label{true, "p"}}}},
        {R"("AllowedCPUs": "0-2,9")", {{"AllowedCPUs", Bytes{{7, 2}}}}},
        {R"("CPUAffinity": "numa")", {{"CPUAffinityFromNUMA", true}}},
        {R"("ManagedOOMMemoryPressureLimit": "50%")",
         {{"ManagedOOMMemoryPressureLimit", std::uint32_t{2147483648}}}},
        {R"("TimerSlackNSec": "1us")", {{"TimerSlackNSec", std::uint64_t{1000}}}},
        {"", {}},
    };
    for (const auto& [members, properties] : rows) EXPECT_EQ(sent(members), properties) << members;
}

TEST(Sandbox, WhereItStands) {
    const auto action = parse_sandbox("\"Nice\": 1,\n\"CPUQuota\": \"5%\"");
    ASSERT_TRUE(action);
    ASSERT_EQ(action->sandbox.size(), 2U);
    EXPECT_EQ(action->sandbox[1].key, "CPUQuota");
    EXPECT_EQ(action->sandbox[1].place, "/f.json:3");
}

TEST(Sandbox, WhatIsRefused) {
    const std::vector<std::pair<std::string, std::string>> rows = {
        {R"("Nope": 1)",
         "/f.json:2:13: sandbox.Nope: is not a property that a job's unit can have"},
        {R"("User": "x")", "sandbox.User: belongs in \"user\" of the action; write it there"},
        {R"("EnvironmentFile": "/x")", "belongs in \"environment\" of the action"},
        {R"("TTYPath": "/x")", "a job has no terminal"},
        {R"("PrivateTmp": "maybe")", "\"maybe\" is not one of disconnected, true, false"},
        {R"("ProtectSystem": "stricter")", "\"stricter\" is not one of yes, no, full, strict"},
        {R"("ProtectSystem": ["full"])", "takes one value; write it without [...]"},
        {R"("ReadOnlyPaths": [])", "is empty; remove it"},
        {R"("ReadOnlyPaths": "etc")", "\"etc\" is not absolute"},
        {R"("ReadOnlyPaths": "/a 'b")", "has an unmatched quotation mark"},
        {R"("ReadOnlyPaths": "/%h/x")", "specifiers like %h are not expanded here"},
        {R"("StateDirectory": "../x")", "is not a relative path without .."},
        {R"("MemoryMax": "64Q")", "\"64Q\" is not a size; write for example 64M, 50% or infinity"},
        {R"("MemoryMax": "101%")", "is not a size"},
        {R"("MemoryMax": null)", "must be a string, an integer or a boolean, not null"},
        {R"("TasksMax": 0)", "is not a number of tasks"},
        {R"("CPUWeight": 10001)", "write a number from 1 to 10000"},
        {R"("CPUQuota": "20")", "is not a CPU quota"},
        {R"("Nice": 20)", "is not a number from -20 to 19"},
        {R"("UMask": "0888")", "is not an octal mode"},
        {R"("LimitNOFILE": "200:100")", "is not a limit; write one value, SOFT:HARD, or infinity"},
        {R"("CapabilityBoundingSet": "CAP_ALL")", "\"CAP_ALL\" is not a capability"},
        {R"("RestrictNamespaces": "nets")", "\"nets\" is not a kind of namespace"},
        {R"("SystemCallFilter": "")", "is empty"},
        {R"("BindPaths": "/a:b")", "is not SOURCE[:DESTINATION[:rbind|norbind]]"},
        {R"("DeviceAllow": "/dev/null x")", "is not a device"},
        {R"("IPAddressDeny": "10.0.0.0/33")", "is not an address"},
        {R"("IPAddressDeny": "example.org")", "is not an address"},
        {R"("SocketBindAllow": "tcp:0")", "is not [ipv4|ipv6:][tcp|udp:]PORTS"},
        {R"("AllowedCPUs": "3-1")", "is not a number or range of numbers"},
        {R"("SystemCallErrorNumber": "EWHAT")", "is not an error"},
        {R"("SystemCallErrorNumber": 4096)",
         "is not an error name or number; write for example EPERM, or kill"},
        {R"("SystemCallArchitectures": "'x")", "has an unmatched quotation mark"},
        {R"("RootDirectory": "srv")", "\"srv\" is not absolute"},
        {R"("StateDirectory": "a:b")",
         "asks for a symbolic link, which is not supported in a job's unit"},
        {R"("IOReadBandwidthMax": "/dev/sda fast")", "is not a path and rate"},
        {R"("IODeviceWeight": "/dev/sda")", "is not a path and weight"},
        {R"("MountFlags": "rshared")", "\"rshared\" is not one of shared, slave, private"},
        {R"("SetCredential": "a")", "is not NAME:TEXT"},
        {R"("AppArmorProfile": "a\u001b")", "contains U+001B; remove it"},
    };
    for (const auto& [members, message] : rows) EXPECT_THAT(error(members), HasSubstr(message));
}

TEST(Sandbox, NeedsSystemd) {
    LoadOptions options = own_options();
    const auto action = parse_action("a", "/f.json", with_sandbox(""), options);
    ASSERT_FALSE(action);
    EXPECT_THAT(action.error().message, HasSubstr("/f.json:2:1: sandbox: needs systemd"));
}

TEST(Sandbox, ADynamicUserIsNobodyElse) {
    LoadOptions options = own_options();
    options.systemd = true;
    const std::string file = with_sandbox(R"("DynamicUser": true)");
    const auto action = parse_action("a", "/f.json", file, options);
    ASSERT_TRUE(action);
    std::vector<std::string> names;
    for (const auto& [name, text] : action->environment) names.push_back(name);
    EXPECT_THAT(names, ElementsAre("LANG", "PATH"));
    const FakeAccounts accounts({{"me", geteuid(), getegid(), "/", "/bin/sh"}}, {});
    const auto both = parse_action(
        "a", "/f.json",
        file.substr(0, file.size() - 1) + ",\n\"user\": " + std::to_string(geteuid()) + "}",
        options);
    ASSERT_FALSE(both);
    EXPECT_EQ(both.error().message,
              "/f.json:3:1: user: conflicts with DynamicUser in the sandbox; remove one of them");
}

// Editors complete what the loader takes.
TEST(Sandbox, TheSchemaKnowsEveryProperty) {
    const auto schema = nlohmann::json::parse(std::ifstream(POSTERN_SCHEMA));
    std::map<std::string, bool> published;
    for (const auto& [name, what] : schema["properties"]["sandbox"]["properties"].items()) {
        published[name] = what["$ref"] == "#/definitions/settings";
    }
    std::map<std::string, bool> taken;
    for (const auto& [name, several] : sandbox_properties()) taken[std::string(name)] = several;
    EXPECT_EQ(published, taken);
}

}  // namespace
}  // namespace postern::policy
