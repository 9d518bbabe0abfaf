// One property of the transient unit that runs a job, as "sandbox" declares it: what goes into a
// StartTransientUnit call (org.freedesktop.systemd1(5)), without sd-bus.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace postern::policy {

// Values by the D-Bus type that they travel as.
struct FilterList {  // (bas): whether the words are allowed, or everything but them
    bool allow = true;
    std::vector<std::string> words;
    friend bool operator==(const FilterList&, const FilterList&) = default;
};
struct BindPath {  // of a(ssbt)
    std::string source;
    std::string destination;
    bool may_be_missing = false;
    std::uint64_t flags = 0;  // MS_REC or 0
    friend bool operator==(const BindPath&, const BindPath&) = default;
};
struct AddressPrefix {  // of a(iayu)
    int family = 0;
    std::vector<std::uint8_t> address;
    std::uint32_t bits = 0;
    friend bool operator==(const AddressPrefix&, const AddressPrefix&) = default;
};
struct Label {  // (bs)
    bool may_fail = false;
    std::string text;
    friend bool operator==(const Label&, const Label&) = default;
};
struct PortRange {              // of a(iiqq)
    std::int32_t family = 0;    // AF_UNSPEC: any
    std::int32_t protocol = 0;  // IPPROTO_*; 0: any
    std::uint16_t ports = 0;    // how many from `first` on; 0: all
    std::uint16_t first = 0;
    friend bool operator==(const PortRange&, const PortRange&) = default;
};
struct Credential {  // of a(say)
    std::string name;
    std::vector<std::uint8_t> content;
    friend bool operator==(const Credential&, const Credential&) = default;
};
struct Bytes {  // ay
    std::vector<std::uint8_t> bytes;
    friend bool operator==(const Bytes&, const Bytes&) = default;
};

using PropertyValue = std::variant<bool, std::int32_t, std::uint32_t, std::uint64_t, std::string,
                                   std::vector<std::string>, FilterList,
                                   std::vector<std::pair<std::string, std::string>>,    // a(ss)
                                   std::vector<std::pair<std::string, std::uint64_t>>,  // a(st)
                                   std::vector<BindPath>, std::vector<AddressPrefix>,
                                   std::vector<PortRange>, std::vector<Credential>, Label, Bytes>;

struct UnitProperty {
    std::string name;  // as PID 1 calls it: CPUQuotaPerSecUSec
    PropertyValue value;
    std::string key;    // as the file does: CPUQuota
    std::string place;  // FILE:LINE of its value
    friend bool operator==(const UnitProperty&, const UnitProperty&) = default;
};

}  // namespace postern::policy
