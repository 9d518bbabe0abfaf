#include "daemon/policy/sandbox/sandbox_place.h"

#include <arpa/inet.h>
#include <sys/mount.h>

#include <array>
#include <limits>

#include "base/duration.h"
#include "daemon/policy/sandbox/sandbox_text.h"

namespace postern::policy {
namespace {

// Of disks: K, M, G, T are powers of 1000 there.
std::optional<std::uint64_t> decimal_size_of(std::string_view text) {
    std::uint64_t unit = 1;
    constexpr std::string_view letters = "KMGT";
    if (!text.empty()) {
        const std::size_t letter = letters.find(text.back());
        for (std::size_t i = 0; letter != std::string_view::npos && i <= letter; ++i) unit *= 1000;
        if (unit > 1) text.remove_suffix(1);
    }
    const auto number = number_of<std::uint64_t>(text);
    if (!number || *number > unlimited / unit) return std::nullopt;
    return *number * unit;
}

// "FIRST REST"
std::optional<std::pair<std::string, std::string>> device_and_rest(std::string_view text) {
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos || !is_absolute(text)) return std::nullopt;
    const std::size_t rest = text.find_first_not_of(' ', space);
    if (rest == std::string_view::npos) return std::nullopt;
    return std::pair(std::string(text.substr(0, space)), std::string(text.substr(rest)));
}

Parsed device_and_number(std::string_view name, const std::string& device, std::uint64_t number) {
    return one(name, std::vector<std::pair<std::string, std::uint64_t>>{{device, number}});
}

std::vector<std::uint8_t> bytes_of(std::string_view text) {
    return {text.begin(), text.end()};
}

std::optional<AddressPrefix> prefix_of(std::string_view text) {
    const std::size_t slash = text.find('/');
    const std::string address(text.substr(0, slash));
    AddressPrefix prefix;
    std::array<std::uint8_t, 16> bytes{};
    std::uint32_t most = 32;
    if (inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) {
        prefix.family = AF_INET;
    } else if (inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1) {
        prefix.family = AF_INET6;
        most = 128;
    } else {
        return std::nullopt;
    }
    prefix.address.assign(bytes.begin(), bytes.begin() + most / 8);
    prefix.bits = most;
    if (slash == std::string_view::npos) return prefix;
    const auto bits = number_of<std::uint32_t>(text.substr(slash + 1));
    if (!bits || *bits > most) return std::nullopt;
    prefix.bits = *bits;
    return prefix;
}

// The words that stand for several prefixes.
std::vector<std::string_view> prefixes_behind(std::string_view word) {
    if (word == "any") return {"0.0.0.0/0", "::/0"};
    if (word == "localhost") return {"127.0.0.0/8", "::1/128"};
    if (word == "link-local") return {"169.254.0.0/16", "fe80::/64"};
    if (word == "multicast") return {"224.0.0.0/4", "ff00::/8"};
    return {word};
}

}  // namespace

Parsed parse_bind_paths(std::string_view name, std::string_view text) {
    POSTERN_TRY(const auto words, split_words(text));
    std::vector<BindPath> paths;
    for (const std::string& word : words) {
        const auto parts = split_colons(word, 3);
        BindPath path;
        path.source = parts[0];
        path.may_be_missing = path.source.starts_with('-');
        if (path.may_be_missing) path.source.erase(0, 1);
        path.destination = parts.size() > 1 ? std::string(parts[1]) : path.source;
        const std::string_view how = parts.size() > 2 ? parts[2] : "rbind";
        path.flags = how == "rbind" ? MS_REC : 0;
        if (!is_absolute(path.source) || !is_absolute(path.destination) ||
            (how != "rbind" && how != "norbind")) {
            return no(word, "is not SOURCE[:DESTINATION[:rbind|norbind]] of absolute paths");
        }
        paths.push_back(std::move(path));
    }
    return one(name, std::move(paths));
}

Parsed parse_temporary_file_systems(std::string_view name, std::string_view text) {
    POSTERN_TRY(const auto words, split_words(text));
    std::vector<std::pair<std::string, std::string>> mounts;
    for (const std::string& word : words) {
        const auto parts = split_colons(word, 2);
        if (!is_absolute(parts[0])) return no(word, "is not PATH[:OPTIONS] with an absolute path");
        mounts.emplace_back(parts[0], parts.size() > 1 ? parts[1] : "");
    }
    return one(name, std::move(mounts));
}

