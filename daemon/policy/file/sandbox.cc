#include "daemon/policy/file/sandbox.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/nearest_word.h"
#include "base/utf8.h"
#include "daemon/policy/sandbox/sandbox_place.h"
#include "daemon/policy/sandbox/sandbox_set.h"
#include "daemon/policy/sandbox/sandbox_value.h"

namespace postern::policy {
namespace {

using Parse = Parsed (*)(std::string_view name, std::string_view text);

struct Property {
    std::string_view name;
    Parse parse;
    bool several = false;  // may be assigned several times: a list in the file
};

// A text that must be one of these.
template <const auto& choices>
Parsed one_of(std::string_view name, std::string_view text) {
    std::string all;
    for (const std::string_view choice : choices) {
        if (text == choice) return parse_text(name, text);
        all.append(all.empty() ? "" : ", ").append(choice);
    }
    return fail(in_quotes(text) + " is not one of " + all);
}

// A boolean, or a text that travels under a name of its own since systemd learned it.
template <const auto& choices>
Parsed boolean_or(std::string_view name, std::string_view text) {
    Parsed boolean = parse_boolean(name, text);
    if (boolean) return boolean;
    const std::string extended = std::string(name) + "Ex";
    Parsed choice = one_of<choices>(extended, text);
    if (!choice) return fail(choice.error().message + ", true, false");
    return choice;
}

template <std::int64_t minimum, std::int64_t maximum>
Parsed integer(std::string_view name, std::string_view text) {
    return parse_integer(name, text, minimum, maximum);
}

// The place in the list is the number that travels.
template <const auto& choices, std::int32_t first>
Parsed number_of_choice(std::string_view name, std::string_view text) {
    if (const Parsed known = one_of<choices>(name, text); !known) return Unexpected(known.error());
    const auto at = std::ranges::find(choices, text) - choices.begin();
    return std::vector<NamedProperty>{{std::string(name), static_cast<std::int32_t>(at) + first}};
}

Parsed mount_flags(std::string_view name, std::string_view text) {
    constexpr std::array<std::pair<std::string_view, std::uint64_t>, 3> known = {
        {{"shared", 1U << 20U}, {"slave", 1U << 19U}, {"private", 1U << 18U}}};  // mount(2)
    for (const auto& [word, flags] : known) {
        if (text == word) return std::vector<NamedProperty>{{std::string(name), flags}};
    }
    return fail(in_quotes(text) + " is not one of shared, slave, private");
}

constexpr std::array<std::string_view, 4> protect_system = {"yes", "no", "full", "strict"};
constexpr std::array<std::string_view, 4> protect_home = {"yes", "no", "read-only", "tmpfs"};
constexpr std::array<std::string_view, 4> protect_proc = {"noaccess", "invisible", "ptraceable",
                                                          "default"};
constexpr std::array<std::string_view, 2> proc_subset = {"all", "pid"};
constexpr std::array<std::string_view, 3> keyring_mode = {"inherit", "private", "shared"};
constexpr std::array<std::string_view, 3> device_policy = {"auto", "closed", "strict"};
constexpr std::array<std::string_view, 3> preserve = {"yes", "no", "restart"};
constexpr std::array<std::string_view, 2> managed_oom = {"auto", "kill"};
constexpr std::array<std::string_view, 3> oom_preference = {"none", "avoid", "omit"};
constexpr std::array<std::string_view, 4> pressure_watch = {"auto", "on", "off", "skip"};
constexpr std::array<std::string_view, 1> private_tmp = {"disconnected"};
constexpr std::array<std::string_view, 3> private_users = {"self", "identity", "full"};
constexpr std::array<std::string_view, 2> protect_cgroups = {"private", "strict"};
constexpr std::array<std::string_view, 1> protect_hostname = {"private"};
// By their numbers in the kernel: sched(7), ioprio_set(2), set_mempolicy(2).
constexpr std::array<std::string_view, 4> scheduling = {"other", "fifo", "rr", "batch"};
constexpr std::array<std::string_view, 4> io_class = {"none", "realtime", "best-effort", "idle"};
constexpr std::array<std::string_view, 5> numa_policy = {"default", "preferred", "bind",
                                                         "interleave", "local"};

Parsed scheduling_policy(std::string_view name, std::string_view text) {
    constexpr std::int32_t idle = 5;  // SCHED_IDLE: 4 is not used
    if (text == "idle") return std::vector<NamedProperty>{{std::string(name), idle}};
    Parsed number = number_of_choice<scheduling, 0>(name, text);
    if (!number) return fail(number.error().message + ", idle");
    return number;
}

// systemd.exec(5) and systemd.resource-control(5), in the order of the alphabet within each kind.
constexpr std::array properties = std::to_array<Property>({
    // Switches.
    {"CPUAccounting", parse_boolean},
    {"CPUSchedulingResetOnFork", parse_boolean},
    {"Delegate", parse_boolean},
    {"DynamicUser", parse_boolean},
    {"IOAccounting", parse_boolean},
    {"IPAccounting", parse_boolean},
    {"IgnoreSIGPIPE", parse_boolean},
    {"LockPersonality", parse_boolean},
    {"MemoryAccounting", parse_boolean},
    {"MemoryDenyWriteExecute", parse_boolean},
    {"MemoryKSM", parse_boolean},
    {"MemoryZSwapWriteback", parse_boolean},
    {"MountAPIVFS", parse_boolean},
    {"NoNewPrivileges", parse_boolean},
    {"PrivateDevices", parse_boolean},
    {"PrivateIPC", parse_boolean},
    {"PrivateMounts", parse_boolean},
    {"PrivateNetwork", parse_boolean},
    {"PrivatePIDs", parse_boolean},
    {"PrivateTmp", boolean_or<private_tmp>},
    {"PrivateUsers", boolean_or<private_users>},
    {"ProtectClock", parse_boolean},
    {"ProtectControlGroups", boolean_or<protect_cgroups>},
    {"ProtectHostname", boolean_or<protect_hostname>},
    {"ProtectKernelLogs", parse_boolean},
    {"ProtectKernelModules", parse_boolean},
    {"ProtectKernelTunables", parse_boolean},
    {"RemoveIPC", parse_boolean},
    {"RestrictRealtime", parse_boolean},
    {"RestrictSUIDSGID", parse_boolean},
    {"RootEphemeral", parse_boolean},
    {"TasksAccounting", parse_boolean},
    // One of some words.
    {"CPUSchedulingPolicy", scheduling_policy},
    {"DevicePolicy", one_of<device_policy>},
    {"IOSchedulingClass", number_of_choice<io_class, 0>},
    {"KeyringMode", one_of<keyring_mode>},
    {"ManagedOOMMemoryPressure", one_of<managed_oom>},
    {"ManagedOOMPreference", one_of<oom_preference>},
    {"ManagedOOMSwap", one_of<managed_oom>},
    {"MemoryPressureWatch", one_of<pressure_watch>},
    {"MountFlags", mount_flags},
    {"NUMAPolicy", number_of_choice<numa_policy, 0>},
    {"Personality", parse_text},
    {"ProcSubset", one_of<proc_subset>},
    {"ProtectHome", one_of<protect_home>},
    {"ProtectProc", one_of<protect_proc>},
    {"ProtectSystem", one_of<protect_system>},
    {"RuntimeDirectoryPreserve", one_of<preserve>},
    {"SELinuxContext", parse_text},
    {"SystemCallErrorNumber", parse_error_number},
    // Security labels.
    {"AppArmorProfile", parse_label},
    {"SmackProcessLabel", parse_label},
    // Sets.
    {"AllowedCPUs", parse_cpus},
    {"AllowedMemoryNodes", parse_cpus},
    {"CPUAffinity", parse_cpus},
    {"NUMAMask", parse_cpus},
    {"RestrictAddressFamilies", parse_filter, true},
    {"RestrictFileSystems", parse_filter, true},
    {"RestrictNamespaces", parse_namespaces},
    {"RestrictNetworkInterfaces", parse_filter, true},
    {"SecureBits", parse_secure_bits},
    {"StartupAllowedCPUs", parse_cpus},
    {"StartupAllowedMemoryNodes", parse_cpus},
    {"SystemCallArchitectures", parse_words, true},
    {"SystemCallFilter", parse_filter, true},
    {"SystemCallLog", parse_filter, true},
    // Places.
    {"BindPaths", parse_bind_paths, true},
    {"BindReadOnlyPaths", parse_bind_paths, true},
    {"CacheDirectory", parse_folders, true},
    {"CacheDirectoryMode", parse_mode_bits},
    {"ConfigurationDirectory", parse_folders, true},
    {"ConfigurationDirectoryMode", parse_mode_bits},
    {"ExecPaths", parse_paths, true},
    {"ExtensionDirectories", parse_paths, true},
    {"IPCNamespacePath", parse_absolute_path},
    {"InaccessiblePaths", parse_paths, true},
    {"LogsDirectory", parse_folders, true},
    {"LogsDirectoryMode", parse_mode_bits},
    {"NetworkNamespacePath", parse_absolute_path},
    {"NoExecPaths", parse_paths, true},
    {"ReadOnlyPaths", parse_paths, true},
    {"ReadWritePaths", parse_paths, true},
    {"RootDirectory", parse_absolute_path},
    {"RootImage", parse_absolute_path},
    {"RootImagePolicy", parse_text},
    {"RootVerity", parse_absolute_path},
    {"RuntimeDirectory", parse_folders, true},
    {"RuntimeDirectoryMode", parse_mode_bits},
    {"StateDirectory", parse_folders, true},
    {"StateDirectoryMode", parse_mode_bits},
    {"TemporaryFileSystem", parse_temporary_file_systems, true},
    {"UMask", parse_mode_bits},
    // Credentials.
    {"LoadCredential", parse_load_credential, true},
    {"LoadCredentialEncrypted", parse_load_credential, true},
    {"SetCredential", parse_set_credential, true},
    // Amounts.
    {"CPUQuota", parse_cpu_quota},
    {"CPUQuotaPeriodSec", parse_span},
    {"CPUSchedulingPriority", integer<1, 99>},
    {"CPUWeight", parse_weight},
    {"DefaultMemoryLow", parse_memory},
    {"DefaultMemoryMin", parse_memory},
    {"IOSchedulingPriority", integer<0, 7>},
    {"IOWeight", parse_weight},
    {"LimitAS", parse_resource_limit},
    {"LimitCORE", parse_resource_limit},
    {"LimitCPU", parse_resource_limit},
    {"LimitDATA", parse_resource_limit},
    {"LimitFSIZE", parse_resource_limit},
    {"LimitLOCKS", parse_resource_limit},
    {"LimitMEMLOCK", parse_resource_limit},
    {"LimitMSGQUEUE", parse_resource_limit},
    {"LimitNOFILE", parse_resource_limit},
    {"LimitNPROC", parse_resource_limit},
    {"LimitRSS", parse_resource_limit},
    {"LimitRTPRIO", parse_resource_limit},
    {"LimitRTTIME", parse_resource_limit},
    {"LimitSIGPENDING", parse_resource_limit},
    {"LimitSTACK", parse_resource_limit},
    {"ManagedOOMMemoryPressureLimit", parse_pressure_limit},
    {"MemoryHigh", parse_memory},
    {"MemoryLow", parse_memory},
    {"MemoryMax", parse_memory},
    {"MemoryMin", parse_memory},
    {"MemoryPressureThresholdSec", parse_span},
    {"MemorySwapMax", parse_memory},
    {"MemoryZSwapMax", parse_memory},
    {"Nice", integer<-20, 19>},
    {"OOMScoreAdjust", integer<-1000, 1000>},
    {"StartupCPUWeight", parse_weight},
    {"StartupIOWeight", parse_weight},
    {"TasksMax", parse_tasks},
    {"TimerSlackNSec", parse_nanoseconds},
    // Devices and the network.
    {"DeviceAllow", parse_device, true},
    {"IODeviceLatencyTargetSec", parse_device_latency, true},
    {"IODeviceWeight", parse_device_weight, true},
    {"IOReadBandwidthMax", parse_device_bandwidth, true},
    {"IOReadIOPSMax", parse_device_bandwidth, true},
    {"IOWriteBandwidthMax", parse_device_bandwidth, true},
    {"IOWriteIOPSMax", parse_device_bandwidth, true},
    {"IPAddressAllow", parse_addresses, true},
    {"IPAddressDeny", parse_addresses, true},
    {"IPEgressFilterPath", parse_paths, true},
    {"IPIngressFilterPath", parse_paths, true},
    {"SocketBindAllow", parse_ports, true},
    {"SocketBindDeny", parse_ports, true},
});

// What the action file has keys of its own for, or what the guard decides.
struct Instead {
    std::string_view prefix;
    std::string_view what;
};
constexpr std::array<Instead, 16> instead = {{
    {"User", R"(belongs in "user" of the action; write it there)"},
    {"Group", R"(belongs in "group" of the action; write it there)"},
    {"SupplementaryGroups", R"(belongs in "groups" of the action; write it there)"},
    {"Environment", R"(belongs in "environment" of the action; write it there)"},
    {"PassEnvironment", R"(has no useful effect; declare the variables in "environment")"},
    {"UnsetEnvironment", R"(has no useful effect; declare the variables in "environment")"},
    {"SetLoginEnvironment", R"(is set by the daemon; declare variables in "environment")"},
    {"WorkingDirectory", R"(belongs in "workingDirectory" of the action; write it there)"},
    {"StandardInput", R"(belongs in "stdin" of the action; write it there)"},
    {"StandardOutput", "always goes to a file of the job; remove it"},
    {"StandardError", R"(belongs in "stderr" of the action; write it there)"},
    {"TTY", "has no effect: a job has no terminal; remove it"},
    {"Syslog", "has no effect: a job's output goes into files of its own; remove it"},
    {"Log", "has no effect: a job's output goes into files of its own; remove it"},
    {"PAMName", "would give the job an environment that nobody declared; remove it"},
    {"Slice", "is postern.slice for every job; remove it"},
}};

constexpr std::array<std::string_view, 2> capability_sets = {"AmbientCapabilities",
                                                             "CapabilityBoundingSet"};

class SandboxReader {
  public:
    explicit SandboxReader(Document& document) : document_(document) {}

