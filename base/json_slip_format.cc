#include "base/json_slip_format.h"

#include <algorithm>
#include <string>

#include "base/json_slip_blanks.h"
#include "base/json_slip_words.h"

namespace postern {

std::optional<JsonSlip> find_other_format(std::string_view text) {
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
        return JsonSlip{"the file is UTF-16; save it as UTF-8", 0};
    }
    if (text.starts_with("\xEF\xBB\xBF")) {
        return JsonSlip{"a byte order mark (U+FEFF); save the file as UTF-8 without one", 0};
    }
    if (text.starts_with("#!")) return JsonSlip{"this is a script, not JSON; write {...}", 0};
    // The first line that is neither blank nor a comment.
    std::size_t start = 0;
    while (start < text.size() && (is_blank(text[start]) || text[start] == '#')) {
        start = text[start] == '#' ? text.find('\n', start) : start + 1;
    }
    if (start >= text.size()) return std::nullopt;
    std::string_view line = text.substr(start);
    line = line.substr(0, line.find_first_of("\r\n"));
    const std::size_t word = std::min(
        line.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
                               "-."),
        line.size());
    const std::string_view behind =
        line.substr(std::min(line.find_first_not_of(" \t", word), line.size()));
    const std::string key = word == 0 ? "\"KEY\"" : json_string_of(line.substr(0, word));
    if (line.starts_with("---") || line.starts_with("- ") ||
        (begins_word(line.front()) && behind.starts_with(':'))) {
        const bool list = word == 0 || !begins_word(line.front());
        return JsonSlip{
            "this looks like YAML; write JSON: {" + (list ? "\"KEY\"" : key) + ": ..., ...}",
            start};
    }
    const bool section = line.size() > 1 && line.front() == '[' && begins_word(line[1]) &&
                         line.find_first_of(",\"{") == std::string_view::npos &&
                         line.find(']') != std::string_view::npos;
    if (section || (begins_word(line.front()) && behind.starts_with('='))) {
        return JsonSlip{"this looks like TOML or an INI file; write JSON: {" +
                            (section ? "\"KEY\"" : key) + ": ..., ...}",
                        start};
    }
    if (line.starts_with('<') && !line.starts_with("<<<<")) {
        return JsonSlip{"this looks like XML; write JSON: {\"KEY\": ..., ...}", start};
    }
    return std::nullopt;
}

}  // namespace postern
