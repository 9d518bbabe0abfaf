#include "base/json_slip_blanks.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace postern {
namespace {

// What looks like a blank and is none: its bytes and its name. Empty: it is none.
std::pair<std::string_view, std::string_view> other_blank(std::string_view text) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> blanks = {
        {{"\xC2\xA0", "U+00A0"},
         {"\xE2\x80\x8B", "U+200B"},
         {"\xE2\x80\x83", "U+2003"},
         {"\xE2\x80\x82", "U+2002"},
         {"\xE2\x80\x89", "U+2009"},
         {"\xE2\x80\xAF", "U+202F"},
         {"\xE3\x80\x80", "U+3000"},
         {"\xEF\xBB\xBF", "U+FEFF"}}};
    const auto found = std::ranges::find_if(
        blanks, [text](const auto& blank) { return text.starts_with(blank.first); });
    return found == blanks.end() ? std::pair<std::string_view, std::string_view>() : *found;
}

bool is_conflict_mark(std::string_view rest) {
    return rest.starts_with("<<<<<<<") || rest.starts_with("=======") ||
           rest.starts_with(">>>>>>>") || rest.starts_with("|||||||");
}

}  // namespace

bool is_line_end(char c) {
    return c == '\n' || c == '\r';
}
bool is_blank(char c) {
    return c == ' ' || c == '\t' || is_line_end(c);
}

std::optional<JsonSlip> skip_json_blanks(std::string_view text, std::size_t& at) {
    while (at < text.size()) {
        const std::string_view rest = text.substr(at);
        const bool at_line_start = at == 0 || text[at - 1] == '\n';
        if (is_blank(rest.front())) {
            ++at;
        } else if (rest.starts_with("//")) {
            at = std::min(text.find_first_of("\r\n", at), text.size());
        } else if (rest.starts_with("/*")) {
            const std::size_t end = text.find("*/", at + 2);
            if (end == std::string_view::npos) {
                return JsonSlip{"this comment has no end; write */ where it ends", at};
            }
            at = end + 2;
        } else if (rest.front() == '#') {
            return JsonSlip{"comments begin with //, not with #; write //", at};
        } else if (const auto [bytes, name] = other_blank(rest); !bytes.empty()) {
            return JsonSlip{
                std::string(name) + " is not a space, but looks like one; write an ordinary space",
                at};
        } else if (at_line_start && is_conflict_mark(rest)) {
            return JsonSlip{"an unresolved merge conflict begins here; resolve it", at};
        } else {
            break;
        }
    }
    return std::nullopt;
}

}  // namespace postern