    void read(const std::string& name, const Node& node) {
        if (std::ranges::find(capability_sets, name) != capability_sets.end()) {
            return read_capabilities(name, node);
        }
        const auto known = std::ranges::find(properties, name, &Property::name);
        if (known == properties.end()) return refuse(name, node);
        for (const Assignment& assignment : assignments(node, known->several)) {
            if (name == "DynamicUser") sandbox_.dynamic_user = assignment.text == "yes";
            add(name, assignment.node, known->parse(name, assignment.text));
        }
    }
    Sandbox take() { return std::move(sandbox_); }

  private:
    struct Assignment {
        Node node;
        std::string text;
    };

    void refuse(const std::string& name, const Node& node) {
        for (const auto& [prefix, what] : instead) {
            if (name.starts_with(prefix)) return document_.report_key(node, std::string(what));
        }
        std::vector<std::string_view> names;
        names.reserve(properties.size());
        for (const Property& property : properties) names.push_back(property.name);
        const std::string_view meant = nearest_word(name, names);
        document_.report_key(node, "is not a property that a job's unit can have; " +
                                       (meant.empty() ? std::string("see systemd.exec(5) and "
                                                                    "systemd.resource-control(5)")
                                                      : "did you mean " + in_quotes(meant) + '?'));
    }

