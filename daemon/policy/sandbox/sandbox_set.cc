#include "daemon/policy/sandbox/sandbox_set.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>

#include "daemon/policy/sandbox/sandbox_text.h"

namespace postern::policy {
namespace {

struct Flag {
    std::string_view name;
    std::uint64_t bits;
};

constexpr std::array<std::string_view, 41> capabilities = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};
static_assert(CAP_CHECKPOINT_RESTORE == 40);

constexpr std::uint64_t new_time_namespace = 0x80;  // CLONE_NEWTIME (clone(2)), in no old header
constexpr std::array<Flag, 8> namespaces = {{
    {"cgroup", CLONE_NEWCGROUP},
    {"ipc", CLONE_NEWIPC},
    {"mnt", CLONE_NEWNS},
    {"net", CLONE_NEWNET},
    {"pid", CLONE_NEWPID},
    {"time", new_time_namespace},
    {"user", CLONE_NEWUSER},
    {"uts", CLONE_NEWUTS},
}};

constexpr std::array<Flag, 6> secure_bits = {{
    {"keep-caps", SECBIT_KEEP_CAPS},
    {"keep-caps-locked", SECBIT_KEEP_CAPS_LOCKED},
    {"no-setuid-fixup", SECBIT_NO_SETUID_FIXUP},
    {"no-setuid-fixup-locked", SECBIT_NO_SETUID_FIXUP_LOCKED},
    {"noroot", SECBIT_NOROOT},
    {"noroot-locked", SECBIT_NOROOT_LOCKED},
}};

template <std::size_t size>
Result<std::uint64_t> flags_of(std::string_view text, const std::array<Flag, size>& known,
                               std::string_view what) {
    POSTERN_TRY(const auto words, split_words(text));
    std::uint64_t bits = 0;
    for (const std::string& word : words) {
        const auto found =
            std::ranges::find_if(known, [&](const Flag& flag) { return flag.name == word; });
        if (found == known.end()) return no(word, what);
        bits |= found->bits;
    }
    return bits;
}

}  // namespace

Parsed parse_filter(std::string_view name, std::string_view text) {
    FilterList list;
    if (text == "none" && name == "RestrictAddressFamilies") return one(name, list);
    if (text.starts_with('~')) {
        list.allow = false;
        text.remove_prefix(1);
    }
    POSTERN_TRY(auto words, split_words(text));
    list.words = std::move(words);
    return one(name, std::move(list));
}

Parsed parse_namespaces(std::string_view name, std::string_view text) {
    std::uint64_t all = 0;
    for (const Flag& flag : namespaces) all |= flag.bits;
    if (const auto restrict_all = boolean_of(text)) {
        return one(name, *restrict_all ? std::uint64_t{0} : all);
    }
    const bool but = text.starts_with('~');
    if (but) text.remove_prefix(1);
    POSTERN_TRY(const auto bits, flags_of(text, namespaces, "is not a kind of namespace"));
    return one(name, but ? all & ~bits : bits);
}

Parsed parse_secure_bits(std::string_view name, std::string_view text) {
    POSTERN_TRY(const auto bits,
                flags_of(text, secure_bits, "is not a secure bit (capabilities(7))"));
    return one(name, static_cast<std::int32_t>(bits));
}

Parsed parse_cpus(std::string_view name, std::string_view text) {
    if (name == "CPUAffinity" && text == "numa") return one("CPUAffinityFromNUMA", true);
    std::string separated(text);
    std::ranges::replace(separated, ',', ' ');
    POSTERN_TRY(const auto words, split_words(separated));
    constexpr std::uint32_t most = 8191;  // more than any kernel is built for
    Bytes set;
    for (const std::string& word : words) {
        const std::string_view range = word;
        const std::size_t dash = range.find('-');
        const auto first = number_of<std::uint32_t>(range.substr(0, dash));
        const auto last = dash == std::string_view::npos
                              ? first
                              : number_of<std::uint32_t>(range.substr(dash + 1));
        if (!first || !last || *first > *last || *last > most) {
            return no(word, "is not a number or range of numbers; write for example 0-3,8");
        }
        for (std::uint32_t number = *first; number <= *last; ++number) {
            if (set.bytes.size() <= number / 8) set.bytes.resize(number / 8 + 1);
            set.bytes[number / 8] |= static_cast<std::uint8_t>(1U << (number % 8));
        }
    }
    return one(name, std::move(set));
}

Parsed parse_error_number(std::string_view name, std::string_view text) {
    if (text == "kill") return one(name, std::int32_t{INT_MAX - 1});  // systemd's own for it
    constexpr int most = 4095;
    if (const auto number = number_of<std::int32_t>(text); number && *number >= 0) {
        if (*number <= most) return one(name, *number);
    }
    for (int number = 1; number <= most; ++number) {
        const char* known = ::strerrorname_np(number);
        if (known != nullptr && text == known) return one(name, std::int32_t{number});
    }
    return no(text, "is not an error name or number; write for example EPERM, or kill");
}

Status CapabilitySet::assign(std::string_view text) {
    const bool but = text.starts_with('~');
    if (but) text.remove_prefix(1);
    std::uint64_t bits = 0;
    if (text.find_first_not_of(' ') != std::string_view::npos) {
        POSTERN_TRY(const auto words, split_words(text));
        for (const std::string& word : words) {
            const auto found = std::ranges::find(capabilities, word);
            if (found == capabilities.end()) return no(word, "is not a capability");
            bits |= std::uint64_t{1} << (found - capabilities.begin());
        }
    }
    // As systemd.exec(5) has it: an empty one resets, the first one replaces, and later ones add.
    if (!assigned_ || (bits == 0 && !but)) {
        mask_ = but ? ~bits : bits;
    } else {
        mask_ = but ? mask_ & ~bits : mask_ | bits;
    }
    assigned_ = true;
    return {};
}

}  // namespace postern::policy
