// Fields of the administrator's replies as words for people: printable, whatever the daemon sent.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace postern::ctl {

// "?" where it is absent.
std::string text_of(const nlohmann::json& object, const char* key);

// 0 where it is absent.
std::int64_t number_of(const nlohmann::json& object, const char* key);

// The user whose "uid" it is: "1000 (alice)"; "?" where there is none.
std::string user_of(const nlohmann::json& object);

// How long ago a wall clock time in microseconds was: "5min".
std::string time_since(std::int64_t usec);

}  // namespace postern::ctl
