// What a load of the action files has changed, as the audit tells it: of each list the first 32.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "daemon/policy/change.h"

namespace postern {

constexpr std::size_t most_actions_told = 32;

struct ChangeRow {
    const char* key;  // of JSON; with "Count" behind it how many there are, where not all are told
    const char* field;  // of the journal
    std::vector<std::string> policy::Change::* names;
};
constexpr std::array<ChangeRow, 4> change_rows = {{
    {"added", "POSTERN_ADDED", &policy::Change::added},
    {"changed", "POSTERN_CHANGED", &policy::Change::changed},
    {"removed", "POSTERN_REMOVED", &policy::Change::removed},
    {"off", "POSTERN_OFF", &policy::Change::off},
}};

std::vector<std::string> first_actions_of(const std::vector<std::string>& names);
// "a b ..."
std::string field_of(const std::vector<std::string>& names);
// "added a, b and 3 more; removed c"
std::string in_words(const policy::Change& change);

}  // namespace postern