    // As a unit file would have it. Reports what no unit file can.
    std::optional<std::string> text_of(const Node& node) {
        const nlohmann::json& value = *node.value;
        if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
        if (value.is_number_integer()) return value.dump();
        if (!value.is_string()) {
            document_.report(node, "must be a string, an integer or a boolean, not " +
                                       kind_of(value) + "; write it as in a unit file");
            return std::nullopt;
        }
        auto text = document_.text(node);
        if (!text) return std::nullopt;
        if (const auto forbidden = forbidden_character(*text)) {
            document_.report(node, "contains " + *forbidden + "; remove it");
            return std::nullopt;
        }
        for (std::size_t at = text->find('%'); at != std::string::npos;
             at = text->find('%', at + 1)) {
            const char next = at + 1 < text->size() ? (*text)[at + 1] : ' ';
            if ((next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z')) {
                document_.report(node, "specifiers like %" + std::string(1, next) +
                                           " are not expanded here; write the value itself");
                return std::nullopt;
            }
        }
        return text;
    }

    std::vector<Assignment> assignments(const Node& node, bool several) {
        std::vector<Node> nodes = {node};
        if (node.value->is_array()) {
            if (!several) {
                document_.report(node, "takes one value; write it without [...]");
                return {};
            }
            nodes = document_.elements(node).value_or(std::vector<Node>{});
            if (nodes.empty()) document_.report(node, "is empty; remove it");
        }
        std::vector<Assignment> found;
        for (const Node& one : nodes) {
            if (auto text = text_of(one)) found.push_back({one, *std::move(text)});
        }
        return found;
    }

    void add(const std::string& name, const Node& node, Parsed parsed) {
        if (!parsed) {
            document_.report(node, parsed.error().message + "; see the systemd manual on " + name);
            return;
        }
        const std::string place = document_.file() + ':' + std::to_string(document_.line(node));
        for (NamedProperty& property : *parsed) {
            sandbox_.properties.push_back(
                {std::move(property.name), std::move(property.value), name, place});
        }
    }

    // Several assignments make one set; sent one by one the last would be all.
    void read_capabilities(const std::string& name, const Node& node) {
        CapabilitySet set;
        for (const Assignment& assignment : assignments(node, true)) {
            if (const Status assigned = set.assign(assignment.text); !assigned) {
                return add(name, assignment.node, Unexpected(assigned.error()));
            }
        }
        add(name, node, std::vector<NamedProperty>{{name, set.mask()}});
    }

    Document& document_;
    Sandbox sandbox_;
};

}  // namespace

bool is_sandbox_property(std::string_view name) {
    return std::ranges::find(properties, name, &Property::name) != properties.end();
}

std::vector<std::pair<std::string_view, bool>> sandbox_properties() {
    std::vector<std::pair<std::string_view, bool>> all;
    all.reserve(capability_sets.size() + properties.size());
    for (const std::string_view name : capability_sets) all.emplace_back(name, true);
    for (const Property& property : properties) all.emplace_back(property.name, property.several);
    return all;
}

Sandbox read_sandbox(Document& document, const Node& node) {
    SandboxReader reader(document);
    const auto members = document.members(node);
    if (!members) return {};
    for (const auto& [name, value] : *members) reader.read(name, value);
    return reader.take();
}

}  // namespace postern::policy
