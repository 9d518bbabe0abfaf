#include "base/json_slip_string.h"

#include <string>

#include "base/json_slip_blanks.h"

namespace postern {
namespace {

bool is_escape(std::string_view text, std::size_t backslash) {
    if (backslash + 1 >= text.size()) return false;
    if (text[backslash + 1] != 'u') {
        return std::string_view("\"\\/bfnrt").find(text[backslash + 1]) != std::string_view::npos;
    }
    const std::string_view digits = text.substr(backslash + 2, 4);
    return digits.size() == 4 &&
           digits.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

std::string bad_escape(std::string_view text, std::size_t backslash) {
    const char c = backslash + 1 < text.size() ? text[backslash + 1] : '\n';
    if (c == 'u') return R"(\u needs four hexadecimal digits; write \u0041)";
    if (c == '\'') return R"(JSON has no \'; write ' without a backslash)";
    if (is_line_end(c)) {
        return "a string can't continue on the next line; write \\n, or put all in one line";
    }
    return std::string(R"(a backslash inside a string is written \\; write \\)") +
           (static_cast<unsigned char>(c) < 0x80 ? std::string(1, c) : "");
}

}  // namespace

std::optional<JsonSlip> skip_json_string(std::string_view text, std::size_t& at) {
    const std::size_t start = at;
    std::size_t end = start + 1;
    for (; end < text.size() && text[end] != '"'; ++end) {
        const char c = text[end];
        if (is_line_end(c)) break;
        if (c == '\t') return JsonSlip{"a tab inside a string is written \\t; write that", end};
        if (c == '\\') {
            if (!is_escape(text, end)) return JsonSlip{bad_escape(text, end), end};
            ++end;
        }
    }
    if (end >= text.size() || text[end] != '"') {
        return JsonSlip{
            "this string has no closing quotation mark on its line; add it (a new line inside a "
            "string "
            "is written \\n)",
            start};
    }
    at = end + 1;
    return std::nullopt;
}

}  // namespace postern
