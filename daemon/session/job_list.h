// The parameters of List, and where a page of it ends.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "model/job.h"

namespace postern::session {

// Where a list of jobs goes on. To the client it is a text that it got with the page before.
struct ListPlace {
    Time created;
    JobId job;
};
std::string place_text(const ListPlace& place);

// Absent: it is not one.
std::optional<ListPlace> place_from_json(const nlohmann::json& value);
std::optional<std::string> action_from_json(const nlohmann::json& value);
// What is more than a page has counts as a page.
std::optional<std::uint32_t> limit_from_json(const nlohmann::json& value);

}  // namespace postern::session