Parsed parse_device(std::string_view name, std::string_view text) {
    const std::size_t space = text.find(' ');
    const std::string device(text.substr(0, space));
    const std::string access(space == std::string_view::npos ? "" : text.substr(space + 1));
    const bool known =
        is_absolute(device) || device.starts_with("char-") || device.starts_with("block-");
    if (!known || access.find_first_not_of("rwm") != std::string::npos) {
        return no(text, R"(is not a device; write for example "/dev/null rw" or "char-pts rw")");
    }
    return one(name, std::vector<std::pair<std::string, std::string>>{{device, access}});
}

Parsed parse_device_bandwidth(std::string_view name, std::string_view text) {
    const auto parts = device_and_rest(text);
    const std::string_view number = parts ? std::string_view(parts->second) : std::string_view();
    const auto rate = number == "infinity" ? std::optional(unlimited) : decimal_size_of(number);
    if (!parts || !rate)
        return no(text, R"(is not a path and rate; write for example "/dev/sda 10M")");
    return device_and_number(name, parts->first, *rate);
}

Parsed parse_device_weight(std::string_view name, std::string_view text) {
    const auto parts = device_and_rest(text);
    const auto weight = parts ? number_of<std::uint64_t>(parts->second) : std::nullopt;
    if (!parts || !weight)
        return no(text, R"(is not a path and weight; write for example "/dev/sda 100")");
    return device_and_number(name, parts->first, *weight);
}

Parsed parse_device_latency(std::string_view /*name*/, std::string_view text) {
    const auto parts = device_and_rest(text);
    if (!parts) return no(text, R"(is not a path and time; write for example "/dev/sda 25ms")");
    POSTERN_TRY(const auto span, parse_duration(parts->second));
    return device_and_number("IODeviceLatencyTargetUSec", parts->first,
                             static_cast<std::uint64_t>(span.count()));
}

Parsed parse_addresses(std::string_view name, std::string_view text) {
    POSTERN_TRY(const auto words, split_words(text));
    std::vector<AddressPrefix> prefixes;
    for (const std::string& word : words) {
        for (const std::string_view one_of_them : prefixes_behind(word)) {
            auto prefix = prefix_of(one_of_them);
            if (!prefix) {
                return no(
                    word,
                    "is not an address; write for example 10.0.0.0/8, fe80::/64, localhost or "
                    "any");
            }
            prefixes.push_back(*std::move(prefix));
        }
    }
    return one(name, std::move(prefixes));
}

Parsed parse_ports(std::string_view name, std::string_view text) {
    PortRange range;
    auto parts = split_colons(text, 4);
    const auto take = [&](std::string_view word, std::int32_t& target, std::int32_t value) {
        if (parts.empty() || parts.front() != word) return;
        target = value;
        parts.erase(parts.begin());
    };
    take("ipv4", range.family, AF_INET);
    take("ipv6", range.family, AF_INET6);
    take("tcp", range.protocol, IPPROTO_TCP);
    take("udp", range.protocol, IPPROTO_UDP);
    if (parts.empty() || (parts.size() == 1 && parts.front() == "any")) {
        return one(name, std::vector<PortRange>{range});
    }
    const std::string_view ports = parts.front();
    const std::size_t dash = ports.find('-');
    const auto first = number_of<std::uint16_t>(ports.substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : number_of<std::uint16_t>(ports.substr(dash + 1));
    if (parts.size() > 1 || !first || !last || *first == 0 || *first > *last) {
        return no(text, "is not [ipv4|ipv6:][tcp|udp:]PORTS; write for example tcp:8080-8090");
    }
    range.first = *first;
    range.ports = static_cast<std::uint16_t>(*last - *first + 1);
    return one(name, std::vector<PortRange>{range});
}

Parsed parse_load_credential(std::string_view name, std::string_view text) {
    const auto parts = split_colons(text, 2);
    const std::string id(parts[0]);
    const std::string source(parts.size() > 1 && !parts[1].empty() ? parts[1] : parts[0]);
    if (id.empty() || id.find('/') != std::string::npos) return no(text, "is not NAME:PATH");
    return one(name, std::vector<std::pair<std::string, std::string>>{{id, source}});
}

Parsed parse_set_credential(std::string_view name, std::string_view text) {
    const auto parts = split_colons(text, 2);
    if (parts.size() != 2 || parts[0].empty()) return no(text, "is not NAME:TEXT");
    return one(name, std::vector<Credential>{{std::string(parts[0]), bytes_of(parts[1])}});
}

Parsed parse_label(std::string_view name, std::string_view text) {
    Label label;
    label.may_fail = text.starts_with('-');
    label.text = text.substr(label.may_fail ? 1 : 0);
    if (label.text.empty()) return fail("is empty");
    return one(name, std::move(label));
}

}  // namespace postern::policy
