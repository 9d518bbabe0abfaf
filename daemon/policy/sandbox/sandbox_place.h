// Values that name places: paths, devices, addresses and ports, credentials, labels.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "daemon/policy/sandbox/sandbox_value.h"

namespace postern::policy {

// As those of sandbox_value.h.
Parsed parse_bind_paths(std::string_view name, std::string_view text);
Parsed parse_temporary_file_systems(std::string_view name, std::string_view text);
Parsed parse_device(std::string_view name, std::string_view text);
// "/dev/sda 10M"
Parsed parse_device_bandwidth(std::string_view name, std::string_view text);
Parsed parse_device_weight(std::string_view name, std::string_view text);
Parsed parse_device_latency(std::string_view name, std::string_view text);
Parsed parse_addresses(std::string_view name, std::string_view text);
Parsed parse_ports(std::string_view name, std::string_view text);
Parsed parse_load_credential(std::string_view name, std::string_view text);
Parsed parse_set_credential(std::string_view name, std::string_view text);
Parsed parse_label(std::string_view name, std::string_view text);

}  // namespace postern::policy
