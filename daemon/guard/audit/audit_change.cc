#include "daemon/guard/audit/audit_change.h"

#include <algorithm>

namespace postern {
namespace {

std::string joined(const std::vector<std::string>& names, const char* separator) {
    std::string text;
    for (const std::string& name : first_actions_of(names)) {
        text += (text.empty() ? "" : separator) + name;
    }
    return text;
}

}  // namespace

std::vector<std::string> first_actions_of(const std::vector<std::string>& names) {
    const auto told = static_cast<std::ptrdiff_t>(std::min(names.size(), most_actions_told));
    return {names.begin(), names.begin() + told};
}

std::string field_of(const std::vector<std::string>& names) {
    return joined(names, " ") + (names.size() > most_actions_told ? " ..." : "");
}

std::string in_words(const policy::Change& change) {
    std::string text;
    for (const ChangeRow& row : change_rows) {
        const auto& names = change.*row.names;
        if (names.empty()) continue;
        if (!text.empty()) text += "; ";
        text += std::string(row.key) + ' ' + joined(names, ", ");
        if (names.size() > most_actions_told) {
            text += " and " + std::to_string(names.size() - most_actions_told) + " more";
        }
    }
    return text;
}

}  // namespace postern
