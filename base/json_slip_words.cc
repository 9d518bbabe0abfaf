#include "base/json_slip_words.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json_slip_blanks.h"

namespace postern {
namespace {

// How much of what was written is shown, and written anew in advice.
constexpr std::size_t shown_text = 60;

}  // namespace

bool begins_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool is_json_number(std::string_view text) {
    const auto digits = [&text] {
        const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
        text.remove_prefix(end);
        return end;
    };
    if (text.starts_with('-')) text.remove_prefix(1);
    const bool zero = text.starts_with('0');
    const std::size_t whole = digits();
    if (whole == 0 || (zero && whole > 1)) return false;
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        if (digits() == 0) return false;
    }
    if (text.starts_with('e') || text.starts_with('E')) {
        text.remove_prefix(1);
        if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
        if (digits() == 0) return false;
    }
    return text.empty();
}

std::string json_string_of(std::string_view text) {
    if (text.size() > shown_text) return "\"...\"";
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string_view other_quote(std::string_view text) {
    constexpr std::array<std::string_view, 18> quotes = {
        "'", "`", "“", "”", "„", "‟", "«", "»", "‘", "’", "‚", "‛", "‹", "›", "″", "′", "＂", "´"};
    const auto found = std::ranges::find_if(
        quotes, [text](std::string_view quote) { return text.starts_with(quote); });
    return found == quotes.end() ? std::string_view() : *found;
}

std::string advice_for_word(std::string_view word) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> booleans = {
        {{"True", "true"},
         {"TRUE", "true"},
         {"False", "false"},
         {"FALSE", "false"},
         {"yes", "true"},
         {"no", "false"},
         {"on", "true"},
         {"off", "false"}}};
    constexpr std::array<std::string_view, 7> nothing = {"None", "NULL",      "Null", "nil",
                                                         "~",    "undefined", "void"};
    for (const auto& [other, ours] : booleans) {
        if (word == other) return std::string(word) + " is not JSON; write " + std::string(ours);
    }
    if (std::ranges::find(nothing, word) != nothing.end()) {
        return std::string(word) + " is not JSON; leave it out if there is no value";
    }
    const std::string_view digits =
        word.substr(word.find_first_not_of('0') == std::string::npos ? word.size() - 1
                                                                     : word.find_first_not_of('0'));
    if (word.starts_with('0') && is_json_number(digits)) {
        return std::string(word) + " begins with 0, which JSON does not allow; write " +
               std::string(digits) + ", or " + json_string_of(word) + " for a string";
    }
    std::string grouped(word);
    std::erase(grouped, '_');
    if (grouped.ends_with('.')) grouped.pop_back();
    if (is_json_number(grouped))
        return std::string(word) + " is not a number in JSON; write " + grouped;
    if (word.starts_with('+') && is_json_number(word.substr(1))) {
        return "a number has no + in JSON; write " + std::string(word.substr(1));
    }
    if (word.starts_with('.') && is_json_number("0" + std::string(word))) {
        return "a number begins with a digit in JSON; write 0" + std::string(word);
    }
    return "strings are written in double quotes; write " + json_string_of(word);
}

std::optional<std::string_view> other_quoted_text(std::string_view line, std::string_view quote) {
    std::size_t end = quote.size();
    while (end < line.size() && other_quote(line.substr(end)).empty() && line[end] != '"') ++end;
    if (end >= line.size()) return std::nullopt;
    return line.substr(quote.size(), end - quote.size());
}

std::string_view unquoted_text(std::string_view line, std::string_view word) {
    if (!begins_word(word.front())) return word;
    std::string_view whole = line.substr(0, line.find_first_of(",]}\"'#"));
    whole = whole.substr(0, whole.find("//"));
    while (!whole.empty() && is_blank(whole.back())) whole.remove_suffix(1);
    return whole.size() > word.size() && whole.find(':') == std::string_view::npos ? whole : word;
}

}  // namespace postern
