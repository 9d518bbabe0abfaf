#include "daemon/policy/spare.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

namespace postern::policy {
namespace {

// With these a program that is executed later finds what it would find at once. Not among them:
// what is made anew for each start (credentials, directories), what names places that may be
// others by then without anybody noticing (binds, devices, network interfaces), what is judged at
// an exec (labels, NoExecPaths, LimitNPROC), and what an ended spare would undo for others
// (RemoveIPC).
constexpr auto harmless = std::to_array<std::string_view>({
    "AmbientCapabilities",
    "CPUAccounting",
    "CPUQuota",
    "CPUQuotaPeriodSec",
    "CPUWeight",
    "CapabilityBoundingSet",
    "DevicePolicy",
    "IOAccounting",
    "IOSchedulingClass",
    "IOSchedulingPriority",
    "IOWeight",
    "IPAccounting",
    "IPAddressAllow",
    "IPAddressDeny",
    "InaccessiblePaths",
    "LimitAS",
    "LimitCORE",
    "LimitDATA",
    "LimitFSIZE",
    "LimitLOCKS",
    "LimitMEMLOCK",
    "LimitMSGQUEUE",
    "LimitNOFILE",
    "LimitRSS",
    "LimitRTPRIO",
    "LimitRTTIME",
    "LimitSIGPENDING",
    "LimitSTACK",
    "LockPersonality",
    "MemoryAccounting",
    "MemoryDenyWriteExecute",
    "MemoryHigh",
    "MemoryLow",
    "MemoryMax",
    "MemoryMin",
    "MemorySwapMax",
    "Nice",
    "NoNewPrivileges",
    "OOMScoreAdjust",
    "PrivateDevices",
    "PrivateIPC",
    "PrivateMounts",
    "PrivateNetwork",
    "PrivateTmp",
    "PrivateUsers",
    "ProcSubset",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "SystemCallArchitectures",
    "SystemCallErrorNumber",
    "SystemCallFilter",
    "TasksAccounting",
    "TasksMax",
    "TimerSlackNSec",
    "UMask",
});
static_assert(std::ranges::is_sorted(harmless));

// What the launcher calls, from its own exec to that of the program.
constexpr auto needed_calls = std::to_array<std::string_view>({
    "arch_prctl",
    "brk",
    "close",
    "dup3",
    "execve",
    "exit_group",
    "fstat",
    "getpid",
    "getrandom",
    "kill",
    "mmap",
    "mprotect",
    "munmap",
    "newfstatat",
    "openat",
    "prctl",
    "prlimit64",
    "read",
    "readlink",
    "readlinkat",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "set_robust_list",
    "set_tid_address",
    "write",
});

// Groups of systemd's (systemd-analyze syscall-filter) that have none of these in them.
constexpr auto needless_groups = std::to_array<std::string_view>({
    "@aio",     "@chown",  "@clock",     "@cpu-emulation", "@debug",    "@ipc",  "@keyring",
    "@memlock", "@module", "@mount",     "@network-io",    "@obsolete", "@pkey", "@privileged",
    "@raw-io",  "@reboot", "@resources", "@setuid",        "@swap",     "@sync", "@timer",
});

// Those that have all of them together: @default is always allowed.
constexpr std::array<std::string_view, 4> needed_groups = {"@basic-io", "@file-system", "@process",
                                                           "@signal"};

bool has(const auto& list, std::string_view word) {
    return std::ranges::find(list, word) != list.end();
}

// "mount:EPERM" says what comes of it.
std::string_view call_of(std::string_view word) {
    return word.substr(0, word.find(':'));
}

bool denies_nothing_needed(const FilterList& list) {
    return std::ranges::all_of(list.words, [](std::string_view word) {
        const std::string_view call = call_of(word);
        return call.starts_with('@') ? has(needless_groups, call) : !has(needed_calls, call);
    });
}

// As systemd makes one list of several.
bool filters_let_through(const std::vector<UnitProperty>& sandbox) {
    std::vector<std::string_view> allowed;
    bool allows = false;
    for (const UnitProperty& property : sandbox) {
        const auto* const list = std::get_if<FilterList>(&property.value);
        if (property.key != "SystemCallFilter" || list == nullptr) continue;
        if (!list->allow) {
            if (!denies_nothing_needed(*list)) return false;
            continue;
        }
        allows = true;
        for (const std::string& word : list->words) allowed.push_back(call_of(word));
    }
    return !allows || has(allowed, "@system-service") ||
           std::ranges::all_of(needed_groups, [&](auto group) { return has(allowed, group); });
}

// Without "-" (it may be missing) and "+" (below the root directory) before it.
std::string_view without_marks(std::string_view path) {
    const std::size_t at = path.find_first_not_of("-+");
    return at == std::string_view::npos ? std::string_view() : path.substr(at);
}

bool is_list_of_places(const UnitProperty& property) {
    return property.key == "InaccessiblePaths" || property.key == "ReadOnlyPaths" ||
           property.key == "ReadWritePaths";
}

// Whether `path` is `other`, or a directory on the way to it. By the text alone: another spelling
// of it is found out by a launcher that can't be executed.
bool leads_to(std::string_view path, std::string_view other) {
    while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
    if (path == "/") return true;
    return other.starts_with(path) && (other.size() == path.size() || other[path.size()] == '/');
}

bool hides(const UnitProperty& property, std::string_view launcher, std::string_view program) {
    const auto* const paths = std::get_if<std::vector<std::string>>(&property.value);
    if (property.key != "InaccessiblePaths" || paths == nullptr) return false;
    return std::ranges::any_of(*paths, [&](const std::string& path) {
        return (!launcher.empty() && leads_to(without_marks(path), launcher)) ||
               leads_to(without_marks(path), program);
    });
}

}  // namespace

std::optional<std::string> why_no_spare(const Action& action, std::string_view launcher) {
    // They need descriptors, and what a spare is told is bytes.
    if (action.stdin_text) return "stdin";
    if (action.description.input != Input::none) return "input";
    if (action.description.direct_output) return "output";
    for (const UnitProperty& property : action.sandbox) {
        if (!std::ranges::binary_search(harmless, std::string_view(property.key)) ||
            hides(property, launcher, action.program)) {
            return "sandbox." + property.key;
        }
    }
    if (!filters_let_through(action.sandbox)) return "sandbox.SystemCallFilter";
    return std::nullopt;
}

std::optional<std::uint32_t> wanted_spares(const Action& action) {
    if (action.spare) return action.spare;
    // A unit without a sandbox is made quickly.
    return action.sandbox.empty() ? std::optional<std::uint32_t>(0) : std::nullopt;
}

std::vector<std::string> places_of_spare(const Action& action) {
    std::vector<std::string> places = {action.working_directory};
    for (const UnitProperty& property : action.sandbox) {
        const auto* const paths = std::get_if<std::vector<std::string>>(&property.value);
        if (!is_list_of_places(property) || paths == nullptr) continue;
        for (const std::string& path : *paths) places.emplace_back(without_marks(path));
    }
    return places;
}

}  // namespace postern::policy
