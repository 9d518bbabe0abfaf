// Values that are sets of names: system calls, namespaces, processors, capabilities and their like.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "daemon/policy/sandbox/sandbox_value.h"

namespace postern::policy {

// As those of sandbox_value.h.
// "@system-service", "~@mount @swap".
Parsed parse_filter(std::string_view name, std::string_view text);
Parsed parse_namespaces(std::string_view name, std::string_view text);
Parsed parse_cpus(std::string_view name, std::string_view text);
Parsed parse_error_number(std::string_view name, std::string_view text);
Parsed parse_secure_bits(std::string_view name, std::string_view text);

// A set of capabilities, as several assignments add to it or ("~") take from it.
class CapabilitySet {
  public:
    // Error: a name that is none.
    Status assign(std::string_view text);
    [[nodiscard]] std::uint64_t mask() const { return mask_; }

  private:
    bool assigned_ = false;
    std::uint64_t mask_ = 0;
};

}  // namespace postern::policy
