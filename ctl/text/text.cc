#include "ctl/text/text.h"

#include <algorithm>

namespace postern::ctl {
namespace {

constexpr std::string_view plain_characters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";

bool begins_character(char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
}

}  // namespace

std::string duration_text(long seconds) {
    std::string text;
    const auto add = [&text](long count, const char* unit) {
        if (count == 0) return;
        if (!text.empty()) text += ' ';
        text += std::to_string(count) + unit;
    };
    add(seconds / 3600, "h");
    add(seconds / 60 % 60, "min");
    add(seconds % 60, "s");
    return text.empty() ? "0s" : text;
}

std::size_t characters(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, begins_character));
}

std::string shortened(std::string_view text, std::size_t count) {
    if (characters(text) <= count) return std::string(text);
    constexpr std::string_view dots = "...";
    const std::size_t keep = count > dots.size() ? count - dots.size() : 0;
    std::size_t bytes = 0;
    for (std::size_t seen = 0; bytes < text.size(); ++bytes) {
        if (begins_character(text[bytes]) && seen++ == keep) break;
    }
    return std::string(text.substr(0, bytes)) + std::string(dots.substr(0, count));
}

std::string two_columns(const std::vector<std::pair<std::string, std::string>>& rows,
                        std::size_t width) {
    std::size_t first = 0;
    for (const auto& row : rows) first = std::max(first, characters(row.first));
    std::string table;
    for (const auto& [left, right] : rows) {
        auto line = left;
        if (!right.empty()) line += std::string(first - characters(left) + 2, ' ') + right;
        table += width == 0 ? line : shortened(line, width);
        table += '\n';
    }
    return table;
}

std::string shell_word(std::string_view text) {
    if (!text.empty() && text.find_first_not_of(plain_characters) == std::string_view::npos) {
        return std::string(text);
    }
    std::string word = "'";
    for (const char c : text) {
        if (c == '\'') {
            word += "'\\''";
        } else {
            word += c;
        }
    }
    return word + "'";
}

}  // namespace postern::ctl
